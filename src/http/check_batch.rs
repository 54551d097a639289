//! `POST /v1/check` with several questions: `{"checks": [...]}`, each as if it came alone, answered by
//! `{"results": [...]}` in the same order.
//!
//! They are asked at the same time, and each is judged by itself. What is no question is denied with the reason
//! `malformed`, and what nobody can say now with the reason `unavailable`; `error` says more. Neither has been
//! checked, and neither fails the others.

use super::check::{self, Body, Reply};
use super::context::Ctx;
use crate::error::{Problem, json};
use futures::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json as value};
use worker::{Response, Result};

/// The most questions at once.
const MAX_CHECKS: usize = 100;
/// What is read of them all.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

#[derive(Serialize)]
struct Results {
    results: Vec<Reply>,
}

/// 200 with a result for each; 400 if there are too many.
pub async fn answer(ctx: &Ctx, checks: &[Box<RawValue>]) -> Result<Response> {
    if checks.len() > MAX_CHECKS {
        return Problem::bad_request(format!("at most {MAX_CHECKS} checks at once")).response();
    }
    let each = checks.iter().map(|check| result(ctx, check.get()));
    let results = join_all(each).await;
    json(200, &Results { results })
}

async fn result(ctx: &Ctx, question: &str) -> Reply {
    let malformed = |why: &str| Reply::without_verdict("malformed", why, ctx.now);
    let body: Body = match serde_json::from_str(question) {
        Ok(body) => body,
        Err(error) => return malformed(&error.to_string()),
    };
    let problem = match check::judged(ctx, body).await {
        Ok(Ok(reply)) => return reply,
        Ok(Err(problem)) => problem,
        Err(error) => {
            worker::console_error!("check: {error}");
            Problem::unavailable()
        }
    };
    if problem.status() == 400 {
        malformed(problem.detail())
    } else {
        Reply::without_verdict("unavailable", problem.detail(), ctx.now)
    }
}

/// The body, for the API description.
pub fn request_schema() -> Value {
    value!({
        "type": "object",
        "required": ["checks"],
        "additionalProperties": false,
        "properties": {
            "checks": {"type": "array", "maxItems": MAX_CHECKS, "items": check::request_schema()},
        },
    })
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    value!({
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {"type": "array", "description": "one for each check, in order", "items": check::reply_schema()},
        },
    })
}
