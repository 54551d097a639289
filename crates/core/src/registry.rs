//! Who is known at a connection: who logs in through it, whom its provider logs out, and what operators
//! see of all that.
//!
//! A connection's directory keeps it, beside the users that SCIM provisions. It sees each log-in before the
//! session begins, because a provider that logs somebody out says their `sub` or `sid` and not their
//! subject (OIDC Back-Channel Logout 1.0 section 2.4), and because nobody may come in with what has ended.
//!
//! Out of scope: sessions, which are their subject's, and what SCIM says.

use crate::id::SubjectKey;
use crate::scim::user::UserId;
use crate::secret::Digest;
use crate::session::provision::Provisioned;
use crate::session::{Profile, Upstream};
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use crate::wire;
use serde::{Deserialize, Serialize};

/// The most people of a page.
pub const MAX_PEOPLE: u32 = 100;

/// Somebody is about to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeeLogin {
    /// Who.
    pub subject: SubjectKey,
    /// The value that identifies them.
    pub value: String,
    /// What the provider calls them and their session there.
    pub upstream: Upstream,
    /// When the browser set out.
    pub flow_begun_at: UnixMillis,
    /// What else the provider said of them.
    pub profile: Profile,
    /// The groups it named.
    pub groups: Vec<String>,
}

/// Whether they may. Append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SeenLogin {
    /// From now on a log-out at the provider finds them.
    Seen,
    /// The provider has ended their session since, or everything of theirs. Nothing was kept.
    Ended,
    /// As [`Seen`](Self::Seen), and that is what the directory says of them. The subject is handed it with the
    /// log-in.
    Provisioned(Provisioned),
}

/// The provider says that a session is over, or all of a person's. Its token was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamLogout {
    /// What no other logout token has.
    pub replay: Digest,
    /// When that token is refused anyway.
    pub expires_at: UnixMillis,
    /// Of `sub` and `sid`, as far as it has them.
    pub upstream: Upstream,
    /// Whom `sub` makes, if that is what identifies people there: also somebody never seen.
    pub subject: Option<SubjectKey>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoggedOut {
    /// So many subjects were told, and all have committed it.
    Told(u32),
    /// That token came before; whom it concerned have committed it by now.
    Replayed,
}

/// Where a page begins: people are in the order of what was found of them, and then of their values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// What was found, in lower case.
    pub found: String,
    /// Their value, in the form in which two are compared.
    pub value: String,
}

/// Who is there?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPeople {
    /// What their value, name or address begins with, in any case; empty: all.
    pub search: String,
    /// Only those who are disabled, or who are not.
    pub disabled: Option<bool>,
    /// Only those behind this place.
    pub after: Option<Place>,
    /// The most people to return.
    pub limit: u32,
}

/// A page of people. It may be short, or empty, without being the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Who.
    pub people: Vec<KnownPerson>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Place>,
}

/// Who is that?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindPerson {
    /// Their subject.
    pub subject: SubjectKey,
}

/// How many seats are held?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountSeats;

/// Somebody who has logged in through the connection, or whom its provider provisions, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPerson {
    /// Their subject.
    pub subject: SubjectKey,
    /// The value that identifies them, as it was last written.
    pub value: String,
    /// What they are called, as was last said.
    pub name: Option<String>,
    /// What they like to be called, as their last log-in said.
    pub preferred_username: Option<String>,
    /// Their address, as was last said.
    pub email: Option<String>,
    /// Their groups, as their last log-in said.
    pub groups: Vec<String>,
    /// Whether the directory keeps them out.
    pub disabled: bool,
    /// When they last logged in.
    pub last_login_at: Option<UnixMillis>,
    /// Their SCIM user.
    pub scim: Option<ScimUser>,
    /// Whether they hold a seat: from their first log-in until they are deprovisioned.
    pub seat: bool,
}

/// A SCIM user, in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScimUser {
    /// Its resource.
    pub id: UserId,
    /// What the provider says of it.
    pub active: bool,
}

/// Where a page over several connections begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// In this connection, or behind it if it is gone.
    pub connection: String,
    /// From here on; `None`: from its beginning.
    pub after: Option<Place>,
}

impl Cursor {
    /// As callers get it and bring it back.
    pub fn to_text(&self) -> Result<String, wire::Malformed> {
        wire::encode(self).map(|bytes| base64url(&bytes))
    }

    /// Reads it back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        wire::decode(&from_base64url(text)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_and_arbitrary_text_never_panics(
            connection in "[a-z]{1,9}", place: Option<(String, String)>, text: String,
        ) {
            let after = place.map(|(found, value)| Place { found, value });
            let cursor = Cursor { connection, after };
            let written = cursor.to_text().expect("encodes");
            prop_assert_eq!(Cursor::from_text(&written), Some(cursor));
            let _ = Cursor::from_text(&text);
        }
    }
}
