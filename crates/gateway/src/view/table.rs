//! Up to two million covers by fingerprint, in little memory that grows in small steps.
//!
//! A hash table with chains, which grows by linear hashing: each new entry may split one bucket in two, so
//! no insertion does more than that, nothing is ever moved as a whole, and at most [`PER_BUCKET`] entries
//! share a bucket on average. An entry takes 20 bytes and its share of a bucket two: a million are
//! 22 MB, also while they become a million. What ended is taken out a few buckets at a time.

use super::chunks::Chunks;
use super::cover::Cover;
use super::seed::Fingerprint;
use portcullis_core::time::UnixMillis;
use std::fmt;

/// How many entries share a bucket, on average, before there is another.
const PER_BUCKET: u32 = 2;
/// How many buckets there are at first.
const FIRST_BUCKETS: u32 = 64;
/// The most entries: 44 MB.
pub const MAX_ENTRIES: u32 = 2_000_000;
/// Says that there is no entry.
const NONE: u32 = u32::MAX;

/// The table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more entries than there is room for")
    }
}

impl std::error::Error for Full {}

/// An entry: the fingerprint's halves, the cover's, and the place of the next in its bucket.
#[derive(Clone, Copy, Debug)]
struct Slot {
    fingerprint: [u32; 2],
    cover: Cover,
    next: u32,
}

impl Slot {
    const EMPTY: Self = Self {
        fingerprint: [0; 2],
        cover: Cover {
            issued_until_secs: 0,
            ends_at_secs: 0,
        },
        next: NONE,
    };
}

/// The table.
#[derive(Debug)]
pub struct Table {
    /// The place of each bucket's first entry.
    heads: Chunks<u32>,
    slots: Chunks<Slot>,
    buckets: u32,
    /// How many slots have ever been used.
    used: u32,
    /// The first of those that are free again, chained.
    free: u32,
    len: u32,
    /// The bucket that is swept next.
    swept: u32,
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            heads: Chunks::new(NONE),
            slots: Chunks::new(Slot::EMPTY),
            buckets: FIRST_BUCKETS,
            used: 0,
            free: NONE,
            len: 0,
            swept: 0,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory that it has, in bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.heads.allocated_bytes() + self.slots.allocated_bytes()
    }

    /// What covers the thing of that fingerprint.
    #[must_use]
    pub fn get(&self, key: Fingerprint) -> Option<Cover> {
        self.find(key).map(|(_, slot)| slot.cover)
    }

    /// Takes in what covers the thing from now on, [after](Cover::followed_by) what did.
    pub fn put(&mut self, key: Fingerprint, cover: Cover) -> Result<(), Full> {
        if let Some((at, slot)) = self.find(key) {
            let cover = slot.cover.followed_by(cover);
            self.slots.set(at, Slot { cover, ..slot });
            return Ok(());
        }
        if self.len >= MAX_ENTRIES {
            return Err(Full);
        }
        if self.len >= self.buckets * PER_BUCKET {
            self.split();
        }
        let at = self.take_slot();
        let slot = Slot {
            fingerprint: halves(key),
            cover,
            next: NONE,
        };
        self.link(self.bucket_of(key), at, slot);
        self.len += 1;
        Ok(())
    }

    /// Takes out what has ended, of the next so many buckets.
    pub fn sweep(&mut self, buckets: u32, now: UnixMillis) {
        for _ in 0..buckets.min(self.buckets) {
            let bucket = self.swept;
            self.swept = (bucket + 1) % self.buckets;
            let mut at = self.heads.get(bucket);
            self.heads.set(bucket, NONE);
            while at != NONE {
                let slot = self.slots.get(at);
                if slot.cover.has_ended(now) {
                    self.give_back(at);
                } else {
                    self.link(bucket, at, slot);
                }
                at = slot.next;
            }
        }
    }

    /// Takes out everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.heads.clear();
        (self.used, self.free, self.len, self.swept) = (0, NONE, 0, 0);
    }

    fn find(&self, key: Fingerprint) -> Option<(u32, Slot)> {
        let wanted = halves(key);
        let mut at = self.heads.get(self.bucket_of(key));
        while at != NONE {
            let slot = self.slots.get(at);
            if slot.fingerprint == wanted {
                return Some((at, slot));
            }
            at = slot.next;
        }
        None
    }

    /// By as many low bits as there are buckets for; by one less where that bucket has not been split off.
    const fn bucket_of(&self, key: Fingerprint) -> u32 {
        let [low, _] = halves(key);
        let mask = self.buckets.next_power_of_two() - 1;
        let bucket = low & mask;
        if bucket < self.buckets {
            bucket
        } else {
            bucket & (mask >> 1)
        }
    }

    /// Adds a bucket, and shares with it what is in the one that stood for it so far.
    fn split(&mut self) {
        let added = self.buckets;
        let from = added & !(1 << added.ilog2());
        self.buckets += 1;
        let mut at = self.heads.get(from);
        self.heads.set(from, NONE);
        self.heads.set(added, NONE);
        while at != NONE {
            let slot = self.slots.get(at);
            let bucket = self.bucket_of(whole(slot.fingerprint));
            self.link(bucket, at, slot);
            at = slot.next;
        }
    }

    fn link(&mut self, bucket: u32, at: u32, slot: Slot) {
        let next = self.heads.get(bucket);
        self.slots.set(at, Slot { next, ..slot });
        self.heads.set(bucket, at);
    }

    fn take_slot(&mut self) -> u32 {
        if self.free == NONE {
            self.used += 1;
            return self.used - 1;
        }
        let at = self.free;
        self.free = self.slots.get(at).next;
        at
    }

    fn give_back(&mut self, at: u32) {
        let freed = Slot {
            next: self.free,
            ..Slot::EMPTY
        };
        self.slots.set(at, freed);
        self.free = at;
        self.len -= 1;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what a half is")]
const fn halves(key: Fingerprint) -> [u32; 2] {
    [key.0 as u32, (key.0 >> 32) as u32]
}

const fn whole([low, high]: [u32; 2]) -> Fingerprint {
    Fingerprint(low as u64 | (high as u64) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Numbers that look random, without being so.
    fn scattered(index: u64) -> Fingerprint {
        let mixed = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Fingerprint(mixed ^ (mixed >> 32))
    }

    fn until(secs: u32) -> Cover {
        Cover {
            issued_until_secs: secs,
            ends_at_secs: secs,
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u64, u32, u32),
        Sweep(u32),
        SweepAll(u32),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let secs = || prop_oneof![0u32..20, Just(u32::MAX)];
        // Few buckets and many a collision: low bits are shared.
        let key = prop_oneof![0u64..40, (0u64..2000).prop_map(|high| high << 40)];
        let step = prop_oneof![
            60 => (key, secs(), secs()).prop_map(|(key, until, ends)| Step::Put(key, until, ends)),
            3 => (0u32..20).prop_map(Step::Sweep),
            2 => (0u32..20).prop_map(Step::SweepAll),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 0..400)
    }

    fn at(secs: u32) -> UnixMillis {
        UnixMillis(u64::from(secs) * 1000)
    }

    proptest! {
        #[test]
        fn it_is_a_map_from_which_what_ended_goes(steps in steps()) {
            let (mut table, mut model) = (Table::new(), BTreeMap::<u64, Cover>::new());
            // So few that they are split within the test.
            table.buckets = 1;
            for step in steps {
                match step {
                    Step::Put(key, issued_until_secs, ends_at_secs) => {
                        let cover = Cover { issued_until_secs, ends_at_secs };
                        table.put(Fingerprint(key), cover).expect("room");
                        let known = model.get(&key).map_or(cover, |known| known.followed_by(cover));
                        model.insert(key, known);
                    }
                    Step::Sweep(now) => {
                        table.sweep(3, at(now));
                        model.retain(|key, cover| {
                            table.get(Fingerprint(*key)).is_some() || !cover.has_ended(at(now))
                        });
                    }
                    Step::SweepAll(now) => {
                        table.sweep(u32::MAX, at(now));
                        model.retain(|_, cover| !cover.has_ended(at(now)));
                    }
                    Step::Clear => {
                        table.clear();
                        model.clear();
                    }
                }
                prop_assert_eq!(usize::try_from(table.len()), Ok(model.len()));
            }
            for (key, cover) in &model {
                prop_assert_eq!(table.get(Fingerprint(*key)), Some(*cover));
            }
            for key in (0..40).filter(|key| !model.contains_key(key)) {
                prop_assert_eq!(table.get(Fingerprint(key)), None);
            }
        }
    }

    #[test]
    fn a_million_entries_fit_in_24_mb_and_needed_no_more_on_the_way() {
        let mut table = Table::new();
        for index in 0..1_000_000 {
            table.put(scattered(index), until(1)).expect("room");
        }
        assert_eq!(table.len(), 1_000_000);
        // Nothing is freed as it grows, so this is the most that it ever had.
        let bytes = table.allocated_bytes();
        assert!((20_000_000..=24_000_000).contains(&bytes), "{bytes}");
        for index in (0..1_000_000).step_by(997) {
            assert_eq!(table.get(scattered(index)), Some(until(1)));
        }
        assert_eq!(table.get(scattered(1_000_000)), None);
        assert_eq!(size_of::<Slot>(), 20);
    }

    #[test]
    fn no_bucket_is_long() {
        let mut table = Table::new();
        for index in 0..100_000 {
            table.put(scattered(index), until(1)).expect("room");
        }
        let longest = (0..table.buckets).map(|bucket| {
            let mut at = table.heads.get(bucket);
            let mut length = 0;
            while at != NONE {
                (at, length) = (table.slots.get(at).next, length + 1);
            }
            length
        });
        assert!(longest.max() <= Some(16));
    }

    #[test]
    fn places_are_used_again() {
        let mut table = Table::new();
        for round in 1..=20u32 {
            for index in 0..10_000 {
                let key = scattered(u64::from(round) * 10_000 + index);
                table.put(key, until(round)).expect("room");
            }
            table.sweep(u32::MAX, at(round));
            assert!(table.is_empty());
        }
        assert_eq!(table.used, 10_000);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_there_can_change() {
        let mut table = Table::new();
        table.put(scattered(0), until(1)).expect("room");
        table.len = MAX_ENTRIES;
        assert_eq!(table.put(scattered(1), until(1)), Err(Full));
        assert_eq!(table.put(scattered(0), until(2)), Ok(()));
    }
}
