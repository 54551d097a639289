//! The keyring over SQLite on the host, with faults.

use super::call::{
    CompromiseKey, GetKeys, KeptKey, KeyCompromised, KeyLife, KeyRotated, ListKeys, RotateKey,
};
use super::maker::KeyMaker;
use super::maker::PURPOSE;
use super::service::KeyringService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::{Sql, SqlError, migrate};
use crate::seal::Sealed;
use portcullis_core::audit::event::{Action, Actor};
use portcullis_core::id::ProducerId;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::keyring::{KeyState, REMEMBERED_SECS, RETIRING_SECS, Timing};
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};

const SEALING_KEY: [u8; 32] = [1; 32];
const START: UnixMillis = UnixMillis(1_800_000_000_000);
const PRODUCER: ProducerId = ProducerId::from_bytes([9; 16]);

type Service = KeyringService<HostSql>;

fn over(sql: HostSql) -> Service {
    KeyringService::new(sql, KeyMaker::new(SEALING_KEY), Timing::default())
}

fn keyring() -> Service {
    over(HostSql::new())
}

fn ask<C: Call<Request = super::call::KeyringRequest>>(
    keyring: &Service,
    call: C,
    now: UnixMillis,
) -> Result<C::Reply, SqlError> {
    let answer = keyring.answer(call.into_request(), now, PRODUCER)?;
    Ok(wire::decode(&answer.bytes)?)
}

fn keys(keyring: &Service, now: UnixMillis) -> Vec<KeptKey> {
    ask(keyring, GetKeys, now).expect("answers")
}

fn states(keyring: &Service, now: UnixMillis) -> Vec<KeyState> {
    let lives: Vec<KeyLife> = ask(keyring, ListKeys, now).expect("answers");
    lives.iter().map(|life| life.state).collect()
}

fn by() -> ChangedBy {
    ChangedBy {
        actor: Actor::Operator("admin".to_owned()),
        request: None,
    }
}

fn rotate() -> RotateKey {
    RotateKey { by: by() }
}

fn compromise(kid: &str) -> CompromiseKey {
    CompromiseKey {
        kid: kid.to_owned(),
        by: by(),
    }
}

fn logged(keyring: &Service) -> Vec<(Action, Option<String>)> {
    let packs = keyring.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    events.map(|event| (event.action, event.reason)).collect()
}

#[test]
fn the_first_key_is_made_once_and_signs_at_once() {
    let keyring = keyring();
    let first = keys(&keyring, START);
    assert_eq!(first.len(), 1);
    assert_eq!(keys(&keyring, START.plus_secs(60)), first);
    assert_eq!(states(&keyring, START), [KeyState::Signing]);
    let maker = KeyMaker::new(SEALING_KEY);
    let sealed = first[0].sealed.as_ref().expect("not destroyed");
    let opened = maker.open(sealed).expect("opens");
    assert_eq!(opened.kid(), first[0].key.kid);
    assert_eq!(opened.public_point().as_slice(), first[0].point);
    assert_eq!(logged(&keyring), []);
}

#[test]
fn a_key_of_the_first_migration_goes_on_signing_under_its_own_name() {
    let sql = HostSql::new();
    migrate(&sql, &[include_str!("migrations/0001_keyring.sql")]).expect("migrates");
    let sealed = Sealed::seal(&SEALING_KEY, &[2; 24], PURPOSE, &[7; 32]).expect("seals");
    sql.exec(
        "INSERT INTO signing_key (number, sealed, created_at) VALUES (1, ?, ?)",
        &[sealed.as_bytes().into(), START.0.into()],
    )
    .expect("writes");
    let keyring = over(sql);
    let kept = keys(&keyring, START.plus_secs(60));
    let key = SigningKey::from_secret(&[7; 32]).expect("a key");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].key.kid, key.kid());
    assert_eq!(kept[0].key.signs_from, START);
    assert_eq!(kept[0].point, key.public_point());
    assert_eq!(kept[0].sealed.as_ref(), Some(&sealed));
    assert_eq!(keys(&keyring, START.plus_secs(61)), kept);
}

#[test]
fn another_sealing_key_opens_nothing_and_changes_nothing() {
    let sql = HostSql::new();
    migrate(&sql, &[include_str!("migrations/0001_keyring.sql")]).expect("migrates");
    let sealed = Sealed::seal(&[5; 32], &[2; 24], PURPOSE, &[7; 32]).expect("seals");
    sql.exec(
        "INSERT INTO signing_key (number, sealed, created_at) VALUES (1, ?, ?)",
        &[sealed.as_bytes().into(), START.0.into()],
    )
    .expect("writes");
    let keyring = over(sql);
    assert!(ask(&keyring, GetKeys, START).is_err());
    let rows = keyring.sql().exec("SELECT kid FROM signing_key", &[]);
    assert_eq!(rows.expect("reads").len(), 1);
}

#[test]
fn a_rotation_publishes_first_signs_later_and_is_logged_once() {
    let keyring = keyring();
    let old = keys(&keyring, START)[0].key.kid.clone();
    let ahead = Timing::default().ahead_on_demand_secs;
    let KeyRotated::Rotated {
        kid,
        signs_from,
        changed,
    } = ask(&keyring, rotate(), START).expect("answers")
    else {
        panic!("too many");
    };
    assert!(changed && kid != old);
    assert_eq!(signs_from, START.plus_secs(ahead));
    assert_eq!(states(&keyring, START), [KeyState::Signing, KeyState::Next]);
    let again = ask(&keyring, rotate(), START.plus_secs(1)).expect("answers");
    let under_way = KeyRotated::Rotated {
        kid,
        signs_from,
        changed: false,
    };
    assert_eq!(again, under_way);
    assert_eq!(
        states(&keyring, signs_from),
        [KeyState::Retiring, KeyState::Signing]
    );
    let requested = (Action::KeyRotated, Some("requested".to_owned()));
    assert_eq!(logged(&keyring), [requested]);
}

#[test]
fn a_retired_key_is_destroyed_remembered_and_forgotten() {
    let keyring = keyring();
    let old = keys(&keyring, START)[0].key.kid.clone();
    ask(&keyring, rotate(), START).expect("answers");
    let signs_from = START.plus_secs(Timing::default().ahead_on_demand_secs);
    let retired = signs_from.plus_secs(RETIRING_SECS);
    let before = keys(&keyring, UnixMillis(retired.0 - 1));
    assert!(before[0].sealed.is_some());
    let after = keys(&keyring, retired);
    assert_eq!(
        (after[0].key.kid.as_str(), &after[0].sealed),
        (old.as_str(), &None)
    );
    assert_eq!(
        states(&keyring, retired),
        [KeyState::Retired, KeyState::Signing]
    );
    let forgotten = keys(&keyring, retired.plus_secs(REMEMBERED_SECS));
    assert!(forgotten.iter().all(|kept| kept.key.kid != old));
}

#[test]
fn the_schedule_makes_the_next_key_ahead_of_its_time() {
    let keyring = keyring();
    keys(&keyring, START);
    let timing = Timing::default();
    let due_at = keyring.run_schedule(START, PRODUCER).expect("runs");
    assert_eq!(
        due_at,
        START.plus_secs(timing.period_secs - timing.ahead_secs)
    );
    assert_eq!(states(&keyring, START).len(), 1);
    keyring.run_schedule(due_at, PRODUCER).expect("runs");
    assert_eq!(
        states(&keyring, due_at),
        [KeyState::Signing, KeyState::Next]
    );
    let scheduled = (Action::KeyRotated, Some("scheduled".to_owned()));
    assert_eq!(logged(&keyring), [scheduled]);
}

#[test]
fn a_compromised_key_is_destroyed_replaced_and_told_of_until_the_policy_has_it() {
    let keyring = keyring();
    let old = keys(&keyring, START)[0].key.kid.clone();
    let now = START.plus_secs(5);
    let outcome = ask(&keyring, compromise(&old), now).expect("answers");
    let KeyCompromised {
        at,
        changed,
        signing,
    } = outcome.expect("known");
    assert!((at, changed) == (now, true) && signing != old);
    assert_eq!(
        states(&keyring, now),
        [KeyState::Compromised, KeyState::Signing]
    );
    assert_eq!(keys(&keyring, now)[0].sealed, None);
    assert_eq!(keyring.untold(), Ok(vec![old.clone()]));

    let again = ask(&keyring, compromise(&old), now.plus_secs(5)).expect("answers");
    let already = KeyCompromised {
        at: now,
        changed: false,
        signing,
    };
    assert_eq!(again, Some(already));
    assert_eq!(keyring.is_settled(), Ok(false));
    keyring.told(&old).expect("writes");
    assert_eq!(keyring.untold(), Ok(vec![]));
    let declared = (Action::KeyCompromised, Some("declared".to_owned()));
    assert_eq!(logged(&keyring), [declared]);
    assert_eq!(ask(&keyring, compromise("nobody"), now), Ok(None));
}

#[test]
fn every_storage_call_of_a_compromise_fails_both_ways_and_a_retry_makes_it_hold() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let keyring = keyring();
            let old = keys(&keyring, START)[0].key.kid.clone();
            keyring.sql().fail_nth(nth, fault);
            let outcome = ask(&keyring, compromise(&old), START);
            if keyring.sql().heal() {
                assert!(outcome.is_ok());
                break;
            }
            assert!(outcome.is_err(), "call {nth}");
            ask(&keyring, compromise(&old), START).expect("answers");
            let states = states(&keyring, START);
            assert_eq!(states, [KeyState::Compromised, KeyState::Signing]);
            assert_eq!(keyring.untold(), Ok(vec![old]));
            assert_eq!(logged(&keyring).len(), 1);
        }
    }
}
