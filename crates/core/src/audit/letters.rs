//! Dead letters: what could not be taken into the log, kept with the reason until an operator has it taken in after all
//! or gives it up.
//!
//! What was sent by the queue is kept as it came. What a lane gave back is kept as a pack ([`Pack::to_bytes`]) of the events
//! that it is about, under the log's name for their producer. A letter's identity is the hash of reason and content, so
//! that a message that is delivered again is the same letter. Out of scope: sealing and storing (the Worker's lane).

use super::event::Event;
use super::line::{Position, render};
use super::pack::Pack;
use crate::id::{LetterId, ProducerId};
use crate::time::UnixMillis;
use crate::wire::Malformed;
use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most bytes that a letter holds: what the queue takes as a message.
pub const MAX_LETTER_BYTES: usize = 128 * 1024;
/// The most letters that a lane keeps.
pub const MAX_LETTERS: u64 = 10_000;
/// The most bytes that all of them hold.
pub const MAX_LETTERS_BYTES: u64 = 200_000_000;
/// How long it is known what became of a letter, in milliseconds: who did not hear the answer may ask again.
pub const MEMORY_MS: u64 = 30 * 24 * 60 * 60 * 1000;
/// The most letters on a page.
pub const MAX_LETTERS_A_PAGE: u32 = 1000;

/// Why something is not in the log. Append only: the order is the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is no pack of a version that is known.
    Malformed,
    /// It says what its sender may not say.
    NotAllowed,
    /// The log has something else under the same producer and sequence.
    Conflict,
    /// It is older than what the log remembers of its producer: whether the log has it is not known.
    TooOld,
    /// It was tried for a day, and the lane failed at it each time, though it was there for others.
    Undeliverable,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Malformed,
        Self::NotAllowed,
        Self::Conflict,
        Self::TooOld,
        Self::Undeliverable,
    ];

    /// The stable name, as in the log, in storage and in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAllowed => "not_allowed",
            Self::Conflict => "conflict",
            Self::TooOld => "too_old",
            Self::Undeliverable => "undeliverable",
        }
    }

    /// The reason of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// A gateway's pack under the log's name for its producer, if it is one and a gateway may say all of it.
pub fn of_gateway(bytes: &[u8]) -> Result<Pack, Reason> {
    let pack = Pack::decode(bytes).map_err(|Malformed| Reason::Malformed)?;
    if !pack.is_a_gateways() {
        return Err(Reason::NotAllowed);
    }
    Ok(Pack {
        producer: pack.producer.of_gateway(),
        ..pack
    })
}

/// Something that is not in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// Why.
    pub reason: Reason,
    /// The message, or the events that a lane gave back.
    pub content: Vec<u8>,
}

impl Letter {
    /// A message of the queue; of what is longer than any message, the beginning.
    #[must_use]
    pub fn of_message(reason: Reason, mut content: Vec<u8>) -> Self {
        content.truncate(MAX_LETTER_BYTES);
        Self { reason, content }
    }

    /// What a lane gave back of a pack that stands under the log's name for its producer: a letter for all that follow each
    /// other with the same reason, unless that were too much for one. `None` if there is something that cannot be kept.
    pub fn of_set_aside(
        pack: &Pack,
        set_aside: impl IntoIterator<Item = (u64, Reason)>,
    ) -> Option<Vec<Self>> {
        let mut runs: Vec<(u64, u64, Reason)> = Vec::new();
        for (sequence, why) in set_aside {
            match runs.last_mut() {
                Some((_, last, reason))
                    if last.checked_add(1) == Some(sequence) && *reason == why =>
                {
                    *last = sequence;
                }
                _ => runs.push((sequence, sequence, why)),
            }
        }
        let mut letters = Vec::new();
        for (first, last, reason) in runs {
            let from = usize::try_from(first.checked_sub(pack.first_sequence)?).ok()?;
            let to = usize::try_from(last.checked_sub(pack.first_sequence)?).ok()?;
            let events = pack.events.get(from..=to)?;
            Self::of_events(reason, pack.producer, first, events, &mut letters)?;
        }
        Some(letters)
    }

    fn of_events(
        reason: Reason,
        producer: ProducerId,
        first_sequence: u64,
        events: &[Event],
        letters: &mut Vec<Self>,
    ) -> Option<()> {
        let pack = Pack {
            producer,
            first_sequence,
            events: events.to_vec(),
        };
        let content = pack.to_bytes().ok()?;
        if content.len() <= MAX_LETTER_BYTES {
            letters.push(Self { reason, content });
            return Some(());
        }
        if events.len() < 2 {
            return None;
        }
        let half = events.len() / 2;
        let (before, behind) = events.split_at(half);
        Self::of_events(reason, producer, first_sequence, before, letters)?;
        let next = first_sequence + half as u64;
        Self::of_events(reason, producer, next, behind, letters)
    }

    /// Its identity.
    #[must_use]
    pub fn id(&self) -> LetterId {
        LetterId::of(self.reason.as_str(), &self.content)
    }

    /// SHA-256 of the content.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Hash::hash(&self.content)
    }

    /// The pack in it, if it is one, as the log would take it: scrubbed, and under the log's name for its producer.
    #[must_use]
    pub fn pack(&self) -> Option<Pack> {
        match self.reason {
            Reason::Conflict | Reason::TooOld => {
                let pack = Pack::from_bytes(&self.content).ok()?;
                Some(Pack {
                    events: pack.events.into_iter().map(Event::bounded).collect(),
                    ..pack
                })
            }
            Reason::Malformed | Reason::NotAllowed | Reason::Undeliverable => {
                let pack = Pack::decode(&self.content).ok()?;
                Some(Pack {
                    producer: pack.producer.of_gateway(),
                    ..pack
                })
            }
        }
    }

    /// The pack that is to be taken in after all, or why there is none. A message is judged anew: a later version of the
    /// service may read what an earlier one could not.
    pub fn replayable(&self) -> Result<Pack, Reason> {
        match self.reason {
            Reason::Malformed | Reason::NotAllowed | Reason::Undeliverable => {
                of_gateway(&self.content)
            }
            Reason::TooOld => self.pack().ok_or(Reason::Malformed),
            Reason::Conflict => Err(Reason::Conflict),
        }
    }
}

/// An event that is not in the log as JSON: what its line would say but for index, lane and times of the log.
#[must_use]
pub fn shown(event: &Event, producer: ProducerId, sequence: u64) -> Option<Value> {
    let nowhere = Position {
        index: 0,
        lane: 0,
        producer,
        sequence,
        received: UnixMillis(0),
        committed: UnixMillis(0),
    };
    let line = render(event, None, None, &nowhere).ok()?;
    let mut shown: Value = serde_json::from_str(&line).ok()?;
    let fields = shown.as_object_mut()?;
    for of_the_log in ["index", "lane", "received", "committed"] {
        fields.remove(of_the_log);
    }
    Some(shown)
}

/// Keep letters. Each is kept, is known, or finds no room: the first answer of [`Kept`] is that of the first letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// At most [`MAX_LETTER_BYTES`] each.
    pub letters: Vec<Letter>,
}

/// What became of letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Of each whether it is kept now.
    pub kept: Vec<bool>,
}

/// Read a page of letters, those that were kept last first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLetters {
    /// From where: the `next` of the page before.
    pub before: Option<u64>,
    /// The most letters to return.
    pub limit: u32,
    /// Reading is audited.
    pub read: Event,
}

/// A letter but for its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterInfo {
    /// Which.
    pub letter: LetterId,
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub kept_at: UnixMillis,
    /// How many bytes it holds.
    pub size: u64,
    /// Their SHA-256.
    pub digest: [u8; 32],
}

/// A page of letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// Those that were kept last first.
    pub letters: Vec<LetterInfo>,
    /// Where to go on.
    pub next: Option<u64>,
}

/// Read a letter; the answer is `None` if there is none of that id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLetter {
    /// Which.
    pub letter: LetterId,
    /// Reading is audited: this event enters the log if there is something to read.
    pub read: Event,
}

/// A letter as an operator may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownLetter {
    /// What is known of it.
    pub info: LetterInfo,
    /// Whether its seal could be opened.
    pub opened: bool,
    /// The pack in it, if it is one; scrubbed.
    pub pack: Option<Pack>,
}

/// Take in what is in a letter, and have the letter gone; or neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayLetter {
    /// Which.
    pub letter: LetterId,
    /// That it was asked: this event enters the log if the letter is taken in.
    pub replay: Event,
}

/// What came of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replayed {
    /// All of it is in the log.
    TakenIn {
        /// Events that were not in it before.
        new_events: u64,
        /// Events that were.
        duplicates: u64,
    },
    /// It was, when the letter was replayed before.
    Before,
    /// It cannot be, and the letter stays.
    Refused(Reason),
    /// Its seal cannot be opened, and the letter stays.
    Unreadable,
    /// There is no such letter.
    Unknown,
}

/// Give a letter up; whether there is none of that id any more that was not replayed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscardLetter {
    /// Which.
    pub letter: LetterId,
    /// That it was asked: this event enters the log if the letter goes.
    pub discard: Event,
}

/// How many letters there are for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterCount {
    /// Why.
    pub reason: Reason,
    /// How many.
    pub letters: u64,
    /// How many bytes they hold.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Outcome, RequestFacts};
    use crate::wire;
    use proptest::prelude::*;

    fn pack(action: Action) -> Pack {
        let event = Event::new(UnixMillis(9), action, Outcome::Denied, Actor::Anonymous);
        Pack {
            producer: ProducerId::from_bytes([3; 16]),
            first_sequence: 5,
            events: vec![event; 3],
        }
    }

    fn bytes(action: Action) -> Vec<u8> {
        pack(action).encode().expect("encodes")
    }

    #[test]
    fn names_round_trip_and_json_has_them() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
            assert_eq!(serde_json::json!(reason), reason.as_str());
        }
        assert_eq!(Reason::parse("other"), None);
    }

    #[test]
    fn golden_bytes() {
        let letter = Letter::of_message(Reason::NotAllowed, vec![7, 8]);
        let keep = Keep {
            letters: vec![letter],
        };
        assert_eq!(wire::encode(&keep), Ok(vec![1, 1, 1, 2, 7, 8]));
        let kept = Kept {
            kept: vec![true, false],
        };
        assert_eq!(wire::encode(&kept), Ok(vec![1, 2, 1, 0]));
        let info = LetterInfo {
            letter: LetterId::from_bytes([1; 16]),
            reason: Reason::TooOld,
            kept_at: UnixMillis(5),
            size: 2,
            digest: [2; 32],
        };
        let expected = [&[1][..], &[1; 16], &[3, 5, 2], &[2; 32]].concat();
        assert_eq!(wire::encode(&info), Ok(expected));
        let answers = [
            (
                Replayed::TakenIn {
                    new_events: 1,
                    duplicates: 2,
                },
                vec![1, 0, 1, 2],
            ),
            (Replayed::Before, vec![1, 1]),
            (Replayed::Refused(Reason::Undeliverable), vec![1, 2, 4]),
            (Replayed::Unreadable, vec![1, 3]),
            (Replayed::Unknown, vec![1, 4]),
        ];
        for (answer, bytes) in answers {
            assert_eq!(wire::encode(&answer), Ok(bytes));
        }
    }

    #[test]
    fn what_a_gateway_sends_is_judged_with_the_reason() {
        assert_eq!(of_gateway(b"nothing"), Err(Reason::Malformed));
        assert_eq!(of_gateway(&bytes(Action::Kill)), Err(Reason::NotAllowed));
        let good = of_gateway(&bytes(Action::CheckDenied)).expect("a pack");
        assert_eq!(good.producer, ProducerId::from_bytes([3; 16]).of_gateway());
    }

    #[test]
    fn a_message_is_judged_anew_when_it_is_replayed() {
        let replayable = |reason, content| Letter::of_message(reason, content).replayable();
        assert_eq!(
            replayable(Reason::Malformed, b"nothing".to_vec()),
            Err(Reason::Malformed)
        );
        // What could not be read once, and can now.
        let read = replayable(Reason::Malformed, bytes(Action::CheckDenied));
        assert_eq!(read, of_gateway(&bytes(Action::CheckDenied)));
        let lie = replayable(Reason::Malformed, bytes(Action::Kill));
        assert_eq!(lie, Err(Reason::NotAllowed));
    }

    #[test]
    fn an_event_that_was_given_back_is_a_pack_of_its_own_under_its_own_identity() {
        let pack = pack(Action::Kill);
        let of = |set_aside: &[(u64, Reason)]| Letter::of_set_aside(&pack, set_aside.to_vec());
        let old = Reason::TooOld;
        let letters = of(&[(5, old), (6, old), (7, Reason::Conflict)]).expect("letters");
        let [letter, conflict] = letters.as_slice() else {
            panic!("{letters:?}");
        };
        let replayed = letter.replayable().expect("a pack");
        let place = (replayed.producer, replayed.first_sequence);
        assert_eq!(place, (pack.producer, 5));
        assert_eq!(replayed.events.len(), 2);
        assert_eq!(conflict.replayable(), Err(Reason::Conflict));
        let apart = of(&[(5, old), (7, old)]).expect("letters");
        assert_eq!(apart.len(), 2);
        for outside in [0, 4, 8, u64::MAX] {
            assert_eq!(of(&[(outside, old)]), None);
        }
    }

    #[test]
    fn what_is_too_much_for_a_letter_is_several() {
        let one = Event {
            reason: Some("r".repeat(200)),
            ..Event::new(
                UnixMillis(9),
                Action::Kill,
                Outcome::Denied,
                Actor::Anonymous,
            )
        };
        let pack = Pack {
            events: vec![one; 2000],
            ..pack(Action::Kill)
        };
        let all = (5..2005).map(|sequence| (sequence, Reason::TooOld));
        let letters = Letter::of_set_aside(&pack, all).expect("letters");
        assert!(letters.len() > 1);
        let mut next = 5;
        for letter in letters {
            assert!(letter.content.len() <= MAX_LETTER_BYTES);
            let part = letter.pack().expect("a pack");
            assert_eq!(part.first_sequence, next);
            next = part.last_sequence() + 1;
        }
        assert_eq!(next, 2005);
    }

    #[test]
    fn an_event_is_shown_scrubbed_and_without_a_place_in_the_log() {
        let mut said = pack(Action::CheckDenied);
        for event in &mut said.events {
            event.request = Some(RequestFacts {
                path: "/a/eyJhbGciOiJFUzI1NiJ9.e30.c2ln".into(),
                ..RequestFacts::default()
            });
        }
        let content = said.to_bytes().expect("encodes");
        let pack = Letter::of_message(Reason::Undeliverable, content)
            .pack()
            .expect("a pack");
        let event = pack.events.first().expect("an event");
        let shown = shown(event, pack.producer, 5).expect("JSON");
        assert!(!shown.to_string().contains("eyJ"), "{shown}");
        assert_eq!(shown["action"], "check.denied");
        assert_eq!(shown["sequence"], 5);
        assert!(shown.get("index").is_none() && shown.get("committed").is_none());
    }

    proptest! {
        #[test]
        fn whatever_it_is_it_can_be_kept_and_is_itself(content: Vec<u8>, at in 0usize..5) {
            let letter = Letter::of_message(Reason::ALL[at], content.clone());
            prop_assert_eq!(letter.id(), Letter::of_message(Reason::ALL[at], content).id());
            if let Ok(pack) = letter.replayable() {
                prop_assert_eq!(Some(pack), letter.pack());
            }
        }
    }
}
