//! A client redeems its authorization code (RFC 6749 section 4.1.3, RFC 7636 section 4.6).
//!
//! Once: a second redemption ends the session (section 4.1.2), for one of the two callers is not
//! who they should be, and nobody can tell which.

use super::revoke::{Cause, Revoke, Scope};
use super::{ACCESS_TOKEN_TTL_SECS, Change, Code, Command, Decision, Session, State};
use crate::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use crate::id::{LogHash, TokenId};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Exchange a code for the facts of an access token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redeem {
    /// Of the code's secret part.
    pub code: Digest,
    /// Who redeems it.
    pub client_id: String,
    /// `redirect_uri`, as it was in the authorization request.
    pub redirect_uri: String,
    /// S256 of the `code_verifier` presented.
    pub code_challenge: String,
    /// The id of the access token to be minted, random.
    pub token: TokenId,
    /// The HTTP request, for the log.
    pub request: RequestFacts,
}

/// What a token may say. Only a redemption makes one, so to hold it is to be allowed to mint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// The session it rests on.
    pub session: Session,
    /// The subject's generation.
    pub generation: u64,
    /// The scope granted.
    pub scope: String,
    /// The audience it is for.
    pub audience: String,
    /// The client's `nonce`.
    pub nonce: Option<String>,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// When it expires.
    pub expires_at: UnixMillis,
}

/// Facts for a token, or `invalid_grant`: the caller learns no more (RFC 6749 section 5.2).
pub type RedeemReply = Result<TokenFacts, InvalidGrant>;

/// Why a code was not accepted; for the log, not for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvalidGrant {
    /// No such code, or it was dropped with its session.
    CodeUnknown,
    /// It was redeemed before; the session has been ended.
    CodeReused,
    /// Too late.
    CodeExpired,
    /// Another client, redirect URI or verifier than it was made for.
    CodeMismatch,
    /// The session or the subject was ended since.
    SessionNotLive,
}

impl InvalidGrant {
    /// The stable name, as in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeUnknown => "code_unknown",
            Self::CodeReused => "code_reused",
            Self::CodeExpired => "code_expired",
            Self::CodeMismatch => "code_mismatch",
            Self::SessionNotLive => "session_not_live",
        }
    }
}

impl Command for Redeem {
    type Reply = RedeemReply;

    fn code(&self) -> Option<&Digest> {
        Some(&self.code)
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<RedeemReply> {
        match self.judge(state, now) {
            Ok((code, session)) => self.mint(state, code, session, now),
            Err(refusal) => self.refuse(state, refusal, now),
        }
    }
}

impl Redeem {
    fn judge<'s>(
        &self,
        state: &'s State,
        now: UnixMillis,
    ) -> Result<(&'s Code, &'s Session), InvalidGrant> {
        let code = state.code.as_ref().ok_or(InvalidGrant::CodeUnknown)?;
        if code.client_id != self.client_id || code.redirect_uri != self.redirect_uri {
            return Err(InvalidGrant::CodeMismatch);
        }
        if code.redeemed {
            return Err(InvalidGrant::CodeReused);
        }
        if now >= code.expires_at {
            return Err(InvalidGrant::CodeExpired);
        }
        if code.code_challenge != self.code_challenge {
            return Err(InvalidGrant::CodeMismatch);
        }
        let session = state
            .sessions
            .iter()
            .find(|session| session.id == code.session)
            .filter(|session| session.is_live(now) && !state.subject.disabled)
            .ok_or(InvalidGrant::SessionNotLive)?;
        Ok((code, session))
    }

    fn mint(
        &self,
        state: &State,
        code: &Code,
        session: &Session,
        now: UnixMillis,
    ) -> Decision<RedeemReply> {
        let facts = TokenFacts {
            session: session.clone(),
            generation: state.subject.generation,
            scope: code.scope.clone(),
            audience: code.audience.clone(),
            nonce: code.nonce.clone(),
            issued_at: now,
            expires_at: now.plus_secs(ACCESS_TOKEN_TTL_SECS).min(session.expires_at),
        };
        let redeemed = Code {
            redeemed: true,
            // Remembered as long as what it gave lives, so that reuse is recognised.
            expires_at: facts.expires_at,
            ..code.clone()
        };
        Decision {
            changes: vec![Change::PutCode(redeemed)],
            events: vec![Event {
                session: Some(LogHash::of_session(session.id)),
                token: Some(LogHash::of_token(self.token)),
                ..self.event(state, Action::TokenIssued, Outcome::Success, now)
            }],
            reply: Ok(facts),
        }
    }

    fn refuse(&self, state: &State, why: InvalidGrant, now: UnixMillis) -> Decision<RedeemReply> {
        let mut changes = Vec::new();
        let mut events = vec![Event {
            reason: Some(why.as_str().to_owned()),
            ..self.event(state, Action::TokenIssued, Outcome::Denied, now)
        }];
        if let (InvalidGrant::CodeReused, Some(code)) = (why, &state.code) {
            let kill = Revoke::new(
                Scope::Session(code.session),
                Cause::CodeReused,
                Actor::Client(self.client_id.clone()),
            )
            .decide(state, now);
            changes = kill.changes;
            events.extend(kill.events);
        }
        Decision {
            changes,
            events,
            reply: Err(why),
        }
    }

    fn event(&self, state: &State, action: Action, outcome: Outcome, now: UnixMillis) -> Event {
        Event {
            subject: Some(state.subject.key),
            client_id: Some(self.client_id.clone()),
            request: Some(self.request.clone()),
            ..Event::new(now, action, outcome, Actor::Client(self.client_id.clone()))
        }
    }
}
