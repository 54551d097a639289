//! `/authorize` (RFC 6749 section 3.1, OAuth 2.1, OIDC Core section 3.1.2.1): a client's browser arrives
//! and leaves for an identity provider, always: there is no log-in of our own to fall back on. Where
//! there are several and nothing says which, the person is asked first.
//!
//! The request is judged in [`portcullis_core::oauth::authorize`], or was when it was pushed (RFC 9126).
//! Where client and redirect URI are not known to belong together the browser is sent nowhere, and an
//! unknown client looks like a wrong redirect URI.

use super::set_out::{last_connection, set_out};
use super::{FLOW_TTL_SECS, flow, page, redirect, redirect_error, refuse, set_flow_cookie};
use crate::connections;
use crate::http::context::Ctx;
use crate::limits::{Limit, allow};
use crate::policy;
use crate::runtime::random;
use portcullis_core::client::Client;
use portcullis_core::connection::Connection;
use portcullis_core::connection::choose::{Choice, choose};
use portcullis_core::oauth::authorize::{
    AuthorizationRequest, ErrorCode, Parameters, Prompt, Refusal, Via,
};
use portcullis_core::oauth::flow::{Choosing, FlowId, Keep, Kind, Stage, TakePushed};
use portcullis_core::secret::Digest;
use portcullis_core::text::base64url;
use std::rc::Rc;
use worker::{Response, Result};

/// With parameters in the query.
pub async fn get(ctx: Ctx) -> Result<Response> {
    if !is_allowed(&ctx).await? {
        return too_many();
    }
    let parameters = Parameters::read(ctx.url.query_pairs());
    authorize(&ctx, &parameters).await
}

/// With parameters in a form (Core section 3.1.2.1).
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    if !is_allowed(&ctx).await? {
        return too_many();
    }
    match ctx.pairs().await? {
        Ok(pairs) => authorize(&ctx, &Parameters::read(pairs)).await,
        Err(_) => untrusted(),
    }
}

/// Whether there are not too many requests from that address.
pub(super) async fn is_allowed(ctx: &Ctx) -> Result<bool> {
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    Ok(allow(&ctx.env, Limit::Address(address.as_deref())).await)
}

pub(super) fn too_many() -> Result<Response> {
    let text = "There were too many requests from your network. Please try again in a minute.";
    let response = page(429, "Log-in is not possible now", text)?;
    response.headers().set("retry-after", "60")?;
    Ok(response)
}

fn unavailable() -> Result<Response> {
    let text = "The application cannot be looked up at the moment. Nothing was sent to it. \
                Please try again in a minute.";
    let response = page(503, "Log-in is not possible now", text)?;
    response.headers().set("retry-after", "60")?;
    Ok(response)
}

fn untrusted() -> Result<Response> {
    let text = "The application's request is not valid, has expired, or was used before. \
                Nothing was sent to it. Please start again from the application.";
    page(400, "Log-in is not possible", text)
}

async fn authorize(ctx: &Ctx, parameters: &Parameters) -> Result<Response> {
    let Some(client_id) = parameters.get("client_id") else {
        return untrusted();
    };
    let client = match policy::client(&ctx.env, &ctx.config, client_id).await {
        Ok(Some(client)) => client,
        Ok(None) => return untrusted(),
        Err(error) => {
            worker::console_error!("client: {error}");
            return unavailable();
        }
    };
    match requested(ctx, &client, parameters).await? {
        Ok(request) => leave(ctx, request).await,
        Err(Refusal::Untrusted) => untrusted(),
        Err(Refusal::Told {
            redirect_uri,
            state,
            error,
        }) => redirect_error(&ctx.config, &redirect_uri, state.as_deref(), error),
    }
}

/// The request that the parameters make, or that they name.
async fn requested(
    ctx: &Ctx,
    client: &Client,
    parameters: &Parameters,
) -> Result<std::result::Result<AuthorizationRequest, Refusal>> {
    let request_uri = parameters.get("request_uri");
    // Nothing but an id of ours wakes an object.
    let pushed = request_uri.and_then(|uri| FlowId::of_request_uri(&ctx.config.routing_key, uri));
    if let Some(id) = pushed {
        let client_id = client.client_id.clone();
        let taken = flow(&ctx.env, &id, TakePushed { client_id }).await;
        let taken = taken.map_err(|error| worker::Error::RustError(error.to_string()))?;
        // What the client may have changed since.
        let still_allowed = |request: &AuthorizationRequest| {
            client.allows_redirect_to(&request.client.redirect_uri)
        };
        if let Some(request) = taken.filter(still_allowed) {
            return Ok(Ok(request));
        }
    }
    Ok(parameters.judge(client, &ctx.config.resources, Via::Browser))
}

/// Sends the browser to an identity provider, or to the question which.
async fn leave(ctx: &Ctx, request: AuthorizationRequest) -> Result<Response> {
    let all = match connections::all(&ctx.env, &ctx.config).await {
        Ok(all) => all,
        Err(error) => {
            worker::console_error!("{error}");
            return refuse(ctx, &request, ErrorCode::TemporarilyUnavailable);
        }
    };
    let quiet = request.prompts(Prompt::None);
    let last = last_connection(ctx)?.filter(|_| quiet);
    let listed: Vec<&Connection> = all.iter().map(Rc::as_ref).collect();
    match choose(&listed, request.login_hint.as_deref(), last.as_deref()) {
        Choice::To(connection) => set_out(ctx, new_flow(ctx)?, connection, request, ctx.now).await,
        Choice::Ask if quiet => refuse(ctx, &request, ErrorCode::InteractionRequired),
        Choice::Ask => ask(ctx, request).await,
        Choice::Nowhere => refuse(ctx, &request, ErrorCode::TemporarilyUnavailable),
    }
}

/// Has the person choose.
async fn ask(ctx: &Ctx, request: AuthorizationRequest) -> Result<Response> {
    let id = new_flow(ctx)?;
    let browser = base64url(&random::<32>()?);
    let keep = Keep {
        stage: Stage::Choosing(Choosing {
            request: request.clone(),
            begun_at: ctx.now,
            browser: Digest::of(browser.as_bytes()),
        }),
        ttl_secs: FLOW_TTL_SECS,
    };
    if let Err(error) = flow(&ctx.env, &id, keep).await {
        worker::console_error!("{error}");
        return refuse(ctx, &request, ErrorCode::TemporarilyUnavailable);
    }
    let choose = format!("{}/choose", ctx.config.issuer);
    let response = redirect(&choose, &[("flow", Some(id.as_str()))])?;
    set_flow_cookie(&response, &id, &browser)?;
    Ok(response)
}

fn new_flow(ctx: &Ctx) -> Result<FlowId> {
    Ok(FlowId::new(
        &ctx.config.routing_key,
        Kind::LogIn,
        &random()?,
    ))
}
