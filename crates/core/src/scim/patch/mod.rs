//! PATCH (RFC 7644 section 3.5.2): what a list of operations makes of a resource.
//!
//! All operations apply or none; the result says what is different ([`Patched`]). A group's members are
//! not part of the resource: operations on them come out as [`MemberChange`]s, in order, for the store to
//! carry out without reading the others ([`members`]).
//!
//! Without `path` the value is an object of paths, also dotted ones; in it, what clients may not write is
//! ignored, because one provider sends the `id` along. Named by a path, it is refused as `mutability`. A path
//! that no schema knows is `invalidPath`, one whose filter finds nothing `noTarget`; but a value that `add`
//! or `replace` would put where `[type eq "work"]` finds nothing is made, as a large provider expects. What must
//! be there cannot be removed.
//!
//! A value that becomes primary takes that from the others.
//!
//! Bounds: 1,000 operations, and those of [`super::resource`]. What providers send that the RFC does not have
//! is in the tests by their names (`quirks`).

mod apply;
pub mod members;
mod values;

pub use members::MemberChange;

use super::ScimError;
use super::path::{Path, shown};
use super::schema::{GROUP, ResourceType};
use super::value::get;
use serde_json::{Map, Value};

/// The most operations in one request.
pub const MAX_OPERATIONS: usize = 1000;
/// The schema of a request.
pub const PATCH_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Adds to what is there.
    Add,
    /// Takes the place of what is there.
    Replace,
    /// Takes away.
    Remove,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// What it does.
    pub verb: Verb,
    /// To what; `None`: the value says it.
    pub path: Option<Path>,
    /// With what; null if there is none.
    pub value: Value,
}

/// What a PATCH makes of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    /// The resource afterwards.
    pub after: Map<String, Value>,
    /// What became different.
    pub changed: Vec<Changed>,
    /// What to do to the members of a group, in this order.
    pub members: Vec<MemberChange>,
}

/// An attribute that became different.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// Its name; an extension's is its URN.
    pub name: String,
    /// What it was.
    pub before: Option<Value>,
    /// What it is.
    pub after: Option<Value>,
}

/// Reads the body of a request.
pub fn operations(body: &Value) -> Result<Vec<Operation>, ScimError> {
    let syntax = |what: &str| ScimError::InvalidSyntax(what.to_owned());
    let Value::Object(body) = body else {
        return Err(syntax("the body is no JSON object"));
    };
    if let Some(schemas) = get(body, "schemas") {
        let mut urns = schemas.as_array().into_iter().flatten();
        if !urns.any(|urn| urn.as_str().is_some_and(is_patch_schema)) {
            return Err(ScimError::InvalidValue("schemas".into()));
        }
    }
    let operations = get(body, "Operations")
        .and_then(Value::as_array)
        .ok_or_else(|| syntax("Operations is missing"))?;
    if operations.is_empty() {
        return Err(syntax("Operations is empty"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(syntax("too many operations"));
    }
    operations.iter().map(operation).collect()
}

fn is_patch_schema(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(PATCH_SCHEMA)
}

fn operation(given: &Value) -> Result<Operation, ScimError> {
    let syntax = |what: &str| ScimError::InvalidSyntax(what.to_owned());
    let given = given
        .as_object()
        .ok_or_else(|| syntax("an operation is no JSON object"))?;
    let op = get(given, "op").and_then(Value::as_str).unwrap_or_default();
    let verb = match op.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => Verb::Remove,
        _ => return Err(syntax("op is none of add, replace, remove")),
    };
    let path = match get(given, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) if path.is_empty() => None,
        Some(Value::String(path)) => Some(Path::parse(path)?),
        Some(_) => return Err(syntax("path is no text")),
    };
    let value = get(given, "value");
    match (verb, &path, value) {
        (Verb::Remove, None, _) => return Err(ScimError::NoTarget(shown(""))),
        (Verb::Add | Verb::Replace, _, None)
        | (Verb::Add | Verb::Replace, None, Some(Value::Null)) => {
            return Err(ScimError::InvalidValue("value".into()));
        }
        _ => {}
    }
    Ok(Operation {
        verb,
        path,
        value: value.cloned().unwrap_or_default(),
    })
}

/// Applies all operations, or none.
pub fn apply(
    of: &'static ResourceType,
    before: &Map<String, Value>,
    operations: &[Operation],
) -> Result<Patched, ScimError> {
    let mut state = apply::State {
        of,
        after: before.clone(),
        members: Vec::new(),
    };
    for operation in operations {
        state.apply(operation)?;
    }
    if let Some(required) = super::resource::missing(of, &state.after) {
        return Err(ScimError::Mutability(required.name.to_owned()));
    }
    super::resource::check(of, &state.after)?;
    Ok(Patched {
        changed: changed(before, &state.after),
        after: state.after,
        members: state.members,
    })
}

/// What is different between two forms of a resource.
#[must_use]
pub fn changed(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Changed> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let mut changed = Vec::new();
    for name in after.keys().chain(gone) {
        let (was, is) = (before.get(name), after.get(name));
        if was != is {
            changed.push(Changed {
                name: name.clone(),
                before: was.cloned(),
                after: is.cloned(),
            });
        }
    }
    changed
}

/// A group after the PATCH in `body`.
pub fn patched_group(group: &Map<String, Value>, body: &Value) -> Result<Patched, ScimError> {
    apply(&GROUP, group, &operations(body)?)
}

#[cfg(test)]
mod each;
#[cfg(test)]
mod quirks;
#[cfg(test)]
mod tests;
