//! `/logout`: end a session by its ID token (OIDC RP-Initiated Logout 1.0 section 2).
//!
//! The ID token is proof enough, expired or not: it was given to the one client in whose session it
//! names. The browser is sent on only to a URI registered for that client.

use super::{page, redirect};
use crate::http::context::Ctx;
use crate::keys;
use crate::objects::call;
use crate::policy;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::jwt::id_token::VerifiedHint;
use portcullis_core::session::revoke::{Cause, Revoke, RevokeReply, Scope};
use std::collections::BTreeMap;
use worker::{Response, Result};

/// With parameters in the query.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let parameters = ctx.query().unwrap_or_default();
    log_out(&ctx, &parameters).await
}

/// With parameters in a form.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let parameters = ctx.form().await?.unwrap_or_default();
    log_out(&ctx, &parameters).await
}

async fn log_out(ctx: &Ctx, parameters: &BTreeMap<String, String>) -> Result<Response> {
    let get = |name: &str| parameters.get(name).map(String::as_str);
    let Some(hint) = hint(ctx, get("id_token_hint"), get("client_id")).await? else {
        let text = "The request does not show which session to end.";
        return page(400, "You are not logged out", text);
    };
    let after = get("post_logout_redirect_uri");
    if let Some(uri) = after
        && !policy::client(&ctx.env, &ctx.config, &hint.client_id)
            .await?
            .is_some_and(|client| client.allows_post_logout_redirect_to(uri))
    {
        let text = "The application's request is not valid.";
        return page(400, "You are not logged out", text);
    }
    let actor = Actor::Subject(hint.subject);
    let revoke = Revoke::new(Scope::Session(hint.session), Cause::Logout, actor);
    match call::subject(&ctx.env, hint.subject, revoke).await {
        // Unknown: it ended so long ago that it was forgotten.
        Ok(RevokeReply::Revoked(_) | RevokeReply::SessionUnknown) => {}
        Ok(RevokeReply::KeyReused) => return Err("a log-out has no idempotency key".into()),
        Err(error) => {
            worker::console_error!("logout: {error}");
            let text = "The session may still be live. Please try again.";
            return page(503, "You are not logged out", text);
        }
    }
    match after {
        Some(uri) => redirect(uri, &[("state", get("state"))]),
        None => page(200, "You are logged out", "You can close this page."),
    }
}

/// Whom the hint names, if it is an ID token of ours for the client that asks.
async fn hint(
    ctx: &Ctx,
    hint: Option<&str>,
    client_id: Option<&str>,
) -> Result<Option<VerifiedHint>> {
    let Some(hint) = hint else {
        return Ok(None);
    };
    let keys = keys::for_token(&ctx.env, &ctx.config, hint).await?;
    match keys.verify_id_token_hint(hint, &ctx.config.issuer).await? {
        Ok(verified) if client_id.is_none_or(|id| id == verified.client_id) => Ok(Some(verified)),
        Ok(_) => Ok(None),
        Err(error) => {
            let event = Event {
                reason: Some(format!("id_token_hint_{}", error.as_str())),
                request: Some(ctx.facts_with_status(400)),
                ..Event::new(
                    ctx.now,
                    Action::CredentialRefused,
                    Outcome::Denied,
                    Actor::Anonymous,
                )
            };
            crate::audit::record_off_the_path(&ctx.env, &ctx.context, event);
            Ok(None)
        }
    }
}
