//! When to fetch an issuer's keys, and which to use meanwhile.
//!
//! A state machine without a clock or a network, over [`Fetched`]: whoever holds one asks
//! [`KeyCache::plan`] for keys, and [`KeyCache::look_for`] if none of them is of a token's `kid`.
//!
//! | keys on hand | age of the last good fetch | told to |
//! |---|---|---|
//! | yes | under [`FRESH_SECS`] | use them |
//! | yes | under [`USABLE_SECS`] | refresh, and use them if that fails; while a fetch is under way or within the cool-down just use them |
//! | no, or older | - | fetch; wait while a fetch is under way; if it fails use what was kept elsewhere, under [`USABLE_SECS`] old, or fail; shortly after a failure just fail |
//!
//! A document that is malformed, or has no key that can be used, is a fetch that failed: it replaces
//! nothing, neither here nor where documents outlive whoever holds the cache. What was kept there is as
//! old as its fetch: [`KeyCache::restored`] uses it for the rest of [`USABLE_SECS`], refreshes it as soon
//! as the cool-down allows, and decides on no unknown `kid` by it.
//!
//! A token of an unknown `kid` is a reason to look again, for there may be a new key. It is judged by
//! a set whose fetch began after the token came, and then once and for all:
//!
//! | the `kid` | told to |
//! |---|---|
//! | is not in a set that was fetched since the token came | give up; it is missing |
//! | is missing, as of a moment ago | give up |
//! | is unknown, and newer keys are on hand | judge by them |
//! | is unknown, and a fetch is under way | wait for it |
//! | is unknown | fetch, or wait until a fetch is allowed |
//!
//! Strangers choose `kid`s, so looking is bounded whatever they send: [`LOOK_INTERVAL_MS`] between two
//! fetches, [`LOOK_BURST`] of them at a time and one per [`LOOK_PERIOD_MS`] in the long run. That is
//! less than a request's patience, so a good token finds its key also while strangers invent theirs, as
//! long as fewer than [`MAX_WAITING`](crate::fetch::MAX_WAITING) wait. A `kid` that was looked for in
//! vain is missing for [`MISSING_SECS`], and for twice as long each time up to [`MAX_MISSING_SECS`]: one
//! bad token does not use up the good ones' turns, and an issuer that publishes a key a moment late is
//! soon forgiven.

use super::jwks::KeySet;
use crate::fetch::{Ages, Fetched, PATIENCE_MS, within};
use crate::time::UnixMillis;
use std::fmt;
use std::sync::Arc;

pub use crate::fetch::{Ticket, Turn};

/// How long fetched keys are used without question, in seconds.
pub const FRESH_SECS: u64 = 300;
/// How long fetched keys are used when fetching fails, in seconds.
pub const USABLE_SECS: u64 = 3600;
/// The least time from a fetch to the next for an unknown `kid`, in milliseconds.
pub const LOOK_INTERVAL_MS: u64 = 1000;
/// In which time one more fetch for an unknown `kid` is allowed, in milliseconds.
pub const LOOK_PERIOD_MS: u64 = 4000;
/// How many fetches for unknown `kid`s are allowed at a time, if there were none for long.
pub const LOOK_BURST: u64 = 5;
/// How long a `kid` that was looked for in vain stays unknown at first, in seconds.
pub const MISSING_SECS: u64 = 2;
/// How long it does at most, in seconds.
pub const MAX_MISSING_SECS: u64 = 64;
/// How many such `kid`s are remembered; the oldest goes first.
const MAX_MISSING: usize = 64;

// A good token that comes in the middle of a storm lives to see the next allowed fetch answer.
const _: () = assert!(LOOK_PERIOD_MS + LOOK_INTERVAL_MS < PATIENCE_MS);

/// What to do for keys now.
pub type Plan = crate::fetch::Plan<Arc<KeySet>>;

/// What to do for a key that is not on hand.
#[derive(Debug)]
pub enum Look {
    /// Judge the token by these, which are newer than what it was judged by.
    Judge(Arc<KeySet>),
    /// Fetch, and ask again.
    Fetch(Ticket),
    /// Ask again after so many milliseconds.
    Wait(u64),
    /// There is no such key.
    No,
}

/// The document that was fetched has no keys; those on hand stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeys;

impl fmt::Display for NoKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no key of the set can be used")
    }
}

impl std::error::Error for NoKeys {}

/// The keys of one issuer and what is known of fetching them.
#[derive(Debug)]
pub struct KeyCache {
    sets: Fetched<Arc<KeySet>>,
    missing: Vec<Missing>,
    /// When the allowance for looking would be whole again.
    looks_paid_at: UnixMillis,
}

#[derive(Debug)]
struct Missing {
    /// `None`: tokens without one.
    kid: Option<String>,
    at: UnixMillis,
    secs: u64,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyCache {
    /// A cache that has never fetched.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sets: Fetched::new(Ages {
                fresh_secs: FRESH_SECS,
                usable_secs: USABLE_SECS,
            }),
            missing: Vec::new(),
            looks_paid_at: UnixMillis(0),
        }
    }

    /// What to do for keys.
    pub fn plan(&mut self, turn: &mut Turn, now: UnixMillis) -> Plan {
        self.sets.plan(turn, now)
    }

    /// What to do for a token of that `kid`, for which the keys that this request was given last have
    /// no key.
    pub fn look_for(&mut self, kid: Option<&str>, turn: &mut Turn, now: UnixMillis) -> Look {
        self.sets.begin_turn(turn, now);
        if let Some(news) = self.sets.news(turn) {
            return Look::Judge(news);
        }
        if turn.was_given_the_latest() {
            self.missed(kid, now);
            return Look::No;
        }
        if self.is_missing(kid, now) {
            return Look::No;
        }
        if self.sets.is_under_way(now) {
            return self.sets.poll(turn, now).map_or(Look::No, Look::Wait);
        }
        match self.next_look_at(now).0.checked_sub(now.0) {
            None | Some(0) => {
                let paid = self.looks_paid_at.max(now).0;
                self.looks_paid_at = UnixMillis(paid.saturating_add(LOOK_PERIOD_MS));
                Look::Fetch(self.sets.begin(now))
            }
            Some(ms) => self.sets.wait(turn, ms, now).map_or(Look::No, Look::Wait),
        }
    }

    /// Whether there are keys to use, fresh or not.
    #[must_use]
    pub fn has_usable(&self, now: UnixMillis) -> bool {
        self.sets.has_usable(now)
    }

    /// The fetch succeeded, unless there is no key in what it brought.
    pub fn fetched(&mut self, ticket: Ticket, set: KeySet, now: UnixMillis) -> Result<(), NoKeys> {
        if set.is_empty() {
            self.sets.failed(ticket, now);
            return Err(NoKeys);
        }
        let still = |kid: &Option<String>| kid.as_ref().is_some_and(|kid| !set.has_kid(kid));
        self.missing.retain(|missing| still(&missing.kid));
        self.sets.fetched(ticket, Arc::new(set), now);
        Ok(())
    }

    /// The fetch failed.
    pub fn failed(&mut self, ticket: Ticket, now: UnixMillis) {
        self.sets.failed(ticket, now);
    }

    /// The fetch failed, but this set was fetched at `at` and kept elsewhere: it is used if it is not too
    /// old, and has keys.
    pub fn restored(&mut self, ticket: Ticket, set: KeySet, at: UnixMillis, now: UnixMillis) {
        if set.is_empty() {
            self.sets.failed(ticket, now);
        } else {
            self.sets.restored(ticket, Arc::new(set), at, now);
        }
    }

    /// When looking is allowed again: an allowance of [`LOOK_BURST`] that fills by one per
    /// [`LOOK_PERIOD_MS`], and the interval.
    fn next_look_at(&mut self, now: UnixMillis) -> UnixMillis {
        let whole = LOOK_BURST * LOOK_PERIOD_MS;
        self.looks_paid_at = (self.looks_paid_at).min(UnixMillis(now.0.saturating_add(whole)));
        let allowed =
            UnixMillis((self.looks_paid_at.0).saturating_sub((LOOK_BURST - 1) * LOOK_PERIOD_MS));
        let rested = (self.sets.last_attempt())
            .map_or(UnixMillis(0), |at| UnixMillis(at.0 + LOOK_INTERVAL_MS));
        allowed.max(rested)
    }

    fn is_missing(&self, kid: Option<&str>, now: UnixMillis) -> bool {
        self.missing.iter().any(|missing| {
            let at = missing.at.min(now);
            missing.kid.as_deref() == kid && within(at, missing.secs, now)
        })
    }

    /// A set was fetched for this `kid` and has no key for it.
    fn missed(&mut self, kid: Option<&str>, now: UnixMillis) {
        if self.is_missing(kid, now) {
            // Several waited for the same fetch.
            return;
        }
        let same = |missing: &Missing| missing.kid.as_deref() == kid;
        let before = self.missing.iter().position(same);
        let before = before.map(|at| self.missing.remove(at).secs);
        if self.missing.len() >= MAX_MISSING {
            self.missing.remove(0);
        }
        self.missing.push(Missing {
            kid: kid.map(str::to_owned),
            at: now,
            secs: before.map_or(MISSING_SECS, |secs| (2 * secs).min(MAX_MISSING_SECS)),
        });
    }
}

#[cfg(test)]
mod tests;
