//! A lane without its runtime: appending each event once, and reading pages.
//!
//! A commit grows the log's tree in its own transaction ([`super::tree`]). When an instance first needs the log it
//! looks whether tree and lines agree; if they do not the lane is shut: nothing is appended, read or signed any more.

use super::archive::Known;
use super::signer::LogKeyMaker;
use super::store::{self, Segment};
use super::tree::{self, Growing, Standing};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::call::{Append, Appended, LaneRequest, Page, Query};
use portcullis_core::audit::event::Event;
use portcullis_core::audit::line::{Line, NoLine, Position, render};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::{Cursor, Order};
use portcullis_core::audit::ranges::Ranges;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;
use std::collections::BTreeMap;

/// This lane's number. There is one; every format carries it so that there can be more.
pub const LANE: u32 = 0;
/// A segment is closed above this size: a row may hold 2 MB.
const MAX_SEGMENT_BYTES: usize = 1_000_000;
/// The most segments a page looks at, so that a rare filter cannot hold the lane.
const MAX_SEGMENTS_A_PAGE: usize = 500;
/// The most lines a page looks at.
const MAX_LINES_A_PAGE: u64 = 20_000;

/// One lane over its storage.
pub struct LaneService<S> {
    pub(super) sql: S,
    pub(super) keys: Option<LogKeyMaker>,
    migrated: Cell<bool>,
    /// What this instance knows of the tree; `None` before it has looked.
    pub(super) standing: Cell<Option<Standing>>,
    /// What it knows of the archive.
    pub(super) archive: Known,
}

impl<S: Sql> LaneService<S> {
    /// A lane over `sql`; nothing is read or written yet. Without `keys` it signs nothing.
    pub fn new(sql: S, keys: Option<LogKeyMaker>) -> Self {
        Self {
            sql,
            keys,
            migrated: Cell::new(false),
            standing: Cell::new(None),
            archive: Known::default(),
        }
    }

    /// The storage, for tests to break.
    #[cfg(test)]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Another instance over the same storage.
    #[cfg(test)]
    pub fn restarted(self, keys: Option<LogKeyMaker>) -> Self {
        Self::new(self.sql, keys)
    }

    /// Answers `request`, unless it is for a checkpoint, which waits for the archive. `new_producer` is 16 random
    /// bytes, used if the lane has no identity yet.
    pub fn answer(
        &self,
        request: LaneRequest,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Vec<u8>, SqlError> {
        let reply = match request {
            LaneRequest::Append(append) => wire::encode(&self.append(append, now)?),
            LaneRequest::Query(query) => wire::encode(&self.query(query, now, new_producer)?),
            LaneRequest::Checkpoint(_) => return Err(SqlError("not at once".to_owned())),
            LaneRequest::LogKey(_) => wire::encode(&self.log_key(now)?),
            LaneRequest::Tile(tile) => wire::encode(&self.tile(tile)?),
            LaneRequest::Bundle(bundle) => wire::encode(&self.bundle(bundle, now, new_producer)?),
            LaneRequest::Inclusion(asked) => wire::encode(&self.inclusion(asked)?),
            LaneRequest::Consistency(asked) => wire::encode(&self.consistency(asked)?),
        };
        Ok(reply?)
    }

    /// Puts packs into the log. Answering means that every event of theirs is in it once, whether
    /// it came now or before; failing means that none of the new ones is.
    pub fn append(&self, append: Append, now: UnixMillis) -> Result<Appended, SqlError> {
        self.open()?;
        self.sql
            .transaction(|| self.append_in_transaction(append, now))
    }

    /// Reads a page and logs that it was read, or does neither.
    pub fn query(
        &self,
        query: Query,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Page, SqlError> {
        self.open()?;
        self.sql.transaction(|| {
            let page = self.page(&query)?;
            self.log_read(query.read, now, new_producer)?;
            Ok(page)
        })
    }

    /// Puts an event of the lane's own into the log. In a transaction.
    pub(super) fn log_read(
        &self,
        read: Event,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<(), SqlError> {
        let (producer, sequence) = store::own_producer(&self.sql)?.unwrap_or((new_producer, 1));
        store::put_own_producer(&self.sql, producer, sequence + 1)?;
        let read = Pack {
            producer,
            first_sequence: sequence,
            events: vec![read.bounded()],
        };
        let append = Append {
            received: now,
            packs: vec![read],
        };
        self.append_in_transaction(append, now).map(drop)
    }

    /// Whether the tree over older lines is being built, as far as this instance knows.
    pub fn is_behind(&self) -> bool {
        self.standing.get() == Some(Standing::Behind)
    }

    /// Has the lane ready, and says how its tree stands. While the tree is behind each call builds a part of it.
    pub fn ready(&self) -> Result<Standing, SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        let known = self.standing.get();
        if let Some(known @ (Standing::Agrees | Standing::Differs)) = known {
            return Ok(known);
        }
        let mut standing = tree::standing(&self.sql)?;
        if standing == Standing::Behind && self.sql.transaction(|| tree::build(&self.sql))? {
            standing = tree::standing(&self.sql)?;
        }
        self.standing.set(Some(standing));
        Ok(standing)
    }

    /// Has the lane ready, unless it is shut.
    fn open(&self) -> Result<(), SqlError> {
        match self.ready()? {
            Standing::Agrees | Standing::Behind => Ok(()),
            Standing::Differs => Err(SqlError(format!("lane {LANE}: {}", Refusal::Shut))),
        }
    }

    fn append_in_transaction(&self, append: Append, now: UnixMillis) -> Result<Appended, SqlError> {
        let (first_index, edge) = store::end(&self.sql)?;
        let mut writer = SegmentWriter::new(first_index, edge.map(Growing::new));
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
                writer.push(&self.sql, event, &position)?;
            }
        }
        writer.close(&self.sql)?;
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

    fn page(&self, query: &Query) -> Result<Page, SqlError> {
        let head = store::next_index(&self.sql)?;
        let tail = Cursor {
            order: Order::Oldest,
            index: head,
        };
        let mut at = match (query.cursor, query.order) {
            (Some(cursor), order) if cursor.order == order => cursor.index.min(head),
            (_, Order::Oldest) => 0,
            (_, Order::Newest) => head,
        };
        let mut page = Page {
            lines: Vec::new(),
            next: None,
            tail,
        };
        let mut looked_at = 0u64;
        for _ in 0..MAX_SEGMENTS_A_PAGE {
            let segment = match query.order {
                Order::Oldest => store::segment_at(&self.sql, at)?,
                Order::Newest => store::segment_below(&self.sql, at)?,
            };
            let Some(segment) = segment else {
                return Ok(page);
            };
            at = read_segment(&segment, query, at, &mut page.lines)?;
            looked_at += segment.count;
            let done = match query.order {
                Order::Oldest => at >= head,
                Order::Newest => at == 0,
            };
            if done {
                return Ok(page);
            }
            if page.lines.len() >= query.limit as usize || looked_at >= MAX_LINES_A_PAGE {
                break;
            }
        }
        page.next = Some(Cursor {
            order: query.order,
            index: at,
        });
        Ok(page)
    }
}

/// Adds the segment's wanted lines to `found`, from `at` on; returns where to go on.
fn read_segment(
    segment: &Segment,
    query: &Query,
    at: u64,
    found: &mut Vec<String>,
) -> Result<u64, SqlError> {
    let past = match query.order {
        Order::Oldest => segment.end(),
        Order::Newest => segment.first_index,
    };
    if !query
        .filter
        .may_match(segment.occurred.0, segment.occurred.1)
    {
        return Ok(past);
    }
    let text = std::str::from_utf8(&segment.lines).map_err(|_| SqlError::corrupt("lines"))?;
    let numbered = (segment.first_index..).zip(text.lines());
    let wanted = |(index, line): (u64, &str)| -> Result<Option<(u64, String)>, SqlError> {
        let parsed = Line::parse(line).map_err(|_| SqlError::corrupt("line"))?;
        Ok(query
            .filter
            .matches(&parsed)
            .then(|| (index, line.to_owned())))
    };
    let lines: Vec<(u64, &str)> = match query.order {
        Order::Oldest => numbered.filter(|(index, _)| *index >= at).collect(),
        Order::Newest => {
            let mut below: Vec<_> = numbered.filter(|(index, _)| *index < at).collect();
            below.reverse();
            below
        }
    };
    for line in lines {
        if let Some((index, line)) = wanted(line)? {
            found.push(line);
            if found.len() >= query.limit as usize {
                return Ok(match query.order {
                    Order::Oldest => index + 1,
                    Order::Newest => index,
                });
            }
        }
    }
    Ok(past)
}

/// Collects lines into segments of bounded size.
struct SegmentWriter {
    next_index: u64,
    /// `None` while the tree does not reach here; then it is built later.
    tree: Option<Growing>,
    open: Option<Segment>,
}

impl SegmentWriter {
    const fn new(next_index: u64, tree: Option<Growing>) -> Self {
        Self {
            next_index,
            tree,
            open: None,
        }
    }

    fn push(&mut self, sql: &impl Sql, event: &Event, position: &Position) -> Result<(), SqlError> {
        let line = match render(event, position) {
            // Whoever sends events keeps them within their bounds; who does not must not hold up the others.
            Err(NoLine::TooLong) => render(&event.clone().bounded(), position),
            rendered => rendered,
        };
        let line = line.map_err(|_| SqlError::corrupt("event"))?;
        if let Some(tree) = &mut self.tree {
            tree.append(line.as_bytes());
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
                store::add_segment(sql, &segment, rooted.as_ref())
            }
            None => Ok(()),
        }
    }
}
