//! What is sealed opens by its own key, whole, and by nothing else.

use super::*;
use crate::audit::event::{Action, Outcome, RequestFacts};
use crate::audit::line::render;
use proptest::prelude::*;

fn place(lane: u32, producer: u8, sequence: u64) -> Place {
    Place {
        lane,
        producer: ProducerId::from_bytes([producer; 16]),
        sequence,
    }
}

fn key(byte: u8) -> PersonKey {
    PersonKey::from_bytes([byte; 32])
}

fn event(actor: Actor, subject: Option<SubjectKey>) -> Event {
    Event {
        subject,
        request: Some(RequestFacts {
            method: "GET".into(),
            host: "h".into(),
            path: "/p".into(),
            ip: Some("192.0.2.7".into()),
            user_agent: Some("ua".into()),
            ..RequestFacts::default()
        }),
        claims: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
        ..Event::new(
            UnixMillis(1),
            Action::RequestAllowed,
            Outcome::Success,
            actor,
        )
    }
}

fn position(committed: u64) -> Position {
    Position {
        index: 7,
        lane: 0,
        producer: ProducerId::from_bytes([3; 16]),
        sequence: 4,
        received: UnixMillis(2000),
        committed: UnixMillis(committed),
    }
}

#[test]
fn golden_text_and_its_golden_seal() {
    let text = personal(&event(Actor::Anonymous, None)).expect("renders");
    let text = text.expect("something");
    assert_eq!(
        text,
        r#"{"ip":"192.0.2.7","user_agent":"ua","claims":{"a":"1","b":"2"}}"#
    );
    let place = place(0, 3, 4);
    let leaf = key(1).leaf(place);
    assert_eq!(
        leaf.to_text(),
        "RWSCbEqRMd481D56coGyoWoVExcJA_0zb80cdRwNCRI"
    );
    let sealed = leaf.seal(place, &text).expect("seals");
    // By an implementation of HMAC, HChaCha20 and ChaCha20-Poly1305 that has nothing in common with this one.
    assert_eq!(
        sealed,
        "AWTye6Mr4ap5m1v1ClyS4U9cn0uc3NfWUHij3QLgQndpO7cdWn5VnDj0Ma6PBWTD7JEBvY4YzimOYVhaQZ5RGJmu8M1EFfA5sUyxiLAoCprbHzUg7bWXu-aLCLdQhr24Pdmlh5wCBtnJFwvqLzhOoyA"
    );
    assert_eq!(leaf.open(place, &sealed), Some(text));
}

#[test]
fn what_has_nothing_personal_has_no_text() {
    let mut said = event(Actor::Anonymous, None);
    said.claims.clear();
    let request = said.request.as_mut().expect("a request");
    (request.ip, request.user_agent) = (None, None);
    assert_eq!(personal(&said).expect("renders"), None);
    said.request = None;
    assert_eq!(personal(&said).expect("renders"), None);
}

#[test]
fn a_text_opens_to_one_thing_whoever_made_the_keys() {
    // The cipher alone would let both keys open a text that was made for that; the commitment does not.
    let place = place(0, 1, 1);
    let sealed = LeafKey::from_bytes([1; 32])
        .seal(place, "{}")
        .expect("seals");
    let bytes = from_base64url(&sealed).expect("base64url");
    let other = LeafKey::from_bytes([2; 32]);
    let commitment: [u8; COMMITMENT] = bytes[1..=COMMITMENT].try_into().expect("a commitment");
    let nonce = commitment.first_chunk().expect("a nonce");
    let text = [b' '; BLOCK];
    let forged = encrypt(
        &Mac::new(&other.0).of(ENCRYPTION, &[]),
        nonce,
        &place.to_bytes(),
        &text,
    )
    .expect("encrypts");
    let forged = base64url(&[&[VERSION], commitment.as_slice(), &forged].concat());
    assert_eq!(other.open(place, &forged), None);
}

#[test]
fn lengths_are_told_roughly() {
    let place = place(0, 1, 1);
    let leaf = key(1).leaf(place);
    let length = |text: &str| leaf.seal(place, text).expect("seals").len();
    let of = |n: usize| length(&"x".repeat(n));
    assert!((1..=32).all(|n| of(n) == of(32)));
    assert!((33..=64).all(|n| of(n) == of(64)));
    assert_ne!(of(32), of(33));
}

#[test]
fn days_are_read_as_they_are_written() {
    assert_eq!(Day::parse("1970-01-02"), Some(Day(1)));
    assert_eq!(
        Day::parse("2026-11-26").expect("a day").to_string(),
        "2026-11-26"
    );
    for no in [
        "",
        "2026-11",
        "2026-11-26T",
        "2026-1-2",
        "2026-02-30",
        "+2026-11-26",
    ] {
        assert_eq!(Day::parse(no), None, "{no}");
    }
    assert_eq!(Day::of(UnixMillis(DAY_MS - 1)), Day(0));
    assert_eq!(Day::of(UnixMillis(DAY_MS)), Day(1));
}

#[test]
fn who_owns_an_event_owns_its_line() {
    let (actor, subject) = (
        SubjectKey::from_bytes([1; 16]),
        SubjectKey::from_bytes([2; 16]),
    );
    let day = Owner::Day(Day(3));
    let cases = [
        (Actor::Subject(actor), Some(subject), Owner::Subject(actor)),
        (Actor::Subject(actor), None, Owner::Subject(actor)),
        (Actor::Anonymous, Some(subject), Owner::Subject(subject)),
        (
            Actor::Connection("c".into()),
            Some(subject),
            Owner::Subject(subject),
        ),
        (
            Actor::Client("c".into()),
            Some(subject),
            Owner::Subject(subject),
        ),
        (Actor::Unproven(2), None, day),
        (Actor::Anonymous, None, day),
        // The address is the operator's, who is not the one concerned.
        (Actor::Operator("admin".into()), Some(subject), day),
    ];
    for (actor, subject, owner) in cases {
        let position = position(3 * DAY_MS + 5);
        let said = event(actor, subject);
        assert_eq!(Owner::of(&said, position.committed), owner);
        let line = render(&said, None, Some("x"), &position).expect("renders");
        let read = SealedLine::parse(&line).expect("a sealed line");
        assert_eq!((read.owner, read.place), (owner, Place::from(&position)));
        let clear = render(&said, None, None, &position).expect("renders");
        assert_eq!(SealedLine::parse(&clear), None);
    }
}

#[test]
fn owners_are_stored_apart_and_days_in_order() {
    let subject = Owner::Subject(SubjectKey::from_bytes([255; 16])).to_bytes();
    let days: Vec<_> = [0, 1, 255, 256, u32::MAX]
        .map(|day| Owner::Day(Day(day)).to_bytes())
        .to_vec();
    assert!(days.is_sorted() && days.iter().all(|day| *day > subject));
}

#[test]
fn what_looks_like_a_sealed_line_and_is_none_is_none() {
    for no in [
        r#""sealed":""#,
        r#"{"sealed":"x"}"#,
        r#"[{"sealed":""}]"#,
        "",
    ] {
        assert_eq!(SealedLine::parse(no), None);
    }
    let said = Event {
        reason: Some(r#"x","sealed":"y"#.into()),
        ..event(Actor::Anonymous, None)
    };
    let line = render(&said, None, None, &position(1)).expect("renders");
    assert_eq!(SealedLine::parse(&line), None);
}

proptest! {
    #[test]
    fn our_hmac_is_hmac(key: [u8; 32], label: Vec<u8>, text in prop::collection::vec(any::<u8>(), 0..300)) {
        let expected = hmac_sha256::HMAC::mac([label.as_slice(), &text].concat(), key);
        prop_assert_eq!(Mac::new(&key).of(&label, &text), expected);
    }

    #[test]
    fn only_the_right_key_opens_and_only_at_its_place(
        text in "[^ ]{0,100}", lane in 0u32..3, producer in 0u8..3, sequence in 0u64..3, other in 0u8..3,
    ) {
        let here = place(1, 1, 1);
        let sealed = key(1).leaf(here).seal(here, &text).expect("seals");
        let there = place(lane, producer, sequence);
        let is_here = there == here && other == 1;
        prop_assert_eq!(key(other).leaf(there).open(there, &sealed), is_here.then(|| text.clone()));
        // The right leaf key, and another place: a line that was moved.
        let leaf = key(1).leaf(here);
        prop_assert_eq!(leaf.open(there, &sealed), (there == here).then_some(text));
    }

    #[test]
    fn each_flipped_bit_is_found(text in "[^ ]{0,80}", at: prop::sample::Index, bit in 0u8..8) {
        let here = place(0, 1, 1);
        let leaf = key(1).leaf(here);
        let sealed = leaf.seal(here, &text).expect("seals");
        let mut bytes = from_base64url(&sealed).expect("base64url");
        let at_byte = at.index(bytes.len());
        bytes[at_byte] ^= 1 << bit;
        prop_assert_eq!(leaf.open(here, &base64url(&bytes)), None);
        // In its text form too, where some bits of the last character mean nothing.
        let mut text = sealed.into_bytes();
        let at_char = at.index(text.len());
        text[at_char] ^= 1 << (bit % 7);
        prop_assert_eq!(leaf.open(here, &String::from_utf8(text).expect("ASCII")), None);
    }

    #[test]
    fn the_same_is_sealed_the_same_and_another_text_under_the_same_key_has_another_nonce(
        one in "[^ ]{0,40}", two in "[^ ]{0,40}",
    ) {
        let here = place(0, 1, 1);
        let leaf = key(1).leaf(here);
        let seal = |text: &str| from_base64url(&leaf.seal(here, text).expect("seals")).expect("base64url");
        prop_assert_eq!(seal(&one), seal(&one));
        let nonce = |text: &str| seal(text)[1..=NONCE].to_vec();
        prop_assert_eq!(nonce(&one) == nonce(&two), one == two);
    }

    #[test]
    fn arbitrary_texts_never_panic(sealed: String, bytes: Vec<u8>, line: String) {
        let here = place(0, 1, 1);
        prop_assert_eq!(key(1).leaf(here).open(here, &sealed), None);
        prop_assert_eq!(key(1).leaf(here).open(here, &base64url(&bytes)), None);
        prop_assert_eq!(SealedLine::parse(&line), None);
    }
}
