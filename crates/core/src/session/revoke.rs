//! The kill: the one command behind every way to end a credential.
//!
//! SCIM deactivation, an operator, a log-out, a reused code: all become a [`Revoke`] with another
//! [`Cause`]. What it covers is ended in the transaction that answers, so a strict check that comes
//! after the answer denies.

use super::{
    ACCESS_TOKEN_TTL_SECS, Change, Command, Decision, EarlierReply, Ended, Needs, Session,
    Sessions, State, Subject,
};
use crate::audit::event::{Action, Actor, Event, Outcome};
use crate::connection::MAX_TOKEN_AGE_SECS;
use crate::feed::receipt::{Covers, Receipt};
use crate::id::{LogHash, SessionId, TokenId};
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long the end of a provider's session is remembered, in seconds: longer than any token of it is
/// accepted, and than a log-in can be on its way.
pub const ENDED_UPSTREAM_SECS: u64 = 2 * MAX_TOKEN_AGE_SECS;

/// What is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Everything the subject has; a new log-in is possible.
    Subject,
    /// Everything the subject has, and no log-in until reactivated. From the directory, whose
    /// versions say which of two changes is the newer.
    SubjectUntilReactivated {
        /// The directory's version of this change.
        directory_version: u64,
    },
    /// One session with all that rests on it.
    Session(SessionId),
    /// One token.
    Token(TokenId),
    /// Every session but this one.
    OtherSessions(SessionId),
    /// All that a client has of the subject: its sessions, and the person's consent.
    Client(String),
    /// What rests on a session at the identity provider, by the digest of its `sid`, and what does not say
    /// on which it rests.
    UpstreamSession(Digest),
}

/// Why something was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// An operator said so.
    Admin,
    /// The person logged out.
    Logout,
    /// SCIM set `active` to false.
    ScimDeactivated,
    /// SCIM deleted the user.
    ScimDeleted,
    /// SCIM gave the user another identifying value; this is the old one's subject.
    ScimRenamed,
    /// An authorization code came twice.
    CodeReused,
    /// More sessions than a subject may hold.
    SessionLimit,
    /// A refresh token came again after its successor had been used, or too late.
    RefreshReused,
    /// The client gave its token back (RFC 7009).
    ClientRevoked,
    /// The client was revoked or deleted: a wide revocation.
    ClientEnded,
    /// The connection was revoked or disabled: a wide revocation.
    ConnectionEnded,
    /// The person does not allow the client anything any more, or an operator says so.
    ConsentWithdrawn,
    /// The identity provider says that the person has logged out there (OIDC Back-Channel Logout).
    UpstreamLogout,
    /// SCIM gave the user this identifying value, which was another's before.
    ScimReassigned,
    /// SCIM took the user out of a group.
    ScimGroupLost,
    /// SCIM took a role from the user.
    ScimRoleLost,
    /// SCIM changed the user's groups or roles, and the connection has them log in again then.
    ScimGroupsChanged,
}

impl Cause {
    /// The stable name, as in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Logout => "logout",
            Self::ScimDeactivated => "scim_deactivated",
            Self::ScimDeleted => "scim_deleted",
            Self::ScimRenamed => "scim_renamed",
            Self::CodeReused => "code_reused",
            Self::SessionLimit => "session_limit",
            Self::RefreshReused => "refresh_reused",
            Self::ClientRevoked => "client_revoked",
            Self::ClientEnded => "client_ended",
            Self::ConnectionEnded => "connection_ended",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::UpstreamLogout => "upstream_logout",
            Self::ScimReassigned => "scim_reassigned",
            Self::ScimGroupLost => "scim_group_lost",
            Self::ScimRoleLost => "scim_role_lost",
            Self::ScimGroupsChanged => "scim_groups_changed",
        }
    }
}

/// A caller's `Idempotency-Key`, hashed together with who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyKey {
    /// Of the caller and their key.
    pub key: Digest,
    /// Of the request, to notice that a key was used for another.
    pub fingerprint: Digest,
}

/// End something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoke {
    /// What.
    pub scope: Scope,
    /// Why.
    pub cause: Cause,
    /// Who says so.
    pub actor: Actor,
    /// Only count what it would end.
    pub dry_run: bool,
    /// Answer a repetition with the first answer.
    pub idempotency: Option<IdempotencyKey>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevokeReply {
    /// It is in force (or would be, of a dry run).
    Revoked(Revoked),
    /// The subject has no such session.
    SessionUnknown,
    /// The idempotency key came before, with another request.
    KeyReused,
}

/// The answer to a kill that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Live sessions that it ended.
    pub sessions: u32,
    /// When it came into force, by the subject's clock.
    pub at: UnixMillis,
    /// Whether there was anything to do; `false` when all of it had been ended before.
    pub changed: bool,
    /// The serial of its receipt, if something was ended.
    pub receipt: Option<u64>,
}

impl Revoke {
    /// A kill without dry run or idempotency key.
    #[must_use]
    pub const fn new(scope: Scope, cause: Cause, actor: Actor) -> Self {
        Self {
            scope,
            cause,
            actor,
            dry_run: false,
            idempotency: None,
        }
    }

    fn covers(&self, session: &Session) -> bool {
        match &self.scope {
            Scope::Subject | Scope::SubjectUntilReactivated { .. } => true,
            Scope::Session(id) => session.id == *id,
            Scope::OtherSessions(kept) => session.id != *kept,
            Scope::Client(client_id) => session.client_id == *client_id,
            // One that does not say which session it is of may be of the one that ended.
            Scope::UpstreamSession(sid) => session.upstream.sid.is_none_or(|of| of == *sid),
            Scope::Token(_) => false,
        }
    }

    fn receipt(&self, state: &State, revoked: &Revoked) -> Receipt {
        Receipt {
            serial: state.next_receipt.max(revoked.at.0),
            covers: Covers::Subject(self.scope.clone()),
            cause: self.cause.as_str().to_owned(),
            actor: self.actor.clone(),
            sessions: Some(revoked.sessions),
            at: revoked.at,
            in_force_at: revoked.at,
        }
    }

    fn event(&self, state: &State, now: UnixMillis) -> Event {
        let action = match self.cause {
            Cause::Logout => Action::Logout,
            _ => Action::Kill,
        };
        let (session, token, client_id) = match &self.scope {
            Scope::Subject
            | Scope::SubjectUntilReactivated { .. }
            | Scope::OtherSessions(_)
            | Scope::UpstreamSession(_) => (None, None, None),
            Scope::Session(id) => (Some(LogHash::of_session(*id)), None, None),
            Scope::Token(id) => (None, Some(LogHash::of_token(*id)), None),
            Scope::Client(client_id) => (None, None, Some(client_id.clone())),
        };
        Event {
            reason: Some(self.cause.as_str().to_owned()),
            subject: Some(state.subject.key),
            session,
            token,
            client_id,
            ..Event::new(now, action, Outcome::Success, self.actor.clone())
        }
    }
}

/// Everything that the end of `session` takes.
pub(super) fn end(session: &Session, at: UnixMillis, cause: Cause) -> impl Iterator<Item = Change> {
    let announce = session.announce_end.then(|| Change::AnnounceEnd {
        session: session.id,
        client_id: session.client_id.clone(),
    });
    let ended = Session {
        ended: Some(Ended { at, cause }),
        ..session.clone()
    };
    [
        Change::PutSession(ended),
        Change::DropCredentialsOf(session.id),
    ]
    .into_iter()
    .chain(announce)
}

impl Command for Revoke {
    type Reply = RevokeReply;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: match self.scope {
                Scope::Session(id) => Sessions::One(id),
                Scope::Token(_) => Sessions::None,
                _ => Sessions::All,
            },
            consent: match &self.scope {
                Scope::Client(client_id) => Some(client_id),
                _ => None,
            },
            idempotency: self.idempotency.as_ref(),
            receipt: true,
            upstream: match &self.scope {
                Scope::UpstreamSession(sid) => Some(sid),
                _ => None,
            },
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<RevokeReply> {
        if let (Some(asked), Some(earlier)) = (&self.idempotency, &state.earlier) {
            return Decision::unchanged(if earlier.fingerprint == asked.fingerprint {
                RevokeReply::Revoked(earlier.reply)
            } else {
                RevokeReply::KeyReused
            });
        }
        let unchanged = Revoked {
            sessions: 0,
            at: now,
            changed: false,
            receipt: None,
        };
        let subject = match self.scope {
            // An older directory change than the one applied has been overtaken.
            Scope::SubjectUntilReactivated { directory_version }
                if directory_version <= state.subject.directory_version =>
            {
                return Decision::unchanged(RevokeReply::Revoked(unchanged));
            }
            Scope::SubjectUntilReactivated { directory_version } => Some(Subject {
                disabled: true,
                directory_version,
                ..killed(&state.subject, now)
            }),
            Scope::Subject => Some(killed(&state.subject, now)),
            Scope::UpstreamSession(_) => Some(Subject {
                upstream_ended_at: state.subject.upstream_ended_at.max(Some(now)),
                ..state.subject.clone()
            }),
            // Also of the one to be kept: whoever mistakes it means to end something else.
            Scope::Session(id) | Scope::OtherSessions(id)
                if !state.sessions.iter().any(|session| session.id == id) =>
            {
                return Decision::unchanged(RevokeReply::SessionUnknown);
            }
            // Also of one never seen: what is told to the feed must say whose it is.
            Scope::Token(_) => Some(state.subject.clone()),
            Scope::Session(_) | Scope::OtherSessions(_) | Scope::Client(_) => None,
        };
        let covered: Vec<&Session> = state
            .sessions
            .iter()
            // Also those the clock calls expired: a clock may go back.
            .filter(|session| session.ended.is_none() && self.covers(session))
            .collect();
        let is_news = match self.scope {
            Scope::Session(_) | Scope::OtherSessions(_) => !covered.is_empty(),
            Scope::Client(_) => !covered.is_empty() || state.consented.is_some(),
            Scope::UpstreamSession(_) => !covered.is_empty() || !state.upstream_ended,
            _ => true,
        };
        let reply = Revoked {
            sessions: u32::try_from(covered.iter().filter(|s| s.is_live(now)).count())
                .unwrap_or(u32::MAX),
            at: now,
            changed: is_news,
            receipt: None,
        };
        if self.dry_run {
            return Decision::unchanged(RevokeReply::Revoked(reply));
        }
        let receipt = is_news.then(|| self.receipt(state, &reply));
        let reply = Revoked {
            receipt: receipt.as_ref().map(|receipt| receipt.serial),
            ..reply
        };
        let mut changes: Vec<Change> = subject.map(Change::PutSubject).into_iter().collect();
        changes.extend(receipt.map(Change::PutReceipt));
        if let Scope::UpstreamSession(sid) = self.scope {
            // A log-in on its way with that session comes too late.
            let until = now.plus_secs(ENDED_UPSTREAM_SECS);
            changes.push(Change::EndUpstream { sid, until });
        }
        for session in covered {
            changes.extend(end(session, now, self.cause));
        }
        if let Scope::Token(token) = self.scope {
            let until = now.plus_secs(2 * ACCESS_TOKEN_TTL_SECS);
            changes.push(Change::RevokeToken { token, until });
        }
        if let (Scope::Client(client_id), true) = (&self.scope, state.consented.is_some()) {
            changes.push(Change::PutConsent {
                client_id: client_id.clone(),
                scope: None,
            });
        }
        let events = if is_news {
            vec![self.event(state, now)]
        } else {
            Vec::new()
        };
        if let Some(key) = self.idempotency {
            let fingerprint = key.fingerprint;
            changes.push(Change::RememberReply {
                key,
                earlier: EarlierReply { fingerprint, reply },
            });
        }
        Decision {
            changes,
            events,
            reply: RevokeReply::Revoked(reply),
        }
    }
}

fn killed(subject: &Subject, now: UnixMillis) -> Subject {
    Subject {
        generation: subject.generation + 1,
        // Never back: a clock that went back must not shorten what an earlier kill covers.
        killed_at: subject.killed_at.max(Some(now)),
        ..subject.clone()
    }
}
