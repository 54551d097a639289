//! A service exchanges the token that it was sent for one to act on with (RFC 8693).
//!
//! The token must be ours, in force, and the service's business: sent to it as the resource server, or
//! given to it as the client. What it gets is for its own audiences, with no more scope than both have,
//! in the same session; `act` names the service and the session of its own that it rests on, too.

use super::mint::{Mint, Minted};
use super::{Asked, Granted, Rejection, service};
use crate::keys;
use crate::objects::call;
use crate::runtime::new_id;
use portcullis_core::id::TokenId;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation, VerifiedAccessToken};
use portcullis_core::jwt::actor::{Actor, MAX_ACTORS};
use portcullis_core::session::exchange::Exchange;
use portcullis_core::session::grant::{Refusal, TokenFacts, TokenRequest};

/// The one type of token that is given, and that is taken here (RFC 8693 section 3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(super) async fn exchange(asked: &Asked<'_>) -> Granted {
    let ctx = asked.ctx;
    let is_access_token = |name| asked.get(name).is_none_or(|kind| kind == ACCESS_TOKEN);
    let (Some(presented), Some(ACCESS_TOKEN)) =
        (asked.get("subject_token"), asked.get("subject_token_type"))
    else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    // An actor proves who it is.
    if asked.client.is_public() {
        return Ok(Err(Rejection::UnauthorizedClient));
    }
    // The actor is the client that asks; it cannot bring another.
    if !is_access_token("requested_token_type") || asked.get("actor_token").is_some() {
        return Ok(Err(Rejection::InvalidRequest));
    }
    let keys = keys::for_token(&ctx.env, &ctx.config, presented).await?;
    let mint = Mint::with_keys(ctx, keys).await?;
    let verifier = AccessTokenVerifier {
        issuer: &ctx.config.issuer,
        audience: None,
    };
    let presentation = Presentation::Bearer;
    let believed = mint
        .keys
        .verify_access_token(presented, presentation, &verifier, ctx.now)
        .await?;
    // An unacceptable subject token is an `invalid_request` (RFC 8693 section 2.2.2).
    let Ok(subject_token) = believed else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    if !is_business_of(asked, &subject_token) || subject_token.actors().count() >= MAX_ACTORS {
        return Ok(Err(Rejection::InvalidRequest));
    }
    let token = TokenId::from_bytes(new_id()?);
    let (facts, actor) = match decide(asked, &subject_token, token).await {
        Ok(decided) => decided,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let minted = Minted {
        client_id: asked.client.client_id.clone(),
        act: Some(actor),
        ..Minted::new(subject_token.claims().sub, token, facts)
    };
    mint.mint(minted).await.map(Ok)
}

/// Both subjects decide: the service's, that it has a session to act on, and then the person's.
async fn decide(
    asked: &Asked<'_>,
    subject_token: &VerifiedAccessToken,
    token: TokenId,
) -> Result<(TokenFacts, Actor), Rejection> {
    let ctx = asked.ctx;
    // Both must be live: whoever checks asks both.
    let check = call::check(&ctx.env, subject_token.check_request()).await?;
    if !check.verdict.is_active() {
        return Err(Rejection::InvalidRequest);
    }
    let service = asked.service_subject();
    // For itself it asks nothing: what it wants is the other's.
    let nothing = TokenRequest {
        scope: None,
        resources: Vec::new(),
        proof: None,
        ..asked.ask_with_default_resource(token)
    };
    let own = service::command(asked, None, nothing).map_err(|error| {
        worker::console_error!("token: {error}");
        Rejection::Unavailable
    })?;
    let own = call::subject(&ctx.env, service, own).await??;
    let claims = subject_token.claims();
    let scope: Vec<&str> = claims
        .scope
        .as_deref()
        .unwrap_or_default()
        .split(' ')
        .filter(|scope| asked.client.allows_scope(scope))
        .collect();
    let exchange = Exchange {
        check: subject_token.check_request(),
        scope: scope.join(" "),
        audiences: audiences(asked, subject_token),
        expires_at: subject_token.expires_at().min(own.expires_at),
        ask: asked.ask_with_default_resource(token),
    };
    let facts = call::subject(&ctx.env, claims.sub, exchange)
        .await?
        .map_err(|refusal| match refusal {
            Refusal::SessionNotLive => Rejection::InvalidRequest,
            other => other.into(),
        })?;
    let actor = Actor {
        sub: service,
        client_id: Some(asked.client.client_id.clone()),
        sid: own.session.id,
        generation: own.generation,
        act: claims.act.clone().map(Box::new),
    };
    Ok((facts, actor))
}

/// The service's own; of a token that it was given itself no other than that has: people allowed it
/// those.
fn audiences(asked: &Asked<'_>, token: &VerifiedAccessToken) -> Vec<String> {
    let claims = token.claims();
    let given = claims.client_id == asked.client.client_id;
    let own = asked.audiences().iter();
    own.filter(|audience| !given || claims.aud.contains(audience))
        .cloned()
        .collect()
}

fn is_business_of(asked: &Asked<'_>, token: &VerifiedAccessToken) -> bool {
    let claims = token.claims();
    let sent_to_it = claims.aud.iter().any(|aud| asked.client.introspects(aud));
    sent_to_it || claims.client_id == asked.client.client_id
}
