//! `POST /token` (RFC 6749 section 3.2): a grant for an access token, and what comes with it.
//!
//! Errors are those of RFC 6749 section 5.2 and its extensions, and say no more: an unknown code, a used
//! one and a wrong verifier are all `invalid_grant`. What was wrong is in the log.

mod code;
mod mint;
mod refresh;

use crate::error::json;
use crate::http::context::Ctx;
use crate::objects::call::CallError;
use mint::Tokens;
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::id::TokenId;
use portcullis_core::session::grant::{Refusal, TokenRequest};
use serde_json::json;
use std::collections::BTreeMap;
use worker::{Response, Result};

/// Why no token is given; the text is the RFC's error code.
enum Rejection {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnsupportedGrantType,
    InvalidScope,
    InvalidTarget,
    InvalidDpopProof,
    Unavailable,
}

impl Rejection {
    fn response(&self) -> Result<Response> {
        let (status, error) = match self {
            Self::InvalidRequest => (400, "invalid_request"),
            Self::InvalidClient => (401, "invalid_client"),
            Self::InvalidGrant => (400, "invalid_grant"),
            Self::UnsupportedGrantType => (400, "unsupported_grant_type"),
            Self::InvalidScope => (400, "invalid_scope"),
            Self::InvalidTarget => (400, "invalid_target"),
            Self::InvalidDpopProof => (400, "invalid_dpop_proof"),
            Self::Unavailable => (503, "temporarily_unavailable"),
        };
        json(status, &json!({"error": error}))
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CodeUnknown
            | Refusal::CodeReused
            | Refusal::CodeExpired
            | Refusal::CodeMismatch
            | Refusal::SessionNotLive
            | Refusal::RefreshUnknown
            | Refusal::RefreshMismatch
            | Refusal::RefreshReused
            | Refusal::ProofMismatch => Self::InvalidGrant,
            Refusal::ScopeExceeded => Self::InvalidScope,
            Refusal::TargetExceeded => Self::InvalidTarget,
            Refusal::ProofReplayed => Self::InvalidDpopProof,
            Refusal::AssertionReplayed => Self::InvalidClient,
        }
    }
}

impl From<CallError> for Rejection {
    fn from(error: CallError) -> Self {
        worker::console_error!("token: {error}");
        Self::Unavailable
    }
}

/// Tokens, or why not; the outer error is a failure of ours that is logged.
type Granted = Result<std::result::Result<Tokens, Rejection>>;

/// A request for a token: the HTTP request and its form.
struct Asked<'a> {
    ctx: &'a Ctx,
    form: &'a BTreeMap<String, String>,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name).map(String::as_str)
    }

    /// What every grant asks of the subject.
    fn ask(&self, client_id: &str, token: TokenId) -> TokenRequest {
        TokenRequest {
            client_id: client_id.to_owned(),
            scope: self.get("scope").map(str::to_owned),
            resources: self
                .get("resource")
                .map(str::to_owned)
                .into_iter()
                .collect(),
            proof: None,
            token,
            request: self.ctx.facts(),
        }
    }
}

/// 200 with tokens, or an error of the RFC.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let response = match ctx.form().await? {
        Ok(form) => {
            let asked = Asked {
                ctx: &ctx,
                form: &form,
            };
            match grant(&asked).await? {
                Ok(tokens) => json(200, &tokens)?,
                Err(rejection) => rejection.response()?,
            }
        }
        Err(problem) if problem.status() == 413 => problem.response()?,
        Err(_) => Rejection::InvalidRequest.response()?,
    };
    // Apps in browsers call this; no cookie means anything here.
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

async fn grant(asked: &Asked<'_>) -> Granted {
    match asked.get("grant_type") {
        Some("authorization_code") => code::redeem(asked).await,
        Some("refresh_token") => refresh::rotate(asked).await,
        Some(_) => Ok(Err(Rejection::UnsupportedGrantType)),
        None => Ok(Err(Rejection::InvalidRequest)),
    }
}

/// A credential that we never made. Nobody's object was woken, so the Worker logs it.
fn forged(ctx: &Ctx, reason: &str) -> Rejection {
    let event = Event {
        reason: Some(reason.to_owned()),
        request: Some(ctx.facts_with_status(400)),
        ..Event::new(
            ctx.now,
            Action::CredentialRefused,
            Outcome::Denied,
            ctx.actor(),
        )
    };
    crate::audit::record_off_the_path(&ctx.env, &ctx.context, event);
    Rejection::InvalidGrant
}
