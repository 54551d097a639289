//! What a lane can be asked of personal fields: to read them, to disclose what opens them, to erase them.

use super::call::{Page, Query};
use super::event::Event;
use super::sealed::{Day, LeafKey};
use crate::id::SubjectKey;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long the platform can bring back what was erased: its recovery history, in seconds.
pub const RECOVERY_SECS: u64 = 30 * 24 * 3600;
/// The most lines that are looked at for one answer; the run of lines that exceeds it is the last.
pub const MAX_LINES: u64 = 20_000;

/// Read a page with what is sealed in its lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPersonal {
    /// Which page.
    pub query: Query,
}

/// A page, and what is sealed in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonalPage {
    /// The page.
    pub page: Page,
    /// Of each of its lines that has something sealed its index and, as JSON, what that is; `None`: no key opens it.
    pub personal: Vec<(u64, Option<String>)>,
}

/// Disclose the keys of lines from `from` to below `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclose {
    /// The index of the first.
    pub from: u64,
    /// The index behind the last.
    pub to: u64,
    /// Disclosing is audited: this event enters the log with the answer.
    pub read: Event,
}

/// Keys of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosures {
    /// Of each line that something opens its index and its key.
    pub keys: Vec<(u64, [u8; 32])>,
    /// Where to go on; `None` when all were looked at.
    pub next: Option<u64>,
}

/// A key of a line, as it is handed over: JSON, in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disclosure {
    /// The line's index.
    pub index: u64,
    /// Its key, in base64url.
    pub key: String,
}

impl Disclosure {
    /// That key of that line.
    #[must_use]
    pub fn new(index: u64, key: [u8; 32]) -> Self {
        let key = LeafKey::from_bytes(key).to_text();
        Self { index, key }
    }
}

/// What is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Erasing {
    /// What is sealed under a subject's key.
    Subject(SubjectKey),
    /// What is sealed under keys of days before that one, as it is nobody's that is known.
    UnattributedBefore(Day),
}

/// Erase, or say what that would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// What.
    pub what: Erasing,
    /// Whether it is only a question.
    pub dry_run: bool,
    /// This event enters the log if something is erased, or if it is a question.
    pub said: Event,
}

/// What is or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// How many keys there were, and are no more unless it was a question.
    pub keys: u64,
    /// Since when, of the first.
    pub since: Option<UnixMillis>,
    /// How many lines they seal, of those that were looked at.
    pub lines: u64,
    /// Whether there may be more.
    pub at_least: bool,
    /// When keys of that were destroyed last, now included.
    pub erased_at: Option<UnixMillis>,
}

/// A legal hold forbids it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Its name.
    pub hold: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::call::LaneRequest;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::audit::query::{Filter, Order};
    use crate::wire::{self, Call};

    fn said() -> (Event, Vec<u8>) {
        let said = Event::new(
            UnixMillis(9),
            Action::AuditErased,
            Outcome::Success,
            Actor::Anonymous,
        );
        let bytes = wire::encode(&said).expect("encodes");
        (said, bytes.get(1..).expect("a version").to_vec())
    }

    /// The bytes of a request behind its version and number, which others decide on.
    fn body(request: &LaneRequest) -> Vec<u8> {
        let bytes = wire::encode(request).expect("encodes");
        bytes.get(2..).expect("a body").to_vec()
    }

    #[test]
    fn golden_bytes_of_what_is_asked() {
        let (event, bytes) = said();
        let disclose = Disclose {
            from: 1,
            to: 300,
            read: event.clone(),
        };
        let expected = [&[1, 0xac, 2], bytes.as_slice()].concat();
        assert_eq!(body(&disclose.into_request()), expected);
        let erase = |what| Erase {
            what,
            dry_run: true,
            said: event.clone(),
        };
        let subject = erase(Erasing::Subject(SubjectKey::from_bytes([7; 16])));
        let expected = [&[0], &[7; 16][..], &[1], &bytes].concat();
        assert_eq!(body(&subject.into_request()), expected);
        let days = erase(Erasing::UnattributedBefore(Day(300)));
        let expected = [&[1, 0xac, 2, 1], bytes.as_slice()].concat();
        assert_eq!(body(&days.into_request()), expected);
        let query = Query {
            filter: Filter::default(),
            order: Order::Oldest,
            cursor: None,
            limit: 5,
            read: Some(event),
            followed: None,
        };
        let expected = wire::encode(&query).expect("encodes");
        let asked = QueryPersonal { query };
        assert_eq!(body(&asked.into_request()), expected[1..]);
    }

    #[test]
    fn golden_bytes_of_what_is_answered() {
        let disclosures = Disclosures {
            keys: vec![(3, [5; 32])],
            next: Some(4),
        };
        let expected = [&[1, 1, 3], &[5; 32][..], &[1, 4]].concat();
        assert_eq!(wire::encode(&disclosures), Ok(expected));
        let erasure = Erasure {
            keys: 1,
            since: Some(UnixMillis(2)),
            lines: 3,
            at_least: true,
            erased_at: Some(UnixMillis(4)),
        };
        let erased: Result<Erasure, Held> = Ok(erasure);
        assert_eq!(wire::encode(&erased), Ok(vec![1, 0, 1, 1, 2, 3, 1, 1, 4]));
        let held: Result<Erasure, Held> = Err(Held { hold: "h".into() });
        assert_eq!(wire::encode(&held), Ok(vec![1, 1, 1, b'h']));
        let disclosure = serde_json::to_string(&Disclosure::new(3, [0; 32])).expect("renders");
        let zeros = "A".repeat(43);
        assert_eq!(disclosure, format!(r#"{{"index":3,"key":"{zeros}"}}"#));
    }
}
