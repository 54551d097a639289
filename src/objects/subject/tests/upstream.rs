//! What the identity provider ends, and its own tokens.

use super::{KEY, PRODUCER, at, deactivate, kill, login, reactivate, subject};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::subject::service::SubjectService;
use portcullis_core::policy::{WideRevocation, WideScope};
use portcullis_core::secret::Digest;
use portcullis_core::session::check::{DenyReason, Verdict};
use portcullis_core::session::foreign::CheckForeign;
use portcullis_core::session::login::{Login, LoginReply};
use portcullis_core::session::overview::Overview;
use portcullis_core::session::revoke::{RevokeReply, Scope};
use portcullis_core::session::{Command, Upstream};
use portcullis_core::time::UnixMillis;

type Subject = SubjectService<HostSql>;

fn sid(n: u8) -> Digest {
    Digest::of(&[n, 7])
}

/// A log-in with that session of the provider.
fn login_with(n: u8, sid: Digest, begun: UnixMillis) -> Login {
    Login {
        upstream: Upstream {
            sub: Some(Digest::of(b"alice")),
            sid: Some(sid),
        },
        ..login(n, begun)
    }
}

fn run<C: Command>(subject: &Subject, command: C, now: UnixMillis) -> C::Reply {
    subject
        .run(KEY, &[], command, now, PRODUCER)
        .expect("stores")
}

/// Why a token issued at that time, of that session of the provider, is denied.
fn denied(subject: &Subject, issued: UnixMillis, sid: Option<Digest>) -> Option<DenyReason> {
    let check = CheckForeign {
        subject: KEY,
        connection: "demo".into(),
        issued_at: issued,
        expires_at: at(3600),
        sid,
    };
    let reply = subject.check_foreign(&check, &[], at(500)).expect("reads");
    match reply.reply.verdict {
        Verdict::Denied(reason) => Some(reason),
        Verdict::Active { .. } => None,
    }
}

fn live(subject: &Subject) -> usize {
    subject.live_sessions(&[], at(6)).expect("reads").len()
}

#[test]
fn the_end_of_a_providers_session_takes_what_rests_on_it_and_nothing_else() {
    let subject = subject();
    for (n, of) in [(1, 1), (2, 1), (3, 2)] {
        run(&subject, login_with(n, sid(of), at(0)), at(1));
    }
    let RevokeReply::Revoked(revoked) = run(&subject, kill(Scope::UpstreamSession(sid(1))), at(5))
    else {
        panic!("revoked")
    };
    assert_eq!((revoked.sessions, revoked.changed), (2, true));
    assert_eq!(live(&subject), 1);
    assert_eq!(denied(&subject, at(4), Some(sid(2))), None);
    for of in [Some(sid(1)), None] {
        let ended = Some(DenyReason::SessionEnded);
        assert_eq!(denied(&subject, at(4), of), ended);
    }
    // The provider says it again: nothing more happens, and nothing more is told.
    let RevokeReply::Revoked(again) = run(&subject, kill(Scope::UpstreamSession(sid(1))), at(6))
    else {
        panic!("revoked")
    };
    assert!(!again.changed);
}

#[test]
fn a_log_in_on_its_way_with_a_session_that_has_ended_comes_too_late() {
    let subject = subject();
    run(&subject, kill(Scope::UpstreamSession(sid(1))), at(5));
    let late = run(&subject, login_with(1, sid(1), at(0)), at(6));
    assert_eq!(late, LoginReply::Superseded);
    let other = run(&subject, login_with(2, sid(2), at(0)), at(6));
    assert_eq!(other, LoginReply::Begun);
}

#[test]
fn every_kill_of_a_subject_covers_the_providers_tokens_too() {
    for scope in [
        Scope::Subject,
        Scope::SubjectUntilReactivated {
            directory_version: 1,
        },
    ] {
        let subject = subject();
        assert_eq!(denied(&subject, at(0), None), None);
        run(&subject, kill(scope), at(5));
        assert!(denied(&subject, at(4), Some(sid(1))).is_some());
    }
}

#[test]
fn a_reactivated_subject_needs_a_token_from_after_it() {
    let subject = subject();
    run(&subject, deactivate(1), at(5));
    let disabled = Some(DenyReason::SubjectDisabled);
    assert_eq!(denied(&subject, at(200), None), disabled);
    run(&subject, reactivate(2), at(300));
    let old = Some(DenyReason::IssuedBeforeKill);
    // One that the provider issued meanwhile, too.
    assert_eq!(denied(&subject, at(200), None), old);
    assert_eq!(denied(&subject, at(361), None), None);
    // Said again, it takes nothing away.
    run(&subject, reactivate(3), at(400));
    assert_eq!(denied(&subject, at(361), None), None);
}

#[test]
fn a_check_of_the_unseen_leaves_nothing() {
    let subject = subject();
    let calls = subject.sql().calls();
    assert_eq!(denied(&subject, at(0), Some(sid(1))), None);
    assert!(subject.sql().calls() > calls);
    assert!(!crate::objects::sql::has_schema(subject.sql()).expect("reads"));
}

#[test]
fn a_revoked_connection_covers_its_tokens_whoever_they_are_of() {
    let subject = subject();
    let scope = WideScope::Connection("demo".into());
    let revoked = [WideRevocation::committed(scope, at(5))];
    let check = |issued| {
        let check = CheckForeign {
            subject: KEY,
            connection: "demo".into(),
            issued_at: issued,
            expires_at: at(3600),
            sid: None,
        };
        let reply = subject.check_foreign(&check, &revoked, at(500));
        reply.expect("reads").reply.verdict
    };
    assert_eq!(check(at(4)), Verdict::Denied(DenyReason::ConnectionRevoked));
    assert!(check(at(100)).is_active());
}

#[test]
fn an_end_is_stored_whole_or_not_at_all() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let subject = subject();
            run(&subject, login_with(1, sid(1), at(0)), at(1));
            subject.sql().fail_nth(nth, fault);
            let end = kill(Scope::UpstreamSession(sid(1)));
            let reply = subject.run(KEY, &[], end, at(5), PRODUCER);
            let unused = subject.sql().heal();
            let session_over = live(&subject) == 0;
            let token_over = denied(&subject, at(4), Some(sid(1))).is_some();
            assert_eq!(session_over, token_over, "call {nth}, {fault:?}");
            assert!(reply.is_err() || session_over, "acknowledged and not done");
            if unused {
                break;
            }
        }
    }
}

#[test]
fn a_session_that_does_not_say_what_it_rests_on_ends_with_any_of_the_providers() {
    let subject = subject();
    run(&subject, login(1, at(0)), at(1));
    run(&subject, login_with(2, sid(2), at(0)), at(1));
    run(&subject, kill(Scope::UpstreamSession(sid(1))), at(5));
    assert_eq!(live(&subject), 1);
}

#[test]
fn a_look_up_says_how_it_is_and_leaves_nothing_of_the_unseen() {
    let subject = subject();
    assert_eq!(subject.overview(&[], at(6)), Ok(Overview::default()));
    assert!(!crate::objects::sql::has_schema(subject.sql()).expect("reads"));
    run(&subject, login(1, at(0)), at(1));
    run(&subject, login(2, at(0)), at(3));
    let overview = Overview {
        disabled: false,
        sessions: 2,
        last_used_at: Some(at(3)),
        connection: Some("demo".to_owned()),
    };
    assert_eq!(subject.overview(&[], at(6)), Ok(overview));
    run(&subject, deactivate(1), at(5));
    let disabled = Overview {
        disabled: true,
        ..Overview::default()
    };
    assert_eq!(subject.overview(&[], at(6)), Ok(disabled));
}
