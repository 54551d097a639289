//! The receipt of a revocation: what was ended, why, by whom, and from when on that is in force where.
//!
//! It is kept where the revocation was decided, by the subject or by the policy, and
//! [`ReceiptId`] says where that is.

use super::Incarnation;
use crate::audit::event::Actor;
use crate::id::{InvalidId, SubjectKey};
use crate::policy::WideScope;
use crate::session::revoke::Scope;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How long a receipt is kept, in seconds. The audit log keeps the event for longer.
pub const KEPT_SECS: u64 = 30 * 24 * 3600;
/// The most that are kept of a subject; more push out the oldest.
pub const MAX_KEPT: u64 = 200;

const PREFIX: &str = "rev_";

/// What a revocation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Covers {
    /// Something of a subject.
    Subject(Scope),
    /// Something of everyone's.
    Wide(WideScope),
}

/// A revocation that was committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Counts the receipts of a place; the clock's milliseconds or one more than the last.
    pub serial: u64,
    /// What was ended.
    pub covers: Covers,
    /// Why: the stable name.
    pub cause: String,
    /// Who said so.
    pub actor: Actor,
    /// Live sessions that it ended, where somebody knows.
    pub sessions: Option<u32>,
    /// When it was committed.
    pub at: UnixMillis,
    /// From when on no strict check accepts what it covers.
    pub in_force_at: UnixMillis,
}

/// Where a feed has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which feed.
    pub shard: String,
    /// In which life of it.
    pub incarnation: Incarnation,
    /// Readers that have got that far know it.
    pub sequence: u64,
    /// When the feed committed it.
    pub committed_at: UnixMillis,
    /// For how long readers could decide by a copy from before, in milliseconds, as it was then.
    pub max_age_ms: u64,
}

/// A receipt, and how far it has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The receipt.
    pub receipt: Receipt,
    /// Where the feeds have it; none if there was nothing to tell them. `None`: they have not
    /// confirmed it yet.
    pub feed: Option<Vec<Position>>,
}

/// Ask for receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskReceipts {
    /// This one.
    One(u64),
    /// The newest, so many at most.
    Newest(u32),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipts {
    /// Those that there are, newest first.
    pub receipts: Vec<Followed>,
    /// Whether the feeds have confirmed everything that was ever ended here.
    pub settled: bool,
}

/// The name of a receipt: whose revocation it was, and its serial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptId {
    /// A subject's.
    Subject(SubjectKey, u64),
    /// A wide one.
    Wide(u64),
}

impl ReceiptId {
    /// The name of a subject's receipt, or of a wide one.
    #[must_use]
    pub const fn of(subject: Option<SubjectKey>, serial: u64) -> Self {
        match subject {
            Some(subject) => Self::Subject(subject, serial),
            None => Self::Wide(serial),
        }
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (subject, serial) = match self {
            Self::Subject(subject, serial) => (subject.as_bytes().as_slice(), serial),
            Self::Wide(serial) => (&[][..], serial),
        };
        let bytes = [subject, &serial.to_be_bytes()].concat();
        write!(f, "{PREFIX}{}", base64url(&bytes))
    }
}

impl FromStr for ReceiptId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidId)?;
        let bytes = from_base64url(rest).ok_or(InvalidId)?;
        let (subject, serial) = bytes.split_last_chunk::<8>().ok_or(InvalidId)?;
        let serial = u64::from_be_bytes(*serial);
        if subject.is_empty() {
            Ok(Self::Wide(serial))
        } else {
            Ok(Self::Subject(SubjectKey::try_from(subject)?, serial))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;
    use proptest::prelude::*;

    #[test]
    fn ids_have_a_stable_form() {
        let subject = SubjectKey::from_bytes([1; 16]);
        let text = ReceiptId::of(Some(subject), 2).to_string();
        assert_eq!(text, "rev_AQEBAQEBAQEBAQEBAQEBAQAAAAAAAAAC");
        assert_eq!(ReceiptId::of(None, 2).to_string(), "rev_AAAAAAAAAAI");
    }

    #[test]
    fn golden_bytes() {
        let followed = |covers, feed| Followed {
            receipt: Receipt {
                serial: 1,
                covers,
                cause: "c".into(),
                actor: Actor::Anonymous,
                sessions: Some(2),
                at: UnixMillis(3),
                in_force_at: UnixMillis(4),
            },
            feed,
        };
        let position = Position {
            shard: "s".into(),
            incarnation: Incarnation {
                id: crate::id::IncarnationId::from_bytes([5; 16]),
                began_at: UnixMillis(6),
            },
            sequence: 7,
            committed_at: UnixMillis(8),
            max_age_ms: 9,
        };
        let receipts = Receipts {
            receipts: vec![
                followed(Covers::Subject(Scope::Subject), None),
                followed(
                    Covers::Wide(WideScope::Key("k".into())),
                    Some(vec![position]),
                ),
            ],
            settled: false,
        };
        let actor = wire::encode(&Actor::Anonymous).expect("encodes");
        let actor = actor.get(1..).expect("a body");
        let mut expected = vec![1, 2, 1, 0, 0, 1, b'c'];
        expected.extend(actor);
        expected.extend([1, 2, 3, 4, 0, 1, 1, 2, 1, b'k', 1, b'c']);
        expected.extend(actor);
        expected.extend([1, 2, 3, 4, 1, 1, 1, b's']);
        expected.extend([5; 16]);
        expected.extend([6, 7, 8, 9, 0]);
        assert_eq!(wire::encode(&receipts), Ok(expected));
    }

    proptest! {
        #[test]
        fn ids_round_trip(bytes: Option<[u8; 16]>, serial: u64) {
            let id = ReceiptId::of(bytes.map(SubjectKey::from_bytes), serial);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn arbitrary_text_never_panics(text: String, tail: Vec<u8>) {
            let _ = text.parse::<ReceiptId>();
            let _ = format!("{PREFIX}{}", base64url(&tail)).parse::<ReceiptId>();
        }
    }
}
