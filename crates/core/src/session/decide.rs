//! What a command looks at and what it comes to.

use super::grant::{OneTime, OneTimes, Replayed};
use super::provision::Provisioned;
use super::revoke::{IdempotencyKey, Revoked};
use super::{Code, Family, Session, Subject};
use crate::audit::event::Event;
use crate::feed::receipt::Receipt;
use crate::id::{SessionId, SubjectKey, TokenId};
use crate::policy::WideRevocation;
use crate::secret::Digest;
use crate::time::UnixMillis;

/// What a command may look at: what it said it [`Needs`].
#[derive(Clone, Debug)]
pub struct State {
    /// The subject as a whole.
    pub subject: Subject,
    /// Sessions that are live or still remembered.
    pub sessions: Vec<Session>,
    /// The code the command names, if there is one.
    pub code: Option<Code>,
    /// The refresh tokens of the session the command names, if it has any.
    pub family: Option<Family>,
    /// Whether the token the command names was revoked by itself.
    pub token_revoked: bool,
    /// Which of the one-time values were used before.
    pub replayed: Replayed,
    /// The scope that the person has allowed the client the command names.
    pub consented: Option<String>,
    /// What was answered before under the command's idempotency key.
    pub earlier: Option<EarlierReply>,
    /// Whether the provider's session that the command names was ended.
    pub upstream_ended: bool,
    /// The wide revocations that may cover what the command begins.
    pub revoked: Vec<WideRevocation>,
    /// The serial that the next receipt has at least.
    pub next_receipt: u64,
    /// What the directory says, if it has said anything.
    pub provisioned: Option<Provisioned>,
}

impl State {
    /// Of a subject that was never seen.
    #[must_use]
    pub fn unseen(key: SubjectKey) -> Self {
        Self {
            subject: Subject::unseen(key),
            sessions: Vec::new(),
            code: None,
            family: None,
            token_revoked: false,
            replayed: Replayed::default(),
            consented: None,
            earlier: None,
            upstream_ended: false,
            revoked: Vec::new(),
            next_receipt: 0,
            provisioned: None,
        }
    }

    /// Takes sessions that one of `revoked` covers for ended, before anything is decided.
    pub fn under(&mut self, revoked: &[WideRevocation]) {
        for session in &mut self.sessions {
            session.end_if_covered(revoked);
        }
        self.revoked = revoked.to_vec();
    }

    /// The session of that id, if it is in force.
    pub(super) fn live_session(&self, id: SessionId, now: UnixMillis) -> Option<&Session> {
        self.sessions
            .iter()
            .find(|session| session.id == id)
            .filter(|session| session.is_live(now) && !self.subject.disabled)
    }
}

/// Which rows to load for a command.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs<'a> {
    /// Into [`State::sessions`].
    pub sessions: Sessions,
    /// Into [`State::code`].
    pub code: Option<&'a Digest>,
    /// Into [`State::family`].
    pub family: Option<SessionId>,
    /// Into [`State::token_revoked`].
    pub token: Option<TokenId>,
    /// Into [`State::replayed`].
    pub one_time: OneTimes<'a>,
    /// The client, into [`State::consented`].
    pub consent: Option<&'a str>,
    /// Into [`State::earlier`].
    pub idempotency: Option<&'a IdempotencyKey>,
    /// Of a `sid`, into [`State::upstream_ended`].
    pub upstream: Option<&'a Digest>,
    /// [`State::next_receipt`].
    pub receipt: bool,
    /// [`State::provisioned`].
    pub provisioned: bool,
}

/// Which sessions to load.
#[derive(Clone, Copy, Debug, Default)]
pub enum Sessions {
    /// All that are remembered.
    All,
    /// That one.
    One(SessionId),
    /// The one that the code stands for.
    OfCode,
    /// None.
    #[default]
    None,
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
    /// Insert or replace a session's refresh tokens.
    PutFamily(Family),
    /// Forget codes and refresh tokens of one session.
    DropCredentialsOf(SessionId),
    /// Tell the client that a session has ended.
    AnnounceEnd {
        /// Which session.
        session: SessionId,
        /// Which client.
        client_id: String,
    },
    /// Refuse one token until it would have expired anyway.
    RevokeToken {
        /// The token's `jti`.
        token: TokenId,
        /// When it can be forgotten.
        until: UnixMillis,
    },
    /// Accept a proof or an assertion no more.
    UseUp(OneTime),
    /// Accept nothing of a session at the provider any more.
    EndUpstream {
        /// Of its `sid`.
        sid: Digest,
        /// When it can be forgotten.
        until: UnixMillis,
    },
    /// Remember what the person allowed a client; no scope forgets it.
    PutConsent {
        /// Whom.
        client_id: String,
        /// What.
        scope: Option<String>,
    },
    /// Replace what the directory says.
    PutProvisioned(Provisioned),
    /// Keep what a revocation ended, for whoever asks what became of it.
    PutReceipt(Receipt),
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

    /// What it must see to decide.
    fn needs(&self) -> Needs<'_>;

    /// Decides, and changes nothing.
    fn decide(self, state: &State, now: UnixMillis) -> Decision<Self::Reply>;
}
