//! `POST /v1/audit/epochs`: end a log that may not be signed any more, and begin a new one of the same lane.
//!
//! `{"log": "<its name>", "reason": "..."}`; with `"dry_run": true` it says what would be done. 201 with the new log, 200 of a dry
//! run. 409 says why not: the log may be signed, or it is not the lane's; so whoever lost the answer hears the new log's name.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use crate::objects::lane::service::LANE;
use base64ct::{Base64, Encoding};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::audit::log::epoch::{BeginEpoch, Beginning, Begun, MAX_REASON_BYTES};
use serde::Deserialize;
use serde_json::{Value, json};
use worker::{Response, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    log: String,
    reason: String,
    #[serde(default)]
    dry_run: bool,
}

/// Begins a new log.
pub async fn begin(mut ctx: Ctx) -> Result<Response> {
    let body: Body = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let dry_run = body.dry_run;
    if body.reason.is_empty() || body.reason.len() > MAX_REASON_BYTES {
        let why = format!("reason is not 1 to {MAX_REASON_BYTES} bytes long");
        return Problem::bad_request(why).response();
    }
    let event = Event {
        reason: Some(body.reason),
        request: Some(ctx.facts_with_status(201)),
        ..Event::new(ctx.now, Action::EpochBegan, Outcome::Success, ctx.actor())
    };
    let asked = BeginEpoch {
        log: body.log,
        dry_run,
        event,
    };
    match call::lane(&ctx.env, asked).await {
        Ok(beginning) => match told(&beginning, dry_run) {
            Ok(begun) => json(if dry_run { 200 } else { 201 }, &begun),
            Err(problem) => problem.response(),
        },
        Err(error) => {
            worker::console_error!("audit epoch: {error}");
            Problem::unavailable().response()
        }
    }
}

fn told(beginning: &Beginning, dry_run: bool) -> std::result::Result<Value, Problem> {
    let why = match beginning {
        Beginning::Begun(begun) => return Ok(shown(begun, dry_run)),
        Beginning::NotThat { log } => format!("the lane's log is {log}"),
        Beginning::NoGround => "the log may be signed: there is no reason to end it".to_owned(),
        Beginning::Refused(refusal) => format!("no log can begin: {refusal}"),
        Beginning::NoName => "the archive has logs of all names that were tried".to_owned(),
    };
    Err(Problem::new(409, why))
}

fn shown(begun: &Begun, dry_run: bool) -> Value {
    let ended = &begun.ended;
    let archived = ended.archived.map(|archived| {
        let root = Base64::encode_string(&archived.root);
        json!({"size": archived.size, "root_hash": root})
    });
    json!({
        "lane": LANE,
        "epoch": begun.epoch,
        "log": begun.log,
        "key": begun.vkey,
        "lines": ended.lines,
        "ended": {"log": ended.log, "refusal": ended.refusal.to_string(), "checkpoint": archived},
        "dry_run": dry_run,
    })
}

/// What is asked for, for the API description.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "required": ["log", "reason"],
        "additionalProperties": false,
        "properties": {
            "log": {"type": "string", "description": "the name of the log that ends"},
            "reason": {"type": "string", "minLength": 1, "maxLength": MAX_REASON_BYTES, "description": "kept in the log"},
            "dry_run": {"type": "boolean", "default": false},
        },
    })
}

/// What is answered, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["lane", "epoch", "log", "key", "lines", "ended", "dry_run"],
        "properties": {
            "lane": {"type": "integer"},
            "epoch": {"type": "integer", "description": "how many logs the lane had before; of a dry run, if nobody takes the name meanwhile"},
            "log": {"type": "string", "description": "the new log's name"},
            "key": {"type": ["string", "null"], "description": "its key (C2SP signed-note: name+id+key); null in a dry run"},
            "lines": {"type": "integer", "description": "how many lines the lane has"},
            "ended": {
                "type": "object",
                "properties": {
                    "log": {"type": "string"},
                    "refusal": {"type": "string", "description": "why it may not be signed any more"},
                    "checkpoint": {"type": ["object", "null"], "description": "archived last: size, root_hash; null if none is known"},
                },
            },
            "dry_run": {"type": "boolean"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::audit::log::epoch::{Archived, Ended};
    use portcullis_core::audit::log::signing::Refusal;

    #[test]
    fn what_ended_and_what_began_is_told() {
        let begun = Begun {
            epoch: 1,
            log: "id.example/audit/lane/0.1".to_owned(),
            vkey: Some("k".to_owned()),
            ended: Ended {
                log: "id.example/audit/lane/0".to_owned(),
                refusal: Refusal::ArchiveOfAnother,
                archived: Some(Archived {
                    size: 7,
                    root: [0; 32],
                }),
                lines: 5,
            },
        };
        let told = told(&Beginning::Begun(begun), false).expect("begun");
        let expected = json!({
            "lane": 0, "epoch": 1, "log": "id.example/audit/lane/0.1", "key": "k", "lines": 5, "dry_run": false,
            "ended": {
                "log": "id.example/audit/lane/0", "refusal": "the archived checkpoint is by another key",
                "checkpoint": {"size": 7, "root_hash": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
            },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn who_cannot_begin_a_log_hears_why() {
        let log = "id.example/audit/lane/0.1".to_owned();
        for (beginning, part) in [
            (Beginning::NotThat { log }, "audit/lane/0.1"),
            (Beginning::NoGround, "may be signed"),
            (Beginning::Refused(Refusal::Shut), "shut"),
            (Beginning::NoName, "all names"),
        ] {
            let problem = told(&beginning, false).expect_err("refused");
            assert_eq!(problem.status(), 409);
            assert!(problem.detail().contains(part), "{}", problem.detail());
        }
    }
}
