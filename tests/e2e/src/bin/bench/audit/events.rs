//! Events as gateways report them: of 1,000 people by 20 gateways, a line of about 500 bytes each.
//!
//! What an event says follows from its number, so that a question can be asked whose answer is known to be there.

use portcullis_core::audit::event::{Action, Actor, Credential, Event, Outcome, RequestFacts};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::{LogHash, ProducerId, SubjectKey};
use portcullis_core::time::UnixMillis;

/// How many events a pack has, and so a commit that is made for it.
pub const A_PACK: u64 = 100;

const PEOPLE: u64 = 1_000;
const GATEWAYS: u64 = 20;
/// In each run of so many events ten are of a session that has no others.
pub const RARE_EACH: u64 = 10_000;
const RARE_STEP: u64 = 1_000;
const RARE_AT: u64 = 7;
/// Otherwise a person has the same session for so many events of everybody's.
const SESSION_EVENTS: u64 = 50_000;

/// Gateways that have so much to say.
pub struct Gateways {
    /// Told apart from other gateways by it.
    salt: u64,
    /// The number of the next event.
    next: u64,
}

impl Gateways {
    /// With nothing said so far.
    pub const fn new(salt: u64) -> Self {
        Self { salt, next: 0 }
    }

    /// The next of them has a pack, of events that occurred when `at` says.
    pub fn pack(&mut self, at: impl Fn(u64) -> UnixMillis) -> Pack {
        let number = self.next / A_PACK;
        let producer = mixed(self.salt ^ mixed(number % GATEWAYS));
        let events = self.next..self.next + A_PACK;
        self.next = events.end;
        Pack {
            producer: ProducerId::from_bytes(
                producer
                    .to_be_bytes()
                    .repeat(2)
                    .try_into()
                    .unwrap_or_default(),
            ),
            first_sequence: number / GATEWAYS * A_PACK + 1,
            events: events.map(|number| event(number, at(number))).collect(),
        }
    }
}

/// Somebody, by number.
pub fn person(number: u64) -> SubjectKey {
    SubjectKey::from_bytes(wide(mixed(number % PEOPLE)))
}

/// Somebody of whom no event is.
pub fn stranger(number: u64) -> SubjectKey {
    SubjectKey::from_bytes(wide(mixed(PEOPLE + number)))
}

/// The session that only ten events among those are of: of the `number`th run of [`RARE_EACH`].
pub fn rare_session(number: u64) -> LogHash {
    LogHash::from_bytes(wide(mixed(number ^ (1 << 40))))
}

/// The address that somebody has.
pub fn address(number: u64) -> String {
    let number = number % PEOPLE;
    format!("198.51.{}.{}", number / 250, number % 250 + 1)
}

fn event(number: u64, occurred: UnixMillis) -> Event {
    let somebody = mixed(number) % PEOPLE;
    let subject = person(somebody);
    let session = if number % RARE_STEP == RARE_AT {
        rare_session(number / RARE_EACH)
    } else {
        LogHash::from_bytes(wide(mixed(somebody ^ ((number / SESSION_EVENTS) << 20))))
    };
    let (action, outcome, reason, status) = match number % 100 {
        3 | 43 | 83 => (
            Action::RequestDenied,
            Outcome::Denied,
            Some("role_missing"),
            403,
        ),
        11 | 61 => (
            Action::CheckDenied,
            Outcome::Denied,
            Some("session_ended"),
            401,
        ),
        _ => (Action::RequestAllowed, Outcome::Success, None, 200),
    };
    Event {
        reason: reason.map(str::to_owned),
        subject: Some(subject),
        session: Some(session),
        client_id: Some("shop".to_owned()),
        request: Some(RequestFacts {
            method: "GET".to_owned(),
            host: "api.example".to_owned(),
            path: format!("/v1/orders/{number}"),
            status: Some(status),
            ip: Some(address(somebody)),
            user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0)".to_owned()),
            ..RequestFacts::default()
        }),
        credential: Some(Credential {
            issuer: Some("https://id.example".to_owned()),
            ..Credential::default()
        }),
        ..Event::new(occurred, action, outcome, Actor::Subject(subject))
    }
}

/// Sixteen bytes of a number.
fn wide(number: u64) -> [u8; 16] {
    let (first, second) = (number.to_be_bytes(), mixed(number).to_be_bytes());
    std::array::from_fn(|at| *first.iter().chain(&second).nth(at).unwrap_or(&0))
}

/// A number that looks like none of its neighbours' (the finalizer of `SplitMix64`).
pub const fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::line::{Position, render};

    #[test]
    fn packs_are_what_gateways_may_say_and_continue_each_other() {
        let mut gateways = Gateways::new(1);
        let packs: Vec<Pack> = (0..60).map(|_| gateways.pack(UnixMillis)).collect();
        for pack in &packs {
            assert!(pack.is_a_gateways());
            assert!(pack.encode().is_ok());
        }
        let same = |pack: &&Pack| pack.producer == packs[0].producer;
        let firsts: Vec<u64> = packs
            .iter()
            .filter(same)
            .map(|p| p.first_sequence)
            .collect();
        assert_eq!(firsts, [1, 101, 201]);
    }

    #[test]
    fn a_rare_session_has_ten_events_and_lines_are_of_the_length_that_is_said() {
        let mut gateways = Gateways::new(1);
        let packs: Vec<Pack> = (0..200).map(|_| gateways.pack(UnixMillis)).collect();
        let events: Vec<&Event> = packs.iter().flat_map(|pack| &pack.events).collect();
        let of = |session| events.iter().filter(|e| e.session == Some(session)).count();
        assert_eq!((of(rare_session(0)), of(rare_session(1))), (10, 10));
        let position = Position {
            index: 7,
            lane: 0,
            producer: packs[0].producer,
            sequence: 7,
            received: UnixMillis(1_790_000_000_000),
            committed: UnixMillis(1_790_000_000_000),
        };
        let bytes: usize = events
            .iter()
            .map(|e| render(e, None, None, &position).expect("a line").len())
            .sum();
        let mean = bytes / events.len();
        assert!((450..650).contains(&mean), "{mean}");
    }
}
