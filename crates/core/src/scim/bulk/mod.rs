//! Bulk requests (RFC 7644 section 3.7) as a plan that the shell carries out one operation at a time.
//!
//! The plan follows from the body alone and [`Progress`] says how far it has come, so that whoever keeps both
//! can go on after a crash where they were: store the progress with what the operation changed, in one
//! transaction.
//!
//! ```text
//! while let Some(work) = bulk.next(&mut progress) { bulk.record(&mut progress, carry_out(work)); }
//! ```
//!
//! Operations are carried out in the order they came in, except that a POST that another refers to comes
//! before it. References stand in `path`, and in `data` where a `value` is `bulkId:...`. One that leads
//! nowhere is 400 `invalidValue`, one whose POST failed 409.
//!
//! Circular references are 409 for all concerned. RFC 7644 section 3.7.1 would have a service try, and lets it
//! stop at that: here nothing that a resource rests on can be circular, for groups have no groups.
//!
//! Too many operations, or too many bytes, are 413 for the whole request; what is wrong with one operation is an
//! error of that one. After `failOnErrors` errors the rest is not carried out and not in the answer.

mod order;
mod read;

use super::ScimError;
use super::resource::version::{Conditions, Version};
use super::schema::ResourceType;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schema of an answer.
pub const RESPONSE_SCHEMA: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// What a request may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Operations.
    pub max_operations: usize,
    /// Bytes.
    pub max_payload_bytes: usize,
}

/// What the service takes.
pub const LIMITS: Limits = Limits {
    max_operations: 1000,
    max_payload_bytes: 1024 * 1024,
};

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Creates a resource.
    Post,
    /// Replaces it.
    Put,
    /// Changes it.
    Patch,
    /// Deletes it.
    Delete,
}

impl Method {
    /// As requests spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request that was read.
#[derive(Clone, Debug)]
pub struct Bulk {
    entries: Vec<Entry>,
    /// Positions of entries, in the order they are carried out.
    order: Vec<usize>,
    fail_on_errors: Option<u32>,
}

/// An operation as it came.
#[derive(Clone, Debug)]
struct Entry {
    method: String,
    bulk_id: Option<String>,
    /// What to do, or what is wrong with it.
    planned: Result<Planned, ScimError>,
}

#[derive(Clone, Debug)]
struct Planned {
    method: Method,
    of: &'static ResourceType,
    /// Which resource: an id, or the reference to one.
    id: Option<String>,
    conditions: Conditions,
    data: Value,
    /// The operations that make what this one refers to.
    rests_on: Vec<usize>,
}

/// An operation that is to be carried out, references resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// What to do.
    pub method: Method,
    /// To what.
    pub of: &'static ResourceType,
    /// Its id; `None` of a POST.
    pub id: Option<String>,
    /// What must hold of it.
    pub conditions: Conditions,
    /// The body; null of a DELETE.
    pub data: Value,
}

/// How an operation went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The resource's id.
    pub id: String,
    /// Its version; `None` if it is gone.
    pub version: Option<Version>,
}

/// How far a plan has come. Stored: append only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What came of operations, in the order they were carried out.
    outcomes: Vec<Outcome>,
    /// What references lead to.
    ids: BTreeMap<String, String>,
    errors: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Done { id: String, version: Option<u64> },
    Failed(ScimError),
}

impl Progress {
    /// How many operations have been answered.
    #[must_use]
    pub fn position(&self) -> usize {
        self.outcomes.len()
    }

    /// How many of them failed.
    #[must_use]
    pub const fn errors(&self) -> u32 {
        self.errors
    }

    fn fail(&mut self, error: ScimError) {
        self.errors = self.errors.saturating_add(1);
        self.outcomes.push(Outcome::Failed(error));
    }
}

impl Bulk {
    /// How many operations it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none, which is not the case.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What is to be done next; `None` at the end. What cannot be done is passed over and noted.
    pub fn next(&self, progress: &mut Progress) -> Option<Work> {
        loop {
            if self
                .fail_on_errors
                .is_some_and(|most| progress.errors >= most)
            {
                return None;
            }
            let entry = self.entry_at(progress.position())?;
            match entry.resolved(progress) {
                Ok(work) => return Some(work),
                Err(error) => progress.fail(error),
            }
        }
    }

    /// Notes what came of what [`Self::next`] said.
    pub fn record(&self, progress: &mut Progress, result: Result<Done, ScimError>) {
        match result {
            Err(error) => progress.fail(error),
            Ok(done) => {
                let entry = self.entry_at(progress.position());
                let named = entry.filter(|entry| entry.makes_something());
                if let Some(bulk_id) = named.and_then(|entry| entry.bulk_id.clone()) {
                    progress.ids.insert(bulk_id, done.id.clone());
                }
                progress.outcomes.push(Outcome::Done {
                    id: done.id,
                    version: done.version.map(|version| version.0),
                });
            }
        }
    }

    /// The answer: what was carried out, in the order in which it was asked for.
    #[must_use]
    pub fn response(&self, progress: &Progress, base: &str) -> Value {
        let mut answered: Vec<(usize, Value)> = self
            .order
            .iter()
            .zip(&progress.outcomes)
            .filter_map(|(at, outcome)| {
                let entry = self.entries.get(*at)?;
                Some((*at, entry.answer(outcome, base)))
            })
            .collect();
        answered.sort_by_key(|(at, _)| *at);
        let answered: Vec<Value> = answered.into_iter().map(|(_, answer)| answer).collect();
        json!({"schemas": [RESPONSE_SCHEMA], "Operations": answered})
    }

    fn entry_at(&self, position: usize) -> Option<&Entry> {
        self.entries.get(*self.order.get(position)?)
    }
}

impl Entry {
    fn resolved(&self, progress: &Progress) -> Result<Work, ScimError> {
        let planned = self.planned.as_ref().map_err(Clone::clone)?;
        let id = planned.id.as_deref();
        Ok(Work {
            method: planned.method,
            of: planned.of,
            id: id.map(|id| resolve(id, progress)).transpose()?,
            conditions: planned.conditions.clone(),
            data: resolve_data(&planned.data, false, progress)?,
        })
    }

    fn makes_something(&self) -> bool {
        let planned = self.planned.as_ref();
        planned.is_ok_and(|planned| planned.method == Method::Post)
    }

    fn answer(&self, outcome: &Outcome, base: &str) -> Value {
        let mut answer = Map::new();
        answer.insert("method".into(), json!(self.method));
        if let Some(bulk_id) = &self.bulk_id {
            answer.insert("bulkId".into(), json!(bulk_id));
        }
        let planned = self.planned.as_ref().ok();
        let location = |id: &str| {
            let endpoint = planned.map(|planned| planned.of.endpoint);
            json!(format!("{base}{}/{id}", endpoint.unwrap_or_default()))
        };
        match outcome {
            Outcome::Done { id, version } => {
                answer.insert("location".into(), location(id));
                if let Some(version) = version {
                    answer.insert("version".into(), json!(Version(*version).to_etag()));
                }
                let status = match planned.map(|planned| planned.method) {
                    Some(Method::Post) => "201",
                    Some(Method::Delete) => "204",
                    _ => "200",
                };
                answer.insert("status".into(), json!(status));
            }
            Outcome::Failed(error) => {
                // Of a POST that failed there is no location (RFC 7644 section 3.7.3).
                let id = planned.and_then(|planned| planned.id.as_deref());
                if let Some(id) = id.filter(|id| reference(id).is_none()) {
                    answer.insert("location".into(), location(id));
                }
                answer.insert("status".into(), json!(error.status().to_string()));
                answer.insert("response".into(), error.body());
            }
        }
        Value::Object(answer)
    }
}

/// What a reference refers to.
fn reference(text: &str) -> Option<&str> {
    text.strip_prefix("bulkId:")
}

fn resolve(text: &str, progress: &Progress) -> Result<String, ScimError> {
    match reference(text) {
        None => Ok(text.to_owned()),
        Some(bulk_id) => progress.ids.get(bulk_id).cloned().ok_or_else(|| {
            let bulk_id = super::path::shown(bulk_id);
            ScimError::Conflict(format!("what bulkId {bulk_id} stands for was not made"))
        }),
    }
}

/// `data` with its references resolved; `is_value`: under a name where one may stand.
fn resolve_data(data: &Value, is_value: bool, progress: &Progress) -> Result<Value, ScimError> {
    Ok(match data {
        Value::String(text) if is_value => Value::String(resolve(text, progress)?),
        Value::Array(list) => {
            let each = list.iter().map(|one| resolve_data(one, is_value, progress));
            Value::Array(each.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let mut resolved = Map::new();
            for (name, value) in members {
                let value = resolve_data(value, may_refer(name), progress)?;
                resolved.insert(name.clone(), value);
            }
            Value::Object(resolved)
        }
        other => other.clone(),
    })
}

/// Whether a reference may stand under that name.
fn may_refer(name: &str) -> bool {
    ["value", "members", "manager"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests;
