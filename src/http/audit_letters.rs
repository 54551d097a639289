//! `/v1/audit/dead-letters`: what could not be taken into the log, for admins.
//!
//! A letter is shown by what is known of it, and if it is a pack by its events, scrubbed as the log would; its bytes are
//! never shown, as they may hold a credential. Replaying and discarding are idempotent: who did not hear the answer asks
//! again, for 30 days. Each look, replay and discard is in the log.

use super::context::Ctx;
use super::paging::{self, parameter};
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::letters::{
    DiscardLetter, GetLetter, GetLetters, LetterInfo, MAX_LETTERS_A_PAGE, Reason, ReplayLetter,
    Replayed, shown,
};
use portcullis_core::id::LetterId;
use serde_json::{Value, json};
use std::fmt::Write as _;
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 100;

/// The query's parameters, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &["limit", "cursor"];

/// A page of letters.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let asked = match asked(&ctx) {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    match call::lane(&ctx.env, asked).await {
        Ok(page) => {
            let letters: Vec<Value> = page.letters.iter().map(described).collect();
            let next = page.next.map(|next| next.to_string());
            json(200, &json!({"letters": letters, "next": next}))
        }
        Err(error) => failed(&error),
    }
}

fn asked(ctx: &Ctx) -> std::result::Result<GetLetters, Problem> {
    let query = ctx.query_of(PARAMETERS)?;
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|number| (1..1 << 53).contains(number))
    };
    Ok(GetLetters {
        limit: paging::limit(&query, DEFAULT_LIMIT, MAX_LETTERS_A_PAGE)?,
        before: parameter(&query, "cursor", number)?,
        read: event(ctx, Action::AuditRead, None, 200),
    })
}

/// One letter.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let Some(letter) = named(&ctx) else {
        return unknown();
    };
    let read = event(&ctx, Action::AuditRead, None, 200);
    let found = match call::lane(&ctx.env, GetLetter { letter, read }).await {
        Ok(Some(found)) => found,
        Ok(None) => return unknown(),
        Err(error) => return failed(&error),
    };
    let mut answer = described(&found.info);
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("opened".into(), found.opened.into());
        let events = found.pack.map(|pack| {
            let events = (pack.first_sequence..).zip(&pack.events);
            let each = events.map(|(sequence, event)| shown(event, pack.producer, sequence));
            each.map(Value::from).collect::<Vec<_>>()
        });
        fields.insert("events".into(), events.into());
    }
    json(200, &answer)
}

/// Takes in what is in a letter.
pub async fn replay(ctx: Ctx) -> Result<Response> {
    let Some(letter) = named(&ctx) else {
        return unknown();
    };
    let replay = event(&ctx, Action::DeadLetter, Some("replayed"), 200);
    let (new_events, duplicates) = match call::lane(&ctx.env, ReplayLetter { letter, replay }).await
    {
        Ok(Replayed::TakenIn {
            new_events,
            duplicates,
        }) => (new_events, duplicates),
        Ok(Replayed::Before) => (0, 0),
        Ok(Replayed::Refused(reason)) => return Problem::new(409, why(reason)).response(),
        Ok(Replayed::Unreadable) => {
            let why = "the letter was sealed under another SERVICE_KEY";
            return Problem::new(409, why).response();
        }
        Ok(Replayed::Unknown) => return unknown(),
        Err(error) => return failed(&error),
    };
    let answer = json!({"letter": letter, "new_events": new_events, "duplicates": duplicates});
    json(200, &answer)
}

/// Gives a letter up.
pub async fn discard(ctx: Ctx) -> Result<Response> {
    let Some(letter) = named(&ctx) else {
        return unknown();
    };
    let discard = event(&ctx, Action::DeadLetter, Some("discarded"), 204);
    match call::lane(&ctx.env, DiscardLetter { letter, discard }).await {
        Ok(true) => Ok(Response::empty()?.with_status(204)),
        Ok(false) => unknown(),
        Err(error) => failed(&error),
    }
}

const fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Malformed => "it is no pack that this version of the service can read",
        Reason::NotAllowed => "it says what a gateway may not say",
        Reason::Conflict => "the log has something else under the same producer and sequence",
        Reason::TooOld => "it is older than what the log remembers of its producer",
        Reason::Undeliverable => "the lane fails at it",
    }
}

fn event(ctx: &Ctx, action: Action, reason: Option<&str>, status: u16) -> Event {
    Event {
        reason: reason.map(str::to_owned),
        request: Some(ctx.facts_with_status(status)),
        ..Event::new(ctx.now, action, Outcome::Success, ctx.actor())
    }
}

fn named(ctx: &Ctx) -> Option<LetterId> {
    ctx.param(0).parse().ok()
}

fn described(info: &LetterInfo) -> Value {
    let mut hex = String::new();
    for byte in info.digest {
        let _ = write!(hex, "{byte:02x}");
    }
    json!({
        "letter": info.letter,
        "reason": info.reason,
        "kept_at": info.kept_at.to_rfc3339(),
        "size": info.size,
        "sha256": hex,
    })
}

fn unknown() -> Result<Response> {
    Problem::new(404, "there is no dead letter of that id").response()
}

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("audit: {error}");
    Problem::unavailable().response()
}

fn schema_of(more: &[(&str, Value)]) -> Value {
    let reasons = Reason::ALL.map(Reason::as_str);
    let mut properties = json!({
        "letter": {"type": "string"},
        "reason": {"enum": reasons},
        "kept_at": {"type": "string", "format": "date-time"},
        "size": {"type": "integer"},
        "sha256": {"type": "string"},
    });
    let mut required = vec!["letter", "reason", "kept_at", "size", "sha256"];
    for (name, schema) in more {
        required.push(name);
        if let Some(properties) = properties.as_object_mut() {
            properties.insert((*name).to_owned(), schema.clone());
        }
    }
    json!({"type": "object", "required": required, "properties": properties})
}

/// A letter, for the API description.
pub fn schema() -> Value {
    schema_of(&[
        ("opened", json!({"type": "boolean"})),
        (
            "events",
            json!({"type": ["array", "null"], "items": {"type": "object"}, "description": "null if it is no pack"}),
        ),
    ])
}

/// A page of letters, for the API description.
pub fn page_schema() -> Value {
    json!({
        "type": "object",
        "required": ["letters", "next"],
        "properties": {
            "letters": {"type": "array", "items": schema_of(&[])},
            "next": {"type": ["string", "null"]},
        },
    })
}

/// A replay's answer, for the API description.
pub fn replay_schema() -> Value {
    json!({
        "type": "object",
        "required": ["letter", "new_events", "duplicates"],
        "properties": {
            "letter": {"type": "string"},
            "new_events": {"type": "integer"},
            "duplicates": {"type": "integer"},
        },
    })
}
