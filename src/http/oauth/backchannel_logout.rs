//! `POST /backchannel-logout/{connection}` (OIDC Back-Channel Logout 1.0 sections 2.5 to 2.8): an identity
//! provider says that it has ended a session, or all of a person's.
//!
//! The logout token is the credential. 200 means that it is in force: every strict check that begins after
//! this answer denies. 400 means that the token is not to be believed, or that there is no such connection
//! or it is off; which of them, the log has. 503 means that it could not be verified now, or is kept and will
//! be carried out though not all of it is confirmed. To send the same token again is safe then, and after
//! a lost 200: it ends nothing that has begun since.
//!
//! Out of scope: tokens of the provider itself, accepted for somebody who never logged in here, where the
//! log-out names no subject by itself: it has only a `sid`, or `sub` is not what identifies people.

use crate::connections;
use crate::error::json;
use crate::http::context::Ctx;
use crate::limits::{self, Limit, allow};
use crate::objects::call::{self, DirectoryFrame};
use crate::remote_keys;
use crate::runtime::now;
use crate::upstream;
use portcullis_core::connection::Connection;
use portcullis_core::connection::identity::MAX_VALUE_BYTES;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::logout_token::{LogoutTokenVerifier, VerifiedLogoutToken};
use portcullis_core::registry::{LoggedOut, UpstreamLogout};
use portcullis_core::scim::rules::Rules;
use portcullis_core::secret::Digest;
use portcullis_core::session::Upstream;
use serde_json::json;
use worker::{Response, Result};

/// Why nothing was ended.
enum Failed {
    /// The request is not to be believed; the log is told why.
    Invalid(String),
    /// It may be, or is and is not confirmed.
    Unavailable(String),
}

impl Failed {
    fn unavailable(why: &impl ToString) -> Self {
        Self::Unavailable(why.to_string())
    }
}

/// Ends what the provider has ended.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    if !allow(&ctx.env, Limit::Address(address.as_deref())).await {
        return limits::refusal();
    }
    let form = ctx.form().await?;
    let token = form.ok().and_then(|form| form.get("logout_token").cloned());
    match carried_out(&ctx, token.as_deref()).await {
        Ok(()) => {
            let response = Response::empty()?.with_status(200);
            response.headers().set("cache-control", "no-store")?;
            Ok(response)
        }
        Err(Failed::Invalid(reason)) => {
            refused(&ctx, reason);
            json(400, &json!({ "error": "invalid_request" }))
        }
        Err(Failed::Unavailable(why)) => {
            worker::console_error!("back-channel logout: {why}");
            let response = json(503, &json!({ "error": "temporarily_unavailable" }))?;
            response.headers().set("retry-after", "1")?;
            Ok(response)
        }
    }
}

async fn carried_out(ctx: &Ctx, token: Option<&str>) -> std::result::Result<(), Failed> {
    let token = token.ok_or_else(|| Failed::Invalid("logout_token_missing".to_owned()))?;
    let id = ctx.decoded_param(0);
    let connection = connections::enabled(&ctx.env, &ctx.config, &id)
        .await
        .map_err(|error| Failed::unavailable(&error))?
        .filter(|connection| connection.saml.is_none())
        // All that rests on one that is off was ended when it was turned off.
        .ok_or_else(|| Failed::Invalid("logout_token_connection".to_owned()))?;
    let logout = logout(ctx, &connection, &verified(ctx, &connection, token).await?);
    let frame = DirectoryFrame {
        connection: connection.id.clone(),
        base: String::new(),
        rules: Rules::default(),
        request: ctx.facts(),
    };
    match call::directory(&ctx.env, frame, logout).await {
        Ok(LoggedOut::Told(_) | LoggedOut::Replayed) => Ok(()),
        Err(error) => Err(Failed::unavailable(&error)),
    }
}

/// The token, if the connection's provider has signed it and it is for us.
async fn verified(
    ctx: &Ctx,
    connection: &Connection,
    token: &str,
) -> std::result::Result<VerifiedLogoutToken, Failed> {
    let (issuer, jwks_uri) = upstream::issuer_and_keys(&ctx.config, connection)
        .await
        .map_err(|error| Failed::unavailable(&error))?;
    let verifier = LogoutTokenVerifier {
        issuer: &issuer,
        client_id: &connection.client_id,
    };
    let verify = |keys: &KeySet| verifier.verify(token, keys, now());
    remote_keys::verified(&jwks_uri, token, verify)
        .await
        .map_err(|error| Failed::unavailable(&error))?
        .map_err(|error| Failed::Invalid(format!("logout_token_{}", error.as_str())))
}

/// What the directory is told. Where `sub` is what identifies people, it names a subject by itself, also one
/// that has never logged in here: tokens of the provider itself may be accepted for it.
fn logout(ctx: &Ctx, connection: &Connection, token: &VerifiedLogoutToken) -> UpstreamLogout {
    let digest = |name: Option<&str>| name.map(|name| Digest::of(name.as_bytes()));
    let identifying = token
        .sub()
        .filter(|sub| connection.subject_claim == "sub" && sub.len() <= MAX_VALUE_BYTES);
    UpstreamLogout {
        replay: token.replay_digest(),
        expires_at: token.expires_at(),
        upstream: Upstream {
            sub: digest(token.sub()),
            sid: digest(token.sid()),
        },
        subject: identifying.map(|sub| connection.subject(&ctx.config.naming_key, sub)),
    }
}

fn refused(ctx: &Ctx, reason: String) {
    ctx.log(ctx.refusal(reason, 400));
}
