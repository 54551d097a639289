//! Reading JSON as SCIM means it: members in any case, and what counts as no value.

use serde_json::{Map, Value};

/// The member of that name, in any case (RFC 7643 section 2.1).
#[must_use]
pub fn get<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    members.get(name).or_else(|| {
        let mut all = members.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// Takes the member of that name out, in any case.
pub fn take(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let known = if members.contains_key(name) {
        name.to_owned()
    } else {
        let mut names = members.keys();
        names
            .find(|known| known.eq_ignore_ascii_case(name))?
            .clone()
    };
    members.remove(&known)
}

/// Sets the member of that name, whatever its case was; what is no value removes it.
pub fn put(members: &mut Map<String, Value>, name: &str, value: Value) {
    take(members, name);
    if is_present(&value) {
        members.insert(name.to_owned(), value);
    }
}

/// Whether there is a value: null, an empty text, list or object is none (RFC 7643 section 2.5, RFC 7644
/// section 3.4.2.2).
#[must_use]
pub fn is_present(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => list.iter().any(is_present),
        Value::Object(members) => members.values().any(is_present),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// A truth value, also as the text that one large provider sends.
#[must_use]
pub fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_are_found_and_replaced_in_any_case() {
        let mut members = Map::new();
        members.insert("Name".into(), json!("a"));
        assert_eq!(get(&members, "nAME"), Some(&json!("a")));
        put(&mut members, "name", json!("b"));
        assert_eq!(Value::from(members.clone()), json!({"name": "b"}));
        put(&mut members, "NAME", json!([]));
        assert!(members.is_empty());
    }

    #[test]
    fn what_is_empty_is_no_value() {
        for nothing in [
            json!(null),
            json!(""),
            json!([]),
            json!({}),
            json!([{"a": null}]),
        ] {
            assert!(!is_present(&nothing), "{nothing}");
        }
        for something in [json!(false), json!(0), json!("x"), json!([{"a": false}])] {
            assert!(is_present(&something), "{something}");
        }
    }
}
