//! Values of attributes: what is accepted, and the one form in which it is kept.
//!
//! Names are spelled as the schema does, truth values are booleans, lists are lists, what is no value is
//! left out, and so are sub-attributes that are unknown or the service's to say. Lenient towards what
//! large providers send: a single value for a list and a list of one for a single value, `"True"`, and the
//! plain value of a complex attribute that has `value`.

use super::super::ScimError;
use super::super::schema::{Attribute, Kind, Mutability};
use super::super::value::{get, is_present, truth};
use serde_json::{Map, Value};

/// The most values of a list.
pub const MAX_VALUES: usize = 100;
/// The longest text of most attributes, in bytes.
pub const MAX_TEXT_BYTES: usize = 4096;
/// The longest `userName`, `externalId` and `displayName` of a group, in bytes: they are indexed.
pub const MAX_NAME_BYTES: usize = 320;

/// `value` as it is kept; [`Value::Null`] if it is none.
pub fn coerced(attribute: &Attribute, value: Value) -> Result<Value, ScimError> {
    coerced_as(attribute, attribute.name, value)
}

/// The same for a sub-attribute, of which errors give the whole name.
pub fn coerced_sub(of: &Attribute, sub: &Attribute, value: Value) -> Result<Value, ScimError> {
    coerced_as(sub, &format!("{}.{}", of.name, sub.name), value)
}

/// One value of a list; [`Value::Null`] if it is none.
pub fn coerced_one(attribute: &Attribute, value: Value) -> Result<Value, ScimError> {
    single(attribute, attribute.name, value)
}

fn coerced_as(attribute: &Attribute, name: &str, value: Value) -> Result<Value, ScimError> {
    if !attribute.multi_valued {
        return single(attribute, name, value);
    }
    let given = match value {
        Value::Null => return Ok(Value::Null),
        Value::Array(list) => list,
        one => vec![one],
    };
    let mut kept: Vec<Value> = Vec::new();
    for one in given {
        let one = single(attribute, name, one)?;
        if is_present(&one) && !kept.contains(&one) {
            kept.push(one);
        }
        // At once, for each value is compared with those before it.
        if kept.len() > MAX_VALUES {
            break;
        }
    }
    bounded(attribute, kept)
}

/// A list that is not too long and has one primary value at most; [`Value::Null`] if it is empty.
pub fn bounded(attribute: &Attribute, list: Vec<Value>) -> Result<Value, ScimError> {
    if list.len() > MAX_VALUES {
        let name = attribute.name;
        return Err(ScimError::InvalidValue(format!("{name} (too many)")));
    }
    if list.iter().filter(|one| is_primary(one)).count() > 1 {
        let name = attribute.name;
        return Err(ScimError::InvalidValue(format!("{name}.primary")));
    }
    Ok(if list.is_empty() {
        Value::Null
    } else {
        Value::Array(list)
    })
}

/// Whether a value says that it is the preferred one.
#[must_use]
pub fn is_primary(value: &Value) -> bool {
    value.get("primary").and_then(truth) == Some(true)
}

fn single(attribute: &Attribute, name: &str, value: Value) -> Result<Value, ScimError> {
    let invalid = || ScimError::InvalidValue(name.to_owned());
    match (attribute.kind, value) {
        (_, Value::Null) => Ok(Value::Null),
        (_, Value::Array(mut list)) => match (list.pop(), list.is_empty()) {
            (None, _) => Ok(Value::Null),
            (Some(only), true) if !only.is_array() => single(attribute, name, only),
            _ => Err(invalid()),
        },
        (Kind::Complex, Value::Object(members)) => complex(attribute, &members),
        (Kind::Complex, text @ Value::String(_)) => {
            let value = attribute.sub("value").ok_or_else(invalid)?;
            let text = coerced_sub(attribute, value, text)?;
            Ok(if is_present(&text) {
                Value::Object([("value".to_owned(), text)].into_iter().collect())
            } else {
                Value::Null
            })
        }
        (Kind::Boolean, given) => truth(&given).map(Value::Bool).ok_or_else(invalid),
        (_, Value::String(text)) => plain(attribute, text).ok_or_else(invalid),
        // One provider wraps plain values like those of lists.
        (_, Value::Object(members)) if members.keys().all(|key| is_wrapping(key)) => {
            match get(&members, "value") {
                Some(Value::String(text)) => plain(attribute, text.clone()).ok_or_else(invalid),
                _ => Err(invalid()),
            }
        }
        // Also a number: one in `externalId` once let a user pass for another.
        _ => Err(invalid()),
    }
}

fn is_wrapping(key: &str) -> bool {
    key.eq_ignore_ascii_case("value") || key.eq_ignore_ascii_case("$ref")
}

fn complex(attribute: &Attribute, members: &Map<String, Value>) -> Result<Value, ScimError> {
    let mut kept = Map::new();
    for (name, value) in members {
        let Some(sub) = attribute.sub(name) else {
            continue;
        };
        if kept.contains_key(sub.name) {
            let name = format!("{}.{name} (twice)", attribute.name);
            return Err(ScimError::InvalidValue(name));
        }
        if sub.mutability == Mutability::ReadOnly {
            continue;
        }
        let value = coerced_sub(attribute, sub, value.clone())?;
        if is_present(&value) {
            kept.insert(sub.name.to_owned(), value);
        }
    }
    Ok(if kept.is_empty() {
        Value::Null
    } else {
        Value::Object(kept)
    })
}

fn plain(attribute: &Attribute, text: String) -> Option<Value> {
    let names = attribute.unique || matches!(attribute.name, "externalId");
    let fits = if names || attribute.required {
        text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
    } else {
        text.len() <= MAX_TEXT_BYTES
    };
    fits.then_some(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::{ENTERPRISE, USER};
    use super::*;
    use serde_json::json;

    fn of(name: &str, value: Value) -> Result<Value, ScimError> {
        let attribute = USER.attribute(name).or_else(|| {
            let mut all = ENTERPRISE.attributes.iter();
            all.find(|one| one.name == name)
        });
        coerced(attribute.expect(name), value)
    }

    #[test]
    fn values_are_kept_in_one_form() {
        for (name, given, kept) in [
            ("active", json!("False"), json!(false)),
            ("active", json!([{"value": "x"}]), json!(null)),
            ("title", json!("x"), json!("x")),
            ("title", json!([{"$ref": null, "value": "x"}]), json!("x")),
            ("title", json!([]), json!(null)),
            ("manager", json!("m"), json!({"value": "m"})),
            ("manager", json!([{"value": "m"}]), json!({"value": "m"})),
            ("manager", json!({"displayName": "M"}), json!(null)),
            ("emails", json!("a"), json!([{"value": "a"}])),
            (
                "emails",
                json!({"VALUE": "a", "x": 1}),
                json!([{"value": "a"}]),
            ),
            (
                "emails",
                json!([{"value": "a", "primary": "True"}, {"value": ""}, null]),
                json!([{"value": "a", "primary": true}]),
            ),
            (
                "emails",
                json!([{"value": "a"}, {"value": "a"}]),
                json!([{"value": "a"}]),
            ),
            ("emails", json!([{}]), json!(null)),
            (
                "name",
                json!({"GivenName": "A", "familyName": null}),
                json!({"givenName": "A"}),
            ),
        ] {
            let got = of(name, given.clone());
            if name == "active" && kept.is_null() {
                assert!(got.is_err());
            } else {
                assert_eq!(got, Ok(kept), "{name}: {given}");
            }
        }
    }

    #[test]
    fn values_of_another_type_are_refused_by_their_whole_name() {
        for (name, given, named) in [
            ("externalId", json!(1), "externalId"),
            ("userName", json!(true), "userName"),
            ("userName", json!("a\u{0}"), "userName"),
            (
                "userName",
                json!("a".repeat(MAX_NAME_BYTES + 1)),
                "userName",
            ),
            ("title", json!("a".repeat(MAX_TEXT_BYTES + 1)), "title"),
            ("title", json!(["a", "b"]), "title"),
            ("title", json!([["a"]]), "title"),
            ("title", json!({"x": "a"}), "title"),
            ("active", json!("perhaps"), "active"),
            ("active", json!(0), "active"),
            ("name", json!("a"), "name"),
            ("name", json!({"givenName": 1}), "name.givenName"),
            ("emails", json!([1]), "emails"),
            ("emails", json!([{"value": {}}]), "emails.value"),
            (
                "emails",
                json!([{"value": "a", "VALUE": "b"}]),
                "emails.value (twice)",
            ),
            (
                "emails",
                json!([{"value": "a", "primary": true}, {"value": "b", "primary": "true"}]),
                "emails.primary",
            ),
        ] {
            let refused = of(name, given.clone());
            assert_eq!(
                refused,
                Err(ScimError::InvalidValue(named.into())),
                "{given}"
            );
        }
        let many = (0..=MAX_VALUES).map(|n| json!({"value": n.to_string()}));
        assert!(of("emails", many.collect()).is_err());
    }
}
