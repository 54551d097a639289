//! A bounded number of things by name in an isolate's memory.

use std::collections::HashMap;

/// What was kept, by name.
pub struct Kept<T> {
    most: usize,
    used: HashMap<String, Used<T>>,
}

struct Used<T> {
    /// Counts uses: a clock may stand still meanwhile.
    turn: u64,
    value: T,
}

impl<T> Kept<T> {
    /// Nothing yet, and never more than `most`.
    pub fn at_most(most: usize) -> Self {
        let used = HashMap::new();
        Self { most, used }
    }

    /// What is kept by that name, or else what `new` makes, for which the one that was not used for
    /// longest goes if there are too many.
    pub fn entry(&mut self, name: &str, new: impl FnOnce() -> T) -> &mut T {
        let all = &mut self.used;
        let last = all.values().map(|used| used.turn).max();
        let turn = last.map_or(0, |last| last.saturating_add(1));
        if all.len() >= self.most && !all.contains_key(name) {
            let oldest = all.iter().min_by_key(|(_, used)| used.turn);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                all.remove(&oldest);
            }
        }
        let entry = all.entry(name.to_owned());
        let used = entry.or_insert_with(|| Used { turn, value: new() });
        used.turn = turn;
        &mut used.value
    }

    /// How many are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_only_the_one_that_was_not_used_for_longest_goes() {
        let mut kept: Kept<usize> = Kept::at_most(100);
        for n in 0..100 {
            kept.entry(&n.to_string(), || n);
        }
        kept.entry("0", || 1000);
        kept.entry("one more", || 1001);
        assert_eq!(kept.len(), 100);
        let mut was_kept = |n: usize| *kept.entry(&n.to_string(), || 2000) == n;
        assert!(was_kept(0) && was_kept(2) && was_kept(99));
        assert!(!was_kept(1));
    }
}
