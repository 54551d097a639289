//! `grant_type=authorization_code` (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

use super::{Asked, Granted, Rejection, forged};
use crate::http::oauth::token::mint::{Minted, mint};
use crate::keys;
use crate::objects::call;
use crate::policy;
use crate::runtime::{new_id, random};
use portcullis_core::id::TokenId;
use portcullis_core::oauth::opaque::{AuthorizationCode, RefreshSecret, RefreshToken};
use portcullis_core::oauth::s256_challenge;
use portcullis_core::session::redeem::Redeem;

pub(super) async fn redeem(asked: &Asked<'_>) -> Granted {
    let ctx = asked.ctx;
    let (Some(client_id), Some(code), Some(redirect_uri), Some(verifier)) = (
        asked.get("client_id"),
        asked.get("code"),
        asked.get("redirect_uri"),
        asked.get("code_verifier"),
    ) else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let Some(client) = policy::client(&ctx.env, &ctx.config, client_id).await? else {
        return Ok(Err(Rejection::InvalidClient));
    };
    let Some(code_challenge) = s256_challenge(verifier) else {
        return Ok(Err(Rejection::InvalidGrant));
    };
    let Some(code) = AuthorizationCode::parse(&ctx.config.routing_key, code) else {
        return Ok(Err(forged(ctx, "code_forged")));
    };
    let token = TokenId::from_bytes(new_id()?);
    let refresh = RefreshSecret::new(random()?);
    let redeem = Redeem {
        code: code.digest,
        redirect_uri: redirect_uri.to_owned(),
        code_challenge,
        refresh: Some(refresh.digest()),
        ask: asked.ask(&client.client_id, token),
    };
    // The keys first: a code that was redeemed and could not be answered for is lost.
    let keys = keys::ours(&ctx.env, &ctx.config).await?;
    let facts = match call::subject(&ctx.env, code.subject, redeem).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(refusal)) => return Ok(Err(refusal.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let refresh = RefreshToken::new(code.subject, facts.session.id, refresh);
    let minted = Minted {
        subject: code.subject,
        token,
        facts,
        refresh: Some(refresh),
    };
    mint(ctx, &keys, minted).await.map(Ok)
}
