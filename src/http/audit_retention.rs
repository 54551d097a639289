//! `/v1/audit/retention` and `/v1/audit/holds`: how long lines of the log are kept, and what keeps them longer.
//!
//! PUT `{"days": 400}` has lines go that are older, `{"days": null}` keeps all for good; with `"dry_run": true` it says
//! what would go. A hold is placed by its name, of everything or of a `subject`, and stays until it is released. Each
//! change is in the log. Auditors see all of it; changing it is for admins.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::retention::{
    GetRetention, Hold, MAX_DAYS, MIN_DAYS, PlaceHold, Placed, ReleaseHold, Retention,
    SetRetention, is_hold_name, keep_ms,
};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Nothing is no age: who would keep lines for good says so.
    #[serde(deserialize_with = "said")]
    days: Option<u32>,
    #[serde(default)]
    dry_run: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfWhom {
    subject: Option<String>,
}

/// A field that must be there, if only as null.
fn said<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<u32>, D::Error> {
    Option::deserialize(from)
}

/// How long lines are kept, and what of them is gone.
pub async fn get(ctx: Ctx) -> Result<Response> {
    match call::lane(&ctx.env, GetRetention).await {
        Ok(retention) => json(200, &shown(&retention, false)),
        Err(error) => failed(&error),
    }
}

/// Has lines be kept for some time.
pub async fn put(mut ctx: Ctx) -> Result<Response> {
    let wanted: Wanted = match ctx.json().await? {
        Ok(wanted) => wanted,
        Err(problem) => return problem.response(),
    };
    if wanted.days.is_some_and(|days| keep_ms(days).is_none()) {
        let why = format!("days is neither null nor {MIN_DAYS} to {MAX_DAYS}");
        return Problem::bad_request(why).response();
    }
    let dry_run = wanted.dry_run;
    let set = SetRetention {
        days: wanted.days,
        dry_run,
        event: changed(&ctx),
    };
    match call::lane(&ctx.env, set).await {
        Ok(retention) => json(200, &shown(&retention, dry_run)),
        Err(error) => failed(&error),
    }
}

/// Places a hold.
pub async fn place(mut ctx: Ctx) -> Result<Response> {
    let name = ctx.decoded_param(0);
    let of: OfWhom = match ctx.json().await? {
        Ok(of) => of,
        Err(problem) => return problem.response(),
    };
    if !is_hold_name(&name) {
        let why = "a hold is called by 1 to 64 of a-z, 0-9, -, _ and ., and by no credential";
        return Problem::bad_request(why).response();
    }
    let subject = match &of.subject {
        Some(text) => match ctx.subject(text).await? {
            Ok(subject) => Some(subject),
            Err(problem) => return problem.response(),
        },
        None => None,
    };
    let place = PlaceHold {
        name,
        subject,
        event: changed(&ctx),
    };
    match call::lane(&ctx.env, place).await {
        Ok(Placed::Placed(hold)) => json(200, &hold_shown(&hold)),
        Ok(Placed::Taken) => {
            Problem::new(409, "there is a hold of that name, of something else").response()
        }
        Ok(Placed::Full) => Problem::new(409, "there are too many holds").response(),
        Err(error) => failed(&error),
    }
}

/// Releases a hold.
pub async fn release(ctx: Ctx) -> Result<Response> {
    let release = ReleaseHold {
        name: ctx.decoded_param(0),
        event: changed(&ctx),
    };
    match call::lane(&ctx.env, release).await {
        Ok(true) => Ok(Response::empty()?.with_status(204)),
        Ok(false) => Problem::new(404, "there is no such hold").response(),
        Err(error) => failed(&error),
    }
}

fn changed(ctx: &Ctx) -> Event {
    Event {
        request: Some(ctx.facts()),
        ..Event::new(
            ctx.now,
            Action::RetentionChanged,
            Outcome::Success,
            ctx.actor(),
        )
    }
}

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("audit retention: {error}");
    Problem::unavailable().response()
}

fn shown(retention: &Retention, dry_run: bool) -> Value {
    let holds: Vec<Value> = retention.holds.iter().map(hold_shown).collect();
    json!({
        "days": retention.days,
        "holds": holds,
        "pruned_to": retention.pruned_to,
        "pruned_until": retention.pruned_until.map(UnixMillis::to_rfc3339),
        "prunable_to": retention.prunable_to,
        "prunable": retention.prunable_to.saturating_sub(retention.pruned_to),
        "dry_run": dry_run,
    })
}

fn hold_shown(hold: &Hold) -> Value {
    json!({
        "name": hold.name,
        "subject": hold.subject.map(|subject| subject.to_string()),
        "placed_at": hold.placed_at.to_rfc3339(),
        "placed_by": hold.placed_by,
    })
}

/// What is asked for, for the API description.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "required": ["days"],
        "additionalProperties": false,
        "properties": {
            "days": {
                "type": ["integer", "null"], "minimum": MIN_DAYS, "maximum": MAX_DAYS,
                "description": "how long lines are kept; null: for good",
            },
            "dry_run": {"type": "boolean", "description": "say what would go and change nothing"},
        },
    })
}

/// How it is, for the API description.
pub fn reply_schema() -> Value {
    let index = |description: &str| json!({"type": "integer", "description": description});
    json!({
        "type": "object",
        "required": ["days", "holds", "pruned_to", "pruned_until", "prunable_to", "prunable", "dry_run"],
        "properties": {
            "days": {"type": ["integer", "null"], "description": "how long lines are kept; null: for good"},
            "holds": {"type": "array", "items": {"$ref": "#/components/schemas/AuditHold"}},
            "pruned_to": index("of the first line that is kept"),
            "pruned_until": {
                "type": ["string", "null"], "format": "date-time",
                "description": "when the latest line that is gone was committed",
            },
            "prunable_to": index("of the first line that is kept, when all have gone that may go now"),
            "prunable": {"type": "integer", "description": "how many lines may go now"},
            "dry_run": {"type": "boolean"},
        },
    })
}

/// Of what a hold is, for the API description.
pub fn hold_request_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "subject": {
                "type": ["string", "null"],
                "description": "sub_... or connection:value; without one it is of everything",
            },
        },
    })
}

/// A hold, for the API description.
pub fn hold_schema() -> Value {
    json!({
        "type": "object",
        "required": ["name", "subject", "placed_at", "placed_by"],
        "properties": {
            "name": {"type": "string"},
            "subject": {"type": ["string", "null"], "description": "sub_...; null: of everything"},
            "placed_at": {"type": "string", "format": "date-time"},
            "placed_by": {"type": "string", "description": "an operator's role"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_must_be_said_if_only_that_there_is_none() {
        let parse = |text: &str| serde_json::from_str::<Wanted>(text).map(|it| it.days);
        assert_eq!(parse(r#"{"days":null}"#).ok(), Some(None));
        assert_eq!(parse(r#"{"days":30,"dry_run":true}"#).ok(), Some(Some(30)));
        for wrong in [
            "{}",
            r#"{"days":"30"}"#,
            r#"{"days":-1}"#,
            r#"{"day":30}"#,
            "[]",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_hold_is_of_somebody_or_of_everything_and_of_nothing_else() {
        let parse = |text: &str| serde_json::from_str::<OfWhom>(text).map(|it| it.subject);
        assert_eq!(parse("{}").ok(), Some(None));
        assert_eq!(parse(r#"{"subject":null}"#).ok(), Some(None));
        let of_alice = parse(r#"{"subject":"demo:alice"}"#).ok();
        assert_eq!(of_alice, Some(Some("demo:alice".to_owned())));
        for wrong in ["[]", r#"{"subject":7}"#, r#"{"who":"demo:alice"}"#, "null"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
