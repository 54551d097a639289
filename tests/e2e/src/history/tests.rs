//! The judge: it accuses nobody who kept the promises, and finds every breach that is put into a record.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

const D: Micros = 1_000_000;
const CREDENTIALS: usize = 6;
/// The last that nobody ends.
const SPARED: usize = CREDENTIALS - 1;

fn request(
    credential: usize,
    consistency: Consistency,
    (invoked, answered): (Micros, Micros),
    outcome: Outcome,
) -> Request {
    Request {
        credential,
        way: 0,
        consistency,
        invoked,
        answered,
        outcome,
    }
}

fn kill(covers: &[usize], sent: Micros, acknowledged: Micros, committed: Micros) -> Kill {
    Kill {
        covers: covers.to_vec(),
        sent,
        acknowledged: Some(acknowledged),
        committed: Some(committed),
    }
}

/// One request of credential 0, which a kill ends: sent at 100, acknowledged at 200, in the feed at 150.
fn judged(consistency: Consistency, times: (Micros, Micros), outcome: Outcome) -> Vec<Broken> {
    let history = History {
        requests: vec![request(0, consistency, times, outcome)],
        kills: vec![kill(&[0], 100, 200, 150)],
        faults: Vec::new(),
    };
    history.judge()
}

#[test]
fn a_strict_acceptance_may_begin_before_the_acknowledgement_and_not_with_it() {
    let accepted = |at| judged(Consistency::Strict, (at, at + 500), Outcome::Accepted);
    assert_eq!(accepted(199), []);
    let late = |later| [Broken::AcceptedAfterAcknowledgement { request: 0, later }];
    assert_eq!(accepted(200), late(0));
    assert_eq!(accepted(207), late(7));
}

#[test]
fn a_bounded_acceptance_may_begin_until_its_bound_after_the_commit() {
    let accepted = |at| judged(Consistency::Bounded(D), (at, at + 1), Outcome::Accepted);
    assert_eq!(accepted(150 + D + RESOLUTION), []);
    assert_eq!(
        accepted(151 + D + RESOLUTION),
        [Broken::AcceptedPastBound {
            request: 0,
            after_commit: D + RESOLUTION + 1
        }]
    );
    // A smaller bound is a stricter promise.
    let closer = judged(Consistency::Bounded(10), (5_000, 5_001), Outcome::Accepted);
    assert_eq!(closer.len(), 1);
}

#[test]
fn a_denial_needs_a_kill_that_was_sent_before_it_was_answered() {
    for consistency in [Consistency::Strict, Consistency::Bounded(D)] {
        let denied = |answered| judged(consistency, (1, answered), Outcome::Denied);
        assert_eq!(denied(100), []);
        assert_eq!(denied(99), [Broken::LiveDenied { request: 0 }]);
    }
}

#[test]
fn what_was_denied_once_is_not_accepted_strictly_whether_or_not_its_kill_was_answered() {
    let history = |second: Micros| History {
        requests: vec![
            request(0, Consistency::Bounded(D), (120, 130), Outcome::Denied),
            request(0, Consistency::Strict, (second, 500), Outcome::Accepted),
        ],
        kills: vec![Kill {
            covers: vec![0],
            sent: 100,
            acknowledged: None,
            committed: None,
        }],
        faults: Vec::new(),
    };
    assert_eq!(history(129).judge(), []);
    assert_eq!(
        history(130).judge(),
        [Broken::AcceptedAfterDenial { request: 1 }]
    );
}

#[test]
fn no_answer_is_excused_by_a_fault_of_that_time_and_way_only() {
    let is_excused = |from, to, ways: &[usize]| {
        let history = History {
            requests: vec![request(
                0,
                Consistency::Bounded(D),
                (100, 200),
                Outcome::Nothing,
            )],
            kills: Vec::new(),
            faults: vec![Fault {
                from,
                to,
                ways: ways.to_vec(),
            }],
        };
        history.judge().is_empty()
    };
    assert!(is_excused(150, 160, &[0]));
    assert!(is_excused(0, 100, &[1, 0]));
    assert!(is_excused(200, 300, &[0]));
    assert!(!is_excused(0, 99, &[0]));
    assert!(!is_excused(201, 300, &[0]));
    assert!(!is_excused(0, 300, &[1]));
}

#[test]
fn an_earlier_kill_of_the_same_counts_also_where_a_later_one_was_acknowledged_first() {
    let history = History {
        requests: vec![request(
            0,
            Consistency::Strict,
            (250, 260),
            Outcome::Accepted,
        )],
        kills: vec![kill(&[0, 1], 100, 300, 150), kill(&[2, 0], 120, 240, 160)],
        faults: Vec::new(),
    };
    assert_eq!(
        history.judge(),
        [Broken::AcceptedAfterAcknowledgement {
            request: 0,
            later: 10
        }]
    );
}

/// When a kill happened: sent, in effect, in the feed, acknowledged.
#[derive(Clone, Debug)]
struct Happened {
    credential: usize,
    sent: Micros,
    effect: Micros,
    commit: Micros,
    acknowledged: Option<Micros>,
}

fn happened(credential: usize) -> impl Strategy<Value = Happened> {
    let times = (
        1_000_000..2_000_000u64,
        0..40_000u64,
        0..1_500_000u64,
        0..40_000u64,
        any::<bool>(),
    );
    times.prop_map(move |(sent, to_effect, to_commit, to_answer, answered)| {
        let effect = sent + to_effect;
        Happened {
            credential,
            sent,
            effect,
            commit: effect + to_commit,
            acknowledged: answered.then_some(effect + to_answer),
        }
    })
}

/// A request of a service that keeps its promises: it is decided at a moment between its beginning and its end, a
/// bounded one by what the feed had at some moment of the last D before that, or strictly.
#[derive(Clone, Debug)]
struct Asked {
    credential: usize,
    invoked: Micros,
    to_decision: Micros,
    to_answer: Micros,
    /// How old the view is that decides; `None`: it is asked strictly.
    view_age: Option<Micros>,
    bounded: bool,
}

impl Asked {
    fn answered(&self, kills: &[Happened]) -> Request {
        let decided = self.invoked + self.to_decision;
        let of_this = |kill: &&Happened| kill.credential == self.credential;
        let ended = kills
            .iter()
            .filter(of_this)
            .any(|kill| kill.effect <= decided);
        let known = match self.view_age.filter(|_| self.bounded) {
            // The view sends to the strict check what it finds.
            Some(age) => kills
                .iter()
                .filter(of_this)
                .any(|kill| kill.commit <= decided - age),
            None => true,
        };
        let consistency = if self.bounded {
            Consistency::Bounded(D)
        } else {
            Consistency::Strict
        };
        let outcome = if ended && known {
            Outcome::Denied
        } else {
            Outcome::Accepted
        };
        let answered = decided + self.to_answer;
        request(
            self.credential,
            consistency,
            (self.invoked, answered),
            outcome,
        )
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let fields = (
        0..CREDENTIALS,
        1_000_000..5_000_000u64,
        0..30_000u64,
        0..30_000u64,
        proptest::option::of(0..=D),
        any::<bool>(),
    );
    fields.prop_map(
        |(credential, invoked, to_decision, to_answer, view_age, bounded)| Asked {
            credential,
            invoked,
            to_decision,
            to_answer,
            view_age,
            bounded,
        },
    )
}

/// The record of a service that keeps its promises; the last credential is nobody's to end.
fn honest() -> impl Strategy<Value = History> {
    let kills: Vec<_> = (0..SPARED).map(happened).collect();
    (kills, proptest::collection::vec(asked(), 1..80)).prop_map(|(kills, asked)| History {
        requests: asked.iter().map(|one| one.answered(&kills)).collect(),
        kills: kills
            .iter()
            .map(|kill| Kill {
                covers: vec![kill.credential],
                sent: kill.sent,
                acknowledged: kill.acknowledged,
                // Receipts tell milliseconds.
                committed: Some(kill.commit / 1_000 * 1_000),
            })
            .collect(),
        faults: Vec::new(),
    })
}

/// Puts one more request into a record, somewhere, and expects it among what is broken.
fn finds(mut history: History, at: Index, seeded: Request) -> Result<Broken, TestCaseError> {
    let index = at.index(history.requests.len());
    history.requests.insert(index, seeded);
    let found = history.judge();
    let of_it = found.iter().find(|broken| broken.request() == index);
    of_it
        .copied()
        .ok_or_else(|| TestCaseError::fail(format!("{seeded:?} was not found in {found:?}")))
}

proptest! {
    #[test]
    fn who_keeps_the_promises_is_not_accused(history in honest()) {
        prop_assert_eq!(history.judge(), []);
    }

    #[test]
    fn a_strict_acceptance_after_an_acknowledgement_is_found(
        history in honest(), of in 0..SPARED, later in 0..3_000_000u64, took in 0..50_000u64, at: Index,
    ) {
        let acknowledged = history.kills.get(of).and_then(|kill| kill.acknowledged);
        let Some(acknowledged) = acknowledged else { return Ok(()) };
        let begun = acknowledged + later;
        let seeded = request(of, Consistency::Strict, (begun, begun + took), Outcome::Accepted);
        let found = finds(history, at, seeded)?;
        let Broken::AcceptedAfterAcknowledgement { later: told, .. } = found else {
            return Err(TestCaseError::fail(format!("{found:?}")));
        };
        prop_assert_eq!(told, later);
    }

    #[test]
    fn a_bounded_acceptance_past_its_bound_is_found(
        history in honest(), of in 0..SPARED, past in 1..3_000_000u64, took in 0..50_000u64, at: Index,
    ) {
        let committed = history.kills.get(of).and_then(|kill| kill.committed).unwrap_or_default();
        let begun = committed + D + RESOLUTION + past;
        let seeded = request(of, Consistency::Bounded(D), (begun, begun + took), Outcome::Accepted);
        let found = finds(history, at, seeded)?;
        let is_it = matches!(found, Broken::AcceptedPastBound { .. });
        prop_assert!(is_it);
    }

    #[test]
    fn a_strict_acceptance_after_any_denial_is_found(
        history in honest(), which: Index, later in 0..3_000_000u64, at: Index,
    ) {
        let denied: Vec<Request> = history
            .requests
            .iter()
            .filter(|request| request.outcome == Outcome::Denied)
            .copied()
            .collect();
        if denied.is_empty() { return Ok(()) }
        let denied = denied[which.index(denied.len())];
        let begun = denied.answered + later;
        let seeded = request(denied.credential, Consistency::Strict, (begun, begun + 1), Outcome::Accepted);
        // Where the kill was acknowledged by then, that is said first.
        finds(history, at, seeded)?;
    }

    #[test]
    fn a_denial_of_what_nobody_ended_is_found(
        history in honest(), begun in 1_000_000..5_000_000u64, took in 0..50_000u64, bounded: bool, at: Index,
    ) {
        let consistency = if bounded { Consistency::Bounded(D) } else { Consistency::Strict };
        let seeded = request(SPARED, consistency, (begun, begun + took), Outcome::Denied);
        let found = finds(history, at, seeded)?;
        let is_it = matches!(found, Broken::LiveDenied { .. });
        prop_assert!(is_it);
    }

    #[test]
    fn a_denial_before_the_kill_was_sent_is_found(
        history in honest(), of in 0..SPARED, before in 1..500_000u64, took in 0..50_000u64, at: Index,
    ) {
        let sent = history.kills.get(of).map(|kill| kill.sent).unwrap_or_default();
        let answered = sent - before;
        let seeded = request(of, Consistency::Strict, (answered - took, answered), Outcome::Denied);
        let found = finds(history, at, seeded)?;
        let is_it = matches!(found, Broken::LiveDenied { .. });
        prop_assert!(is_it);
    }

    #[test]
    fn a_request_without_an_answer_is_found(
        history in honest(), of in 0..CREDENTIALS, begun in 0..5_000_000u64, took in 0..50_000u64, at: Index,
    ) {
        let seeded = request(of, Consistency::Bounded(D), (begun, begun + took), Outcome::Nothing);
        let found = finds(history, at, seeded)?;
        let is_it = matches!(found, Broken::NoAnswer { .. });
        prop_assert!(is_it);
    }
}
