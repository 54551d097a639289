//! PATCH (RFC 7644 section 3.5.2) of a user's attributes.
//!
//! All operations apply or none. A path is an attribute or `attribute.subAttribute`; without one
//! the value is an object of them, as some providers send it.

use super::ScimError;
use super::user::{User, without_core_urn};
use serde_json::{Map, Value};

/// The most operations in one request.
const MAX_OPERATIONS: usize = 100;

/// `user` after the PATCH in `body`.
pub fn patched(user: &User, body: &str) -> Result<User, ScimError> {
    let syntax = |what: &str| ScimError::InvalidSyntax(what.to_owned());
    let Ok(Value::Object(body)) = serde_json::from_str(body) else {
        return Err(syntax("the body is no JSON object"));
    };
    let operations = body
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("Operations"))
        .and_then(|(_, value)| value.as_array())
        .ok_or_else(|| syntax("Operations is missing"))?;
    if operations.is_empty() {
        return Err(syntax("Operations is empty"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(syntax("too many operations"));
    }
    let mut user = user.clone();
    for operation in operations {
        apply(&mut user, operation)?;
    }
    Ok(user)
}

fn apply(user: &mut User, operation: &Value) -> Result<(), ScimError> {
    let op = operation.get("op").and_then(Value::as_str).unwrap_or("");
    let path = match operation.get("path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(path.as_str()),
        Some(_) => return Err(ScimError::InvalidSyntax("path is no text".into())),
    };
    let value = operation.get("value");
    match (op.to_ascii_lowercase().as_str(), path, value) {
        ("add" | "replace", Some(path), Some(value)) => set(user, path, value.clone()),
        ("add" | "replace", None, Some(Value::Object(values))) => values
            .iter()
            .try_for_each(|(path, value)| set(user, path, value.clone())),
        ("remove", Some(path), _) => remove(user, path),
        ("add" | "replace", _, _) => Err(ScimError::InvalidValue("value".into())),
        ("remove", None, _) => Err(ScimError::InvalidPath("(none)".into())),
        _ => Err(ScimError::InvalidSyntax(
            "op is none of add, replace, remove".into(),
        )),
    }
}

fn set(user: &mut User, path: &str, value: Value) -> Result<(), ScimError> {
    match parts(path)? {
        (name, None) if name.eq_ignore_ascii_case("schemas") => Ok(()),
        (name, None) => user.set(name, value),
        (name, Some(sub)) => {
            let mut object = sub_attributes(user, name);
            object.retain(|known, _| !known.eq_ignore_ascii_case(sub));
            object.insert(sub.to_owned(), value);
            user.set(name, Value::Object(object))
        }
    }
}

fn remove(user: &mut User, path: &str) -> Result<(), ScimError> {
    match parts(path)? {
        // Required, and its absence would mean somebody else (RFC 7643 section 4.1.1).
        (name, None) if name.eq_ignore_ascii_case("userName") => {
            Err(ScimError::Mutability("userName".into()))
        }
        (name, None) if name.eq_ignore_ascii_case("active") => {
            Err(ScimError::Mutability("active".into()))
        }
        (name, None) => user.set(name, Value::Null),
        (name, Some(sub)) => {
            let mut object = sub_attributes(user, name);
            object.retain(|known, _| !known.eq_ignore_ascii_case(sub));
            user.set(name, Value::Object(object))
        }
    }
}

fn sub_attributes(user: &User, name: &str) -> Map<String, Value> {
    user.attributes
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_object())
        .cloned()
        .unwrap_or_default()
}

fn parts(path: &str) -> Result<(&str, Option<&str>), ScimError> {
    let invalid = || ScimError::InvalidPath(path.to_owned());
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_$".contains(c))
    };
    let short = without_core_urn(path);
    // An extension is one attribute named by its URN; the core schema's alone is for `User::set`.
    let urn = short
        .get(..4)
        .is_some_and(|urn| urn.eq_ignore_ascii_case("urn:"));
    if short.is_empty() || (urn && !short.contains(['[', ']', ' '])) {
        return Ok((if short.is_empty() { path } else { short }, None));
    }
    match short.split_once('.') {
        None if is_word(short) => Ok((short, None)),
        Some((name, sub)) if is_word(name) && is_word(sub) => Ok((name, Some(sub))),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user() -> User {
        User::parse(r#"{"userName":"alice","name":{"givenName":"A"}}"#).expect("parses")
    }

    fn after(operations: &str) -> Result<User, ScimError> {
        patched(&user(), &format!(r#"{{"Operations":{operations}}}"#))
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
        assert!(gone.attributes["name"].get("givenName").is_none());
    }

    #[test]
    fn what_identifies_cannot_be_removed_or_reassigned() {
        for operations in [
            r#"[{"op":"remove","path":"userName"}]"#,
            r#"[{"op":"remove","path":"active"}]"#,
            r#"[{"op":"replace","path":"id","value":"x"}]"#,
            r#"[{"op":"replace","path":"userName","value":7}]"#,
            r#"[{"op":"remove"}]"#,
            r#"[{"op":"replace","path":"emails[type eq \"work\"].value","value":"x"}]"#,
        ] {
            assert!(after(operations).is_err(), "{operations}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic_or_touch_identity(path: String) {
            let mut user = user();
            let _ = remove(&mut user, &path);
            prop_assert_eq!(user.user_name, "alice");
        }
    }
}
