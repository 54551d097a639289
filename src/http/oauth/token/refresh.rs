//! `grant_type=refresh_token` (RFC 6749 section 6): every exchange rotates.

use super::mint::{Mint, Minted};
use super::{Asked, Granted, Rejection, forged, may_have_more};
use crate::objects::call;
use crate::runtime::{new_id, random};
use portcullis_core::id::TokenId;
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::session::refresh::Refresh;

pub(super) async fn rotate(asked: &Asked<'_>) -> Granted {
    let ctx = asked.ctx;
    let Some(presented) = asked.get("refresh_token") else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let Some(presented) = RefreshToken::parse(&ctx.config.routing_key, presented) else {
        return Ok(Err(forged(ctx, "refresh_forged")));
    };
    if !may_have_more(asked, presented.subject).await {
        return Ok(Err(Rejection::TooMany));
    }
    let token = TokenId::from_bytes(new_id()?);
    let salt = random()?;
    let refresh = Refresh {
        session: presented.session,
        presented: presented.digest(),
        salt,
        successor: presented.successor(&salt).digest(),
        ask: asked.ask(token),
    };
    let mint = Mint::of_person(ctx).await?;
    let refreshed = match call::subject(&ctx.env, presented.subject, refresh).await {
        Ok(Ok(refreshed)) => refreshed,
        Ok(Err(refusal)) => return Ok(Err(refusal.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let facts = match asked.narrowed(refreshed.facts) {
        Ok(facts) => facts,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let minted = Minted {
        refresh: Some(presented.successor(&refreshed.salt)),
        ..Minted::new(presented.subject, token, facts)
    };
    mint.mint(minted).await.map(Ok)
}
