//! `GET /authorize` (RFC 6749 section 3.1, OAuth 2.1): a client's browser arrives and leaves for
//! the identity provider.
//!
//! Code with PKCE S256 only. Until client and redirect URI are known to belong together the browser
//! is sent nowhere. Out of scope so far: consent, `prompt`, `max_age`, `resource`, PAR.

use super::{flow, flow_cookie, page, redirect, redirect_error};
use crate::error::Problem;
use crate::http::context::Ctx;
use crate::objects::flow::FLOW_TTL_SECS;
use crate::policy;
use crate::runtime::random;
use crate::upstream;
use portcullis_core::client::Client;
use portcullis_core::oauth::{BeginFlow, Flow, is_s256_challenge, s256_challenge};
use portcullis_core::secret::Digest;
use portcullis_core::session::login::ClientRequest;
use portcullis_core::text::base64url;
use std::collections::BTreeMap;
use worker::{Response, Result};

/// The longest `state`, `nonce` and `scope` that are carried for a client.
const MAX_PARAMETER_BYTES: usize = 1024;

/// Sends the browser to the identity provider.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let untrusted = "The application's request is not valid. Nothing was sent to it.";
    let (query, repeated) = ctx.query_and_repeated();
    if ["client_id", "redirect_uri"]
        .iter()
        .any(|name| repeated.contains(*name))
    {
        return page(400, "Log-in is not possible", untrusted);
    }
    let get = |name: &str| query.get(name).map(String::as_str);
    let client = match get("client_id") {
        Some(id) => policy::client(&ctx.env, &ctx.config, id).await?,
        None => None,
    };
    let (Some(client), Some(redirect_uri)) = (client, get("redirect_uri")) else {
        return page(400, "Log-in is not possible", untrusted);
    };
    if !client.allows_redirect_to(redirect_uri) {
        return page(400, "Log-in is not possible", untrusted);
    }
    let client_state = get("state");
    if !repeated.is_empty() {
        // Not with a state that came twice: neither is known to be the client's.
        let state = client_state.filter(|_| !repeated.contains("state"));
        return redirect_error(&ctx.config, redirect_uri, state, "invalid_request");
    }
    match client_request(&client, &ctx.config.resources, redirect_uri, &query) {
        Ok(request) => leave(&ctx, request, client_state).await,
        Err(error) => redirect_error(&ctx.config, redirect_uri, client_state, error),
    }
}

fn client_request(
    client: &Client,
    resources: &[String],
    redirect_uri: &str,
    query: &BTreeMap<String, String>,
) -> std::result::Result<ClientRequest, &'static str> {
    let get = |name: &str| query.get(name).map(String::as_str);
    match get("response_type") {
        Some("code") => {}
        None | Some("") => return Err("invalid_request"),
        Some(_) => return Err("unsupported_response_type"),
    }
    let carried = ["state", "nonce", "scope"];
    if carried
        .iter()
        .any(|name| get(name).is_some_and(|v| v.len() > MAX_PARAMETER_BYTES))
    {
        return Err("invalid_request");
    }
    let code_challenge = get("code_challenge").filter(|challenge| is_s256_challenge(challenge));
    let (Some(code_challenge), Some("S256")) = (code_challenge, get("code_challenge_method"))
    else {
        return Err("invalid_request");
    };
    let scope = get("scope").unwrap_or_default();
    // What is not known is left out, and the token response says so (RFC 6749 section 3.3).
    let granted: Vec<&str> = scope
        .split(' ')
        .filter(|scope| ["openid", "profile", "email", "offline_access"].contains(scope))
        .collect();
    // RFC 8707 section 2: without any resource there is nothing that a token could be for.
    let audience = client
        .resources(resources)
        .first()
        .ok_or("invalid_target")?;
    Ok(ClientRequest {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        code_challenge: code_challenge.to_owned(),
        nonce: get("nonce").map(str::to_owned),
        scope: granted.join(" "),
        audiences: vec![audience.clone()],
        dpop_jkt: None,
    })
}

async fn leave(ctx: &Ctx, client: ClientRequest, client_state: Option<&str>) -> Result<Response> {
    let redirect_uri = client.redirect_uri.clone();
    let metadata = match upstream::metadata(&ctx.config).await {
        Ok(metadata) => metadata,
        Err(error) => {
            worker::console_error!("{error}");
            let error = "temporarily_unavailable";
            return redirect_error(&ctx.config, &redirect_uri, client_state, error);
        }
    };
    let id = base64url(&random::<16>()?);
    let browser = base64url(&random::<32>()?);
    let code_verifier = base64url(&random::<32>()?);
    let nonce = base64url(&random::<16>()?);
    let Some(challenge) = s256_challenge(&code_verifier) else {
        return Problem::unavailable().response();
    };
    let begin = BeginFlow {
        flow: Flow {
            client,
            client_state: client_state.map(str::to_owned),
            begun_at: ctx.now,
            browser: Digest::of(browser.as_bytes()),
            nonce: nonce.clone(),
            code_verifier,
        },
    };
    if let Err(error) = flow(&ctx.env, &id, begin).await {
        worker::console_error!("{error}");
        let error = "temporarily_unavailable";
        return redirect_error(&ctx.config, &redirect_uri, client_state, error);
    }
    let callback = format!("{}/callback", ctx.config.issuer);
    let response = redirect(
        &metadata.authorization_endpoint,
        &[
            ("response_type", Some("code")),
            ("client_id", Some(&ctx.config.connection.client_id)),
            ("redirect_uri", Some(&callback)),
            ("scope", Some("openid profile email")),
            ("state", Some(&id)),
            ("nonce", Some(&nonce)),
            ("code_challenge", Some(&challenge)),
            ("code_challenge_method", Some("S256")),
        ],
    )?;
    let cookie = format!(
        "{}={browser}; Path=/; Max-Age={FLOW_TTL_SECS}; HttpOnly; Secure; SameSite=Lax",
        flow_cookie(&id)
    );
    response.headers().set("set-cookie", &cookie)?;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::client::Origin;
    use portcullis_core::time::UnixMillis;

    fn request(changes: &[(&str, &str)]) -> std::result::Result<ClientRequest, &'static str> {
        let metadata = serde_json::json!({"redirect_uris": ["http://127.0.0.1/cb"]});
        let metadata = metadata.as_object().expect("an object").clone();
        let client = Origin::Operator
            .client("app", metadata, UnixMillis(0), false)
            .expect("valid");
        let mut query: BTreeMap<String, String> = [
            ("response_type", "code"),
            (
                "code_challenge",
                "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
            ),
            ("code_challenge_method", "S256"),
            ("scope", "openid admin profile"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        for (name, value) in changes {
            query.insert((*name).to_owned(), (*value).to_owned());
        }
        client_request(&client, &["api".to_owned()], "http://127.0.0.1/cb", &query)
    }

    #[test]
    fn pkce_cannot_be_left_out_or_weakened() {
        for changes in [
            [("code_challenge_method", "plain")],
            [("code_challenge_method", "")],
            [("code_challenge", "")],
            [("code_challenge", "short")],
        ] {
            assert_eq!(request(&changes).err(), Some("invalid_request"));
        }
    }

    #[test]
    fn only_code_is_a_response_type_and_unknown_scopes_are_not_granted() {
        let implicit = request(&[("response_type", "token")]);
        assert_eq!(implicit.err(), Some("unsupported_response_type"));
        let none = request(&[("response_type", "")]);
        assert_eq!(none.err(), Some("invalid_request"));
        assert_eq!(request(&[]).expect("valid").scope, "openid profile");
    }
}
