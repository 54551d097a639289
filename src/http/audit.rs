//! `GET /v1/audit/events`: the log in pages, of lines that fit every filter.
//!
//! Pages follow commit order, so a cursor stays right while the log grows. Each read is itself
//! logged, in the transaction that reads.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::audit::call::Query;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::line;
use portcullis_core::audit::query::{Cursor, Filter, Order};
use portcullis_core::id::LogHash;
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
    "subject",
    "actor",
    "session",
    "client_id",
    "connection",
    "action",
    "outcome",
    "resource",
    "ip",
    "from",
    "to",
    "order",
    "limit",
    "cursor",
];

#[derive(Serialize)]
struct Reply {
    events: Vec<Box<RawValue>>,
    next: Option<String>,
    tail: String,
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
        },
    )
}

async fn query(ctx: &Ctx) -> Result<std::result::Result<Query, Problem>> {
    let query = match ctx.query_of(PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(match filter(ctx, &query).await? {
        Ok(filter) => parse(ctx, &query, filter),
        Err(problem) => Err(problem),
    })
}

pub(super) fn invalid(name: &str) -> Problem {
    Problem::bad_request(format!("{name} cannot be read"))
}

/// Which lines are wanted.
pub(super) async fn filter(
    ctx: &Ctx,
    query: &BTreeMap<String, String>,
) -> Result<std::result::Result<Filter, Problem>> {
    let mut filter = match filter_of(query) {
        Ok(filter) => filter,
        Err(problem) => return Ok(Err(problem)),
    };
    if let Some(text) = query.get("subject") {
        match ctx.subject(text).await? {
            Ok(subject) => filter.subject = Some(subject),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    if let Some(text) = query.get("actor") {
        match actor(ctx, text).await? {
            Ok(actor) => filter.actor = Some(actor),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(filter))
}

/// The actor that `text` names: `type:id` as a line has both, `anonymous`, or a subject in either form.
async fn actor(ctx: &Ctx, text: &str) -> Result<std::result::Result<Actor, Problem>> {
    let kind = text.split_once(':').filter(|(_, id)| !id.is_empty());
    Ok(Ok(match kind {
        None if text == "anonymous" => Actor::Anonymous,
        Some(("operator", role)) => Actor::Operator(role.to_owned()),
        Some(("connection", id)) => Actor::Connection(id.to_owned()),
        Some(("client", id)) => Actor::Client(id.to_owned()),
        _ => {
            let text = text.strip_prefix("subject:").unwrap_or(text);
            match ctx.subject(text).await? {
                Ok(subject) => Actor::Subject(subject),
                Err(_) => return Ok(Err(invalid("actor"))),
            }
        }
    }))
}

fn filter_of(query: &BTreeMap<String, String>) -> std::result::Result<Filter, Problem> {
    fn read<T>(
        query: &BTreeMap<String, String>,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> std::result::Result<Option<T>, Problem> {
        let text = query.get(name);
        text.map(|text| read(text).ok_or_else(|| invalid(name)))
            .transpose()
    }
    // Nothing has an empty name: who asks for one has forgotten it.
    let text = |name| {
        read(query, name, |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    };
    Ok(Filter {
        action: read(query, "action", Action::parse)?,
        outcome: read(query, "outcome", Outcome::parse)?,
        from: read(query, "from", UnixMillis::from_rfc3339)?,
        to: read(query, "to", UnixMillis::from_rfc3339)?,
        session: read(query, "session", session)?,
        client_id: text("client_id")?,
        connection: text("connection")?,
        resource: text("resource")?,
        ip: text("ip")?,
        ..Filter::default()
    })
}

/// The log's name for a session, or what it makes of the session's own.
fn session(text: &str) -> Option<LogHash> {
    let of_id = || text.parse().ok().map(LogHash::of_session);
    text.parse().ok().or_else(of_id)
}

fn parse(
    ctx: &Ctx,
    query: &BTreeMap<String, String>,
    filter: Filter,
) -> std::result::Result<Query, Problem> {
    let get = |name: &str| query.get(name).map(String::as_str);
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
    let read = read_event(ctx, &filter);
    Ok(Query {
        filter,
        order,
        cursor,
        limit,
        read: Some(read),
        followed: None,
    })
}

/// The event that somebody reads the log.
pub(super) fn read_event(ctx: &Ctx, filter: &Filter) -> Event {
    Event {
        subject: filter.subject,
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(ctx.now, Action::AuditRead, Outcome::Success, ctx.actor())
    }
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["events", "next", "tail"],
        "properties": {
            "events": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
            "tail": {"type": "string", "description": "cursor, oldest first, of what is committed later"},
        },
    })
}
