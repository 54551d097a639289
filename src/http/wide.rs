//! Wide revocations over `/v1`: everything of a client or a connection, for everyone at once.
//!
//! The answer waits until the revocation is in force everywhere, so it means what the answer to any
//! other kill means. It is harmless to repeat: what began in between is ended too.

use super::context::Ctx;
use crate::error::{Problem, json};
use crate::objects::call;
use crate::policy;
use portcullis_core::policy::WideScope;
use portcullis_core::policy::call::{ChangedBy, RevokeWide, RevokedWide};
use serde::Serialize;
use serde_json::{Value, json};
use worker::{Response, Result};

/// A wide revocation, as callers are told of it.
#[derive(Serialize)]
pub struct Revocation {
    scope: &'static str,
    id: String,
    changed: bool,
    committed_at: String,
    in_force_at: String,
}

impl From<&RevokedWide> for Revocation {
    fn from(revoked: &RevokedWide) -> Self {
        Self {
            scope: revoked.revocation.scope.kind(),
            id: revoked.revocation.scope.id().to_owned(),
            changed: revoked.changed,
            committed_at: revoked.at.to_rfc3339(),
            in_force_at: revoked.revocation.not_before.to_rfc3339(),
        }
    }
}

/// Who changes the policy, by this request.
pub fn changed_by(ctx: &Ctx) -> ChangedBy {
    ChangedBy {
        actor: ctx.actor(),
        request: Some(ctx.facts()),
    }
}

/// Ends everything in `scope`.
pub async fn revoke(ctx: &Ctx, scope: WideScope) -> Result<Response> {
    let by = changed_by(ctx);
    match call::policy_object(&ctx.env, RevokeWide { scope, by }).await {
        Ok(revoked) => in_force(&revoked).await,
        Err(error) => {
            worker::console_error!("revocation: {error}");
            Problem::unavailable().response()
        }
    }
}

/// Answers with a revocation once it is in force.
pub async fn in_force(revoked: &RevokedWide) -> Result<Response> {
    policy::in_force_everywhere().await;
    json(200, &Revocation::from(revoked))
}

/// The answer, for the API description.
pub fn reply_schema() -> Value {
    json!({
        "type": "object",
        "required": ["scope", "id", "changed", "committed_at", "in_force_at"],
        "properties": {
            "scope": {"enum": ["client", "connection", "key"]},
            "id": {"type": "string"},
            "changed": {"type": "boolean", "description": "false: there was nothing to add"},
            "committed_at": {"type": "string", "format": "date-time"},
            "in_force_at": {
                "type": "string",
                "format": "date-time",
                "description": "from then on no check and no gateway accepts what it covers: whatever began until then",
            },
        },
    })
}
