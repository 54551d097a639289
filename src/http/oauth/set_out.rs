//! A browser sets out for an identity provider: what it takes along, and what is kept until it is back.
//!
//! A log-in and a connection's test go the same way: with PKCE (RFC 7636), `nonce` and a `state` that is
//! the flow's id, or with a SAML request ([`saml`]), as the provider speaks. The browser keeps a cookie, so that nobody else's can finish what it began.

use super::saml::{self, Wishes};
use super::{flow, redirect, refuse, set_flow_cookie};
use crate::connections;
use crate::http::context::Ctx;
use crate::objects::call::CallError;
use crate::runtime::random;
use crate::upstream::{self, UpstreamError};
use portcullis_core::connection::Connection;
use portcullis_core::oauth::authorize::{AuthorizationRequest, ErrorCode};
use portcullis_core::oauth::flow::saml::Errand;
use portcullis_core::oauth::flow::{Away, FlowId, Keep, Stage, Testing};
use portcullis_core::oauth::s256_challenge;
use portcullis_core::saml::SamlError;
use portcullis_core::secret::Digest;
use portcullis_core::text::base64url;
use portcullis_core::time::UnixMillis;
use std::fmt;
use worker::{Error, Response, Result};

use super::FLOW_TTL_SECS;

/// Where this browser logged in last; it says nothing of who did.
const LAST_CONNECTION: &str = "__Host-portcullis-connection";

/// Why a browser cannot be sent.
pub(super) enum Stuck {
    /// The provider cannot be found.
    Provider(UpstreamError),
    /// The flow could not be kept.
    Flow(CallError),
    /// No request can be made for it.
    Saml(SamlError),
    /// The runtime failed.
    Runtime(Error),
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(error) => error.fmt(f),
            Self::Flow(error) => error.fmt(f),
            Self::Saml(error) => write!(f, "identity provider: SAML {error}"),
            Self::Runtime(error) => error.fmt(f),
        }
    }
}

impl From<UpstreamError> for Stuck {
    fn from(error: UpstreamError) -> Self {
        Self::Provider(error)
    }
}

impl From<CallError> for Stuck {
    fn from(error: CallError) -> Self {
        Self::Flow(error)
    }
}

impl From<SamlError> for Stuck {
    fn from(error: SamlError) -> Self {
        Self::Saml(error)
    }
}

impl From<Error> for Stuck {
    fn from(error: Error) -> Self {
        Self::Runtime(error)
    }
}

/// Sends the browser to the provider of `connection` to log in. It set out at `begun_at`.
pub(super) async fn set_out(
    ctx: &Ctx,
    id: FlowId,
    connection: &Connection,
    request: AuthorizationRequest,
    begun_at: UnixMillis,
) -> Result<Response> {
    let sent = match &connection.saml {
        Some(saml) => {
            let wishes = Wishes::of(&request);
            let errand = Errand::LogIn {
                request: Box::new(request.clone()),
                begun_at,
            };
            saml::send(ctx, &id, (connection, saml), errand, wishes).await
        }
        None => send_to_log_in(ctx, &id, connection, &request, begun_at).await,
    };
    match sent {
        Ok(response) => Ok(response),
        Err(why) => {
            worker::console_error!("{why}");
            refuse(ctx, &request, ErrorCode::TemporarilyUnavailable)
        }
    }
}

async fn send_to_log_in(
    ctx: &Ctx,
    id: &FlowId,
    connection: &Connection,
    request: &AuthorizationRequest,
    begun_at: UnixMillis,
) -> std::result::Result<Response, Stuck> {
    let relayed = request.relayed();
    let stage = |luggage: Luggage| {
        Stage::Away(Away {
            request: request.clone(),
            begun_at,
            browser: luggage.browser,
            nonce: luggage.nonce,
            code_verifier: luggage.code_verifier,
            connection: connection.id.clone(),
        })
    };
    send(ctx, id, connection, &relayed, stage).await
}

/// Sends the browser to the provider of `connection` to test it.
pub(super) async fn set_out_to_test(
    ctx: &Ctx,
    id: &FlowId,
    connection: &Connection,
) -> std::result::Result<Response, Stuck> {
    if let Some(saml) = &connection.saml {
        let with = (connection, saml);
        return saml::send(ctx, id, with, Errand::Test, Wishes::default()).await;
    }
    let stage = |luggage: Luggage| {
        Stage::Testing(Testing {
            connection: connection.id.clone(),
            browser: luggage.browser,
            nonce: luggage.nonce,
            code_verifier: luggage.code_verifier,
        })
    };
    send(ctx, id, connection, &[], stage).await
}

/// What is kept of a browser's way.
struct Luggage {
    browser: Digest,
    nonce: String,
    code_verifier: String,
}

async fn send(
    ctx: &Ctx,
    id: &FlowId,
    connection: &Connection,
    relayed: &[(&'static str, String)],
    stage: impl FnOnce(Luggage) -> Stage,
) -> std::result::Result<Response, Stuck> {
    let metadata = upstream::metadata(&ctx.config, connection).await?;
    let browser = base64url(&random::<32>()?);
    let code_verifier = base64url(&random::<32>()?);
    let nonce = base64url(&random::<16>()?);
    let challenge = s256_challenge(&code_verifier).ok_or_else(|| Error::from("no challenge"))?;
    let keep = Keep {
        stage: stage(Luggage {
            browser: Digest::of(browser.as_bytes()),
            nonce: nonce.clone(),
            code_verifier,
        }),
        ttl_secs: FLOW_TTL_SECS,
    };
    flow(&ctx.env, id, keep).await?;
    let callback = connections::redirect_uri(&ctx.config, &connection.id);
    let mut parameters = vec![
        ("response_type", Some("code")),
        ("client_id", Some(connection.client_id.as_str())),
        ("redirect_uri", Some(&callback)),
        ("scope", Some(&connection.scope)),
        ("state", Some(id.as_str())),
        ("nonce", Some(&nonce)),
        ("code_challenge", Some(&challenge)),
        ("code_challenge_method", Some("S256")),
    ];
    parameters.extend(
        relayed
            .iter()
            .map(|(name, value)| (*name, Some(value.as_str()))),
    );
    let response = redirect(&metadata.authorization_endpoint, &parameters)?;
    set_flow_cookie(&response, id, &browser)?;
    Ok(response)
}

/// Has the browser remember through which connection it logged in.
pub(super) fn remember_connection(response: &Response, connection: &str) -> Result<()> {
    let year = 365 * 24 * 3600;
    let cookie = format!(
        "{LAST_CONNECTION}={connection}; Path=/; Max-Age={year}; HttpOnly; Secure; SameSite=Lax"
    );
    response.headers().append("set-cookie", &cookie)
}

/// Through which connection this browser logged in last.
pub(super) fn last_connection(ctx: &Ctx) -> Result<Option<String>> {
    ctx.cookie(LAST_CONNECTION)
}
