//! One audit event: who did what to whom, when, and how it ended.
//!
//! Nothing here can hold a credential: sessions and tokens appear as [`LogHash`], paths without
//! their query, and free text is bounded and [scrubbed](super::scrub). The list of [`Action`]s is the
//! list of what is audited.

use super::scrub::scrubbed;
use crate::id::{LogHash, SubjectKey};
use crate::jwt::actor::MAX_ACTORS;
use crate::text::{CUT, cut};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// What is audited. Append only: the order is the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// A person logged in and a session began (or was refused).
    Login,
    /// A person ended their own session.
    Logout,
    /// An access token was issued.
    TokenIssued,
    /// A credential was presented and found not to be in force.
    CheckDenied,
    /// A gateway let an authenticated request pass.
    RequestAllowed,
    /// A subject, session or token was ended; the reason is the cause.
    Kill,
    /// A deactivated subject may log in again.
    Reactivated,
    /// An identity provider changed a user over SCIM.
    ScimChanged,
    /// A credential that proves nothing was presented: unknown, malformed, expired, forged.
    CredentialRefused,
    /// Somebody read the audit log.
    AuditRead,
    /// An OAuth client was registered, changed or removed; the reason says which.
    ClientChanged,
    /// A trust was declared, changed or removed; the reason says which.
    TrustChanged,
    /// A client was told that a session is over and has confirmed it, or never did.
    LogoutAnnounced,
    /// Another signing key was made or brought forward; the reason says why.
    KeyRotated,
    /// A signing key was declared compromised.
    KeyCompromised,
    /// A person was asked what a client may have: they allowed it, or they did not.
    ConsentAnswered,
    /// A connection was made, changed, turned on or off, or removed; the reason says which.
    ConnectionChanged,
    /// Somebody logged in to try a connection; no session began.
    ConnectionTested,
    /// An identity provider's keys were sent to API Shield, or could not be; the reason says which.
    KeysSynced,
    /// Somebody read who is known.
    RegistryRead,
    /// The feeds began another life: readers take nothing from before for granted.
    FeedRestarted,
    /// A gateway refused an authenticated request: its sender lacks what the route requires.
    RequestDenied,
    /// Sequences of a producer have not come, and are not expected any more.
    AuditGap,
    /// An event came again and said something else; the log keeps what it has.
    AuditConflict,
    /// What could not be taken into the log was kept, taken in after all, or given up; the reason says which.
    DeadLetter,
    /// What the log says of a person in sealed fields can be read by nobody any more.
    AuditErased,
    /// The oldest lines were removed, as their age allows.
    AuditPruned,
    /// How long lines are kept was changed, or a legal hold was placed or released; the reason says which.
    RetentionChanged,
    /// Somebody takes lines away by an export of the service; the reason says how far it is.
    AuditExported,
    /// A lane's log ended, which could not be signed any more, and a new one began.
    EpochBegan,
}

impl Action {
    /// Every action, for listings and parsers.
    pub const ALL: [Self; 30] = [
        Self::Login,
        Self::Logout,
        Self::TokenIssued,
        Self::CheckDenied,
        Self::RequestAllowed,
        Self::Kill,
        Self::Reactivated,
        Self::ScimChanged,
        Self::CredentialRefused,
        Self::AuditRead,
        Self::ClientChanged,
        Self::TrustChanged,
        Self::LogoutAnnounced,
        Self::KeyRotated,
        Self::KeyCompromised,
        Self::ConsentAnswered,
        Self::ConnectionChanged,
        Self::ConnectionTested,
        Self::KeysSynced,
        Self::RegistryRead,
        Self::FeedRestarted,
        Self::RequestDenied,
        Self::AuditGap,
        Self::AuditConflict,
        Self::DeadLetter,
        Self::AuditErased,
        Self::AuditPruned,
        Self::RetentionChanged,
        Self::AuditExported,
        Self::EpochBegan,
    ];

    /// The stable name, as in the log's lines and in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "session.login",
            Self::Logout => "session.logout",
            Self::TokenIssued => "token.issued",
            Self::CheckDenied => "check.denied",
            Self::RequestAllowed => "request.allowed",
            Self::Kill => "kill",
            Self::Reactivated => "subject.reactivated",
            Self::ScimChanged => "scim.changed",
            Self::CredentialRefused => "credential.refused",
            Self::AuditRead => "audit.read",
            Self::ClientChanged => "client.changed",
            Self::TrustChanged => "trust.changed",
            Self::LogoutAnnounced => "logout.announced",
            Self::KeyRotated => "key.rotated",
            Self::KeyCompromised => "key.compromised",
            Self::ConsentAnswered => "consent.answered",
            Self::ConnectionChanged => "connection.changed",
            Self::ConnectionTested => "connection.tested",
            Self::KeysSynced => "keys.synced",
            Self::RegistryRead => "registry.read",
            Self::FeedRestarted => "feed.restarted",
            Self::RequestDenied => "request.denied",
            Self::AuditGap => "audit.gap",
            Self::AuditConflict => "audit.conflict",
            Self::DeadLetter => "audit.dead_letter",
            Self::AuditErased => "audit.erased",
            Self::AuditPruned => "audit.pruned",
            Self::RetentionChanged => "audit.retention_changed",
            Self::AuditExported => "audit.exported",
            Self::EpochBegan => "audit.epoch_began",
        }
    }

    /// The action of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused.
    Denied,
}

impl Outcome {
    /// The stable name, as in the log's lines and in queries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
        }
    }

    /// The outcome of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Success, Self::Denied]
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// Nobody that was proven.
    Anonymous,
    /// The subject themselves.
    Subject(SubjectKey),
    /// A holder of an API credential, by its role: `admin`, `auditor`, `gateway`.
    Operator(String),
    /// An identity provider, by its connection.
    Connection(String),
    /// An OAuth client.
    Client(String),
    /// Nobody that was proven, this many times: one event stands for all of them. A variant of its own
    /// and no field of [`Event`], so that events which were stored or sent before it still read.
    Unproven(u32),
}

/// Facts of the HTTP request behind an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestFacts {
    /// The method.
    pub method: String,
    /// The host asked for.
    pub host: String,
    /// The path, never the query.
    pub path: String,
    /// The status answered, where it is known.
    pub status: Option<u16>,
    /// The client's address as the edge saw it.
    pub ip: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The edge's id of the request.
    pub ray: Option<String>,
    /// The number of the network that the client's address is in, as the edge knows it.
    pub asn: Option<u32>,
    /// The country of that address (ISO 3166-1 alpha-2), as the edge knows it.
    pub country: Option<String>,
}

/// What a verified credential says of where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Who issued it (`iss`).
    pub issuer: Option<String>,
    /// The key that signed it.
    pub kid: Option<String>,
    /// The connection, of an identity provider's own.
    pub connection: Option<String>,
    /// Who acts with it in the subject's stead, the present actor first (RFC 8693 section 4.1).
    pub act: Vec<SubjectKey>,
}

const MAX_PATH_BYTES: usize = 512;
const MAX_TEXT_BYTES: usize = 256;
const MAX_CLAIM_NAME_BYTES: usize = 64;
/// Two letters, or what shows that it was more.
const MAX_COUNTRY_BYTES: usize = 2 + CUT.len();
/// The most claims that an event says.
pub const MAX_CLAIMS: usize = 16;

impl RequestFacts {
    /// The same facts within the bounds of what is logged, with any query removed.
    #[must_use]
    pub fn bounded(self) -> Self {
        let mut path = self.path;
        path.truncate(path.find(['?', '#']).unwrap_or(path.len()));
        Self {
            method: clean(self.method, 16),
            host: short(self.host),
            path: clean(path, MAX_PATH_BYTES),
            status: self.status,
            ip: self.ip.map(short),
            user_agent: self.user_agent.map(short),
            ray: self.ray.map(short),
            asn: self.asn,
            country: self
                .country
                .map(|country| clean(country, MAX_COUNTRY_BYTES)),
        }
    }
}

impl Credential {
    fn bounded(self) -> Self {
        let mut act = self.act;
        // Verified credentials never have more, and no pack that does is read.
        act.truncate(MAX_ACTORS);
        Self {
            issuer: self.issuer.map(short),
            // Not scrubbed: of a verified credential it is a published name, and looks random.
            kid: self.kid.map(|kid| cut(kid, MAX_TEXT_BYTES)),
            connection: self.connection.map(short),
            act,
        }
    }
}

/// What was said, without what looks like a credential, and not too long; what was too long says that it was cut.
fn clean(text: String, max_bytes: usize) -> String {
    cut(scrubbed(text), max_bytes)
}

fn short(text: String) -> String {
    clean(text, MAX_TEXT_BYTES)
}

/// One audit event, as its producer states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it happened, by the producer's clock.
    pub occurred: UnixMillis,
    /// What happened.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// Why: a cause, a deny reason or an operation, from a fixed vocabulary.
    pub reason: Option<String>,
    /// Who acted.
    pub actor: Actor,
    /// Whom it concerns.
    pub subject: Option<SubjectKey>,
    /// Which session.
    pub session: Option<LogHash>,
    /// Which token.
    pub token: Option<LogHash>,
    /// Through which client.
    pub client_id: Option<String>,
    /// Through which request.
    pub request: Option<RequestFacts>,
    /// What the credential says that it was done with.
    pub credential: Option<Credential>,
    /// At which resource (RFC 8707).
    pub resource: Option<String>,
    /// Claims that whoever declares the route wants to see here, as texts.
    pub claims: Vec<(String, String)>,
    /// By which policy it was decided: the gateway's file, hashed.
    pub policy: Option<LogHash>,
}

impl Event {
    /// An event with nothing but the essentials; the rest is filled in by field.
    #[must_use]
    pub const fn new(occurred: UnixMillis, action: Action, outcome: Outcome, actor: Actor) -> Self {
        Self {
            occurred,
            action,
            outcome,
            reason: None,
            actor,
            subject: None,
            session: None,
            token: None,
            client_id: None,
            request: None,
            credential: None,
            resource: None,
            claims: Vec::new(),
            policy: None,
        }
    }

    /// The same event with every text within bounds and without what looks like a credential.
    /// Producers apply it to what they say, and ingestion to what arrives.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.reason = self.reason.map(short);
        self.client_id = self.client_id.map(short);
        self.request = self.request.map(RequestFacts::bounded);
        self.credential = self.credential.map(Credential::bounded);
        self.resource = self.resource.map(short);
        if self.claims.len() > MAX_CLAIMS {
            let left_out = self.claims.len() - (MAX_CLAIMS - 1);
            self.claims.truncate(MAX_CLAIMS - 1);
            self.claims.push((CUT.to_owned(), left_out.to_string()));
        }
        for (name, value) in &mut self.claims {
            *name = clean(std::mem::take(name), MAX_CLAIM_NAME_BYTES);
            *value = short(std::mem::take(value));
        }
        self.actor = match self.actor {
            Actor::Operator(name) => Actor::Operator(short(name)),
            Actor::Connection(name) => Actor::Connection(short(name)),
            Actor::Client(name) => Actor::Client(short(name)),
            textless @ (Actor::Anonymous | Actor::Subject(_) | Actor::Unproven(_)) => textless,
        };
        self
    }
}

/// How long texts are at most, in bytes, for whoever refuses what would be cut.
pub(super) mod bounds {
    pub const METHOD: usize = 16;
    pub const COUNTRY: usize = 2;
    pub const PATH: usize = super::MAX_PATH_BYTES;
    pub const CLAIM_NAME: usize = super::MAX_CLAIM_NAME_BYTES;
    /// Of any other.
    pub const TEXT: usize = super::MAX_TEXT_BYTES;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_are_distinct() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        assert_eq!(Action::parse("kills"), None);
        assert_eq!(Outcome::parse("denied"), Some(Outcome::Denied));
        assert_eq!(Outcome::parse(""), None);
    }

    #[test]
    fn a_query_never_reaches_the_log() {
        let facts = RequestFacts {
            path: "/a?token=pc_rt_secret#x".to_owned(),
            user_agent: Some("u".repeat(9000)),
            ..RequestFacts::default()
        };
        let bounded = facts.bounded();
        assert_eq!(bounded.path, "/a");
        let agent = bounded.user_agent.expect("an agent");
        assert!(agent.len() == 256 && agent.ends_with("u[cut]"), "{agent}");
    }

    #[test]
    fn what_is_cut_says_so_and_what_was_cut_stays_as_it_is() {
        let long = || "a b ".repeat(500);
        let event = Event {
            reason: Some(long()),
            client_id: Some(long()),
            resource: Some(long()),
            request: Some(RequestFacts {
                method: long(),
                host: long(),
                path: long(),
                ip: Some(long()),
                user_agent: Some(long()),
                ray: Some(long()),
                country: Some(long()),
                ..RequestFacts::default()
            }),
            credential: Some(Credential {
                issuer: Some(long()),
                kid: Some(long()),
                connection: Some(long()),
                act: Vec::new(),
            }),
            claims: vec![(long(), long()); 20],
            ..Event::new(
                UnixMillis(1),
                Action::Kill,
                Outcome::Success,
                Actor::Client(long()),
            )
        };
        let bounded = event.bounded();
        // 14 texts, names and values of 15 claims, and the name of the last, which counts the others.
        let text = format!("{bounded:?}");
        assert_eq!(text.matches("[cut]").count(), 14 + 15 * 2 + 1, "{text}");
        assert_eq!(bounded.claims.len(), MAX_CLAIMS);
        assert_eq!(bounded.claims.last(), Some(&("[cut]".into(), "5".into())));
        assert_eq!(bounded.clone().bounded(), bounded);
    }
}
