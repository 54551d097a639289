//! `/v1/subjects`: who is known at the connections, by logging in or by being provisioned, for operators.
//!
//! Each reading is logged before it is answered: it is about people. What is shown of somebody their
//! connection's directory keeps; sessions and whether somebody is kept out now their own object says.
//!
//! Pages go through the connections in the order of their ids, and through the people of each in that of
//! their values or, of a search, of what it found of them. A page may be short without being the last.

use super::context::Ctx;
use super::paging::{self, parameter, unreadable};
use crate::connections;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError, DirectoryFrame};
use futures::future::try_join_all;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::connection::Connection;
use portcullis_core::id::SubjectKey;
use portcullis_core::registry::{Cursor, FindPerson, KnownPerson, ListPeople, MAX_PEOPLE, People};
use portcullis_core::session::overview::{LookUp, Overview};
use portcullis_core::text::folded;
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::{Value, json};
use std::rc::Rc;
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 50;
/// The longest search: what is searched is no longer.
const MAX_SEARCH_BYTES: usize = 320;
/// The most connections that a page asks.
const MAX_ASKED: usize = 20;

/// The query's parameters, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &["connection", "search", "state", "limit", "cursor"];

#[derive(Serialize)]
struct Page {
    subjects: Vec<Item>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    subject: SubjectKey,
    connection: Option<String>,
    value: Option<String>,
    name: Option<String>,
    preferred_username: Option<String>,
    email: Option<String>,
    groups: Vec<String>,
    state: &'static str,
    last_login_at: Option<String>,
    scim: Option<Scim>,
    seat: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
}

#[derive(Serialize)]
struct Scim {
    id: String,
    active: bool,
}

#[derive(Serialize)]
struct Live {
    sessions: u32,
    last_used_at: Option<String>,
    disabled: bool,
}

impl Item {
    fn of(connection: &str, person: KnownPerson) -> Self {
        Self {
            subject: person.subject,
            connection: Some(connection.to_owned()),
            value: Some(person.value),
            name: person.name,
            preferred_username: person.preferred_username,
            email: person.email,
            groups: person.groups,
            state: state(person.disabled),
            last_login_at: person.last_login_at.map(UnixMillis::to_rfc3339),
            scim: person.scim.map(|user| Scim {
                id: user.id.to_text(),
                active: user.active,
            }),
            seat: person.seat,
            live: None,
        }
    }

    /// Of somebody of whom there are sessions and nothing else.
    fn unknown(subject: SubjectKey, overview: &Overview) -> Self {
        Self {
            subject,
            connection: overview.connection.clone(),
            value: None,
            name: None,
            preferred_username: None,
            email: None,
            groups: Vec::new(),
            state: state(overview.disabled),
            last_login_at: None,
            scim: None,
            seat: false,
            live: None,
        }
    }
}

const fn state(disabled: bool) -> &'static str {
    if disabled { "disabled" } else { "active" }
}

/// Which page is asked for.
struct Asked {
    connection: Option<String>,
    cursor: Option<Cursor>,
    list: ListPeople,
}

/// A page of people.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let asked = match asked(&ctx) {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    let asked_of = asked_of(&ctx, asked.connection.as_deref()).await?;
    if asked_of.is_empty() {
        return Problem::bad_request("there is no such connection").response();
    }
    let page = match page(&ctx, &asked_of, asked).await {
        Ok(page) => page,
        Err(error) => {
            worker::console_error!("subjects: {error}");
            return Problem::unavailable().response();
        }
    };
    read(&ctx, None).await?;
    let next = page.next.as_ref().map(Cursor::to_text).transpose();
    let next = next.map_err(|error| worker::Error::RustError(error.to_string()))?;
    let subjects = page.subjects;
    json(200, &Page { subjects, next })
}

fn asked(ctx: &Ctx) -> std::result::Result<Asked, Problem> {
    let query = ctx.query_of(PARAMETERS)?;
    let get = |name: &str| query.get(name).map(String::as_str);
    let search = folded(get("search").unwrap_or_default());
    if search.len() > MAX_SEARCH_BYTES {
        return Err(unreadable("search"));
    }
    let disabled = match get("state") {
        None => None,
        Some("disabled") => Some(true),
        Some("active") => Some(false),
        Some(_) => return Err(unreadable("state")),
    };
    let limit = paging::limit(&query, DEFAULT_LIMIT, MAX_PEOPLE)?;
    Ok(Asked {
        connection: get("connection").map(str::to_owned),
        cursor: parameter(&query, "cursor", Cursor::from_text)?,
        list: ListPeople {
            search,
            disabled,
            after: None,
            limit,
        },
    })
}

/// The connections to ask, in the order of their ids; none if the one that is asked for is not there.
async fn asked_of(ctx: &Ctx, only: Option<&str>) -> Result<Vec<Rc<Connection>>> {
    let all = connections::all(&ctx.env, &ctx.config).await?;
    let asked = all.iter().filter(|one| only.is_none_or(|id| one.id == id));
    let mut asked: Vec<_> = asked.cloned().collect();
    asked.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(asked)
}

/// People, and where it goes on.
struct Found {
    subjects: Vec<Item>,
    next: Option<Cursor>,
}

async fn page(
    ctx: &Ctx,
    asked_of: &[Rc<Connection>],
    asked: Asked,
) -> std::result::Result<Found, CallError> {
    let Asked { cursor, list, .. } = asked;
    let begins = cursor.as_ref().map_or("", |cursor| &cursor.connection);
    let mut asked_of = asked_of.iter().filter(|one| one.id.as_str() >= begins);
    let mut subjects: Vec<Item> = Vec::new();
    for asked in asked_of.by_ref().take(MAX_ASKED) {
        let id = &asked.id;
        let after = cursor.as_ref().filter(|cursor| cursor.connection == *id);
        let room = list
            .limit
            .saturating_sub(u32::try_from(subjects.len()).unwrap_or(u32::MAX));
        if room == 0 {
            let (connection, after) = (id.clone(), None);
            let next = Some(Cursor { connection, after });
            return Ok(Found { subjects, next });
        }
        let list = ListPeople {
            after: after.and_then(|cursor| cursor.after.clone()),
            limit: room,
            ..list.clone()
        };
        let People { people, next } = call::directory(&ctx.env, frame(ctx, asked), list).await?;
        subjects.extend(people.into_iter().map(|person| Item::of(id, person)));
        if next.is_some() {
            let (connection, after) = (id.clone(), next);
            let next = Some(Cursor { connection, after });
            return Ok(Found { subjects, next });
        }
    }
    let next = asked_of.next().map(|one| Cursor {
        connection: one.id.clone(),
        after: None,
    });
    Ok(Found { subjects, next })
}

/// Somebody.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let named = ctx.decoded_param(0);
    let subject = match ctx.subject(&named).await? {
        Ok(subject) => subject,
        Err(problem) => return problem.response(),
    };
    // The value names its connection; a key does not.
    let only = named.split_once(':').map(|(connection, _)| connection);
    let asked_of = asked_of(&ctx, only).await?;
    let asked = asked_of.iter().map(|one| {
        let frame = frame(&ctx, one);
        call::directory(&ctx.env, frame, FindPerson { subject })
    });
    let found = async {
        let known = try_join_all(asked).await?;
        let overview = call::subject(&ctx.env, subject, LookUp).await?;
        Ok::<_, CallError>((known, overview))
    };
    let (known, overview) = match found.await {
        Ok(found) => found,
        Err(error) => {
            worker::console_error!("subjects: {error}");
            return Problem::unavailable().response();
        }
    };
    let known = asked_of
        .iter()
        .zip(known)
        .find_map(|(one, known)| Some(Item::of(&one.id, known?)));
    let item = match known {
        Some(item) => item,
        None if overview.sessions > 0 => Item::unknown(subject, &overview),
        None => return Problem::new(404, "nobody is known by that").response(),
    };
    read(&ctx, Some(subject)).await?;
    let live = Live {
        sessions: overview.sessions,
        last_used_at: overview.last_used_at.map(UnixMillis::to_rfc3339),
        disabled: overview.disabled,
    };
    let live = Some(live);
    json(200, &Item { live, ..item })
}

fn frame(ctx: &Ctx, connection: &Connection) -> DirectoryFrame {
    DirectoryFrame::of(&ctx.config, connection, ctx.facts())
}

/// Logs that it is about to be read.
async fn read(ctx: &Ctx, subject: Option<SubjectKey>) -> Result<()> {
    let event = Event {
        subject,
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(ctx.now, Action::RegistryRead, Outcome::Success, ctx.actor())
    };
    crate::audit::record(&ctx.env, event).await
}

fn properties() -> Value {
    let text = || json!({"type": ["string", "null"]});
    json!({
        "subject": {"type": "string", "description": "sub_..."},
        "connection": text(),
        "value": {"type": ["string", "null"], "description": "what identifies the person at the connection"},
        "name": text(),
        "preferred_username": text(),
        "email": text(),
        "groups": {"type": "array", "items": {"type": "string"}},
        "state": {"enum": ["active", "disabled"]},
        "last_login_at": {"type": ["string", "null"], "format": "date-time"},
        "scim": {
            "type": ["object", "null"],
            "description": "null: not provisioned",
            "properties": {"id": {"type": "string"}, "active": {"type": "boolean"}},
        },
        "seat": {"type": "boolean", "description": "whether they hold one: from the first log-in until they are deprovisioned"},
    })
}

/// A page, for the API description.
pub fn page_schema() -> Value {
    json!({
        "type": "object",
        "required": ["subjects", "next"],
        "properties": {
            "subjects": {"type": "array", "items": {"type": "object", "properties": properties()}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
        },
    })
}

/// Somebody, for the API description.
pub fn schema() -> Value {
    let mut properties = properties();
    if let Some(properties) = properties.as_object_mut() {
        let live = json!({
            "type": "object",
            "description": "how it is now",
            "properties": {
                "sessions": {"type": "integer", "description": "live sessions"},
                "last_used_at": {"type": ["string", "null"], "format": "date-time"},
                "disabled": {"type": "boolean"},
            },
        });
        properties.insert("live".to_owned(), live);
    }
    json!({"type": "object", "required": ["subject", "state", "live"], "properties": properties})
}
