use super::super::resource::created;
use super::super::resource::tests::json_value;
use super::super::schema::USER;
use super::super::user::User;
use super::*;
use proptest::prelude::*;
use serde_json::json;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn user() -> User {
    User::parse(r#"{"userName":"alice","name":{"givenName":"A"}}"#).expect("parses")
}

fn after(operations: &str) -> Result<User, ScimError> {
    user().patched_by(&format!(r#"{{"Operations":{operations}}}"#))
}

/// What `operations` make of `before`, a user, without what never changes in these tests.
pub fn patch(before: &Value, operations: &Value) -> Result<Value, ScimError> {
    let mut body = json!({"userName": "alice"});
    let fields = body.as_object_mut().expect("an object");
    fields.extend(before.as_object().cloned().unwrap_or_default());
    let before = created(&USER, &body).expect("a user").attributes;
    let request = json!({"schemas": [PATCH_SCHEMA], "Operations": operations});
    let patched = apply(&USER, &before, &super::operations(&request)?)?;
    assert_eq!(patched.changed, changed(&before, &patched.after));
    let mut after = patched.after;
    for same in ["userName", "active"] {
        if after.get(same) == before.get(same) {
            after.remove(same);
        }
    }
    Ok(Value::Object(after))
}

fn work_and_home() -> Value {
    json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "h", "type": "home"}]})
}

#[test]
fn every_shape_of_a_deactivation_deactivates() {
    for operations in [
        r#"[{"op":"replace","path":"active","value":false}]"#,
        r#"[{"op":"Replace","path":"active","value":"False"}]"#,
        r#"[{"op":"replace","value":{"active":false}}]"#,
        r#"[{"op":"add","value":{"ACTIVE":"false"}}]"#,
        r#"[{"op":"replace","value":{"urn:ietf:params:scim:schemas:core:2.0:User":{"active":false}}}]"#,
        r#"[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User","value":{"active":false}}]"#,
        r#"[{"op":"replace","path":"URN:IETF:params:scim:schemas:core:2.0:User:ACTIVE","value":false}]"#,
        r#"[{"op":"replace","path":"urn:ietf:params:scim:schemas:core:2.0:User:active","value":false}]"#,
    ] {
        assert!(!after(operations).expect(operations).active, "{operations}");
    }
}

#[test]
fn one_bad_operation_undoes_the_good_ones() {
    let operations = r#"[{"op":"replace","path":"active","value":false},{"op":"move"}]"#;
    assert!(after(operations).is_err());
}

#[test]
fn sub_attributes_are_set_and_removed_alone() {
    let set = after(r#"[{"op":"replace","value":{"name.familyName":"B"}}]"#).expect("patches");
    assert_eq!(set.attributes["name"]["givenName"], "A");
    assert_eq!(set.attributes["name"]["familyName"], "B");
    let gone = after(r#"[{"op":"remove","path":"name.givenName"}]"#).expect("patches");
    assert_eq!(gone.attributes.get("name"), None);
}

#[test]
fn what_identifies_cannot_be_removed_or_reassigned() {
    for operations in [
        r#"[{"op":"remove","path":"userName"}]"#,
        r#"[{"op":"replace","path":"id","value":"x"}]"#,
        r#"[{"op":"replace","path":"userName","value":7}]"#,
        r#"[{"op":"replace","path":"userName","value":null}]"#,
        r#"[{"op":"replace","value":{"userName":""}}]"#,
        r#"[{"op":"replace","path":"externalId","value":7}]"#,
        r#"[{"op":"remove"}]"#,
    ] {
        assert!(after(operations).is_err(), "{operations}");
    }
}

#[test]
fn what_no_schema_knows_and_was_kept_stays() {
    let kept = json!({"Title": "t", "favouriteTea": "black"});
    let odd = User {
        attributes: kept.as_object().expect("an object").clone(),
        ..user()
    };
    let body = r#"{"Operations":[{"op":"replace","path":"title","value":"u"}]}"#;
    let after = odd.patched_by(body).expect("patches");
    assert_eq!(
        Value::Object(after.attributes),
        json!({"title": "u", "favouriteTea": "black"})
    );
}

#[test]
fn add_appends_merges_and_replaces_single_values() {
    for (before, operation, expected) in [
        (
            json!({"title": "a"}),
            json!({"path": "title", "value": "b"}),
            json!({"title": "b"}),
        ),
        (
            json!({"name": {"givenName": "A", "familyName": "B"}}),
            json!({"path": "name", "value": {"givenName": "C", "familyName": null}}),
            json!({"name": {"givenName": "C"}}),
        ),
        (
            json!({"emails": [{"value": "a"}]}),
            json!({"path": "emails", "value": [{"value": "b"}, {"value": "a"}]}),
            json!({"emails": [{"value": "a"}, {"value": "b"}]}),
        ),
        (
            json!({}),
            json!({"path": "emails", "value": {"value": "b"}}),
            json!({"emails": [{"value": "b"}]}),
        ),
        (
            json!({}),
            json!({"path": "emails.value", "value": "b"}),
            json!({"emails": [{"value": "b"}]}),
        ),
        (
            json!({}),
            json!({"path": "NAME.GIVENNAME", "value": "A"}),
            json!({"name": {"givenName": "A"}}),
        ),
        (
            json!({}),
            json!({"value": {"title": "t", "nickName": "n", "unknown": 1}}),
            json!({"title": "t", "nickName": "n"}),
        ),
        (
            json!({"emails": [{"value": "a", "type": "work"}]}),
            json!({"path": "emails[type eq \"WORK\"]", "value": {"display": "d"}}),
            json!({"emails": [{"value": "a", "type": "work", "display": "d"}]}),
        ),
        (
            json!({}),
            json!({"path": "password", "value": "p"}),
            json!({}),
        ),
        (
            json!({}),
            json!({"path": "schemas", "value": ["urn:x"]}),
            json!({}),
        ),
    ] {
        let mut operation = operation;
        operation["op"] = json!("add");
        assert_eq!(
            patch(&before, &json!([operation])),
            Ok(expected),
            "{operation}"
        );
    }
}

#[test]
fn replace_takes_the_place_of_what_is_meant_and_of_nothing_else() {
    for (before, operation, expected) in [
        (
            json!({"title": "a"}),
            json!({"path": "title", "value": "b"}),
            json!({"title": "b"}),
        ),
        (
            json!({"title": "a"}),
            json!({"path": "title", "value": null}),
            json!({}),
        ),
        (
            json!({"name": {"givenName": "A", "familyName": "B"}}),
            json!({"path": "name", "value": {"givenName": "C"}}),
            json!({"name": {"givenName": "C", "familyName": "B"}}),
        ),
        (
            work_and_home(),
            json!({"path": "emails", "value": [{"value": "x"}]}),
            json!({"emails": [{"value": "x"}]}),
        ),
        (
            work_and_home(),
            json!({"path": "emails", "value": []}),
            json!({}),
        ),
        (
            work_and_home(),
            json!({"path": "emails[type eq \"home\"].value", "value": "x"}),
            json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "x", "type": "home"}]}),
        ),
        (
            work_and_home(),
            json!({"path": "emails[type eq \"home\"]", "value": {"value": "x"}}),
            json!({"emails": [{"value": "w", "type": "work", "primary": true}, {"value": "x"}]}),
        ),
        (
            work_and_home(),
            json!({"path": "emails.type", "value": "other"}),
            json!({"emails": [{"value": "w", "type": "other", "primary": true}, {"value": "h", "type": "other"}]}),
        ),
    ] {
        let mut operation = operation;
        operation["op"] = json!("replace");
        assert_eq!(
            patch(&before, &json!([operation])),
            Ok(expected),
            "{operation}"
        );
    }
}

#[test]
fn remove_takes_away_what_is_meant_and_nothing_else() {
    let home = json!({"emails": [{"value": "h", "type": "home"}]});
    for (before, operation, expected) in [
        (json!({"title": "a"}), json!({"path": "title"}), json!({})),
        (json!({}), json!({"path": "title"}), json!({})),
        (work_and_home(), json!({"path": "emails"}), json!({})),
        (
            work_and_home(),
            json!({"path": "emails[type eq \"work\"]"}),
            home.clone(),
        ),
        (
            work_and_home(),
            json!({"path": "emails[primary eq true]"}),
            home.clone(),
        ),
        (
            work_and_home(),
            json!({"path": "emails", "value": [{"value": "w"}]}),
            home,
        ),
        (
            work_and_home(),
            json!({"path": "emails", "value": [{"value": "x"}]}),
            work_and_home(),
        ),
        // What became the same is there once.
        (
            json!({"emails": [{"value": "a", "type": "work"}, {"value": "a", "type": "home"}]}),
            json!({"path": "emails.type"}),
            json!({"emails": [{"value": "a"}]}),
        ),
        // Naming none is not naming all.
        (
            work_and_home(),
            json!({"path": "emails", "value": []}),
            work_and_home(),
        ),
        (
            work_and_home(),
            json!({"path": "emails", "value": {}}),
            work_and_home(),
        ),
        (
            work_and_home(),
            json!({"path": "emails[not (type eq \"home\")].primary"}),
            json!({"emails": [{"value": "w", "type": "work"}, {"value": "h", "type": "home"}]}),
        ),
        (
            json!({"emails": [{"type": "work"}]}),
            json!({"path": "emails.type"}),
            json!({}),
        ),
        (
            json!({"name": {"givenName": "A"}}),
            json!({"path": "name.givenName"}),
            json!({}),
        ),
    ] {
        let mut operation = operation;
        operation["op"] = json!("remove");
        assert_eq!(
            patch(&before, &json!([operation])),
            Ok(expected),
            "{operation}"
        );
    }
    let gone = patch(&json!({}), &json!([{"op": "remove", "path": "active"}]));
    assert_eq!(gone, Ok(json!({})));
}

#[test]
fn extensions_are_reached_by_their_urn_in_every_spelling() {
    let department = json!({ENTERPRISE: {"department": "d"}});
    for operation in [
        json!({"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "d"}),
        json!({"op": "add", "path": format!("{}:DEPARTMENT", ENTERPRISE.to_uppercase()), "value": "d"}),
        json!({"op": "replace", "path": format!("{ENTERPRISE}.department"), "value": "d"}),
        json!({"op": "replace", "path": ENTERPRISE, "value": {"department": "d", "x": 1, "1": 2}}),
        json!({"op": "add", "value": {ENTERPRISE: {"Department": "d"}}}),
        json!({"op": "add", "value": {format!("{ENTERPRISE}:department"): "d"}}),
    ] {
        assert_eq!(
            patch(&json!({}), &json!([operation])),
            Ok(department.clone()),
            "{operation}"
        );
    }
    let both = json!({ENTERPRISE: {"department": "d", "manager": {"value": "m"}}});
    let removed = |path: &str| patch(&both, &json!([{"op": "remove", "path": path}]));
    assert_eq!(removed(&format!("{ENTERPRISE}:manager")), Ok(department));
    assert_eq!(removed(ENTERPRISE), Ok(json!({})));
}

#[test]
fn at_most_one_value_is_primary_and_the_new_one_wins() {
    for operation in [
        json!({"op": "add", "path": "emails", "value": {"value": "n", "primary": true}}),
        json!({"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}),
        json!({"op": "add", "path": "emails[type eq \"home\"]", "value": {"primary": "True"}}),
        json!({"op": "replace", "path": "emails[type eq \"other\" and primary eq true].value", "value": "n"}),
    ] {
        let after = patch(&work_and_home(), &json!([operation])).expect("patches");
        let emails = after["emails"].as_array().expect("a list");
        let primary = |at: usize| emails[at].get("primary") == Some(&json!(true));
        assert!(!primary(0), "{operation}: {after}");
        let count = (0..emails.len()).filter(|at| primary(*at)).count();
        assert_eq!(count, 1, "{operation}: {after}");
    }
    let two = json!({"op": "replace", "path": "emails.primary", "value": true});
    let refused = patch(&work_and_home(), &json!([two]));
    assert_eq!(
        refused,
        Err(ScimError::InvalidValue("emails.primary".into()))
    );
}

#[test]
fn what_cannot_be_done_is_refused_by_its_name() {
    let path = |path: &str| path.to_owned();
    for (operation, error) in [
        (json!({"op": "remove"}), ScimError::NoTarget(path("(none)"))),
        (
            json!({"op": "remove", "path": "emails[type eq \"x\"]"}),
            ScimError::NoTarget(path("emails[type eq \"x\"]")),
        ),
        (
            json!({"op": "replace", "path": "emails[type sw \"x\"].value", "value": "x"}),
            ScimError::NoTarget(path("emails[type sw \"x\"].value")),
        ),
        (
            json!({"op": "add", "path": "nonsense", "value": 1}),
            ScimError::InvalidPath(path("nonsense")),
        ),
        (
            json!({"op": "add", "path": "name.nonsense", "value": "x"}),
            ScimError::InvalidPath(path("name.nonsense")),
        ),
        (
            json!({"op": "add", "path": "emails[nonsense eq 1].value", "value": "x"}),
            ScimError::InvalidPath(path("emails[nonsense eq 1].value")),
        ),
        (
            json!({"op": "add", "path": "name[givenName eq \"A\"].familyName", "value": "x"}),
            ScimError::InvalidPath(path("name[givenName eq \"A\"].familyName")),
        ),
        (
            json!({"op": "add", "path": "emails[type eq", "value": "x"}),
            ScimError::InvalidPath(path("emails[type eq")),
        ),
        (
            json!({"op": "replace", "path": "id", "value": "x"}),
            ScimError::Mutability(path("id")),
        ),
        (
            json!({"op": "replace", "path": "meta.created", "value": "x"}),
            ScimError::Mutability(path("meta.created")),
        ),
        (
            json!({"op": "add", "path": "groups", "value": [{"value": "admins"}]}),
            ScimError::Mutability(path("groups")),
        ),
        (
            json!({"op": "remove", "path": "userName"}),
            ScimError::Mutability(path("userName")),
        ),
        (
            json!({"op": "remove", "path": "urn:ietf:params:scim:schemas:core:2.0:User"}),
            ScimError::Mutability(path("urn:ietf:params:scim:schemas:core:2.0:User")),
        ),
        (
            json!({"op": "add", "path": "title", "value": 1}),
            ScimError::InvalidValue(path("title")),
        ),
        (
            json!({"op": "add", "path": "title"}),
            ScimError::InvalidValue(path("value")),
        ),
        (
            json!({"op": "add", "value": "x"}),
            ScimError::InvalidValue(path("value")),
        ),
        (
            json!({"op": "add", "value": null}),
            ScimError::InvalidValue(path("value")),
        ),
        (
            json!({"op": "add", "path": "emails[type eq \"x\"].value", "value": 1}),
            ScimError::InvalidValue(path("emails.value")),
        ),
    ] {
        assert_eq!(
            patch(&json!({}), &json!([operation])),
            Err(error),
            "{operation}"
        );
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let one = json!({"op": "remove", "path": "title"});
    for body in [
        json!([]),
        json!({}),
        json!({"Operations": {}}),
        json!({"Operations": []}),
        json!({"Operations": [1]}),
        json!({"Operations": [{"op": "move", "path": "title"}]}),
        json!({"Operations": [{"path": "title"}]}),
        json!({"Operations": [{"op": "add", "path": 1, "value": "x"}]}),
        json!({"Operations": vec![one.clone(); MAX_OPERATIONS + 1]}),
        json!({"schemas": ["urn:x"], "Operations": [one]}),
        json!({"schemas": PATCH_SCHEMA, "Operations": [one]}),
    ] {
        assert!(operations(&body).is_err(), "{body}");
    }
    assert!(operations(&json!({"operations": [one], "SCHEMAS": [PATCH_SCHEMA]})).is_ok());
}

#[test]
fn lists_do_not_grow_without_end() {
    let emails: Vec<Value> = (0..60).map(|n| json!({"value": n.to_string()})).collect();
    let more: Vec<Value> = (60..120).map(|n| json!({"value": n.to_string()})).collect();
    let refused = patch(
        &json!({"emails": emails}),
        &json!([{"op": "add", "path": "emails", "value": more}]),
    );
    assert!(
        matches!(refused, Err(ScimError::InvalidValue(_))),
        "{refused:?}"
    );
}

proptest! {
    #[test]
    fn what_a_patch_leaves_is_a_resource(operations in json_operations(), before in json_value()) {
        let mut body = before;
        if let Some(fields) = body.as_object_mut() {
            fields.retain(|name, _| !["USERNAME", "schemas"].contains(&name.as_str()));
            fields.insert("userName".into(), json!("alice"));
        }
        let Ok(before) = created(&USER, &body) else { return Ok(()) };
        let Ok(operations) = super::operations(&json!({"Operations": operations})) else { return Ok(()) };
        if let Ok(patched) = apply(&USER, &before.attributes, &operations) {
            let mut again = patched.after.clone();
            // A user whose `active` was taken away is not the same as a new one without.
            let is_active = again.contains_key("active");
            again.insert("active".into(), again.get("active").cloned().unwrap_or(json!(false)));
            let read = created(&USER, &Value::Object(again.clone())).map(|body| body.attributes);
            prop_assert_eq!(read, Ok(again), "{}", is_active);
        }
        let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group").attributes;
        let _ = apply(&GROUP, &group, &operations);
    }
}

fn json_operations() -> impl Strategy<Value = Value> {
    let path = prop::option::of(prop::sample::select(
        &[
            "userName",
            "active",
            "name",
            "name.givenName",
            "emails",
            "emails.value",
            "emails[type eq \"work\"]",
            "emails[type eq \"work\"].value",
            "emails[primary eq true].type",
            "emails[not (type eq \"a\")].primary",
            "members",
            "members[value eq \"a\"]",
            "id",
            "password",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "displayName",
            "nonsense",
            "a[",
        ][..],
    ));
    let op = prop::sample::select(&["add", "Replace", "remove"][..]);
    let one = (op, path, json_value())
        .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}));
    prop::collection::vec(one, 1..6).prop_map(Value::Array)
}
