//! What is personal in the log: `GET /v1/audit/disclosures`, by which auditors take along what opens lines, and
//! `POST /v1/audit/erasures`, by which nobody can open them any more. Reading it with lines is `personal=true` of
//! [`super::audit`].
//!
//! An erasure destroys a key; lines and proofs stay. It is complete when the platform's recovery history has lapsed, too,
//! which the answer says as `complete_at`. Asked again it is the same, and nothing is erased.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::log::MAX_SIZE;
use portcullis_core::audit::personal::{
    Disclose, Disclosure, Erase, Erasing, Erasure, Held, RECOVERY_SECS,
};
use portcullis_core::audit::sealed::Day;
use portcullis_core::time::UnixMillis;
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Response, Result};

/// The parameters of disclosures.
pub const DISCLOSURES: &[&str] = &["from", "to"];

/// Why an `audit.read` is more than that.
pub const READ_PERSONAL: &str = "personal_fields";
const DISCLOSED: &str = "personal_fields_disclosed";
const DRY_RUN: &str = "erasure_dry_run";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    subject: Option<String>,
    unattributed_before: Option<String>,
    #[serde(default)]
    dry_run: bool,
    reason: Option<String>,
}

/// `GET /v1/audit/disclosures`.
pub async fn disclosures(ctx: Ctx) -> Result<Response> {
    let [from, to] = match super::audit_log::numbers(&ctx, ["from", "to"]) {
        Ok(numbers) => numbers,
        Err(problem) => return problem.response(),
    };
    if from > to {
        return Problem::bad_request("from is behind to").response();
    }
    let read = Event {
        reason: Some(DISCLOSED.to_owned()),
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(ctx.now, Action::AuditRead, Outcome::Success, ctx.actor())
    };
    match call::lane(&ctx.env, Disclose { from, to, read }).await {
        Ok(found) => {
            let keys = found.keys.into_iter();
            let keys: Vec<_> = keys
                .map(|(index, key)| Disclosure::new(index, key))
                .collect();
            json(200, &json!({"disclosures": keys, "next": found.next}))
        }
        Err(error) => {
            worker::console_error!("audit: {error}");
            Problem::unavailable().response()
        }
    }
}

/// `POST /v1/audit/erasures`.
pub async fn erase(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let what = match what(&ctx, &body).await? {
        Ok(what) => what,
        Err(problem) => return problem.response(),
    };
    let (action, reason) = if body.dry_run {
        (Action::AuditRead, Some(DRY_RUN.to_owned()))
    } else {
        (Action::AuditErased, body.reason)
    };
    let said = Event {
        reason,
        subject: match what {
            Erasing::Subject(key) => Some(key),
            Erasing::UnattributedBefore(_) => None,
        },
        request: Some(ctx.facts_with_status(200)),
        ..Event::new(ctx.now, action, Outcome::Success, ctx.actor())
    };
    let dry_run = body.dry_run;
    let erase = Erase {
        what,
        dry_run,
        said,
    };
    match call::lane(&ctx.env, erase).await {
        Ok(Ok(erasure)) => json(200, &reply(what, dry_run, &erasure)),
        Ok(Err(Held { hold })) => {
            Problem::new(409, format!("the legal hold {hold} forbids it")).response()
        }
        Err(error) => {
            worker::console_error!("erasure: {error}");
            Problem::unavailable().response()
        }
    }
}

async fn what(ctx: &Ctx, body: &Body) -> Result<std::result::Result<Erasing, Problem>> {
    let refused = |why: &str| Ok(Err(Problem::bad_request(why)));
    match (&body.subject, &body.unattributed_before) {
        (Some(subject), None) => Ok(ctx.subject(subject).await?.map(Erasing::Subject)),
        (None, Some(day)) => match Day::parse(day) {
            // The key of today is in use.
            Some(day) if day <= Day::of(ctx.now) => Ok(Ok(Erasing::UnattributedBefore(day))),
            Some(_) => refused("unattributed_before is in the future"),
            None => refused("unattributed_before is no day (YYYY-MM-DD)"),
        },
        _ => refused("one of subject and unattributed_before is needed"),
    }
}

fn reply(what: Erasing, dry_run: bool, erasure: &Erasure) -> Value {
    let (subject, before) = match what {
        Erasing::Subject(key) => (Some(key.to_string()), None),
        Erasing::UnattributedBefore(day) => (None, Some(day.to_string())),
    };
    let time = |at: Option<UnixMillis>| at.map(UnixMillis::to_rfc3339);
    let complete = erasure.erased_at.map(|at| at.plus_secs(RECOVERY_SECS));
    json!({
        "subject": subject,
        "unattributed_before": before,
        "dry_run": dry_run,
        "erased": !dry_run && erasure.keys > 0,
        "keys": erasure.keys,
        "since": time(erasure.since),
        "lines": {"count": erasure.lines, "at_least": erasure.at_least},
        "erased_at": time(erasure.erased_at),
        "complete_at": time(complete),
    })
}

/// What is disclosed, for the API description.
pub fn disclosures_schema() -> Value {
    let index = json!({"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_SIZE});
    json!({
        "type": "object",
        "required": ["disclosures", "next"],
        "properties": {
            "disclosures": {"type": "array", "items": {
                "type": "object",
                "required": ["index", "key"],
                "properties": {
                    "index": index,
                    "key": {"type": "string", "description": "32 bytes in base64url; opens that line and no other"},
                },
            }},
            "next": {"type": ["integer", "null"], "description": "from where to go on; null when all was looked at"},
        },
    })
}

/// What is asked of an erasure, for the API description.
pub fn erasure_request_schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "subject": {"type": "string", "description": "whose key is destroyed: sub_... or connection:value"},
            "unattributed_before": {"type": "string", "format": "date", "description": "or the keys of days before that one, for what is nobody's that is known"},
            "dry_run": {"type": "boolean", "default": false},
            "reason": {"type": "string", "description": "kept in the log"},
        },
        "oneOf": [{"required": ["subject"]}, {"required": ["unattributed_before"]}],
        "additionalProperties": false,
    })
}

/// What is answered to it, for the API description.
pub fn erasure_schema() -> Value {
    let time = |description: &str| json!({"type": ["string", "null"], "format": "date-time", "description": description});
    json!({
        "type": "object",
        "required": ["dry_run", "erased", "keys", "lines"],
        "properties": {
            "subject": {"type": ["string", "null"]},
            "unattributed_before": {"type": ["string", "null"], "format": "date"},
            "dry_run": {"type": "boolean"},
            "erased": {"type": "boolean", "description": "whether keys were destroyed now"},
            "keys": {"type": "integer", "description": "how many there were"},
            "since": time("since when there was one"),
            "lines": {
                "type": "object",
                "properties": {
                    "count": {"type": "integer", "description": "lines that they seal"},
                    "at_least": {"type": "boolean", "description": "whether there may be more than were looked at"},
                },
            },
            "erased_at": time("when keys were destroyed last"),
            "complete_at": time("when the platform cannot bring them back any more"),
        },
    })
}
