//! Wide revocations over `/v1`: everything of a client or a connection, for everyone at once.
//!
//! The answer waits until the revocation is in force everywhere, so it means what the answer to any
//! other kill means. It is harmless to repeat: what began in between is ended too.

use super::context::Ctx;
use super::receipts::{Reach, reach};
use crate::error::{Problem, json};
use crate::objects::call;
use crate::policy;
use portcullis_core::feed::receipt::ReceiptId;
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
    receipt: Option<String>,
    #[serde(flatten)]
    reach: Option<Reach>,
}

impl From<&RevokedWide> for Revocation {
    fn from(revoked: &RevokedWide) -> Self {
        Self {
            scope: revoked.revocation.scope.kind(),
            id: revoked.revocation.scope.id().to_owned(),
            changed: revoked.changed,
            committed_at: revoked.at.to_rfc3339(),
            in_force_at: revoked.revocation.not_before.to_rfc3339(),
            receipt: revoked
                .receipt
                .map(|serial| ReceiptId::of(None, serial).to_string()),
            reach: None,
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
        Ok(revoked) => in_force(ctx, &revoked).await,
        Err(error) => {
            worker::console_error!("revocation: {error}");
            Problem::unavailable().response()
        }
    }
}

/// Answers with a revocation once strict checks know it everywhere: 200 if the feeds have it, too, else
/// 202.
pub async fn in_force(ctx: &Ctx, revoked: &RevokedWide) -> Result<Response> {
    policy::in_force_everywhere().await;
    let strict_at = revoked.revocation.not_before;
    let reach = reach(ctx, None, revoked.receipt, strict_at).await;
    let revocation = Revocation::from(revoked);
    json(
        reach.status(),
        &Revocation {
            reach: Some(reach),
            ..revocation
        },
    )
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
                "description": "from then on no strict check accepts what it covers: whatever began until then",
            },
            "receipt": {"type": ["string", "null"], "description": "rev_...: what to ask for what became of it"},
            "feed": super::receipts::feed_schema(),
            "in_force": super::receipts::in_force_schema(),
        },
    })
}
