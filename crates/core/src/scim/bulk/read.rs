//! A Bulk request from its body.

use super::super::ScimError;
use super::super::path::shown;
use super::super::resource::version::Conditions;
use super::super::schema::{GROUP, ResourceType, USER};
use super::super::value::get;
use super::{Bulk, Entry, Limits, Method, Planned, may_refer, order, reference};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The schema of a request.
const REQUEST_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// The longest `bulkId` and path.
const MAX_ID_BYTES: usize = 256;

impl Bulk {
    /// Reads a request.
    pub fn parse(text: &str, limits: Limits) -> Result<Self, ScimError> {
        let syntax = |what: &str| ScimError::InvalidSyntax(what.to_owned());
        if text.len() > limits.max_payload_bytes {
            let most = limits.max_payload_bytes;
            return Err(ScimError::TooLarge(format!(
                "the size of the bulk operation exceeds the maxPayloadSize ({most})"
            )));
        }
        let Ok(Value::Object(body)) = serde_json::from_str(text) else {
            return Err(syntax("the body is no JSON object"));
        };
        if let Some(schemas) = get(&body, "schemas") {
            let mut urns = schemas.as_array().into_iter().flatten();
            let is_it = |urn: &Value| urn.as_str().is_some_and(is_request_schema);
            if !urns.any(is_it) {
                return Err(ScimError::InvalidValue("schemas".into()));
            }
        }
        let fail_on_errors = match get(&body, "failOnErrors") {
            None | Some(Value::Null) => None,
            Some(number) => Some(
                number
                    .as_u64()
                    .and_then(|number| u32::try_from(number).ok())
                    .filter(|number| *number > 0)
                    .ok_or_else(|| ScimError::InvalidValue("failOnErrors".into()))?,
            ),
        };
        let operations = get(&body, "Operations")
            .and_then(Value::as_array)
            .filter(|operations| !operations.is_empty())
            .ok_or_else(|| syntax("Operations is missing or empty"))?;
        if operations.len() > limits.max_operations {
            let most = limits.max_operations;
            return Err(ScimError::TooLarge(format!(
                "the bulk operation has more than maxOperations ({most})"
            )));
        }
        let mut entries: Vec<Entry> = operations.iter().map(entry).collect();
        let made = made(&entries)?;
        for (at, entry) in entries.iter_mut().enumerate() {
            if let Ok(planned) = &mut entry.planned {
                match rests_on(planned, &made) {
                    // A resource that refers to itself is the shortest circle.
                    Ok(on) if on.contains(&at) => entry.planned = Err(circular()),
                    Ok(on) => planned.rests_on = on,
                    Err(error) => entry.planned = Err(error),
                }
            }
        }
        let order = order::order(&mut entries);
        Ok(Self {
            entries,
            order,
            fail_on_errors,
        })
    }
}

pub(super) fn circular() -> ScimError {
    ScimError::Conflict("its references are circular".into())
}

fn is_request_schema(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(REQUEST_SCHEMA)
}

/// Which operation makes what a reference refers to.
fn made(entries: &[Entry]) -> Result<BTreeMap<String, usize>, ScimError> {
    let mut made = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let is_post = entry.method == Method::Post.as_str();
        if let Some(bulk_id) = entry.bulk_id.clone().filter(|_| is_post)
            && made.insert(bulk_id, at).is_some()
        {
            return Err(ScimError::InvalidValue("bulkId (twice)".into()));
        }
    }
    Ok(made)
}

fn entry(given: &Value) -> Entry {
    let empty = Map::new();
    let given = given.as_object().unwrap_or(&empty);
    let text = |name: &str| get(given, name).and_then(Value::as_str);
    let method = text("method").unwrap_or_default().to_ascii_uppercase();
    let bulk_id = text("bulkId").filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
    Entry {
        planned: planned(given, &method, bulk_id),
        method: shown(&method),
        bulk_id: bulk_id.map(str::to_owned),
    }
}

fn planned(
    given: &Map<String, Value>,
    method: &str,
    bulk_id: Option<&str>,
) -> Result<Planned, ScimError> {
    let invalid = |what: &str| Err(ScimError::InvalidValue(what.to_owned()));
    let known = [Method::Post, Method::Put, Method::Patch, Method::Delete];
    let Some(method) = known.into_iter().find(|one| one.as_str() == method) else {
        return invalid("method");
    };
    let path = get(given, "path").and_then(Value::as_str);
    let Some((of, id)) = path.and_then(resource_at) else {
        return invalid("path");
    };
    if id.is_none() != (method == Method::Post) {
        return invalid("path");
    }
    if method == Method::Post && bulk_id.is_none() {
        return invalid("bulkId");
    }
    let data = get(given, "data").cloned().unwrap_or_default();
    if method != Method::Delete && !data.is_object() {
        return invalid("data");
    }
    let version = match get(given, "version") {
        None | Some(Value::Null) => None,
        Some(Value::String(version)) => Some(version.as_str()),
        Some(_) => return invalid("version"),
    };
    Ok(Planned {
        method,
        of,
        id,
        conditions: Conditions::of_version(version)?,
        data: if method == Method::Delete {
            Value::Null
        } else {
            data
        },
        rests_on: Vec::new(),
    })
}

/// `/Users` or `/Users/{id}`.
fn resource_at(path: &str) -> Option<(&'static ResourceType, Option<String>)> {
    if path.len() > MAX_ID_BYTES {
        return None;
    }
    [&USER, &GROUP].into_iter().find_map(|of| {
        let rest = path.strip_prefix(of.endpoint)?;
        if rest.is_empty() {
            return Some((of, None));
        }
        let id = rest.strip_prefix('/')?;
        let is_one = !id.is_empty() && !id.contains(['/', '?', '#']);
        is_one.then(|| (of, Some(id.to_owned())))
    })
}

fn rests_on(planned: &Planned, made: &BTreeMap<String, usize>) -> Result<Vec<usize>, ScimError> {
    let mut on = Vec::new();
    if let Some(bulk_id) = planned.id.as_deref().and_then(reference) {
        on.push(position(bulk_id, made)?);
    }
    collect(&planned.data, false, made, &mut on)?;
    on.sort_unstable();
    on.dedup();
    Ok(on)
}

fn collect(
    data: &Value,
    is_value: bool,
    made: &BTreeMap<String, usize>,
    on: &mut Vec<usize>,
) -> Result<(), ScimError> {
    match data {
        Value::String(text) if is_value => {
            if let Some(bulk_id) = reference(text) {
                on.push(position(bulk_id, made)?);
            }
            Ok(())
        }
        Value::Array(list) => list
            .iter()
            .try_for_each(|one| collect(one, is_value, made, on)),
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| collect(value, may_refer(name), made, on)),
        _ => Ok(()),
    }
}

fn position(bulk_id: &str, made: &BTreeMap<String, usize>) -> Result<usize, ScimError> {
    made.get(bulk_id)
        .copied()
        .ok_or_else(|| ScimError::InvalidValue(format!("bulkId:{}", shown(bulk_id))))
}
