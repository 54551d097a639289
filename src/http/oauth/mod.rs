//! OAuth 2.1 and OpenID Connect: log-in through the identity provider, codes and tokens.

pub mod authorize;
pub mod callback;
pub mod client_auth;
mod described;
pub mod dpop;
pub mod introspect;
pub mod logout;
pub mod metadata;
pub mod revoke;
pub mod token;
pub mod userinfo;

use crate::config::Config;
use crate::objects::call::{CallError, Object};
use portcullis_core::oauth::FlowRequest;
use portcullis_core::wire::Call;
use url::Url;
use worker::{Env, Response, Result};

/// The cookie that binds a log-in to the browser that began it; one a log-in, so that tabs do not
/// disturb each other.
fn flow_cookie(flow: &str) -> String {
    format!("__Host-portcullis-flow-{}", flow.get(..8).unwrap_or(flow))
}

/// Calls the object of a flow.
async fn flow<C: Call<Request = FlowRequest>>(
    env: &Env,
    id: &str,
    call: C,
) -> std::result::Result<C::Reply, CallError> {
    Object::named(env, "FLOW", id.to_owned())
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
    error: &str,
) -> Result<Response> {
    redirect(
        redirect_uri,
        &[
            ("error", Some(error)),
            ("state", state),
            ("iss", Some(&config.issuer)),
        ],
    )
}

/// A page for a person, when there is nowhere safe to send them.
fn page(status: u16, title: &str, text: &str) -> Result<Response> {
    // Both are our own words: nothing of the request is ever shown.
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <main><h1>{title}</h1><p>{text}</p></main></html>"
    );
    let response = Response::from_html(html)?.with_status(status);
    let headers = response.headers();
    headers.set("cache-control", "no-store")?;
    headers.set(
        "content-security-policy",
        "default-src 'none'; frame-ancestors 'none'",
    )?;
    headers.set("x-content-type-options", "nosniff")?;
    headers.set("referrer-policy", "no-referrer")?;
    Ok(response)
}
