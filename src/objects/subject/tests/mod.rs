//! A subject over its storage, one rule at a time; [`history`] mixes them and breaks the storage.

mod announce;
mod feed;
mod grants;
mod history;
mod provision;
mod sign_out;
mod upstream;

use super::service::SubjectService;
use crate::objects::host_sql::HostSql;
use portcullis_core::audit::event::{Actor, RequestFacts};
use portcullis_core::id::{GrantId, ProducerId, SessionId, SubjectKey, TokenId};
use portcullis_core::secret::Digest;
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::grant::{Refusal, TokenFacts, TokenRequest};
use portcullis_core::session::login::{ClientRequest, Login, LoginReply};
use portcullis_core::session::reactivate::{Reactivate, ReactivateReply};
use portcullis_core::session::redeem::Redeem;
use portcullis_core::session::revoke::{Cause, IdempotencyKey, Revoke, RevokeReply, Scope};
use portcullis_core::session::{MAX_LIVE_SESSIONS, Profile};
use portcullis_core::time::UnixMillis;

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
            audiences: vec!["https://api".into()],
            dpop_jkt: None,
        },
        profile: Profile::default(),
        announce_end: false,
        roles: Vec::new(),
        claims: Vec::new(),
        upstream: portcullis_core::session::Upstream::default(),
        allowed: false,
        code: Digest::of(&[n]),
        request: RequestFacts::default(),
        provisioned: None,
    }
}

fn redeem(n: u8) -> Redeem {
    Redeem {
        code: Digest::of(&[n]),
        redirect_uri: "http://127.0.0.1/cb".into(),
        code_challenge: "challenge".into(),
        refresh: Some(Digest::of(&[n, 0])),
        ask: ask("app", n),
    }
}

fn ask(client_id: &str, token: u8) -> TokenRequest {
    TokenRequest {
        client_id: client_id.into(),
        scope: None,
        resources: vec![],
        proof: None,
        binds_refresh: true,
        token: TokenId::from_bytes([token; 16]),
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
        token: Some(token),
        generation: Some(facts.generation),
        ..CheckRequest::of_session(KEY, facts.session.id)
    }
}

/// A subject with session `n` and its token.
fn with_token(n: u8) -> (SubjectService<HostSql>, CheckRequest) {
    let subject = subject();
    subject
        .run(KEY, &[], login(n, at(0)), at(1), PRODUCER)
        .expect("stores");
    let facts = subject
        .run(KEY, &[], redeem(n), at(2), PRODUCER)
        .expect("stores")
        .expect("redeems");
    let check = check_of(&facts, TokenId::from_bytes([n; 16]));
    (subject, check)
}

fn verdict(subject: &SubjectService<HostSql>, check: &CheckRequest, now: UnixMillis) -> Verdict {
    subject.check(check, &[], now).expect("reads").verdict
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
        subject
            .run(KEY, &[], revoke, at(3), PRODUCER)
            .expect("stores");
        assert_eq!(verdict(&subject, &check, at(3)), Verdict::Denied(reason));
    }
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let (subject, check) = with_token(1);
    subject
        .run(KEY, &[], kill(Scope::Subject), at(100), PRODUCER)
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
        .run(KEY, &[], deactivate(1), at(3), PRODUCER)
        .expect("stores");
    let refused = subject
        .run(KEY, &[], login(2, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(refused, LoginReply::SubjectDisabled);
    let lifted = subject
        .run(KEY, &[], reactivate(2), at(5), PRODUCER)
        .expect("stores");
    assert_eq!(lifted, ReactivateReply::Reactivated);
    assert_eq!(
        verdict(&subject, &check, at(6)),
        Verdict::Denied(DenyReason::SessionEnded)
    );
    let begun = subject
        .run(KEY, &[], login(3, at(6)), at(7), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
}

#[test]
fn directory_changes_apply_in_the_order_of_their_versions_only() {
    let subject = subject();
    subject
        .run(KEY, &[], deactivate(1), at(1), PRODUCER)
        .expect("stores");
    subject
        .run(KEY, &[], reactivate(4), at(2), PRODUCER)
        .expect("stores");
    // Redelivered and late changes have been overtaken.
    for late in [1, 3, 4] {
        let RevokeReply::Revoked(revoked) = subject
            .run(KEY, &[], deactivate(late), at(3), PRODUCER)
            .expect("stores")
        else {
            panic!("a deactivation is always answered")
        };
        assert!(!revoked.changed, "version {late}");
    }
    let begun = subject
        .run(KEY, &[], login(1, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
    // One that was overtaken before the subject was ever seen, too.
    let unseen = self::subject();
    unseen
        .run(KEY, &[], reactivate(4), at(1), PRODUCER)
        .expect("stores");
    unseen
        .run(KEY, &[], deactivate(3), at(2), PRODUCER)
        .expect("stores");
    let begun = unseen
        .run(KEY, &[], login(1, at(4)), at(4), PRODUCER)
        .expect("stores");
    assert_eq!(begun, LoginReply::Begun);
}

#[test]
fn a_log_in_begun_before_a_kill_does_not_survive_it() {
    let subject = subject();
    subject
        .run(KEY, &[], kill(Scope::Subject), at(5), PRODUCER)
        .expect("stores");
    let reply = subject
        .run(KEY, &[], login(1, at(5)), at(6), PRODUCER)
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
            .run(KEY, &[], login(1, at(0)), at(1), PRODUCER)
            .expect("stores");
        subject
            .run(KEY, &[], kill(scope), at(2), PRODUCER)
            .expect("stores");
        let reply = subject
            .run(KEY, &[], redeem(1), at(3), PRODUCER)
            .expect("stores");
        assert_eq!(reply, Err(Refusal::CodeUnknown));
    }
}

#[test]
fn a_code_redeemed_twice_ends_its_session() {
    let (subject, check) = with_token(1);
    let again = subject
        .run(KEY, &[], redeem(1), at(3), PRODUCER)
        .expect("stores");
    assert_eq!(again, Err(Refusal::CodeReused));
    assert_eq!(
        verdict(&subject, &check, at(3)),
        Verdict::Denied(DenyReason::SessionEnded)
    );
}

#[test]
fn a_code_is_bound_to_client_redirect_and_verifier_and_expires() {
    let mismatched = [
        Redeem {
            ask: ask("other", 1),
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
            .run(KEY, &[], login(1, at(0)), at(1), PRODUCER)
            .expect("stores");
        let reply = subject
            .run(KEY, &[], redeem, at(2), PRODUCER)
            .expect("stores");
        assert_eq!(reply, Err(Refusal::CodeMismatch));
    }
    let subject = subject();
    subject
        .run(KEY, &[], login(1, at(0)), at(1), PRODUCER)
        .expect("stores");
    let late = subject
        .run(KEY, &[], redeem(1), at(61), PRODUCER)
        .expect("stores");
    assert_eq!(late, Err(Refusal::CodeExpired));
}

#[test]
fn one_session_more_than_allowed_ends_the_oldest() {
    let subject = subject();
    let count = u8::try_from(MAX_LIVE_SESSIONS).expect("small") + 1;
    for n in 1..=count {
        let now = at(u64::from(n));
        subject
            .run(KEY, &[], login(n, now), now, PRODUCER)
            .expect("stores");
    }
    let live = subject.live_sessions(&[], at(500)).expect("reads");
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
    let reply = subject.run(KEY, &[], dry, at(3), PRODUCER).expect("stores");
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
        .run(KEY, &[], keyed(b"a"), at(3), PRODUCER)
        .expect("stores");
    subject
        .run(KEY, &[], login(2, at(4)), at(4), PRODUCER)
        .expect("stores");
    let again = subject
        .run(KEY, &[], keyed(b"a"), at(5), PRODUCER)
        .expect("stores");
    assert_eq!(first, again);
    assert_eq!(subject.live_sessions(&[], at(6)).expect("reads").len(), 1);
    let other = subject
        .run(KEY, &[], keyed(b"b"), at(5), PRODUCER)
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
            .run(KEY, &[], kill(scope), ahead, PRODUCER)
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
        .run(KEY, &[], login(2, late), late, PRODUCER)
        .expect("stores");
    assert_eq!(
        verdict(&subject, &check, late),
        Verdict::Denied(DenyReason::SessionUnknown)
    );
}
