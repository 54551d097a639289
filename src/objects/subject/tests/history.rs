//! Promise 1 and promise 4 at the storage seam: whatever happens in whatever order, with storage
//! failing both ways at any call, an acknowledged kill holds and an acknowledged event is logged once.

use super::{
    KEY, PRODUCER, START, at, check_of, deactivate, kill, login, reactivate, redeem, subject,
    verdict, with_token,
};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::lane::service::LaneService;
use crate::objects::outbox::Producer;
use crate::objects::subject::service::SubjectService;
use portcullis_core::audit::call::{Append, Query};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::id::{ProducerId, SessionId, TokenId};
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::login::LoginReply;
use portcullis_core::session::revoke::{RevokeReply, Scope};
use proptest::prelude::*;

/// A step of a history. `u8` picks one of a few sessions, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Login(u8),
    Redeem(u8),
    KillSubject,
    KillSession(u8),
    KillToken(u8),
    Deactivate,
    Reactivate,
    Deliver { acknowledge: bool },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Option<(u32, bool)>)>> {
    let step = prop_oneof![
        4 => (1u8..6).prop_map(Step::Login),
        6 => (1u8..6).prop_map(Step::Redeem),
        1 => Just(Step::KillSubject),
        2 => (1u8..6).prop_map(Step::KillSession),
        1 => (1u8..6).prop_map(Step::KillToken),
        1 => Just(Step::Deactivate),
        1 => Just(Step::Reactivate),
        2 => any::<bool>().prop_map(|acknowledge| Step::Deliver { acknowledge }),
        1 => Just(Step::Restart),
    ];
    let fault = prop::option::weighted(0.4, (0u32..14, any::<bool>()));
    prop::collection::vec((step, fault), 1..40)
}

/// What an outside observer knows for certain.
#[derive(Default)]
struct Observed {
    /// Checks whose credential must be denied from now on, whatever happens.
    dead: Vec<CheckRequest>,
    /// Credentials that were handed out, by session number.
    tokens: Vec<(u8, CheckRequest)>,
    /// An acknowledged deactivation with no reactivation tried since.
    disabled: bool,
    /// (action, count) of acknowledged changes that must be in the log.
    acknowledged_kills: usize,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_acknowledged_kill_holds_and_every_acknowledged_event_is_logged_once(steps in steps()) {
        let mut subject = subject();
        let lane = LaneService::new(HostSql::new());
        let mut seen = Observed::default();
        let mut version = 0;
        for (n, (step, fault)) in steps.into_iter().enumerate() {
            let now = at(10 + n as u64);
            if let Some((nth, persisted)) = fault {
                let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
                subject.sql().fail_nth(nth, fault);
            }
            let covered = |seen: &Observed, of: Option<u8>| {
                seen.tokens
                    .iter()
                    .filter(|(n, _)| of.is_none_or(|of| of == *n))
                    .map(|(_, check)| check.clone())
                    .collect::<Vec<_>>()
            };
            match step {
                // A session id is random and never comes twice; a used number is skipped.
                Step::Login(n) if seen.tokens.iter().all(|(of, _)| *of != n) => {
                    let reply = subject.run(KEY, login(n, now), now, PRODUCER);
                    if seen.disabled {
                        prop_assert!(reply != Ok(LoginReply::Begun));
                    }
                }
                Step::Redeem(n) => {
                    if let Ok(Ok(facts)) = subject.run(KEY, redeem(n), now, PRODUCER) {
                        let check = check_of(&facts, TokenId::from_bytes([n; 16]));
                        prop_assert!(!seen.disabled, "a token for a deactivated subject");
                        prop_assert!(!seen.dead.contains(&check), "a code outlived its session");
                        seen.tokens.push((n, check));
                    }
                }
                Step::Login(_) => {}
                Step::KillSubject => {
                    if subject.run(KEY, kill(Scope::Subject), now, PRODUCER).is_ok() {
                        seen.acknowledged_kills += 1;
                        let covered = covered(&seen, None);
                        seen.dead.extend(covered);
                    }
                }
                Step::KillSession(n) => {
                    let scope = Scope::Session(SessionId::from_bytes([n; 16]));
                    if let Ok(RevokeReply::Revoked(revoked)) = subject.run(KEY, kill(scope), now, PRODUCER) {
                        seen.acknowledged_kills += usize::from(revoked.changed);
                        let covered = covered(&seen, Some(n));
                        seen.dead.extend(covered);
                    }
                }
                Step::KillToken(n) => {
                    let scope = Scope::Token(TokenId::from_bytes([n; 16]));
                    if subject.run(KEY, kill(scope), now, PRODUCER).is_ok() {
                        seen.acknowledged_kills += 1;
                        let covered = covered(&seen, Some(n));
                        seen.dead.extend(covered);
                    }
                }
                Step::Deactivate => {
                    version += 1;
                    if subject.run(KEY, deactivate(version), now, PRODUCER).is_ok() {
                        seen.acknowledged_kills += 1;
                        seen.disabled = true;
                        let covered = covered(&seen, None);
                        seen.dead.extend(covered);
                    }
                }
                Step::Reactivate => {
                    version += 1;
                    seen.disabled = false;
                    let _ = subject.run(KEY, reactivate(version), now, PRODUCER);
                }
                Step::Deliver { acknowledge } => {
                    if let Ok(packs) = subject.waiting() {
                        lane.append(Append { received: now, packs: packs.clone() }, now).expect("lane");
                        // Not acknowledging is a crash between the lane's commit and ours.
                        if acknowledge {
                            let _ = subject.acknowledge(&packs);
                        }
                    }
                }
                Step::Restart => subject = SubjectService::new(subject.into_sql()),
            }
            subject.sql().heal();
            for check in &seen.dead {
                prop_assert!(
                    matches!(verdict(&subject, check, now), Verdict::Denied(_)),
                    "accepted after an acknowledged kill"
                );
            }
        }
        let packs = subject.waiting().expect("reads");
        lane.append(Append { received: START, packs }, START).expect("lane");
        let (kills, distinct) = logged_kills(&lane);
        prop_assert!(kills >= seen.acknowledged_kills, "an acknowledged kill is not in the log");
        prop_assert_eq!(kills, distinct, "an event is in the log twice");
    }
}

/// Kill events in the log, and how many different (producer, sequence) they have.
fn logged_kills(lane: &LaneService<HostSql>) -> (usize, usize) {
    let query = Query {
        filter: Filter {
            action: Some(Action::Kill),
            ..Filter::default()
        },
        order: Order::Oldest,
        cursor: None,
        limit: 10_000,
        read: Event::new(START, Action::AuditRead, Outcome::Success, Actor::Anonymous),
    };
    let page = lane
        .query(query, START, ProducerId::from_bytes([7; 16]))
        .expect("reads");
    let identities: std::collections::BTreeSet<String> = page
        .lines
        .iter()
        .map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
            format!("{}/{}", value["producer"], value["sequence"])
        })
        .collect();
    (page.lines.len(), identities.len())
}

#[test]
fn every_storage_call_of_a_kill_fails_both_ways_and_a_retry_makes_it_hold() {
    let calls = {
        let (subject, _) = with_token(1);
        let before = subject.sql().calls();
        subject
            .run(KEY, kill(Scope::Subject), at(3), PRODUCER)
            .expect("stores");
        subject.sql().calls() - before
    };
    assert!(calls >= 5, "the kill made {calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let (subject, check) = with_token(1);
            subject.sql().fail_nth(nth, fault);
            let failed = subject.run(KEY, kill(Scope::Subject), at(3), PRODUCER);
            assert!(failed.is_err(), "call {nth} failed and was not reported");
            assert!(!subject.sql().heal());
            let half_done = verdict(&subject, &check, at(3));
            let waiting = subject.waiting().expect("reads").len();
            // All of it or nothing: denied with the event, or active without.
            let expected = if waiting == 3 {
                Verdict::Denied(DenyReason::SessionEnded)
            } else {
                half_done
            };
            assert_eq!(half_done, expected, "call {nth}, {fault:?}");
            assert_eq!(
                waiting,
                if matches!(half_done, Verdict::Active { .. }) {
                    2
                } else {
                    3
                },
                "call {nth}, {fault:?}"
            );
            subject
                .run(KEY, kill(Scope::Subject), at(4), PRODUCER)
                .expect("stores");
            assert_eq!(
                verdict(&subject, &check, at(4)),
                Verdict::Denied(DenyReason::SessionEnded)
            );
        }
    }
}
