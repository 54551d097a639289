//! `/logout`: end a session by its ID token (OIDC RP-Initiated Logout 1.0 section 2).
//!
//! The ID token is proof enough, expired or not: it was given to the one client whose session it
//! names. What cannot be validated is left undone, and nothing else is (section 4): a URI that is not
//! registered for that client leads nowhere, and the session ends all the same.
//!
//! Without an ID token there is nothing to end: we keep no log-in of our own in the browser, and
//! `client_id` names an application and not one of its sessions. Then nobody is sent on, either, for
//! that would say that the log-out was done.

use super::pages::page;
use super::redirect;
use crate::http::context::Ctx;
use crate::keys;
use crate::objects::call;
use crate::policy;
use portcullis_core::audit::event::Actor;
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
    match get("post_logout_redirect_uri") {
        Some(uri) if is_registered(ctx, &hint, uri).await => {
            redirect(uri, &[("state", get("state"))])
        }
        _ => page(200, "You are logged out", "You can close this page."),
    }
}

/// Whether a browser may be sent to `uri` (section 3). A client that is not dealt with any more has
/// nowhere; that its session ended does not hang on it.
async fn is_registered(ctx: &Ctx, hint: &VerifiedHint, uri: &str) -> bool {
    match policy::client(&ctx.env, &ctx.config, &hint.client_id).await {
        Ok(client) => client.is_some_and(|client| client.allows_post_logout_redirect_to(uri)),
        Err(error) => {
            worker::console_error!("logout: {error}");
            false
        }
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
            ctx.log(ctx.refusal(format!("id_token_hint_{}", error.as_str()), 400));
            Ok(None)
        }
    }
}
