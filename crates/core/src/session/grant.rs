//! What every grant has in common: one-time values, the facts of a token, and why there is none.

use super::consent::covers;
use super::provision::Provisioned;
use super::revoke::{Cause, Revoke, Scope};
use super::{ACCESS_TOKEN_TTL_SECS, Change, Command, Decision, Session, State};
use crate::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use crate::client::uri::as_registered;
use crate::id::{LogHash, SessionId, TokenId};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Something that is accepted once: a `DPoP` proof, a client's assertion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTime {
    /// Of what makes it unique.
    pub digest: Digest,
    /// When it could not be accepted any more anyway.
    pub until: UnixMillis,
}

/// A `DPoP` proof that was verified (RFC 9449 section 4.3), but for its being new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The thumbprint of its key.
    pub jkt: String,
    /// Its `jti`.
    pub once: OneTime,
}

/// What a command brings that is accepted once.
#[derive(Clone, Copy, Debug, Default)]
pub struct OneTimes<'a> {
    /// A `DPoP` proof.
    pub proof: Option<&'a OneTime>,
    /// The assertion that authenticates a client.
    pub assertion: Option<&'a OneTime>,
}

/// Which of them came before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replayed {
    /// The proof.
    pub proof: bool,
    /// The assertion.
    pub assertion: bool,
}

/// What a client asks of a token endpoint, whichever grant it uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// Who asks.
    pub client_id: String,
    /// `scope`, if it asks for less than was granted.
    pub scope: Option<String>,
    /// `resource` (RFC 8707), if it asks for fewer audiences than were granted.
    pub resources: Vec<String>,
    /// The key that the token is to be bound to.
    pub proof: Option<Proof>,
    /// Whether refresh tokens are bound to it, too: those of a public client are (RFC 9449 section 5).
    pub binds_refresh: bool,
    /// The id of the access token to be minted, random.
    pub token: TokenId,
    /// The HTTP request, for the log.
    pub request: RequestFacts,
}

/// What a token may say. Only a decision makes one, so to hold it is to be allowed to mint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// The session it rests on.
    pub session: Session,
    /// The subject's generation.
    pub generation: u64,
    /// The scope granted.
    pub scope: String,
    /// The audiences it is for.
    pub audiences: Vec<String>,
    /// The client's `nonce`.
    pub nonce: Option<String>,
    /// The key it is bound to.
    pub jkt: Option<String>,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// When it expires.
    pub expires_at: UnixMillis,
    /// What the directory says of the person.
    pub provisioned: Option<Provisioned>,
}

/// Why no token was given; for the log. What of it the caller learns is the shell's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
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
    /// No such refresh token, or it was dropped with its session.
    RefreshUnknown,
    /// Another client than it was made for.
    RefreshMismatch,
    /// It was exchanged before, too long ago or with its successor used; the session has been ended.
    RefreshReused,
    /// More scope than was granted.
    ScopeExceeded,
    /// An audience that was not granted.
    TargetExceeded,
    /// No proof, or another key than the credential is bound to.
    ProofMismatch,
    /// The proof came before.
    ProofReplayed,
    /// The client's assertion came before.
    AssertionReplayed,
}

impl Refusal {
    /// The stable name, as in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CodeUnknown => "code_unknown",
            Self::CodeReused => "code_reused",
            Self::CodeExpired => "code_expired",
            Self::CodeMismatch => "code_mismatch",
            Self::SessionNotLive => "session_not_live",
            Self::RefreshUnknown => "refresh_unknown",
            Self::RefreshMismatch => "refresh_mismatch",
            Self::RefreshReused => "refresh_reused",
            Self::ScopeExceeded => "scope_exceeded",
            Self::TargetExceeded => "target_exceeded",
            Self::ProofMismatch => "proof_mismatch",
            Self::ProofReplayed => "proof_replayed",
            Self::AssertionReplayed => "assertion_replayed",
        }
    }
}

/// What a grant allows at most.
pub(super) struct Granted<'a> {
    pub session: &'a Session,
    pub scope: &'a str,
    pub audiences: &'a [String],
    pub nonce: Option<&'a str>,
    /// The key that must be proven, if there is one yet.
    pub jkt: Option<&'a str>,
}

impl TokenRequest {
    /// The proof, for [`super::Needs`].
    pub(super) fn one_time(&self) -> OneTimes<'_> {
        OneTimes {
            proof: self.proof.as_ref().map(|proof| &proof.once),
            assertion: None,
        }
    }

    /// The facts of a token within `granted`.
    pub(super) fn within(
        &self,
        granted: &Granted,
        state: &State,
        now: UnixMillis,
    ) -> Result<TokenFacts, Refusal> {
        if state.replayed.assertion {
            return Err(Refusal::AssertionReplayed);
        }
        // What is over by this clock may have been used and forgotten.
        let is_over = |proof: &Proof| proof.once.until <= now;
        if state.replayed.proof || self.proof.as_ref().is_some_and(is_over) {
            return Err(Refusal::ProofReplayed);
        }
        let proven = self.proof.as_ref().map(|proof| proof.jkt.as_str());
        if granted.jkt.is_some() && proven != granted.jkt {
            return Err(Refusal::ProofMismatch);
        }
        let session = granted.session;
        Ok(TokenFacts {
            session: session.clone(),
            generation: state.subject.generation,
            scope: narrowed_scope(self.scope.as_deref(), granted.scope)?,
            audiences: narrowed_audiences(&self.resources, granted.audiences)?,
            nonce: granted.nonce.map(str::to_owned),
            jkt: proven.map(str::to_owned),
            issued_at: now,
            expires_at: now
                .plus_secs(ACCESS_TOKEN_TTL_SECS)
                .min(session.live_until()),
            provisioned: state.provisioned.clone(),
        })
    }

    /// What uses up the proof.
    pub(super) fn used_up(&self) -> Option<Change> {
        let proof = self.proof.as_ref()?;
        Some(Change::UseUp(proof.once.clone()))
    }

    /// The event of a token that was issued in `session`.
    pub(super) fn issued(&self, state: &State, session: SessionId, now: UnixMillis) -> Event {
        Event {
            session: Some(LogHash::of_session(session)),
            token: Some(LogHash::of_token(self.token)),
            ..self.event(state, Outcome::Success, now)
        }
    }

    /// Nothing but the event of a refusal.
    pub(super) fn refused<T>(
        &self,
        state: &State,
        why: Refusal,
        now: UnixMillis,
    ) -> Decision<Result<T, Refusal>> {
        let event = Event {
            reason: Some(why.as_str().to_owned()),
            ..self.event(state, Outcome::Denied, now)
        };
        Decision {
            // A proof is used up whatever came of it.
            changes: self.used_up().into_iter().collect(),
            events: vec![event],
            reply: Err(why),
        }
    }

    /// A refusal that ends the session: one of two callers is not who they should be, and nobody
    /// can tell which.
    pub(super) fn refused_and_ended<T>(
        &self,
        state: &State,
        (why, cause): (Refusal, Cause),
        session: SessionId,
        now: UnixMillis,
    ) -> Decision<Result<T, Refusal>> {
        let actor = Actor::Client(self.client_id.clone());
        let kill = Revoke::new(Scope::Session(session), cause, actor).decide(state, now);
        let mut decision = self.refused(state, why, now);
        decision.changes.extend(kill.changes);
        decision.events.extend(kill.events);
        decision
    }

    fn event(&self, state: &State, outcome: Outcome, now: UnixMillis) -> Event {
        let actor = Actor::Client(self.client_id.clone());
        Event {
            subject: Some(state.subject.key),
            client_id: Some(self.client_id.clone()),
            request: Some(self.request.clone()),
            ..Event::new(now, Action::TokenIssued, outcome, actor)
        }
    }
}

/// The scope asked for, if all of it is in `granted` (RFC 6749 section 6).
fn narrowed_scope(asked: Option<&str>, granted: &str) -> Result<String, Refusal> {
    let Some(asked) = asked else {
        return Ok(granted.to_owned());
    };
    covers(granted, asked)
        .then(|| asked.to_owned())
        .ok_or(Refusal::ScopeExceeded)
}

/// The audiences asked for, if all are in `granted` (RFC 8707 section 2.2).
fn narrowed_audiences(asked: &[String], granted: &[String]) -> Result<Vec<String>, Refusal> {
    if asked.is_empty() {
        return Ok(granted.to_vec());
    }
    let found = asked.iter().map(|one| as_registered(granted, one));
    found
        .map(|one| one.map(str::to_owned))
        .collect::<Option<_>>()
        .ok_or(Refusal::TargetExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_audience_are_narrowed_and_never_widened() {
        assert_eq!(narrowed_scope(None, "a b"), Ok("a b".to_owned()));
        assert_eq!(narrowed_scope(Some("b"), "a b"), Ok("b".to_owned()));
        for wider in ["c", "a c", "A", "a\tb"] {
            assert_eq!(
                narrowed_scope(Some(wider), "a b"),
                Err(Refusal::ScopeExceeded)
            );
        }
        let granted = ["https://a".to_owned(), "https://b".to_owned()];
        assert_eq!(narrowed_audiences(&[], &granted), Ok(granted.to_vec()));
        let one = ["https://b".to_owned()];
        assert_eq!(narrowed_audiences(&one, &granted), Ok(one.to_vec()));
        // As stock clients spell an origin.
        let slashed = ["https://b/".to_owned()];
        assert_eq!(narrowed_audiences(&slashed, &granted), Ok(one.to_vec()));
        let other = ["https://b/c".to_owned()];
        assert_eq!(
            narrowed_audiences(&other, &granted),
            Err(Refusal::TargetExceeded)
        );
    }
}
