//! What an instance of a lane knows of producers: what their rows say, and what segments have added since.
//!
//! A commit writes no row for a producer: its segments say whose lines they have. A **fold** brings the rows up to date for
//! many segments at once. What is not folded is here, and an instance that has just begun loads it from the segments.
//!
//! Memory never says more than what is committed, else an event would be lost. It is good for one end of the log: where that
//! is another than what memory was made for, a transaction was rolled back, and memory is loaded anew. Failures in which the end
//! does not move throw it away ([`super::service::LaneService::forgetting`]).

use super::producers::{self, Folded};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::remembered::{GRACE_SECS, Remembered, Run, SILENCE_SECS};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;

/// A fold follows after so many segments,
const MAX_SEGMENTS: u64 = 64;
/// or so many bytes of lines, or when one more segment might exceed them,
const MAX_BYTES: u64 = 4_000_000;
/// or so many producers with something to fold, which also bounds what is kept of others.
const MAX_PRODUCERS: usize = 1000;
/// How long after a fold the producers that may be forgotten are looked for, in seconds.
pub const SWEEP_SECS: u64 = 24 * 3600;

/// What is known of producers up to an end of the log.
#[cfg_attr(test, derive(Debug))]
pub struct Memory {
    /// The index behind the last line that it knows of.
    end: u64,
    producers: BTreeMap<ProducerId, Entry>,
    /// How many of them have something that their rows do not.
    unstored: usize,
    segments: u64,
    bytes: u64,
    /// When the first segment that is not folded was committed.
    oldest: Option<UnixMillis>,
    /// When the next gaps are due.
    next_gap: Option<UnixMillis>,
    /// When the next producers are looked at that may be forgotten.
    sweep_at: UnixMillis,
}

#[cfg_attr(test, derive(Debug, PartialEq, Eq, Clone))]
struct Entry {
    remembered: Remembered,
    /// Whether the row of the producer does not say all of it.
    is_unstored: bool,
}

impl Memory {
    /// Loads what is known up to `end`, which is the end of the log.
    pub fn load(sql: &impl Sql, end: u64) -> Result<Self, SqlError> {
        let folded = producers::folded(sql)?;
        let mut memory = Self {
            end,
            producers: BTreeMap::new(),
            unstored: 0,
            segments: 0,
            bytes: 0,
            oldest: None,
            next_gap: producers::next_gap(sql)?,
            sweep_at: folded.sweep_at,
        };
        for segment in producers::unfolded(sql, folded.next_index)? {
            for (producer, run, seen) in segment.runs.of(segment.first_index) {
                // A hole that was given up then was logged then.
                memory.take(sql, producer, run, seen)?;
            }
            memory.grew(1, segment.bytes, segment.runs.committed());
        }
        Ok(memory)
    }

    /// The end of the log that it is good for.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// What is remembered of `producer`.
    pub fn of(
        &mut self,
        sql: &impl Sql,
        producer: ProducerId,
    ) -> Result<&mut Remembered, SqlError> {
        self.entry(sql, producer).map(|entry| &mut entry.remembered)
    }

    fn entry(&mut self, sql: &impl Sql, producer: ProducerId) -> Result<&mut Entry, SqlError> {
        match self.producers.entry(producer) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => Ok(entry.insert(Entry {
                remembered: producers::remembered(sql, producer)?,
                is_unstored: false,
            })),
        }
    }

    /// Notes a run of lines; gives back a hole that is given up for it and must be logged.
    pub fn take(
        &mut self,
        sql: &impl Sql,
        producer: ProducerId,
        run: Run,
        seen: UnixMillis,
    ) -> Result<Option<(u64, u64)>, SqlError> {
        let entry = self.entry(sql, producer)?;
        let was_unstored = std::mem::replace(&mut entry.is_unstored, true);
        let given_up = entry.remembered.take(run, seen);
        self.unstored += usize::from(!was_unstored);
        Ok(given_up)
    }

    fn grew(&mut self, segments: u64, bytes: u64, committed: UnixMillis) {
        self.segments += segments;
        self.bytes += bytes;
        if segments > 0 {
            self.oldest.get_or_insert(committed);
        }
    }

    /// Notes that the log has grown; folds if that is due. In the transaction in which it has.
    pub fn commit(
        &mut self,
        sql: &impl Sql,
        end: u64,
        (segments, bytes): (u64, u64),
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        self.end = end;
        self.grew(segments, bytes, now);
        let is_full = self.segments >= MAX_SEGMENTS
            || self.bytes >= MAX_BYTES
            || self.unstored >= MAX_PRODUCERS;
        if is_full || self.fold_is_due(now) {
            self.fold(sql, now)?;
        }
        if self.producers.len() > 2 * MAX_PRODUCERS {
            self.producers.retain(|_, entry| entry.is_unstored);
        }
        Ok(())
    }

    fn fold_due(&self) -> Option<UnixMillis> {
        self.oldest.map(|oldest| oldest.plus_secs(GRACE_SECS))
    }

    fn fold_is_due(&self, now: UnixMillis) -> bool {
        self.fold_due().is_some_and(|due| due <= now)
    }

    /// Brings the rows of producers up to date, and notices the holes that they leave.
    fn fold(&mut self, sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
        for (producer, entry) in &mut self.producers {
            if !entry.is_unstored {
                continue;
            }
            entry.remembered.notice(now);
            if let Some(shelf) = entry.remembered.shelve() {
                producers::put_shelf(sql, *producer, &shelf)?;
            }
            producers::put(sql, *producer, &entry.remembered)?;
            entry.is_unstored = false;
            let gap_due = entry.remembered.gap_due();
            self.next_gap = [self.next_gap, gap_due].into_iter().flatten().min();
        }
        let folded = producers::folded(sql)?;
        self.sweep_at = if folded.sweep_at == UnixMillis(0) {
            now.plus_secs(SWEEP_SECS)
        } else {
            folded.sweep_at
        };
        producers::put_folded(
            sql,
            &Folded {
                next_index: self.end,
                sweep_at: self.sweep_at,
                swept: folded.swept,
            },
        )?;
        (self.unstored, self.segments, self.bytes, self.oldest) = (0, 0, 0, None);
        Ok(())
    }

    /// Stores what is remembered of `producer`, at once.
    pub fn store(&mut self, sql: &impl Sql, producer: ProducerId) -> Result<(), SqlError> {
        let remembered = self.of(sql, producer)?;
        producers::put(sql, producer, remembered)?;
        // It stays to be folded if it was: only a fold says that nothing is left.
        Ok(())
    }

    /// Looks again when the next gaps are due.
    pub fn look_for_gaps(&mut self, sql: &impl Sql) -> Result<(), SqlError> {
        self.next_gap = producers::next_gap(sql)?;
        Ok(())
    }

    /// Looks for producers that have been silent for long, at so many of them, and forgets most of what is remembered of
    /// those; also where events are that are as old.
    pub fn sweep(&mut self, sql: &impl Sql, limit: u64, now: UnixMillis) -> Result<(), SqlError> {
        if self.sweep_at == UnixMillis(0) || self.sweep_at > now {
            return Ok(());
        }
        // What is as old cannot come again: it would be too old by itself.
        let before = UnixMillis(now.0.saturating_sub(SILENCE_SECS * 1000));
        let removed = producers::remove_shelves(sql, before, limit)?;
        let folded = producers::folded(sql)?;
        let found = producers::behind(sql, folded.swept, limit)?;
        let is_last = (found.len() as u64) < limit && removed < limit;
        let last = found.last().map(|(producer, _)| *producer);
        for (producer, mut remembered) in found {
            let is_unstored = self
                .producers
                .get(&producer)
                .is_some_and(|entry| entry.is_unstored);
            if is_unstored || !remembered.may_be_forgotten(now) {
                continue;
            }
            remembered.forget();
            producers::put(sql, producer, &remembered)?;
            self.producers.remove(&producer);
        }
        self.sweep_at = if is_last {
            now.plus_secs(SWEEP_SECS)
        } else {
            now
        };
        producers::put_folded(
            sql,
            &Folded {
                sweep_at: self.sweep_at,
                swept: last.or(folded.swept).filter(|_| !is_last),
                ..folded
            },
        )
    }

    /// When there is something to do that no commit does: a fold, gaps, or forgetting.
    pub fn next_work(&self) -> Option<UnixMillis> {
        let sweep = (self.sweep_at != UnixMillis(0)).then_some(self.sweep_at);
        [self.fold_due(), self.next_gap, sweep]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
impl Memory {
    /// How many producers it has something of.
    pub fn producers_kept(&self) -> usize {
        self.producers.len()
    }

    /// That another knows the same, which may know nothing of producers that it has no need of.
    pub fn assert_same(&self, other: &Self, sql: &impl Sql) {
        let counters = |memory: &Self| {
            (
                memory.end,
                memory.unstored,
                memory.segments,
                memory.bytes,
                memory.oldest,
                memory.next_gap,
                memory.sweep_at,
            )
        };
        assert_eq!(counters(self), counters(other));
        for (producer, entry) in &self.producers {
            let stored = Entry {
                remembered: producers::remembered(sql, *producer).expect("reads"),
                is_unstored: false,
            };
            let there = other.producers.get(producer).unwrap_or(&stored);
            assert_eq!(entry, there, "{producer}");
        }
        assert!(
            other
                .producers
                .keys()
                .all(|producer| self.producers.contains_key(producer))
        );
    }
}
