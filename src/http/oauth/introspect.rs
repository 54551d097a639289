//! `POST /introspect` (RFC 7662): what a token stands for, strictly.
//!
//! Who may ask about an access token is a confidential client that it was given to, or that is the
//! resource server of one of its audiences (`introspects`). About a refresh token only its own client may.
//! Everybody else is told what they would be told of a token that does not exist (section 2.2): that
//! a token is good for somewhere else is nobody's business.
//!
//! The two kinds of token cannot be mistaken for each other, so `token_type_hint` says nothing that the
//! token does not. No user names: whoever may know them has `/userinfo`.

use super::client_auth::{self, Unproven};
use super::described::{Standing, believe, denial, refusal, standing};
use crate::error::{Problem, json};
use crate::http::context::Ctx;
use crate::objects::call;
use portcullis_core::audit::event::{Action, Actor};
use portcullis_core::client::Client;
use portcullis_core::jwt::access_token::{Presentation, VerifiedAccessToken};
use portcullis_core::jwt::actor;
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::session::describe::DescribeRefresh;
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// What is said of a token that is not in force, is not known, or is not the caller's business.
fn inactive() -> Value {
    json!({ "active": false })
}

/// 200 with what the token stands for; 401 to a client that has not proven itself.
pub async fn post(mut ctx: Ctx) -> Result<Response> {
    let form = match ctx.form().await? {
        Ok(form) => form,
        Err(problem) if problem.status() == 413 => return problem.response(),
        Err(_) => return Unproven::InvalidRequest.response(),
    };
    let client = match client_auth::authenticate(&ctx, &form).await? {
        Ok(client) => client,
        Err(unproven) => return unproven.response(),
    };
    // Anybody could say that they are a public client (section 2.1).
    if client.is_public() {
        return Unproven::InvalidClient { by_header: false }.response();
    }
    let Some(token) = form.get("token") else {
        return Unproven::InvalidRequest.response();
    };
    let described = if RefreshToken::has_its_prefix(token) {
        refresh_token(&ctx, &client, token).await?
    } else {
        access_token(&ctx, &client, token).await?
    };
    match described {
        Some(described) => json(200, &described),
        None => Problem::unavailable().response(),
    }
}

/// `None`: nobody can tell now.
async fn access_token(ctx: &Ctx, client: &Client, text: &str) -> Result<Option<Value>> {
    let caller = || (Actor::Client(client.client_id.clone()), 200);
    let token = match believe(ctx, text, Presentation::OnlyDescribed).await? {
        Ok(token) => token,
        Err(why) => {
            let event = refusal(ctx, format!("token_{}", why.as_str()), caller());
            ctx.log(event);
            return Ok(Some(inactive()));
        }
    };
    if !may_know(client, &token) {
        let what = (Action::CredentialRefused, "not_its_audience");
        crate::audit::record(&ctx.env, denial(ctx, &token, what, caller())).await?;
        return Ok(Some(inactive()));
    }
    let reason = match standing(ctx, &token, None).await {
        Ok(Standing::Active(_)) => return Ok(Some(active(&token))),
        Ok(Standing::Denied(why)) => why.as_str(),
        Ok(Standing::ProofReplayed) => "proof_replayed",
        Err(error) => {
            worker::console_error!("introspection: {error}");
            return Ok(None);
        }
    };
    let event = denial(ctx, &token, (Action::CheckDenied, reason), caller());
    crate::audit::record(&ctx.env, event).await?;
    Ok(Some(inactive()))
}

fn may_know(client: &Client, token: &VerifiedAccessToken) -> bool {
    let claims = token.claims();
    claims.client_id == client.client_id || claims.aud.iter().any(|aud| client.introspects(aud))
}

fn active(token: &VerifiedAccessToken) -> Value {
    let claims = token.claims();
    let bound = claims.cnf.is_some();
    let mut described = Map::new();
    for (name, value) in [
        ("active", json!(true)),
        ("token_type", json!(if bound { "DPoP" } else { "Bearer" })),
        ("client_id", json!(claims.client_id)),
        ("scope", json!(claims.scope)),
        ("iss", json!(claims.iss)),
        ("sub", json!(claims.sub)),
        ("aud", json!(claims.aud)),
        ("iat", json!(claims.iat)),
        ("exp", json!(claims.exp)),
        ("jti", json!(claims.jti)),
        ("sid", json!(claims.sid)),
        ("auth_time", json!(claims.auth_time)),
        ("acr", json!(claims.acr)),
        ("cnf", json!(claims.cnf)),
        ("act", claims.act.as_ref().map_or(Value::Null, acting)),
    ] {
        if !value.is_null() {
            described.insert(name.to_owned(), value);
        }
    }
    Value::Object(described)
}

/// Who acts (RFC 8693 section 4.1), without what only checks need.
fn acting(actor: &actor::Actor) -> Value {
    let mut said = json!({ "sub": actor.sub });
    if let Some(fields) = said.as_object_mut() {
        if let Some(client_id) = &actor.client_id {
            fields.insert("client_id".to_owned(), json!(client_id));
        }
        if let Some(before) = &actor.act {
            fields.insert("act".to_owned(), acting(before));
        }
    }
    said
}

/// `None`: nobody can tell now.
async fn refresh_token(ctx: &Ctx, client: &Client, text: &str) -> Result<Option<Value>> {
    let Some(token) = RefreshToken::parse(&ctx.config.routing_key, text) else {
        let caller = (Actor::Client(client.client_id.clone()), 200);
        let event = refusal(ctx, "refresh_forged".to_owned(), caller);
        ctx.log(event);
        return Ok(Some(inactive()));
    };
    let describe = DescribeRefresh {
        session: token.session,
        presented: token.digest(),
    };
    let described = match call::subject(&ctx.env, token.subject, describe).await {
        Ok(described) => described,
        Err(error) => {
            worker::console_error!("introspection: {error}");
            return Ok(None);
        }
    };
    let own = described
        .filter(|described| described.active && described.family.client_id == client.client_id);
    Ok(Some(own.map_or_else(inactive, |described| {
        let (family, session) = (&described.family, &described.session);
        let mut said = json!({
            "active": true,
            "client_id": family.client_id,
            "scope": family.scope,
            "iss": ctx.config.issuer,
            "sub": token.subject,
            "aud": family.audiences,
            "iat": session.last_used_at.secs(),
            "exp": session.live_until().secs(),
            "sid": session.id,
        });
        if let (Some(jkt), Some(fields)) = (&family.jkt, said.as_object_mut()) {
            fields.insert("cnf".to_owned(), json!({ "jkt": jkt }));
        }
        said
    })))
}
