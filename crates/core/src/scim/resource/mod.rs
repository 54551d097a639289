//! Resources: what a POST or PUT may say (RFC 7644 sections 3.3 and 3.5.1), and how a resource is
//! answered ([`render`]), listed ([`list`]) and versioned ([`version`]).
//!
//! Kept is what clients say, in one form: attributes under the schema's names, extensions under their URN.
//! `id` and `meta` are the store's, and so are the members of a group, which may be many: a body's
//! members come apart from the rest.
//!
//! - What clients may not write is ignored in a body; so is what no schema knows.
//! - `password` is checked and thrown away.
//! - `schemas` may be left out, but must have the type's schema if it is there. What is answered follows
//!   from what the resource has.
//! - A PUT clears what it does not say, with two exceptions that fail safe: without `active` the user
//!   stays as it was, and without `members` a group keeps them.
//! - A POST without `active` makes an active user. Only `true` is active.

pub mod coerce;
pub mod list;
pub mod render;
pub mod version;

use super::ScimError;
use super::path::AttrPath;
use super::schema::{Attribute, GROUP, Mutability, Place, ResourceType, Schema, Target, USER};
use super::value::{get, is_present, truth};
use coerce::coerced;
use serde_json::{Map, Value};

/// The longest resource, as JSON without its members.
pub const MAX_RESOURCE_BYTES: usize = 64 * 1024;

/// What a body says.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// The attributes, in the form in which they are kept.
    pub attributes: Map<String, Value>,
    /// The ids of a group's members, each once; `None` if it says nothing of them.
    pub members: Option<Vec<String>>,
}

/// The resource that a POST makes.
pub fn created(of: &ResourceType, body: &Value) -> Result<Body, ScimError> {
    let mut body = read(of, body)?;
    if is_user(of) && !body.attributes.contains_key("active") {
        body.attributes.insert("active".into(), Value::Bool(true));
    }
    complete(of, body)
}

/// What a PUT makes of `before`.
pub fn replaced(
    of: &ResourceType,
    before: &Map<String, Value>,
    body: &Value,
) -> Result<Body, ScimError> {
    let mut body = read(of, body)?;
    if is_user(of) && !body.attributes.contains_key("active") {
        let active = get(before, "active").and_then(truth);
        let kept = active.map(|active| ("active".to_owned(), Value::Bool(active)));
        body.attributes.extend(kept);
    }
    complete(of, body)
}

/// Whether the user may log in. Fails closed: only what is said to be active is.
#[must_use]
pub fn is_active(attributes: &Map<String, Value>) -> bool {
    get(attributes, "active").and_then(truth) == Some(true)
}

/// Whether it has what it must have, and not too much.
pub(super) fn check(of: &ResourceType, attributes: &Map<String, Value>) -> Result<(), ScimError> {
    if let Some(missing) = missing(of, attributes) {
        return Err(ScimError::InvalidValue(missing.name.to_owned()));
    }
    let length = serde_json::to_string(attributes).map_or(usize::MAX, |text| text.len());
    if length > MAX_RESOURCE_BYTES {
        return Err(ScimError::TooLarge("the resource is too large".into()));
    }
    Ok(())
}

/// A required attribute without value.
pub(super) fn missing(
    of: &ResourceType,
    attributes: &Map<String, Value>,
) -> Option<&'static Attribute> {
    let mut required = of.schema.attributes.iter().filter(|one| one.required);
    required.find(|one| !get(attributes, one.name).is_some_and(is_present))
}

fn is_user(of: &ResourceType) -> bool {
    of.name == USER.name
}

fn complete(of: &ResourceType, body: Body) -> Result<Body, ScimError> {
    check(of, &body.attributes)?;
    Ok(body)
}

fn read(of: &ResourceType, body: &Value) -> Result<Body, ScimError> {
    let Value::Object(given) = body else {
        return Err(ScimError::InvalidSyntax(
            "the body is no JSON object".into(),
        ));
    };
    if let Some(schemas) = get(given, "schemas") {
        check_schemas(of, schemas)?;
    }
    let mut read = Body {
        attributes: Map::new(),
        members: None,
    };
    for (name, value) in given {
        match AttrPath::parse(name).and_then(|path| of.resolve(&path)) {
            Some(Target::Core) => {
                for (name, value) in object(name, value)? {
                    if let Some(attribute) = of.attribute(name) {
                        set(&mut read, None, attribute, value)?;
                    }
                }
            }
            Some(Target::Extension(schema)) if is_present(value) => {
                for (name, value) in object(name, value)? {
                    let path = AttrPath {
                        urn: Some(schema.id.to_owned()),
                        ..AttrPath::plain(name)
                    };
                    if let Some(Target::Place(place)) = of.resolve(&path) {
                        set(&mut read, Some(schema), place.attribute, value)?;
                    }
                }
            }
            Some(Target::Place(Place {
                extension,
                attribute,
                sub: None,
            })) => set(&mut read, extension, attribute, value)?,
            _ => {}
        }
    }
    Ok(read)
}

fn object<'v>(name: &str, value: &'v Value) -> Result<&'v Map<String, Value>, ScimError> {
    value
        .as_object()
        .ok_or_else(|| ScimError::InvalidValue(super::path::shown(name)))
}

fn check_schemas(of: &ResourceType, schemas: &Value) -> Result<(), ScimError> {
    let invalid = || ScimError::InvalidValue("schemas".into());
    let listed = schemas.as_array().ok_or_else(invalid)?;
    let mut urns = Vec::new();
    for one in listed {
        urns.push(one.as_str().ok_or_else(invalid)?);
    }
    if urns.iter().any(|urn| of.schema.is(urn)) {
        Ok(())
    } else {
        Err(invalid())
    }
}

fn set(
    body: &mut Body,
    extension: Option<&'static Schema>,
    attribute: &'static Attribute,
    value: &Value,
) -> Result<(), ScimError> {
    if attribute.mutability == Mutability::ReadOnly || attribute.name == "schemas" {
        return Ok(());
    }
    let twice = || ScimError::InvalidSyntax(format!("{} comes twice", attribute.name));
    if is_members(attribute) {
        let members = if value.is_null() {
            Vec::new()
        } else {
            member_ids(value)?
        };
        return match body.members.replace(members) {
            None => Ok(()),
            Some(_) => Err(twice()),
        };
    }
    let value = coerced(attribute, value.clone())?;
    if attribute.mutability == Mutability::WriteOnly || !is_present(&value) {
        return Ok(());
    }
    let of = match extension {
        None => &mut body.attributes,
        Some(schema) => {
            let entry = body.attributes.entry(schema.id);
            let Value::Object(of) = entry.or_insert_with(|| Value::Object(Map::new())) else {
                return Ok(());
            };
            of
        }
    };
    match of.insert(attribute.name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(twice()),
    }
}

/// Whether it is the one that the store keeps apart.
#[must_use]
pub(super) fn is_members(attribute: &'static Attribute) -> bool {
    GROUP
        .attribute("members")
        .is_some_and(|members| std::ptr::eq(members, attribute))
}

/// The ids that a list of members names, each once.
pub(super) fn member_ids(value: &Value) -> Result<Vec<String>, ScimError> {
    let invalid = |what: &str| ScimError::InvalidValue(format!("members{what}"));
    let list = match value {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut seen = std::collections::BTreeSet::new();
    let mut ids = Vec::with_capacity(list.len());
    for member in list {
        let id = match member {
            Value::String(id) => Some(id.as_str()),
            Value::Object(member) => {
                // Groups in groups are not supported: whoever asks for it must hear it.
                match get(member, "type") {
                    None | Some(Value::Null) => {}
                    Some(Value::String(kind)) if kind.eq_ignore_ascii_case("User") => {}
                    Some(_) => return Err(invalid(".type")),
                }
                get(member, "value").and_then(Value::as_str)
            }
            _ => return Err(invalid("")),
        };
        let id = id.filter(|id| (1..=coerce::MAX_NAME_BYTES).contains(&id.len()));
        let id = id.ok_or_else(|| invalid(".value"))?;
        if seen.insert(id) {
            ids.push(id.to_owned());
        }
    }
    Ok(ids)
}

#[cfg(test)]
pub(super) mod tests;
