//! The packer under every order of arrivals, timers, answers and lost requests.

use super::*;
use portcullis_core::audit::event::{Action, Actor, Outcome, RequestFacts};
use proptest::prelude::*;
use std::collections::BTreeSet;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const PRODUCER: ProducerId = ProducerId::from_bytes([3; 16]);

fn at(ms: u64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

/// An event that can be told from every other, with up to half a kilobyte of path.
fn event(name: u64, path_bytes: usize) -> Event {
    Event {
        client_id: Some(name.to_string()),
        request: Some(RequestFacts {
            path: "p".repeat(path_bytes),
            ..RequestFacts::default()
        }),
        ..Event::new(
            NOW,
            Action::RequestAllowed,
            Outcome::Success,
            Actor::Anonymous,
        )
    }
}

fn refusal(now: UnixMillis) -> Event {
    Event {
        reason: Some("signature".to_owned()),
        ..Event::new(
            now,
            Action::CredentialRefused,
            Outcome::Denied,
            Actor::Anonymous,
        )
    }
}

fn sequences(sealed: &Sealed) -> (u64, u64) {
    let pack = Pack::decode(sealed.bytes()).expect("a pack");
    (pack.first_sequence, pack.last_sequence())
}

#[test]
fn one_request_waits_and_sends_for_all() {
    let mut packer = Packer::new(PRODUCER);
    assert_eq!(packer.add(event(1, 9), at(0)), Next::Wait(GATHER_MS));
    assert_eq!(packer.add(event(2, 9), at(10)), Next::Nothing);
    let sealed = packer.due(at(GATHER_MS)).expect("a pack");
    assert_eq!((sequences(&sealed), sealed.events()), ((1, 2), 2));
    // The next event begins anew, while that pack is under way.
    assert_eq!(packer.add(event(3, 9), at(260)), Next::Wait(GATHER_MS));
    assert_eq!(packer.done(&sealed, at(300)), None);
    let next = packer.due(at(510)).expect("a pack");
    assert_eq!(sequences(&next), (3, 3));
    assert_eq!(packer.due(at(600)), None);
}

#[test]
fn a_full_pack_goes_at_once() {
    let mut packer = Packer::new(PRODUCER);
    let mut name = 0;
    let sealed = loop {
        name += 1;
        match packer.add(event(name, 500), at(0)) {
            Next::Send(sealed) => break sealed,
            Next::Wait(_) | Next::Nothing => assert!(name < 1000, "never full"),
        }
    };
    assert!(sealed.bytes().len() > MAX_PACK_BYTES - 8192);
    assert_eq!(sequences(&sealed), (1, name - 1));
}

#[test]
fn a_denial_has_a_pack_and_a_sequence_of_its_own() {
    let mut packer = Packer::new(PRODUCER);
    packer.add(event(1, 9), at(0));
    let alone = packer.alone(event(2, 9)).expect("a pack");
    let gathered = packer.due(at(GATHER_MS)).expect("a pack");
    assert_eq!((sequences(&alone), sequences(&gathered)), ((1, 1), (2, 2)));
}

#[test]
fn whoever_was_ended_before_sending_is_followed_by_the_next() {
    let mut packer = Packer::new(PRODUCER);
    assert_eq!(packer.add(event(1, 9), at(0)), Next::Wait(GATHER_MS));
    let overdue = GATHER_MS + OVERDUE_MS;
    assert_eq!(packer.add(event(2, 9), at(overdue - 1)), Next::Nothing);
    assert_eq!(packer.add(event(3, 9), at(overdue)), Next::Wait(GATHER_MS));
}

#[test]
fn while_the_queue_is_slow_memory_is_bounded_and_what_is_dropped_leaves_a_gap() {
    let mut packer = Packer::new(PRODUCER);
    let mut under_way = Vec::new();
    for name in 0..10_000 {
        if let Next::Send(sealed) = packer.add(event(name, 500), at(0)) {
            under_way.push(sealed);
        }
    }
    assert_eq!(under_way.len(), MAX_UNDER_WAY);
    assert!(packer.gathered_bytes <= MAX_EVENTS_BYTES);
    let dropped = packer.take_dropped();
    assert!(dropped > 0);
    // Whoever is done goes on with what was gathered; the sequences tell of the rest.
    let first = under_way.first().expect("one");
    assert_eq!(packer.due(at(1)), None);
    let last = packer.done(first, at(2)).expect("another");
    let sent: u64 = under_way.iter().map(|sealed| sealed.events() as u64).sum();
    assert_eq!(sent + last.events() as u64 + dropped, 10_000);
    assert_eq!(sequences(&last).1, 10_000);
    // A request that was ended while it sent does not block the others for ever.
    packer.add(event(1, 9), at(3));
    assert_eq!(packer.due(at(4)), None);
    assert!(packer.due(at(LOST_MS)).is_some());
}

#[test]
fn refusals_are_one_event_and_one_count_however_many_there_are() {
    let mut packer = Packer::new(PRODUCER);
    assert_eq!(packer.refused(refusal(at(0)), at(0)), Next::Wait(GATHER_MS));
    let first = packer.due(at(GATHER_MS)).expect("a pack");
    packer.done(&first, at(260));
    let Next::Wait(ms) = packer.refused(refusal(at(300)), at(300)) else {
        panic!("nobody sees to the count");
    };
    for ms in 301..1301 {
        assert_eq!(packer.refused(refusal(at(ms)), at(ms)), Next::Nothing);
    }
    assert_eq!(packer.due(at(5000)), None);
    let count = packer.due(at(300 + ms)).expect("a pack");
    let pack = Pack::decode(count.bytes()).expect("a pack");
    assert!(pack.is_a_gateways());
    let actors: Vec<_> = pack.events.into_iter().map(|event| event.actor).collect();
    assert_eq!(actors, [Actor::Unproven(1001)]);
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Refuse,
    Alone,
    Pass(u64),
    /// The runtime wakes somebody who waits.
    Wake(prop::sample::Index),
    /// The queue has answered somebody.
    Answer(prop::sample::Index),
    /// The runtime ends a request that waits.
    EndWaiting(prop::sample::Index),
    /// The runtime ends a request that sends.
    EndSending(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0usize..512).prop_map(Step::Add),
        4 => Just(Step::Refuse),
        2 => Just(Step::Alone),
        4 => (0u64..4000).prop_map(Step::Pass),
        4 => any::<prop::sample::Index>().prop_map(Step::Wake),
        4 => any::<prop::sample::Index>().prop_map(Step::Answer),
        1 => any::<prop::sample::Index>().prop_map(Step::EndWaiting),
        1 => any::<prop::sample::Index>().prop_map(Step::EndSending),
    ]
}

/// The packer, the requests that use it, and what reached the queue.
struct Isolate {
    packer: Packer,
    now: UnixMillis,
    waiting: Vec<UnixMillis>,
    sending: Vec<Sealed>,
    sent: Vec<Pack>,
    tried: u64,
    refused: u64,
}

impl Isolate {
    fn carry_out(&mut self, next: Next) {
        match next {
            Next::Nothing => {}
            Next::Wait(ms) => self.waiting.push(UnixMillis(self.now.0 + ms)),
            Next::Send(sealed) => self.send(Some(sealed)),
        }
    }

    fn send(&mut self, sealed: Option<Sealed>) {
        if let Some(sealed) = sealed {
            self.sent
                .push(Pack::decode(sealed.bytes()).expect("a pack"));
            self.sending.push(sealed);
        }
    }

    fn wake(&mut self, index: usize) {
        self.now = self.now.max(self.waiting.swap_remove(index));
        let due = self.packer.due(self.now);
        self.send(due);
    }

    fn answer(&mut self, index: usize) {
        let sealed = self.sending.swap_remove(index);
        let next = self.packer.done(&sealed, self.now);
        self.send(next);
    }

    fn add(&mut self, path_bytes: usize) {
        self.tried += 1;
        let next = self.packer.add(event(self.tried, path_bytes), self.now);
        self.carry_out(next);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_event_is_sent_once_or_counted_as_dropped_under_sequences_that_never_overlap(
        steps in prop::collection::vec(step(), 1..600),
        // Many alike at once, so that packs are full.
        burst in 0usize..1500,
    ) {
        let mut isolate = Isolate {
            packer: Packer::new(PRODUCER),
            now: NOW,
            waiting: Vec::new(),
            sending: Vec::new(),
            sent: Vec::new(),
            tried: 0,
            refused: 0,
        };
        for _ in 0..burst {
            isolate.add(511);
        }
        for step in steps {
            let (waiting, sending) = (isolate.waiting.len(), isolate.sending.len());
            match step {
                Step::Add(bytes) => isolate.add(bytes),
                Step::Refuse => {
                    isolate.refused += 1;
                    let next = isolate.packer.refused(refusal(isolate.now), isolate.now);
                    isolate.carry_out(next);
                }
                Step::Alone => {
                    isolate.tried += 1;
                    let sealed = isolate.packer.alone(event(isolate.tried, 0)).expect("a pack");
                    isolate.sent.push(Pack::decode(sealed.bytes()).expect("a pack"));
                }
                Step::Pass(ms) => isolate.now = UnixMillis(isolate.now.0 + ms),
                Step::Wake(index) if waiting > 0 => isolate.wake(index.index(waiting)),
                Step::Answer(index) if sending > 0 => isolate.answer(index.index(sending)),
                Step::EndWaiting(index) if waiting > 0 => {
                    isolate.waiting.swap_remove(index.index(waiting));
                }
                Step::EndSending(index) if sending > 0 => {
                    isolate.sending.swap_remove(index.index(sending));
                }
                _ => {}
            }
            prop_assert!(isolate.packer.gathered_bytes <= MAX_EVENTS_BYTES);
            prop_assert!(isolate.packer.under_way.len() <= MAX_UNDER_WAY);
        }
        // Whoever still lives does what it was told to, and one more request comes when all is late.
        isolate.now = UnixMillis(isolate.now.0 + LOST_MS);
        isolate.add(0);
        while !(isolate.waiting.is_empty() && isolate.sending.is_empty()) {
            if isolate.waiting.is_empty() {
                isolate.answer(0);
            } else {
                isolate.wake(0);
            }
        }
        prop_assert!(isolate.packer.gathered.is_empty(), "something is never sent");
        prop_assert!(!isolate.packer.refusals.are_due(0, isolate.now));

        let mut names = BTreeSet::new();
        let mut sequences = BTreeSet::new();
        let (mut firsts, mut counted) = (0, 0);
        for pack in &isolate.sent {
            for (sequence, event) in (pack.first_sequence..).zip(&pack.events) {
                prop_assert!(sequences.insert(sequence), "{} is there twice", sequence);
                match (&event.client_id, &event.actor) {
                    (Some(name), _) => prop_assert!(names.insert(name.clone()), "{} twice", name),
                    (None, Actor::Unproven(count)) => counted += u64::from(*count),
                    (None, _) => firsts += 1,
                }
            }
        }
        let dropped = isolate.packer.take_dropped();
        let logged = names.len() as u64 + firsts;
        prop_assert!(logged <= isolate.tried + isolate.refused);
        prop_assert!(names.len() as u64 <= isolate.tried);
        prop_assert!(logged + dropped >= isolate.tried, "{} + {} of {}", logged, dropped, isolate.tried);
        prop_assert!(firsts + counted + dropped >= isolate.refused, "a refusal is missing");
        prop_assert!(firsts + counted <= isolate.refused);
        // What was tried and did not come through is a gap, and nothing else is.
        let last = isolate.packer.next_sequence - 1;
        prop_assert_eq!(sequences.len() as u64 + dropped, last);
    }
}
