//! `GET /v1/audit/events`: the log in pages, of lines that fit every filter.
//!
//! Pages follow commit order, so a cursor stays right while the log grows. Each read is itself
//! logged, in the transaction that reads. With `personal=true` the answer has what is sealed in its lines, too.

use super::audit_personal::READ_PERSONAL;
use super::audit_tail;
use super::context::Ctx;
use super::paging::{self, parameter, unreadable};
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::audit::call::Query;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::line;
use portcullis_core::audit::personal::QueryPersonal;
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
    "personal",
];

#[derive(Serialize)]
struct Reply {
    events: Vec<Box<RawValue>>,
    next: Option<String>,
    tail: String,
    pruned_to: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<BTreeMap<u64, Option<Box<RawValue>>>>,
}

/// A page of events, or a stream of them.
pub async fn events(ctx: Ctx) -> Result<Response> {
    if audit_tail::is_wanted(&ctx)? {
        return audit_tail::follow(ctx).await;
    }
    let (mut query, is_personal) = match query(&ctx).await? {
        Ok(query) => query,
        Err(problem) => return problem.response(),
    };
    let page = if is_personal {
        if let Some(read) = &mut query.read {
            read.reason = Some(READ_PERSONAL.to_owned());
        }
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
            pruned_to: page.pruned_to,
        },
    )
}

async fn query(ctx: &Ctx) -> Result<std::result::Result<(Query, bool), Problem>> {
    let query = match ctx.query_of(PARAMETERS) {
        Ok(query) => query,
        Err(problem) => return Ok(Err(problem)),
    };
    let is_personal = match query.get("personal").map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Ok(Err(Problem::bad_request("personal is true or false"))),
    };
    Ok(match filter(ctx, &query).await? {
        Ok(filter) => parse(ctx, &query, filter).map(|query| (query, is_personal)),
        Err(problem) => Err(problem),
    })
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
                Err(_) => return Ok(Err(unreadable("actor"))),
            }
        }
    }))
}

fn filter_of(query: &BTreeMap<String, String>) -> std::result::Result<Filter, Problem> {
    // Nothing has an empty name: who asks for one has forgotten it.
    let text = |name| {
        parameter(query, name, |text| {
            (!text.is_empty()).then(|| text.to_owned())
        })
    };
    Ok(Filter {
        action: parameter(query, "action", Action::parse)?,
        outcome: parameter(query, "outcome", Outcome::parse)?,
        from: parameter(query, "from", UnixMillis::from_rfc3339)?,
        to: parameter(query, "to", UnixMillis::from_rfc3339)?,
        session: parameter(query, "session", session)?,
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
        Some(_) => return Err(unreadable("order")),
    };
    let of_order = |text: &str| Cursor::from_text(text).filter(|cursor| cursor.order == order);
    let cursor = parameter(query, "cursor", of_order)?;
    let limit = paging::limit(query, DEFAULT_LIMIT, MAX_LIMIT)?;
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
        "required": ["events", "next", "tail", "pruned_to"],
        "properties": {
            "events": {"type": "array", "items": {"type": "object"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
            "personal": {
                "type": "object",
                "additionalProperties": {"type": ["object", "null"]},
                "description": "with personal=true: by index what is sealed in a line; null if no key opens it",
            },
            "tail": {"type": "string", "description": "cursor, oldest first, of what is committed later"},
            "pruned_to": {"type": "integer", "description": "index of the first line that is kept: those before are gone by their age"},
        },
    })
}

/// Both forms of it.
pub fn content() -> Value {
    json!({
        "application/json": {"schema": {"$ref": "#/components/schemas/Events"}},
        audit_tail::MEDIA_TYPE: {"schema": {
            "type": "string",
            "description": "events as they are committed; `id` is the cursor behind each",
        }},
    })
}
