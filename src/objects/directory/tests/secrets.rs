//! The secrets of a SCIM endpoint: which are good, for what, and that storage may fail at every call.

use super::{ALICE, NAMING_KEY, RULES, directory, with_alice};
use crate::objects::directory::service::DirectoryService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use portcullis_core::audit::event::{Actor, Event, RequestFacts};
use portcullis_core::id::{LogHash, ProducerId, ScimSecretId};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ChangeUser, CreateUser, DirectoryCall, DirectoryRequest, GetUser, SearchUsers, UserChange,
};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::secret::{
    KeptSecret, Knock, ListSecrets, MAX_SECRETS, MakeSecret, RemoveSecrets, SecretMade,
    USED_WITHIN_MS,
};
use portcullis_core::scim::user::UserId;
use portcullis_core::secret::Digest;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use serde::de::DeserializeOwned;

type Directory = DirectoryService<HostSql>;

const HOUR: u64 = USED_WITHIN_MS;

/// What comes of a request by a secret, or by none, at a time.
fn asked_by<R: DeserializeOwned>(
    directory: &Directory,
    secret: Option<Digest>,
    at: u64,
    operation: DirectoryRequest,
) -> Option<R> {
    let call = DirectoryCall {
        connection: "demo".into(),
        base: "http://s".into(),
        rules: RULES,
        request: RequestFacts::default(),
        operation,
        secret,
    };
    let answer = directory.answer(call, UnixMillis(at), ProducerId::from_bytes([2; 16]));
    let answer = answer.ok()?;
    Some(wire::decode(&answer.bytes).expect("decodes"))
}

fn ask<C: Call<Request = DirectoryRequest>>(
    directory: &Directory,
    at: u64,
    call: C,
) -> Option<C::Reply> {
    asked_by(directory, None, at, call.into_request())
}

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

fn by() -> Actor {
    Actor::Operator("admin".into())
}

fn make(directory: &Directory, number: u8, overlap_secs: u64, at: u64) -> Option<SecretMade> {
    let make = MakeSecret {
        digest: digest(number),
        overlap_secs,
        by: by(),
    };
    ask(directory, at, make)
}

fn with_secret(number: u8) -> Directory {
    let directory = with_alice();
    assert!(matches!(
        make(&directory, number, 0, 1),
        Some(SecretMade::Made(_))
    ));
    directory
}

fn remove(directory: &Directory, id: Option<ScimSecretId>, at: u64) -> Option<u32> {
    ask(directory, at, RemoveSecrets { id, by: by() })
}

fn is_good(directory: &Directory, number: u8, at: u64) -> bool {
    let knocked: Option<Result<(), ScimError>> =
        asked_by(directory, Some(digest(number)), at, Knock.into_request());
    match knocked {
        Some(Ok(())) => true,
        Some(Err(ScimError::SecretRefused)) => false,
        other => panic!("{other:?}"),
    }
}

fn listed(directory: &Directory, at: u64) -> Vec<KeptSecret> {
    ask(directory, at, ListSecrets).expect("answers")
}

/// What the log will have of secrets: which, and what became of it.
fn told(directory: &Directory) -> Vec<(LogHash, Option<String>)> {
    let packs = directory.waiting().expect("reads");
    let events = packs.into_iter().flat_map(|pack| pack.events);
    events
        .filter_map(|event: Event| Some((event.token?, event.reason)))
        .collect()
}

fn name(number: u8) -> LogHash {
    LogHash::of_scim_secret(ScimSecretId::of(&digest(number)))
}

#[test]
fn by_a_secret_that_is_not_good_nothing_is_answered_and_nothing_done() {
    let directory = with_secret(1);
    let before = directory.waiting().expect("reads").len();
    let other = UserId::from_bytes([2; 16]);
    let change = |change| {
        let change = ChangeUser {
            id: ALICE,
            change,
            if_match: None,
            if_none_match: None,
        };
        change.into_request()
    };
    let body = || r#"{"userName":"bob"}"#.to_owned();
    for operation in [
        CreateUser {
            id: other,
            body: body(),
        }
        .into_request(),
        GetUser { id: ALICE }.into_request(),
        SearchUsers {
            asked: Asked::default(),
        }
        .into_request(),
        change(UserChange::Replace(body())),
        change(UserChange::Delete),
        Knock.into_request(),
    ] {
        let call = || asked_by(&directory, Some(digest(2)), 2, operation.clone());
        // Every reply of these begins alike where it is refused.
        let refused: Option<Result<(), ScimError>> = call();
        assert_eq!(refused, Some(Err(ScimError::SecretRefused)));
    }
    assert_eq!(directory.waiting().expect("reads").len(), before);
    let alice = asked_by::<Result<String, ScimError>>(
        &directory,
        Some(digest(1)),
        2,
        GetUser { id: ALICE }.into_request(),
    );
    assert!(matches!(alice, Some(Ok(_))));
}

#[test]
fn a_secret_is_good_until_it_is_removed_and_others_stay() {
    let directory = with_secret(1);
    make(&directory, 2, 60, 1_000);
    assert!(is_good(&directory, 1, 1_001) && is_good(&directory, 2, 1_001));
    let id = ScimSecretId::of(&digest(1));
    assert_eq!(remove(&directory, Some(id), 1_002), Some(1));
    assert!(!is_good(&directory, 1, 1_002) && is_good(&directory, 2, 1_002));
    assert_eq!(remove(&directory, Some(id), 1_003), Some(0));
    let (made, gone) = ("scim_secret_created", "scim_secret_deleted");
    let expected = [(1, made), (2, made), (1, gone)];
    let expected = expected.map(|(number, reason)| (name(number), Some(reason.to_owned())));
    assert_eq!(told(&directory), expected);
}

#[test]
fn earlier_secrets_end_when_the_overlap_does_and_none_is_given_more_time() {
    let directory = with_secret(1);
    make(&directory, 2, 10, 1_000);
    assert!(is_good(&directory, 1, 10_999) && !is_good(&directory, 1, 11_000));
    assert_eq!(listed(&directory, 10_999).len(), 2);
    assert_eq!(listed(&directory, 11_000).len(), 1);
    make(&directory, 3, 3_600, 2_000);
    assert!(!is_good(&directory, 1, 11_000));
    assert!(is_good(&directory, 2, 3_601_999) && !is_good(&directory, 2, 3_602_000));
    assert!(is_good(&directory, 3, u64::MAX >> 12));
}

#[test]
fn without_an_overlap_the_earlier_ones_are_over_at_once_and_the_log_says_so() {
    let directory = with_secret(1);
    make(&directory, 2, 60, 2);
    make(&directory, 3, 0, 3);
    let good = [1, 2, 3].map(|number| is_good(&directory, number, 3));
    assert_eq!(good, [false, false, true]);
    let reasons: Vec<_> = told(&directory).into_iter().skip(2).collect();
    let (made, gone) = ("scim_secret_created", "scim_secret_deleted");
    let expected = [(1, gone), (2, gone), (3, made)];
    let expected = expected.map(|(number, reason)| (name(number), Some(reason.to_owned())));
    assert_eq!(reasons, expected);
}

#[test]
fn a_few_are_good_at_a_time_and_those_that_ended_count_no_more() {
    let directory = directory();
    for number in 0..5 {
        assert!(matches!(
            make(&directory, number, 10, 1_000),
            Some(SecretMade::Made(_))
        ));
    }
    assert_eq!(listed(&directory, 1_000).len(), MAX_SECRETS);
    assert_eq!(
        make(&directory, 5, 10, 1_000),
        Some(SecretMade::TooMany),
        "nothing was changed"
    );
    assert!(!is_good(&directory, 5, 1_000) && is_good(&directory, 4, 1_000));
    assert!(matches!(
        make(&directory, 5, 10, 11_000),
        Some(SecretMade::Made(_))
    ));
    assert_eq!(listed(&directory, 11_000).len(), 2);
    let rows = "SELECT count(*) FROM scim_secret";
    let rows = crate::objects::sql::Sql::exec(directory.sql(), rows, &[]).expect("reads");
    assert_eq!(rows[0].integer(0), Ok(2), "what ended is forgotten");
}

#[test]
fn all_of_a_connection_that_is_no_more_go_together() {
    let directory = with_secret(1);
    make(&directory, 2, 60, 2);
    assert_eq!(remove(&directory, None, 3), Some(2));
    assert!(!is_good(&directory, 1, 3) && !is_good(&directory, 2, 3));
    assert_eq!(remove(&directory, None, 4), Some(0));
}

#[test]
fn a_use_is_written_down_once_an_hour() {
    let directory = with_secret(1);
    let calls = |at| {
        let before = directory.sql().calls();
        assert!(is_good(&directory, 1, at));
        directory.sql().calls() - before
    };
    assert_eq!(listed(&directory, 2)[0].last_used, None);
    let first = calls(HOUR + 5);
    let second = calls(HOUR + 6);
    assert_eq!(first, second + 1);
    assert_eq!(calls(2 * HOUR - 1), second);
    assert_eq!(calls(2 * HOUR), first);
    let used = listed(&directory, 2 * HOUR)[0].last_used;
    assert_eq!(used, Some(UnixMillis(2 * HOUR)));
}

#[test]
fn a_restart_forgets_neither_what_is_good_nor_what_was_removed() {
    let directory = with_secret(1);
    make(&directory, 2, 60, 2);
    remove(&directory, Some(ScimSecretId::of(&digest(1))), 3);
    let directory = DirectoryService::new(directory.into_sql(), NAMING_KEY);
    assert!(!is_good(&directory, 1, 4) && is_good(&directory, 2, 4));
}

#[test]
fn a_new_secret_and_the_end_of_the_earlier_are_stored_whole_or_not_at_all() {
    let calls = {
        let directory = with_secret(1);
        let before = directory.sql().calls();
        make(&directory, 2, 0, 2);
        directory.sql().calls() - before
    };
    assert!(calls >= 6, "{calls} storage calls");
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let directory = with_secret(1);
            directory.sql().fail_nth(nth, fault);
            assert_eq!(make(&directory, 2, 0, 2), None, "call {nth}");
            assert!(!directory.sql().heal());
            let after = (
                is_good(&directory, 1, 2),
                is_good(&directory, 2, 2),
                told(&directory).len(),
            );
            assert!(
                matches!(after, (true, false, 1) | (false, true, 3)),
                "call {nth}, {fault:?}: {after:?}"
            );
        }
    }
}
