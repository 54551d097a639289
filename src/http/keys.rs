//! `/v1/keys`: the signing keys, for operators.
//!
//! A rotation is answered when it is decided: the next key is in the set and signs from the time
//! in the answer. A compromise is answered when it is in force: nothing that the key signed is
//! accepted by any strict check that begins after the answer.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use crate::objects::keyring::call::{CompromiseKey, KeyLife, KeyRotated, ListKeys, RotateKey};
use crate::{keys, policy};
use portcullis_core::keyring::KeyState;
use portcullis_core::policy::call::ChangedBy;
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use serde_json::{Map, Value, json};
use worker::{Response, Result, console_error};

#[derive(Serialize)]
struct Keys {
    keys: Vec<Life>,
}

#[derive(Serialize)]
struct Life {
    kid: String,
    state: KeyState,
    created_at: String,
    signs_from: String,
    superseded_at: Option<String>,
    retires_at: Option<String>,
    compromised_at: Option<String>,
}

impl From<KeyLife> for Life {
    fn from(life: KeyLife) -> Self {
        Self {
            kid: life.key.kid,
            state: life.state,
            created_at: life.key.created_at.to_rfc3339(),
            signs_from: life.key.signs_from.to_rfc3339(),
            superseded_at: life.superseded_at.map(UnixMillis::to_rfc3339),
            retires_at: life.retires_at.map(UnixMillis::to_rfc3339),
            compromised_at: life.key.compromised_at.map(UnixMillis::to_rfc3339),
        }
    }
}

#[derive(Serialize)]
struct Rotation {
    kid: String,
    signs_from: String,
    changed: bool,
}

#[derive(Serialize)]
struct Compromise {
    kid: String,
    compromised_at: String,
    changed: bool,
    signing: String,
}

/// Every key that is remembered, the oldest first.
pub async fn list(ctx: Ctx) -> Result<Response> {
    match call::keyring(&ctx.env, ListKeys).await {
        Ok(lives) => {
            let keys = lives.into_iter().map(Life::from).collect();
            json(200, &Keys { keys })
        }
        Err(error) => unavailable(&error),
    }
}

/// Has another key sign.
pub async fn rotate(mut ctx: Ctx) -> Result<Response> {
    if let Err(problem) = empty_body(&mut ctx).await? {
        return problem.response();
    }
    let rotate = RotateKey { by: by(&ctx) };
    match call::keyring(&ctx.env, rotate).await {
        Ok(KeyRotated::Rotated {
            kid,
            signs_from,
            changed,
        }) => {
            keys::look_again();
            let signs_from = signs_from.to_rfc3339();
            let rotation = Rotation {
                kid,
                signs_from,
                changed,
            };
            json(200, &rotation)
        }
        Ok(KeyRotated::TooMany) => {
            let detail = "so many keys are published that another has to wait for one to retire";
            Problem::new(409, detail).response()
        }
        Err(error) => unavailable(&error),
    }
}

/// Has a key count for nothing.
pub async fn compromise(mut ctx: Ctx) -> Result<Response> {
    if let Err(problem) = empty_body(&mut ctx).await? {
        return problem.response();
    }
    let kid = ctx.param(0).to_owned();
    let compromise = CompromiseKey {
        kid: kid.clone(),
        by: by(&ctx),
    };
    match call::keyring(&ctx.env, compromise).await {
        Ok(Some(compromised)) => {
            keys::look_again();
            // Also when it was declared before: whoever asks again may not have been told.
            policy::in_force_everywhere().await;
            let compromise = Compromise {
                kid,
                compromised_at: compromised.at.to_rfc3339(),
                changed: compromised.changed,
                signing: compromised.signing,
            };
            json(200, &compromise)
        }
        Ok(None) => Problem::new(404, "no key of that name is known").response(),
        Err(error) => unavailable(&error),
    }
}

/// The empty object, said explicitly: a request that went astray changes nothing.
async fn empty_body(ctx: &mut Ctx) -> Result<std::result::Result<(), Problem>> {
    Ok(match ctx.json::<Map<String, Value>>().await? {
        Ok(body) if body.is_empty() => Ok(()),
        Ok(_) => Err(Problem::bad_request("the body is the empty object")),
        Err(problem) => Err(problem),
    })
}

fn by(ctx: &Ctx) -> ChangedBy {
    ChangedBy {
        actor: ctx.actor(),
        request: Some(ctx.facts()),
    }
}

fn unavailable(error: &call::CallError) -> Result<Response> {
    console_error!("keys: {error}");
    Problem::unavailable().response()
}

/// The list, for the API description.
pub fn list_schema() -> Value {
    let time = |description: &str| json!({"type": ["string", "null"], "format": "date-time", "description": description});
    json!({
        "type": "object",
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {
            "type": "object",
            "required": ["kid", "state", "created_at", "signs_from"],
            "properties": {
                "kid": {"type": "string", "description": "RFC 7638 thumbprint"},
                "state": {"enum": ["next", "signing", "retiring", "retired", "compromised"]},
                "created_at": {"type": "string", "format": "date-time"},
                "signs_from": {"type": "string", "format": "date-time"},
                "superseded_at": time("when another signs instead, as far as is known"),
                "retires_at": time("when it leaves the published set, as far as is known"),
                "compromised_at": time("when it was declared compromised"),
            },
        }}},
    })
}

/// The answer to a rotation, for the API description.
pub fn rotation_schema() -> Value {
    json!({
        "type": "object",
        "required": ["kid", "signs_from", "changed"],
        "properties": {
            "kid": {"type": "string", "description": "the key that signs next; it is published"},
            "signs_from": {"type": "string", "format": "date-time"},
            "changed": {"type": "boolean", "description": "false if it was on its way before"},
        },
    })
}

/// The answer to a compromise, for the API description.
pub fn compromise_schema() -> Value {
    json!({
        "type": "object",
        "required": ["kid", "compromised_at", "changed", "signing"],
        "properties": {
            "kid": {"type": "string"},
            "compromised_at": {"type": "string", "format": "date-time"},
            "changed": {"type": "boolean", "description": "false if it was declared before"},
            "signing": {"type": "string", "description": "the key that signs now"},
        },
    })
}
