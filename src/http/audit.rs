//! `GET /v1/audit/events`: the log, by subject, action, outcome and time, in pages.
//!
//! Pages follow commit order, so a cursor stays right while the log grows. Each read is itself
//! logged, in the transaction that reads.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::audit::call::Query;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::line;
use portcullis_core::audit::query::{Cursor, Filter, Order};
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

/// The query's parameters, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &[
    "subject", "action", "outcome", "from", "to", "order", "limit", "cursor",
];

#[derive(Serialize)]
struct Reply {
    events: Vec<Box<RawValue>>,
    next: Option<String>,
    tail: String,
    pruned_to: u64,
}

/// A page of events.
pub async fn events(ctx: Ctx) -> Result<Response> {
    let query = match query(&ctx).await? {
        Ok(query) => query,
        Err(problem) => return problem.response(),
    };
    let page = match call::lane(&ctx.env, query).await {
        Ok(page) => page,
        Err(error) => {
            worker::console_error!("audit: {error}");
            return Problem::unavailable().response();
        }
    };
    let events = page
        .lines
        .into_iter()
        .map(line::to_json)
        .collect::<std::result::Result<_, _>>()?;
    json(
        200,
        &Reply {
            events,
            next: page.next.map(Cursor::to_text),
            tail: page.tail.to_text(),
            pruned_to: page.pruned_to,
        },
    )
}

async fn query(ctx: &Ctx) -> Result<std::result::Result<Query, Problem>> {
    let query = match ctx.query_of(PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return Ok(Err(problem)),
    };
    let subject = match query.get("subject") {
        Some(text) => match ctx.subject(text).await? {
            Ok(subject) => Some(subject),
            Err(problem) => return Ok(Err(problem)),
        },
        None => None,
    };
    Ok(parse(ctx, &query, subject))
}

fn parse(
    ctx: &Ctx,
    query: &BTreeMap<String, String>,
    subject: Option<SubjectKey>,
) -> std::result::Result<Query, Problem> {
    let invalid = |name: &str| Problem::bad_request(format!("{name} cannot be read"));
    let get = |name: &str| query.get(name).map(String::as_str);
    let time = |name: &str| {
        get(name)
            .map(|text| UnixMillis::from_rfc3339(text).ok_or_else(|| invalid(name)))
            .transpose()
    };
    let filter = Filter {
        subject,
        action: get("action")
            .map(|name| Action::parse(name).ok_or_else(|| invalid("action")))
            .transpose()?,
        outcome: get("outcome")
            .map(|name| Outcome::parse(name).ok_or_else(|| invalid("outcome")))
            .transpose()?,
        from: time("from")?,
        to: time("to")?,
    };
    let order = match get("order") {
        None | Some("oldest") => Order::Oldest,
        Some("newest") => Order::Newest,
        Some(_) => return Err(invalid("order")),
    };
    let cursor = get("cursor")
        .map(|text| {
            Cursor::from_text(text)
                .filter(|cursor| cursor.order == order)
                .ok_or_else(|| invalid("cursor"))
        })
        .transpose()?;
    let limit = match get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| invalid("limit"))?,
    };
    let read = Event {
        subject: filter.subject,
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(ctx.now, Action::AuditRead, Outcome::Success, ctx.actor())
    };
    Ok(Query {
        filter,
        order,
        cursor,
        limit,
        read,
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["events", "next", "tail", "pruned_to"],
        "properties": {
            "events": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
            "tail": {"type": "string", "description": "cursor, oldest first, of what is committed later"},
            "pruned_to": {"type": "integer", "description": "index of the first line that is kept: those before are gone by their age"},
        },
    })
}
