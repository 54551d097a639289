//! Runs to API Shield over SQLite on the host, with faults.

use super::call::{BeginSync, EndSync, GetSync, KeyringRequest};
use super::maker::KeyMaker;
use super::service::KeyringService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::SqlError;
use portcullis_core::audit::event::{Action, Actor, Outcome};
use portcullis_core::connection::sync::{
    Begun, Credentials, Ended, Failure, RUN_SECS, SyncError, SyncState, Target,
};
use portcullis_core::id::ProducerId;
use portcullis_core::keyring::Timing;
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

type Service = KeyringService<HostSql>;

fn keyring() -> Service {
    KeyringService::new(HostSql::new(), KeyMaker::new([1; 32]), Timing::default())
}

fn ask<C: Call<Request = KeyringRequest>>(
    keyring: &Service,
    call: C,
    now: UnixMillis,
) -> Result<C::Reply, SqlError> {
    let producer = ProducerId::from_bytes([9; 16]);
    let answer = keyring.answer(call.into_request(), now, producer)?;
    Ok(wire::decode(&answer.bytes)?)
}

fn begin(keyring: &Service, connection: &str, now: UnixMillis) -> Begun {
    let begin = BeginSync {
        connection: connection.to_owned(),
        forced: false,
    };
    ask(keyring, begin, now).expect("answers")
}

fn end(connection: &str, run: u64, ended: Ended) -> EndSync {
    EndSync {
        connection: connection.to_owned(),
        run,
        ended,
        by: ChangedBy {
            actor: Actor::Connection(connection.to_owned()),
            request: None,
        },
    }
}

fn state(keyring: &Service, connection: &str) -> SyncState {
    let connection = connection.to_owned();
    ask(keyring, GetSync { connection }, NOW).expect("answers")
}

fn target() -> Target {
    Target {
        zone_id: "z".to_owned(),
        config_id: "c".to_owned(),
    }
}

fn credentials(kid: &str) -> Credentials {
    let document = format!(r#"{{"keys":[{{"kty":"RSA","kid":"{kid}","n":"AQAB","e":"AQAB"}}]}}"#);
    Credentials::read(document.as_bytes(), "/keys").expect("keys")
}

fn sent(kid: &str) -> Ended {
    Ended::Sent(target(), credentials(kid))
}

fn logged(keyring: &Service) -> Vec<(Outcome, String, Actor)> {
    let packs = keyring.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    events
        .map(|event| {
            assert_eq!(event.action, Action::KeysSynced);
            (event.outcome, event.reason.expect("one"), event.actor)
        })
        .collect()
}

#[test]
fn a_run_is_kept_and_its_change_is_logged_with_it() {
    let keyring = keyring();
    assert_eq!(state(&keyring, "okta"), SyncState::default());
    let begun = begin(&keyring, "okta", NOW);
    assert_eq!(begun, Begun::Run { run: 1, sent: None });
    let until = NOW.plus_secs(RUN_SECS);
    assert_eq!(begin(&keyring, "okta", NOW), Begun::UnderWay(until));
    ask(&keyring, end("okta", 1, sent("a")), NOW).expect("answers");
    let known = state(&keyring, "okta").sent.expect("sent");
    assert_eq!((known.credentials, known.at), (credentials("a"), NOW));

    let Begun::Run { run, .. } = begin(&keyring, "okta", NOW) else {
        panic!("it has ended");
    };
    ask(&keyring, end("okta", run, Ended::Unchanged), NOW).expect("answers");
    let okta = Actor::Connection("okta".to_owned());
    let expected = [(Outcome::Success, "sent".to_owned(), okta)];
    assert_eq!(logged(&keyring), expected);
}

#[test]
fn connections_do_not_touch_each_other() {
    let keyring = keyring();
    assert!(matches!(begin(&keyring, "okta", NOW), Begun::Run { .. }));
    assert!(matches!(begin(&keyring, "entra", NOW), Begun::Run { .. }));
    let failure = Failure {
        error: SyncError::ApiLimited,
        code: Some(10403),
        retry_after_secs: Some(7200),
    };
    ask(&keyring, end("okta", 1, Ended::Failed(failure)), NOW).expect("answers");
    ask(&keyring, end("entra", 1, sent("a")), NOW).expect("answers");
    let okta = state(&keyring, "okta");
    assert_eq!((okta.failure, okta.failures), (Some(failure), 1));
    assert_eq!(okta.next_attempt_at, Some(NOW.plus_secs(7200)));
    let later = NOW.plus_secs(300);
    let not_due = Begun::NotDue(NOW.plus_secs(7200));
    assert_eq!(begin(&keyring, "okta", later), not_due);
    assert!(matches!(begin(&keyring, "entra", later), Begun::Run { .. }));
    assert_eq!(state(&keyring, "entra").failures, 0);
    let outcomes: Vec<_> = logged(&keyring)
        .into_iter()
        .map(|(o, reason, _)| (o, reason))
        .collect();
    let expected = [
        (Outcome::Denied, "api_limited".to_owned()),
        (Outcome::Success, "sent".to_owned()),
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn every_storage_call_of_a_runs_end_fails_both_ways_and_the_next_run_makes_up_for_it() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let keyring = keyring();
            begin(&keyring, "okta", NOW);
            keyring.sql().fail_nth(nth, fault);
            let outcome = ask(&keyring, end("okta", 1, sent("a")), NOW);
            if keyring.sql().heal() {
                assert!(outcome.is_ok());
                break;
            }
            assert!(outcome.is_err(), "call {nth}");
            // What is known and what is logged go together.
            let known = state(&keyring, "okta").sent.is_some();
            assert_eq!(logged(&keyring).len(), usize::from(known), "call {nth}");
            let later = NOW.plus_secs(RUN_SECS);
            let begun = begin(&keyring, "okta", later);
            let Begun::Run { run, .. } = begun else {
                panic!("the run counts as over");
            };
            let to_send = begun.is_to_send(&target(), &credentials("a"));
            assert_eq!(to_send, !known, "call {nth}");
            let ended = if to_send { sent("a") } else { Ended::Unchanged };
            ask(&keyring, end("okta", run, ended), later).expect("answers");
            let known = state(&keyring, "okta").sent.expect("sent");
            assert_eq!(known.credentials, credentials("a"));
            assert_eq!(logged(&keyring).len(), 1);
        }
    }
}

#[test]
fn every_storage_call_of_a_runs_beginning_fails_both_ways_and_blocks_for_a_run_at_most() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let keyring = keyring();
            state(&keyring, "okta");
            keyring.sql().fail_nth(nth, fault);
            let call = BeginSync {
                connection: "okta".to_owned(),
                forced: false,
            };
            let outcome = ask(&keyring, call, NOW);
            if keyring.sql().heal() {
                assert!(outcome.is_ok());
                break;
            }
            assert!(outcome.is_err(), "call {nth}");
            let begun = begin(&keyring, "okta", NOW.plus_secs(RUN_SECS));
            assert!(begun.is_to_send(&target(), &credentials("a")), "call {nth}");
        }
    }
}
