//! Changes of groups are stored whole or not at all, with storage failing both ways at every call; and both indexes of
//! memberships say the same.

use super::super::{ALICE, ask, create};
use super::{
    BOB, CAROL, Directory, STAFF, ids, made, named, patch, people, put, reasons, staff, version,
    write,
};
use crate::objects::directory::group_store;
use crate::objects::host_sql::Fault;
use portcullis_core::scim::call::{ReadResource, Target, View, Write, WriteReply};
use portcullis_core::scim::user::UserId;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is stored of the group, by each index.
fn stored(directory: &Directory) -> (Option<String>, BTreeSet<String>) {
    let sql = directory.sql();
    let group = group_store::group(sql, STAFF).expect("reads");
    let of_user = |id: &UserId| {
        let groups = group_store::groups_of(sql, *id, 10).expect("reads");
        groups.iter().any(|(group, _)| *group == STAFF)
    };
    let by_user = [ALICE, BOB, CAROL].into_iter().filter(of_user);
    let by_user: BTreeSet<String> = by_user.map(UserId::to_text).collect();
    let by_group = group_store::member_ids(sql, STAFF, 10).expect("reads");
    let by_group: BTreeSet<String> = by_group.into_iter().map(UserId::to_text).collect();
    assert_eq!(by_user, by_group);
    (group.map(|(_, group)| group.display_name), by_group)
}

type Change<'a> = Box<dyn Fn(&Directory) -> Option<WriteReply> + 'a>;

#[test]
fn every_change_of_a_group_is_stored_whole_or_not_at_all() {
    let create = json!({"displayName": "Crew", "members": named(&[BOB, CAROL])});
    let operations = json!([
        {"op": "replace", "path": "displayName", "value": "Crew"},
        {"op": "remove", "path": "members", "value": named(&[ALICE])},
        {"op": "add", "path": "members", "value": named(&[BOB, CAROL])},
    ]);
    let before_create = (None, ids(&[]));
    let before = (Some("Staff".to_owned()), ids(&[ALICE]));
    let after = (Some("Crew".to_owned()), ids(&[BOB, CAROL]));
    let changes: [(Begin, Change, _, _); 4] = [
        (
            people,
            Box::new(|at| made(at, STAFF, &create)),
            &before_create,
            &after,
        ),
        (
            || staff(&[ALICE]),
            Box::new(|at| patch(at, &operations)),
            &before,
            &after,
        ),
        (
            || staff(&[ALICE]),
            Box::new(|at| put(at, &create)),
            &before,
            &after,
        ),
        (
            || staff(&[ALICE]),
            Box::new(|at| write(at, Target::Group(STAFF), Write::Delete)),
            &before,
            &before_create,
        ),
    ];
    for (at, (begin, change, before, after)) in changes.iter().enumerate() {
        let calls = {
            let directory = begin();
            let calls = directory.sql().calls();
            assert!(change(&directory).is_some_and(|reply| reply.is_ok()));
            let calls = directory.sql().calls() - calls;
            assert_eq!(&stored(&directory), *after);
            calls
        };
        assert!(calls >= 5, "change {at} made {calls} storage calls");
        for nth in 0..calls {
            for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
                let directory = begin();
                let events = reasons(&directory).len();
                directory.sql().fail_nth(nth, fault);
                assert_eq!(change(&directory), None, "change {at}, call {nth}");
                assert!(!directory.sql().heal());
                let is_done = stored(&directory) == **after;
                assert!(
                    is_done || stored(&directory) == **before,
                    "change {at}, call {nth}"
                );
                let noted = reasons(&directory).len() - events;
                assert_eq!(
                    noted,
                    usize::from(is_done),
                    "change {at}, call {nth}, {fault:?}"
                );
            }
        }
    }
}

type Begin = fn() -> Directory;

#[test]
fn a_users_deletion_with_their_memberships_is_whole_or_not_at_all() {
    let delete = |directory: &Directory| write(directory, Target::User(ALICE), Write::Delete);
    let calls = {
        let directory = staff(&[ALICE, BOB]);
        let calls = directory.sql().calls();
        delete(&directory);
        directory.sql().calls() - calls
    };
    for nth in 0..calls {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            let directory = staff(&[ALICE, BOB]);
            let before = version(&directory);
            directory.sql().fail_nth(nth, fault);
            assert_eq!(delete(&directory), None, "call {nth}");
            assert!(!directory.sql().heal());
            let user = ask(
                &directory,
                ReadResource {
                    target: Target::User(ALICE),
                    view: View::default(),
                },
            );
            let is_there = user.expect("answers").is_ok();
            let (_, members) = stored(&directory);
            assert_eq!(members.len(), if is_there { 2 } else { 1 }, "call {nth}");
            assert_eq!(version(&directory) == before, is_there, "call {nth}");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Patch(Value),
    Put(Value),
    DeleteUser(usize),
    CreateUser(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::collection::vec(0usize..3, 0..4);
    let named = |of: Vec<usize>| -> Value {
        let ids = of
            .iter()
            .map(|at| json!({"value": ([ALICE, BOB, CAROL][*at]).to_text()}));
        ids.collect()
    };
    let verb = prop::sample::select(&["add", "remove", "replace"][..]);
    prop_oneof![
        4 => (verb, some()).prop_map(move |(verb, of)| Step::Patch(
            json!({"op": verb, "path": "members", "value": named(of)})
        )),
        1 => some().prop_map(move |of| Step::Put(named(of))),
        1 => (0usize..3).prop_map(|at| Step::Patch(json!({"op": "remove", "path":
            format!("members[not (value eq \"{}\")]", [ALICE, BOB, CAROL][at].to_text())}))),
        1 => (0usize..3).prop_map(Step::DeleteUser),
        1 => (0usize..3).prop_map(Step::CreateUser),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn memberships_are_what_a_list_of_all_would_be_by_either_index(
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let directory = staff(&[]);
        let users = [ALICE, BOB, CAROL];
        let mut there: BTreeMap<String, usize> =
            (0..3).map(|at| (users[at].to_text(), at)).collect();
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for step in steps {
            let texts = |value: &Value| -> BTreeSet<String> {
                let ids = value.as_array().into_iter().flatten();
                ids.filter_map(|one| one["value"].as_str().map(str::to_owned)).collect()
            };
            match step {
                Step::DeleteUser(at) => {
                    let id = users[at];
                    write(&directory, Target::User(id), Write::Delete);
                    expected.remove(&id.to_text());
                    there.remove(&id.to_text());
                }
                Step::CreateUser(at) => {
                    let body = json!({"userName": format!("u{at}")}).to_string();
                    if there.insert(users[at].to_text(), at).is_none() {
                        create(&directory, users[at], &body).expect("answers").expect("is new");
                    }
                }
                Step::Put(members) => {
                    let ids = texts(&members);
                    let reply = put(&directory, &json!({"displayName": "g", "members": members}));
                    let is_right = ids.iter().all(|id| there.contains_key(id));
                    prop_assert_eq!(reply.expect("answers").is_ok(), is_right);
                    if is_right {
                        expected = ids;
                    }
                }
                Step::Patch(operation) => {
                    let ids = texts(&operation["value"]);
                    let reply = patch(&directory, &json!([operation.clone()]));
                    let verb = operation["op"].as_str().expect("a verb");
                    let is_right = verb == "remove" || ids.iter().all(|id| there.contains_key(id));
                    prop_assert_eq!(reply.expect("answers").is_ok(), is_right);
                    let path = operation["path"].as_str().expect("a path");
                    match verb {
                        _ if !is_right => {}
                        "add" => expected.extend(ids),
                        "replace" => expected = ids,
                        _ if path == "members" => expected.retain(|id| !ids.contains(id)),
                        _ => expected.retain(|id| path.contains(id.as_str())),
                    }
                }
            }
            let (_, members) = stored(&directory);
            prop_assert_eq!(&members, &expected);
        }
    }
}
