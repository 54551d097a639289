//! What large providers send, each by its request's shape.

use super::super::filter::{Filter, Ready};
use super::super::resource::{created, is_active, replaced};
use super::super::schema::{GROUP, USER};
use super::tests::patch;
use super::*;
use serde_json::json;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn group_changes(operations: &Value) -> Vec<MemberChange> {
    let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group");
    let body = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
    let patched = patched_group(&group.attributes, &body).expect("patches");
    patched.members
}

fn finds(filter: &str, user: &Value) -> bool {
    let filter = Filter::parse(filter).expect(filter);
    let ready = Ready::new(&filter, &USER).expect("is checked");
    ready.matches(user.as_object().expect("an object"))
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[test]
fn entra_sends_booleans_as_text() {
    for (said, active) in [("False", false), ("True", true), ("false", false)] {
        let operations = json!([{"op": "Replace", "path": "active", "value": said}]);
        let before = json!({"active": !active});
        let after = patch(&before, &operations).expect("patches");
        assert_eq!(after, json!({"active": active}), "{said}");
    }
    let operations =
        json!([{"op": "Add", "path": "emails[type eq \"work\"].primary", "value": "True"}]);
    let before = json!({"emails": [{"value": "a", "type": "work"}]});
    let after = patch(&before, &operations).expect("patches");
    assert_eq!(after["emails"][0]["primary"], true);
}

#[test]
fn entra_writes_op_with_a_capital() {
    let operations = json!([
        {"op": "Add", "path": "title", "value": "t"},
        {"op": "Replace", "path": "nickName", "value": "n"},
        {"op": "Remove", "path": "locale"},
    ]);
    let after = patch(&json!({"locale": "l"}), &operations);
    assert_eq!(after, Ok(json!({"title": "t", "nickName": "n"})));
}

#[test]
fn entra_replaces_without_a_path_by_dotted_names() {
    let operations = json!([{"op": "replace", "value": {
        "displayName": "Ada Byron",
        "name.givenName": "Ada",
        "name.familyName": "Byron",
        "emails[type eq \"work\"].value": "ada@x.example",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": "7",
    }}]);
    let expected = json!({
        "displayName": "Ada Byron",
        "name": {"givenName": "Ada", "familyName": "Byron"},
        "emails": [{"type": "work", "value": "ada@x.example"}],
        ENTERPRISE: {"employeeNumber": "7"},
    });
    assert_eq!(patch(&json!({}), &operations), Ok(expected));
}

#[test]
fn entra_replaces_the_work_address_of_somebody_who_has_none() {
    let operations = json!([
        {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "ada@x.example"},
        {"op": "Add", "path": "addresses[type eq \"work\"].locality", "value": "London"},
        {"op": "Add", "path": "addresses[type eq \"work\"].country", "value": "GB"},
        {"op": "Add", "path": "phoneNumbers[type eq \"mobile\" and primary eq true].value", "value": "1"},
    ]);
    let expected = json!({
        "emails": [{"type": "work", "value": "ada@x.example"}],
        "addresses": [{"type": "work", "locality": "London", "country": "GB"}],
        "phoneNumbers": [{"type": "mobile", "primary": true, "value": "1"}],
    });
    assert_eq!(patch(&json!({}), &operations), Ok(expected));
}

#[test]
fn entra_gives_the_manager_by_the_id_alone() {
    let path = format!("{ENTERPRISE}:manager");
    let expected = json!({ENTERPRISE: {"manager": {"value": "m"}}});
    for value in [json!("m"), json!({"value": "m"}), json!([{"value": "m"}])] {
        let operations = json!([{"op": "Add", "path": path, "value": value}]);
        assert_eq!(
            patch(&json!({}), &operations),
            Ok(expected.clone()),
            "{value}"
        );
    }
}

#[test]
fn entra_wraps_plain_values_in_a_list() {
    let operations = json!([
        {"op": "Replace", "path": "displayName", "value": [{"$ref": null, "value": "Ada"}]},
    ]);
    assert_eq!(
        patch(&json!({}), &operations),
        Ok(json!({"displayName": "Ada"}))
    );
}

#[test]
fn entra_removes_members_by_value_and_the_group_is_not_emptied() {
    let operations = json!([{"op": "Remove", "path": "members", "value": [{"value": "u1"}]}]);
    assert_eq!(
        group_changes(&operations),
        [MemberChange::Remove(ids(&["u1"]))]
    );
    let nobody = json!([{"op": "Remove", "path": "members", "value": []}]);
    assert_eq!(group_changes(&nobody), [MemberChange::Remove(ids(&[]))]);
}

#[test]
fn entra_adds_members_one_by_one_or_many() {
    let operations = json!([
        {"op": "Add", "path": "members", "value": [{"$ref": null, "value": "u1"}]},
        {"op": "Add", "path": "members", "value": [{"value": "u2"}, {"value": "u3"}]},
    ]);
    let expected = [
        MemberChange::Add(ids(&["u1"])),
        MemberChange::Add(ids(&["u2", "u3"])),
    ];
    assert_eq!(group_changes(&operations), expected);
}

#[test]
fn entra_looks_for_users_by_name_external_id_and_address() {
    let user = json!({"userName": "Ada@x.example", "externalId": "1", "active": true,
        "emails": [{"type": "work", "value": "ada@x.example"}]});
    for filter in [
        "userName eq \"ada@X.example\"",
        "externalId eq \"1\"",
        "emails[type eq \"work\"].value eq \"ada@x.example\"",
        "active eq \"True\"",
        "active eq True",
    ] {
        assert!(finds(filter, &user), "{filter}");
    }
}

#[test]
fn okta_deactivates_by_an_object_without_a_path() {
    let operations = json!([{"op": "replace", "value": {"active": false}}]);
    assert_eq!(patch(&json!({}), &operations), Ok(json!({"active": false})));
}

#[test]
fn okta_puts_the_whole_user_with_what_it_was_given_back() {
    let before = created(&USER, &json!({"userName": "ada"}))
        .expect("a user")
        .attributes;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "u1",
        "userName": "ada",
        "name": {"givenName": "Ada", "familyName": "Byron"},
        "emails": [{"primary": true, "value": "ada@x.example", "type": "work"}],
        "displayName": "Ada Byron",
        "locale": "en-GB",
        "externalId": "00u1",
        "groups": [],
        "active": false,
        "meta": {"resourceType": "User", "version": "W/\"1\""},
    });
    let after = replaced(&USER, &before, &body)
        .expect("replaces")
        .attributes;
    assert!(!is_active(&after));
    assert_eq!((after.get("id"), after.get("meta")), (None, None));
    assert_eq!(after["externalId"], "00u1");
}

#[test]
fn okta_renames_a_group_with_its_id_in_the_value() {
    let group = created(&GROUP, &json!({"displayName": "old"})).expect("a group");
    let body = json!({"schemas": [PATCH_SCHEMA], "Operations": [
        {"op": "replace", "value": {"id": "g1", "displayName": "new"}},
    ]});
    let patched = patched_group(&group.attributes, &body).expect("patches");
    assert_eq!(Value::Object(patched.after), json!({"displayName": "new"}));
    assert_eq!(patched.members, []);
    let [changed] = patched.changed.as_slice() else {
        panic!("{:?}", patched.changed);
    };
    assert_eq!(changed.name, "displayName");
}

#[test]
fn okta_pushes_groups_by_adding_and_by_removing_with_a_filter() {
    let operations = json!([
        {"op": "remove", "path": "members[value eq \"u1\"]"},
        {"op": "add", "path": "members", "value": [{"value": "u2", "display": "ada@x.example"}]},
    ]);
    let expected = [
        MemberChange::Remove(ids(&["u1"])),
        MemberChange::Add(ids(&["u2"])),
    ];
    assert_eq!(group_changes(&operations), expected);
    let whole =
        json!([{"op": "replace", "path": "members", "value": [{"value": "u3", "display": "x"}]}]);
    assert_eq!(group_changes(&whole), [MemberChange::Replace(ids(&["u3"]))]);
}

#[test]
fn ping_looks_by_name_in_any_case_of_the_operator_and_disables_by_put() {
    let user = json!({"userName": "ada", "active": true});
    assert!(finds("userName Eq \"ada\"", &user));
    let before = user.as_object().expect("an object");
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "userName": "ada",
        "active": false,
        ENTERPRISE: {},
    });
    let after = replaced(&USER, before, &body).expect("replaces").attributes;
    assert_eq!(
        Value::Object(after),
        json!({"userName": "ada", "active": false})
    );
}

#[test]
fn ping_overwrites_memberships_or_merges_them() {
    let overwritten =
        json!([{"op": "replace", "path": "members", "value": [{"value": "u1", "type": "User"}]}]);
    assert_eq!(
        group_changes(&overwritten),
        [MemberChange::Replace(ids(&["u1"]))]
    );
    let merged = json!([{"op": "add", "value": {"members": [{"value": "u1"}]}}]);
    assert_eq!(group_changes(&merged), [MemberChange::Add(ids(&["u1"]))]);
}

#[test]
fn jumpcloud_puts_users_and_groups_whole() {
    let before = created(&USER, &json!({"userName": "ada", "title": "t"})).expect("a user");
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "ada",
        "name": {"givenName": "Ada", "familyName": "Byron"},
        "emails": [{"value": "ada@x.example", "primary": true, "type": "work"}],
        "externalId": "jc1",
        "active": false,
    });
    let after = replaced(&USER, &before.attributes, &body).expect("replaces");
    assert!(!is_active(&after.attributes));
    assert_eq!(after.attributes.get("title"), None);
    let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group");
    let body = json!({"displayName": "h", "members": [{"value": "u1"}, {"value": "u2"}]});
    let after = replaced(&GROUP, &group.attributes, &body).expect("replaces");
    assert_eq!(after.members, Some(ids(&["u1", "u2"])));
    let renamed = replaced(&GROUP, &group.attributes, &json!({"displayName": "h"}));
    assert_eq!(renamed.map(|body| body.members), Ok(None));
}

#[test]
fn jumpcloud_removes_members_by_value_without_a_filter() {
    let operations = json!([{"op": "remove", "path": "members", "value": [{"value": "u1"}]}]);
    assert_eq!(
        group_changes(&operations),
        [MemberChange::Remove(ids(&["u1"]))]
    );
}
