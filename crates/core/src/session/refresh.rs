//! A client exchanges its refresh token for a new one (RFC 6749 section 6, RFC 9700 section 4.14.2).
//!
//! Every exchange rotates. A token that was exchanged before and comes again has been copied, so the
//! session ends, and with it every token that rests on it: except within
//! [`REFRESH_GRACE_SECS`](super::REFRESH_GRACE_SECS) of its exchange and before its successor was
//! used, when it is taken for a client whose answer was lost, or that asked twice at once, and gets
//! the same successor. So whatever the interleaving, one link of the chain is good.
//!
//! The caller derives the successor from the token presented and a salt, and presents both digests.
//! What is stored is digests and the salt: neither alone makes a token.

use super::grant::{Granted, Refusal, TokenFacts, TokenRequest};
use super::revoke::Cause;
use super::{
    Change, Command, Decision, Family, Needs, Previous, REFRESH_GRACE_SECS, Session, Sessions,
    State,
};
use crate::id::SessionId;
use crate::secret::Digest;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Exchange a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// The session that the token names; its MAC has been verified.
    pub session: SessionId,
    /// Of the secret part of the token presented.
    pub presented: Digest,
    /// Random, for the successor.
    pub salt: [u8; 24],
    /// Of the secret part of the successor that comes of token and salt.
    pub successor: Digest,
    /// What every grant asks.
    pub ask: TokenRequest,
}

/// Facts for an access token, and the salt that the successor comes of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// For the access token.
    pub facts: TokenFacts,
    /// For the successor: the caller's own salt, or the first caller's if this is a retry.
    pub salt: [u8; 24],
}

/// What came of it.
pub type RefreshReply = Result<Refreshed, Refusal>;

/// Which link of the chain was presented.
enum Link {
    Current,
    /// A retry that may have the same successor.
    Previous([u8; 24]),
}

impl Command for Refresh {
    type Reply = RefreshReply;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::One(self.session),
            family: Some(self.session),
            one_time: self.ask.one_time(),
            provisioned: true,
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<RefreshReply> {
        match self.judge(state, now) {
            Ok((family, link, facts)) => self.rotate(state, family, &link, facts, now),
            Err(Refusal::RefreshReused) => {
                let why = (Refusal::RefreshReused, Cause::RefreshReused);
                self.ask.refused_and_ended(state, why, self.session, now)
            }
            Err(refusal) => self.ask.refused(state, refusal, now),
        }
    }
}

impl Refresh {
    fn judge<'s>(
        &self,
        state: &'s State,
        now: UnixMillis,
    ) -> Result<(&'s Family, Link, TokenFacts), Refusal> {
        let family = state.family.as_ref().ok_or(Refusal::RefreshUnknown)?;
        // Before anything is ended: a stranger's token in another client's hands ends nothing.
        if family.client_id != self.ask.client_id {
            return Err(Refusal::RefreshMismatch);
        }
        let session = state
            .live_session(self.session, now)
            .ok_or(Refusal::SessionNotLive)?;
        let link = self.link(family, now)?;
        let facts = self.ask.within(&granted(family, session), state, now)?;
        Ok((family, link, facts))
    }

    fn link(&self, family: &Family, now: UnixMillis) -> Result<Link, Refusal> {
        if self.presented == family.current {
            return Ok(Link::Current);
        }
        family
            .previous
            .as_ref()
            .filter(|previous| {
                self.presented == previous.digest
                    && previous.rotated_at <= now
                    && now < previous.rotated_at.plus_secs(REFRESH_GRACE_SECS)
            })
            .map(|previous| Link::Previous(previous.salt))
            // Made by us for this session, and neither of the last two: an older link.
            .ok_or(Refusal::RefreshReused)
    }

    fn rotate(
        &self,
        state: &State,
        family: &Family,
        link: &Link,
        facts: TokenFacts,
        now: UnixMillis,
    ) -> Decision<RefreshReply> {
        let mut changes: Vec<Change> = self.ask.used_up().into_iter().collect();
        let salt = match link {
            Link::Previous(salt) => *salt,
            Link::Current => {
                changes.push(Change::PutFamily(Family {
                    current: self.successor,
                    previous: Some(Previous {
                        digest: self.presented,
                        salt: self.salt,
                        rotated_at: now,
                    }),
                    jkt: family
                        .jkt
                        .clone()
                        .or_else(|| facts.jkt.clone().filter(|_| self.ask.binds_refresh)),
                    ..family.clone()
                }));
                changes.push(Change::PutSession(Session {
                    // Never back.
                    last_used_at: facts.session.last_used_at.max(now),
                    ..facts.session.clone()
                }));
                self.salt
            }
        };
        Decision {
            changes,
            events: vec![self.ask.issued(state, self.session, now)],
            reply: Ok(Refreshed { facts, salt }),
        }
    }
}

fn granted<'a>(family: &'a Family, session: &'a Session) -> Granted<'a> {
    Granted {
        session,
        scope: &family.scope,
        audiences: &family.audiences,
        nonce: None,
        jkt: family.jkt.as_deref(),
    }
}
