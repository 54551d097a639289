//! What the directory says of somebody's groups and roles.

use super::grants::{exchange, first_token, redeem_with_refresh, refresh};
use super::{
    KEY, PRODUCER, ask, at, check_of, deactivate, login, reactivate, redeem, subject, verdict,
    with_token,
};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, migrate};
use crate::objects::subject::service::SubjectService;
use crate::objects::subject::store::MIGRATIONS;
use portcullis_core::id::{GrantId, SessionId, TokenId};
use portcullis_core::session::Command;
use portcullis_core::session::check::{CheckRequest, DenyReason, Verdict};
use portcullis_core::session::foreign::CheckForeign;
use portcullis_core::session::login::{Login, LoginReply};
use portcullis_core::session::provision::{Provision, ProvisionReply, Provisioned};
use portcullis_core::session::revoke::RevokeReply;
use portcullis_core::session::service::{IssueToService, LOCAL};
use portcullis_core::time::UnixMillis;

type Subject = SubjectService<HostSql>;

fn said(version: u64) -> Provisioned {
    Provisioned {
        version,
        groups: vec![format!("g{version}")],
        roles: vec![format!("r{version}")],
    }
}

fn run<C: Command>(subject: &Subject, command: C, now: UnixMillis) -> C::Reply {
    subject
        .run(KEY, &[], command, now, PRODUCER)
        .expect("stores")
}

fn login_with(n: u8, version: u64, begun: UnixMillis) -> Login {
    Login {
        provisioned: Some(said(version)),
        ..login(n, begun)
    }
}

/// What the next token of a new log-in would say.
fn in_a_token(subject: &Subject, n: u8, now: UnixMillis) -> Option<Provisioned> {
    assert_eq!(run(subject, login(n, now), now), LoginReply::Begun);
    run(subject, redeem(n), now).expect("redeems").provisioned
}

fn foreign() -> CheckForeign {
    CheckForeign {
        subject: KEY,
        connection: "demo".into(),
        issued_at: at(400),
        expires_at: at(3600),
        sid: None,
    }
}

#[test]
fn every_token_of_a_person_is_minted_by_what_the_directory_says_then() {
    let subject = subject();
    run(&subject, login_with(1, 1, at(0)), at(1));
    let redeemed = run(&subject, redeem_with_refresh(1), at(2)).expect("redeems");
    assert_eq!(redeemed.provisioned, Some(said(1)));
    run(&subject, Provision(said(2)), at(3));
    let refreshed = run(&subject, refresh(&first_token(1), 9), at(4)).expect("refreshes");
    assert_eq!(refreshed.facts.provisioned, Some(said(2)));
    run(&subject, Provision(said(3)), at(5));
    // What was minted before goes on, and what comes of it says what is said now.
    let check = check_of(&redeemed, TokenId::from_bytes([1; 16]));
    assert!(verdict(&subject, &check, at(6)).is_active());
    let exchanged = run(&subject, exchange(check, ask("backend", 5)), at(6)).expect("exchanges");
    assert_eq!(exchanged.provisioned, Some(said(3)));
    // A retry of a refresh, too.
    let retry = run(&subject, refresh(&first_token(1), 8), at(7)).expect("refreshes");
    assert_eq!(retry.facts.provisioned, Some(said(3)));
}

#[test]
fn what_is_older_than_what_is_known_changes_nothing_whichever_way_it_comes() {
    let subject = subject();
    run(&subject, Provision(said(5)), at(1));
    run(&subject, login_with(1, 4, at(2)), at(2));
    assert_eq!(in_a_token(&subject, 2, at(3)), Some(said(5)));
    for late in [5, 1] {
        let reply = run(&subject, Provision(said(late)), at(4));
        assert_eq!(reply, ProvisionReply::Unchanged);
    }
    run(&subject, login_with(3, 6, at(5)), at(5));
    assert_eq!(in_a_token(&subject, 4, at(6)), Some(said(6)));
    let reply = run(&subject, Provision(said(7)), at(7));
    assert_eq!(reply, ProvisionReply::Provisioned);
    assert_eq!(in_a_token(&subject, 5, at(8)), Some(said(7)));
}

#[test]
fn a_push_of_groups_overtakes_no_deactivation_and_lets_nobody_in() {
    let (subject, check) = with_token(1);
    run(&subject, Provision(said(9)), at(3));
    // Older, and yet in force.
    let RevokeReply::Revoked(revoked) = run(&subject, deactivate(3), at(4)) else {
        panic!("a deactivation is always answered")
    };
    assert!(revoked.changed);
    run(&subject, Provision(said(10)), at(5));
    let disabled = Verdict::Denied(DenyReason::SubjectDisabled);
    assert_eq!(verdict(&subject, &check, at(6)), disabled);
    let refused = run(&subject, login_with(2, 11, at(6)), at(6));
    assert_eq!(refused, LoginReply::SubjectDisabled);
    // And no deactivation overtakes a push.
    run(&subject, reactivate(20), at(7));
    run(&subject, Provision(said(12)), at(8));
    assert_eq!(in_a_token(&subject, 3, at(9)), Some(said(12)));
}

#[test]
fn a_log_in_that_is_refused_brings_nothing() {
    let subject = subject();
    run(&subject, deactivate(1), at(1));
    run(&subject, login_with(1, 5, at(2)), at(2));
    run(&subject, reactivate(2), at(3));
    assert_eq!(in_a_token(&subject, 2, at(4)), None);
}

#[test]
fn a_check_reads_not_one_statement_more_for_what_the_directory_says() {
    let calls = |subject: &Subject, check: &CheckRequest| {
        let before = subject.sql().calls();
        assert!(verdict(subject, check, at(5)).is_active());
        let own = subject.sql().calls() - before;
        let standing = subject.check_foreign(&foreign(), &[], at(500));
        assert!(standing.expect("reads").reply.verdict.is_active());
        (own, subject.sql().calls() - before - own)
    };
    let (subject, check) = with_token(1);
    let without = calls(&subject, &check);
    run(&subject, Provision(said(1)), at(3));
    assert_eq!(calls(&subject, &check), without);
    assert_eq!(without, (1, 1));
}

#[test]
fn the_check_of_a_providers_token_says_what_the_directory_says() {
    let (subject, _) = with_token(1);
    let told = |subject: &Subject| {
        let standing = subject.check_foreign(&foreign(), &[], at(500));
        standing.expect("reads").provisioned
    };
    assert_eq!(told(&subject), None);
    run(&subject, Provision(said(1)), at(3));
    assert_eq!(told(&subject), Some(said(1)));
    run(&subject, deactivate(1), at(4));
    assert_eq!(told(&subject), None);
}

#[test]
fn of_a_service_no_directory_says_anything() {
    let subject = subject();
    run(&subject, Provision(said(1)), at(1));
    let issue = IssueToService {
        session: SessionId::from_bytes([1; 16]),
        grant: GrantId::from_bytes([1; 16]),
        connection: LOCAL.into(),
        asked_at: at(2),
        scope: "read".into(),
        audiences: vec!["https://api".into()],
        assertion: None,
        ask: ask("backend", 1),
    };
    let facts = run(&subject, issue, at(2)).expect("issues");
    assert_eq!(facts.provisioned, None);
}

#[test]
fn it_is_stored_with_the_log_in_or_not_at_all_and_what_is_acknowledged_is_said() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let subject = subject();
            run(&subject, Provision(said(1)), at(0));
            subject.sql().fail_nth(nth, fault);
            let begun = subject.run(KEY, &[], login_with(1, 2, at(1)), at(1), PRODUCER);
            let unused = subject.sql().heal();
            let has_begun = !subject.live_sessions(&[], at(2)).expect("reads").is_empty();
            assert!(begun.is_err() || has_begun, "acknowledged and not done");
            let version = if has_begun { 2 } else { 1 };
            let told = in_a_token(&subject, 2, at(3));
            assert_eq!(told, Some(said(version)), "call {nth}, {fault:?}");
            // A push whose answer was lost is sent again, and holds.
            subject.sql().fail_nth(nth, fault);
            let pushed = subject.run(KEY, &[], Provision(said(3)), at(4), PRODUCER);
            let unused = subject.sql().heal() && unused;
            if pushed.is_err() {
                run(&subject, Provision(said(3)), at(5));
            }
            assert_eq!(in_a_token(&subject, 3, at(6)), Some(said(3)));
            if unused {
                break;
            }
        }
    }
}

#[test]
fn a_subject_from_before_there_were_directories_of_groups_goes_on() {
    let sql = HostSql::new();
    let before = MIGRATIONS.len() - 1;
    migrate(&sql, MIGRATIONS.get(..before).expect("some")).expect("migrates");
    sql.exec(
        "INSERT INTO subject (id, key, generation, disabled, directory_version) \
         VALUES (1, ?, 3, 1, 4)",
        &[KEY.as_bytes().into()],
    )
    .expect("stores");
    let subject = SubjectService::new(sql);
    let refused = run(&subject, login_with(1, 5, at(1)), at(1));
    assert_eq!(refused, LoginReply::SubjectDisabled);
    run(&subject, reactivate(5), at(2));
    assert_eq!(in_a_token(&subject, 2, at(3)), None);
    run(&subject, Provision(said(1)), at(4));
    assert_eq!(in_a_token(&subject, 3, at(5)), Some(said(1)));
}

#[test]
fn a_log_in_from_before_a_reactivation_begins_again() {
    let subject = subject();
    run(&subject, deactivate(1), at(10));
    run(&subject, reactivate(2), at(20));
    // It set out while they were out, or before; what was proved then counts no more.
    for (n, set_out) in [(1, 5), (2, 15), (3, 20)] {
        let reply = run(&subject, login(n, at(set_out)), at(25));
        assert_eq!(reply, LoginReply::Superseded, "set out at {set_out}");
    }
    let reply = run(&subject, login(4, at(21)), at(25));
    assert_eq!(reply, LoginReply::Begun);
    // Said again, it takes nothing away.
    run(&subject, reactivate(3), at(30));
    let reply = run(&subject, login(5, at(22)), at(35));
    assert_eq!(reply, LoginReply::Begun);
}
