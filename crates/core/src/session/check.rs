//! The question a gateway asks on every request, and the answer.
//!
//! Both travel in the [`wire`](crate::wire) envelope, over a service binding from the gateway and
//! from the Worker to the subject's object. Whoever asks has already verified the credential; what
//! is decided here is only whether it has been ended since.

use crate::id::{SessionId, SubjectKey, TokenId};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Is this credential still good?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    /// Whose it is.
    pub subject: SubjectKey,
    /// The session it rests on.
    pub session: SessionId,
    /// The token's own id, so that a single token can be revoked; `None` asks for the session.
    pub token: Option<TokenId>,
    /// The subject's generation that the token was minted under; `None` asks for the session.
    pub generation: Option<u64>,
    /// The key that signed the token: a compromised one is refused whatever it signed.
    pub kid: Option<String>,
    /// Who acts with the token in the subject's stead, by its `act` (RFC 8693 section 4.1): all must be
    /// in force.
    pub actors: Vec<ActorCheck>,
}

impl CheckRequest {
    /// Asks for a session, whatever token rests on it.
    #[must_use]
    pub const fn of_session(subject: SubjectKey, session: SessionId) -> Self {
        Self {
            subject,
            session,
            token: None,
            generation: None,
            kid: None,
            actors: Vec::new(),
        }
    }
}

/// One who acts in another's stead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActorCheck {
    /// Who.
    pub subject: SubjectKey,
    /// In which session of theirs.
    pub session: SessionId,
    /// Their generation when the token was minted.
    pub generation: u64,
}

impl From<&ActorCheck> for CheckRequest {
    fn from(actor: &ActorCheck) -> Self {
        Self {
            generation: Some(actor.generation),
            ..Self::of_session(actor.subject, actor.session)
        }
    }
}

/// The answer and the moment it was true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    /// Good, or why not.
    pub verdict: Verdict,
    /// When the subject's object read its storage, by its own clock.
    pub checked_at: UnixMillis,
}

/// Whether a credential is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The session is live until the given time at the latest.
    Active {
        /// The session's absolute end.
        session_expires_at: UnixMillis,
    },
    /// It must not be accepted.
    Denied(DenyReason),
}

impl Verdict {
    /// Whether it may be accepted.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active { .. })
    }
}

/// Why a credential is not accepted. The text form goes into replies and into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// Deactivated, and not reactivated since.
    SubjectDisabled,
    /// No such session was ever begun, or it is long gone.
    SessionUnknown,
    /// Ended by a log-out or a kill.
    SessionEnded,
    /// Past its absolute limit.
    SessionExpired,
    /// This one token was revoked.
    TokenRevoked,
    /// Minted before the subject was last killed.
    GenerationStale,
    /// Signed by a key that was compromised.
    KeyRevoked,
    /// Whoever acts with it in the subject's stead is not in force.
    ActorDenied,
    /// An identity provider's token from before the subject was last killed or let in again.
    IssuedBeforeKill,
    /// An identity provider's token from before its connection was revoked.
    ConnectionRevoked,
}

impl DenyReason {
    /// The stable name, as in replies and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SubjectDisabled => "subject_disabled",
            Self::SessionUnknown => "session_unknown",
            Self::SessionEnded => "session_ended",
            Self::SessionExpired => "session_expired",
            Self::TokenRevoked => "token_revoked",
            Self::GenerationStale => "generation_stale",
            Self::KeyRevoked => "key_revoked",
            Self::ActorDenied => "actor_denied",
            Self::IssuedBeforeKill => "issued_before_kill",
            Self::ConnectionRevoked => "connection_revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn golden_bytes() {
        let request = CheckRequest {
            subject: SubjectKey::from_bytes([1; 16]),
            session: SessionId::from_bytes([2; 16]),
            token: None,
            generation: Some(3),
            kid: Some("k".into()),
            actors: vec![ActorCheck {
                subject: SubjectKey::from_bytes([4; 16]),
                session: SessionId::from_bytes([5; 16]),
                generation: 6,
            }],
        };
        let mut expected = vec![1];
        expected.extend([1; 16]);
        expected.extend([2; 16]);
        expected.extend([0, 1, 3, 1, 1, b'k', 1]);
        expected.extend([4; 16]);
        expected.extend([5; 16]);
        expected.push(6);
        assert_eq!(wire::encode(&request), Ok(expected));
        let reply = CheckReply {
            verdict: Verdict::Denied(DenyReason::SessionEnded),
            checked_at: UnixMillis(5),
        };
        assert_eq!(wire::encode(&reply), Ok(vec![1, 1, 2, 5]));
        assert_eq!(wire::decode(&[1, 1, 2, 5]), Ok(reply));
    }
}
