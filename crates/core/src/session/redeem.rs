//! A client redeems its authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
//!
//! Once: a second redemption ends the session (section 4.1.2), for one of the two callers is not
//! who they should be, and nobody can tell which.

use super::grant::{Granted, Refusal, TokenFacts, TokenRequest};
use super::revoke::Cause;
use super::{Change, Code, Command, Decision, Family, Needs, Session, Sessions, State};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Exchange a code for the facts of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeem {
    /// Of the code's secret part.
    pub code: Digest,
    /// `redirect_uri`, as it was in the authorization request.
    pub redirect_uri: String,
    /// S256 of the `code_verifier` presented.
    pub code_challenge: String,
    /// Of the first refresh token's secret part, if the client may have one.
    pub refresh: Option<Digest>,
    /// What every grant asks.
    pub ask: TokenRequest,
}

/// Facts for a token, or why not.
pub type RedeemReply = Result<TokenFacts, Refusal>;

impl Command for Redeem {
    type Reply = RedeemReply;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::OfCode,
            code: Some(&self.code),
            one_time: self.ask.one_time(),
            provisioned: true,
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<RedeemReply> {
        match self.judge(state, now) {
            Ok((code, facts)) => self.mint(state, code, facts, now),
            Err(refusal) => match (refusal, &state.code) {
                (Refusal::CodeReused, Some(code)) => self.ask.refused_and_ended(
                    state,
                    (refusal, Cause::CodeReused),
                    code.session,
                    now,
                ),
                _ => self.ask.refused(state, refusal, now),
            },
        }
    }
}

impl Redeem {
    fn judge<'s>(
        &self,
        state: &'s State,
        now: UnixMillis,
    ) -> Result<(&'s Code, TokenFacts), Refusal> {
        let code = state.code.as_ref().ok_or(Refusal::CodeUnknown)?;
        if code.client_id != self.ask.client_id || code.redirect_uri != self.redirect_uri {
            return Err(Refusal::CodeMismatch);
        }
        if code.redeemed {
            return Err(Refusal::CodeReused);
        }
        if now >= code.expires_at {
            return Err(Refusal::CodeExpired);
        }
        if code.code_challenge != self.code_challenge {
            return Err(Refusal::CodeMismatch);
        }
        let session = state
            .live_session(code.session, now)
            .ok_or(Refusal::SessionNotLive)?;
        let facts = self.ask.within(&granted(code, session), state, now)?;
        Ok((code, facts))
    }

    fn mint(
        &self,
        state: &State,
        code: &Code,
        facts: TokenFacts,
        now: UnixMillis,
    ) -> Decision<RedeemReply> {
        let redeemed = Code {
            redeemed: true,
            // Remembered as long as what it gave lives, so that reuse is recognised.
            expires_at: facts.expires_at,
            ..code.clone()
        };
        let family = self.refresh.map(|current| {
            Change::PutFamily(Family {
                session: code.session,
                client_id: code.client_id.clone(),
                scope: code.scope.clone(),
                audiences: code.audiences.clone(),
                jkt: facts.jkt.clone().filter(|_| self.ask.binds_refresh),
                current,
                previous: None,
            })
        });
        Decision {
            changes: [Some(Change::PutCode(redeemed)), family, self.ask.used_up()]
                .into_iter()
                .flatten()
                .collect(),
            events: vec![self.ask.issued(state, code.session, now)],
            reply: Ok(facts),
        }
    }
}

fn granted<'a>(code: &'a Code, session: &'a Session) -> Granted<'a> {
    Granted {
        session,
        scope: &code.scope,
        audiences: &code.audiences,
        nonce: code.nonce.as_deref(),
        jkt: code.dpop_jkt.as_deref(),
    }
}
