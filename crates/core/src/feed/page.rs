//! Pages of the feed, as they leave the service: a signed statement, and the entries that it is about.
//!
//! The statement is a compact JWS by a key of the service's key set, so a page can go through caches and
//! proxies that nobody trusts. It says of which feed the page is, between which sequences, where the feed
//! stood and when, and it has the SHA-256 of the entries: a page that was cut short, put together from two, or
//! made up does not verify.
//!
//! | claim | meaning |
//! |---|---|
//! | `iss` | the service |
//! | `shard` | which feed |
//! | `inc`, `began_at` | its life, and when that began, in ms since 1970 |
//! | `after`, `through` | the page has everything after the first sequence up to the second |
//! | `seq` | the feed's last sequence; there is more if it is higher than `through` |
//! | `time` | when that was so, in ms since 1970, by the feed's clock |
//! | `max_age_ms` | for how long after that a reader may decide by what it has |
//! | `entries_sha256` | of the entries' bytes, base64url |
//!
//! The entries' bytes are a `Vec<Entry>` in the [`wire`] envelope.

use super::{Entry, Incarnation};
use crate::id::IncarnationId;
use crate::jwt::TokenError;
use crate::time::UnixMillis;
use crate::wire;
use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};

/// The `typ` of a statement.
pub const TYP: &str = "portcullis-feed+jwt";
/// The most entries of a page.
pub const MAX_ENTRIES: u32 = 5000;

/// What the service says of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The service.
    pub iss: String,
    /// Which feed.
    pub shard: String,
    /// Which life of it.
    pub inc: IncarnationId,
    /// When that began.
    pub began_at: UnixMillis,
    /// The sequence after which the page begins.
    pub after: u64,
    /// The sequence that it goes up to.
    pub through: u64,
    /// The feed's last sequence.
    pub seq: u64,
    /// When that was so, by the feed's clock.
    pub time: UnixMillis,
    /// How long a reader may decide by what it has, counted from `time`.
    pub max_age_ms: u64,
    /// Of the entries.
    pub entries_sha256: String,
}

/// A page as it travels. Nothing of it is known to be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedPage {
    /// The statement, a compact JWS.
    pub statement: String,
    /// The entries.
    pub entries: Vec<u8>,
}

/// A page whose statement is by the service and fits its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPage {
    /// What the service says of it.
    pub statement: Statement,
    /// The entries, in the order of their sequence.
    pub entries: Vec<Entry>,
}

impl Statement {
    /// Which life of the feed.
    #[must_use]
    pub const fn incarnation(&self) -> Incarnation {
        Incarnation {
            id: self.inc,
            began_at: self.began_at,
        }
    }

    /// Whether more came after the page.
    #[must_use]
    pub const fn has_more(&self) -> bool {
        self.through < self.seq
    }

    /// Takes `entries` for what the statement is about, if they are.
    pub(crate) fn of(self, entries: &[u8]) -> Result<VerifiedPage, TokenError> {
        if self.entries_sha256 != digest(entries) {
            return Err(TokenError::Binding);
        }
        // Nothing can come after a page that goes beyond the end.
        if self.after > self.through || self.through > self.seq {
            return Err(TokenError::Claims);
        }
        let entries = wire::decode(entries).map_err(|_| TokenError::Malformed)?;
        Ok(VerifiedPage {
            statement: self,
            entries,
        })
    }
}

/// The `entries_sha256` of those bytes.
#[must_use]
pub fn digest(entries: &[u8]) -> String {
    crate::text::base64url(&Hash::hash(entries))
}
