//! `POST /revoke` (RFC 7009): a client gives a token back.
//!
//! A refresh token takes its whole grant along: the session with every token that rests on it (section
//! 2.1 asks for that). Any link of the chain will do, for whoever gives back one that was exchanged
//! means the grant. An access token goes alone.
//!
//! A client may give back its own only. Another's is refused and changes nothing: section 2.1 has the
//! client told, with the error that RFC 6749 section 5.2 has for a token "issued to another client". That
//! such a token is real is no secret from somebody who holds it. What is no token, or none any more,
//! is 200: there is nothing left to do (section 2.2).

use super::client_auth::{self, Unproven};
use super::described::{believe, denial, refusal};
use crate::error::{Problem, json};
use crate::http::context::Ctx;
use crate::objects::call;
use portcullis_core::audit::event::{Action, Actor, Event};
use portcullis_core::client::Client;
use portcullis_core::id::{LogHash, SubjectKey};
use portcullis_core::jwt::access_token::Presentation;
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::session::describe::DescribeRefresh;
use portcullis_core::session::revoke::{Cause, Revoke, RevokeReply, Scope};
use serde_json::json;
use worker::{Response, Result};

/// What is to be done about a token.
enum Owned {
    /// It is the client's, and this ends it.
    Own(SubjectKey, Scope),
    /// It is another client's.
    Foreign(Box<Event>),
    /// There is nothing to end.
    Nothing,
    /// Nobody can tell now.
    Unavailable,
}

/// 200 once it is in force; apps in browsers call this, and no cookie means anything here.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let response = answer(&mut ctx).await?;
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

async fn answer(ctx: &mut Ctx) -> Result<Response> {
    let form = match ctx.form().await? {
        Ok(form) => form,
        Err(problem) if problem.status() == 413 => return problem.response(),
        Err(_) => return Unproven::InvalidRequest.response(),
    };
    let client = match client_auth::authenticate(ctx, &form).await? {
        Ok(client) => client,
        Err(unproven) => return unproven.response(),
    };
    let Some(token) = form.get("token") else {
        return Unproven::InvalidRequest.response();
    };
    let owned = if RefreshToken::has_its_prefix(token) {
        refresh_token(ctx, &client, token).await
    } else {
        access_token(ctx, &client, token).await?
    };
    let (subject, scope) = match owned {
        Owned::Own(subject, scope) => (subject, scope),
        Owned::Nothing => return json(200, &json!({})),
        Owned::Unavailable => return Problem::unavailable().response(),
        Owned::Foreign(event) => {
            crate::audit::record(&ctx.env, *event).await?;
            return json(400, &json!({ "error": "invalid_grant" }));
        }
    };
    let actor = Actor::Client(client.client_id.clone());
    let revoke = Revoke::new(scope, Cause::ClientRevoked, actor);
    match call::subject(&ctx.env, subject, revoke).await {
        // Unknown: it ended so long ago that it was forgotten.
        Ok(RevokeReply::Revoked(_) | RevokeReply::SessionUnknown) => json(200, &json!({})),
        Ok(RevokeReply::KeyReused) => Err("a revocation here has no idempotency key".into()),
        Err(error) => {
            worker::console_error!("revocation: {error}");
            Problem::unavailable().response()
        }
    }
}

async fn access_token(ctx: &Ctx, client: &Client, text: &str) -> Result<Owned> {
    // To give a token back needs no proof of its key: it can only end.
    let Ok(token) = believe(ctx, text, Presentation::OnlyDescribed).await? else {
        return Ok(Owned::Nothing);
    };
    let claims = token.claims();
    if claims.client_id == client.client_id {
        return Ok(Owned::Own(claims.sub, Scope::Token(claims.jti)));
    }
    let caller = (Actor::Client(client.client_id.clone()), 400);
    let event = denial(ctx, &token, (Action::CredentialRefused, FOREIGN), caller);
    Ok(Owned::Foreign(Box::new(event)))
}

const FOREIGN: &str = "issued_to_another_client";

async fn refresh_token(ctx: &Ctx, client: &Client, text: &str) -> Owned {
    let Some(token) = RefreshToken::parse(&ctx.config.routing_key, text) else {
        return Owned::Nothing;
    };
    let describe = DescribeRefresh {
        session: token.session,
        presented: token.digest(),
    };
    match call::subject(&ctx.env, token.subject, describe).await {
        Ok(Some(described)) if described.family.client_id == client.client_id => {
            Owned::Own(token.subject, Scope::Session(token.session))
        }
        Ok(Some(described)) => {
            let caller = (Actor::Client(client.client_id.clone()), 400);
            Owned::Foreign(Box::new(Event {
                subject: Some(token.subject),
                session: Some(LogHash::of_session(token.session)),
                client_id: Some(described.family.client_id),
                ..refusal(ctx, FOREIGN.to_owned(), caller)
            }))
        }
        // Ended, and its tokens dropped with it.
        Ok(None) => Owned::Nothing,
        Err(error) => {
            worker::console_error!("revocation: {error}");
            Owned::Unavailable
        }
    }
}
