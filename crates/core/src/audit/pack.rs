//! A pack: consecutive events of one producer, as they travel to the log.
//!
//! `(producer, sequence)` identifies an event for good: a pack may arrive twice, in parts or out of
//! order, and each of its events still enters the log once. Wire form: the [`wire`] envelope of version 2,
//! at most [`MAX_PACK_BYTES`]; version 1 is read, too.

use super::earlier::PackV1;
use super::event::{Action, Actor, Event};
use crate::id::ProducerId;
use crate::jwt::actor::MAX_ACTORS;
use crate::time::UnixMillis;
use crate::wire::{self, Malformed};
use serde::{Deserialize, Serialize};

/// The largest pack that is accepted, below the queue's limit of 128 KB a message.
pub const MAX_PACK_BYTES: usize = 120_000;

/// The version that is written.
const VERSION: u8 = 2;

/// Whether a gateway may say this.
pub(super) fn may_be_a_gateways(event: &Event) -> bool {
    let action = matches!(
        event.action,
        Action::RequestAllowed
            | Action::RequestDenied
            | Action::CheckDenied
            | Action::CredentialRefused
    );
    // What is counted together names nobody: a denial of somebody who is known never is.
    let counted = event.action == Action::CredentialRefused;
    action
        && match event.actor {
            Actor::Subject(_) | Actor::Anonymous => true,
            Actor::Unproven(count) => counted && count > 0,
            Actor::Operator(_) | Actor::Connection(_) | Actor::Client(_) => false,
        }
}

/// Events `first_sequence ..` of one producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Who counts.
    pub producer: ProducerId,
    /// The sequence of the first event; sequences start at 1.
    pub first_sequence: u64,
    /// At least one event.
    pub events: Vec<Event>,
}

impl Pack {
    /// The bytes for a queue message; `Malformed` if it would break the bounds.
    pub fn encode(&self) -> Result<Vec<u8>, Malformed> {
        self.checked()?;
        self.to_bytes().and_then(|bytes| {
            if bytes.len() <= MAX_PACK_BYTES {
                Ok(bytes)
            } else {
                Err(Malformed)
            }
        })
    }

    /// Reads a queue message, with every text cut to its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_PACK_BYTES {
            return Err(Malformed);
        }
        let mut pack = Self::from_bytes(bytes)?;
        pack.checked()?;
        pack.events = pack.events.into_iter().map(Event::bounded).collect();
        Ok(pack)
    }

    /// The bytes for a store of our own, without bounds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Malformed> {
        wire::encode_as(VERSION, self)
    }

    /// Reads what [`Self::to_bytes`] of this version or an earlier one wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            Some((&VERSION, body)) => wire::decode_body(body),
            Some((1, body)) => wire::decode_body::<PackV1>(body).map(Self::from),
            _ => Err(Malformed),
        }
    }

    /// The sequence of the last event.
    #[must_use]
    pub fn last_sequence(&self) -> u64 {
        self.first_sequence
            .saturating_add((self.events.len() as u64).saturating_sub(1))
    }

    /// Whether a gateway may say all of this: what it decided about requests, for subjects it
    /// verified. Log-ins, kills and reads are not a gateway's to report.
    #[must_use]
    pub fn is_a_gateways(&self) -> bool {
        self.events.iter().all(may_be_a_gateways)
    }

    fn checked(&self) -> Result<(), Malformed> {
        // 2^53 - 1: sequences are stored as numbers that the runtime's SQL keeps exactly.
        let largest = (1u64 << 53) - 1;
        // Up to the year 9999, the last that RFC 3339 can write.
        let last_instant = UnixMillis(253_402_300_799_999);
        let whole = |event: &Event| {
            let act = event.credential.as_ref().map_or(0, |of| of.act.len());
            event.occurred <= last_instant && act <= MAX_ACTORS
        };
        let valid = self.events.iter().all(whole)
            && !self.events.is_empty()
            && self.first_sequence >= 1
            && self.first_sequence <= largest - self.events.len() as u64;
        if valid { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Credential, Outcome, RequestFacts};
    use crate::id::{LogHash, SubjectKey};
    use proptest::prelude::*;

    fn pack(first_sequence: u64, events: usize) -> Pack {
        let event = Event::new(
            UnixMillis(9),
            Action::Kill,
            Outcome::Success,
            Actor::Anonymous,
        );
        Pack {
            producer: ProducerId::from_bytes([3; 16]),
            first_sequence,
            events: vec![event; events],
        }
    }

    #[test]
    fn golden_bytes() {
        let mut expected = vec![2];
        expected.extend([3; 16]);
        expected.extend([1, 1, 9, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(pack(1, 1).encode(), Ok(expected));
    }

    #[test]
    fn golden_bytes_of_all_that_an_event_can_say() {
        let full = Event {
            reason: Some("r".into()),
            request: Some(RequestFacts {
                asn: Some(7),
                country: Some("CH".into()),
                ..RequestFacts::default()
            }),
            credential: Some(Credential {
                issuer: Some("i".into()),
                kid: Some("k".into()),
                connection: Some("c".into()),
                act: vec![SubjectKey::from_bytes([4; 16])],
            }),
            resource: Some("u".into()),
            claims: vec![("n".into(), "v".into())],
            policy: Some(LogHash::from_bytes([5; 16])),
            ..pack(1, 1).events.remove(0)
        };
        let full = Pack {
            events: vec![full],
            ..pack(1, 1)
        };
        let mut expected = vec![2];
        expected.extend([3; 16]);
        expected.extend([1, 1, 9, 5, 0, 1, 1, b'r', 0, 0, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, 1, 7, 1, 2, b'C', b'H']);
        expected.extend([1, 1, 1, b'i', 1, 1, b'k', 1, 1, b'c', 1]);
        expected.extend([4; 16]);
        expected.extend([1, 1, b'u', 1, 1, b'n', 1, b'v', 1]);
        expected.extend([5; 16]);
        assert_eq!(full.encode(), Ok(expected.clone()));
        assert_eq!(Pack::decode(&expected), Ok(full));
    }

    #[test]
    fn packs_of_version_1_are_read() {
        let mut bytes = vec![1];
        bytes.extend([3; 16]);
        bytes.extend([1, 1, 9, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Pack::decode(&bytes), Ok(pack(1, 1)));
        assert_eq!(Pack::from_bytes(&bytes), Ok(pack(1, 1)));
        let mut with_request = vec![1];
        with_request.extend([3; 16]);
        with_request.extend([1, 1, 9, 5, 0, 0, 0, 0, 0, 0, 0, 1]);
        with_request.extend([1, b'm', 1, b'h', 1, b'p', 0, 1, 1, b'i', 0, 0]);
        let read = Pack::decode(&with_request).expect("reads");
        let facts = read
            .events
            .into_iter()
            .next()
            .and_then(|event| event.request);
        let expected = RequestFacts {
            method: "m".into(),
            host: "h".into(),
            path: "p".into(),
            ip: Some("i".into()),
            ..RequestFacts::default()
        };
        assert_eq!(facts, Some(expected));
        for other in [0, 3, 255] {
            bytes[0] = other;
            assert_eq!(Pack::from_bytes(&bytes), Err(Malformed));
        }
    }

    #[test]
    fn what_arrives_is_scrubbed() {
        let secret = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln";
        let said = Event {
            reason: Some(secret.into()),
            client_id: Some(format!("x {secret}")),
            request: Some(RequestFacts {
                host: secret.into(),
                path: format!("/a/{secret}"),
                user_agent: Some(format!("Bearer {secret}")),
                ray: Some(secret.into()),
                ip: Some(secret.into()),
                ..RequestFacts::default()
            }),
            credential: Some(Credential {
                issuer: Some(secret.into()),
                connection: Some(secret.into()),
                ..Credential::default()
            }),
            resource: Some(secret.into()),
            claims: vec![(secret.into(), secret.into())],
            actor: Actor::Client(secret.into()),
            ..pack(1, 1).events.remove(0)
        };
        let pack = Pack {
            events: vec![said],
            ..pack(1, 1)
        };
        let arrived = Pack::decode(&pack.to_bytes().expect("encodes")).expect("decodes");
        let text = format!("{:?}", arrived.events);
        assert!(!text.contains("eyJ"), "{text}");
        assert_eq!(text.matches("[redacted:").count(), 13, "{text}");
    }

    #[test]
    fn golden_bytes_of_an_event_that_stands_for_several() {
        let mut counted = pack(1, 1);
        for event in &mut counted.events {
            event.action = Action::CredentialRefused;
            event.outcome = Outcome::Denied;
            event.actor = Actor::Unproven(300);
        }
        let mut expected = vec![2];
        expected.extend([3; 16]);
        expected.extend([1, 1, 9, 8, 1, 0, 5, 172, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(counted.encode(), Ok(expected));
    }

    #[test]
    fn an_instant_that_cannot_be_written_is_refused() {
        let mut late = pack(1, 1);
        for event in &mut late.events {
            event.occurred = UnixMillis(253_402_300_800_000);
        }
        assert_eq!(late.encode(), Err(Malformed));
    }

    #[test]
    fn more_actors_than_can_be_said_are_refused_and_not_cut() {
        let with = |actors| {
            let mut pack = pack(1, 1);
            for event in &mut pack.events {
                event.credential = Some(Credential {
                    act: vec![SubjectKey::from_bytes([4; 16]); actors],
                    ..Credential::default()
                });
            }
            pack
        };
        assert!(with(MAX_ACTORS).encode().is_ok());
        let bytes = with(MAX_ACTORS + 1).to_bytes().expect("encodes");
        assert_eq!(Pack::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn a_gateway_cannot_report_a_kill_or_speak_for_an_operator() {
        let with = |action, actor| {
            let event = Event::new(UnixMillis(9), action, Outcome::Denied, actor);
            Pack {
                events: vec![event],
                ..pack(1, 1)
            }
            .is_a_gateways()
        };
        assert!(with(Action::CheckDenied, Actor::Anonymous));
        assert!(!with(Action::Kill, Actor::Anonymous));
        assert!(!with(Action::CheckDenied, Actor::Operator("admin".into())));
        assert!(with(Action::CredentialRefused, Actor::Unproven(2)));
        assert!(!with(Action::CredentialRefused, Actor::Unproven(0)));
        assert!(!with(Action::CheckDenied, Actor::Unproven(2)));
        assert!(!with(Action::RequestAllowed, Actor::Unproven(2)));
    }

    #[test]
    fn empty_unnumbered_and_overflowing_packs_are_refused() {
        assert_eq!(pack(1, 0).encode(), Err(Malformed));
        assert_eq!(pack(0, 1).encode(), Err(Malformed));
        assert_eq!(pack((1 << 53) - 1, 1).encode(), Err(Malformed));
        assert_eq!(pack(u64::MAX, 2).encode(), Err(Malformed));
        assert_eq!(pack(1, 100_000).encode(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(pack) = Pack::decode(&bytes) {
                prop_assert!(!pack.events.is_empty());
            }
        }

        #[test]
        fn what_is_encoded_is_read_back(first in 1u64..1000, events in 1usize..50) {
            let pack = pack(first, events);
            prop_assert_eq!(Pack::decode(&pack.encode().unwrap()), Ok(pack));
        }
    }
}
