//! `GET /v1/feed` and `GET /v1/feed/snapshot`: the feed for readers over HTTP.
//!
//! What an entry covers and how a reader keeps its copy: `portcullis_core::feed` and docs/feed.md. Two forms,
//! by `Accept`: JSON to look at, and `application/vnd.portcullis.feed`, a `SignedPage` in the wire
//! envelope, which is compact and which the statement's digest is about. The statement is in the header
//! `Portcullis-Feed-Statement` of every answer, also of a 304: that an `ETag` still fits says nothing about
//! when the feed was looked at, the statement does.

use super::context::Ctx;
use crate::error::{Problem, json_as};
use crate::feed::{self, Page};
use crate::objects::call;
use crate::runtime::new_id;
use futures::future::try_join_all;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::feed::call::{Read, Restart};
use portcullis_core::feed::page::MAX_ENTRIES;
use portcullis_core::feed::{Entry, Target};
use portcullis_core::id::IncarnationId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use worker::{Response, Result};

/// The parameters of both, for the API description and for refusing others; only the feed waits.
pub const PARAMETERS: &[&str] = &["shard", "incarnation", "after", "limit", "wait"];
/// The compact form.
const BINARY: &str = "application/vnd.portcullis.feed";
/// The header with the statement.
const STATEMENT: &str = "portcullis-feed-statement";
/// The longest wait, in seconds.
const MAX_WAIT_SECS: u64 = 30;

#[derive(Serialize)]
struct Reply<'a> {
    shard: &'a str,
    incarnation: String,
    began_at: String,
    after: u64,
    through: u64,
    sequence: u64,
    at: String,
    max_age_ms: u64,
    statement: &'a str,
    entries: Vec<Item<'a>>,
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(flatten)]
    target: Named<'a>,
    issued_until: Option<String>,
    ends_at: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "target", rename_all = "snake_case")]
enum Named<'a> {
    Subject { subject: String },
    Session { session: String },
    Token { jti: String },
    UpstreamSession { subject: String, sid_sha256: String },
    Client { client_id: &'a str },
    Connection { connection: &'a str },
    Key { kid: &'a str },
}

impl<'a> From<&'a Entry> for Item<'a> {
    fn from(entry: &'a Entry) -> Self {
        let target = match &entry.target {
            Target::Subject(subject) => Named::Subject {
                subject: subject.to_string(),
            },
            Target::Session(session) => Named::Session {
                session: session.to_string(),
            },
            Target::Token(token) => Named::Token {
                jti: token.to_string(),
            },
            Target::UpstreamSession(subject, sid) => Named::UpstreamSession {
                subject: subject.to_string(),
                sid_sha256: portcullis_core::text::base64url(sid.as_bytes()),
            },
            Target::Client(id) => Named::Client { client_id: id },
            Target::Connection(id) => Named::Connection { connection: id },
            Target::Key(kid) => Named::Key { kid },
        };
        Self {
            target,
            issued_until: entry.issued_until.map(UnixMillis::to_rfc3339),
            ends_at: entry.ends_at.map(UnixMillis::to_rfc3339),
        }
    }
}

/// A body without members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Serialize)]
struct Life {
    shard: String,
    incarnation: IncarnationId,
    began_at: String,
}

/// What came after a place, at once or when there is something.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let (shard, read) = match asked(&ctx, PARAMETERS) {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    match feed::page(&ctx.env, &ctx.config, &shard, read).await {
        Ok(page) => respond(&ctx, &shard, &page),
        Err(error) => failed(&error),
    }
}

/// What there is, from the beginning or from where the page before ended.
pub async fn snapshot(ctx: Ctx) -> Result<Response> {
    let names: Vec<&str> = PARAMETERS
        .iter()
        .copied()
        .filter(|name| *name != "wait")
        .collect();
    let (shard, read) = match asked(&ctx, &names) {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    let page = match feed::page(&ctx.env, &ctx.config, &shard, read).await {
        Ok(page) => page,
        Err(error) => return failed(&error),
    };
    let batch = &page.batch;
    let life = batch.incarnation.id;
    let form = if wants_binary(&ctx) { "b" } else { "j" };
    let tag = format!(
        "\"{form}-{shard}-{life}-{}-{}\"",
        batch.after, batch.sequence
    );
    let known = ctx.request.headers().get("if-none-match")?;
    let same = known.is_some_and(|known| known.split(',').any(|one| one.trim() == tag));
    let response = if same {
        let response = Response::empty()?.with_status(304);
        response.headers().set(STATEMENT, &page.signed.statement)?;
        response
    } else {
        respond(&ctx, &shard, &page)?
    };
    response.headers().set("etag", &tag)?;
    response
        .headers()
        .set("cache-control", "private, no-cache")?;
    if batch.through < batch.sequence {
        let next = format!(
            "</v1/feed/snapshot?shard={shard}&incarnation={life}&after={}>; rel=\"next\"",
            batch.through
        );
        response.headers().set("link", &next)?;
    }
    Ok(response)
}

/// Has each feed begin another life. Whatever may be missing from it, gateways ask about what was issued
/// before this.
pub async fn restart(mut ctx: Ctx) -> Result<Response> {
    if let Err(problem) = ctx.json::<Nothing>().await? {
        return problem.response();
    }
    let restarted = ctx.config.feed.layouts.written().into_iter().map(|shard| {
        let env = &ctx.env;
        async move {
            let id = IncarnationId::from_bytes(new_id()?);
            let life = call::feed(env, &shard, Restart { id }).await;
            let life = life.map_err(|error| worker::Error::RustError(error.to_string()))?;
            Ok::<_, worker::Error>(Life {
                shard,
                incarnation: life.id,
                began_at: life.began_at.to_rfc3339(),
            })
        }
    });
    let restarted = match try_join_all(restarted).await {
        Ok(restarted) => restarted,
        Err(error) => {
            worker::console_error!("feed: {error}");
            return Problem::unavailable().response();
        }
    };
    let event = Event {
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(
            ctx.now,
            Action::FeedRestarted,
            Outcome::Success,
            ctx.actor(),
        )
    };
    crate::audit::record(&ctx.env, event).await?;
    json_as("application/json", 200, &json!({ "feeds": restarted }))
}

fn asked(ctx: &Ctx, names: &[&str]) -> std::result::Result<(String, Read), Problem> {
    let query = ctx.query_of(names)?;
    let number = |name: &str, most: u64, absent: u64| match query.get(name) {
        None => Ok(absent),
        Some(text) => match text.parse() {
            Ok(number) if number <= most => Ok(number),
            _ => Err(Problem::bad_request(format!(
                "{name} is a number from 0 to {most}"
            ))),
        },
    };
    let incarnation = match query.get("incarnation").map(|text| text.parse()) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => return Err(Problem::bad_request("incarnation is no id of one")),
    };
    let limit = number("limit", u64::from(MAX_ENTRIES), u64::from(MAX_ENTRIES))?;
    let read = Read {
        incarnation,
        after: number("after", u64::MAX >> 11, 0)?,
        limit: u32::try_from(limit).unwrap_or(MAX_ENTRIES),
        wait_ms: number("wait", MAX_WAIT_SECS, 0)? * 1000,
    };
    Ok((shard(&query, ctx)?, read))
}

/// The feed that is meant: the only one, if none is named.
fn shard(query: &BTreeMap<String, String>, ctx: &Ctx) -> std::result::Result<String, Problem> {
    let shards = ctx.config.feed.layouts.read();
    let meant = match (query.get("shard"), shards.as_slice()) {
        (Some(named), shards) => shards.iter().find(|shard| *shard == named),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    meant
        .cloned()
        .ok_or_else(|| Problem::bad_request(format!("shard is one of {}", shards.join(", "))))
}

fn wants_binary(ctx: &Ctx) -> bool {
    let accept = ctx.request.headers().get("accept").ok().flatten();
    accept.is_some_and(|accept| {
        let mut types = accept.split(',').filter_map(|one| one.split(';').next());
        types.any(|one| one.trim().eq_ignore_ascii_case(BINARY))
    })
}

fn respond(ctx: &Ctx, shard: &str, page: &Page) -> Result<Response> {
    let response = if wants_binary(ctx) {
        let bytes = wire::encode(&page.signed)
            .map_err(|error| worker::Error::RustError(error.to_string()))?;
        let response = Response::from_bytes(bytes)?;
        response.headers().set("content-type", BINARY)?;
        response.headers().set("cache-control", "no-store")?;
        response
    } else {
        let batch = &page.batch;
        let reply = Reply {
            shard,
            incarnation: batch.incarnation.id.to_string(),
            began_at: batch.incarnation.began_at.to_rfc3339(),
            after: batch.after,
            through: batch.through,
            sequence: batch.sequence,
            at: batch.at.to_rfc3339(),
            max_age_ms: ctx.config.feed.max_age_ms,
            statement: &page.signed.statement,
            entries: batch.entries.iter().map(Item::from).collect(),
        };
        json_as("application/json", 200, &reply)?
    };
    response.headers().set("vary", "accept")?;
    response.headers().set(STATEMENT, &page.signed.statement)?;
    Ok(response)
}

fn failed(error: &feed::Unavailable) -> Result<Response> {
    worker::console_error!("{error}");
    Problem::unavailable().response()
}

/// A page, for the API description.
pub fn schema() -> Value {
    let time = || json!({"type": ["string", "null"], "format": "date-time"});
    json!({
        "type": "object",
        "required": ["shard", "incarnation", "began_at", "after", "through", "sequence", "at", "max_age_ms", "statement", "entries"],
        "properties": {
            "shard": {"type": "string", "description": "which feed"},
            "incarnation": {"type": "string", "description": "which life of it: another one counts anew"},
            "began_at": time(),
            "after": {"type": "integer", "description": "the page has everything after that sequence"},
            "through": {"type": "integer", "description": "up to that one: the next page's after"},
            "sequence": {"type": "integer", "description": "the last one; there is more if it is higher than through"},
            "at": time(),
            "max_age_ms": {"type": "integer", "description": "for how long after that a reader may decide by what it has"},
            "statement": {"type": "string", "description": "the same, signed: a compact JWS of type portcullis-feed+jwt"},
            "entries": {"type": "array", "items": {
                "type": "object",
                "required": ["target", "issued_until", "ends_at"],
                "properties": {
                    "target": {"enum": ["subject", "session", "token", "upstream_session", "client", "connection", "key"]},
                    "subject": {"type": "string"},
                    "session": {"type": "string"},
                    "jti": {"type": "string"},
                    "sid_sha256": {"type": "string"},
                    "client_id": {"type": "string"},
                    "connection": {"type": "string"},
                    "kid": {"type": "string"},
                    "issued_until": time(),
                    "ends_at": time(),
                },
            }},
        },
    })
}

/// The feeds' new lives, for the API description.
pub fn restart_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"feeds": {"type": "array", "items": {
            "type": "object",
            "properties": {
                "shard": {"type": "string"},
                "incarnation": {"type": "string"},
                "began_at": {"type": "string", "format": "date-time"},
            },
        }}},
    })
}
