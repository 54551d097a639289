//! `POST /token` (RFC 6749 section 3.2): a code for an access token and, for `openid`, an ID token.
//!
//! Errors are those of RFC 6749 section 5.2 and say no more: an unknown code, a used one and a
//! wrong verifier are all `invalid_grant`. Out of scope so far: refresh, other grants, client
//! authentication.

use crate::error::json;
use crate::http::context::Ctx;
use crate::keys;
use crate::objects::call;
use crate::runtime::new_id;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::id::{SubjectKey, TokenId};
use portcullis_core::jwt::access_token::AccessTokenClaims;
use portcullis_core::jwt::id_token::{IdTokenClaims, at_hash};
use portcullis_core::oauth::{AuthorizationCode, s256_challenge};
use portcullis_core::session::redeem::{Redeem, TokenFacts};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use worker::{Error, Response, Result};

/// How long an ID token is good for, in seconds.
const ID_TOKEN_TTL_SECS: u64 = 300;

#[derive(Serialize)]
struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// Why no token is given; the text is the RFC's error code.
enum Rejection {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    Unavailable,
}

impl Rejection {
    fn response(&self) -> Result<Response> {
        let (status, error) = match self {
            Self::InvalidRequest => (400, "invalid_request"),
            Self::InvalidClient => (401, "invalid_client"),
            Self::InvalidGrant => (400, "invalid_grant"),
            Self::UnsupportedGrantType => (400, "unsupported_grant_type"),
            Self::Unavailable => (503, "temporarily_unavailable"),
        };
        json(status, &json!({"error": error}))
    }
}

/// 200 with tokens, or an error of the RFC.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let response = match ctx.form().await? {
        Ok(form) => match exchange(&ctx, &form).await? {
            Ok(tokens) => json(200, &tokens)?,
            Err(rejection) => rejection.response()?,
        },
        Err(problem) if problem.status() == 413 => problem.response()?,
        Err(_) => Rejection::InvalidRequest.response()?,
    };
    // Apps in browsers call this; no cookie means anything here.
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

async fn exchange(
    ctx: &Ctx,
    form: &BTreeMap<String, String>,
) -> Result<std::result::Result<Tokens, Rejection>> {
    let get = |name: &str| form.get(name).map(String::as_str);
    match get("grant_type") {
        Some("authorization_code") => {}
        Some(_) => return Ok(Err(Rejection::UnsupportedGrantType)),
        None => return Ok(Err(Rejection::InvalidRequest)),
    }
    let (Some(client_id), Some(code), Some(redirect_uri), Some(verifier)) = (
        get("client_id"),
        get("code"),
        get("redirect_uri"),
        get("code_verifier"),
    ) else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let Some(client) = ctx.config.client(client_id) else {
        return Ok(Err(Rejection::InvalidClient));
    };
    let Some(code_challenge) = s256_challenge(verifier) else {
        return Ok(Err(Rejection::InvalidGrant));
    };
    let Some(code) = AuthorizationCode::parse(&ctx.config.routing_key, code) else {
        refused_code(ctx);
        return Ok(Err(Rejection::InvalidGrant));
    };
    let token = TokenId::from_bytes(new_id()?);
    let redeem = Redeem {
        code: code.digest,
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        code_challenge,
        token,
        request: ctx.facts(),
    };
    // The keys first: a code that was redeemed and could not be answered for is lost.
    let keys = keys::ours(&ctx.env, &ctx.config).await?;
    match call::subject(&ctx.env, code.subject, redeem).await {
        Ok(Ok(facts)) => mint(ctx, &keys, code.subject, token, facts).map(Ok),
        Ok(Err(_)) => Ok(Err(Rejection::InvalidGrant)),
        Err(error) => {
            worker::console_error!("token: {error}");
            Ok(Err(Rejection::Unavailable))
        }
    }
}

fn mint(
    ctx: &Ctx,
    keys: &keys::OurKeys,
    subject: SubjectKey,
    token: TokenId,
    facts: TokenFacts,
) -> Result<Tokens> {
    let failed = |error: &dyn std::fmt::Display| Error::RustError(error.to_string());
    let session = facts.session;
    let issued_at = facts.issued_at.secs();
    let expires_at = facts.expires_at.secs();
    let claims = AccessTokenClaims {
        iss: ctx.config.issuer.clone(),
        sub: subject,
        aud: vec![facts.audience],
        client_id: session.client_id.clone(),
        exp: expires_at,
        iat: issued_at,
        jti: token,
        sid: session.id,
        gid: session.grant,
        generation: facts.generation,
        auth_time: Some(session.auth_time_secs),
        acr: session.acr.clone(),
        scope: Some(facts.scope.clone()),
        roles: Vec::new(),
        groups: session.groups,
        cnf: None,
    };
    let access_token = keys
        .signing
        .sign(&claims, "at+jwt")
        .map_err(|error| failed(&error))?;
    let id_token = if facts.scope.split(' ').any(|scope| scope == "openid") {
        let claims = IdTokenClaims {
            iss: ctx.config.issuer.clone(),
            sub: subject,
            aud: session.client_id,
            exp: issued_at + ID_TOKEN_TTL_SECS,
            iat: issued_at,
            auth_time: Some(session.auth_time_secs),
            nonce: facts.nonce,
            sid: session.id,
            acr: session.acr,
            at_hash: Some(at_hash(&access_token)),
        };
        let signed = keys.signing.sign(&claims, "JWT");
        Some(signed.map_err(|error| failed(&error))?)
    } else {
        None
    };
    Ok(Tokens {
        access_token,
        token_type: "Bearer",
        expires_in: expires_at.saturating_sub(issued_at),
        scope: facts.scope,
        id_token,
    })
}

/// A code that we never made. Nobody's object was woken, so the Worker logs it.
fn refused_code(ctx: &Ctx) {
    let event = Event {
        reason: Some("code_forged".to_owned()),
        request: Some(ctx.facts_with_status(400)),
        ..Event::new(
            ctx.now,
            Action::CredentialRefused,
            Outcome::Denied,
            ctx.actor(),
        )
    };
    crate::audit::record_off_the_path(&ctx.env, &ctx.context, event);
}
