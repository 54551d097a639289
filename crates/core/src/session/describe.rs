//! What a credential stands for: token introspection (RFC 7662) and userinfo (OIDC Core section 5.3).

use super::check::{CheckReply, CheckRequest, Verdict};
use super::grant::{OneTime, OneTimes};
use super::{
    Change, CheckFacts, Command, Decision, Family, Needs, Session, Sessions, State, judge,
};
use crate::id::SessionId;
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Is this access token in force, and what session does it rest on?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Describe {
    /// The question.
    pub check: CheckRequest,
    /// A proof that came along, to be accepted once.
    pub proof: Option<OneTime>,
}

/// The answer; the session only if the token is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// Whether it is in force.
    pub reply: CheckReply,
    /// The proof came before: nothing may be given for it.
    pub proof_replayed: bool,
    /// What it rests on.
    pub session: Option<Session>,
}

impl Command for Describe {
    type Reply = Described;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::One(self.check.session),
            token: self.check.token,
            one_time: OneTimes {
                proof: self.proof.as_ref(),
                assertion: None,
            },
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<Described> {
        let session = state
            .sessions
            .iter()
            .find(|session| session.id == self.check.session);
        let facts = CheckFacts {
            subject: session.map(|_| state.subject.clone()),
            session: session.cloned(),
            token_revoked: state.token_revoked,
        };
        let verdict = judge(&facts, &self.check, now);
        let active = matches!(verdict, Verdict::Active { .. });
        Decision {
            // Nothing is kept for a subject that is not known.
            changes: self
                .proof
                .filter(|_| active)
                .map(Change::UseUp)
                .into_iter()
                .collect(),
            events: Vec::new(),
            reply: Described {
                reply: CheckReply {
                    verdict,
                    checked_at: now,
                },
                proof_replayed: state.replayed.proof,
                session: facts.session.filter(|_| active),
            },
        }
    }
}

/// Is this refresh token good, and what session does it keep going?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeRefresh {
    /// The session that it names; its MAC has been verified.
    pub session: SessionId,
    /// Of its secret part.
    pub presented: Digest,
}

/// What a refresh token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribedRefresh {
    /// Its chain.
    pub family: Family,
    /// The session.
    pub session: Session,
    /// It is the link that is good, and the session is live.
    pub active: bool,
}

impl Command for DescribeRefresh {
    type Reply = Option<DescribedRefresh>;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::One(self.session),
            family: Some(self.session),
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<Self::Reply> {
        let session = state
            .sessions
            .iter()
            .find(|session| session.id == self.session);
        let described =
            session
                .zip(state.family.as_ref())
                .map(|(session, family)| DescribedRefresh {
                    family: family.clone(),
                    session: session.clone(),
                    active: family.current == self.presented
                        && state.live_session(session.id, now).is_some(),
                });
        Decision::unchanged(described)
    }
}

/// Accept a proof or an assertion, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseOnce {
    /// It.
    pub once: OneTime,
}

impl Command for UseOnce {
    /// Whether it is the first time.
    type Reply = bool;

    fn needs(&self) -> Needs<'_> {
        Needs {
            one_time: OneTimes {
                proof: None,
                assertion: Some(&self.once),
            },
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<bool> {
        // What is over by this clock may have been used and forgotten.
        if state.replayed.assertion || self.once.until <= now {
            return Decision::unchanged(false);
        }
        Decision {
            changes: vec![Change::Sweep { now }, Change::UseUp(self.once)],
            events: Vec::new(),
            reply: true,
        }
    }
}
