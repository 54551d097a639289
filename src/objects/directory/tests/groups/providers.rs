//! What providers send about groups, each by its requests' shapes.

use super::super::{ALICE, ask};
use super::{
    BOB, CAROL, STAFF, by_filter, done, fill, found, ids, made, members, named, numbered, patch,
    people, put, reasons, staff, values,
};
use portcullis_core::scim::call::{Searched, Target, View, Write, WriteResource};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::user::UserId;
use serde_json::json;

#[test]
fn okta_pushes_a_group() {
    let directory = people();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Test SCIMv2",
        "members": [{"value": ALICE.to_text(), "display": "alice"}],
    });
    let made = done(made(&directory, STAFF, &body));
    assert_eq!(values(&made, "members"), ids(&[ALICE]));
    let renamed = json!([
        {"op": "replace", "value": {"id": STAFF.to_text(), "displayName": "Test SCIMv20"}},
    ]);
    let after = done(patch(&directory, &renamed));
    assert_eq!(after["displayName"], "Test SCIMv20");
    assert_eq!(values(&after, "members"), ids(&[ALICE]));
    let moved = json!([
        {"op": "remove", "path": format!("members[value eq \"{}\"]", ALICE.to_text())},
        {"op": "add", "path": "members", "value": [
            {"value": BOB.to_text(), "display": "bob"},
            {"value": CAROL.to_text(), "display": "carol"},
        ]},
    ]);
    assert_eq!(
        values(&done(patch(&directory, &moved)), "members"),
        ids(&[BOB, CAROL])
    );
    let whole = json!([{"op": "replace", "path": "members", "value": [
        {"value": ALICE.to_text(), "display": "alice"},
    ]}]);
    assert_eq!(
        values(&done(patch(&directory, &whole)), "members"),
        ids(&[ALICE])
    );
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": STAFF.to_text(),
        "displayName": "Test SCIMv2",
        "members": [{"value": CAROL.to_text(), "display": "carol"}],
        "meta": {"resourceType": "Group"},
    });
    assert_eq!(
        values(&done(put(&directory, &body)), "members"),
        ids(&[CAROL])
    );
    let expected = [
        "group_created",
        "group_renamed",
        "group_members_changed",
        "group_members_changed",
        "group_renamed",
    ];
    assert_eq!(reasons(&directory), expected);
}

#[test]
fn entra_adds_and_removes_members_in_each_of_its_shapes() {
    let directory = staff(&[]);
    let value = |id: UserId| json!([{"$ref": null, "value": id.to_text()}]);
    for (operation, expected) in [
        (
            json!({"op": "Add", "path": "members", "value": value(ALICE)}),
            &[ALICE][..],
        ),
        (
            json!({"op": "Add", "value": {"members": value(BOB)}}),
            &[ALICE, BOB],
        ),
        (
            json!({"op": "Remove", "path": "members", "value": value(ALICE)}),
            &[BOB],
        ),
        (
            json!({"op": "Remove", "path": "members", "value": []}),
            &[BOB],
        ),
        (
            json!({"op": "Add", "path": "members", "value": value(CAROL)}),
            &[BOB, CAROL],
        ),
        (
            json!({"op": "Remove", "path": format!("members[value eq \"{}\"]", BOB.to_text())}),
            &[CAROL],
        ),
        (json!({"op": "Remove", "path": "members"}), &[]),
    ] {
        patch(&directory, &json!([operation.clone()]))
            .expect("answers")
            .expect("is done");
        assert_eq!(members(&directory), ids(expected), "{operation}");
    }
}

#[test]
fn entra_asks_who_is_in_a_group_without_its_members() {
    let directory = staff(&[ALICE]);
    let id = STAFF.to_text();
    for (filter, expected) in [
        (
            format!("id eq \"{id}\" and members eq \"{}\"", ALICE.to_text()),
            &["Staff"][..],
        ),
        (
            format!("id eq \"{id}\" and members eq \"{}\"", BOB.to_text()),
            &[],
        ),
        ("displayName eq \"staff\"".to_owned(), &["Staff"]),
        ("externalId eq \"e\"".to_owned(), &["Staff"]),
    ] {
        let asked = Asked {
            excluded_attributes: Some("members".into()),
            ..by_filter(&filter)
        };
        assert_eq!(
            found(&directory, Searched::Groups, asked),
            expected,
            "{filter}"
        );
    }
}

#[test]
fn a_change_that_answers_only_a_version_reads_only_whom_it_names() {
    let directory = staff(&[ALICE]);
    let calls = |view: Option<View>, members: usize| {
        let before = directory.sql().calls();
        let operations = json!([{"op": "add", "path": "members", "value": named(&[BOB])},
            {"op": "remove", "path": "members", "value": named(&[BOB])}]);
        let body = json!({"Operations": vec![operations[members % 2].clone()]});
        let write = WriteResource {
            target: Target::Group(STAFF),
            change: Write::Patch(body.to_string()),
            if_match: None,
            if_none_match: None,
            view,
        };
        let reply = ask(&directory, write)
            .expect("answers")
            .expect("done")
            .resource
            .expect("there");
        (directory.sql().calls() - before, reply.resource.is_some())
    };
    let (bare, is_bare) = calls(None, 0);
    let (shown, is_shown) = calls(Some(View::default()), 1);
    assert!(is_shown && !is_bare && bare < shown, "{bare} of {shown}");
}

#[test]
fn two_thousand_members_come_and_go_in_a_few_calls() {
    let directory = people();
    let many: Vec<UserId> = (0..2000u64).map(numbered).collect();
    fill(&directory, many.len());
    done(made(&directory, STAFF, &json!({"displayName": "Staff"})));
    let before = directory.sql().calls();
    let add = json!([{"op": "Add", "path": "members", "value": named(&many)}]);
    assert_eq!(
        values(&done(patch(&directory, &add)), "members"),
        ids(&many)
    );
    let remove = json!([{"op": "Remove", "path": "members", "value": named(&many[1..])}]);
    assert_eq!(
        values(&done(patch(&directory, &remove)), "members"),
        ids(&many[..1])
    );
    let body = json!({"displayName": "Staff", "members": named(&many[1..])});
    assert_eq!(
        values(&done(put(&directory, &body)), "members"),
        ids(&many[1..])
    );
    let calls = directory.sql().calls() - before;
    assert!(calls < 60, "{calls} storage calls");
}

#[test]
fn ping_and_jumpcloud_overwrite_and_merge_memberships() {
    let directory = staff(&[ALICE]);
    let typed = |id: UserId| json!([{"value": id.to_text(), "type": "User"}]);
    let overwritten = json!([{"op": "replace", "path": "members", "value": typed(BOB)}]);
    assert_eq!(
        values(&done(patch(&directory, &overwritten)), "members"),
        ids(&[BOB])
    );
    let merged = json!([{"op": "add", "value": {"members": typed(CAROL)}}]);
    assert_eq!(
        values(&done(patch(&directory, &merged)), "members"),
        ids(&[BOB, CAROL])
    );
    let body = json!({"displayName": "Staff", "members": named(&[ALICE, CAROL])});
    assert_eq!(
        values(&done(put(&directory, &body)), "members"),
        ids(&[ALICE, CAROL])
    );
    // Whoever says nothing of members keeps them; whoever says that there are none has none.
    let renamed = done(put(&directory, &json!({"displayName": "Crew"})));
    assert_eq!(values(&renamed, "members"), ids(&[ALICE, CAROL]));
    let removed = json!([{"op": "remove", "path": "members", "value": named(&[ALICE])}]);
    assert_eq!(
        values(&done(patch(&directory, &removed)), "members"),
        ids(&[CAROL])
    );
    let emptied = done(put(
        &directory,
        &json!({"displayName": "Crew", "members": []}),
    ));
    assert_eq!(values(&emptied, "members"), ids(&[]));
}
