//! A service that was sent a token gets a lesser one to act on with (RFC 8693): never more scope, for
//! audiences of its own, in the same session, and naming the service as the actor.
//!
//! The kill of the subject or of the session ends it, and so does the kill of the actor: whoever checks asks
//! both objects. A revocation of the one token it came of does not reach it; it does not outlive that
//! token.

use super::check::CheckRequest;
use super::grant::{Granted, Refusal, TokenFacts, TokenRequest};
use super::{Command, Decision, Needs, Sessions, State};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Exchange an access token, already verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The question whether it is in force.
    pub check: CheckRequest,
    /// The scope that it has.
    pub scope: String,
    /// The audiences that the service may have tokens for.
    pub audiences: Vec<String>,
    /// When it expires; what comes of it does not outlive it.
    pub expires_at: UnixMillis,
    /// What every grant asks; the client is the actor.
    pub ask: TokenRequest,
}

impl Command for Exchange {
    type Reply = Result<TokenFacts, Refusal>;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::One(self.check.session),
            one_time: self.ask.one_time(),
            token: self.check.token,
            provisioned: true,
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<Self::Reply> {
        match self.judge(state, now) {
            Ok(facts) => Decision {
                changes: self.ask.used_up().into_iter().collect(),
                events: vec![self.ask.issued(state, self.check.session, now)],
                reply: Ok(facts),
            },
            Err(refusal) => self.ask.refused(state, refusal, now),
        }
    }
}

impl Exchange {
    fn judge(&self, state: &State, now: UnixMillis) -> Result<TokenFacts, Refusal> {
        let session = state
            .live_session(self.check.session, now)
            .ok_or(Refusal::SessionNotLive)?;
        let is_old = self
            .check
            .generation
            .is_some_and(|of| of != state.subject.generation);
        if is_old || state.token_revoked || now >= self.expires_at {
            return Err(Refusal::SessionNotLive);
        }
        let granted = Granted {
            session,
            scope: &self.scope,
            audiences: &self.audiences,
            nonce: None,
            jkt: None,
        };
        let facts = self.ask.within(&granted, state, now)?;
        Ok(TokenFacts {
            expires_at: facts.expires_at.min(self.expires_at),
            ..facts
        })
    }
}
