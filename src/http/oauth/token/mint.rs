//! Facts become tokens. Only a decision of the subject makes facts, so nothing is decided here, but for which groups and
//! roles the facts come to: that is the connection's to say, as it is now
//! ([`portcullis_core::connection::entitlements`]).

use crate::connections::{self, Connections};
use crate::http::context::Ctx;
use crate::keys::{self, OurKeys};
use portcullis_core::client::GrantType;
use portcullis_core::connection::entitlements::Entitlements;
use portcullis_core::id::{SubjectKey, TokenId};
use portcullis_core::jwt::access_token::{self, AccessTokenClaims, Confirmation};
use portcullis_core::jwt::actor::Actor;
use portcullis_core::jwt::id_token::{self, IdTokenClaims, at_hash};
use portcullis_core::oauth::opaque::RefreshToken;
use portcullis_core::session::Session;
use portcullis_core::session::grant::TokenFacts;
use serde::Serialize;
use serde_json::{Map, Value};
use std::rc::Rc;
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
    /// Of a token exchange (RFC 8693 section 2.2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_token_type: Option<&'static str>,
}

impl Tokens {
    /// The same, with the type of what was issued where the grant's answer has to say it.
    pub fn of_type(self, token_type: &'static str, grant: GrantType) -> Self {
        Self {
            issued_token_type: (grant == GrantType::TokenExchange).then_some(token_type),
            ..self
        }
    }
}

/// What a subject has decided to give.
pub(super) struct Minted {
    pub subject: SubjectKey,
    pub token: TokenId,
    pub facts: TokenFacts,
    /// The client that it is given to: the session's, but for an exchange.
    pub client_id: String,
    pub refresh: Option<RefreshToken>,
    /// Who acts with it in the subject's stead.
    pub act: Option<Actor>,
}

impl Minted {
    /// An access token for the session's own client, and nothing with it.
    pub fn new(subject: SubjectKey, token: TokenId, facts: TokenFacts) -> Self {
        Self {
            subject,
            token,
            client_id: facts.session.client_id.clone(),
            facts,
            refresh: None,
            act: None,
        }
    }
}

/// What minting takes. It is there before a subject decides: a code that was redeemed and could not be answered
/// for is lost.
pub(super) struct Mint<'a> {
    ctx: &'a Ctx,
    pub keys: Rc<OurKeys>,
    connections: Connections,
}

impl<'a> Mint<'a> {
    /// For tokens of persons.
    pub async fn of_person(ctx: &'a Ctx) -> Result<Self> {
        Self::with_keys(ctx, keys::ours(&ctx.env, &ctx.config).await?).await
    }

    /// The same, where the keys are at hand.
    pub async fn with_keys(ctx: &'a Ctx, keys: Rc<OurKeys>) -> Result<Self> {
        Ok(Self {
            ctx,
            keys,
            connections: connections::all(&ctx.env, &ctx.config).await?,
        })
    }

    /// For tokens of services, of whom no directory says anything.
    pub async fn of_service(ctx: &'a Ctx) -> Result<Self> {
        Ok(Self {
            ctx,
            keys: keys::ours(&ctx.env, &ctx.config).await?,
            connections: Connections::default(),
        })
    }

    /// The tokens that the facts allow.
    pub async fn mint(&self, minted: Minted) -> Result<Tokens> {
        let Self { ctx, keys, .. } = self;
        let entitlements = self.entitlements(&minted.facts);
        let claims = access_token_claims(ctx, &minted, entitlements);
        let access_token = keys.sign(&claims, access_token::TYP).await?;
        let Minted {
            subject,
            facts,
            refresh,
            act,
            ..
        } = minted;
        let asks_who = facts.scope.split(' ').any(|scope| scope == "openid");
        let id_token = if asks_who && act.is_none() {
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
            issued_token_type: None,
        })
    }

    /// A connection that is gone makes nothing of what its directory said.
    fn entitlements(&self, facts: &TokenFacts) -> Entitlements {
        let session = &facts.session;
        let brought = Entitlements::brought(&session.groups, &session.roles);
        let mut all = self.connections.iter();
        let connection = all.find(|one| one.id == session.connection);
        match (connection, &facts.provisioned) {
            (Some(connection), Some(said)) => connection.entitlements(&brought, said),
            _ => brought,
        }
    }
}

fn access_token_claims(
    ctx: &Ctx,
    minted: &Minted,
    Entitlements { groups, roles }: Entitlements,
) -> AccessTokenClaims {
    let facts = &minted.facts;
    let session = &facts.session;
    AccessTokenClaims {
        iss: ctx.config.issuer.clone(),
        sub: minted.subject,
        aud: facts.audiences.clone(),
        client_id: minted.client_id.clone(),
        exp: facts.expires_at.secs(),
        iat: facts.issued_at.secs(),
        jti: minted.token,
        sid: session.id,
        gid: session.grant,
        generation: facts.generation,
        auth_time: session.auth_time_secs,
        acr: session.acr.clone(),
        scope: Some(facts.scope.clone()),
        roles,
        groups,
        idp_claims: idp_claims(session),
        cnf: facts.jkt.clone().map(|jkt| Confirmation { jkt: Some(jkt) }),
        act: minted.act.clone(),
    }
}

/// What cannot be read is left out: it was written as JSON.
fn idp_claims(session: &Session) -> Map<String, Value> {
    let claims = session.claims.iter().filter_map(|claim| {
        let value = serde_json::from_str(&claim.json).ok()?;
        Some((claim.name.clone(), value))
    });
    claims.collect()
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
