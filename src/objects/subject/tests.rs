//! Promise 1 and promise 4 at the storage seam: whatever happens in whatever order, with storage
//! failing both ways at any call, an acknowledged kill holds and an acknowledged event is logged once.

use super::service::SubjectService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::lane::service::LaneService;
use crate::objects::outbox::Producer;
use portcullis_core::audit::call::{Append, Query};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::id::{GrantId, ProducerId, SessionId, SubjectKey, TokenId};
use portcullis_core::secret::Digest;
use portcullis_core::session::MAX_LIVE_SESSIONS;
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::login::{ClientRequest, Login, LoginReply};
use portcullis_core::session::reactivate::{Reactivate, ReactivateReply};
use portcullis_core::session::redeem::{InvalidGrant, Redeem, TokenFacts};
use portcullis_core::session::revoke::{Cause, IdempotencyKey, Revoke, RevokeReply, Scope};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

const KEY: SubjectKey = SubjectKey::from_bytes([9; 16]);
const PRODUCER: ProducerId = ProducerId::from_bytes([8; 16]);
const START: UnixMillis = UnixMillis(1_700_000_000_000);

fn at(secs: u64) -> UnixMillis {
    START.plus_secs(secs)
}

fn subject() -> SubjectService<HostSql> {
    SubjectService::new(HostSql::new())
}

fn login(n: u8, begun: UnixMillis) -> Login {
    Login {
        session: SessionId::from_bytes([n; 16]),
        grant: GrantId::from_bytes([n; 16]),
        connection: "demo".into(),
        flow_begun_at: begun,
        auth_time_secs: begun.secs(),
        acr: None,
        groups: vec![],
        client: ClientRequest {
            client_id: "app".into(),
            redirect_uri: "http://127.0.0.1/cb".into(),
            code_challenge: "challenge".into(),
            nonce: None,
            scope: "openid".into(),
            audience: "https://api".into(),
        },
        code: Digest::of(&[n]),
        request: RequestFacts::default(),
    }
}

fn redeem(n: u8) -> Redeem {
    Redeem {
        code: Digest::of(&[n]),
        client_id: "app".into(),
        redirect_uri: "http://127.0.0.1/cb".into(),
        code_challenge: "challenge".into(),
        token: TokenId::from_bytes([n; 16]),
        request: RequestFacts::default(),
    }
}

fn kill(scope: Scope) -> Revoke {
    Revoke::new(scope, Cause::Admin, Actor::Operator("admin".into()))
}

fn deactivate(directory_version: u64) -> Revoke {
    kill(Scope::SubjectUntilReactivated { directory_version })
}

fn reactivate(directory_version: u64) -> Reactivate {
    Reactivate {
        directory_version,
        actor: Actor::Connection("demo".into()),
    }
}

fn check_of(facts: &TokenFacts, token: TokenId) -> CheckRequest {
    CheckRequest {
        subject: KEY,
        session: facts.session.id,
        token: Some(token),
        generation: Some(facts.generation),
    }
}

/// A subject with session `n` and its token.
fn with_token(n: u8) -> (SubjectService<HostSql>, CheckRequest) {
    let subject = subject();
    subject
        .run(KEY, login(n, at(0)), at(1), PRODUCER)
        .expect("stores");
    let facts = subject
        .run(KEY, redeem(n), at(2), PRODUCER)
        .expect("stores")
        .expect("redeems");
    let check = check_of(&facts, TokenId::from_bytes([n; 16]));
    (subject, check)
}

fn verdict(subject: &SubjectService<HostSql>, check: &CheckRequest, now: UnixMillis) -> Verdict {
    subject.check(check, now).expect("reads").verdict
}

#[test]
fn a_check_of_the_unseen_denies_and_leaves_nothing_behind() {
    let subject = subject();
    let (_, check) = with_token(1);
    assert_eq!(
        verdict(&subject, &check, at(1)),
        Verdict::Denied(DenyReason::SessionUnknown)
    );
    assert!(!crate::objects::sql::has_schema(subject.sql()).expect("reads"));
}

#[test]
fn each_scope_of_a_kill_denies_for_its_own_reason() {
    let cases = [
        (kill(Scope::Subject), DenyReason::SessionEnded),
        (deactivate(1), DenyReason::SubjectDisabled),
        (
            kill(Scope::Session(SessionId::from_bytes([1; 16]))),
            DenyReason::SessionEnded,
        ),
        (
            kill(Scope::Token(TokenId::from_bytes([1; 16]))),
            DenyReason::TokenRevoked,
        ),
    ];
    for (revoke, reason) in cases {
        let (subject, check) = with_token(1);
        assert!(matches!(
            verdict(&subject, &check, at(3)),
            Verdict::Active { .. }
        ));
        subject.run(KEY, revoke, at(3), PRODUCER).expect("stores");
        assert_eq!(verdict(&subject, &check, at(3)), Verdict::Denied(reason));
    }
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let (subject, check) = with_token(1);
    subject
        .run(KEY, kill(Scope::Subject), at(100), PRODUCER)
        .expect("stores");
    assert_eq!(
        verdict(&subject, &check, at(0)),
        Verdict::Denied(DenyReason::SessionEnded)
    );
}

#[test]
fn reactivation_lets_in_the_new_and_revives_nothing_old() {
    let (subject, check) = with_token(1);
    subject
        .run(KEY, deactivate(1), at(3), PRODUCER)
        .expect("stores");
    let refused = subject
        .run(KEY, login(2, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(refused, LoginReply::SubjectDisabled);
    let lifted = subject
        .run(KEY, reactivate(2), at(5), PRODUCER)
        .expect("stores");
    assert_eq!(lifted, ReactivateReply::Reactivated);
    assert_eq!(
        verdict(&subject, &check, at(6)),
        Verdict::Denied(DenyReason::SessionEnded)
    );
    let begun = subject
        .run(KEY, login(3, at(6)), at(7), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
}

#[test]
fn directory_changes_apply_in_the_order_of_their_versions_only() {
    let subject = subject();
    subject
        .run(KEY, deactivate(1), at(1), PRODUCER)
        .expect("stores");
    subject
        .run(KEY, reactivate(4), at(2), PRODUCER)
        .expect("stores");
    // Redelivered and late changes have been overtaken.
    for late in [1, 3, 4] {
        let RevokeReply::Revoked(revoked) = subject
            .run(KEY, deactivate(late), at(3), PRODUCER)
            .expect("stores")
        else {
            panic!("a deactivation is always answered")
        };
        assert!(!revoked.changed, "version {late}");
    }
    let begun = subject
        .run(KEY, login(1, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
    // One that was overtaken before the subject was ever seen, too.
    let unseen = self::subject();
    unseen
        .run(KEY, reactivate(4), at(1), PRODUCER)
        .expect("stores");
    unseen
        .run(KEY, deactivate(3), at(2), PRODUCER)
        .expect("stores");
    let begun = unseen
        .run(KEY, login(1, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
}

#[test]
fn a_log_in_begun_before_a_kill_does_not_survive_it() {
    let subject = subject();
    subject
        .run(KEY, kill(Scope::Subject), at(5), PRODUCER)
        .expect("stores");
    let reply = subject
        .run(KEY, login(1, at(5)), at(6), PRODUCER)
        .expect("stores");
    assert_eq!(reply, LoginReply::Superseded);
}

#[test]
fn a_code_is_worth_nothing_after_its_session_was_ended() {
    let scopes = [
        Scope::Subject,
        Scope::Session(SessionId::from_bytes([1; 16])),
    ];
    for scope in scopes {
        let subject = subject();
        subject
            .run(KEY, login(1, at(0)), at(1), PRODUCER)
            .expect("stores");
        subject
            .run(KEY, kill(scope), at(2), PRODUCER)
            .expect("stores");
        let reply = subject
            .run(KEY, redeem(1), at(3), PRODUCER)
            .expect("stores");
        assert_eq!(reply, Err(InvalidGrant::CodeUnknown));
    }
}

#[test]
fn a_code_redeemed_twice_ends_its_session() {
    let (subject, check) = with_token(1);
    let again = subject
        .run(KEY, redeem(1), at(3), PRODUCER)
        .expect("stores");
    assert_eq!(again, Err(InvalidGrant::CodeReused));
    assert_eq!(
        verdict(&subject, &check, at(3)),
        Verdict::Denied(DenyReason::SessionEnded)
    );
}

#[test]
fn a_code_is_bound_to_client_redirect_and_verifier_and_expires() {
    let mismatched = [
        Redeem {
            client_id: "other".into(),
            ..redeem(1)
        },
        Redeem {
            redirect_uri: "http://127.0.0.1/other".into(),
            ..redeem(1)
        },
        Redeem {
            code_challenge: "other".into(),
            ..redeem(1)
        },
    ];
    for redeem in mismatched {
        let subject = subject();
        subject
            .run(KEY, login(1, at(0)), at(1), PRODUCER)
            .expect("stores");
        let reply = subject.run(KEY, redeem, at(2), PRODUCER).expect("stores");
        assert_eq!(reply, Err(InvalidGrant::CodeMismatch));
    }
    let subject = subject();
    subject
        .run(KEY, login(1, at(0)), at(1), PRODUCER)
        .expect("stores");
    let late = subject
        .run(KEY, redeem(1), at(61), PRODUCER)
        .expect("stores");
    assert_eq!(late, Err(InvalidGrant::CodeExpired));
}

#[test]
fn one_session_more_than_allowed_ends_the_oldest() {
    let subject = subject();
    let count = u8::try_from(MAX_LIVE_SESSIONS).expect("small") + 1;
    for n in 1..=count {
        let now = at(u64::from(n));
        subject
            .run(KEY, login(n, now), now, PRODUCER)
            .expect("stores");
    }
    let live = subject.live_sessions(at(500)).expect("reads");
    assert_eq!(live.len(), MAX_LIVE_SESSIONS);
    assert!(
        live.iter()
            .all(|session| session.id != SessionId::from_bytes([1; 16]))
    );
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let (subject, check) = with_token(1);
    let dry = Revoke {
        dry_run: true,
        ..kill(Scope::Subject)
    };
    let reply = subject.run(KEY, dry, at(3), PRODUCER).expect("stores");
    assert!(matches!(reply, RevokeReply::Revoked(revoked) if revoked.sessions == 1));
    assert!(matches!(
        verdict(&subject, &check, at(3)),
        Verdict::Active { .. }
    ));
}

#[test]
fn the_same_key_gets_the_same_answer_and_never_another_requests() {
    let (subject, _) = with_token(1);
    let keyed = |fingerprint: &[u8]| Revoke {
        idempotency: Some(IdempotencyKey {
            key: Digest::of(b"key"),
            fingerprint: Digest::of(fingerprint),
        }),
        ..kill(Scope::Subject)
    };
    let first = subject
        .run(KEY, keyed(b"a"), at(3), PRODUCER)
        .expect("stores");
    subject
        .run(KEY, login(2, at(4)), at(4), PRODUCER)
        .expect("stores");
    let again = subject
        .run(KEY, keyed(b"a"), at(5), PRODUCER)
        .expect("stores");
    assert_eq!(first, again);
    assert_eq!(subject.live_sessions(at(6)).expect("reads").len(), 1);
    let other = subject
        .run(KEY, keyed(b"b"), at(5), PRODUCER)
        .expect("stores");
    assert_eq!(other, RevokeReply::KeyReused);
}

#[test]
fn a_kill_covers_what_the_clock_calls_expired_in_case_it_goes_back() {
    let (subject, check) = with_token(1);
    let session = Scope::Session(SessionId::from_bytes([1; 16]));
    for scope in [session, Scope::Subject] {
        let (subject, check) = with_token(1);
        let ahead = at(100 * 3600);
        subject
            .run(KEY, kill(scope), ahead, PRODUCER)
            .expect("stores");
        assert_eq!(
            verdict(
                &subject,
                &CheckRequest {
                    generation: None,
                    ..check
                },
                at(3)
            ),
            Verdict::Denied(DenyReason::SessionEnded)
        );
    }
    assert!(matches!(
        verdict(&subject, &check, at(3)),
        Verdict::Active { .. }
    ));
}

#[test]
fn sessions_are_remembered_for_an_hour_after_their_end_and_then_swept() {
    let (subject, check) = with_token(1);
    let late = at(100 * 3600);
    assert_eq!(
        verdict(&subject, &check, late),
        Verdict::Denied(DenyReason::SessionExpired)
    );
    subject
        .run(KEY, login(2, late), late, PRODUCER)
        .expect("stores");
    assert_eq!(
        verdict(&subject, &check, late),
        Verdict::Denied(DenyReason::SessionUnknown)
    );
}

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
