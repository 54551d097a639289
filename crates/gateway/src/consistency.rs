//! How sure a route must be that a credential has not been ended since it was issued.
//!
//! | consistency | asked | stale by at most |
//! |---|---|---|
//! | [`Strict`](Consistency::Strict) | the subject's object, on every request | nothing |
//! | [`Bounded`](Consistency::Bounded) | a view of what was revoked | `max_age_ms` |
//! | [`SignatureOnly`](Consistency::SignatureOnly) | nobody | the life of the token |
//!
//! An identity provider's own token is verified by the service, which says in the same answer
//! whether it is in force. Where a view will do, that answer is good for a while as long as the view clears
//! the token ([`crate::vouched`]); elsewhere those are checked strictly.
//!
//! Out of scope: who is asked, and how; the view ([`crate::view`]).

use crate::view::Local;
use portcullis_core::time::UnixMillis;
use std::fmt;

/// How old a view may be where a route does not say, in milliseconds.
pub const DEFAULT_MAX_AGE_MS: u64 = 1_000;
/// How old a route may let a view be at most, in milliseconds.
pub const LONGEST_MAX_AGE_MS: u64 = 60_000;

/// How the credential of a request is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Once a revocation is acknowledged, no later request passes.
    #[default]
    Strict,
    /// A request passes that a view of the revocations allows which is not older than this.
    Bounded {
        /// How old, in milliseconds; at most [`LONGEST_MAX_AGE_MS`].
        max_age_ms: u64,
        /// What to do when it is older.
        when_stale: WhenStale,
    },
    /// A token passes until it expires, whatever was revoked.
    SignatureOnly,
}

/// What a request does that finds the view too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// It waits for the view to be refreshed, and is checked strictly if that fails.
    #[default]
    Refresh,
    /// It is checked strictly.
    Strict,
    /// It is refused with 503.
    Refuse,
}

/// What a request does whose route is content with a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It passes: its credential was in force so many milliseconds ago.
    Pass {
        /// How many, at most.
        age_ms: u64,
    },
    /// It is checked strictly.
    AskStrictly,
    /// It waits for a fresh view.
    Wait,
    /// It is refused.
    Refuse,
}

impl Course {
    /// What a request does of which the view said `local`.
    #[must_use]
    pub const fn of(local: Local, when_stale: WhenStale) -> Self {
        match (local, when_stale) {
            (Local::Clear { age_ms }, _) => Self::Pass { age_ms },
            (Local::Ask(_), _) | (Local::Stale, WhenStale::Strict) => Self::AskStrictly,
            (Local::Stale, WhenStale::Refresh) => Self::Wait,
            (Local::Stale, WhenStale::Refuse) => Self::Refuse,
        }
    }

    /// What it does after it has waited.
    #[must_use]
    pub const fn after_waiting(local: Local) -> Self {
        Self::of(local, WhenStale::Strict)
    }
}

/// How the credential of a request that passes was checked. Its text is what the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It was in force when the subject's object was asked.
    Strict {
        /// When that was, by the object's clock.
        at: UnixMillis,
    },
    /// A view of what was revoked had nothing that covers it.
    Bounded {
        /// How old that was at most, in milliseconds.
        age_ms: u64,
        /// How old it may have been.
        max_age_ms: u64,
    },
    /// Nobody was asked.
    SignatureOnly,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict { at } => write!(f, "strict; at={}", at.to_rfc3339()),
            Self::Bounded { age_ms, max_age_ms } => {
                write!(f, "bounded; age={age_ms}; max={max_age_ms}")
            }
            Self::SignatureOnly => f.write_str("signature-only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Why;

    #[test]
    fn callers_are_told_how_they_were_checked() {
        let at = UnixMillis(5);
        let strict = Checked::Strict { at }.to_string();
        assert_eq!(strict, "strict; at=1970-01-01T00:00:00.005Z");
        assert_eq!(Checked::SignatureOnly.to_string(), "signature-only");
        let bounded = Checked::Bounded {
            age_ms: 12,
            max_age_ms: 1000,
        };
        assert_eq!(bounded.to_string(), "bounded; age=12; max=1000");
    }

    #[test]
    fn nothing_passes_but_what_the_view_clears() {
        let clear = Local::Clear { age_ms: 7 };
        for when_stale in [WhenStale::Refresh, WhenStale::Strict, WhenStale::Refuse] {
            assert_eq!(Course::of(clear, when_stale), Course::Pass { age_ms: 7 });
            for why in [Why::Covered, Why::BeforeTheFeed] {
                let course = Course::of(Local::Ask(why), when_stale);
                assert_eq!(course, Course::AskStrictly);
            }
        }
        let stale = |when_stale| Course::of(Local::Stale, when_stale);
        assert_eq!(stale(WhenStale::Refresh), Course::Wait);
        assert_eq!(stale(WhenStale::Strict), Course::AskStrictly);
        assert_eq!(stale(WhenStale::Refuse), Course::Refuse);
        assert_eq!(Course::after_waiting(Local::Stale), Course::AskStrictly);
    }
}
