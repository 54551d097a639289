//! Promise 1 and promise 4 at the storage seam: whatever happens in whatever order, with storage
//! failing both ways at any call, an acknowledged kill holds, no refresh token has two successors, and
//! an acknowledged event is logged once.

use super::grants::{exchange, first_token, redeem_with_refresh, refresh};
use super::{
    KEY, PRODUCER, START, ask, at, check_of, deactivate, kill, login, reactivate, subject, verdict,
    with_token,
};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::lane::service::LaneService;
use crate::objects::outbox::Producer;
use crate::objects::subject::service::SubjectService;
use portcullis_core::audit::call::{Append, Query};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::id::{SessionId, TokenId};
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::policy::{WideRevocation, WideScope};
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::grant::{Refusal, TokenFacts};
use portcullis_core::session::login::LoginReply;
use portcullis_core::session::provision::{Provision, Provisioned};
use portcullis_core::session::revoke::{RevokeReply, Scope};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Subject = SubjectService<HostSql>;

/// A step of a history. `u8` picks one of a few sessions, so that steps meet.
#[derive(Clone, Debug)]
enum Step {
    Login(u8),
    Redeem(u8),
    KillSubject,
    KillSession(u8),
    KillToken(u8),
    /// Exchange a token that the session was given for a lesser one.
    Exchange(u8),
    /// The directory says which groups they have.
    Provision,
    /// Present the last refresh token that the session was given, or one from so many before.
    Refresh(u8, usize),
    SignOutOthers(u8),
    /// Of the connection, or else of the client.
    RevokeWide(bool),
    Deactivate,
    Reactivate,
    Deliver {
        acknowledge: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(Step, Option<(u32, bool)>)>> {
    let step = prop_oneof![
        4 => (1u8..8).prop_map(Step::Login),
        6 => (1u8..8).prop_map(Step::Redeem),
        1 => Just(Step::KillSubject),
        2 => (1u8..8).prop_map(Step::KillSession),
        1 => (1u8..8).prop_map(Step::KillToken),
        8 => (1u8..6, prop_oneof![4 => Just(0usize), 2 => Just(1), 1 => Just(2)])
            .prop_map(|(n, back)| Step::Refresh(n, back)),
        3 => (1u8..8).prop_map(Step::Exchange),
        1 => Just(Step::Provision),
        1 => (1u8..8).prop_map(Step::SignOutOthers),
        1 => any::<bool>().prop_map(Step::RevokeWide),
        1 => Just(Step::Deactivate),
        1 => Just(Step::Reactivate),
        2 => any::<bool>().prop_map(|acknowledge| Step::Deliver { acknowledge }),
        1 => Just(Step::Restart),
    ];
    let fault = prop::option::weighted(0.4, (0u32..14, any::<bool>()));
    prop::collection::vec((step, fault), 1..60)
}

/// What an outside observer knows for certain.
#[derive(Default)]
struct Observed {
    /// Session numbers that were tried: an id is random and never comes twice.
    begun: BTreeSet<u8>,
    /// Sessions that have been ended, with everything that rests on them.
    ended: BTreeSet<u8>,
    /// Checks whose credential must be denied from now on, whatever happens.
    dead: Vec<CheckRequest>,
    /// Credentials that were handed out, by session number.
    tokens: Vec<(u8, CheckRequest)>,
    /// Refresh tokens that were handed out, by session number, oldest first.
    refresh: BTreeMap<u8, Vec<RefreshToken>>,
    /// What followed each, by digest.
    successors: BTreeMap<[u8; 32], [u8; 32]>,
    /// Wide revocations.
    revoked: Vec<WideRevocation>,
    /// An acknowledged deactivation with no reactivation tried since.
    disabled: bool,
    /// Acknowledged kills that must be in the log.
    kills: usize,
}

impl Observed {
    /// The sessions that `covers` says have been ended.
    fn end(&mut self, covers: impl Fn(u8) -> bool) {
        let tokens = self.tokens.iter().filter(|(n, _)| covers(*n));
        self.dead.extend(tokens.map(|(_, check)| check.clone()));
        let ended = self.begun.iter().filter(|n| covers(**n));
        self.ended.extend(ended);
    }

    /// A token was given in session `n`.
    fn given(&mut self, n: u8, facts: &TokenFacts, id: u8) -> Result<(), TestCaseError> {
        prop_assert!(!self.disabled, "a token for a deactivated subject");
        prop_assert!(
            !self.ended.contains(&n),
            "a token in a session that was ended"
        );
        let check = check_of(facts, TokenId::from_bytes([id; 16]));
        self.tokens.push((n, check));
        Ok(())
    }

    /// What followed `token`; whatever the history, it is the same each time.
    fn follows(
        &mut self,
        n: u8,
        token: &RefreshToken,
        salt: &[u8; 24],
    ) -> Result<(), TestCaseError> {
        let successor = token.successor(salt);
        let digest = *successor.digest().as_bytes();
        let before = self.successors.insert(*token.digest().as_bytes(), digest);
        prop_assert!(
            before.is_none_or(|before| before == digest),
            "one token has two successors"
        );
        if before.is_none() {
            self.refresh.entry(n).or_default().push(successor);
        }
        Ok(())
    }
}

/// One step, as seen from outside. `id` is of what it makes.
fn take(
    subject: &Subject,
    seen: &mut Observed,
    step: &Step,
    (now, id): (UnixMillis, u8),
) -> Result<(), TestCaseError> {
    let revoked = seen.revoked.clone();
    let end = |scope| subject.run(KEY, &revoked, kill(scope), now, PRODUCER);
    let session = |n| SessionId::from_bytes([n; 16]);
    match *step {
        Step::Login(n) => {
            if seen.begun.insert(n) {
                let reply = subject.run(KEY, &revoked, login(n, now), now, PRODUCER);
                prop_assert!(!seen.disabled || reply != Ok(LoginReply::Begun));
            }
        }
        Step::Redeem(n) => {
            match subject.run(KEY, &revoked, redeem_with_refresh(n), now, PRODUCER) {
                Ok(Ok(facts)) => {
                    seen.given(n, &facts, n)?;
                    seen.refresh.insert(n, vec![first_token(n)]);
                }
                Ok(Err(Refusal::CodeReused)) => {
                    // A session that a wide revocation had ended is not ended again.
                    seen.kills += usize::from(revoked.is_empty());
                    seen.end(|of| of == n);
                }
                _ => {}
            }
        }
        Step::Refresh(n, back) => {
            let given = seen.refresh.get(&n).cloned().unwrap_or_default();
            let Some(token) = given.iter().rev().nth(back) else {
                return Ok(());
            };
            match subject.run(KEY, &revoked, refresh(token, id), now, PRODUCER) {
                Ok(Ok(refreshed)) => {
                    seen.given(n, &refreshed.facts, id)?;
                    seen.follows(n, token, &refreshed.salt)?;
                }
                // Whoever copied it and whoever it was copied from are both out.
                Ok(Err(Refusal::RefreshReused)) => {
                    seen.kills += 1;
                    seen.end(|of| of == n);
                }
                _ => {}
            }
        }
        Step::Exchange(n) => exchanges(subject, seen, n, (now, id))?,
        Step::KillSubject => {
            if end(Scope::Subject).is_ok() {
                seen.kills += 1;
                seen.end(|_| true);
            }
        }
        Step::KillSession(n) => {
            if let Ok(RevokeReply::Revoked(done)) = end(Scope::Session(session(n))) {
                seen.kills += usize::from(done.changed);
                seen.end(|of| of == n);
            }
        }
        Step::SignOutOthers(n) => {
            if let Ok(RevokeReply::Revoked(done)) = end(Scope::OtherSessions(session(n))) {
                seen.kills += usize::from(done.changed);
                seen.end(|of| of != n);
            }
        }
        Step::KillToken(n) => {
            let token = TokenId::from_bytes([n; 16]);
            if end(Scope::Token(token)).is_ok() {
                seen.kills += 1;
                let tokens = seen.tokens.iter().map(|(_, check)| check);
                let killed = tokens.filter(|check| check.token == Some(token));
                seen.dead.extend(killed.cloned().collect::<Vec<_>>());
            }
        }
        Step::RevokeWide(of_connection) => {
            let scope = if of_connection {
                WideScope::Connection("demo".into())
            } else {
                WideScope::Client("app".into())
            };
            seen.revoked.push(WideRevocation::committed(scope, now));
            seen.end(|_| true);
        }
        Step::Deactivate | Step::Reactivate | Step::Provision => {
            directory(subject, seen, step, now);
        }
        Step::Deliver { .. } | Step::Restart => {}
    }
    Ok(())
}

/// A token of session `n` is exchanged for a lesser one.
fn exchanges(
    subject: &Subject,
    seen: &mut Observed,
    n: u8,
    (now, id): (UnixMillis, u8),
) -> Result<(), TestCaseError> {
    let given = seen.tokens.iter().rfind(|(of, _)| *of == n);
    let Some((_, check)) = given.cloned() else {
        return Ok(());
    };
    // What was ended with its token alone gives nothing, either.
    let is_dead = seen.dead.contains(&check);
    let exchange = exchange(check, ask("backend", id));
    match subject.run(KEY, &seen.revoked, exchange, now, PRODUCER) {
        Ok(Ok(facts)) => {
            prop_assert!(!is_dead, "a token for one that was ended");
            seen.given(n, &facts, id)
        }
        _ => Ok(()),
    }
}

/// The directory says something.
fn directory(subject: &Subject, seen: &mut Observed, step: &Step, now: UnixMillis) {
    let revoked = seen.revoked.clone();
    match step {
        Step::Deactivate => {
            let deactivate = deactivate(now.0);
            if subject
                .run(KEY, &revoked, deactivate, now, PRODUCER)
                .is_ok()
            {
                seen.kills += 1;
                seen.disabled = true;
                seen.end(|_| true);
            }
        }
        Step::Reactivate => {
            seen.disabled = false;
            let _ = subject.run(KEY, &revoked, reactivate(now.0), now, PRODUCER);
        }
        _ => {
            let said = Provision(Provisioned {
                version: now.0,
                ..Provisioned::default()
            });
            let _ = subject.run(KEY, &revoked, said, now, PRODUCER);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_acknowledged_kill_holds_and_no_refresh_token_has_two_successors(steps in steps()) {
        let mut subject = subject();
        let lane = LaneService::new(HostSql::new(), None);
        let mut seen = Observed::default();
        for (n, (step, fault)) in (0u8..).zip(steps) {
            let now = at(10 + u64::from(n));
            if let Some((nth, persisted)) = fault {
                let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
                subject.sql().fail_nth(nth, fault);
            }
            match step {
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
                step => take(&subject, &mut seen, &step, (now, 100 + n))?,
            }
            subject.sql().heal();
            for check in &seen.dead {
                let reply = subject.check(check, &seen.revoked, now).expect("reads");
                prop_assert!(
                    matches!(reply.verdict, Verdict::Denied(_)),
                    "accepted after an acknowledged kill"
                );
            }
        }
        let packs = subject.waiting().expect("reads");
        lane.append(Append { received: START, packs }, START).expect("lane");
        let (kills, distinct) = logged_kills(&lane);
        prop_assert!(kills >= seen.kills, "an acknowledged kill is not in the log");
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
        read: Some(Event::new(
            START,
            Action::AuditRead,
            Outcome::Success,
            Actor::Anonymous,
        )),
        followed: None,
    };
    let page = lane.query(query, START).expect("reads");
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
            .run(KEY, &[], kill(Scope::Subject), at(3), PRODUCER)
            .expect("stores");
        subject.sql().calls() - before
    };
    assert!(calls >= 5, "the kill made {calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let (subject, check) = with_token(1);
            subject.sql().fail_nth(nth, fault);
            let failed = subject.run(KEY, &[], kill(Scope::Subject), at(3), PRODUCER);
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
                .run(KEY, &[], kill(Scope::Subject), at(4), PRODUCER)
                .expect("stores");
            assert_eq!(
                verdict(&subject, &check, at(4)),
                Verdict::Denied(DenyReason::SessionEnded)
            );
        }
    }
}
