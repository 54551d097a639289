//! Lines as a filter looks at them: by what is in clear, and by the address, which is sealed in most.
//!
//! To open a line costs more than all else, so a page opens those only that everything in clear speaks for, and of which their
//! segment's [fingerprints](portcullis_core::audit::addresses) say that they may have the address. Without fingerprints the same is found and
//! more is opened: in segments from before there were any, and while `SERVICE_KEY` is another than the index was begun with.
//!
//! Person keys are read once for a page. That is a transaction in which nobody is erased, and ends with it: a later request asks storage, or what the
//! instance [knows](super::sealing::KnownKeys), which an erasure empties.

use super::service::LaneService;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::addresses::{Fingerprints, Wanted};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::query::Filter;
use portcullis_core::audit::sealed::{Owner, PersonKey, SealedLine};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Of how many owners a page has the keys at a time.
const MAX_OWNERS: usize = 1024;

/// Looks at lines for one page.
pub struct Opener<'a, S> {
    lane: &'a LaneService<S>,
    filter: &'a Filter,
    /// The filter without the address: every wanted line fits it unopened.
    in_clear: Filter,
    /// What fingerprints are compared with, if they can be.
    wanted: Option<Wanted<'a>>,
    keys: BTreeMap<Owner, Rc<[PersonKey]>>,
}

impl<'a, S: Sql> Opener<'a, S> {
    pub fn new(lane: &'a LaneService<S>, filter: &'a Filter) -> Self {
        let in_clear = Filter {
            ip: None,
            ..filter.clone()
        };
        let key = lane.index.key();
        Self {
            lane,
            filter,
            in_clear,
            wanted: key.and_then(|key| Wanted::of(key, filter)),
            keys: BTreeMap::new(),
        }
    }

    /// Whether a line may have the address, as far as its segment's fingerprints say.
    pub fn may_want(&self, text: &str, known: Option<&Fingerprints>) -> bool {
        let both = self.wanted.as_ref().zip(known);
        both.is_none_or(|(wanted, known)| wanted.may_be_in(text, known))
    }

    /// Whether the line is wanted; `line` is what is read of `text`.
    pub fn is_wanted(&mut self, text: &str, line: Line) -> Result<bool, SqlError> {
        if self.filter.ip.is_none() || line.ip().is_some() {
            return Ok(self.filter.matches(&line));
        }
        if !self.in_clear.matches(&line) {
            return Ok(false);
        }
        let Some(sealed) = SealedLine::parse(text) else {
            return Ok(false);
        };
        match self.open(&sealed)? {
            Some(opened) => {
                let line = line.opened(&opened);
                let line = line.map_err(|_| SqlError::corrupt("sealed"))?;
                Ok(self.filter.matches(&line))
            }
            None => Ok(false),
        }
    }

    fn open(&mut self, line: &SealedLine) -> Result<Option<String>, SqlError> {
        #[cfg(test)]
        self.lane.index.opened.set(self.lane.index.opened.get() + 1);
        let known = self.keys.get(&line.owner).cloned();
        let keys = if let Some(keys) = known {
            keys
        } else {
            let keys = self.lane.person_keys(line.owner, line.committed)?;
            if self.keys.len() >= MAX_OWNERS {
                self.keys.clear();
            }
            self.keys.insert(line.owner, Rc::clone(&keys));
            keys
        };
        Ok(keys.iter().find_map(|key| line.open(key)))
    }
}
