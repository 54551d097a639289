//! A person has proven who they are: a session begins and a code waits for the client.

use super::consent::union;
use super::provision::Provisioned;
use super::revoke::{Cause, end};
use super::{
    Change, Code, Command, Decision, MAX_LIVE_SESSIONS, Needs, OFFLINE_IDLE_SECS, OFFLINE_TTL_SECS,
    Profile, SESSION_IDLE_SECS, SESSION_TTL_SECS, Session, Sessions, State, Upstream,
};
use crate::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use crate::connection::identity::CustomClaim;
use crate::id::{GrantId, LogHash, SessionId};
use crate::policy::covers_session;
use crate::secret::Digest;
use crate::session::CODE_TTL_SECS;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Begin a session and hand a code to the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The new session's id, random.
    pub session: SessionId,
    /// The new grant's id, random.
    pub grant: GrantId,
    /// Through which connection.
    pub connection: String,
    /// When the browser set out: before a kill means before its time.
    pub flow_begun_at: UnixMillis,
    /// When the identity provider says the person proved themselves, in seconds.
    pub auth_time_secs: u64,
    /// How.
    pub acr: Option<String>,
    /// The groups it named.
    pub groups: Vec<String>,
    /// The roles that follow from what it said.
    pub roles: Vec<String>,
    /// The claims that the connection keeps.
    pub claims: Vec<CustomClaim>,
    /// What it calls the person and their session.
    pub upstream: Upstream,
    /// What else it said of the person.
    pub profile: Profile,
    /// What the client asked for.
    pub client: ClientRequest,
    /// The client wants to be told when the session ends.
    pub announce_end: bool,
    /// The person has just allowed the client this scope: remember it.
    pub allowed: bool,
    /// Of the new code's secret part.
    pub code: Digest,
    /// The HTTP request, for the log.
    pub request: RequestFacts,
    /// What the directory says of the person.
    pub provisioned: Option<Provisioned>,
}

/// The part of an authorization request (RFC 6749 section 4.1.1) that a code is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientRequest {
    /// `client_id`, registered.
    pub client_id: String,
    /// `redirect_uri`, registered for that client.
    pub redirect_uri: String,
    /// `code_challenge`, S256.
    pub code_challenge: String,
    /// `nonce`.
    pub nonce: Option<String>,
    /// `scope`.
    pub scope: String,
    /// The audiences that its access tokens may have: `resource` (RFC 8707), or the client's own.
    pub audiences: Vec<String>,
    /// `dpop_jkt` (RFC 9449 section 10).
    pub dpop_jkt: Option<String>,
}

impl ClientRequest {
    /// What a person allows by allowing this: the scope, and where it may be used.
    #[must_use]
    pub fn to_be_allowed(&self) -> String {
        let mut all = vec![self.scope.as_str()];
        all.extend(self.audiences.iter().map(String::as_str));
        all.join(" ")
    }

    /// Whether `scope` has the value `name`.
    #[must_use]
    pub fn asks_for(&self, name: &str) -> bool {
        self.scope.split(' ').any(|scope| scope == name)
    }
}

/// What came of a log-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginReply {
    /// The session has begun and the code may be sent.
    Begun,
    /// Deactivated; nothing was begun.
    SubjectDisabled,
    /// The subject, its client or its connection was killed since the browser set out, or the provider's
    /// session has ended; starting over is fine.
    Superseded,
}

impl Command for Login {
    type Reply = LoginReply;

    fn needs(&self) -> Needs<'_> {
        Needs {
            sessions: Sessions::All,
            consent: Some(&self.client.client_id),
            upstream: self.upstream.sid.as_ref(),
            provisioned: self.provisioned.is_some(),
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<LoginReply> {
        let mut event = Event {
            reason: None,
            subject: Some(state.subject.key),
            session: Some(LogHash::of_session(self.session)),
            client_id: Some(self.client.client_id.clone()),
            request: Some(self.request.clone()),
            ..Event::new(
                now,
                Action::Login,
                Outcome::Success,
                Actor::Connection(self.connection.clone()),
            )
        };
        if let Some(refusal) = self.refusal(state) {
            event.outcome = Outcome::Denied;
            event.session = None;
            event.reason = Some(
                match refusal {
                    LoginReply::SubjectDisabled => "subject_disabled",
                    _ => "superseded",
                }
                .to_owned(),
            );
            return Decision {
                changes: Vec::new(),
                events: vec![event],
                reply: refusal,
            };
        }
        let mut changes = vec![
            Change::Sweep { now },
            // A first log-in makes the subject known; later ones rewrite the same row.
            Change::PutSubject(state.subject.clone()),
        ];
        let mut events = vec![event];
        if let Some((end, event)) = over_the_limit(state, now) {
            changes.extend(end);
            events.push(event);
        }
        if self.allowed {
            events.push(self.consent_event(state, now));
            let before = state.consented.as_deref().unwrap_or_default();
            changes.push(Change::PutConsent {
                client_id: self.client.client_id.clone(),
                scope: Some(union(before, &self.client.to_be_allowed())),
            });
        }
        let said = self.provisioned.clone();
        let news = said.filter(|said| said.is_newer_than(state.provisioned.as_ref()));
        changes.extend(news.map(|said| Change::PutProvisioned(said.bounded())));
        let (session, code) = self.into_session_and_code(now);
        changes.extend([Change::PutSession(session), Change::PutCode(code)]);
        Decision {
            changes,
            events,
            reply: LoginReply::Begun,
        }
    }
}

impl Login {
    fn refusal(&self, state: &State) -> Option<LoginReply> {
        if state.subject.disabled {
            return Some(LoginReply::SubjectDisabled);
        }
        let revoked_since = covers_session(
            &state.revoked,
            &self.client.client_id,
            &self.connection,
            self.flow_begun_at,
        );
        // Who was let in again is let in with a log-in from after that: nothing that they proved while they were out
        // counts.
        let ended_at = state.subject.killed_at.max(state.subject.reactivated_at);
        let killed_since = ended_at.is_some_and(|ended_at| self.flow_begun_at <= ended_at);
        (killed_since || revoked_since || state.upstream_ended).then_some(LoginReply::Superseded)
    }

    fn consent_event(&self, state: &State, now: UnixMillis) -> Event {
        Event {
            subject: Some(state.subject.key),
            session: Some(LogHash::of_session(self.session)),
            client_id: Some(self.client.client_id.clone()),
            request: Some(self.request.clone()),
            ..Event::new(
                now,
                Action::ConsentAnswered,
                Outcome::Success,
                Actor::Subject(state.subject.key),
            )
        }
    }

    fn into_session_and_code(self, now: UnixMillis) -> (Session, Code) {
        let offline = self.client.asks_for("offline_access");
        let (ttl_secs, idle_secs) = if offline {
            (OFFLINE_TTL_SECS, OFFLINE_IDLE_SECS)
        } else {
            (SESSION_TTL_SECS, SESSION_IDLE_SECS)
        };
        let session = Session {
            id: self.session,
            grant: self.grant,
            client_id: self.client.client_id.clone(),
            connection: self.connection,
            begun_at: now,
            set_out_at: self.flow_begun_at.min(now),
            auth_time_secs: Some(self.auth_time_secs),
            acr: self.acr,
            groups: self.groups,
            device: self.request.bounded().user_agent,
            expires_at: now.plus_secs(ttl_secs),
            ended: None,
            last_used_at: now,
            idle_secs,
            profile: self.profile,
            announce_end: self.announce_end,
            roles: self.roles,
            claims: self.claims,
            upstream: self.upstream,
        };
        let code = Code {
            digest: self.code,
            session: self.session,
            client_id: self.client.client_id,
            redirect_uri: self.client.redirect_uri,
            code_challenge: self.client.code_challenge,
            nonce: self.client.nonce,
            scope: self.client.scope,
            audiences: self.client.audiences,
            dpop_jkt: self.client.dpop_jkt,
            expires_at: now.plus_secs(CODE_TTL_SECS),
            redeemed: false,
        };
        (session, code)
    }
}

/// Makes room for one more session by ending the oldest.
fn over_the_limit(state: &State, now: UnixMillis) -> Option<(impl Iterator<Item = Change>, Event)> {
    let live = state.sessions.iter().filter(|session| session.is_live(now));
    if live.clone().count() < MAX_LIVE_SESSIONS {
        return None;
    }
    let oldest = live.min_by_key(|session| session.begun_at)?;
    let cause = Cause::SessionLimit;
    Some((
        end(oldest, now, cause),
        Event {
            reason: Some(cause.as_str().to_owned()),
            subject: Some(state.subject.key),
            session: Some(LogHash::of_session(oldest.id)),
            ..Event::new(
                now,
                Action::Kill,
                Outcome::Success,
                Actor::Subject(state.subject.key),
            )
        },
    ))
}
