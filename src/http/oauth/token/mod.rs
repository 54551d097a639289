//! `POST /token` (RFC 6749 section 3.2): a grant for an access token, and what comes with it.
//!
//! Errors are those of RFC 6749 section 5.2 and its extensions, and say no more: an unknown code, a used
//! one and a wrong verifier are all `invalid_grant`. What was wrong is in the log.

mod code;
mod exchange;
mod mint;
mod refresh;
mod service;
mod workload;

use super::client_auth::{Unproven, authenticate};
use super::dpop;
use crate::error::json;
use crate::http::context::{Ctx, Form};
use crate::limits::{self, Limit};
use crate::objects::call::CallError;
use mint::Tokens;
use portcullis_core::client::{Client, GrantType};
use portcullis_core::id::{SubjectKey, TokenId};
use portcullis_core::session::grant::{Proof, Refusal, TokenFacts, TokenRequest};
use serde_json::json;
use std::rc::Rc;
use worker::{Response, Result};

/// Why no token is given; the text is the RFC's error code.
enum Rejection {
    InvalidRequest,
    Unproven(Unproven),
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
    InvalidTarget,
    InvalidDpopProof,
    TooMany,
    Unavailable,
}

impl Rejection {
    fn response(&self) -> Result<Response> {
        let (status, error) = match self {
            Self::Unproven(unproven) => return unproven.response(),
            Self::InvalidRequest => (400, "invalid_request"),
            Self::InvalidGrant => (400, "invalid_grant"),
            Self::UnauthorizedClient => (400, "unauthorized_client"),
            Self::UnsupportedGrantType => (400, "unsupported_grant_type"),
            Self::InvalidScope => (400, "invalid_scope"),
            Self::InvalidTarget => (400, "invalid_target"),
            Self::InvalidDpopProof => (400, "invalid_dpop_proof"),
            Self::TooMany => return limits::refusal(),
            Self::Unavailable => return Unproven::Unavailable.response(),
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
            Refusal::AssertionReplayed => {
                Self::Unproven(Unproven::InvalidClient { by_header: false })
            }
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

/// A request for a token, by whom, and the key that the token is to be bound to.
struct Asked<'a> {
    ctx: &'a Ctx,
    form: &'a Form,
    client: Rc<Client>,
    proof: Option<Proof>,
}

impl Asked<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.form.get(name)
    }

    /// What every grant asks of the subject.
    fn ask(&self, token: TokenId) -> TokenRequest {
        TokenRequest {
            client_id: self.client.client_id.clone(),
            scope: self.get("scope").map(str::to_owned),
            resources: self.form.resources.clone(),
            proof: self.proof.clone(),
            binds_refresh: self.client.is_public(),
            token,
            request: self.ctx.facts(),
        }
    }

    /// The same, for a grant that does not say which audience is meant: the client's first.
    fn ask_with_default_resource(&self, token: TokenId) -> TokenRequest {
        let mut ask = self.ask(token);
        if ask.resources.is_empty() {
            ask.resources = self.audiences().first().cloned().into_iter().collect();
        }
        ask
    }

    /// `facts` within what the client may have by now: less than when it was granted, if an operator
    /// took something away since.
    fn narrowed(&self, facts: TokenFacts) -> std::result::Result<TokenFacts, Rejection> {
        let scope: Vec<&str> = facts
            .scope
            .split(' ')
            .filter(|scope| self.client.allows_scope(scope))
            .collect();
        let scope = scope.join(" ");
        let mut audiences = facts.audiences.clone();
        audiences.retain(|audience| self.audiences().contains(audience));
        if audiences.is_empty() {
            return Err(Rejection::InvalidTarget);
        }
        Ok(TokenFacts {
            scope,
            audiences,
            ..facts
        })
    }

    /// The audiences that the client may have tokens for.
    fn audiences(&self) -> &[String] {
        self.client.resources(&self.ctx.config.resources)
    }
}

/// 200 with tokens, or an error of the RFC.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let response = match ctx.token_form().await? {
        Ok(form) => match grant(&ctx, &form).await? {
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

async fn grant(ctx: &Ctx, form: &Form) -> Granted {
    let Some(asked) = form.get("grant_type") else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let Some(grant) = GrantType::parse(asked) else {
        return Ok(Err(Rejection::UnsupportedGrantType));
    };
    // Whoever has a token of their workload's needs no credential of ours.
    let identified = if workload::is_presented(grant, form) {
        workload::identify(ctx, form).await?
    } else {
        authenticate(ctx, &form.fields)
            .await?
            .map(|client| (client, None))
            .map_err(Rejection::Unproven)
    };
    let (client, trust) = match identified {
        Ok(identified) => identified,
        Err(rejection) => return Ok(Err(rejection)),
    };
    if !client.allows_grant(grant) {
        return Ok(Err(Rejection::UnauthorizedClient));
    }
    // Never downgraded to bearer (RFC 9449 section 5.2).
    let proof = match dpop::proof(ctx)? {
        Ok(proof) if proof.is_some() || !client.dpop_bound_access_tokens => proof,
        _ => return Ok(Err(Rejection::InvalidDpopProof)),
    };
    let asked = Asked {
        ctx,
        form,
        client,
        proof,
    };
    let granted = match (grant, trust) {
        (GrantType::AuthorizationCode, _) => code::redeem(&asked).await,
        (GrantType::RefreshToken, _) => refresh::rotate(&asked).await,
        (GrantType::TokenExchange, None) => exchange::exchange(&asked).await,
        (GrantType::ClientCredentials | GrantType::JwtBearer | GrantType::TokenExchange, trust) => {
            service::issue(&asked, trust.as_ref()).await
        }
    };
    Ok(granted?.map(|tokens| tokens.of_type(exchange::ACCESS_TOKEN, grant)))
}

/// Whether a client may have another token of a subject's now. Asked when the credential is known to be
/// ours, and per client, so that nobody uses up another's.
async fn may_have_more(asked: &Asked<'_>, subject: SubjectKey) -> bool {
    let client = &asked.client.client_id;
    limits::allow(&asked.ctx.env, Limit::Subject { subject, client }).await
}

/// A credential that we never made. Nobody's object was woken, so the Worker logs it.
fn forged(ctx: &Ctx, reason: &str) -> Rejection {
    ctx.log(ctx.refusal(reason, 400));
    Rejection::InvalidGrant
}
