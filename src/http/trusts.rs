//! `/v1/trusts`: whose workload identities may act as which service, by an operator.
//!
//! Every change is answered when it is in force everywhere. What a trust gave
//! is over when it is changed or deleted.

use super::context::Ctx;
use super::wide::changed_by;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use crate::policy;
use crate::runtime::random;
use portcullis_core::client::GrantType;
use portcullis_core::policy::call::{DeleteTrust, PutTrust, TrustKept};
use portcullis_core::policy::trust::Trust;
use portcullis_core::text::base64url;
use serde_json::{Value, json};
use worker::{Response, Result};

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("trusts: {error}");
    Problem::unavailable().response()
}

fn unknown() -> Result<Response> {
    Problem::new(404, "there is no such trust").response()
}

/// Declares a trust.
pub async fn create(ctx: Ctx) -> Result<Response> {
    let id = format!("trt_{}", base64url(&random::<16>()?));
    keep(ctx, id, true).await
}

/// Replaces a trust.
pub async fn put(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    keep(ctx, id, false).await
}

async fn keep(mut ctx: Ctx, id: String, new: bool) -> Result<Response> {
    let mut trust: Trust = match ctx.json().await? {
        Ok(trust) => trust,
        Err(problem) => return problem.response(),
    };
    if !trust.id.is_empty() && trust.id != id {
        return Problem::bad_request("id is another, or chosen").response();
    }
    trust.id.clone_from(&id);
    if let Err(why) = trust.valid(ctx.config.dev) {
        return Problem::bad_request(why).response();
    }
    if let Some(problem) = unfit(&ctx, &trust).await? {
        return problem.response();
    }
    let put = PutTrust {
        id,
        trust: serde_json::to_string(&trust)?,
        new,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, put).await {
        Ok(TrustKept::Kept) => {
            policy::in_force_everywhere().await;
            json(if new { 201 } else { 200 }, &trust)
        }
        Ok(TrustKept::Mismatch) => unknown(),
        Ok(TrustKept::Full) => Problem::new(409, "there are too many trusts").response(),
        Err(error) => failed(&error),
    }
}

/// Why the trust's client cannot be what it is for.
async fn unfit(ctx: &Ctx, trust: &Trust) -> Result<Option<Problem>> {
    let Some(client) = policy::client(&ctx.env, &ctx.config, &trust.client_id).await? else {
        return Ok(Some(Problem::bad_request("client_id is no client")));
    };
    let grants = [GrantType::TokenExchange, GrantType::JwtBearer];
    if !grants.iter().any(|grant| client.allows_grant(*grant)) {
        let why = "the client allows neither token exchange nor JWT bearer";
        return Ok(Some(Problem::bad_request(why)));
    }
    if !trust.scopes().all(|scope| client.allows_scope(scope)) {
        let why = "scope goes beyond the client's";
        return Ok(Some(Problem::bad_request(why)));
    }
    Ok(None)
}

/// Every trust.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let trusts = policy::trusts(&ctx.env).await?;
    json(200, &json!({ "trusts": *trusts }))
}

/// One trust.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    let trusts = policy::trusts(&ctx.env).await?;
    match trusts.iter().find(|trust| trust.id == id) {
        Some(trust) => json(200, trust),
        None => unknown(),
    }
}

/// Forgets a trust.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let delete = DeleteTrust {
        id: ctx.decoded_param(0),
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, delete).await {
        Ok(true) => {
            policy::in_force_everywhere().await;
            Ok(Response::empty()?.with_status(204))
        }
        Ok(false) => unknown(),
        Err(error) => failed(&error),
    }
}

/// A trust, for the API description.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["issuer", "audience", "claims", "client_id", "scope"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "description": "trt_..., given by the service"},
            "issuer": {"type": "string", "description": "the tokens' iss, exactly"},
            "jwks_uri": {"type": "string", "description": "for an issuer without discovery"},
            "audience": {"type": "string", "description": "the tokens' aud"},
            "claims": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": {"type": ["string", "integer", "boolean"]},
                "description": "what the tokens must claim, exactly",
            },
            "client_id": {"type": "string", "description": "as whom they act"},
            "scope": {"type": "string", "description": "the most that they get"},
        },
    })
}

/// All trusts, for the API description.
pub fn list_schema() -> Value {
    json!({
        "type": "object",
        "required": ["trusts"],
        "properties": {
            "trusts": {"type": "array", "items": {"$ref": "#/components/schemas/Trust"}},
        },
    })
}
