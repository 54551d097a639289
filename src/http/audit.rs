//! `GET /v1/audit/events`: the log, by subject, action, outcome and time, in pages.
//!
//! Pages follow commit order, so a cursor stays right while the log grows. Each read is itself
//! logged, in the transaction that reads. With `personal=true` the answer has what is sealed in its lines, too.

use super::audit_personal::READ_PERSONAL;
use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::audit::call::Query;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::line;
use portcullis_core::audit::personal::QueryPersonal;
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
    "subject", "action", "outcome", "from", "to", "order", "limit", "cursor", "personal",
];

#[derive(Serialize)]
struct Reply {
    events: Vec<Box<RawValue>>,
    next: Option<String>,
    tail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<BTreeMap<u64, Option<Box<RawValue>>>>,
}

/// A page of events.
pub async fn events(ctx: Ctx) -> Result<Response> {
    let (mut query, is_personal) = match query(&ctx).await? {
        Ok(query) => query,
        Err(problem) => return problem.response(),
    };
    let page = if is_personal {
        query.read.reason = Some(READ_PERSONAL.to_owned());
        let found = call::lane(&ctx.env, QueryPersonal { query }).await;
        found.map(|found| (found.page, Some(found.personal)))
    } else {
        let page = call::lane(&ctx.env, query).await;
        page.map(|page| (page, None))
    };
    let (page, personal) = match page {
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
    let personal = personal.map(|personal| {
        let text = |text: Option<String>| text.map(line::to_json).transpose();
        let each = personal.into_iter();
        each.map(|(index, said)| Ok((index, text(said)?))).collect()
    });
    let personal = personal
        .transpose()
        .map_err(|error: serde_json::Error| error)?;
    json(
        200,
        &Reply {
            events,
            personal,
            next: page.next.map(Cursor::to_text),
            tail: page.tail.to_text(),
        },
    )
}

async fn query(ctx: &Ctx) -> Result<std::result::Result<(Query, bool), Problem>> {
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
    let is_personal = match query.get("personal").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Ok(Err(Problem::bad_request("personal is true or false"))),
    };
    Ok(parse(ctx, &query, subject).map(|query| (query, is_personal)))
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
        "required": ["events", "next", "tail"],
        "properties": {
            "events": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
            "personal": {
                "type": "object",
                "additionalProperties": {"type": ["object", "null"]},
                "description": "with personal=true: by index what is sealed in a line; null if no key opens it",
            },
            "tail": {"type": "string", "description": "cursor, oldest first, of what is committed later"},
        },
    })
}
