//! What a lane remembers of a producer, so that each of its events is in the log once.
//!
//! - Which sequences are in the log, as [`Ranges`]: for good.
//! - Where they are: so that a duplicate gets its index, and can be compared. Of more than [`MAX_RUNS`] runs of lines the
//!   oldest are put on a [`Shelf`], which is stored by itself and read when something comes again that is there.
//! - Which holes are to be logged as gaps, and which were.
//! - The latest [`MAX_CONFLICTS`] conflicts, so that one that comes again is not logged again.
//!
//! A producer may leave [`MAX_HOLES`] holes. With more the oldest is given up: it counts as known from then on, so
//! what comes late for it is set aside. Out of scope: which lines are where, and when any of this is stored.
//!
//! Stored form: the ranges, and [`Notes`] with the rest, each in the [`wire`] envelope.

use super::places::{Places, Shelf, StoredRun};
use super::ranges::Ranges;
use crate::time::UnixMillis;
use crate::wire::{self, Malformed};
use serde::{Deserialize, Serialize};

/// The most runs of a producer that are stored with it.
pub const MAX_RUNS: usize = 1024;
/// How many of the latest stay there when older ones are put aside.
const RUNS_KEPT: usize = 256;
/// The most holes that a producer may leave.
pub const MAX_HOLES: usize = 1000;
/// The most conflicts of a producer that are remembered.
pub const MAX_CONFLICTS: usize = 16;
/// The most gaps of a producer that are told at once.
pub const MAX_TOLD: usize = 100;
/// How long a hole may be filled before it is logged as a gap, in seconds.
pub const GRACE_SECS: u64 = 3600;
/// How far back deduplication reaches, in seconds: over what queues keep (14 days) and what is replayed.
pub const WINDOW_SECS: u64 = 30 * 24 * 3600;
/// For how long a producer is silent before only its ranges are kept, in seconds: longer than the window, so that
/// what could be compared with what was forgotten is too old by itself.
pub const SILENCE_SECS: u64 = 35 * 24 * 3600;

/// Sequences that follow each other in the log, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The sequence of the first.
    pub first_sequence: u64,
    /// How many.
    pub count: u64,
    /// The index of the first.
    pub first_index: u64,
}

impl Run {
    const fn end_index(&self) -> u64 {
        self.first_index.saturating_add(self.count)
    }
}

/// The beginning of a hash of what came.
pub type Fingerprint = [u8; 8];

/// What is remembered besides ranges, as it is stored.
#[derive(Serialize, Deserialize)]
struct Notes {
    /// (first sequence, count, first index), in the order of the log.
    runs: Vec<StoredRun>,
    /// Holes that were logged as gaps.
    told: Vec<(u64, u64)>,
    /// Holes that will be, if they are still there.
    noticed: Vec<(u64, u64)>,
    /// First sequence and content, the oldest first.
    conflicts: Vec<(u64, Fingerprint)>,
}

/// What a lane remembers of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    known: Ranges,
    runs: Places,
    told: Ranges,
    noticed: Vec<(u64, u64)>,
    gap_due: Option<UnixMillis>,
    conflicts: Vec<(u64, Fingerprint)>,
    seen: UnixMillis,
}

/// How it is stored, a field for each column.
pub struct Stored {
    /// The ranges.
    pub ranges: Vec<u8>,
    /// The rest; `None` where there is none.
    pub notes: Option<Vec<u8>>,
    /// See [`Remembered::seen`].
    pub seen: UnixMillis,
    /// See [`Remembered::gap_due`].
    pub gap_due: Option<UnixMillis>,
}

impl TryFrom<Stored> for Remembered {
    type Error = Malformed;

    fn try_from(stored: Stored) -> Result<Self, Malformed> {
        let ranges = |ranges| Ranges::from_stored(ranges).ok_or(Malformed);
        let mut remembered = Self {
            known: ranges(wire::decode(&stored.ranges)?)?,
            seen: stored.seen,
            gap_due: stored.gap_due,
            ..Self::nothing()
        };
        if let Some(notes) = stored.notes {
            let notes: Notes = wire::decode(&notes)?;
            remembered.runs = Places::from_stored(notes.runs);
            remembered.told = ranges(notes.told)?;
            remembered.noticed = notes.noticed;
            remembered.conflicts = notes.conflicts;
        }
        Ok(remembered)
    }
}

impl Remembered {
    /// Of a producer of which nothing came.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            known: Ranges::none(),
            runs: Places::none(),
            told: Ranges::none(),
            noticed: Vec::new(),
            gap_due: None,
            conflicts: Vec::new(),
            seen: UnixMillis(0),
        }
    }

    /// As it is stored.
    pub fn to_stored(&self) -> Result<Stored, Malformed> {
        let notes = Notes {
            runs: self.runs.to_stored(),
            told: self.told.as_slice().to_vec(),
            noticed: self.noticed.clone(),
            conflicts: self.conflicts.clone(),
        };
        let has_notes = !(notes.runs.is_empty()
            && notes.told.is_empty()
            && self.noticed.is_empty()
            && self.conflicts.is_empty());
        Ok(Stored {
            ranges: wire::encode(&self.known.as_slice())?,
            notes: has_notes.then(|| wire::encode(&notes)).transpose()?,
            seen: self.seen,
            gap_due: self.gap_due,
        })
    }

    /// The latest instant at which something of it was committed, or occurred by its own clock if that is ahead.
    #[must_use]
    pub const fn seen(&self) -> UnixMillis {
        self.seen
    }

    /// When [`Self::tell`] has something to do.
    #[must_use]
    pub const fn gap_due(&self) -> Option<UnixMillis> {
        self.gap_due
    }

    /// The sequence behind the last that is known.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.known.last().map_or(1, |last| last.saturating_add(1))
    }

    /// From `from` on, which sequences up to `last` are all in the log or all not: whether they are, and the last of them.
    #[must_use]
    pub fn stretch(&self, from: u64, last: u64) -> (bool, u64) {
        self.known.stretch(from, last)
    }

    /// Where `sequence` is, and how many follow it there with itself; `None` if no run says so that is not put aside.
    #[must_use]
    pub fn place(&self, sequence: u64) -> Option<(u64, u64)> {
        self.runs.place(sequence)
    }

    /// Puts the oldest runs aside where there are too many.
    pub fn shelve(&mut self) -> Option<Shelf> {
        let runs = self.runs.as_slice().len();
        if runs <= MAX_RUNS {
            return None;
        }
        Shelf::of(self.runs.take_first(runs - RUNS_KEPT), self.seen)
    }

    /// Notes that a run is in the log, behind all others. What was noted before may be noted again, in the same order,
    /// and changes nothing. Gives back a hole that is given up for it, and that must be logged now.
    pub fn take(&mut self, run: Run, seen: UnixMillis) -> Option<(u64, u64)> {
        let last = run.first_sequence.saturating_add(run.count.checked_sub(1)?);
        match self.runs.last_mut() {
            Some(before) if run.first_index < before.end_index() => return None,
            Some(before)
                if before.end_index() == run.first_index
                    && before.first_sequence.saturating_add(before.count) == run.first_sequence =>
            {
                before.count += run.count;
            }
            _ => self.runs.push(run),
        }
        self.seen = self.seen.max(seen);
        self.known.insert(run.first_sequence, last);
        self.give_up()
    }

    fn give_up(&mut self) -> Option<(u64, u64)> {
        if self.known.as_slice().len() <= MAX_HOLES {
            return None;
        }
        let hole = self.known.holes().next()?;
        self.known.insert(hole.0, hole.1);
        // A hole was logged whole or not at all: it only ever gets smaller.
        (!self.told.contains(hole.0)).then_some(hole)
    }

    /// Notes that what came for `sequence` on is not what the log has; says whether that is news.
    pub fn conflict_is_new(&mut self, sequence: u64, came: Fingerprint) -> bool {
        let conflict = (sequence, came);
        if self.conflicts.contains(&conflict) {
            return false;
        }
        if self.conflicts.len() >= MAX_CONFLICTS {
            self.conflicts.remove(0);
        }
        self.conflicts.push(conflict);
        true
    }

    /// Notices holes, unless some wait to be logged already.
    pub fn notice(&mut self, now: UnixMillis) {
        if self.gap_due.is_some() {
            return;
        }
        let untold = self.known.holes();
        self.noticed = untold
            .filter(|(first, _)| !self.told.contains(*first))
            .collect();
        self.gap_due = (!self.noticed.is_empty()).then(|| now.plus_secs(GRACE_SECS));
    }

    /// The gaps to log now that it is due: what was noticed and is still missing, each once. Bounded: what is left is
    /// due at once. When nothing is left it notices what is new.
    pub fn tell(&mut self, now: UnixMillis) -> Vec<(u64, u64)> {
        let holes: Vec<_> = self.known.holes().collect();
        // Of what was logged only what is still missing need be known.
        let mut told = Ranges::none();
        let mut telling = Vec::new();
        let mut left = Vec::new();
        for (first, last) in holes {
            if self.told.contains(first) {
                told.insert(first, last);
                continue;
            }
            let was_noticed = self
                .noticed
                .iter()
                .any(|noticed| (noticed.0..=noticed.1).contains(&first));
            if !was_noticed {
                continue;
            }
            if telling.len() < MAX_TOLD {
                told.insert(first, last);
                telling.push((first, last));
            } else {
                left.push((first, last));
            }
        }
        self.told = told;
        self.noticed = left;
        if self.noticed.is_empty() {
            self.gap_due = None;
            self.notice(now);
        }
        telling
    }

    /// Whether [`Self::forget`] may be called, and there is something to forget.
    #[must_use]
    pub fn may_be_forgotten(&self, now: UnixMillis) -> bool {
        let has_details = !self.runs.as_slice().is_empty()
            || !self.conflicts.is_empty()
            || !self.told.as_slice().is_empty()
            || self.known.holes().next().is_some();
        has_details && self.gap_due.is_none() && self.seen.plus_secs(SILENCE_SECS) < now
    }

    /// Forgets all but the last sequence: whatever comes up to there is too old. So a producer that comes back after
    /// a long time goes on, and what it sent long ago is no gap.
    pub fn forget(&mut self) {
        let seen = self.seen;
        let mut known = Ranges::none();
        if let Some(last) = self.known.last() {
            known.insert(1, last);
        }
        *self = Self {
            known,
            seen,
            ..Self::nothing()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(first_sequence: u64, count: u64, first_index: u64) -> Run {
        Run {
            first_sequence,
            count,
            first_index,
        }
    }

    fn of(runs: &[Run]) -> Remembered {
        let mut remembered = Remembered::nothing();
        for each in runs {
            assert_eq!(remembered.take(*each, UnixMillis(1)), None);
        }
        remembered
    }

    #[test]
    fn golden_bytes() {
        let mut remembered = of(&[run(2, 3, 7), run(5, 1, 10), run(9, 1, 20)]);
        remembered.notice(UnixMillis(4));
        assert!(remembered.conflict_is_new(3, [9; 8]));
        let stored = remembered.to_stored().expect("encodes");
        assert_eq!(stored.ranges, [1, 2, 2, 5, 9, 9]);
        let mut notes = vec![1, 2, 2, 4, 7, 9, 1, 20, 0, 2, 1, 1, 6, 8, 1, 3];
        notes.extend([9; 8]);
        assert_eq!(stored.notes, Some(notes));
        assert_eq!(stored.gap_due, Some(UnixMillis(4 + 3_600_000)));
        assert_eq!(Remembered::try_from(stored), Ok(remembered));
    }

    #[test]
    fn what_was_stored_before_there_were_notes_is_read() {
        let stored = Stored {
            ranges: vec![1, 1, 1, 4],
            notes: None,
            seen: UnixMillis(3),
            gap_due: None,
        };
        let remembered = Remembered::try_from(stored).expect("reads");
        assert_eq!(remembered.stretch(1, 9), (true, 4));
        assert_eq!(remembered.place(2), None);
        assert_eq!(remembered.to_stored().expect("encodes").notes, None);
    }

    #[test]
    fn runs_that_follow_each_other_in_both_are_one_and_the_oldest_of_too_many_are_put_aside() {
        let mut remembered = of(&[run(1, 2, 10), run(3, 4, 12), run(7, 1, 17)]);
        assert_eq!(remembered.place(2), Some((11, 5)));
        assert_eq!(remembered.place(7), Some((17, 1)));
        assert_eq!(remembered.place(8), None);
        for n in 0..MAX_RUNS as u64 - 2 {
            remembered.take(run(100 + n * 2, 1, 100 + n), UnixMillis(n));
        }
        assert_eq!(remembered.shelve(), None);
        remembered.take(run(9, 1, 5000), UnixMillis(5000));
        let shelf = remembered.shelve().expect("too many");
        assert_eq!(remembered.place(2), None);
        assert_eq!(shelf.places.place(2), Some((11, 5)));
        assert_eq!(
            shelf.sequences,
            (1, 100 + 2 * (MAX_RUNS - RUNS_KEPT - 2) as u64)
        );
        assert_eq!(shelf.seen, UnixMillis(5000));
        assert_eq!(remembered.place(9), Some((5000, 1)));
        assert_eq!(remembered.runs.as_slice().len(), RUNS_KEPT);
        assert_eq!(shelf.places.as_slice().len(), MAX_RUNS + 1 - RUNS_KEPT);
        assert_eq!(remembered.stretch(1, 7), (true, 7));
        assert_eq!(remembered.shelve(), None);
    }

    #[test]
    fn a_gap_is_told_once_whole_or_what_is_left_of_it() {
        let mut remembered = of(&[run(5, 1, 0), run(9, 1, 1)]);
        remembered.notice(UnixMillis(0));
        remembered.take(run(7, 1, 2), UnixMillis(1));
        remembered.take(run(20, 1, 3), UnixMillis(1));
        let due = remembered.gap_due().expect("a time");
        // What came behind a hole late splits it; what was noticed later is told later.
        assert_eq!(remembered.tell(due), [(1, 4), (6, 6), (8, 8)]);
        assert_eq!(remembered.gap_due(), Some(due.plus_secs(GRACE_SECS)));
        remembered.take(run(2, 1, 4), UnixMillis(1));
        assert_eq!(remembered.tell(due.plus_secs(GRACE_SECS)), [(10, 19)]);
        assert_eq!(remembered.gap_due(), None);
        remembered.notice(due);
        assert_eq!(remembered.gap_due(), None);
    }

    #[test]
    fn many_gaps_are_told_a_part_at_a_time() {
        let runs: Vec<_> = (1..=250).map(|n| run(n * 2, 1, n)).collect();
        let mut remembered = of(&runs);
        remembered.notice(UnixMillis(0));
        let due = remembered.gap_due().expect("a time");
        let mut told = Vec::new();
        for times in [100, 100, 50] {
            let telling = remembered.tell(due);
            assert_eq!(telling.len(), times);
            told.extend(telling);
        }
        let holes: Vec<_> = (1..=250).map(|n| (n * 2 - 1, n * 2 - 1)).collect();
        assert_eq!(told, holes);
        assert_eq!(remembered.gap_due(), None);
    }

    #[test]
    fn the_oldest_hole_is_given_up_when_there_are_too_many() {
        let most = MAX_HOLES as u64;
        let mut remembered = Remembered::nothing();
        for n in 1..=most {
            assert_eq!(remembered.take(run(n * 3, 1, n), UnixMillis(1)), None);
        }
        let given_up = remembered.take(run(most * 3 + 3, 1, most + 1), UnixMillis(1));
        assert_eq!(given_up, Some((1, 2)));
        assert_eq!(remembered.stretch(1, 3), (true, 3));
        assert_eq!(remembered.place(1), None);
    }

    #[test]
    fn conflicts_are_news_once_and_the_latest_are_remembered() {
        let mut remembered = Remembered::nothing();
        assert!(remembered.conflict_is_new(1, [1; 8]));
        assert!(!remembered.conflict_is_new(1, [1; 8]));
        assert!(remembered.conflict_is_new(1, [2; 8]));
        for n in 0..MAX_CONFLICTS as u64 {
            assert!(remembered.conflict_is_new(100 + n, [1; 8]));
        }
        assert!(remembered.conflict_is_new(1, [1; 8]));
    }

    #[test]
    fn who_was_silent_long_enough_goes_on_where_it_was() {
        let mut remembered = of(&[run(1, 2, 0), run(5, 1, 2)]);
        let now = UnixMillis(2).plus_secs(SILENCE_SECS);
        assert!(remembered.may_be_forgotten(now));
        assert!(!remembered.may_be_forgotten(UnixMillis(1).plus_secs(SILENCE_SECS)));
        remembered.forget();
        assert_eq!(remembered.stretch(1, 9), (true, 5));
        assert_eq!(remembered.to_stored().expect("encodes").notes, None);
        remembered.take(run(6, 1, 9), now);
        remembered.notice(now);
        assert_eq!(remembered.gap_due(), None);
    }

    proptest! {
        #[test]
        fn what_was_noted_may_be_noted_again_and_is_read_back(
            runs in prop::collection::vec((1u64..40, 1u64..5, 0u64..3), 1..30),
            stored_after in 0usize..30,
        ) {
            let mut index = 0;
            let mut whole = Remembered::nothing();
            let mut placed = Vec::new();
            let mut stored = whole.clone();
            for (at, (first, count, skipped)) in runs.into_iter().enumerate() {
                index += skipped;
                let run = run(first, count, index);
                index += count;
                placed.push(run);
                whole.take(run, UnixMillis(index));
                if at == stored_after {
                    stored = Remembered::try_from(whole.to_stored().unwrap()).unwrap();
                }
            }
            for run in placed {
                let seen = UnixMillis(run.end_index());
                stored.take(run, seen);
            }
            prop_assert_eq!(stored, whole);
        }
    }
}
