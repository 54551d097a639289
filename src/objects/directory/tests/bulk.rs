//! Bulk requests: carried out once each, in turns, whatever fails in the middle.

use super::{RULES, commands, directory, subject};
use crate::objects::directory::bulk::{MAX_AT_ONCE, Running, Step};
use crate::objects::directory::command::{About, SubjectCommand};
use crate::objects::directory::service::DirectoryService;
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::outbox::Producer;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::ProducerId;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::bulk::LIMITS;
use portcullis_core::scim::call::{BulkId, BulkReply, DirectoryCall, RunBulk};
use portcullis_core::session::revoke::Cause;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::{self, Call};
use serde_json::{Value, json};
use std::cell::Cell;

type Directory = DirectoryService<HostSql>;

const BULK: BulkId = BulkId::from_bytes([5; 16]);
const PRODUCER: ProducerId = ProducerId::from_bytes([2; 16]);

thread_local! {
    static NEXT_ID: Cell<u8> = const { Cell::new(100) };
}

fn new_id() -> [u8; 16] {
    NEXT_ID.set(NEXT_ID.get().wrapping_add(1));
    [NEXT_ID.get(); 16]
}

fn bulk(operations: &Value) -> String {
    let schema = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
    json!({"schemas": [schema], "Operations": operations}).to_string()
}

fn begin(directory: &Directory, id: BulkId, body: &str) -> Result<Result<(), ScimError>, SqlError> {
    let body = body.to_owned();
    let call = DirectoryCall {
        connection: "demo".into(),
        secret: None,
        base: "http://s".into(),
        rules: RULES,
        request: RequestFacts::default(),
        operation: RunBulk { id, body }.into_request(),
    };
    let answer = directory.answer(call, UnixMillis(1), PRODUCER)?;
    if answer.bulk == Some(id) {
        assert!(answer.changed);
        return Ok(Ok(()));
    }
    let reply: BulkReply = wire::decode(&answer.bytes).expect("decodes");
    Ok(reply.map(drop))
}

fn step(directory: &Directory, running: &mut Running) -> Result<Step, SqlError> {
    directory.go_on(running, UnixMillis(1), PRODUCER, new_id())
}

fn to_the_end(directory: &Directory, running: &mut Running) {
    while let Step::Done(_) = step(directory, running).expect("goes on") {}
}

fn take_up(directory: &Directory, id: BulkId) -> Running {
    directory.take_up(id).expect("reads").expect("is stored")
}

fn answer(running: &Running) -> Value {
    let reply: BulkReply = wire::decode(&running.answer().expect("answers")).expect("decodes");
    serde_json::from_str(&reply.expect("is done")).expect("JSON")
}

/// Carries a bulk out, and gives back its answer.
fn run(directory: &Directory, operations: &Value) -> Value {
    begin(directory, BULK, &bulk(operations))
        .expect("stores")
        .expect("begins");
    let mut running = take_up(directory, BULK);
    to_the_end(directory, &mut running);
    directory.forget_bulk(BULK).expect("forgets");
    answer(&running)
}

fn statuses(answer: &Value) -> Vec<&str> {
    let operations = answer["Operations"].as_array().expect("a list");
    let statuses = operations
        .iter()
        .map(|one| one["status"].as_str().expect("a status"));
    statuses.collect()
}

fn user(bulk_id: &str, name: &str, active: bool) -> Value {
    let data = json!({"userName": name, "active": active});
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
}

fn group(bulk_id: &str, name: &str, members: &[&str]) -> Value {
    let members: Value = members.iter().map(|id| json!({"value": id})).collect();
    let data = json!({"displayName": name, "members": members});
    json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": data})
}

/// Everybody's names, and the names of each group's members.
fn stored(directory: &Directory) -> (Vec<String>, Vec<(String, String)>) {
    let texts = |statement: &str| directory.sql().exec(statement, &[]).expect("reads");
    let users = texts("SELECT user_name FROM user ORDER BY user_name");
    let members = texts(
        "SELECT display_name, user_name FROM scim_group LEFT JOIN member ON grp = scim_group.id \
         LEFT JOIN user ON user.id = member.user ORDER BY 1, 2",
    );
    let text = |row: &crate::objects::sql::Row, at| {
        row.optional_text(at)
            .expect("text")
            .unwrap_or("-")
            .to_owned()
    };
    (
        users.iter().map(|row| text(row, 0)).collect(),
        members
            .iter()
            .map(|row| (text(row, 0), text(row, 1)))
            .collect(),
    )
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = pairs
        .iter()
        .map(|(one, other)| ((*one).to_owned(), (*other).to_owned()));
    owned.collect()
}

fn events(directory: &Directory) -> usize {
    let packs = directory.waiting().expect("reads");
    packs.iter().map(|pack| pack.events.len()).sum()
}

/// A group before its member, a change by reference, a failure, and an end of access.
fn mixed() -> Value {
    json!([
        group("g", "Staff", &["bulkId:a", "bulkId:b"]),
        user("a", "alice", true),
        user("b", "bob", true),
        user("c", "ALICE", true),
        {"method": "PATCH", "path": "/Users/bulkId:b", "data": {"Operations": [
            {"op": "replace", "path": "active", "value": false},
        ]}},
        {"method": "POST", "path": "/Users", "bulkId": "d", "data": {"userName": "dave"}},
        {"method": "DELETE", "path": "/Users/bulkId:d"},
    ])
}

#[test]
fn what_refers_to_what_is_made_in_the_same_bulk() {
    let directory = directory();
    let answer = run(&directory, &mixed());
    assert_eq!(
        statuses(&answer),
        ["201", "201", "201", "409", "200", "201", "204"]
    );
    let first = &answer["Operations"][0];
    let location = first["location"].as_str().expect("a location");
    assert!(
        location.starts_with("http://s/Groups/") && first["version"].is_string(),
        "{first}"
    );
    assert_eq!(
        answer["Operations"][3]["response"]["scimType"],
        "uniqueness"
    );
    let expected = pairs(&[("Staff", "alice"), ("Staff", "bob")]);
    assert_eq!(stored(&directory), (names(&["alice", "bob"]), expected));
    let disable = |cause| SubjectCommand::Disable(cause);
    let expected = [
        (subject("bob"), disable(Cause::ScimDeactivated)),
        (subject("dave"), disable(Cause::ScimDeleted)),
    ];
    assert_eq!(commands(&directory), expected);
    assert_eq!(directory.bulks(), Ok(vec![]));
}

#[test]
fn the_answer_must_wait_for_every_user_whom_it_is_about() {
    let directory = directory();
    begin(&directory, BULK, &bulk(&mixed()))
        .expect("stores")
        .expect("begins");
    let mut running = take_up(&directory, BULK);
    let mut waits_for = 0;
    while let Step::Done(about) = step(&directory, &mut running).expect("goes on") {
        waits_for += usize::from(matches!(about, Some(About::User(_))));
    }
    // Of the group nothing; of whoever was refused, the namesake.
    assert_eq!(waits_for, 6);
}

#[test]
fn after_so_many_errors_the_rest_is_not_carried_out() {
    let directory = directory();
    let mut body = json!({"failOnErrors": 1, "Operations": [
        user("a", "alice", true), user("b", "alice", true), user("c", "carol", true),
    ]});
    body["schemas"] = json!(["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]);
    begin(&directory, BULK, &body.to_string())
        .expect("stores")
        .expect("begins");
    let mut running = take_up(&directory, BULK);
    to_the_end(&directory, &mut running);
    assert_eq!(statuses(&answer(&running)), ["201", "409"]);
    assert_eq!(stored(&directory).0, ["alice"]);
}

#[test]
fn what_is_no_bulk_or_one_too_many_is_refused_and_leaves_nothing() {
    let directory = directory();
    for body in ["", "{}", "[]", r#"{"Operations":[]}"#] {
        let refused = begin(&directory, BULK, body).expect("answers");
        assert!(
            matches!(refused, Err(ScimError::InvalidSyntax(_))),
            "{body}"
        );
    }
    let many = vec![user("a", "a", true); LIMITS.max_operations + 1];
    let refused = begin(&directory, BULK, &bulk(&json!(many))).expect("answers");
    assert!(matches!(refused, Err(ScimError::TooLarge(_))));
    assert_eq!(directory.bulks(), Ok(vec![]));
    let one = bulk(&json!([user("a", "a", true)]));
    for at in 0..u8::try_from(MAX_AT_ONCE).expect("few") {
        let id = BulkId::from_bytes([at; 16]);
        begin(&directory, id, &one)
            .expect("stores")
            .expect("begins");
    }
    assert_eq!(begin(&directory, BULK, &one), Ok(Err(ScimError::Busy)));
    directory
        .forget_bulk(BulkId::from_bytes([0; 16]))
        .expect("forgets");
    assert_eq!(begin(&directory, BULK, &one), Ok(Ok(())));
}

#[test]
fn two_that_take_turns_do_not_mix_up() {
    let directory = directory();
    let other = BulkId::from_bytes([6; 16]);
    // The same references in both.
    let of = |name: &str| {
        bulk(&json!([
            user("a", name, true),
            group("g", &format!("{name}s"), &["bulkId:a"])
        ]))
    };
    for (id, name) in [(BULK, "one"), (other, "two")] {
        begin(&directory, id, &of(name))
            .expect("stores")
            .expect("begins");
    }
    assert_eq!(directory.bulks(), Ok(vec![BULK, other]));
    let mut both = [take_up(&directory, BULK), take_up(&directory, other)];
    let mut finished = 0;
    while finished < 2 {
        finished = 0;
        for running in &mut both {
            finished += usize::from(step(&directory, running) == Ok(Step::Finished));
        }
    }
    for running in &both {
        assert_eq!(statuses(&answer(running)), ["201", "201"]);
    }
    let expected = pairs(&[("ones", "one"), ("twos", "two")]);
    assert_eq!(stored(&directory), (names(&["one", "two"]), expected));
}

#[test]
fn it_does_no_harm_if_two_go_on_with_the_same() {
    let directory = directory();
    begin(&directory, BULK, &bulk(&mixed()))
        .expect("stores")
        .expect("begins");
    let mut both = [take_up(&directory, BULK), take_up(&directory, BULK)];
    loop {
        let first = step(&directory, &mut both[0]).expect("goes on");
        let second = step(&directory, &mut both[1]).expect("goes on");
        if (first, second) == (Step::Finished, Step::Finished) {
            break;
        }
    }
    assert_eq!(answer(&both[0]), answer(&both[1]));
    assert_eq!(stored(&directory).0, ["alice", "bob"]);
    directory.forget_bulk(BULK).expect("forgets");
    assert_eq!(step(&directory, &mut both[1]), Ok(Step::Gone));
}

#[test]
fn each_operation_is_carried_out_once_whatever_fails_in_the_middle() {
    let plain = directory();
    let expected_answer = run(&plain, &mixed());
    let expected = (stored(&plain), events(&plain), commands(&plain).len());
    let calls = plain.sql().calls();
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let mut directory = directory();
            directory.sql().fail_nth(nth, fault);
            // Whoever had no answer tries again; what was stored all the same is gone on with.
            while !matches!(begin(&directory, BULK, &bulk(&mixed())), Ok(Ok(()))) {
                if directory.bulks() == Ok(vec![BULK]) {
                    break;
                }
            }
            let answered = loop {
                let mut running = match directory.take_up(BULK) {
                    Ok(Some(running)) => running,
                    // It was forgotten, though that was not said.
                    Ok(None) => break None,
                    Err(_) => continue,
                };
                let end = loop {
                    match step(&directory, &mut running) {
                        Ok(Step::Done(_)) => {}
                        other => break other,
                    }
                };
                if end == Ok(Step::Finished) && directory.forget_bulk(BULK).is_ok() {
                    break Some(answer(&running));
                }
                // As a crash leaves it.
                directory = DirectoryService::new(directory.into_sql(), super::NAMING_KEY);
            };
            directory.sql().heal();
            let is = (
                stored(&directory),
                events(&directory),
                commands(&directory).len(),
            );
            assert_eq!(is, expected, "call {nth}, {fault:?}");
            if let Some(answered) = answered {
                assert_eq!(
                    statuses(&answered),
                    statuses(&expected_answer),
                    "call {nth}"
                );
            }
            assert_eq!(directory.bulks(), Ok(vec![]));
        }
    }
}
