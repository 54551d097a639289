//! Which sequences of a producer a lane has: sorted, disjoint, non-adjacent ranges.
//!
//! A producer that numbers without gaps costs one range, however many events it sent.

/// A set of sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Takes back ranges that were stored; `None` if they are not sorted, disjoint and non-empty.
    #[must_use]
    pub fn from_stored(ranges: Vec<(u64, u64)>) -> Option<Self> {
        let each = ranges.iter().all(|(first, last)| first <= last);
        let sorted = ranges
            .iter()
            .zip(ranges.iter().skip(1))
            .all(|((_, last), (next, _))| last.saturating_add(1) < *next);
        (each && sorted).then_some(Self(ranges))
    }

    /// The ranges as (first, last), ascending.
    #[must_use]
    pub fn as_slice(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// Whether `sequence` is in.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= sequence);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .is_some_and(|(_, last)| sequence <= *last)
    }

    /// Puts `sequence` in; says whether it was new.
    pub fn insert(&mut self, sequence: u64) -> bool {
        if self.contains(sequence) {
            return false;
        }
        let at = self.0.partition_point(|(first, _)| *first < sequence);
        let before = at.checked_sub(1).and_then(|before| self.0.get_mut(before));
        let joins_before = match before {
            Some((_, last)) if last.saturating_add(1) == sequence => {
                *last = sequence;
                true
            }
            _ => false,
        };
        let joins_after = self
            .0
            .get(at)
            .is_some_and(|(first, _)| sequence.saturating_add(1) == *first);
        match (joins_before, joins_after) {
            (true, true) => {
                let (_, last) = self.0.remove(at);
                if let Some(joined) = self.0.get_mut(at - 1) {
                    joined.1 = last;
                }
            }
            (true, false) => {}
            (false, true) => {
                if let Some(after) = self.0.get_mut(at) {
                    after.0 = sequence;
                }
            }
            (false, false) => self.0.insert(at, (sequence, sequence)),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set_and_stays_minimal(sequences in prop::collection::vec(1u64..60, 0..80)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for sequence in sequences {
                prop_assert_eq!(ranges.insert(sequence), set.insert(sequence));
                prop_assert!(Ranges::from_stored(ranges.as_slice().to_vec()).is_some());
            }
            for sequence in 0..70 {
                prop_assert_eq!(ranges.contains(sequence), set.contains(&sequence));
            }
        }
    }

    #[test]
    fn disordered_overlapping_or_inverted_ranges_are_not_taken_back() {
        for bad in [
            vec![(2, 1)],
            vec![(1, 3), (3, 4)],
            vec![(1, 1), (2, 2)],
            vec![(5, 6), (1, 2)],
        ] {
            assert_eq!(Ranges::from_stored(bad), None);
        }
    }
}
