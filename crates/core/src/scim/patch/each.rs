//! Each attribute of the table is what it says: it can be written by its own path, asked for, sorted by and
//! removed, or cannot.

use super::super::filter::{Filter, Ready};
use super::super::resource::created;
use super::super::resource::list::Sorting;
use super::super::schema::{Attribute, ENTERPRISE, GROUP, Kind, Mutability, Returned, USER};
use super::super::value::get;
use super::*;
use serde_json::json;

/// A value of an attribute; of a complex one with each part that may be written.
fn sample(attribute: &Attribute) -> Value {
    let one = match attribute.kind {
        Kind::String => json!("Text"),
        Kind::Boolean => json!(true),
        Kind::DateTime => json!("2026-01-02T03:04:05Z"),
        Kind::Reference => json!("https://x.example/a"),
        Kind::Binary => json!("AAAA"),
        Kind::Complex => {
            let parts = attribute.sub_attributes.iter();
            let writable = parts.filter(|part| part.is_writable());
            let each = writable.map(|part| (part.name.to_owned(), sample(part)));
            Value::Object(each.collect())
        }
    };
    if attribute.multi_valued {
        json!([one])
    } else {
        one
    }
}

/// Each attribute that a user can have, by its path.
fn of_users() -> Vec<(String, Option<&'static str>, &'static Attribute)> {
    let own = USER
        .attributes()
        .map(|one| (one.name.to_owned(), None, one));
    let extension = ENTERPRISE.attributes.iter().map(|one| {
        let path = format!("{}:{}", ENTERPRISE.id, one.name);
        (path, Some(ENTERPRISE.id), one)
    });
    own.chain(extension).collect()
}

fn after(before: &Map<String, Value>, operation: &Value) -> Result<Map<String, Value>, ScimError> {
    let operations = operations(&json!({"Operations": [operation]}))?;
    apply(&USER, before, &operations).map(|patched| patched.after)
}

fn at<'a>(
    user: &'a Map<String, Value>,
    extension: Option<&str>,
    attribute: &Attribute,
) -> Option<&'a Value> {
    let of = match extension {
        None => Some(user),
        Some(urn) => get(user, urn).and_then(Value::as_object),
    };
    get(of?, attribute.name)
}

fn ada() -> Map<String, Value> {
    let body = json!({"userName": "ada"});
    created(&USER, &body).expect("a user").attributes
}

#[test]
fn each_attribute_is_added_replaced_and_removed_by_its_path_or_refused() {
    for (path, extension, attribute) in of_users() {
        let value = sample(attribute);
        for op in ["add", "replace"] {
            let written = after(&ada(), &json!({"op": op, "path": path, "value": value}));
            match attribute.mutability {
                Mutability::ReadOnly => {
                    assert_eq!(written, Err(ScimError::Mutability(path.clone())), "{path}");
                }
                // What is answered there follows from the rest.
                _ if attribute.name == "schemas" => assert_eq!(written, Ok(ada())),
                // Accepted, and nobody reads it.
                Mutability::WriteOnly => assert_eq!(written, Ok(ada())),
                Mutability::ReadWrite | Mutability::Immutable => {
                    let written = written.expect(&path);
                    assert_eq!(at(&written, extension, attribute), Some(&value), "{path}");
                    let removed = after(&written, &json!({"op": "remove", "path": path}));
                    if attribute.required {
                        assert_eq!(removed, Err(ScimError::Mutability(path.clone())));
                    } else {
                        let removed = removed.expect(&path);
                        assert_eq!(at(&removed, extension, attribute), None, "{path}");
                    }
                }
            }
        }
    }
}

#[test]
fn each_attribute_is_taken_from_a_body_or_ignored() {
    for (path, extension, attribute) in of_users() {
        if ["userName", "schemas"].contains(&attribute.name) {
            continue;
        }
        let mut body = json!({"userName": "ada"});
        body[path.as_str()] = sample(attribute);
        let kept = created(&USER, &body).expect(&path).attributes;
        let is_kept = attribute.is_writable() && attribute.mutability != Mutability::WriteOnly;
        let expected = is_kept.then(|| sample(attribute));
        assert_eq!(at(&kept, extension, attribute), expected.as_ref(), "{path}");
    }
}

#[test]
fn each_attribute_is_asked_for_and_sorted_by_unless_nobody_may_read_it() {
    for (path, _, attribute) in of_users() {
        let ready = Filter::parse(&format!("{path} pr")).and_then(|one| Ready::new(&one, &USER));
        let may_be_read = attribute.returned != Returned::Never;
        assert_eq!(ready.is_ok(), may_be_read, "{path}");
        let has_value = attribute.kind != Kind::Complex || attribute.sub("value").is_some();
        let sorting = Sorting::new(&USER, &path, None);
        assert_eq!(sorting.is_ok(), may_be_read && has_value, "{path}");
    }
}

#[test]
fn members_are_added_replaced_and_removed_by_their_path() {
    let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group");
    let members = json!([{"value": "u", "$ref": "https://x.example/Users/u", "type": "User"}]);
    let these = vec!["u".to_owned()];
    for (op, expected) in [
        ("add", MemberChange::Add(these.clone())),
        ("replace", MemberChange::Replace(these.clone())),
        ("remove", MemberChange::Remove(these)),
    ] {
        let operation = json!({"op": op, "path": "members", "value": members});
        let body = json!({"Operations": [operation]});
        let patched = patched_group(&group.attributes, &body).expect("patches");
        assert_eq!(
            (patched.members, patched.after),
            (vec![expected], group.attributes.clone())
        );
    }
}
