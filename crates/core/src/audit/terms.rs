//! Terms: by what a lane finds lines without reading all of them.
//!
//! A term is 40 bits of a keyed hash (SipHash-2-4) of a field's name and its value in an event. A lane keeps for each
//! segment which terms its lines have, and looks only at segments that have all those of a filter. Two values may share
//! a term: so a term says where to look, and never that a line fits.
//!
//! The key is derived from the service's, so that whoever has only the lane's storage cannot try addresses or names
//! on its terms. It is no secret that protects the log: the lines are beside it.

use super::event::{Actor, Event};
use super::query::Filter;
use hmac_sha256::HMAC;
use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// How many bytes a term has where it is stored.
pub const TERM_BYTES: usize = 5;

/// A term; terms are ordered as their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u64);

impl Term {
    /// As it is stored.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; TERM_BYTES] {
        let [_, _, _, bytes @ ..] = self.0.to_be_bytes();
        bytes
    }

    /// Reads the stored form back.
    #[must_use]
    pub fn from_bytes(bytes: [u8; TERM_BYTES]) -> Self {
        let number = bytes
            .iter()
            .fold(0, |number, byte| (number << 8) | u64::from(*byte));
        Self(number)
    }

    /// A number below 2^40.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The term of that number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number & ((1 << 40) - 1))
    }
}

/// What a value is the value of. The numbers are what is hashed, for good.
#[derive(Clone, Copy)]
enum Field {
    Subject = 1,
    Actor = 2,
    Session = 3,
    Client = 4,
    Ip = 5,
    Connection = 6,
    Resource = 7,
    Action = 8,
    Outcome = 9,
    /// Both at once: what was denied of an action that is mostly allowed is rare.
    ActionAndOutcome = 10,
    /// The address of one line: its index stands before it.
    IpOfLine = 11,
}

/// Makes terms.
#[derive(Clone)]
pub struct TermKey(SipHasher24);

impl TermKey {
    /// Derives the key from a secret of the lane.
    #[must_use]
    pub fn derive(secret: &[u8; 32]) -> Self {
        let derived = HMAC::mac(b"portcullis audit terms 1", secret);
        let [first, _] = *derived.as_chunks::<16>().0 else {
            return Self(SipHasher24::new());
        };
        Self(SipHasher24::new_with_key(&first))
    }

    /// By which another key is told from this one.
    #[must_use]
    pub fn proof(&self) -> [u8; 8] {
        let mut hasher = self.0;
        hasher.write(b"proof");
        hasher.finish().to_be_bytes()
    }

    fn term(&self, field: Field, parts: [&[u8]; 2]) -> Term {
        let mut hasher = self.0;
        hasher.write(&[field as u8]);
        for part in parts {
            hasher.write(part);
        }
        Term::from_number(hasher.finish())
    }

    /// What a segment has of the address of the line at `index`, or of none: see [`super::addresses`].
    #[must_use]
    pub fn fingerprint(&self, index: u64, address: &str) -> u8 {
        let parts = [&index.to_be_bytes(), address.as_bytes()];
        let [.., lowest] = self.term(Field::IpOfLine, parts).to_bytes();
        lowest
    }

    fn of_actor(&self, actor: &Actor) -> Term {
        let parts: [&[u8]; 2] = match actor {
            Actor::Anonymous | Actor::Unproven(_) => [b"a", b""],
            Actor::Subject(key) => [b"s", key.as_bytes()],
            Actor::Operator(role) => [b"o", role.as_bytes()],
            Actor::Connection(id) => [b"c", id.as_bytes()],
            Actor::Client(id) => [b"i", id.as_bytes()],
        };
        self.term(Field::Actor, parts)
    }

    /// Adds to `terms` those of `event`: all by which a [`Filter`] may look for its line.
    pub fn add_terms_of(&self, event: &Event, terms: &mut Vec<Term>) {
        let (action, outcome) = (event.action.as_str(), event.outcome.as_str());
        terms.push(self.term(Field::Action, [action.as_bytes(), b""]));
        terms.push(self.term(Field::Outcome, [outcome.as_bytes(), b""]));
        terms.push(self.both(action, outcome));
        terms.push(self.of_actor(&event.actor));
        let mut one = |field, value: Option<&[u8]>| {
            if let Some(value) = value {
                terms.push(self.term(field, [value, b""]));
            }
        };
        let (subject, session) = (event.subject.as_ref(), event.session.as_ref());
        one(Field::Subject, subject.map(|it| it.as_bytes().as_slice()));
        one(Field::Session, session.map(|it| it.as_bytes().as_slice()));
        one(Field::Client, bytes(event.client_id.as_ref()));
        one(Field::Resource, bytes(event.resource.as_ref()));
        let request = event.request.as_ref();
        one(Field::Ip, request.and_then(|it| bytes(it.ip.as_ref())));
        if let Actor::Connection(id) = &event.actor {
            one(Field::Connection, Some(id.as_bytes()));
        }
        if let Some(credential) = &event.credential {
            one(Field::Connection, bytes(credential.connection.as_ref()));
            for actor in &credential.act {
                terms.push(self.of_actor(&Actor::Subject(*actor)));
            }
        }
    }

    fn both(&self, action: &str, outcome: &str) -> Term {
        self.term(
            Field::ActionAndOutcome,
            [action.as_bytes(), outcome.as_bytes()],
        )
    }

    /// The terms that a segment must have to hold a line that fits, what is likely to be rarest first.
    #[must_use]
    pub fn terms_of_filter(&self, filter: &Filter) -> Vec<Term> {
        let one = |field, value: &[u8]| self.term(field, [value, b""]);
        let text = |field, value| bytes(value).map(|value| one(field, value));
        let both = match (filter.action, filter.outcome) {
            (Some(action), Some(outcome)) => Some(self.both(action.as_str(), outcome.as_str())),
            (Some(action), None) => Some(one(Field::Action, action.as_str().as_bytes())),
            (None, Some(outcome)) => Some(one(Field::Outcome, outcome.as_str().as_bytes())),
            (None, None) => None,
        };
        [
            filter.session.map(|it| one(Field::Session, it.as_bytes())),
            text(Field::Ip, filter.ip.as_ref()),
            filter.subject.map(|it| one(Field::Subject, it.as_bytes())),
            filter.actor.as_ref().map(|actor| self.of_actor(actor)),
            text(Field::Client, filter.client_id.as_ref()),
            text(Field::Connection, filter.connection.as_ref()),
            text(Field::Resource, filter.resource.as_ref()),
            both,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn bytes(text: Option<&String>) -> Option<&[u8]> {
    text.map(String::as_bytes)
}

/// A segment's terms as they are stored: each once, in order.
#[must_use]
pub fn to_column(terms: &mut Vec<Term>) -> Vec<u8> {
    terms.sort_unstable();
    terms.dedup();
    terms.iter().flat_map(|term| term.to_bytes()).collect()
}

/// Reads them back; `None` if it is none.
#[must_use]
pub fn from_column(column: &[u8]) -> Option<impl Iterator<Item = Term>> {
    let (terms, rest) = column.as_chunks::<TERM_BYTES>();
    rest.is_empty()
        .then(|| terms.iter().map(|bytes| Term::from_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Credential, Outcome, RequestFacts};
    use crate::audit::line::{Line, Position, render};
    use crate::audit::sealed::personal;
    use crate::id::{LogHash, ProducerId, SubjectKey};
    use crate::time::UnixMillis;
    use proptest::option;
    use proptest::prelude::*;

    fn key() -> TermKey {
        TermKey::derive(&[1; 32])
    }

    #[test]
    fn terms_and_the_proof_of_their_key_stay_what_they_are() {
        let filter = Filter {
            ip: Some("192.0.2.1".into()),
            action: Some(Action::Kill),
            outcome: Some(Outcome::Denied),
            ..Filter::default()
        };
        let terms = key().terms_of_filter(&filter);
        let stored: Vec<_> = terms.into_iter().map(Term::to_bytes).collect();
        assert_eq!(stored, GOLDEN_TERMS);
        assert_eq!(key().proof(), GOLDEN_PROOF);
        assert_ne!(TermKey::derive(&[2; 32]).proof(), GOLDEN_PROOF);
    }

    /// Reckoned by another implementation of `SipHash`.
    const GOLDEN_TERMS: [[u8; TERM_BYTES]; 2] =
        [[214, 55, 137, 154, 238], [163, 166, 78, 143, 136]];
    const GOLDEN_PROOF: [u8; 8] = [133, 58, 138, 191, 100, 13, 123, 243];

    #[test]
    fn a_column_is_read_back_sorted_and_each_term_once() {
        let term = Term::from_number;
        let column = to_column(&mut vec![term(9), term(1), term(9), term(1 << 39)]);
        let read: Vec<_> = from_column(&column).expect("a column").collect();
        assert_eq!(read, [term(1), term(9), term(1 << 39)]);
        assert!(from_column(&column[1..]).is_none());
    }

    fn text() -> impl Strategy<Value = Option<String>> {
        option::of(prop_oneof!["[a-c\"\\\\é]{1,2}", Just("x".to_owned())])
    }

    fn subject() -> impl Strategy<Value = SubjectKey> {
        (0u8..3).prop_map(|n| SubjectKey::from_bytes([n; 16]))
    }

    pub fn actor() -> impl Strategy<Value = Actor> {
        prop_oneof![
            Just(Actor::Anonymous),
            Just(Actor::Unproven(3)),
            subject().prop_map(Actor::Subject),
            "[ab]".prop_map(Actor::Operator),
            "[ab]".prop_map(Actor::Connection),
            "[ab]".prop_map(Actor::Client),
        ]
    }

    fn of(list: &'static [Action]) -> impl Strategy<Value = Action> {
        prop::sample::select(list)
    }

    const ACTIONS: &[Action] = &[Action::Kill, Action::Login];

    prop_compose! {
        fn events()(
            action in of(ACTIONS), denied: bool, actor in actor(), subject in option::of(subject()),
            session in option::of(0u8..3), texts in [text(), text(), text(), text()],
            credential: bool, act in prop::collection::vec(subject(), 0..2),
        ) -> Event {
            let [client_id, resource, ip, connection] = texts;
            let outcome = if denied { Outcome::Denied } else { Outcome::Success };
            Event {
                subject,
                session: session.map(|n| LogHash::from_bytes([n; 16])),
                client_id,
                resource,
                request: Some(RequestFacts { ip, ..RequestFacts::default() }),
                credential: credential.then(|| Credential { connection, act, ..Credential::default() }),
                ..Event::new(UnixMillis(5), action, outcome, actor)
            }
        }
    }

    prop_compose! {
        fn filters()(
            action in option::of(of(ACTIONS)), denied: Option<bool>, actor in option::of(actor()),
            subject in option::of(subject()), session in option::of(0u8..3),
            texts in [text(), text(), text(), text()], keep: u8,
        ) -> Filter {
            let [client_id, resource, ip, connection] = texts;
            let kept = |bit: u8| keep & (1 << bit) != 0;
            Filter {
                action: action.filter(|_| kept(0)),
                outcome: denied.map(|it| if it { Outcome::Denied } else { Outcome::Success }).filter(|_| kept(1)),
                actor: actor.filter(|_| kept(2)),
                subject: subject.filter(|_| kept(3)),
                session: session.map(|n| LogHash::from_bytes([n; 16])).filter(|_| kept(4)),
                client_id: client_id.filter(|_| kept(5)),
                resource: resource.filter(|_| kept(6)),
                ip: ip.filter(|_| kept(7)),
                connection: connection.filter(|_| !kept(7)),
                ..Filter::default()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        /// Where a line fits, neither the index nor the look at the bytes passes it over.
        #[test]
        fn a_line_that_fits_has_the_terms_and_the_bytes_that_are_looked_for(
            event in events(), filter in filters(),
        ) {
            let position = Position {
                index: 1,
                lane: 0,
                producer: ProducerId::from_bytes([3; 16]),
                sequence: 1,
                received: UnixMillis(5),
                committed: UnixMillis(5),
            };
            let line = render(&event, None, None, &position).expect("renders");
            let parsed = Line::parse(&line).expect("a line");
            let parsed = match personal(&event).expect("renders") {
                Some(sealed) => parsed.opened(&sealed).expect("opens"),
                None => parsed,
            };
            if filter.matches(&parsed) {
                let mut terms = Vec::new();
                key().add_terms_of(&event, &mut terms);
                for wanted in key().terms_of_filter(&filter) {
                    prop_assert!(terms.contains(&wanted));
                }
                if let Some(needle) = filter.needle() {
                    prop_assert!(line.contains(&needle), "{needle} in {line}");
                }
            }
            // And the filter is what it says: each member by itself.
            let subject = |key: SubjectKey| key.to_string();
            let expected = filter.subject.is_none_or(|it| event.subject == Some(it))
                && filter.session.is_none_or(|it| event.session == Some(it))
                && filter.action.is_none_or(|it| event.action == it)
                && filter.outcome.is_none_or(|it| event.outcome == it)
                && filter.client_id.as_ref().is_none_or(|it| event.client_id.as_ref() == Some(it))
                && filter.resource.as_ref().is_none_or(|it| event.resource.as_ref() == Some(it))
                && filter.ip.as_ref().is_none_or(|it| {
                    event.request.as_ref().and_then(|facts| facts.ip.as_ref()) == Some(it)
                })
                && filter.connection.as_ref().is_none_or(|it| {
                    event.actor == Actor::Connection(it.clone())
                        || event.credential.as_ref().and_then(|it| it.connection.as_ref()) == Some(it)
                })
                && filter.actor.as_ref().is_none_or(|wanted| match (wanted, &event.actor) {
                    (Actor::Anonymous | Actor::Unproven(_), Actor::Anonymous | Actor::Unproven(_)) => true,
                    (Actor::Subject(key), _) if event.credential.as_ref().is_some_and(|it| {
                        it.act.iter().any(|act| subject(*act) == subject(*key))
                    }) => true,
                    (wanted, actor) => wanted == actor,
                });
            prop_assert_eq!(filter.matches(&parsed), expected);
        }
    }
}
