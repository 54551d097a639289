//! How sure a route must be that a credential has not been ended since it was issued.
//!
//! | consistency | asked | stale by at most |
//! |---|---|---|
//! | [`Strict`](Consistency::Strict) | the subject's object, on every request | nothing |
//! | [`Bounded`](Consistency::Bounded) | a view of what was revoked | `max_age_ms` |
//! | [`SignatureOnly`](Consistency::SignatureOnly) | nobody | the life of the token |
//!
//! An identity provider's own token is verified by the service, which says in the same answer
//! whether it is in force: those are checked strictly everywhere.
//!
//! Out of scope: who is asked, and how.

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
    /// It waits for the view to be refreshed, and is refused if that fails.
    #[default]
    Refresh,
    /// It is checked strictly.
    Strict,
    /// It is refused with 503.
    Refuse,
}

/// How the credential of a request that passes was checked. Its text is what the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It was in force when the subject's object was asked.
    Strict {
        /// When that was, by the object's clock.
        at: UnixMillis,
    },
    /// Nobody was asked.
    SignatureOnly,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Strict { at } => write!(f, "strict; at={}", at.to_rfc3339()),
            Self::SignatureOnly => f.write_str("signature-only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_told_how_they_were_checked() {
        let at = UnixMillis(5);
        let strict = Checked::Strict { at }.to_string();
        assert_eq!(strict, "strict; at=1970-01-01T00:00:00.005Z");
        assert_eq!(Checked::SignatureOnly.to_string(), "signature-only");
    }
}
