//! `/v1/connections/{connection}/scim-jobs` and `/seats`: what changes of groups have done to people, and how
//! many hold a seat, for operators.
//!
//! A job is there as soon as the change is, and for 30 days after it is finished. Newest come first; `cursor` goes
//! on where a page ended. A seat is held from somebody's first log-in until they are deprovisioned.

use super::context::Ctx;
use super::paging::{self, parameter};
use crate::connections;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError, DirectoryFrame};
use portcullis_core::registry::CountSeats;
use portcullis_core::scim::job::{FindJob, Job, JobId, JobKind, Jobs, ListJobs, MAX_JOBS};
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::{Value, json};
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 50;

/// The query's parameters, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &["limit", "cursor"];

#[derive(Serialize)]
struct Page {
    jobs: Vec<Item>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Item {
    id: String,
    what: JobKind,
    group: Group,
    cause: Option<String>,
    total: u64,
    done: u64,
    failing: u64,
    created_at: String,
    finished_at: Option<String>,
}

#[derive(Serialize)]
struct Group {
    id: String,
    name: String,
}

impl From<Job> for Item {
    fn from(job: Job) -> Self {
        Self {
            id: job.id.to_text(),
            what: job.what,
            group: Group {
                id: job.group.to_text(),
                name: job.group_name,
            },
            cause: job.cause,
            total: job.total,
            done: job.done,
            failing: job.failing,
            created_at: job.created.to_rfc3339(),
            finished_at: job.finished.map(UnixMillis::to_rfc3339),
        }
    }
}

/// A page of a connection's jobs.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let list = match asked(&ctx) {
        Ok(list) => list,
        Err(problem) => return problem.response(),
    };
    let Some(frame) = frame(&ctx).await? else {
        return unknown("connection");
    };
    let Jobs { jobs, next } = match call::directory(&ctx.env, frame, list).await {
        Ok(page) => page,
        Err(error) => return unavailable(&error),
    };
    let page = Page {
        jobs: jobs.into_iter().map(Item::from).collect(),
        next: next.map(JobId::to_text),
    };
    json(200, &page)
}

fn asked(ctx: &Ctx) -> std::result::Result<ListJobs, Problem> {
    let query = ctx.query_of(PARAMETERS)?;
    Ok(ListJobs {
        limit: paging::limit(&query, DEFAULT_LIMIT, MAX_JOBS)?,
        before: parameter(&query, "cursor", JobId::from_text)?,
    })
}

/// One of a connection's jobs.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let Some(frame) = frame(&ctx).await? else {
        return unknown("connection");
    };
    let Some(id) = JobId::from_text(&ctx.decoded_param(1)) else {
        return unknown("job");
    };
    match call::directory(&ctx.env, frame, FindJob { id }).await {
        Ok(Some(job)) => json(200, &Item::from(job)),
        Ok(None) => unknown("job"),
        Err(error) => unavailable(&error),
    }
}

/// How many seats are held at a connection.
pub async fn seats(ctx: Ctx) -> Result<Response> {
    let Some(frame) = frame(&ctx).await? else {
        return unknown("connection");
    };
    match call::directory(&ctx.env, frame, CountSeats).await {
        Ok(used) => json(200, &json!({ "used": used })),
        Err(error) => unavailable(&error),
    }
}

/// `None`: there is no such connection.
async fn frame(ctx: &Ctx) -> Result<Option<DirectoryFrame>> {
    let id = ctx.decoded_param(0);
    let connection = connections::any(&ctx.env, &ctx.config, &id).await?;
    let frame = |connection| DirectoryFrame::of(&ctx.config, connection, ctx.facts());
    Ok(connection.as_deref().map(frame))
}

fn unknown(what: &str) -> Result<Response> {
    Problem::new(404, format!("there is no such {what}")).response()
}

fn unavailable(error: &CallError) -> Result<Response> {
    worker::console_error!("scim jobs: {error}");
    Problem::unavailable().response()
}

/// A job, for the API description.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "what", "group", "cause", "total", "done", "failing", "created_at", "finished_at"],
        "properties": {
            "id": {"type": "string", "description": "job_..."},
            "what": {"enum": ["members", "renamed", "deleted"], "description": "what was changed of the group"},
            "group": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "name": {"type": "string", "description": "before the change"}},
            },
            "cause": {"type": ["string", "null"], "description": "why sessions are ended; null: none are"},
            "total": {"type": "integer", "description": "how many subjects are told"},
            "done": {"type": "integer", "description": "how many have committed it"},
            "failing": {"type": "integer", "description": "how many of the others were told in vain so far"},
            "created_at": {"type": "string", "format": "date-time"},
            "finished_at": {"type": ["string", "null"], "format": "date-time"},
        },
    })
}

/// A page of jobs, for the API description.
pub fn page_schema() -> Value {
    json!({
        "type": "object",
        "required": ["jobs", "next"],
        "properties": {
            "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/ScimJob"}},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null at the end"},
        },
    })
}

/// Seats, for the API description.
pub fn seats_schema() -> Value {
    json!({
        "type": "object",
        "required": ["used"],
        "properties": {"used": {"type": "integer", "description": "how many hold a seat"}},
    })
}
