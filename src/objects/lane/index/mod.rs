//! The index of a lane: which segments may have a line that somebody looks for.
//!
//! A commit stores the [terms] of its lines beside them, in the same row. Later the lane's alarm takes the next run of segments, of
//! [`GROUP`]'s size, and stores which of them has which term: a **group**, 33 rows, in one transaction. A
//! query reads of each group one row for a term, and of the segments behind the last group their own terms. So what is found never depends on how
//! much is built, and a group is there as a whole or not at all.
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before a group is stored | nothing | the alarm builds it |
//! | after it, before that is known | the group | the alarm goes on behind it |
//!
//! Terms are made under a key from `SERVICE_KEY`. While that is another than the one that the index was begun with, terms are neither
//! written nor looked at: what is found is right then, too, and takes longer. Segments without terms are looked at line by line, in a group or not.
//!
//! [terms]: portcullis_core::audit::terms

#[cfg(test)]
mod address_tests;
#[cfg(test)]
mod figures;
pub mod store;
#[cfg(test)]
mod tests;

use super::service::LaneService;
use super::tree::Standing;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::postings::Builder;
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::audit::terms::{Term, TermKey, from_column};
use std::cell::Cell;
use store::Group;

/// When there is enough for a group.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// So many lines.
    pub lines: u64,
    /// Or so many segments, which are all that one has.
    pub segments: u64,
}

/// Groups in production.
pub const GROUP: Size = Size {
    lines: 32_768,
    segments: 512,
};

/// What an instance knows of its index.
pub struct Index {
    key: Option<TermKey>,
    /// Whether the key is the one that the index was begun with; `None` before that was looked at.
    is_its_key: Cell<Option<bool>>,
    /// Lines and segments behind the last group, or more.
    behind: Cell<(u64, u64)>,
    size: Cell<Size>,
    /// How many sealed lines were opened for pages.
    #[cfg(test)]
    pub opened: Cell<u64>,
}

impl Index {
    /// With terms by that key; without one there are none.
    pub const fn new(key: Option<TermKey>) -> Self {
        Self {
            key,
            is_its_key: Cell::new(None),
            behind: Cell::new((0, 0)),
            size: Cell::new(GROUP),
            #[cfg(test)]
            opened: Cell::new(0),
        }
    }

    /// Smaller groups.
    #[cfg(test)]
    pub fn set_size(&self, size: Size) {
        self.size.set(size);
    }

    /// Finds out how the index stands, if that is not known.
    pub fn settle(&self, sql: &impl Sql) -> Result<(), SqlError> {
        if self.is_its_key.get().is_some() {
            return Ok(());
        }
        let is_its_key = match &self.key {
            Some(key) => store::settle_key(sql, key.proof())? == key.proof(),
            None => false,
        };
        self.recount(sql)?;
        self.is_its_key.set(Some(is_its_key));
        Ok(())
    }

    /// The key of terms, if they can be made.
    pub fn key(&self) -> Option<&TermKey> {
        self.key
            .as_ref()
            .filter(|_| self.is_its_key.get() == Some(true))
    }

    /// The terms that a segment with a line of `filter` has; none if nothing can be said.
    pub fn terms_of(&self, filter: &Filter) -> Vec<Term> {
        let key = self.key();
        key.map_or_else(Vec::new, |key| key.terms_of_filter(filter))
    }

    /// So much was committed, or failed to be.
    pub fn grew(&self, lines: u64, segments: u64) {
        let (before_lines, before_segments) = self.behind.get();
        self.behind
            .set((before_lines + lines, before_segments + segments));
    }

    /// Whether a group is to be built, as far as is known; it may turn out that there is not enough for one.
    pub fn is_due(&self) -> bool {
        let (lines, segments) = self.behind.get();
        let size = self.size.get();
        lines >= size.lines || segments >= size.segments
    }

    fn recount(&self, sql: &impl Sql) -> Result<(), SqlError> {
        let end = store::grouped_end(sql)?;
        let limit = self.size.get().segments;
        self.behind.set(store::count_from(sql, end, limit)?);
        Ok(())
    }

    /// Stores the next group, if there is enough for one. In a transaction.
    fn build(&self, sql: &impl Sql) -> Result<(), SqlError> {
        let size = self.size.get();
        let end = store::grouped_end(sql)?;
        let mut segments = store::outlines(sql, end, Order::Oldest, size.segments)?;
        let mut lines = 0;
        let enough = segments.iter().position(|segment| {
            lines += segment.end_index - segment.first_index;
            lines >= size.lines
        });
        match enough {
            Some(last) => segments.truncate(last + 1),
            None if segments.len() as u64 >= size.segments => {}
            None => return Ok(()),
        }
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else {
            return Ok(());
        };
        let earliest = segments.iter().map(|segment| segment.occurred.0).min();
        let latest = segments.iter().map(|segment| segment.occurred.1).max();
        let mut group = Group {
            first_index: first.first_index,
            end_index: last.end_index,
            occurred: earliest.zip(latest).unwrap_or(first.occurred),
            unknown: Vec::new(),
        };
        let columns = store::terms(sql, group.first_index, group.end_index)?;
        if columns.len() != segments.len() {
            return Err(SqlError::corrupt("segments"));
        }
        let mut builder = Builder::default();
        for (ordinal, column) in (0u16..).zip(&columns) {
            match column.as_deref().and_then(from_column) {
                Some(terms) => terms.for_each(|term| builder.add(term, ordinal)),
                None => group.unknown.push(u64::from(ordinal)),
            }
        }
        let starts: Vec<u64> = segments.iter().map(|it| it.first_index).collect();
        store::add_group(sql, &group, &starts, &builder.slices())
    }
}

impl<S: Sql> LaneService<S> {
    /// Whether there is a group to be built, as far as this instance knows.
    pub fn is_index_due(&self) -> bool {
        self.standing.get() != Some(Standing::Differs) && self.index.is_due()
    }

    /// Stores the next group of the index, if there is enough for one, and removes one whose lines are gone: reads and writes what one group has, at most.
    pub fn build_group(&self) -> Result<(), SqlError> {
        self.open()?;
        if self.index.is_due() {
            self.sql.transaction(|| {
                store::drop_gone(&self.sql)?;
                self.index.build(&self.sql)
            })?;
            self.index.recount(&self.sql)?;
        }
        Ok(())
    }
}
