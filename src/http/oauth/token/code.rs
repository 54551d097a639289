//! `grant_type=authorization_code` (RFC 6749 section 4.1.3, RFC 7636 section 4.5).

use super::mint::{Mint, Minted};
use super::{Asked, Granted, Rejection, forged, may_have_more};
use crate::objects::call;
use crate::runtime::{new_id, random};
use portcullis_core::client::GrantType;
use portcullis_core::id::TokenId;
use portcullis_core::oauth::opaque::{AuthorizationCode, RefreshSecret, RefreshToken};
use portcullis_core::oauth::s256_challenge;
use portcullis_core::session::redeem::Redeem;

pub(super) async fn redeem(asked: &Asked<'_>) -> Granted {
    let ctx = asked.ctx;
    let (Some(code), Some(redirect_uri), Some(verifier)) = (
        asked.get("code"),
        asked.get("redirect_uri"),
        asked.get("code_verifier"),
    ) else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let Some(code_challenge) = s256_challenge(verifier) else {
        return Ok(Err(Rejection::InvalidGrant));
    };
    let Some(code) = AuthorizationCode::parse(&ctx.config.routing_key, code) else {
        return Ok(Err(forged(ctx, "code_forged")));
    };
    if !may_have_more(asked, code.subject).await {
        return Ok(Err(Rejection::TooMany));
    }
    let token = TokenId::from_bytes(new_id()?);
    let may_refresh = asked.client.allows_grant(GrantType::RefreshToken);
    let refresh = may_refresh
        .then(random)
        .transpose()?
        .map(RefreshSecret::new);
    let redeem = Redeem {
        code: code.digest,
        redirect_uri: redirect_uri.to_owned(),
        code_challenge,
        refresh: refresh.as_ref().map(RefreshSecret::digest),
        ask: asked.ask(token),
    };
    let mint = Mint::of_person(ctx).await?;
    let facts = match call::subject(&ctx.env, code.subject, redeem).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(refusal)) => return Ok(Err(refusal.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let session = facts.session.id;
    let minted = Minted {
        refresh: refresh.map(|secret| RefreshToken::new(code.subject, session, secret)),
        ..Minted::new(code.subject, token, facts)
    };
    mint.mint(minted).await.map(Ok)
}
