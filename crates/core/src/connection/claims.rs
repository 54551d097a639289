//! Names of claims, and conditions on what they say.
//!
//! A claim is named by its exact name at the top level, or, if the text begins with `/`, by a JSON
//! Pointer (RFC 6901), for providers that nest theirs. A claim that is an array is a list of records,
//! each looked at by itself; anything else is one record.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The longest name, and the longest text that is compared with.
pub const MAX_TEXT_BYTES: usize = 512;
/// The most conditions that are looked at.
pub const MAX_CONDITIONS: usize = 16;

/// What `name` names in `claims`.
#[must_use]
pub fn at<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    let Some(pointer) = name.strip_prefix('/') else {
        return claims.get(name);
    };
    let (first, rest) = match pointer.split_once('/') {
        Some((first, _)) => (first, pointer.get(first.len()..).unwrap_or_default()),
        None => (pointer, ""),
    };
    // In this order: `~01` is `~1` and not a slash (RFC 6901 section 4).
    let first = first.replace("~1", "/").replace("~0", "~");
    claims.get(&first)?.pointer(rest)
}

/// The records of the claim that `name` names; none if there is no such claim.
pub fn records<'c>(
    claims: &'c Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'c Value> + use<'c> {
    let records = match at(claims, name) {
        Some(Value::Array(records)) => records.as_slice(),
        Some(Value::Null) | None => &[],
        Some(one) => std::slice::from_ref(one),
    };
    records.iter()
}

/// The text of the claim that `name` names, if it is one and not empty.
#[must_use]
pub fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    at(claims, name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// Whether `name` can name a claim.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&name.len()) && name != "/"
}

/// Whether claims can be compared with `value`: a text, a whole number or a truth value. A fraction
/// is not the same number to every reader.
#[must_use]
pub fn is_comparable(value: &Value) -> bool {
    match value {
        Value::String(text) => (1..=MAX_TEXT_BYTES).contains(&text.len()),
        Value::Bool(_) => true,
        Value::Number(number) => !number.is_f64(),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Claims that must be there, each with exactly this text, whole number or truth value. No patterns,
/// so that nobody can register a name that fits by accident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(BTreeMap<String, Value>);

impl Conditions {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them can be compared, and there are not too many.
    #[must_use]
    pub fn are_valid(&self) -> bool {
        let valid = |(name, value): (&String, &Value)| is_name(name) && is_comparable(value);
        self.0.len() <= MAX_CONDITIONS && self.0.iter().all(valid)
    }

    /// Whether `claims` meet every condition.
    #[must_use]
    pub fn admit(&self, claims: &Map<String, Value>) -> bool {
        self.0
            .iter()
            .all(|(name, wanted)| at(claims, name) == Some(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    #[test]
    fn a_name_is_exact_and_a_pointer_goes_deeper() {
        let claims = map(json!({
            "a.b": 1, "https://x.example/roles": ["r"], "realm": {"roles": ["x", "y"], "a/b": 2, "~1": 3},
        }));
        for (name, found) in [
            ("a.b", Some(json!(1))),
            ("https://x.example/roles", Some(json!(["r"]))),
            ("/https:~1~1x.example~1roles/0", Some(json!("r"))),
            ("/realm/roles", Some(json!(["x", "y"]))),
            ("/realm/roles/1", Some(json!("y"))),
            ("/realm/a~1b", Some(json!(2))),
            ("/realm/~01", Some(json!(3))),
            ("realm.roles", None),
            ("/realm/roles/2", None),
            ("/nothing/there", None),
            ("A.b", None),
        ] {
            assert_eq!(at(&claims, name), found.as_ref(), "{name}");
        }
    }

    #[test]
    fn an_array_is_records_and_anything_else_is_one() {
        let claims = map(json!({"many": ["a", {"b": 1}], "one": "a", "none": null, "empty": []}));
        let count = |name| records(&claims, name).count();
        assert_eq!(
            (
                count("many"),
                count("one"),
                count("none"),
                count("empty"),
                count("absent")
            ),
            (2, 1, 0, 0, 0)
        );
    }

    #[test]
    fn conditions_are_met_exactly() {
        let conditions: Conditions =
            serde_json::from_value(json!({"hd": "example.com", "/org/id": 7, "mfa": true}))
                .expect("reads");
        assert!(conditions.are_valid());
        let good = json!({"hd": "example.com", "org": {"id": 7}, "mfa": true, "more": 1});
        assert!(conditions.admit(&map(good)));
        for bad in [
            json!({}),
            json!({"hd": "example.com", "org": {"id": "7"}, "mfa": true}),
            json!({"hd": ["example.com"], "org": {"id": 7}, "mfa": true}),
            json!({"hd": "EXAMPLE.com", "org": {"id": 7}, "mfa": true}),
            json!({"hd": "example.com", "org": {"id": 7}, "mfa": "true"}),
        ] {
            assert!(!conditions.admit(&map(bad.clone())), "{bad}");
        }
        for invalid in [
            json!({"a": null}),
            json!({"a": 1.5}),
            json!({"": "x"}),
            json!({"a": ""}),
        ] {
            let conditions: Conditions = serde_json::from_value(invalid).expect("reads");
            assert!(!conditions.are_valid());
        }
    }

    proptest! {
        #[test]
        fn a_pointer_finds_what_the_library_finds(first in "[a-z~/]{0,3}", second in "[a-z~/]{0,3}") {
            let claims = json!({ first.clone(): { second.clone(): 1 } });
            let escaped = |text: &str| text.replace('~', "~0").replace('/', "~1");
            let pointer = format!("/{}/{}", escaped(&first), escaped(&second));
            let members = map(claims.clone());
            prop_assert_eq!(at(&members, &pointer), claims.pointer(&pointer));
        }

        #[test]
        fn arbitrary_names_never_panic(name: String) {
            let claims = map(json!({"a": [1, {"b": "c"}]}));
            let _ = at(&claims, &name);
            let _ = records(&claims, &name).count();
        }
    }
}
