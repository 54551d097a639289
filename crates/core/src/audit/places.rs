//! Where a producer's older events are in the log: runs of lines that its row has no room for, as they are put aside.
//!
//! Stored form: the [`wire`] envelope of (first sequence, count, first index) for each run, in the order of the log.

use super::remembered::Run;
use crate::time::UnixMillis;
use crate::wire::{self, Malformed};

/// A run as it is stored.
pub(super) type StoredRun = (u64, u64, u64);

/// Runs of one producer, in the order of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(Vec<Run>);

impl Places {
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        &self.0
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Run> {
        self.0.last_mut()
    }

    pub(super) fn push(&mut self, run: Run) {
        self.0.push(run);
    }

    /// The first `count`, which are then no more in it.
    pub(super) fn take_first(&mut self, count: usize) -> Self {
        Self(self.0.drain(..count.min(self.0.len())).collect())
    }

    /// Where `sequence` is, and how many follow it there with itself; the latest place, if there were several.
    #[must_use]
    pub fn place(&self, sequence: u64) -> Option<(u64, u64)> {
        self.0.iter().rev().find_map(|run| {
            let into = sequence.checked_sub(run.first_sequence)?;
            (into < run.count).then(|| (run.first_index.saturating_add(into), run.count - into))
        })
    }

    pub(super) fn to_stored(&self) -> Vec<StoredRun> {
        let stored = |run: &Run| (run.first_sequence, run.count, run.first_index);
        self.0.iter().map(stored).collect()
    }

    pub(super) fn from_stored(stored: Vec<StoredRun>) -> Self {
        let run = |(first_sequence, count, first_index)| Run {
            first_sequence,
            count,
            first_index,
        };
        Self(stored.into_iter().map(run).collect())
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        wire::encode(&self.to_stored())
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        wire::decode(bytes).map(Self::from_stored)
    }
}

/// Runs that were put aside together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The lowest and the highest sequence of them.
    pub sequences: (u64, u64),
    /// When the producer was seen last by then: all of it was before.
    pub seen: UnixMillis,
    /// What is there.
    pub places: Places,
}

impl Shelf {
    /// Of these, unless there are none.
    pub(super) fn of(places: Places, seen: UnixMillis) -> Option<Self> {
        let runs = places.as_slice();
        let last = |run: &Run| {
            run.first_sequence
                .saturating_add(run.count.saturating_sub(1))
        };
        Some(Self {
            sequences: (
                runs.iter().map(|run| run.first_sequence).min()?,
                runs.iter().map(last).max()?,
            ),
            seen,
            places,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let places = Places::from_stored(vec![(2, 3, 7), (5, 1, 300)]);
        let bytes = places.to_bytes().expect("encodes");
        assert_eq!(bytes, [1, 2, 2, 3, 7, 5, 1, 0xac, 2]);
        assert_eq!(Places::from_bytes(&bytes), Ok(places));
    }

    #[test]
    fn a_shelf_says_between_which_sequences_it_has_something() {
        let places = Places::from_stored(vec![(20, 3, 7), (5, 2, 300)]);
        let shelf = Shelf::of(places, UnixMillis(9)).expect("a shelf");
        assert_eq!(shelf.sequences, (5, 22));
        assert_eq!(shelf.places.place(22), Some((9, 1)));
        assert_eq!(shelf.places.place(7), None);
        assert_eq!(Shelf::of(Places::none(), UnixMillis(9)), None);
    }
}
