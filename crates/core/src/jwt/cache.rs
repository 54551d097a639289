//! When to fetch an issuer's keys, and which to use meanwhile.
//!
//! A state machine without a clock or a network. Whoever holds one asks [`KeyCache::plan`], fetches
//! if told to, and reports with [`KeyCache::fetched`] or [`KeyCache::failed`]. Nothing is lent out
//! across the fetch, so requests may interleave there.
//!
//! | keys on hand | age of the last good fetch | told to |
//! |---|---|---|
//! | yes | under [`FRESH_SECS`] | use them |
//! | yes | under [`USABLE_SECS`] | refresh, and use them if that fails; within the cool-down just use them |
//! | no, or older | - | fetch, and fail if that fails; shortly after a failure just fail |
//!
//! A token of an unknown `kid` is a reason to look again, but strangers choose `kid`s: at most one
//! fetch per [`COOL_DOWN_SECS`] whatever they send, and none for a `kid` that was looked for in
//! vain within [`MISSING_SECS`], so that one bad token does not use up a good one's turn.

use super::jwks::KeySet;
use crate::time::UnixMillis;
use std::sync::Arc;

/// How long fetched keys are used without question, in seconds.
pub const FRESH_SECS: u64 = 300;
/// How long fetched keys are used when fetching fails, in seconds.
pub const USABLE_SECS: u64 = 3600;
/// The least time between two fetches while there are keys, in seconds.
pub const COOL_DOWN_SECS: u64 = 10;
/// The least time from a failed fetch to the next while there are no keys, in seconds.
pub const RETRY_SECS: u64 = 1;
/// How long a `kid` that was looked for in vain stays unknown, in seconds.
pub const MISSING_SECS: u64 = 60;
/// How many such `kid`s are remembered; the oldest goes first.
const MAX_MISSING: usize = 64;

/// What to do for keys now.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Use these.
    Use(Arc<KeySet>),
    /// Fetch, and use these if that fails.
    Refresh(Arc<KeySet>),
    /// Fetch; there is nothing else to use.
    Fetch,
    /// There are none, and it is too early to try again.
    Unavailable,
}

/// The keys of one issuer and what is known of fetching them.
#[derive(Debug, Default)]
pub struct KeyCache {
    keys: Option<Fetched>,
    last_attempt: Option<UnixMillis>,
    last_failure: Option<UnixMillis>,
    missing: Vec<Missing>,
}

#[derive(Debug)]
struct Fetched {
    set: Arc<KeySet>,
    at: UnixMillis,
}

#[derive(Debug)]
struct Missing {
    kid: String,
    at: UnixMillis,
}

impl KeyCache {
    /// A cache that has never fetched.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            keys: None,
            last_attempt: None,
            last_failure: None,
            missing: Vec::new(),
        }
    }

    /// What to do for keys. Telling to fetch counts as an attempt, so that of two requests that
    /// find the keys stale only the first refreshes them.
    pub fn plan(&mut self, now: UnixMillis) -> Plan {
        match &self.keys {
            Some(keys) if within(keys.at, FRESH_SECS, now) => Plan::Use(Arc::clone(&keys.set)),
            Some(keys) if within(keys.at, USABLE_SECS, now) => {
                let set = Arc::clone(&keys.set);
                if self.is_cooling_down(now) {
                    return Plan::Use(set);
                }
                self.last_attempt = Some(now);
                Plan::Refresh(set)
            }
            _ if self
                .last_failure
                .is_some_and(|at| within(at, RETRY_SECS, now)) =>
            {
                Plan::Unavailable
            }
            _ => {
                self.last_attempt = Some(now);
                Plan::Fetch
            }
        }
    }

    /// Whether to fetch again because no key on hand fits a token of that `kid`. Saying so counts
    /// as an attempt.
    pub fn may_look_for(&mut self, kid: Option<&str>, now: UnixMillis) -> bool {
        let looked_in_vain = kid.is_some_and(|kid| {
            self.missing
                .iter()
                .any(|missing| missing.kid == kid && within(missing.at, MISSING_SECS, now))
        });
        if looked_in_vain || self.is_cooling_down(now) {
            return false;
        }
        self.last_attempt = Some(now);
        true
    }

    /// The fetch succeeded.
    pub fn fetched(&mut self, set: KeySet, now: UnixMillis) -> Arc<KeySet> {
        let set = Arc::new(set);
        self.missing.retain(|missing| !set.has_kid(&missing.kid));
        self.keys = Some(Fetched {
            set: Arc::clone(&set),
            at: now,
        });
        self.last_failure = None;
        set
    }

    /// The fetch failed.
    pub fn failed(&mut self, now: UnixMillis) {
        self.last_failure = Some(now);
    }

    /// The set was fetched for this `kid` and still has no key for it.
    pub fn missed(&mut self, kid: Option<&str>, now: UnixMillis) {
        let Some(kid) = kid else { return };
        self.missing.retain(|missing| missing.kid != kid);
        if self.missing.len() >= MAX_MISSING {
            self.missing.remove(0);
        }
        self.missing.push(Missing {
            kid: kid.to_owned(),
            at: now,
        });
    }

    fn is_cooling_down(&self, now: UnixMillis) -> bool {
        self.last_attempt
            .is_some_and(|at| within(at, COOL_DOWN_SECS, now))
    }
}

/// Whether `now` is less than `secs` after `at`. A clock that went back makes it so, which delays a
/// fetch rather than repeating it.
fn within(at: UnixMillis, secs: u64, now: UnixMillis) -> bool {
    now < at.plus_secs(secs)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{our_key, our_keys};
    use super::*;
    use proptest::prelude::*;

    const START: UnixMillis = UnixMillis(1_000_000);

    fn after(secs: u64) -> UnixMillis {
        START.plus_secs(secs)
    }

    fn filled() -> KeyCache {
        let mut cache = KeyCache::new();
        assert!(matches!(cache.plan(START), Plan::Fetch));
        cache.fetched(our_keys(), START);
        cache
    }

    #[test]
    fn fresh_keys_are_used_and_stale_ones_refreshed_once_per_cool_down() {
        let mut cache = filled();
        assert!(matches!(cache.plan(after(FRESH_SECS - 1)), Plan::Use(_)));
        assert!(matches!(cache.plan(after(FRESH_SECS)), Plan::Refresh(_)));
        assert!(matches!(cache.plan(after(FRESH_SECS)), Plan::Use(_)));
        cache.failed(after(FRESH_SECS + 1));
        assert!(matches!(cache.plan(after(FRESH_SECS + 9)), Plan::Use(_)));
        assert!(matches!(
            cache.plan(after(FRESH_SECS + 10)),
            Plan::Refresh(_)
        ));
    }

    #[test]
    fn keys_outlive_a_broken_issuer_by_an_hour_and_no_more() {
        let mut cache = filled();
        assert!(matches!(
            cache.plan(after(USABLE_SECS - 1)),
            Plan::Refresh(_)
        ));
        cache.failed(after(USABLE_SECS - 1));
        assert!(matches!(cache.plan(after(USABLE_SECS)), Plan::Fetch));
        cache.failed(after(USABLE_SECS));
        assert!(matches!(cache.plan(after(USABLE_SECS)), Plan::Unavailable));
        assert!(matches!(cache.plan(after(USABLE_SECS + 1)), Plan::Fetch));
    }

    #[test]
    fn a_cold_cache_lets_each_request_fetch_until_one_fails() {
        let mut cache = KeyCache::new();
        assert!(matches!(cache.plan(START), Plan::Fetch));
        assert!(matches!(cache.plan(START), Plan::Fetch));
        cache.failed(START);
        assert!(matches!(cache.plan(START), Plan::Unavailable));
        assert!(matches!(cache.plan(after(RETRY_SECS)), Plan::Fetch));
    }

    #[test]
    fn an_unknown_kid_is_looked_for_once_per_cool_down_and_not_twice_in_vain() {
        let mut cache = filled();
        assert!(!cache.may_look_for(Some("new"), after(COOL_DOWN_SECS - 1)));
        assert!(cache.may_look_for(Some("new"), after(COOL_DOWN_SECS)));
        assert!(!cache.may_look_for(Some("other"), after(COOL_DOWN_SECS + 1)));
        cache.missed(Some("new"), after(COOL_DOWN_SECS));
        assert!(!cache.may_look_for(Some("new"), after(2 * COOL_DOWN_SECS)));
        assert!(cache.may_look_for(Some("other"), after(2 * COOL_DOWN_SECS)));
        assert!(cache.may_look_for(Some("new"), after(COOL_DOWN_SECS + MISSING_SECS)));
    }

    #[test]
    fn a_kid_that_turns_up_is_forgotten_as_missing() {
        let mut cache = filled();
        let kid = our_key().kid().to_owned();
        cache.missed(Some(&kid), START);
        cache.fetched(our_keys(), START);
        assert!(cache.missing.is_empty());
    }

    proptest! {
        #[test]
        fn strangers_cause_at_most_one_fetch_per_cool_down(
            steps in prop::collection::vec((0u64..4_000, "[a-d]", any::<bool>()), 1..200),
        ) {
            let mut cache = filled();
            let (mut now, mut fetches) = (START, 0);
            for (wait_ms, kid, succeeds) in steps {
                now = UnixMillis(now.0 + wait_ms);
                let fetch = match cache.plan(now) {
                    Plan::Use(_) => cache.may_look_for(Some(&kid), now),
                    Plan::Refresh(_) | Plan::Fetch => true,
                    Plan::Unavailable => false,
                };
                if fetch {
                    fetches += 1;
                    if succeeds {
                        cache.fetched(our_keys(), now);
                        cache.missed(Some(&kid), now);
                    } else {
                        cache.failed(now);
                    }
                }
                prop_assert!(cache.missing.len() <= MAX_MISSING);
            }
            prop_assert!(fetches <= 1 + (now.0 - START.0) / (COOL_DOWN_SECS * 1000));
        }

        #[test]
        fn what_is_remembered_of_strangers_is_bounded(kids in prop::collection::vec("[a-z]{3}", 0..300)) {
            let mut cache = KeyCache::new();
            for kid in &kids {
                cache.missed(Some(kid), START);
            }
            prop_assert!(cache.missing.len() <= MAX_MISSING);
        }
    }
}
