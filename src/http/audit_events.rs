//! `POST /v1/audit/events`: events from producers that are no Workers.
//!
//! They say what a gateway may say. Their producer is one that the log names by the caller's role and the name that it
//! gives itself, so that nobody can use up another's sequences. All events are judged before any is taken; the
//! answer comes when they are in the log, and the same body again adds nothing.

use super::context::Ctx;
use crate::auth::Role;
use crate::error::{Problem, json, json_as};
use crate::objects::call;
use portcullis_core::audit::call::{Append, Appended, Aside};
use portcullis_core::audit::letters::Reason;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::submitted::{
    MAX_BYTES, MAX_EVENTS, MAX_NAME_BYTES, Rejected, Submitted, parse,
};
use portcullis_core::id::{ProducerId, SubjectKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use worker::{Response, Result};

/// Takes events.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let body = match ctx.text_within(MAX_BYTES).await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let submitted = match parse(body.as_bytes()) {
        Ok(submitted) => submitted,
        Err(rejected) => return refused(&rejected),
    };
    let pack = match pack(&ctx, submitted).await? {
        Ok(pack) => pack,
        Err(rejected) => return refused(&rejected),
    };
    let events = pack.events.len() as u64;
    let append = Append {
        received: ctx.now,
        packs: vec![pack],
    };
    match call::lane(&ctx.env, append).await {
        Ok(appended) => json(200, &answer(events, &appended)),
        Err(error) => {
            worker::console_error!("audit: {error}");
            Problem::unavailable().response()
        }
    }
}

/// The pack, with every subject looked up.
async fn pack(ctx: &Ctx, submitted: Submitted) -> Result<std::result::Result<Pack, Rejected>> {
    let mut known: BTreeMap<String, SubjectKey> = BTreeMap::new();
    let mut events = Vec::new();
    for (at, said) in submitted.events.into_iter().enumerate() {
        let subject = match &said.subject {
            None => None,
            Some(name) => match known.get(name) {
                Some(subject) => Some(*subject),
                None => match ctx.subject(name).await? {
                    Ok(subject) => {
                        known.insert(name.clone(), subject);
                        Some(subject)
                    }
                    Err(_) => return Ok(Err(unknown_subject(at))),
                },
            },
        };
        events.push(said.of(subject));
    }
    let role = ctx.role.map_or("", Role::as_str);
    Ok(Ok(Pack {
        producer: ProducerId::of_api(role, &submitted.producer),
        first_sequence: submitted.first_sequence,
        events,
    }))
}

fn unknown_subject(event: usize) -> Rejected {
    Rejected {
        event: Some(event),
        field: "subject".to_owned(),
        why: "is neither a subject key nor connection:value".to_owned(),
    }
}

/// A problem that names the event and the field.
fn refused(rejected: &Rejected) -> Result<Response> {
    let problem = Problem::bad_request(rejected.to_string());
    let mut body = serde_json::to_value(&problem)?;
    if let Some(members) = body.as_object_mut() {
        members.insert("event".to_owned(), rejected.event.into());
        members.insert("field".to_owned(), rejected.field.as_str().into());
    }
    json_as("application/problem+json", problem.status(), &body)
}

fn answer(events: u64, appended: &Appended) -> Value {
    let set_aside = appended.set_aside.len() as u64;
    let aside = |aside: &Aside| {
        let why = Reason::from(aside.why).as_str();
        json!({"sequence": aside.sequence, "reason": why})
    };
    let aside: Vec<Value> = appended.set_aside.iter().map(aside).collect();
    let known = events.saturating_sub(appended.new_events);
    json!({
        "new_events": appended.new_events,
        "first_index": appended.first_indexes.first().copied().flatten(),
        "duplicates": known.saturating_sub(set_aside),
        "set_aside": aside,
    })
}

/// What is sent, for the API description.
pub fn request_schema() -> Value {
    let text = |most: usize| json!({"type": "string", "minLength": 1, "maxLength": most});
    let event = json!({
        "type": "object",
        "required": ["occurred", "action", "outcome"],
        "additionalProperties": false,
        "properties": {
            "occurred": {"type": "string", "format": "date-time"},
            "action": {"enum": ["request.allowed", "request.denied", "check.denied", "credential.refused"]},
            "outcome": {"enum": ["success", "denied"]},
            "reason": text(256),
            "subject": {"type": "string", "description": "sub_... or connection:value"},
            "count": {"type": "integer", "minimum": 1, "description": "of credential.refused: how many it stands for"},
            "session": {"type": "string", "description": "h_... or ses_..., which is hashed"},
            "token": {"type": "string", "description": "h_... or jti_..., which is hashed"},
            "client_id": text(256),
            "resource": text(256),
            "request": {"type": "object", "required": ["method", "host", "path"]},
            "credential": {"type": "object"},
            "claims": {"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string"}},
            "policy": {"type": "string", "description": "h_..."},
        },
    });
    json!({
        "type": "object",
        "required": ["producer", "first_sequence", "events"],
        "additionalProperties": false,
        "properties": {
            "producer": text(MAX_NAME_BYTES),
            "first_sequence": {"type": "integer", "minimum": 1},
            "events": {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": event},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["new_events", "first_index", "duplicates", "set_aside"],
        "properties": {
            "new_events": {"type": "integer"},
            "first_index": {"type": ["integer", "null"], "description": "of the first event, whether it came now or before"},
            "duplicates": {"type": "integer"},
            "set_aside": {"type": "array", "items": {"type": "object"}},
        },
    })
}
