//! A service gets a token for itself: by its own credential (RFC 6749 section 4.4), or by the token of a
//! workload that a declared trust lets stand for it (RFC 7523, RFC 8693).
//!
//! It too has a session, so that one kill ends all its tokens: the same one until it nears its
//! limit, then a new one. There is no refresh token; the service asks again.

use super::grant::{Granted, OneTime, OneTimes, Refusal, TokenFacts, TokenRequest};
use super::{
    ACCESS_TOKEN_TTL_SECS, Change, Command, Decision, Needs, Profile, SESSION_TTL_SECS, Session,
    Sessions, State, Upstream,
};
use crate::audit::event::Event;
use crate::id::{GrantId, SessionId};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The connection of services that prove themselves to us.
pub const LOCAL: &str = "local";

/// Issue to the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueToService {
    /// Of a session, random, should a new one begin.
    pub session: SessionId,
    /// Of its grant, random.
    pub grant: GrantId,
    /// What it proved itself through: [`LOCAL`], or the trust that was declared.
    pub connection: String,
    /// When it was asked for, before the client was looked up: what was revoked since covers it.
    pub asked_at: UnixMillis,
    /// The most that it may have; `ask` may want less.
    pub scope: String,
    /// The audiences it may have.
    pub audiences: Vec<String>,
    /// The assertion that proved it, if one did.
    pub assertion: Option<OneTime>,
    /// What every grant asks.
    pub ask: TokenRequest,
}

impl Command for IssueToService {
    type Reply = Result<TokenFacts, Refusal>;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::All,
            one_time: OneTimes {
                assertion: self.assertion.as_ref(),
                ..self.ask.one_time()
            },
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<Self::Reply> {
        let (session, is_new) = self.session(state, now);
        let granted = Granted {
            session: &session,
            scope: &self.scope,
            audiences: &self.audiences,
            nonce: None,
            jkt: None,
        };
        let facts = if state.subject.disabled || !session.is_live(now) {
            Err(Refusal::SessionNotLive)
        } else {
            self.ask.within(&granted, state, now)
        };
        let assertion = self.assertion.clone().map(Change::UseUp);
        match facts {
            Ok(facts) => {
                let id = session.id;
                let mut changes: Vec<Change> = self.ask.used_up().into_iter().collect();
                changes.extend(assertion);
                if is_new {
                    changes.extend([
                        Change::Sweep { now },
                        Change::PutSubject(state.subject.clone()),
                        Change::PutSession(session),
                    ]);
                }
                Decision {
                    changes,
                    events: vec![Event {
                        // By which trust it came, if not by its own credential.
                        reason: (self.connection != LOCAL).then(|| self.connection.clone()),
                        ..self.ask.issued(state, id, now)
                    }],
                    reply: Ok(facts),
                }
            }
            Err(refusal) => {
                let mut decision = self.ask.refused(state, refusal, now);
                decision.changes.extend(assertion);
                decision
            }
        }
    }
}

impl IssueToService {
    /// The live session of this service that will outlive a token, or a new one.
    fn session(&self, state: &State, now: UnixMillis) -> (Session, bool) {
        let lasting = state.sessions.iter().find(|session| {
            session.client_id == self.ask.client_id
                && session.connection == self.connection
                && session.is_live(now)
                && session.is_live(now.plus_secs(ACCESS_TOKEN_TTL_SECS))
        });
        lasting.map_or_else(
            || {
                let mut session = self.new_session(now);
                session.end_if_covered(&state.revoked);
                (session, true)
            },
            |one| (one.clone(), false),
        )
    }

    fn new_session(&self, now: UnixMillis) -> Session {
        Session {
            id: self.session,
            grant: self.grant,
            client_id: self.ask.client_id.clone(),
            connection: self.connection.clone(),
            begun_at: self.asked_at.min(now),
            set_out_at: self.asked_at.min(now),
            auth_time_secs: None,
            acr: None,
            groups: Vec::new(),
            device: self.ask.request.clone().bounded().user_agent,
            expires_at: now.plus_secs(SESSION_TTL_SECS),
            ended: None,
            last_used_at: now,
            // It has nothing to refresh with.
            idle_secs: SESSION_TTL_SECS,
            profile: Profile::default(),
            announce_end: false,
            roles: Vec::new(),
            claims: Vec::new(),
            upstream: Upstream::default(),
        }
    }
}
