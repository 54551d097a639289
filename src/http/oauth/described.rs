//! What a token of ours stands for, by its subject's own storage: for introspection and for
//! userinfo.

use crate::http::context::Ctx;
use crate::keys;
use crate::objects::call::{self, CallError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::LogHash;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation, VerifiedAccessToken};
use portcullis_core::session::Session;
use portcullis_core::session::check::{DenyReason, Verdict};
use portcullis_core::session::describe::Describe;
use portcullis_core::session::grant::OneTime;
use worker::Result;

/// The session of a token that is in force, or why it is not.
pub enum Standing {
    /// In force.
    Active(Box<Session>),
    /// Ended since.
    Denied(DenyReason),
    /// The proof came before.
    ProofReplayed,
}

/// Believes an access token of ours for any audience, as far as signature and clock go.
pub async fn believe(
    ctx: &Ctx,
    token: &str,
    presentation: Presentation<'_>,
) -> Result<std::result::Result<VerifiedAccessToken, TokenError>> {
    let keys = keys::for_token(&ctx.env, &ctx.config, token).await?;
    let verifier = AccessTokenVerifier {
        issuer: &ctx.config.issuer,
        audience: None,
    };
    keys.verify_access_token(token, presentation, &verifier, ctx.now)
        .await
}

/// Asks strictly: the policy for its key, the actors for their sessions, and the subject for its own.
/// `proof` is used up with the answer.
pub async fn standing(
    ctx: &Ctx,
    token: &VerifiedAccessToken,
    proof: Option<OneTime>,
) -> std::result::Result<Standing, CallError> {
    let check = token.check_request();
    // Asked first: only the check asks everybody.
    let reply = call::check(&ctx.env, check.clone()).await?;
    if let Verdict::Denied(why) = reply.verdict {
        return Ok(Standing::Denied(why));
    }
    let subject = check.subject;
    let described = call::subject(&ctx.env, subject, Describe { check, proof }).await?;
    Ok(match (described.reply.verdict, described.session) {
        (Verdict::Active { .. }, Some(_)) if described.proof_replayed => Standing::ProofReplayed,
        (Verdict::Active { .. }, Some(session)) => Standing::Active(Box::new(session)),
        (Verdict::Active { .. }, None) => Standing::Denied(DenyReason::SessionUnknown),
        (Verdict::Denied(why), _) => Standing::Denied(why),
    })
}

/// The event of a denial to `actor`, about a token whose signature is ours.
pub fn denial(
    ctx: &Ctx,
    token: &VerifiedAccessToken,
    (action, reason): (Action, &str),
    (actor, status): (Actor, u16),
) -> Event {
    let claims = token.claims();
    Event {
        reason: Some(reason.to_owned()),
        subject: Some(claims.sub),
        session: Some(LogHash::of_session(claims.sid)),
        token: Some(LogHash::of_token(claims.jti)),
        client_id: Some(claims.client_id.clone()),
        request: Some(ctx.facts_with_status(status)),
        ..Event::new(ctx.now, action, Outcome::Denied, actor)
    }
}

/// The event of a credential that proves nothing.
pub fn refusal(ctx: &Ctx, reason: String, (actor, status): (Actor, u16)) -> Event {
    Event {
        actor,
        ..ctx.refusal(reason, status)
    }
}
