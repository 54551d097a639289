use super::*;
use proptest::prelude::*;
use serde_json::json;

fn user(body: impl Into<Value>) -> Result<Value, ScimError> {
    created(&USER, &body.into()).map(|body| Value::Object(body.attributes))
}

#[test]
fn a_user_is_kept_in_one_form() {
    let kept = user(json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "ID": "chosen", "meta": {"version": "x"}, "groups": [{"value": "admins"}],
        "USERNAME": "alice", "Active": "False", "password": "p", "unknown": 1, "name.givenName": "x",
        "urn:ietf:params:scim:schemas:core:2.0:User:title": "t",
        "URN:ietf:params:scim:schemas:core:2.0:user": {"nickname": "n", "department": "no"},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:user":
            {"Department": "d", "unknown": 1},
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter": "c",
        "urn:example:unknown:2.0:User": {"x": 1},
        "displayName": null, "emails": [],
    }));
    let expected = json!({
        "userName": "alice", "active": false, "title": "t", "nickName": "n",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
            {"department": "d", "costCenter": "c"},
    });
    assert_eq!(kept, Ok(expected));
}

#[test]
fn a_numeric_external_id_is_refused_in_every_body() {
    let body = json!({"userName": "a", "externalId": 1});
    let refused = Err(ScimError::InvalidValue("externalId".into()));
    assert_eq!(user(body.clone()), refused);
    let put = replaced(&USER, &Map::new(), &body);
    assert_eq!(put, Err(ScimError::InvalidValue("externalId".into())));
    let group = created(&GROUP, &json!({"displayName": "g", "externalId": 1}));
    assert_eq!(group, Err(ScimError::InvalidValue("externalId".into())));
}

#[test]
fn what_is_no_resource_is_refused() {
    for body in [
        json!([]),
        json!("x"),
        json!({}),
        json!({"userName": ""}),
        json!({"userName": null}),
        json!({"userName": 7}),
        json!({"userName": "a", "active": "no"}),
        json!({"userName": "a", "password": 1}),
        json!({"userName": "a", "schemas": []}),
        json!({"userName": "a", "schemas": "urn:ietf:params:scim:schemas:core:2.0:User"}),
        json!({"userName": "a", "schemas": [1]}),
        json!({"userName": "a", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]}),
        json!({"userName": "a", "urn:ietf:params:scim:schemas:core:2.0:User": "x"}),
        json!({"userName": "a", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": "x"}),
    ] {
        assert!(user(body.clone()).is_err(), "{body}");
    }
}

#[test]
fn what_comes_in_two_spellings_is_refused_and_not_chosen_from() {
    for body in [
        json!({"userName": "a", "active": true, "Active": false}),
        json!({"userName": "a", "USERNAME": "b"}),
        json!({"userName": "a", "urn:ietf:params:scim:schemas:core:2.0:User:userName": "b"}),
        json!({"userName": "a", "urn:ietf:params:scim:schemas:core:2.0:User": {"userName": "b"}}),
    ] {
        assert!(
            matches!(user(body.clone()), Err(ScimError::InvalidSyntax(_))),
            "{body}"
        );
    }
    let twice = json!({"displayName": "g", "members": [], "Members": []});
    assert!(created(&GROUP, &twice).is_err());
}

#[test]
fn a_resource_is_bounded() {
    let long = "x".repeat(coerce::MAX_TEXT_BYTES);
    let emails: Vec<Value> = (0..coerce::MAX_VALUES)
        .map(|n| json!({"value": n.to_string(), "display": long}))
        .collect();
    let body = json!({"userName": "a", "emails": emails});
    assert!(matches!(user(body), Err(ScimError::TooLarge(_))));
}

#[test]
fn a_put_clears_what_it_does_not_say_but_never_reactivates_by_silence() {
    let before = user(json!({"userName": "a", "active": false, "title": "t"})).expect("a user");
    let before = before.as_object().expect("an object");
    let put = |body: Value| {
        let after = replaced(&USER, before, &body).expect("replaces");
        Value::Object(after.attributes)
    };
    assert_eq!(
        put(json!({"userName": "b"})),
        json!({"userName": "b", "active": false})
    );
    assert_eq!(
        put(json!({"userName": "b", "active": null})),
        json!({"userName": "b", "active": false})
    );
    assert_eq!(
        put(json!({"userName": "b", "active": "True"})),
        json!({"userName": "b", "active": true})
    );
    assert!(replaced(&USER, before, &json!({"title": "t"})).is_err());
}

#[test]
fn only_what_is_said_to_be_active_is() {
    let active = |value: Value| is_active(value.as_object().expect("an object"));
    assert!(active(json!({"active": true})));
    assert!(active(json!({"Active": "True"})));
    for other in [
        json!({}),
        json!({"active": false}),
        json!({"active": null}),
        json!({"active": 1}),
    ] {
        assert!(!active(other));
    }
}

#[test]
fn members_come_apart_each_once_and_absence_is_not_emptiness() {
    let group = |body: Value| created(&GROUP, &body).map(|body| body.members);
    let members = json!([
        {"value": "u1", "display": "A", "$ref": "x", "type": "User"}, {"VALUE": "u2"}, {"value": "u1"},
    ]);
    assert_eq!(
        group(json!({"displayName": "g", "members": members})),
        Ok(Some(vec!["u1".into(), "u2".into()]))
    );
    assert_eq!(group(json!({"displayName": "g"})), Ok(None));
    assert_eq!(
        group(json!({"displayName": "g", "members": []})),
        Ok(Some(vec![]))
    );
    for wrong in [
        json!([{"display": "A"}]),
        json!([{"value": 1}]),
        json!([{"value": ""}]),
        json!([1]),
        json!([{"value": "g2", "type": "Group"}]),
        json!([{"value": "u", "type": 1}]),
        json!([{"value": "u".repeat(400)}]),
    ] {
        assert!(
            group(json!({"displayName": "g", "members": wrong})).is_err(),
            "{wrong}"
        );
    }
    let kept = created(&GROUP, &json!({"displayName": "g", "members": ["u1"]})).expect("a group");
    assert_eq!(Value::Object(kept.attributes), json!({"displayName": "g"}));
    let nameless = group(json!({"members": []}));
    assert_eq!(nameless, Err(ScimError::InvalidValue("displayName".into())));
}

pub fn json_value() -> BoxedStrategy<Value> {
    let names = || {
        prop::sample::select(
            &[
                "userName",
                "USERNAME",
                "active",
                "emails",
                "name",
                "givenName",
                "value",
                "primary",
                "type",
                "externalId",
                "members",
                "schemas",
                "id",
                "password",
                "displayName",
                "op",
                "path",
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "x",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                "department",
                "manager",
            ][..],
        )
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i32>().prop_map(|n| json!(n)),
        "[a-zA-Z ]{0,6}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((names(), inner), 0..6).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()
            }),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn what_was_kept_is_kept_again_unchanged(body in json_value(), name in "[a-z]{1,5}") {
        let mut body = body;
        if let Some(fields) = body.as_object_mut() {
            fields.remove("USERNAME");
            fields.remove("schemas");
            fields.insert("userName".into(), json!(name));
        }
        if let Ok(kept) = created(&USER, &body) {
            let again = created(&USER, &Value::Object(kept.attributes.clone()));
            prop_assert_eq!(again, Ok(kept));
        }
        let _ = created(&GROUP, &body);
    }
}
