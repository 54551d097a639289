//! Which sequences of a producer a lane has: sorted, disjoint, non-adjacent ranges.
//!
//! A producer that numbers without gaps costs one range, however many events it sent.

/// A set of sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// No sequence.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

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

    /// From `from` on, which sequences up to `last` are all in or all out: whether they are in, and the last of them.
    #[must_use]
    pub fn stretch(&self, from: u64, last: u64) -> (bool, u64) {
        let after = self.0.partition_point(|(_, end)| *end < from);
        match self.0.get(after) {
            Some((first, end)) if *first <= from => (true, last.min(*end)),
            Some((first, _)) => (false, last.min(first.saturating_sub(1))),
            None => (false, last),
        }
    }

    /// Puts `first ..= last` in, which is not empty.
    pub fn insert(&mut self, first: u64, last: u64) {
        let joined_from = self
            .0
            .partition_point(|(_, end)| end.saturating_add(1) < first);
        let joined_to = self
            .0
            .partition_point(|(start, _)| *start <= last.saturating_add(1));
        let joined = self.0.get(joined_from..joined_to).unwrap_or_default();
        let start = joined.first().map_or(first, |(start, _)| first.min(*start));
        let end = joined.last().map_or(last, |(_, end)| last.max(*end));
        self.0.splice(joined_from..joined_to, [(start, end)]);
    }

    /// The last sequence that is in.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, last)| *last)
    }

    /// What is missing before the last: (first, last), ascending, from 1 on.
    pub fn holes(&self) -> impl Iterator<Item = (u64, u64)> {
        let ends = std::iter::once(0).chain(self.0.iter().map(|(_, last)| *last));
        ends.zip(&self.0)
            .filter(|(end, (first, _))| end.saturating_add(1) < *first)
            .map(|(end, (first, _))| (end + 1, first - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_set_and_stays_minimal(inserted in prop::collection::vec((1u64..60, 0u64..9), 0..40)) {
            let mut ranges = Ranges::default();
            let mut set = BTreeSet::new();
            for (first, more) in inserted {
                ranges.insert(first, first + more);
                set.extend(first..=first + more);
                prop_assert!(Ranges::from_stored(ranges.as_slice().to_vec()).is_some());
            }
            for sequence in 0..70 {
                prop_assert_eq!(ranges.contains(sequence), set.contains(&sequence));
            }
            let last = set.last().copied();
            prop_assert_eq!(ranges.last(), last);
            let holes: Vec<u64> = ranges.holes().flat_map(|(first, last)| first..=last).collect();
            let missing: Vec<u64> = (1..last.unwrap_or(0)).filter(|n| !set.contains(n)).collect();
            prop_assert_eq!(holes, missing);
            // Stretches cover everything in order, each all in or all out, and none could be longer.
            let mut at = 1;
            while at <= 70 {
                let (is_in, end) = ranges.stretch(at, 70);
                prop_assert!((at..=end).all(|n| set.contains(&n) == is_in));
                prop_assert!(end == 70 || set.contains(&(end + 1)) != is_in);
                at = end + 1;
            }
        }
    }

    #[test]
    fn the_largest_sequences_do_not_overflow() {
        let mut ranges = Ranges::default();
        ranges.insert(u64::MAX, u64::MAX);
        ranges.insert(u64::MAX - 1, u64::MAX);
        assert_eq!(ranges.as_slice(), [(u64::MAX - 1, u64::MAX)]);
        assert_eq!(ranges.stretch(u64::MAX, u64::MAX), (true, u64::MAX));
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
