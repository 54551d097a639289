//! Putting events into a lane: each once, behind all others, in one transaction with the tree over them. What becomes of
//! each event is decided in [`super::commit`].

use super::service::LaneService;
use super::store::{self, Segment};
use super::tree::Growing;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::call::{Append, Appended};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::line::Position;
use portcullis_core::audit::runs::SegmentRuns;
use portcullis_core::audit::terms::{Term, TermKey, to_column};
use portcullis_core::time::UnixMillis;

/// A segment is closed above this size: a row may hold 2 MB.
const MAX_SEGMENT_BYTES: usize = 1_000_000;

impl<S: Sql> LaneService<S> {
    /// Puts packs into the log. Answering means that every event of theirs is in it once, whether
    /// it came now or before, or is said to be set aside; failing means that none of the new ones is in it.
    pub fn append(&self, append: Append, now: UnixMillis) -> Result<Appended, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let mut commit = self.begin(append.received, now)?;
            for pack in append.packs {
                commit.pack(&pack)?;
            }
            self.end(commit)
        })
    }

    /// Puts an event of the lane's own into the log. In a transaction.
    pub(super) fn log_own(
        &self,
        event: Event,
        detail: Option<&Detail>,
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        let mut commit = self.begin(now, now)?;
        commit.say(event, detail)?;
        self.end(commit).map(drop)
    }
}

/// Collects lines into segments of bounded size.
pub struct SegmentWriter<'a> {
    /// The index of the next line.
    pub next_index: u64,
    /// `None` while the tree does not reach here; then it is built later.
    tree: Option<Growing>,
    open: Option<(Segment, SegmentRuns)>,
    /// How many segments were closed, and the size of their lines.
    pub closed: (u64, u64),
    /// Makes terms and fingerprints; `None` where there are none.
    key: Option<&'a TermKey>,
    terms: Vec<Term>,
    addresses: Vec<u8>,
}

impl<'a> SegmentWriter<'a> {
    /// For lines from that index on.
    pub const fn new(next_index: u64, tree: Option<Growing>, key: Option<&'a TermKey>) -> Self {
        Self {
            next_index,
            tree,
            open: None,
            closed: (0, 0),
            key,
            terms: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Adds a line at the next index, which is that of `position`.
    pub fn push(
        &mut self,
        sql: &impl Sql,
        event: &Event,
        line: &str,
        position: &Position,
    ) -> Result<(), SqlError> {
        if let Some(tree) = &mut self.tree {
            tree.append(line.as_bytes());
        }
        if let Some(key) = self.key {
            key.add_terms_of(event, &mut self.terms);
            let address = event.request.as_ref().and_then(|it| it.ip.as_deref());
            let fingerprint = key.fingerprint(position.index, address.unwrap_or_default());
            self.addresses.push(fingerprint);
        }
        let at = event.occurred;
        let (segment, runs) = self.open.get_or_insert_with(|| {
            let segment = Segment {
                first_index: position.index,
                count: 0,
                occurred: (at, at),
                lines: Vec::new(),
            };
            (segment, SegmentRuns::new(position.committed))
        });
        runs.add(position.producer, position.sequence, at);
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

    /// Whether the line at `index` is in no segment that is stored.
    pub fn has_open(&self, index: u64) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|(segment, _)| segment.first_index <= index)
    }

    /// Stores what is open.
    pub fn close(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        match self.open.take() {
            Some((segment, runs)) => {
                self.closed.0 += 1;
                self.closed.1 += segment.lines.len() as u64;
                let rooted = self.tree.as_mut().map(Growing::rooted);
                let terms = self.key.map(|_| to_column(&mut self.terms));
                self.terms.clear();
                let addresses = self.key.map(|_| std::mem::take(&mut self.addresses));
                store::add_segment(sql, &segment, &runs, rooted.as_ref(), terms, addresses)
            }
            None => Ok(()),
        }
    }

    /// Stores all that is left.
    pub fn end(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        self.close(sql)?;
        match self.tree.take() {
            Some(tree) => tree.store(sql),
            None => Ok(()),
        }
    }
}
