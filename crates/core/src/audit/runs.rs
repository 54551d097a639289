//! Whose events a segment has: the log of what lanes [remember](super::remembered) of producers.
//!
//! The runs of a segment follow each other without gaps, so that their places follow from their counts. Wire form: the
//! [`wire`] envelope of [`SegmentRuns`], beside the segment's lines; a few bytes and the producer's id for each run.

use super::remembered::Run;
use crate::id::ProducerId;
use crate::time::UnixMillis;
use crate::wire::{self, Malformed};
use serde::{Deserialize, Serialize};

/// The runs of one segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRuns {
    /// When the segment was committed.
    committed: UnixMillis,
    runs: Vec<SegmentRun>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SegmentRun {
    producer: ProducerId,
    first_sequence: u64,
    count: u64,
    /// How far the latest `occurred` is ahead of the commit, in milliseconds.
    ahead_ms: u64,
}

impl SegmentRuns {
    /// Of a segment that has no lines yet.
    #[must_use]
    pub const fn new(committed: UnixMillis) -> Self {
        Self {
            committed,
            runs: Vec::new(),
        }
    }

    /// When the segment was committed.
    #[must_use]
    pub const fn committed(&self) -> UnixMillis {
        self.committed
    }

    /// Adds a line behind the others.
    pub fn add(&mut self, producer: ProducerId, sequence: u64, occurred: UnixMillis) {
        let ahead_ms = occurred.0.saturating_sub(self.committed.0);
        match self.runs.last_mut() {
            Some(run)
                if run.producer == producer
                    && run.first_sequence.checked_add(run.count) == Some(sequence) =>
            {
                run.count += 1;
                run.ahead_ms = run.ahead_ms.max(ahead_ms);
            }
            _ => self.runs.push(SegmentRun {
                producer,
                first_sequence: sequence,
                count: 1,
                ahead_ms,
            }),
        }
    }

    /// The runs of the segment that begins at that index, in their order: whose, where, and by when they were seen.
    pub fn of(&self, first_index: u64) -> impl Iterator<Item = (ProducerId, Run, UnixMillis)> {
        let mut next = first_index;
        self.runs.iter().map(move |run| {
            let placed = Run {
                first_sequence: run.first_sequence,
                count: run.count,
                first_index: next,
            };
            next = next.saturating_add(run.count);
            let seen = UnixMillis(self.committed.0.saturating_add(run.ahead_ms));
            (run.producer, placed, seen)
        })
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        wire::encode(self)
    }

    /// Reads what [`Self::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        wire::decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_and_places() {
        let [a, b] = [1, 2].map(|byte| ProducerId::from_bytes([byte; 16]));
        let mut runs = SegmentRuns::new(UnixMillis(5));
        for (producer, sequence, occurred) in
            [(a, 7, 4), (a, 8, 9), (b, 9, 5), (a, 9, 5), (a, 11, 5)]
        {
            runs.add(producer, sequence, UnixMillis(occurred));
        }
        let mut expected = vec![1, 5, 4];
        expected.extend([1; 16]);
        expected.extend([7, 2, 4]);
        expected.extend([2; 16]);
        expected.extend([9, 1, 0]);
        expected.extend([1; 16]);
        expected.extend([9, 1, 0]);
        expected.extend([1; 16]);
        expected.extend([11, 1, 0]);
        assert_eq!(runs.to_bytes(), Ok(expected.clone()));
        assert_eq!(SegmentRuns::from_bytes(&expected), Ok(runs.clone()));
        let places: Vec<_> = runs
            .of(100)
            .map(|(producer, run, seen)| (producer, run.first_sequence, run.first_index, seen.0))
            .collect();
        assert_eq!(
            places,
            [
                (a, 7, 100, 9),
                (b, 9, 102, 5),
                (a, 9, 103, 5),
                (a, 11, 104, 5)
            ]
        );
    }
}
