//! Putting events into a lane: each once, behind all others, in one transaction with the tree over them.

use super::service::{LANE, LaneService};
use super::store::{self, Segment};
use super::tree::Growing;
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::new_id;
use portcullis_core::audit::call::{Append, Appended};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::line::{NoLine, Position, render};
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::ranges::Ranges;
use portcullis_core::audit::terms::{Term, TermKey, to_column};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;

/// A segment is closed above this size: a row may hold 2 MB.
const MAX_SEGMENT_BYTES: usize = 1_000_000;

impl<S: Sql> LaneService<S> {
    /// Puts packs into the log. Answering means that every event of theirs is in it once, whether
    /// it came now or before; failing means that none of the new ones is.
    pub fn append(&self, append: Append, now: UnixMillis) -> Result<Appended, SqlError> {
        self.open()?;
        self.sql
            .transaction(|| self.append_in_transaction(append, None, now))
    }

    /// Puts an event of the lane's own into the log. In a transaction.
    pub(super) fn log_own(
        &self,
        event: Event,
        detail: Option<&Detail>,
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        let (producer, first_sequence) = match store::own_producer(&self.sql)? {
            Some(own) => own,
            None => (
                ProducerId::from_bytes(new_id().map_err(|error| SqlError(error.to_string()))?),
                1,
            ),
        };
        store::put_own_producer(&self.sql, producer, first_sequence + 1)?;
        let append = Append {
            received: now,
            packs: vec![Pack {
                producer,
                first_sequence,
                events: vec![event.bounded()],
            }],
        };
        self.append_in_transaction(append, detail, now).map(drop)
    }

    /// `detail` is said by each event; those of others have none.
    fn append_in_transaction(
        &self,
        append: Append,
        detail: Option<&Detail>,
        now: UnixMillis,
    ) -> Result<Appended, SqlError> {
        let (first_index, edge) = store::end(&self.sql)?;
        let mut writer = SegmentWriter::new(first_index, edge.map(Growing::new), self.index.key());
        let mut known: BTreeMap<ProducerId, (Ranges, bool)> = BTreeMap::new();
        for pack in append.packs {
            let (ranges, changed) = match known.entry(pack.producer) {
                std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert((store::ranges(&self.sql, pack.producer)?, false))
                }
            };
            for (sequence, event) in (pack.first_sequence..).zip(&pack.events) {
                if !ranges.insert(sequence) {
                    continue;
                }
                *changed = true;
                let position = Position {
                    index: writer.next_index,
                    lane: LANE,
                    producer: pack.producer,
                    sequence,
                    received: append.received,
                    committed: now,
                };
                writer.push(&self.sql, event, detail, &position)?;
            }
        }
        writer.close(&self.sql)?;
        self.index
            .grew(writer.next_index - first_index, writer.segments);
        if let Some(tree) = writer.tree.take() {
            tree.store(&self.sql)?;
        }
        for (producer, (ranges, changed)) in &known {
            if *changed {
                store::put_ranges(&self.sql, *producer, ranges)?;
            }
        }
        Ok(Appended {
            new_events: writer.next_index - first_index,
            next_index: writer.next_index,
        })
    }
}

/// Collects lines into segments of bounded size.
struct SegmentWriter<'a> {
    next_index: u64,
    /// `None` while the tree does not reach here; then it is built later.
    tree: Option<Growing>,
    open: Option<Segment>,
    /// How many are closed.
    segments: u64,
    /// Makes terms; `None` where there are none.
    key: Option<&'a TermKey>,
    terms: Vec<Term>,
}

impl<'a> SegmentWriter<'a> {
    const fn new(next_index: u64, tree: Option<Growing>, key: Option<&'a TermKey>) -> Self {
        Self {
            next_index,
            tree,
            open: None,
            segments: 0,
            key,
            terms: Vec::new(),
        }
    }

    fn push(
        &mut self,
        sql: &impl Sql,
        event: &Event,
        detail: Option<&Detail>,
        position: &Position,
    ) -> Result<(), SqlError> {
        let bounded;
        let (event, line) = match render(event, detail, position) {
            // Whoever sends events keeps them within their bounds; who does not must not hold up the others.
            Err(NoLine::TooLong) => {
                bounded = event.clone().bounded();
                (&bounded, render(&bounded, detail, position))
            }
            rendered => (event, rendered),
        };
        let line = line.map_err(|_| SqlError::corrupt("event"))?;
        if let Some(tree) = &mut self.tree {
            tree.append(line.as_bytes());
        }
        if let Some(key) = self.key {
            key.add_terms_of(event, &mut self.terms);
        }
        let at = event.occurred;
        let segment = self.open.get_or_insert_with(|| Segment {
            first_index: position.index,
            count: 0,
            occurred: (at, at),
            lines: Vec::new(),
        });
        segment.count += 1;
        segment.occurred = (segment.occurred.0.min(at), segment.occurred.1.max(at));
        segment.lines.extend_from_slice(line.as_bytes());
        segment.lines.push(b'\n');
        self.next_index += 1;
        if segment.lines.len() >= MAX_SEGMENT_BYTES {
            self.close(sql)?;
        }
        Ok(())
    }

    fn close(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        match self.open.take() {
            Some(segment) => {
                let rooted = self.tree.as_mut().map(Growing::rooted);
                let terms = self.key.map(|_| to_column(&mut self.terms));
                self.terms.clear();
                self.segments += 1;
                store::add_segment(sql, &segment, rooted.as_ref(), terms)
            }
            None => Ok(()),
        }
    }
}
