//! A service gets a token for itself: `client_credentials` (RFC 6749 section 4.4), or by its workload's
//! token ([`super::workload`]).

use super::mint::{Mint, Minted};
use super::{Asked, Granted};
use crate::objects::call;
use crate::runtime::new_id;
use portcullis_core::id::{GrantId, SessionId, SubjectKey, TokenId};
use portcullis_core::policy::trust::Trust;
use portcullis_core::session::grant::TokenRequest;
use portcullis_core::session::service::{IssueToService, LOCAL};

/// Scopes that are about a person: a service is none.
const OF_PEOPLE: [&str; 4] = ["openid", "profile", "email", "offline_access"];

pub(super) async fn issue(asked: &Asked<'_>, trust: Option<&Trust>) -> Granted {
    let ctx = asked.ctx;
    let subject = asked.service_subject();
    let token = TokenId::from_bytes(new_id()?);
    let command = command(asked, trust, asked.ask_with_default_resource(token))?;
    let mint = Mint::of_service(ctx).await?;
    let facts = match call::subject(&ctx.env, subject, command).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(refusal)) => return Ok(Err(refusal.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    let minted = Minted::new(subject, token, facts);
    mint.mint(minted).await.map(Ok)
}

/// Issue to the client itself, within what it may have and what the trust lets through.
pub(super) fn command(
    asked: &Asked<'_>,
    trust: Option<&Trust>,
    ask: TokenRequest,
) -> worker::Result<IssueToService> {
    let within_trust = |scope: &&str| trust.is_none_or(|trust| trust.scopes().any(|s| s == *scope));
    let scopes: Vec<&str> = asked
        .client
        .scopes()
        .filter(|scope| !OF_PEOPLE.contains(scope))
        .filter(within_trust)
        .collect();
    Ok(IssueToService {
        session: SessionId::from_bytes(new_id()?),
        grant: GrantId::from_bytes(new_id()?),
        connection: trust.map_or_else(|| LOCAL.to_owned(), |trust| Trust::connection(&trust.id)),
        scope: scopes.join(" "),
        asked_at: asked.ctx.now,
        audiences: asked.audiences().to_vec(),
        // An assertion was remembered when the client was authenticated.
        assertion: None,
        ask,
    })
}

impl Asked<'_> {
    /// The subject that the client itself is.
    pub(super) fn service_subject(&self) -> SubjectKey {
        SubjectKey::derive(&self.ctx.config.naming_key, LOCAL, &self.client.client_id)
    }
}
