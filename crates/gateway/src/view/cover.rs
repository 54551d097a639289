//! What an entry of the feed covers, in eight bytes.
//!
//! Seconds, rounded so that more is covered and for longer. The highest value of either says "whatever was
//! issued" and "until another one says otherwise".

use portcullis_core::feed::Entry;
use portcullis_core::time::UnixMillis;

/// What is covered, and how long that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// What was issued up to then, in seconds; [`u32::MAX`] for whatever was issued.
    pub issued_until_secs: u32,
    /// From then on there is nothing left to cover, in seconds; [`u32::MAX`] for never.
    pub ends_at_secs: u32,
}

impl Cover {
    /// Of somebody who may not come at all.
    const BARRED: Self = Self {
        issued_until_secs: u32::MAX,
        ends_at_secs: u32::MAX,
    };

    /// What `entry` covers.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        Self {
            issued_until_secs: entry.issued_until.map_or(u32::MAX, rounded_up),
            ends_at_secs: entry.ends_at.map_or(u32::MAX, rounded_up),
        }
    }

    /// Whether it covers what was issued then.
    #[must_use]
    pub fn covers(self, issued_at: UnixMillis) -> bool {
        self.issued_until_secs == u32::MAX || issued_at.secs() <= self.issued_until_secs.into()
    }

    /// Whether it covers nothing any more.
    #[must_use]
    pub fn has_ended(self, now: UnixMillis) -> bool {
        self.ends_at_secs != u32::MAX && u64::from(self.ends_at_secs) <= now.secs()
    }

    /// What is covered once `news` came after this one. Only who was barred and is let in again is covered
    /// by less than before. Nothing else takes anything back, be it repeated, or of another whose
    /// fingerprint is the same.
    #[must_use]
    pub fn followed_by(self, news: Self) -> Self {
        if self == Self::BARRED && news.issued_until_secs != u32::MAX {
            return news;
        }
        Self {
            issued_until_secs: self.issued_until_secs.max(news.issued_until_secs),
            ends_at_secs: self.ends_at_secs.max(news.ends_at_secs),
        }
    }
}

fn rounded_up(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_ceil(1000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::feed::Target;
    use proptest::prelude::*;

    fn entry(issued_until: Option<u64>, ends_at: Option<u64>) -> Entry {
        Entry {
            target: Target::Client("c".to_owned()),
            issued_until: issued_until.map(UnixMillis),
            ends_at: ends_at.map(UnixMillis),
            version: 0,
        }
    }

    proptest! {
        #[test]
        fn it_covers_whatever_the_entry_covers_and_for_as_long(
            until in prop::option::of(prop_oneof![0u64..10_000_000, any::<u64>()]),
            ends in prop::option::of(prop_oneof![0u64..10_000_000, any::<u64>()]),
            at in prop_oneof![0u64..10_000_000, any::<u64>()],
        ) {
            let (entry, at) = (entry(until, ends), UnixMillis(at));
            let cover = Cover::of(&entry);
            let covered = entry.issued_until.is_none_or(|until| at <= until);
            prop_assert!(!covered || cover.covers(at));
            prop_assert!(entry.has_ended(at) || !cover.has_ended(at));
            // And not much more: by its second.
            let later = UnixMillis(at.0.saturating_sub(1000));
            let by_a_second = entry.issued_until.is_none_or(|until| later <= until);
            prop_assert!(!cover.covers(at) || by_a_second || until.is_some_and(|until| until > 1 << 42));
        }

        #[test]
        fn only_who_was_barred_can_be_covered_by_less(
            a in prop::option::of(0u64..9000), b in prop::option::of(0u64..9000),
            c in prop::option::of(0u64..9000), d in prop::option::of(0u64..9000),
            at in 0u64..12_000,
        ) {
            let (before, news) = (Cover::of(&entry(a, b)), Cover::of(&entry(c, d)));
            let after = before.followed_by(news);
            let at = UnixMillis(at);
            prop_assert!(!news.covers(at) || after.covers(at));
            prop_assert!(news.has_ended(at) || !after.has_ended(at));
            if before != Cover::BARRED {
                prop_assert!(!before.covers(at) || after.covers(at));
                prop_assert!(before.has_ended(at) || !after.has_ended(at));
            }
        }
    }

    #[test]
    fn who_is_let_in_again_is_covered_up_to_then() {
        let lifted = Cover::of(&entry(Some(5000), Some(9000)));
        assert_eq!(Cover::of(&entry(None, None)), Cover::BARRED);
        assert_eq!(Cover::BARRED.followed_by(lifted), lifted);
        assert_eq!(lifted.followed_by(Cover::BARRED), Cover::BARRED);
    }
}
