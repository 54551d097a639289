//! OAuth 2.1 and OpenID Connect: log-in through the identity provider, codes and tokens.

pub mod authorize;
pub mod backchannel_logout;
pub mod callback;
pub mod choose;
pub mod client_auth;
pub mod connection_test;
pub mod consent;
mod described;
pub mod dpop;
pub mod introspect;
pub mod log_in;
pub mod logout;
pub mod metadata;
pub mod pages;
pub mod par;
pub mod register;
pub mod revoke;
pub mod saml;
mod set_out;
pub mod token;
pub mod userinfo;

use crate::config::Config;
use crate::http::context::Ctx;
use crate::objects::call::{CallError, Object};
use pages::page;
use portcullis_core::oauth::authorize::{AuthorizationRequest, ErrorCode};
use portcullis_core::oauth::flow::{FlowId, FlowRequest, Kind};
use portcullis_core::wire::Call;
use url::Url;
use worker::{Env, Response, Result};

/// How long a person may take at the identity provider, and again over their consent, in seconds.
const FLOW_TTL_SECS: u64 = 600;

/// The name of the cookie that binds a log-in to the browser that began it; one a log-in, so that
/// tabs do not disturb each other.
fn flow_cookie(flow: &FlowId) -> String {
    let id = flow.as_str();
    format!("__Host-portcullis-flow-{}", id.get(..8).unwrap_or(id))
}

/// Has the browser keep `value` under a flow's name.
fn set_flow_cookie(response: &Response, flow: &FlowId, value: &str) -> Result<()> {
    let name = flow_cookie(flow);
    let cookie =
        format!("{name}={value}; Path=/; Max-Age={FLOW_TTL_SECS}; HttpOnly; Secure; SameSite=Lax");
    response.headers().append("set-cookie", &cookie)
}

/// Has the browser forget a flow.
fn clear_flow_cookie(response: &Response, flow: &FlowId) -> Result<()> {
    let name = flow_cookie(flow);
    let cookie = format!("{name}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax");
    response.headers().append("set-cookie", &cookie)
}

/// The value that the browser keeps for a flow.
fn browser_of(ctx: &Ctx, flow: &FlowId) -> Result<Option<String>> {
    ctx.cookie(&flow_cookie(flow))
}

/// The flow that the request names, with the value that this browser keeps for it.
fn begun(ctx: &Ctx, id: Option<&String>) -> Result<Option<(FlowId, String)>> {
    let id = id.and_then(|id| FlowId::parse(&ctx.config.routing_key, Kind::LogIn, id));
    let Some(id) = id else {
        return Ok(None);
    };
    Ok(browser_of(ctx, &id)?.map(|browser| (id, browser)))
}

/// Whether the browser does not say that the form was on another's page.
fn is_from_our_page(ctx: &Ctx) -> Result<bool> {
    let headers = ctx.request.headers();
    let ours = Url::parse(&ctx.config.issuer)?
        .origin()
        .ascii_serialization();
    Ok(headers.get("origin")?.is_none_or(|origin| origin == ours)
        && headers
            .get("sec-fetch-site")?
            .is_none_or(|site| site == "same-origin"))
}

/// Calls the object of a flow.
async fn flow<C: Call<Request = FlowRequest>>(
    env: &Env,
    id: &FlowId,
    call: C,
) -> std::result::Result<C::Reply, CallError> {
    Object::named(env, "FLOW", id.as_str().to_owned())
        .send(&call.into_request())
        .await
}

/// Sends the browser to `uri` with `parameters` added to its query.
fn redirect(uri: &str, parameters: &[(&str, Option<&str>)]) -> Result<Response> {
    let mut url = Url::parse(uri)?;
    url.query_pairs_mut().extend_pairs(
        parameters
            .iter()
            .filter_map(|(name, value)| value.map(|value| (*name, value))),
    );
    let response = Response::empty()?.with_status(302);
    response.headers().set("location", url.as_str())?;
    response.headers().set("cache-control", "no-store")?;
    response.headers().set("referrer-policy", "no-referrer")?;
    Ok(response)
}

/// Sends the browser back to the client with an error (RFC 6749 section 4.1.2.1) and our name (RFC
/// 9207).
fn redirect_error(
    config: &Config,
    redirect_uri: &str,
    state: Option<&str>,
    error: ErrorCode,
) -> Result<Response> {
    redirect(
        redirect_uri,
        &[
            ("error", Some(error.as_str())),
            ("state", state),
            ("iss", Some(&config.issuer)),
        ],
    )
}

/// The same for a request that was found valid.
fn refuse(ctx: &Ctx, request: &AuthorizationRequest, error: ErrorCode) -> Result<Response> {
    let state = request.state.as_deref();
    redirect_error(&ctx.config, &request.client.redirect_uri, state, error)
}
