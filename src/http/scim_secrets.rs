//! `/v1/connections/{connection}/scim-secrets`: what a connection's provider proves itself by at its SCIM endpoint,
//! by an operator.
//!
//! A secret is in the one answer that makes it and never again. Another is made beside the earlier ones, which
//! stay good for as long as the operator says and end by themselves; one that is removed is refused from
//! the answer on. If the answer to POST is lost, so is the secret: make another, and remove the lost one.

use super::context::Ctx;
use crate::connections;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError, DirectoryFrame};
use crate::runtime::random;
use portcullis_core::connection::Connection;
use portcullis_core::id::ScimSecretId;
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::secret::{
    DEFAULT_OVERLAP_SECS, KeptSecret, ListSecrets, MAX_OVERLAP_SECS, MAX_SECRETS, MakeSecret,
    RemoveSecrets, ScimSecret, SecretMade,
};
use portcullis_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::rc::Rc;
use worker::{Response, Result};

/// A secret as operators see it.
#[derive(Serialize)]
struct Shown {
    id: ScimSecretId,
    created_at: String,
    good_until: Option<String>,
    last_used_at: Option<String>,
}

impl From<KeptSecret> for Shown {
    fn from(kept: KeptSecret) -> Self {
        Self {
            id: kept.id,
            created_at: kept.created.to_rfc3339(),
            good_until: kept.good_until.map(UnixMillis::to_rfc3339),
            last_used_at: kept.last_used.map(UnixMillis::to_rfc3339),
        }
    }
}

/// The one answer with the secret in it.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    shown: Shown,
    scim_url: String,
    secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    overlap_secs: u64,
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            overlap_secs: DEFAULT_OVERLAP_SECS,
        }
    }
}

impl Asked {
    /// Of a body, or of none.
    fn read(body: &str) -> std::result::Result<Self, Problem> {
        if body.trim().is_empty() {
            return Ok(Self::default());
        }
        let asked: Self = serde_json::from_str(body)
            .and_then(|body: Map<String, Value>| Self::deserialize(Value::Object(body)))
            .map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
        if asked.overlap_secs > MAX_OVERLAP_SECS {
            return Err(Problem::bad_request("overlap_secs is more than 90 days"));
        }
        Ok(asked)
    }
}

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("scim secrets: {error}");
    Problem::unavailable().response()
}

fn unknown_connection() -> Result<Response> {
    Problem::new(404, "there is no such connection").response()
}

/// The connection that the path names, on or off.
async fn connection(ctx: &Ctx) -> Result<Option<Rc<Connection>>> {
    let id = ctx.decoded_param(0);
    Ok(connections::any(&ctx.env, &ctx.config, &id).await?)
}

fn frame(ctx: &Ctx, connection: &Connection) -> DirectoryFrame {
    DirectoryFrame::of(&ctx.config, connection, ctx.facts())
}

/// Makes a secret.
pub async fn create(mut ctx: Ctx) -> Result<Response> {
    let asked = match ctx.text().await?.and_then(|body| Asked::read(&body)) {
        Ok(asked) => asked,
        Err(problem) => return problem.response(),
    };
    let Some(connection) = connection(&ctx).await? else {
        return unknown_connection();
    };
    let secret = ScimSecret::new(&connection.id, random()?);
    let keep = MakeSecret {
        digest: secret.digest(),
        overlap_secs: asked.overlap_secs,
        by: ctx.actor(),
    };
    match call::directory(&ctx.env, frame(&ctx, &connection), keep).await {
        Ok(SecretMade::Made(kept)) => {
            let made = Made {
                shown: kept.into(),
                scim_url: connections::scim_url(&ctx.config, &connection.id),
                secret: secret.to_text(&ctx.config.routing_key),
            };
            json(201, &made)
        }
        Ok(SecretMade::TooMany) => {
            let why = format!(
                "{MAX_SECRETS} secrets are good: remove one, or let them end sooner by overlap_secs"
            );
            Problem::new(409, why).response()
        }
        Err(error) => failed(&error),
    }
}

/// The secrets that are good.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let Some(connection) = connection(&ctx).await? else {
        return unknown_connection();
    };
    match call::directory(&ctx.env, frame(&ctx, &connection), ListSecrets).await {
        Ok(secrets) => {
            let secrets: Vec<Shown> = secrets.into_iter().map(Shown::from).collect();
            let scim_url = connections::scim_url(&ctx.config, &connection.id);
            json(200, &json!({"scim_url": scim_url, "secrets": secrets}))
        }
        Err(error) => failed(&error),
    }
}

/// Removes a secret.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let Some(connection) = connection(&ctx).await? else {
        return unknown_connection();
    };
    let Ok(id) = ctx.decoded_param(1).parse() else {
        return unknown();
    };
    let remove = RemoveSecrets {
        id: Some(id),
        by: ctx.actor(),
    };
    match call::directory(&ctx.env, frame(&ctx, &connection), remove).await {
        Ok(0) => unknown(),
        Ok(_) => Ok(Response::empty()?.with_status(204)),
        Err(error) => failed(&error),
    }
}

fn unknown() -> Result<Response> {
    Problem::new(404, "there is no such secret").response()
}

/// Removes all secrets of a connection that is no more. It has no rules; nothing here goes by any.
pub async fn forget(ctx: &Ctx, connection: &str) -> std::result::Result<(), CallError> {
    let frame = DirectoryFrame {
        connection: connection.to_owned(),
        base: connections::scim_url(&ctx.config, connection),
        rules: Rules::default(),
        request: ctx.facts(),
    };
    let remove = RemoveSecrets {
        id: None,
        by: ctx.actor(),
    };
    call::directory(&ctx.env, frame, remove).await.map(drop)
}

/// What is asked of a new secret, for the API description.
pub fn request_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "overlap_secs": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_OVERLAP_SECS,
                "default": DEFAULT_OVERLAP_SECS,
                "description": "how long the earlier ones stay good; 0: not at all",
            },
        },
    })
}

fn properties() -> Value {
    let time = |what: &str| json!({"type": ["string", "null"], "format": "date-time", "description": what});
    json!({
        "id": {"type": "string", "description": "scs_..."},
        "created_at": {"type": "string", "format": "date-time"},
        "good_until": time("null: until it is replaced or removed"),
        "last_used_at": time("the beginning of the hour; null: never"),
    })
}

/// A new secret, for the API description.
pub fn made_schema() -> Value {
    let mut properties = properties();
    properties["secret"] = json!({"type": "string", "description": "pc_scim_..., shown once"});
    properties["scim_url"] =
        json!({"type": "string", "description": "the SCIM endpoint, for the provider"});
    json!({"type": "object", "required": ["id", "secret", "scim_url"], "properties": properties})
}

/// The secrets of a connection, for the API description.
pub fn list_schema() -> Value {
    json!({
        "type": "object",
        "required": ["scim_url", "secrets"],
        "properties": {
            "scim_url": {"type": "string"},
            "secrets": {"type": "array", "items": {
                "type": "object",
                "required": ["id", "created_at", "good_until", "last_used_at"],
                "properties": properties(),
            }},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_be_left_out_and_is_read_strictly_otherwise() {
        let overlap = |body| Asked::read(body).ok().map(|asked| asked.overlap_secs);
        for (body, secs) in [
            ("", 86_400),
            (" \n", 86_400),
            ("{}", 86_400),
            (r#"{"overlap_secs": 0}"#, 0),
            (r#"{"overlap_secs": 7776000}"#, 7_776_000),
        ] {
            assert_eq!(overlap(body), Some(secs), "{body}");
        }
        for body in [
            "[]",
            "not json",
            r#"{"overlap": 0}"#,
            r#"{"overlap_secs": -1}"#,
            r#"{"overlap_secs": "0"}"#,
            r#"{"overlap_secs": 7776001}"#,
        ] {
            assert_eq!(overlap(body), None, "{body}");
        }
    }
}
