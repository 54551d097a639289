//! Facts become tokens. Only a decision of the subject makes facts, so nothing is decided here.

use crate::http::context::Ctx;
use crate::keys::OurKeys;
use portcullis_core::id::{SubjectKey, TokenId};
use portcullis_core::jwt::access_token::{self, AccessTokenClaims, Confirmation};
use portcullis_core::jwt::id_token::{self, IdTokenClaims, at_hash};
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::session::grant::TokenFacts;
use serde::Serialize;
use worker::Result;

/// How long an ID token is good for, in seconds.
const ID_TOKEN_TTL_SECS: u64 = 300;

/// The token response (RFC 6749 section 5.1).
#[derive(Serialize)]
pub(super) struct Tokens {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

/// What a subject has decided to give.
pub(super) struct Minted {
    pub subject: SubjectKey,
    pub token: TokenId,
    pub facts: TokenFacts,
    pub refresh: Option<RefreshToken>,
}

pub(super) async fn mint(ctx: &Ctx, keys: &OurKeys, minted: Minted) -> Result<Tokens> {
    let Minted {
        subject,
        token,
        facts,
        refresh,
    } = minted;
    let claims = access_token_claims(ctx, subject, token, &facts);
    let access_token = keys.sign(&claims, access_token::TYP).await?;
    let id_token = if facts.scope.split(' ').any(|scope| scope == "openid") {
        let claims = id_token_claims(ctx, subject, &facts, &access_token);
        Some(keys.sign(&claims, id_token::TYP).await?)
    } else {
        None
    };
    Ok(Tokens {
        access_token,
        token_type: if facts.jkt.is_some() {
            "DPoP"
        } else {
            "Bearer"
        },
        expires_in: claims.exp.saturating_sub(claims.iat),
        scope: facts.scope,
        refresh_token: refresh.map(|refresh| refresh.to_text(&ctx.config.routing_key)),
        id_token,
    })
}

fn access_token_claims(
    ctx: &Ctx,
    subject: SubjectKey,
    token: TokenId,
    facts: &TokenFacts,
) -> AccessTokenClaims {
    let session = &facts.session;
    AccessTokenClaims {
        iss: ctx.config.issuer.clone(),
        sub: subject,
        aud: facts.audiences.clone(),
        client_id: session.client_id.clone(),
        exp: facts.expires_at.secs(),
        iat: facts.issued_at.secs(),
        jti: token,
        sid: session.id,
        gid: session.grant,
        generation: facts.generation,
        auth_time: session.auth_time_secs,
        acr: session.acr.clone(),
        scope: Some(facts.scope.clone()),
        roles: Vec::new(),
        groups: session.groups.clone(),
        cnf: facts.jkt.clone().map(|jkt| Confirmation { jkt: Some(jkt) }),
        act: None,
    }
}

fn id_token_claims(
    ctx: &Ctx,
    subject: SubjectKey,
    facts: &TokenFacts,
    access_token: &str,
) -> IdTokenClaims {
    let session = &facts.session;
    let issued_at = facts.issued_at.secs();
    IdTokenClaims {
        iss: ctx.config.issuer.clone(),
        sub: subject,
        aud: session.client_id.clone(),
        exp: issued_at + ID_TOKEN_TTL_SECS,
        iat: issued_at,
        auth_time: session.auth_time_secs,
        nonce: facts.nonce.clone(),
        sid: session.id,
        acr: session.acr.clone(),
        at_hash: Some(at_hash(access_token)),
    }
}
