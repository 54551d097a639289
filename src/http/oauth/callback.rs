//! `GET /callback`: the browser comes back from the identity provider, and a session begins.
//!
//! Before anything is believed: the flow is one of ours, not used yet, and this browser began it;
//! the answer is by our provider (RFC 9207); the ID token verifies. Then the subject decides.

use super::{flow, flow_cookie, page, redirect, redirect_error};
use crate::http::context::Ctx;
use crate::objects::call;
use crate::runtime::{new_id, random};
use crate::upstream::{self, UpstreamError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::{GrantId, SessionId, SubjectKey};
use portcullis_core::jwt::id_token::VerifiedIdToken;
use portcullis_core::oauth::opaque::AuthorizationCode;
use portcullis_core::oauth::{Flow, TakeFlow};
use portcullis_core::secret::Digest;
use portcullis_core::session::Profile;
use portcullis_core::session::login::{Login, LoginReply};
use portcullis_core::text::{from_base64url, truncated};
use worker::{Response, Result};

/// Tokens go into cookies, which hold 4 KB.
const MAX_GROUPS: usize = 20;
const MAX_GROUP_BYTES: usize = 64;
/// The longest name or address that is kept.
const MAX_CLAIM_BYTES: usize = 256;

/// Finishes a log-in and sends the browser back to the client.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let Some((id, flow)) = begun_flow(&ctx).await? else {
        let text = "This log-in has expired, was finished before, or was begun in another browser. \
                    Please start again.";
        return page(400, "Log-in is not possible", text);
    };
    let response = finish(&ctx, flow).await?;
    let cookie = format!(
        "{}=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
        flow_cookie(&id)
    );
    response.headers().set("set-cookie", &cookie)?;
    Ok(response)
}

/// The flow that `state` names, if this browser began it. It cannot be taken again.
async fn begun_flow(ctx: &Ctx) -> Result<Option<(String, Flow)>> {
    let Some(id) = ctx.query().ok().and_then(|mut query| query.remove("state")) else {
        return Ok(None);
    };
    // Nothing but an id of ours wakes an object.
    if from_base64url(&id).is_none_or(|bytes| bytes.len() != 16) {
        return Ok(None);
    }
    let Some(browser) = cookie(ctx, &flow_cookie(&id))? else {
        return Ok(None);
    };
    let take = TakeFlow {
        browser: Digest::of(browser.as_bytes()),
    };
    let taken = flow(&ctx.env, &id, take).await;
    let taken = taken.map_err(|error| worker::Error::RustError(error.to_string()))?;
    Ok(taken.map(|flow| (id, flow)))
}

fn cookie(ctx: &Ctx, name: &str) -> Result<Option<String>> {
    let header = ctx.request.headers().get("cookie")?.unwrap_or_default();
    Ok(header.split(';').find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_owned())
    }))
}

async fn finish(ctx: &Ctx, flow: Flow) -> Result<Response> {
    let state = flow.client_state.clone();
    let redirect_uri = flow.client.redirect_uri.clone();
    let back = |error| redirect_error(&ctx.config, &redirect_uri, state.as_deref(), error);
    let query = ctx.query().unwrap_or_default();
    let by_our_provider = query
        .get("iss")
        .is_none_or(|iss| iss.trim_end_matches('/') == ctx.config.connection.issuer);
    let Some(code) = query.get("code").filter(|_| by_our_provider) else {
        return back("access_denied");
    };
    let identified = upstream::identify(&ctx.config, code, &flow.code_verifier, &flow.nonce).await;
    let id_token = match identified {
        Ok(id_token) => id_token,
        Err(error) => {
            worker::console_error!("{error}");
            return match error {
                UpstreamError::Unavailable(_) => back("temporarily_unavailable"),
                UpstreamError::Token(error) => {
                    refused_token(ctx, error.as_str()).await?;
                    back("server_error")
                }
            };
        }
    };
    let Some(value) = identifying_value(&id_token, &ctx.config.connection.subject_claim) else {
        refused_token(ctx, "subject_claim").await?;
        return back("server_error");
    };
    let connection = &ctx.config.connection.id;
    let subject = SubjectKey::derive(&ctx.config.naming_key, connection, value);
    let code = AuthorizationCode::new(&ctx.config.routing_key, subject, &random()?);
    let login = login(ctx, flow, &id_token, &code)?;
    match call::subject(&ctx.env, subject, login).await {
        Ok(LoginReply::Begun) => redirect(
            &redirect_uri,
            &[
                ("code", Some(code.as_text())),
                ("state", state.as_deref()),
                ("iss", Some(&ctx.config.issuer)),
            ],
        ),
        Ok(LoginReply::SubjectDisabled | LoginReply::Superseded) => back("access_denied"),
        Err(error) => {
            worker::console_error!("{error}");
            back("temporarily_unavailable")
        }
    }
}

/// The value of the claim that identifies the person. An address counts only if the provider has
/// verified it: else whoever writes another's address into their profile would be them.
fn identifying_value<'t>(id_token: &'t VerifiedIdToken, claim: &str) -> Option<&'t str> {
    let verified = id_token.claims().get("email_verified") == Some(&true.into());
    id_token
        .claim(claim)
        .filter(|_| claim != "email" || verified)
}

fn login(
    ctx: &Ctx,
    flow: Flow,
    id_token: &VerifiedIdToken,
    code: &AuthorizationCode,
) -> Result<Login> {
    let groups = id_token
        .claims()
        .get("groups")
        .and_then(|groups| groups.as_array());
    Ok(Login {
        session: SessionId::from_bytes(new_id()?),
        grant: GrantId::from_bytes(new_id()?),
        connection: ctx.config.connection.id.clone(),
        flow_begun_at: flow.begun_at,
        auth_time_secs: id_token.auth_time.unwrap_or(id_token.issued_at).secs(),
        acr: id_token.acr.as_deref().map(|acr| truncated(acr, 128)),
        groups: groups
            .into_iter()
            .flatten()
            .filter_map(|group| group.as_str())
            // Left out whole: a name that was cut could be another group's.
            .filter(|group| group.len() <= MAX_GROUP_BYTES)
            .take(MAX_GROUPS)
            .map(str::to_owned)
            .collect(),
        profile: profile(id_token),
        announce_end: false,
        allowed: false,
        client: flow.client,
        code: code.digest,
        request: ctx.facts(),
    })
}

/// What the provider says of the person, within bounds.
fn profile(id_token: &VerifiedIdToken) -> Profile {
    let text = |name| {
        id_token
            .claim(name)
            .map(|value| truncated(value, MAX_CLAIM_BYTES))
    };
    Profile {
        name: text("name"),
        preferred_username: text("preferred_username"),
        email: text("email"),
        email_verified: id_token.claims().get("email_verified") == Some(&true.into()),
    }
}

async fn refused_token(ctx: &Ctx, reason: &str) -> Result<()> {
    let event = Event {
        reason: Some(format!("id_token_{reason}")),
        request: Some(ctx.facts()),
        ..Event::new(
            ctx.now,
            Action::CredentialRefused,
            Outcome::Denied,
            Actor::Connection(ctx.config.connection.id.clone()),
        )
    };
    crate::audit::record(&ctx.env, event).await
}
