//! Sessions: what begins them, what ends them, and whether a credential is still good.
//!
//! One [`State`] per subject. A [`Command`] looks at it and returns a [`Decision`]: changes to
//! store, events to log, and a reply. The shell loads the state, stores changes and events in one
//! transaction, and answers only when that has committed.
//!
//! A command never partly applies, and every way to end something is [`revoke::Revoke`].

pub mod call;
pub mod check;
pub mod login;
pub mod reactivate;
pub mod redeem;
pub mod revoke;

use crate::audit::event::Event;
use crate::id::{GrantId, SessionId, SubjectKey, TokenId};
use crate::secret::Digest;
use crate::time::UnixMillis;
use check::{CheckRequest, DenyReason, Verdict};
use revoke::{Cause, IdempotencyKey, Revoked};
use serde::{Deserialize, Serialize};

/// How long an access token lives, in seconds. Minutes: the kill does not wait for it, but a
/// gateway that cannot ask has nothing else.
pub const ACCESS_TOKEN_TTL_SECS: u64 = 300;
/// How long an authorization code may wait to be redeemed, in seconds (RFC 6749 section 4.1.2
/// recommends at most ten minutes).
pub const CODE_TTL_SECS: u64 = 60;
/// A session's absolute limit, in seconds.
pub const SESSION_TTL_SECS: u64 = 12 * 3600;
/// How long an ended or expired session is remembered, in seconds: longer than any token that rests
/// on it, so that the answer says "ended" and not "unknown". Not much longer: someone who logs in by
/// the thousand must not fill their object.
pub const SESSION_MEMORY_SECS: u64 = 3600;
/// The most live sessions a subject may hold; one more ends the oldest.
pub const MAX_LIVE_SESSIONS: usize = 100;

/// What is kept of a subject as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Who.
    pub key: SubjectKey,
    /// Counts kills of the whole subject; tokens carry the one they were minted under.
    pub generation: u64,
    /// Deactivated: nothing is accepted and nobody logs in until reactivation.
    pub disabled: bool,
    /// The highest directory version applied; older ones change nothing.
    pub directory_version: u64,
    /// When the whole subject was last killed: log-ins begun before must begin again.
    pub killed_at: Option<UnixMillis>,
}

impl Subject {
    /// A subject that was never seen: no generation, nothing ended.
    #[must_use]
    pub const fn unseen(key: SubjectKey) -> Self {
        Self {
            key,
            generation: 0,
            disabled: false,
            directory_version: 0,
            killed_at: None,
        }
    }
}

/// One log-in on one device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its `sid`.
    pub id: SessionId,
    /// What its client was given.
    pub grant: GrantId,
    /// Which client.
    pub client_id: String,
    /// Through which connection the person logged in.
    pub connection: String,
    /// When it began.
    pub begun_at: UnixMillis,
    /// When the person last proved who they are, in seconds (`auth_time`, OIDC Core section 2).
    pub auth_time_secs: u64,
    /// How they proved it (`acr`), as the identity provider said.
    pub acr: Option<String>,
    /// Groups that the identity provider named.
    pub groups: Vec<String>,
    /// The browser or app, from `User-Agent`.
    pub device: Option<String>,
    /// Its absolute end.
    pub expires_at: UnixMillis,
    /// Set once it was ended before that.
    pub ended: Option<Ended>,
}

impl Session {
    /// When it need not be remembered any more.
    #[must_use]
    pub fn forget_at(&self) -> UnixMillis {
        let over = self.ended.map_or(self.expires_at, |ended| ended.at);
        over.plus_secs(SESSION_MEMORY_SECS)
    }

    /// Whether it is neither ended nor past its limit.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.ended.is_none() && now < self.expires_at
    }
}

/// That a session was ended, when and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: UnixMillis,
    /// Why.
    pub cause: Cause,
}

/// An authorization code that waits to be redeemed, or was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Of the code's secret part; the code itself is nowhere.
    pub digest: Digest,
    /// The session it stands for.
    pub session: SessionId,
    /// Who may redeem it.
    pub client_id: String,
    /// The redirect URI it was sent to.
    pub redirect_uri: String,
    /// PKCE, always S256 (RFC 7636 section 4.2).
    pub code_challenge: String,
    /// The client's `nonce`, for the ID token.
    pub nonce: Option<String>,
    /// The scope granted.
    pub scope: String,
    /// The audience of the access token.
    pub audience: String,
    /// After this it is worth nothing.
    pub expires_at: UnixMillis,
    /// Single use: set by the first redemption.
    pub redeemed: bool,
}

/// What a command may look at.
#[derive(Clone, Debug)]
pub struct State {
    /// The subject as a whole.
    pub subject: Subject,
    /// Sessions that are live or still remembered.
    pub sessions: Vec<Session>,
    /// The code the command names, if there is one.
    pub code: Option<Code>,
    /// What was answered before under the command's idempotency key.
    pub earlier: Option<EarlierReply>,
}

/// An answer given before under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierReply {
    /// Of the request that it answered.
    pub fingerprint: Digest,
    /// The answer.
    pub reply: Revoked,
}

/// A change to store. All of a decision's changes are stored, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Replace the subject's row.
    PutSubject(Subject),
    /// Insert or replace a session.
    PutSession(Session),
    /// Insert or replace a code.
    PutCode(Code),
    /// Forget the codes of one session.
    DropCodesOf(SessionId),
    /// Refuse one token until it would have expired anyway.
    RevokeToken {
        /// The token's `jti`.
        token: TokenId,
        /// When it can be forgotten.
        until: UnixMillis,
    },
    /// Answer the same to the same request, for a day.
    RememberReply {
        /// The caller's key.
        key: IdempotencyKey,
        /// The answer and what it answered.
        earlier: EarlierReply,
    },
    /// Forget what ended, expired or was answered long before `now`.
    Sweep {
        /// The present.
        now: UnixMillis,
    },
}

/// What a command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision<R> {
    /// To be stored with the events in one transaction.
    pub changes: Vec<Change>,
    /// To be logged.
    pub events: Vec<Event>,
    /// To be answered once both are durable.
    pub reply: R,
}

impl<R> Decision<R> {
    /// Nothing changes and nothing is logged.
    pub const fn unchanged(reply: R) -> Self {
        Self {
            changes: Vec::new(),
            events: Vec::new(),
            reply,
        }
    }
}

/// Something that may change a subject.
pub trait Command {
    /// What is answered.
    type Reply;

    /// The code it needs in [`State::code`].
    fn code(&self) -> Option<&Digest> {
        None
    }

    /// The idempotency key it needs [`State::earlier`] for.
    fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        None
    }

    /// Decides, and changes nothing.
    fn decide(self, state: &State, now: UnixMillis) -> Decision<Self::Reply>;
}

/// What a check looks at: three rows, not the whole [`State`].
#[derive(Clone, Debug)]
pub struct CheckFacts {
    /// The subject; `None` if it was never seen.
    pub subject: Option<Subject>,
    /// The session asked for.
    pub session: Option<Session>,
    /// Whether the token asked for was revoked by itself.
    pub token_revoked: bool,
}

/// Whether what `request` asks for is in force.
///
/// Ended is ended whatever the clock says: no reason here but `SessionExpired` compares times.
#[must_use]
pub fn judge(facts: &CheckFacts, request: &CheckRequest, now: UnixMillis) -> Verdict {
    let (Some(subject), session) = (&facts.subject, &facts.session) else {
        return Verdict::Denied(DenyReason::SessionUnknown);
    };
    if subject.disabled {
        return Verdict::Denied(DenyReason::SubjectDisabled);
    }
    let Some(session) = session else {
        return Verdict::Denied(DenyReason::SessionUnknown);
    };
    if session.ended.is_some() {
        return Verdict::Denied(DenyReason::SessionEnded);
    }
    if now >= session.expires_at {
        return Verdict::Denied(DenyReason::SessionExpired);
    }
    if request
        .generation
        .is_some_and(|of| of != subject.generation)
    {
        return Verdict::Denied(DenyReason::GenerationStale);
    }
    if facts.token_revoked {
        return Verdict::Denied(DenyReason::TokenRevoked);
    }
    Verdict::Active {
        session_expires_at: session.expires_at,
    }
}
