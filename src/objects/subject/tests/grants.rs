//! Refresh, services, exchange and consent, one rule at a time.

use super::{
    KEY, PRODUCER, ask, at, check_of, deactivate, kill, login, redeem, subject, verdict, with_token,
};
use crate::objects::host_sql::HostSql;
use crate::objects::subject::service::SubjectService;
use portcullis_core::id::{GrantId, SessionId, TokenId};
use portcullis_core::oauth::opaque::{RefreshSecret, RefreshToken};
use portcullis_core::policy::{WideRevocation, WideScope};
use portcullis_core::secret::Digest;
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::consent::AskConsent;
use portcullis_core::session::describe::{Describe, DescribeRefresh, UseOnce};
use portcullis_core::session::exchange::Exchange;
use portcullis_core::session::grant::{OneTime, Proof, Refusal, TokenFacts, TokenRequest};
use portcullis_core::session::login::{ClientRequest, Login, LoginReply};
use portcullis_core::session::redeem::Redeem;
use portcullis_core::session::refresh::{Refresh, Refreshed};
use portcullis_core::session::revoke::{IdempotencyKey, Revoke, RevokeReply, Scope};
use portcullis_core::session::service::{IssueToService, LOCAL};
use portcullis_core::session::{Command, REFRESH_GRACE_SECS, SESSION_IDLE_SECS};
use portcullis_core::time::UnixMillis;

type Subject = SubjectService<HostSql>;

fn run<C: Command>(subject: &Subject, command: C, now: UnixMillis) -> C::Reply {
    subject
        .run(KEY, &[], command, now, PRODUCER)
        .expect("stores")
}

/// The first refresh token of session `n`.
pub(super) fn first_token(n: u8) -> RefreshToken {
    RefreshToken::new(
        KEY,
        SessionId::from_bytes([n; 16]),
        RefreshSecret::new([n; 24]),
    )
}

/// A redemption of session `n`'s code that asks for [`first_token`].
pub(super) fn redeem_with_refresh(n: u8) -> Redeem {
    Redeem {
        refresh: Some(RefreshSecret::new([n; 24]).digest()),
        ..redeem(n)
    }
}

/// The exchange of `token`, with a salt of its own.
pub(super) fn refresh(token: &RefreshToken, salt: u8) -> Refresh {
    Refresh {
        session: token.session,
        presented: token.digest(),
        salt: [salt; 24],
        successor: token.successor(&[salt; 24]).digest(),
        ask: ask("app", salt),
    }
}

/// A subject with session 1, and its first refresh token.
fn with_refresh() -> (Subject, RefreshToken, CheckRequest) {
    let subject = subject();
    run(&subject, login(1, at(0)), at(1));
    let facts = run(&subject, redeem_with_refresh(1), at(2)).expect("redeems");
    let check = check_of(&facts, TokenId::from_bytes([1; 16]));
    (subject, first_token(1), check)
}

fn refreshed(subject: &Subject, token: &RefreshToken, salt: u8, now: UnixMillis) -> Refreshed {
    run(subject, refresh(token, salt), now).expect("refreshes")
}

fn is_active(subject: &Subject, check: &CheckRequest, now: UnixMillis) -> bool {
    matches!(verdict(subject, check, now), Verdict::Active { .. })
}

#[test]
fn a_refresh_rotates_and_the_chain_goes_on() {
    let (subject, first, _) = with_refresh();
    let one = refreshed(&subject, &first, 10, at(100));
    assert_eq!(one.salt, [10; 24]);
    let second = first.successor(&one.salt);
    let two = refreshed(&subject, &second, 11, at(200));
    let check = check_of(&two.facts, TokenId::from_bytes([11; 16]));
    assert!(is_active(&subject, &check, at(200)));
}

#[test]
fn a_retry_within_the_grace_gets_the_same_successor() {
    let (subject, first, check) = with_refresh();
    let one = refreshed(&subject, &first, 10, at(100));
    for salt in 11..14 {
        let again = refreshed(&subject, &first, salt, at(100 + REFRESH_GRACE_SECS - 1));
        assert_eq!(again.salt, one.salt);
    }
    let second = first.successor(&one.salt);
    refreshed(&subject, &second, 20, at(120));
    assert!(is_active(&subject, &check, at(120)));
}

#[test]
fn a_retry_after_the_grace_ends_the_session() {
    let (subject, first, check) = with_refresh();
    let one = refreshed(&subject, &first, 10, at(100));
    let late = at(100 + REFRESH_GRACE_SECS);
    assert_eq!(
        run(&subject, refresh(&first, 11), late),
        Err(Refusal::RefreshReused)
    );
    assert!(!is_active(&subject, &check, late));
    let second = first.successor(&one.salt);
    assert_eq!(
        run(&subject, refresh(&second, 12), late),
        Err(Refusal::RefreshUnknown)
    );
}

#[test]
fn once_the_successor_was_used_its_predecessor_ends_the_session_even_within_the_grace() {
    let (subject, first, check) = with_refresh();
    let one = refreshed(&subject, &first, 10, at(100));
    let second = first.successor(&one.salt);
    refreshed(&subject, &second, 11, at(101));
    assert_eq!(
        run(&subject, refresh(&first, 12), at(102)),
        Err(Refusal::RefreshReused)
    );
    assert!(!is_active(&subject, &check, at(102)));
}

#[test]
fn a_clock_that_goes_back_does_not_lengthen_the_grace() {
    let (subject, first, _) = with_refresh();
    refreshed(&subject, &first, 10, at(100));
    assert_eq!(
        run(&subject, refresh(&first, 11), at(50)),
        Err(Refusal::RefreshReused)
    );
}

#[test]
fn another_clients_refresh_token_is_refused_and_ends_nothing() {
    let (subject, first, check) = with_refresh();
    let stolen = Refresh {
        ask: ask("other", 10),
        ..refresh(&first, 10)
    };
    assert_eq!(
        run(&subject, stolen, at(100)),
        Err(Refusal::RefreshMismatch)
    );
    assert!(is_active(&subject, &check, at(100)));
    refreshed(&subject, &first, 11, at(101));
}

#[test]
fn every_kill_ends_the_refresh_tokens() {
    let session = SessionId::from_bytes([1; 16]);
    let other = SessionId::from_bytes([7; 16]);
    for scope in [
        Scope::Subject,
        Scope::Session(session),
        Scope::OtherSessions(other),
    ] {
        let (subject, first, check) = with_refresh();
        run(&subject, login(7, at(2)), at(2));
        run(&subject, kill(scope), at(3));
        assert!(run(&subject, refresh(&first, 10), at(4)).is_err());
        assert!(!is_active(&subject, &check, at(4)));
    }
    let (subject, first, _) = with_refresh();
    run(&subject, deactivate(1), at(3));
    assert!(run(&subject, refresh(&first, 10), at(4)).is_err());
}

#[test]
fn signing_out_elsewhere_keeps_this_session() {
    let (subject, first, check) = with_refresh();
    run(&subject, login(2, at(3)), at(3));
    run(&subject, kill(Scope::OtherSessions(first.session)), at(4));
    assert!(is_active(&subject, &check, at(5)));
    refreshed(&subject, &first, 10, at(5));
    assert!(run(&subject, redeem(2), at(5)).is_err());
}

#[test]
fn a_wide_revocation_ends_sessions_codes_and_refresh_tokens_that_began_before_it() {
    for scope in [
        WideScope::Client("app".into()),
        WideScope::Connection("demo".into()),
    ] {
        let (subject, first, check) = with_refresh();
        run(&subject, login(2, at(3)), at(3));
        let revoked = [WideRevocation::committed(scope, at(5))];
        let reply = subject.check(&check, &revoked, at(6)).expect("reads");
        assert_eq!(reply.verdict, Verdict::Denied(DenyReason::SessionEnded));
        let live = subject.live_sessions(&revoked, at(6)).expect("reads");
        assert_eq!(live.len(), 0);
        let refused = subject.run(KEY, &revoked, refresh(&first, 10), at(6), PRODUCER);
        assert_eq!(refused, Ok(Err(Refusal::SessionNotLive)));
        let refused = subject.run(KEY, &revoked, redeem(2), at(6), PRODUCER);
        assert_eq!(refused, Ok(Err(Refusal::SessionNotLive)));
        // What begins after it is not covered.
        run(&subject, login(3, at(10)), at(10));
        let begun = subject.run(KEY, &revoked, redeem(3), at(11), PRODUCER);
        assert!(begun.is_ok_and(|reply| reply.is_ok()));
    }
}

#[test]
fn a_session_without_use_ends_and_use_keeps_it() {
    let (subject, first, check) = with_refresh();
    let fresh = CheckRequest {
        generation: None,
        ..check
    };
    let idle = at(1 + SESSION_IDLE_SECS);
    assert_eq!(
        verdict(&subject, &fresh, idle),
        Verdict::Denied(DenyReason::SessionExpired)
    );
    assert_eq!(
        run(&subject, refresh(&first, 10), idle),
        Err(Refusal::SessionNotLive)
    );
    refreshed(&subject, &first, 11, at(SESSION_IDLE_SECS));
    assert!(is_active(&subject, &fresh, idle));
}

fn proof(key: &str, jti: u8, until: u64) -> Proof {
    Proof {
        jkt: key.into(),
        once: OneTime {
            digest: Digest::of(&[jti]),
            until: at(until),
        },
    }
}

fn proven(ask: TokenRequest, proof: Proof) -> TokenRequest {
    TokenRequest {
        proof: Some(proof),
        ..ask
    }
}

#[test]
fn a_bound_session_stays_bound_and_a_proof_counts_once() {
    let subject = subject();
    run(&subject, login(1, at(0)), at(1));
    let redeem = Redeem {
        ask: proven(ask("app", 1), proof("key", 1, 100)),
        ..redeem_with_refresh(1)
    };
    let facts = run(&subject, redeem, at(2)).expect("redeems");
    assert_eq!(facts.jkt.as_deref(), Some("key"));
    let first = first_token(1);
    // Never downgraded to bearer, never moved to another key.
    assert_eq!(
        run(&subject, refresh(&first, 10), at(3)),
        Err(Refusal::ProofMismatch)
    );
    let with = |proof| Refresh {
        ask: proven(ask("app", 10), proof),
        ..refresh(&first, 10)
    };
    assert_eq!(
        run(&subject, with(proof("other", 2, 100)), at(3)),
        Err(Refusal::ProofMismatch)
    );
    assert_eq!(
        run(&subject, with(proof("key", 1, 100)), at(3)),
        Err(Refusal::ProofReplayed)
    );
    let refreshed = run(&subject, with(proof("key", 3, 100)), at(3)).expect("refreshes");
    assert_eq!(refreshed.facts.jkt.as_deref(), Some("key"));
    // A retry needs the key, too, and a proof of its own.
    assert_eq!(
        run(&subject, refresh(&first, 11), at(4)),
        Err(Refusal::ProofMismatch)
    );
    assert!(run(&subject, with(proof("key", 4, 100)), at(4)).is_ok());
}

#[test]
fn a_code_bound_to_a_key_needs_that_key() {
    let bound = Login {
        client: ClientRequest {
            dpop_jkt: Some("key".into()),
            ..login(1, at(0)).client
        },
        ..login(1, at(0))
    };
    let subject = subject();
    run(&subject, bound, at(1));
    assert_eq!(run(&subject, redeem(1), at(2)), Err(Refusal::ProofMismatch));
    let with = Redeem {
        ask: proven(ask("app", 1), proof("key", 1, 100)),
        ..redeem(1)
    };
    assert!(run(&subject, with, at(3)).is_ok());
}

fn issue(session: u8) -> IssueToService {
    IssueToService {
        session: SessionId::from_bytes([session; 16]),
        grant: GrantId::from_bytes([session; 16]),
        connection: LOCAL.into(),
        asked_at: at(0),
        scope: "read write".into(),
        audiences: vec!["https://api".into()],
        assertion: None,
        ask: ask("service", session),
    }
}

#[test]
fn a_services_tokens_rest_on_one_session_and_one_kill_ends_them() {
    let subject = subject();
    let one = run(&subject, issue(1), at(1)).expect("issues");
    let two = run(&subject, issue(2), at(2)).expect("issues");
    assert_eq!(one.session.id, two.session.id);
    let checks =
        [(one, 1), (two, 2)].map(|(facts, n)| check_of(&facts, TokenId::from_bytes([n; 16])));
    assert!(checks.iter().all(|check| is_active(&subject, check, at(3))));
    run(&subject, kill(Scope::Subject), at(4));
    assert!(!checks.iter().any(|check| is_active(&subject, check, at(5))));
    let three = run(&subject, issue(3), at(6)).expect("issues");
    assert!(is_active(
        &subject,
        &check_of(&three, TokenId::from_bytes([3; 16])),
        at(7)
    ));
    run(&subject, deactivate(1), at(8));
    assert_eq!(run(&subject, issue(4), at(9)), Err(Refusal::SessionNotLive));
}

#[test]
fn a_service_gets_no_more_than_it_may_and_its_assertion_counts_once() {
    let subject = subject();
    let wider = IssueToService {
        ask: TokenRequest {
            scope: Some("admin".into()),
            ..ask("service", 1)
        },
        ..issue(1)
    };
    assert_eq!(run(&subject, wider, at(1)), Err(Refusal::ScopeExceeded));
    let elsewhere = IssueToService {
        ask: TokenRequest {
            resources: vec!["https://other".into()],
            ..ask("service", 1)
        },
        ..issue(1)
    };
    assert_eq!(
        run(&subject, elsewhere, at(1)),
        Err(Refusal::TargetExceeded)
    );
    let asserted = || IssueToService {
        assertion: Some(proof("", 9, 100).once),
        ..issue(2)
    };
    assert!(run(&subject, asserted(), at(2)).is_ok());
    assert_eq!(
        run(&subject, asserted(), at(3)),
        Err(Refusal::AssertionReplayed)
    );
}

pub(super) fn exchange(check: CheckRequest, ask: TokenRequest) -> Exchange {
    Exchange {
        check,
        scope: "openid".into(),
        audiences: vec!["https://backend".into()],
        expires_at: at(200),
        ask,
    }
}

fn expiry(facts: &Result<TokenFacts, Refusal>) -> Option<UnixMillis> {
    facts.as_ref().ok().map(|facts| facts.expires_at)
}

#[test]
fn an_exchanged_token_rests_on_the_same_session_and_does_not_outlive_what_it_came_of() {
    let (subject, check) = with_token(1);
    let exchanged = run(&subject, exchange(check.clone(), ask("backend", 5)), at(3));
    assert_eq!(expiry(&exchanged), Some(at(200)));
    let check_of_it = check_of(&exchanged.expect("exchanges"), TokenId::from_bytes([5; 16]));
    assert_eq!(check_of_it.session, check.session);
    run(&subject, kill(Scope::Session(check.session)), at(4));
    assert!(!is_active(&subject, &check_of_it, at(5)));
    assert_eq!(
        run(&subject, exchange(check, ask("backend", 6)), at(5)),
        Err(Refusal::SessionNotLive)
    );
}

#[test]
fn a_revoked_or_outdated_token_is_not_exchanged() {
    let (subject, check) = with_token(1);
    let old = CheckRequest {
        generation: Some(9),
        ..check.clone()
    };
    assert_eq!(
        run(&subject, exchange(old, ask("backend", 5)), at(3)),
        Err(Refusal::SessionNotLive)
    );
    assert_eq!(
        run(
            &subject,
            exchange(check.clone(), ask("backend", 5)),
            at(200)
        ),
        Err(Refusal::SessionNotLive)
    );
    run(
        &subject,
        kill(Scope::Token(TokenId::from_bytes([1; 16]))),
        at(3),
    );
    assert_eq!(
        run(&subject, exchange(check, ask("backend", 5)), at(4)),
        Err(Refusal::SessionNotLive)
    );
}

#[test]
fn consent_is_remembered_per_client_and_scope_until_it_is_forgotten() {
    let subject = subject();
    let asked = |client_id: &str| AskConsent {
        client_id: client_id.into(),
    };
    let allowed = |n, scope: &str| Login {
        allowed: true,
        client: ClientRequest {
            scope: scope.into(),
            ..login(n, at(0)).client
        },
        ..login(n, at(0))
    };
    assert_eq!(run(&subject, asked("app"), at(1)), None);
    run(&subject, allowed(1, "openid"), at(1));
    run(&subject, allowed(2, "profile"), at(2));
    // A log-in that asked nobody remembers nothing.
    run(&subject, login(3, at(0)), at(3));
    let remembered = Some("openid https://api profile".to_owned());
    assert_eq!(run(&subject, asked("app"), at(4)), remembered);
    assert_eq!(run(&subject, asked("other"), at(4)), None);
    run(&subject, kill(Scope::Client("app".into())), at(5));
    assert_eq!(run(&subject, asked("app"), at(6)), None);
}

#[test]
fn a_description_is_of_what_is_in_force_and_leaves_nothing_of_the_unseen() {
    let (subject, first, check) = with_refresh();
    let describe = |check: &CheckRequest| Describe {
        check: check.clone(),
        proof: None,
    };
    let described = run(&subject, describe(&check), at(3));
    assert_eq!(
        described.session.map(|session| session.id),
        Some(check.session)
    );
    let asked = |token: &RefreshToken| DescribeRefresh {
        session: token.session,
        presented: token.digest(),
    };
    assert!(run(&subject, asked(&first), at(3)).is_some_and(|described| described.active));
    refreshed(&subject, &first, 10, at(4));
    assert!(run(&subject, asked(&first), at(5)).is_some_and(|described| !described.active));
    run(&subject, kill(Scope::Session(check.session)), at(6));
    assert_eq!(run(&subject, describe(&check), at(7)).session, None);
    let unseen = super::subject();
    assert_eq!(run(&unseen, describe(&check), at(7)).session, None);
    assert_eq!(run(&unseen, asked(&first), at(7)), None);
    assert!(!crate::objects::sql::has_schema(unseen.sql()).expect("reads"));
}

#[test]
fn what_is_accepted_once_is_accepted_once() {
    let subject = subject();
    let use_once = || UseOnce {
        once: proof("", 1, 100).once,
    };
    assert!(run(&subject, use_once(), at(1)));
    assert!(!run(&subject, use_once(), at(2)));
}

#[test]
fn a_log_in_that_set_out_before_a_wide_revocation_begins_nothing_after_it() {
    for scope in [
        WideScope::Client("app".into()),
        WideScope::Connection("demo".into()),
    ] {
        let subject = subject();
        let revoked = [WideRevocation::committed(scope, at(5))];
        // The person was parked at the consent page meanwhile.
        let late = subject.run(KEY, &revoked, login(1, at(0)), at(60), PRODUCER);
        assert_eq!(late, Ok(LoginReply::Superseded));
        let fresh = subject.run(KEY, &revoked, login(2, at(30)), at(60), PRODUCER);
        assert_eq!(fresh, Ok(LoginReply::Begun));
    }
}

#[test]
fn a_service_that_was_looked_up_before_a_wide_revocation_gets_nothing_after_it() {
    let subject = subject();
    let revoked = [WideRevocation::committed(
        WideScope::Client("service".into()),
        at(5),
    )];
    // Its keys were slow to come.
    let late = subject.run(KEY, &revoked, issue(1), at(10), PRODUCER);
    assert_eq!(late, Ok(Err(Refusal::SessionNotLive)));
    let fresh = IssueToService {
        asked_at: at(10),
        ..issue(2)
    };
    let fresh = subject.run(KEY, &revoked, fresh, at(10), PRODUCER);
    assert!(fresh.is_ok_and(|reply| reply.is_ok()));
}

#[test]
fn what_is_over_by_the_subjects_clock_is_not_accepted_for_it_may_be_forgotten() {
    let subject = subject();
    let once = proof("", 1, 100).once;
    assert!(!run(&subject, UseOnce { once }, at(100)));
    run(&subject, login(1, at(0)), at(1));
    let redeem = Redeem {
        ask: proven(ask("app", 1), proof("key", 2, 2)),
        ..redeem(1)
    };
    assert_eq!(run(&subject, redeem, at(2)), Err(Refusal::ProofReplayed));
}

#[test]
fn a_proof_binds_a_public_clients_refresh_tokens_from_then_on_and_no_other_clients() {
    for binds in [true, false] {
        let (subject, first, _) = with_refresh();
        let with_proof = Refresh {
            ask: TokenRequest {
                binds_refresh: binds,
                ..proven(ask("app", 10), proof("key", 1, 100))
            },
            ..refresh(&first, 10)
        };
        let one = run(&subject, with_proof, at(3)).expect("refreshes");
        assert_eq!(one.facts.jkt.as_deref(), Some("key"));
        let second = first.successor(&one.salt);
        let without = run(&subject, refresh(&second, 11), at(4));
        assert_eq!(without.is_err(), binds);
    }
}

#[test]
fn an_answer_is_repeated_for_a_day_and_then_the_kill_is_done_anew() {
    let (subject, _, _) = with_refresh();
    let keyed = || Revoke {
        idempotency: Some(IdempotencyKey {
            key: Digest::of(b"key"),
            fingerprint: Digest::of(b"a"),
        }),
        ..kill(Scope::Subject)
    };
    run(&subject, keyed(), at(3));
    // This log-in sweeps, and the answer is still good.
    let evening = at(23 * 3600 + 1800);
    run(&subject, login(2, evening), evening);
    let next_day = at(25 * 3600);
    let RevokeReply::Revoked(done) = run(&subject, keyed(), next_day) else {
        panic!("a kill is answered")
    };
    assert_eq!((done.sessions, done.changed), (1, true));
}
