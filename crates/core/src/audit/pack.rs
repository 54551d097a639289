//! A pack: consecutive events of one producer, as they travel to the log.
//!
//! `(producer, sequence)` identifies an event for good: a pack may arrive twice, in parts or out of
//! order, and each of its events still enters the log once. Wire form: the
//! [`wire`](crate::wire) envelope, at most [`MAX_PACK_BYTES`].

use super::event::{Action, Actor, Event};
use crate::id::ProducerId;
use crate::time::UnixMillis;
use crate::wire::{self, Malformed};
use serde::{Deserialize, Serialize};

/// The largest pack that is accepted, below the queue's limit of 128 KB a message.
pub const MAX_PACK_BYTES: usize = 120_000;

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
        wire::encode(self).and_then(|bytes| {
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
        let mut pack: Self = wire::decode(bytes)?;
        pack.checked()?;
        pack.events = pack.events.into_iter().map(Event::bounded).collect();
        Ok(pack)
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
        self.events.iter().all(|event| {
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
        })
    }

    fn checked(&self) -> Result<(), Malformed> {
        // 2^53 - 1: sequences are stored as numbers that the runtime's SQL keeps exactly.
        let largest = (1u64 << 53) - 1;
        // Up to the year 9999, the last that RFC 3339 can write.
        let last_instant = UnixMillis(253_402_300_799_999);
        let valid = self.events.iter().all(|e| e.occurred <= last_instant)
            && !self.events.is_empty()
            && self.first_sequence >= 1
            && self.first_sequence <= largest - self.events.len() as u64;
        if valid { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::Outcome;
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
        let mut expected = vec![1];
        expected.extend([3; 16]);
        expected.extend([1, 1, 9, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(pack(1, 1).encode(), Ok(expected));
    }

    #[test]
    fn golden_bytes_of_an_event_that_stands_for_several() {
        let mut counted = pack(1, 1);
        for event in &mut counted.events {
            event.action = Action::CredentialRefused;
            event.outcome = Outcome::Denied;
            event.actor = Actor::Unproven(300);
        }
        let mut expected = vec![1];
        expected.extend([3; 16]);
        expected.extend([1, 1, 9, 8, 1, 0, 5, 172, 2, 0, 0, 0, 0, 0]);
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
