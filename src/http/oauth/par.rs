//! `POST /par` (RFC 9126): a client leaves its authorization request here and gets a name for it.
//!
//! The client authenticates as at the token endpoint, and the request is judged as `/authorize` would,
//! once. Its name is good for a minute, for one use, for that client. A `DPoP` proof binds the code to
//! its key (RFC 9449 section 10.1); that it came before would gain nobody anything, so it is not
//! remembered. Errors are those of the token endpoint and of the authorization endpoint, as JSON.

use super::client_auth::{Unproven, authenticate};
use super::{dpop, flow};
use crate::error::json;
use crate::http::context::{Ctx, Form};
use crate::limits::{Limit, allow, refusal};
use crate::runtime::random;
use portcullis_core::oauth::authorize::{
    AuthorizationRequest, ErrorCode, Parameters, Refusal, Via,
};
use portcullis_core::oauth::flow::{FlowId, Keep, Kind, Stage};
use serde_json::json;
use worker::{Response, Result};

/// How long the browser may take to come, in seconds.
const PUSHED_TTL_SECS: u64 = 60;

/// Why a request is not kept.
enum Rejection {
    Unproven(Unproven),
    InvalidDpopProof,
    Refused(ErrorCode),
}

impl Rejection {
    fn response(&self) -> Result<Response> {
        let error = match self {
            Self::Unproven(unproven) => return unproven.response(),
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::Refused(error) => error.as_str(),
        };
        json(400, &json!({"error": error}))
    }
}

/// 201 with a `request_uri`, or an error.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let response = answer(&mut ctx).await?;
    // Apps in browsers call this; no cookie means anything here.
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

async fn answer(ctx: &mut Ctx) -> Result<Response> {
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    if !allow(&ctx.env, Limit::Address(address.as_deref())).await {
        return refusal();
    }
    match ctx.token_form().await? {
        Ok(form) => match judged(ctx, &form).await? {
            Ok(request) => pushed(ctx, request).await,
            Err(rejection) => rejection.response(),
        },
        Err(problem) if problem.status() == 413 => problem.response(),
        Err(_) => Rejection::Refused(ErrorCode::InvalidRequest).response(),
    }
}

async fn judged(
    ctx: &Ctx,
    form: &Form,
) -> Result<std::result::Result<AuthorizationRequest, Rejection>> {
    let client = match authenticate(ctx, &form.fields).await? {
        Ok(client) => client,
        Err(unproven) => return Ok(Err(Rejection::Unproven(unproven))),
    };
    let invalid = |error| Ok(Err(Rejection::Refused(error)));
    // Section 2.1: a request cannot be pushed by the name of another.
    if form.get("request_uri").is_some() {
        return invalid(ErrorCode::InvalidRequest);
    }
    let Ok(proof) = dpop::proof(ctx)? else {
        return Ok(Err(Rejection::InvalidDpopProof));
    };
    let fields = form.fields.iter().filter(|(name, _)| *name != "client_id");
    let fields = fields.map(|(name, value)| (name.as_str(), value.as_str()));
    let resources = form.resources.iter().map(|uri| ("resource", uri.as_str()));
    // It has just said who it is, in one way or another.
    let client_id = [("client_id", client.client_id.as_str())];
    let parameters = Parameters::read(fields.chain(resources).chain(client_id));
    let mut request = match parameters.judge(&client, &ctx.config.resources, Via::Push) {
        Ok(request) => request,
        Err(Refusal::Untrusted) => return invalid(ErrorCode::InvalidRequest),
        Err(Refusal::Told { error, .. }) => return invalid(error),
    };
    if let Some(proof) = proof {
        let named = request.client.dpop_jkt.replace(proof.jkt.clone());
        if named.is_some_and(|jkt| jkt != proof.jkt) {
            return Ok(Err(Rejection::InvalidDpopProof));
        }
    }
    Ok(Ok(request))
}

async fn pushed(ctx: &Ctx, request: AuthorizationRequest) -> Result<Response> {
    let id = FlowId::new(&ctx.config.routing_key, Kind::Pushed, &random()?);
    let keep = Keep {
        stage: Stage::Pushed(request),
        ttl_secs: PUSHED_TTL_SECS,
    };
    if let Err(error) = flow(&ctx.env, &id, keep).await {
        worker::console_error!("{error}");
        return Unproven::Unavailable.response();
    }
    let answer = json!({"request_uri": id.to_request_uri(), "expires_in": PUSHED_TTL_SECS});
    json(201, &answer)
}
