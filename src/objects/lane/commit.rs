//! A commit: what becomes of each event that comes, decided in one transaction.
//!
//! | its sequence | | what becomes of it |
//! |---|---|---|
//! | not known | occurred within the window | a line, behind all others |
//! | not known | occurred before | set aside: nobody can say that it was never here |
//! | known | the line is there and the same | nothing: the answer says where it is |
//! | known | the line is there and another | set aside, and an event that there was a conflict |
//! | known | its place is not kept any more, or its line | set aside: it cannot be compared |
//!
//! Nothing is ever written over. The rules of what is known are [`portcullis_core::audit::remembered`].

use super::append::SegmentWriter;
use super::memory::Memory;
use super::producers;
use super::service::{LANE, LaneService};
use super::store::{self, Segment};
use super::tree::Growing;
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::new_id;
use portcullis_core::audit::again::again;
use portcullis_core::audit::call::{Appended, Aside, SetAside};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::line::Position;
use portcullis_core::audit::log::leaf_hash;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::remembered::{Run, WINDOW_SECS};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeSet;

/// A commit that is being made.
pub struct Commit<'a, S> {
    lane: &'a LaneService<S>,
    sql: &'a S,
    received: UnixMillis,
    committed: UnixMillis,
    pub(super) memory: Memory,
    /// Where it begins.
    first_index: u64,
    writer: SegmentWriter<'a>,
    /// An operator answers for what is too old.
    is_of_any_age: bool,
    /// The segment that was compared with last.
    read: Option<Segment>,
    /// What the lane has to say of it.
    own: Vec<(Action, Detail)>,
    /// Of whom something was noted that no segment says.
    noted: BTreeSet<ProducerId>,
    answer: Appended,
}

/// Consecutive events of a pack.
#[derive(Clone, Copy)]
struct Part<'a> {
    producer: ProducerId,
    first_sequence: u64,
    events: &'a [Event],
}

impl<'a> Part<'a> {
    fn of(pack: &'a Pack, first: u64, last: u64) -> Option<Self> {
        let at = |sequence: u64| usize::try_from(sequence.checked_sub(pack.first_sequence)?).ok();
        Some(Self {
            producer: pack.producer,
            first_sequence: first,
            events: pack.events.get(at(first)?..=at(last)?)?,
        })
    }

    /// Its first `count` events and what is behind them.
    fn split(self, count: usize) -> (Self, Self) {
        let (events, rest) = self
            .events
            .split_at_checked(count)
            .unwrap_or((self.events, &[]));
        let behind = Self {
            first_sequence: self.first_sequence + events.len() as u64,
            events: rest,
            ..self
        };
        (Self { events, ..self }, behind)
    }

    fn numbered(self) -> impl Iterator<Item = (u64, &'a Event)> {
        (self.first_sequence..).zip(self.events)
    }
}

impl<S: Sql> LaneService<S> {
    /// Begins a commit. In a transaction, in which it ends or fails.
    pub(super) fn begin(
        &self,
        received: UnixMillis,
        now: UnixMillis,
    ) -> Result<Commit<'_, S>, SqlError> {
        let (next_index, edge) = store::end(&self.sql)?;
        // Until the commit has ended nothing is known: if it fails nothing was.
        let memory = match self.memory.take() {
            Some(memory) if memory.end() == next_index => memory,
            _ => Memory::load(&self.sql, next_index)?,
        };
        Ok(Commit {
            lane: self,
            sql: &self.sql,
            received,
            committed: now,
            memory,
            first_index: next_index,
            writer: SegmentWriter::new(next_index, edge.map(Growing::new), self.index.key()),
            is_of_any_age: false,
            read: None,
            own: Vec::new(),
            noted: BTreeSet::new(),
            answer: Appended {
                new_events: 0,
                next_index,
                first_indexes: Vec::new(),
                set_aside: Vec::new(),
            },
        })
    }

    /// Stores what a commit has come to.
    pub(super) fn end(&self, commit: Commit<'_, S>) -> Result<Appended, SqlError> {
        let (answer, memory, grown) = commit.end()?;
        self.index.grew(grown.0, grown.1);
        self.memory.replace(Some(memory));
        Ok(answer)
    }
}

impl<S: Sql> Commit<'_, S> {
    /// Takes also what its producer is too late for.
    pub fn of_any_age(self) -> Self {
        Self {
            is_of_any_age: true,
            ..self
        }
    }

    /// Takes what is new of a pack.
    pub fn pack(&mut self, pack: &Pack) -> Result<(), SqlError> {
        self.answer.first_indexes.push(None);
        if pack.events.is_empty() {
            return Ok(());
        }
        let last = pack.last_sequence();
        let mut at = pack.first_sequence;
        while at <= last {
            let remembered = self.memory.of(self.sql, pack.producer)?;
            let (is_known, end) = remembered.stretch(at, last);
            let part = Part::of(pack, at, end).ok_or_else(|| SqlError::corrupt("pack"))?;
            let first_index = if is_known {
                self.known(part)?
            } else {
                self.unknown(part)?
            };
            if at == pack.first_sequence
                && let Some(said) = self.answer.first_indexes.last_mut()
            {
                *said = first_index;
            }
            at = end + 1;
        }
        Ok(())
    }

    /// Puts events into the log that it has not; those that are too old are set aside. Says where the first is.
    fn unknown(&mut self, part: Part<'_>) -> Result<Option<u64>, SqlError> {
        let window = UnixMillis(self.received.0.saturating_sub(WINDOW_SECS * 1000));
        let takes_any = self.is_of_any_age;
        let is_old = |event: &Event| !takes_any && event.occurred < window;
        let first_index = self.writer.next_index;
        let is_first_old = part.events.first().is_some_and(is_old);
        let mut rest = part;
        while !rest.events.is_empty() {
            let young = rest.events.iter().take_while(|event| !is_old(event));
            let (young, behind) = rest.split(young.count());
            self.take(young, None)?;
            self.answer.new_events += young.events.len() as u64;
            let old = behind.events.iter().take_while(|event| is_old(event));
            let (old, behind) = behind.split(old.count());
            for (sequence, _) in old.numbered() {
                self.set_aside(sequence, SetAside::TooOld);
            }
            rest = behind;
        }
        Ok((!is_first_old).then_some(first_index))
    }

    fn set_aside(&mut self, sequence: u64, why: SetAside) {
        let pack = self.answer.first_indexes.len().saturating_sub(1);
        self.answer.set_aside.push(Aside {
            pack: u32::try_from(pack).unwrap_or(u32::MAX),
            sequence,
            why,
        });
    }

    /// Makes lines of events.
    fn take(&mut self, part: Part<'_>, detail: Option<&Detail>) -> Result<(), SqlError> {
        let Some(latest) = part.events.iter().map(|event| event.occurred).max() else {
            return Ok(());
        };
        let run = Run {
            first_sequence: part.first_sequence,
            count: part.events.len() as u64,
            first_index: self.writer.next_index,
        };
        for (sequence, event) in part.numbered() {
            let position = self.position(part.producer, sequence, self.writer.next_index);
            let (event, line) = self.lane.line(event, detail, &position)?;
            self.writer.push(self.sql, &event, &line, &position)?;
        }
        let seen = latest.max(self.committed);
        let given_up = self.memory.take(self.sql, part.producer, run, seen)?;
        if let Some(hole) = given_up {
            self.say_later(Action::AuditGap, part.producer, hole);
        }
        Ok(())
    }

    const fn position(&self, producer: ProducerId, sequence: u64, index: u64) -> Position {
        Position {
            index,
            lane: LANE,
            producer,
            sequence,
            received: self.received,
            committed: self.committed,
        }
    }

    /// Compares events with the lines that the log has of their identities. Says where the first is.
    fn known(&mut self, part: Part<'_>) -> Result<Option<u64>, SqlError> {
        let mut first_index = None;
        let mut rest = part;
        while !rest.events.is_empty() {
            let at = rest.first_sequence;
            let remembered = self.memory.of(self.sql, rest.producer)?;
            let place = match remembered.place(at) {
                Some(place) => Some(place),
                None => producers::shelved(self.sql, rest.producer, at)?,
            };
            let (there, behind) = match place {
                None => (None, rest.split(1).1),
                Some((index, count)) => {
                    let most = usize::try_from(count).unwrap_or(usize::MAX);
                    let (placed, _) = rest.split(most);
                    match self.compare(placed, index)? {
                        None => (None, rest.split(1).1),
                        Some((compared, differs)) => {
                            let there = (!differs).then_some(index);
                            (Some(there), rest.split(compared).1)
                        }
                    }
                }
            };
            if there.is_none() {
                self.set_aside(at, SetAside::TooOld);
            }
            if at == part.first_sequence {
                first_index = there.flatten();
            }
            rest = behind;
        }
        Ok(first_index)
    }

    /// Compares events with the lines from `index` on, as far as the segment there goes: how many, and whether the first
    /// differs. `None`: the line is not there any more.
    fn compare(&mut self, part: Part<'_>, index: u64) -> Result<Option<(usize, bool)>, SqlError> {
        if self.writer.has_open(index) {
            self.writer.close(self.sql)?;
        }
        let has = |segment: &Segment| {
            (segment.first_index..segment.end()).contains(&index) && !segment.lines.is_empty()
        };
        if !self.read.as_ref().is_some_and(has) {
            self.read = store::segment_at(self.sql, index)?.filter(has);
        }
        let Some(segment) = &self.read else {
            return Ok(None);
        };
        let into = usize::try_from(index - segment.first_index).unwrap_or(usize::MAX);
        let mut compared = 0;
        let mut differing: Vec<(u64, String)> = Vec::new();
        let lines = segment.entries().skip(into);
        for ((sequence, event), (index, line)) in part.numbered().zip((index..).zip(lines)) {
            if line.is_empty() {
                break;
            }
            let line = std::str::from_utf8(line).map_err(|_| SqlError::corrupt("lines"))?;
            let position = self.position(part.producer, sequence, index);
            let again = again(line, position, |position| {
                self.lane.line_again(event, None, position, line)
            })?;
            let came = again.ok_or_else(|| SqlError::corrupt("line"))?;
            if came != line {
                differing.push((sequence, came));
            }
            compared += 1;
        }
        if compared == 0 {
            // It was too old to be kept.
            return Ok(None);
        }
        let differs = differing
            .first()
            .is_some_and(|(sequence, _)| *sequence == part.first_sequence);
        self.conflicts(part.producer, &differing)?;
        Ok(Some((compared, differs)))
    }

    /// Sets aside what differs. Whatever comes again alike is logged once, as far as that is remembered.
    fn conflicts(
        &mut self,
        producer: ProducerId,
        differing: &[(u64, String)],
    ) -> Result<(), SqlError> {
        for row in differing.chunk_by(|(one, _), (next, _)| one + 1 == *next) {
            let (Some((first, _)), Some((last, _))) = (row.first(), row.last()) else {
                continue;
            };
            let came: String = row.iter().map(|(_, line)| line.as_str()).collect();
            let hash = leaf_hash(came.as_bytes());
            let Some(fingerprint) = hash.0.first_chunk() else {
                continue;
            };
            let remembered = self.memory.of(self.sql, producer)?;
            if remembered.conflict_is_new(*first, *fingerprint) {
                self.noted.insert(producer);
                self.say_later(Action::AuditConflict, producer, (*first, *last));
            }
            for (sequence, _) in row {
                self.set_aside(*sequence, SetAside::Conflict);
            }
        }
        Ok(())
    }

    /// Says something of a producer's sequences, when all packs are done.
    fn say_later(&mut self, action: Action, producer: ProducerId, (first, last): (u64, u64)) {
        let detail = Detail::Sequences {
            producer,
            first_sequence: first,
            last_sequence: last,
        };
        self.own.push((action, detail));
    }

    /// Puts an event of the lane's own into the log.
    pub fn say(&mut self, event: Event, detail: Option<&Detail>) -> Result<(), SqlError> {
        let producer = if let Some(own) = store::own_producer(self.sql)? {
            own
        } else {
            let new = new_id().map_err(|error| SqlError(error.to_string()))?;
            let new = ProducerId::from_bytes(new);
            store::add_own_producer(self.sql, new)?;
            new
        };
        let first_sequence = self.memory.of(self.sql, producer)?.next_sequence();
        let own = Part {
            producer,
            first_sequence,
            events: &[event.bounded()],
        };
        self.take(own, detail)
    }

    /// Logs the gaps of a producer that are due.
    pub fn tell_gaps(&mut self, producer: ProducerId) -> Result<(), SqlError> {
        let gaps = self.memory.of(self.sql, producer)?.tell(self.committed);
        for gap in gaps {
            self.say_later(Action::AuditGap, producer, gap);
        }
        self.noted.insert(producer);
        Ok(())
    }

    /// Also says how many lines and segments there are more.
    fn end(mut self) -> Result<(Appended, Memory, (u64, u64)), SqlError> {
        for (action, detail) in std::mem::take(&mut self.own) {
            let outcome = match action {
                Action::AuditConflict => Outcome::Denied,
                _ => Outcome::Success,
            };
            let event = Event::new(self.committed, action, outcome, Actor::Anonymous);
            self.say(event, Some(&detail))?;
        }
        self.writer.end(self.sql)?;
        for producer in &self.noted {
            self.memory.store(self.sql, *producer)?;
        }
        let end = self.writer.next_index;
        self.memory
            .commit(self.sql, end, self.writer.closed, self.committed)?;
        let grown = (end - self.first_index, self.writer.closed.0);
        self.answer.next_index = end;
        Ok((self.answer, self.memory, grown))
    }
}
