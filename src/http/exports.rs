//! `/v1/audit/exports`: exports of the audit log that the service makes, for auditors.
//!
//! A job is begun (202), looked at until it is finished, and its files are fetched ([`super::export_file`]): those that
//! `portcullis audit verify` checks without the service. They are there for a week. Whoever may read the log sees all jobs.
//! That a job is asked for, is over, or is removed is in the log, with what was asked.

use super::context::Ctx;
use super::paging::{self, parameter, unreadable};
use super::revocations::idempotency;
use crate::auth::Role;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::export::call::{
    FindExport, ListExports, NotStarted, Numbered, RemoveExport, StartExport,
};
use portcullis_core::audit::export::job::{Asked, Bound, ExportId, Job, MAX_UNFINISHED, Phase};
use portcullis_core::audit::export::view::Format;
use portcullis_core::audit::log::MAX_SIZE;
use portcullis_core::audit::query::Filter;
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 100;

/// The query's parameters of a listing, for the API description and for refusing others.
pub const PARAMETERS: &[&str] = &["limit", "cursor"];

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    from: Value,
    to: Value,
    filter: Wanted,
    format: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    subject: Option<String>,
    action: Option<String>,
    outcome: Option<String>,
}

/// Begins an export.
pub async fn create(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let start = match start(&ctx, &body).await? {
        Ok(start) => start,
        Err(problem) => return problem.response(),
    };
    match call::exports(&ctx.env, start).await {
        Ok(Ok((id, job))) => {
            let response = json(202, &shown(id, &job))?;
            let location = format!("/v1/audit/exports/{}", id.to_text());
            response.headers().set("location", &location)?;
            Ok(response)
        }
        Ok(Err(NotStarted::KeyReused)) => {
            Problem::new(422, "the Idempotency-Key was used with another request").response()
        }
        Ok(Err(NotStarted::TooMany)) => {
            let why = format!("{MAX_UNFINISHED} exports are not finished: wait, or delete one");
            Problem::new(409, why).response()
        }
        Err(error) => unavailable(&error),
    }
}

async fn start(ctx: &Ctx, body: &Body) -> Result<std::result::Result<StartExport, Problem>> {
    let subject = match &body.filter.subject {
        Some(text) => match ctx.subject(text).await? {
            Ok(subject) => Some(subject),
            Err(problem) => return Ok(Err(problem)),
        },
        None => None,
    };
    let idempotency = match idempotency(ctx, body) {
        Ok(idempotency) => idempotency,
        Err(problem) => return Ok(Err(problem)),
    };
    Ok(asked(body, subject).map(|asked| StartExport {
        asked,
        by: ctx.role.map_or("", Role::as_str).to_owned(),
        idempotency,
        event: event(ctx, 202),
    }))
}

fn asked(body: &Body, subject: Option<SubjectKey>) -> std::result::Result<Asked, Problem> {
    fn read<T>(
        text: Option<&String>,
        parse: impl FnOnce(&str) -> Option<T>,
        problem: impl FnOnce() -> Problem,
    ) -> std::result::Result<Option<T>, Problem> {
        text.map(|text| parse(text).ok_or_else(problem)).transpose()
    }
    let invalid = unreadable;
    let wanted = &body.filter;
    let filter = Filter {
        subject,
        action: read(wanted.action.as_ref(), Action::parse, || invalid("action"))?,
        outcome: read(wanted.outcome.as_ref(), Outcome::parse, || {
            invalid("outcome")
        })?,
        ..Filter::default()
    };
    let (from, to) = (
        bound(&body.from).map_err(|()| invalid("from"))?,
        bound(&body.to).map_err(|()| invalid("to"))?,
    );
    if let (Some(Bound::Index(from)), Some(Bound::Index(to))) = (from, to)
        && from > to
    {
        return Err(Problem::bad_request("from is behind to"));
    }
    Ok(Asked {
        from,
        to,
        filter: (filter != Filter::default()).then_some(filter),
        format: read(body.format.as_ref(), Format::parse, || invalid("format"))?
            .unwrap_or_default(),
    })
}

/// An index, as a number or its digits, or a time; absent if null.
fn bound(value: &Value) -> std::result::Result<Option<Bound>, ()> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let bound = match value {
        Value::Null => return Ok(None),
        Value::Number(number) => number.as_u64().map(Bound::Index),
        Value::String(text) if digits(text) => text.parse().ok().map(Bound::Index),
        Value::String(text) => UnixMillis::from_rfc3339(text).map(Bound::Committed),
        _ => None,
    };
    let bound = bound.filter(|bound| !matches!(bound, Bound::Index(MAX_SIZE..)));
    bound.map(Some).ok_or(())
}

/// The exports there are, newest first.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let list = match listed(&ctx) {
        Ok(list) => list,
        Err(problem) => return problem.response(),
    };
    match call::exports(&ctx.env, list).await {
        Ok(exports) => {
            let full = exports.len() as u64 >= u64::from(list.limit);
            let next = exports.last().filter(|_| full).map(|(id, _)| id.to_text());
            let exports: Vec<Value> = exports.iter().map(|(id, job)| shown(*id, job)).collect();
            json(200, &json!({"exports": exports, "next": next}))
        }
        Err(error) => unavailable(&error),
    }
}

fn listed(ctx: &Ctx) -> std::result::Result<ListExports, Problem> {
    let query = ctx.query_of(PARAMETERS)?;
    Ok(ListExports {
        limit: paging::limit(&query, DEFAULT_LIMIT, MAX_LIMIT)?,
        before: parameter(&query, "cursor", ExportId::from_text)?,
    })
}

/// One of them.
pub async fn get(ctx: Ctx) -> Result<Response> {
    match found(&ctx).await {
        Ok(Some((id, job))) => json(200, &shown(id, &job)),
        Ok(None) => unknown(),
        Err(error) => unavailable(&error),
    }
}

/// Cancels one, or removes its files.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let Some(id) = ExportId::from_text(&ctx.decoded_param(0)) else {
        return unknown();
    };
    let event = event(&ctx, 204);
    match call::exports(&ctx.env, RemoveExport { id, event }).await {
        Ok(true) => Ok(Response::empty()?.with_status(204)),
        Ok(false) => unknown(),
        Err(error) => unavailable(&error),
    }
}

/// The export that the path names.
pub async fn found(ctx: &Ctx) -> std::result::Result<Option<Numbered>, CallError> {
    let Some(id) = ExportId::from_text(&ctx.decoded_param(0)) else {
        return Ok(None);
    };
    let job = call::exports(&ctx.env, FindExport { id }).await?;
    Ok(job.map(|job| (id, job)))
}

/// The event of this request; what was asked is added by who knows it.
pub fn event(ctx: &Ctx, status: u16) -> Event {
    Event {
        request: Some(ctx.facts_with_status(status)),
        ..Event::new(
            ctx.now,
            Action::AuditExported,
            Outcome::Success,
            ctx.actor(),
        )
    }
}

/// There is none of that name.
pub fn unknown() -> Result<Response> {
    Problem::new(404, "there is no such export, or no such file of it").response()
}

/// It cannot be asked.
pub fn unavailable(error: &CallError) -> Result<Response> {
    worker::console_error!("exports: {error}");
    Problem::unavailable().response()
}

fn shown(id: ExportId, job: &Job) -> Value {
    let mut shown = json!({
        "id": id.to_text(),
        "from": job.asked.from.map(Bound::to_text),
        "to": job.asked.to.map(Bound::to_text),
        "filter": job.asked.wanted(),
        "format": job.asked.format.as_str(),
        "requested_by": job.by,
        "created_at": job.created.to_rfc3339(),
        "expires_at": job.expires().map(UnixMillis::to_rfc3339),
        "finished_at": null,
        "scanned": null,
        "progress": null,
        "lines": 0,
        "checkpoint": null,
        "files": [],
        "reason": job.trouble.as_ref().map(|trouble| trouble.why.as_str()),
    });
    let (state, more) = match &job.phase {
        Phase::Waiting => ("waiting", json!({})),
        Phase::Running(run) => (
            "running",
            json!({
                "scanned": run.scan,
                "progress": {"done": run.next - run.scan.first, "total": run.scan.end - run.scan.first},
                "lines": run.lines,
            }),
        ),
        Phase::Finished(finished) => {
            let total = finished.scan.end - finished.scan.first;
            let more = json!({
                "finished_at": finished.at.to_rfc3339(),
                "scanned": finished.scan,
                "progress": {"done": total, "total": total},
                "lines": finished.lines,
                "checkpoint": finished.checkpoint,
                "files": finished.files,
            });
            ("finished", more)
        }
        Phase::Failed(failed) => (
            "failed",
            json!({"finished_at": failed.at.to_rfc3339(), "reason": failed.reason}),
        ),
        Phase::Removing => ("removing", json!({})),
    };
    if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), more) {
        shown.insert("state".to_owned(), state.into());
        shown.extend(more);
    }
    shown
}

/// The body, for the API description.
pub fn request_schema() -> Value {
    described(include_str!("exports/request.json"))
}

/// A job, for the API description.
pub fn schema() -> Value {
    described(include_str!("exports/job.json"))
}

/// A listing, for the API description.
pub fn list_schema() -> Value {
    described(include_str!("exports/list.json"))
}

/// As text it is a tenth of what it takes to build it.
fn described(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> std::result::Result<Asked, String> {
        let body: Body = serde_json::from_str(text).map_err(|error| error.to_string())?;
        asked(&body, None).map_err(|problem| problem.detail().to_owned())
    }

    #[test]
    fn what_is_not_said_is_everything_and_what_is_misspelt_is_refused() {
        assert_eq!(read("{}"), Ok(Asked::default()));
        let text = r#"{"from": 3, "to": "2026-11-01T00:00:00Z", "filter": {"action": "kill"}, "format": "csv"}"#;
        let asked = read(text).expect("can be read");
        assert_eq!(asked.from, Some(Bound::Index(3)));
        assert!(matches!(asked.to, Some(Bound::Committed(_))));
        assert_eq!(asked.format, Format::Csv);
        assert_eq!(
            asked.wanted().and_then(|it| it.action).as_deref(),
            Some("kill")
        );
        assert_eq!(
            read(r#"{"from": "7"}"#).map(|asked| asked.from),
            Ok(Some(Bound::Index(7)))
        );
        let wrong = [
            r#"{"from": -1}"#,
            r#"{"from": 1.5}"#,
            r#"{"from": "x"}"#,
            r#"{"from": true}"#,
            r#"{"to": 9007199254740992}"#,
            r#"{"from": 2, "to": 1}"#,
            r#"{"format": "parquet"}"#,
            r#"{"filter": {"action": "kills"}}"#,
            r#"{"filter": {"actions": "kill"}}"#,
            r#"{"form": 1}"#,
        ];
        for text in wrong {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_job_is_shown_with_every_member_that_is_described() {
        let job = Job::new(Asked::default(), "auditor".to_owned(), UnixMillis(1));
        let shown = shown(ExportId(7), &job);
        let described = schema();
        for name in described["required"].as_array().into_iter().flatten() {
            assert!(
                shown.get(name.as_str().unwrap_or_default()).is_some(),
                "{name}"
            );
        }
        assert!(request_schema().is_object() && list_schema().is_object());
        assert!(
            described["required"]
                .as_array()
                .is_some_and(|all| all.len() > 10)
        );
        assert_eq!(shown["state"], "waiting");
        assert_eq!(shown["id"], "exp_7");
    }
}
