//! Sessions: what begins them, what ends them, and whether a credential is still good.
//!
//! One [`State`] per subject. A [`Command`] looks at it and returns a [`Decision`]: changes to
//! store, events to log, and a reply. The shell loads the state, stores changes and events in one
//! transaction, and answers only when that has committed.
//!
//! A command never partly applies, and every way to end something is [`revoke::Revoke`].

pub mod announce;
pub mod call;
pub mod check;
pub mod consent;
pub mod decide;
pub mod describe;
pub mod exchange;
pub mod foreign;
pub mod grant;
pub mod login;
pub mod overview;
pub mod provision;
pub mod reactivate;
pub mod redeem;
pub mod refresh;
pub mod revoke;
pub mod service;

use crate::connection::identity::CustomClaim;
use crate::id::{GrantId, SessionId, SubjectKey};
use crate::policy::{WideRevocation, WideScope, covers_session};
use crate::secret::Digest;
use crate::time::UnixMillis;
use check::{CheckRequest, DenyReason, Verdict};
pub use decide::{Change, Command, Decision, EarlierReply, Needs, Sessions, State};
use revoke::Cause;
use serde::{Deserialize, Serialize};

/// How long an access token lives, in seconds. Minutes: the kill does not wait for it, but a
/// gateway that cannot ask has nothing else.
pub const ACCESS_TOKEN_TTL_SECS: u64 = 300;
/// How long an authorization code may wait to be redeemed, in seconds (RFC 6749 section 4.1.2
/// recommends at most ten minutes).
pub const CODE_TTL_SECS: u64 = 60;
/// A session's absolute limit, in seconds.
pub const SESSION_TTL_SECS: u64 = 12 * 3600;
/// How long a session may go without a refresh, in seconds. An access token is good for minutes, so a
/// client that is in use refreshes long before.
pub const SESSION_IDLE_SECS: u64 = 2 * 3600;
/// The absolute limit of a session with `offline_access` (OIDC Core section 11), in seconds.
pub const OFFLINE_TTL_SECS: u64 = 30 * 24 * 3600;
/// How long such a session may go without a refresh, in seconds.
pub const OFFLINE_IDLE_SECS: u64 = 7 * 24 * 3600;
/// How long after a rotation a refresh token may come again and get the same successor, in seconds:
/// for a client whose answer was lost.
pub const REFRESH_GRACE_SECS: u64 = 10;
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
    /// When it was last let in again after a deactivation: log-ins begun before must begin again, and a
    /// provider's tokens from before do not count.
    pub reactivated_at: Option<UnixMillis>,
    /// When a session at the provider was last ended: a provider's tokens from before that do not say
    /// which session they are of do not count.
    pub upstream_ended_at: Option<UnixMillis>,
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
            reactivated_at: None,
            upstream_ended_at: None,
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
    /// When its log-in set out. A wide revocation covers it by this: it may have begun by a view from
    /// before, and a little later than such a view should be used.
    pub set_out_at: UnixMillis,
    /// When the person last proved who they are, in seconds (`auth_time`, OIDC Core section 2); a
    /// service never does.
    pub auth_time_secs: Option<u64>,
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
    /// When it was last begun or refreshed.
    pub last_used_at: UnixMillis,
    /// How long after that it ends by itself, in seconds.
    pub idle_secs: u64,
    /// What the identity provider says of the person, for `/userinfo`.
    pub profile: Profile,
    /// The client wants to be told of its end (OIDC Back-Channel Logout).
    pub announce_end: bool,
    /// Roles, by the connection's rules.
    pub roles: Vec<String>,
    /// The claims that the connection keeps.
    pub claims: Vec<CustomClaim>,
    /// What the identity provider calls the person and their session there.
    pub upstream: Upstream,
}

/// What an identity provider calls a person and their session, as digests: it says so again when it logs
/// them out (OIDC Back-Channel Logout section 2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Of `sub`.
    pub sub: Option<Digest>,
    /// Of `sid`.
    pub sid: Option<Digest>,
}

/// Standard claims about a person (OIDC Core section 5.1), as the identity provider stated them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// `name`
    pub name: Option<String>,
    /// `preferred_username`
    pub preferred_username: Option<String>,
    /// `email`
    pub email: Option<String>,
    /// `email_verified`
    pub email_verified: bool,
}

impl Session {
    /// When it need not be remembered any more.
    #[must_use]
    pub fn forget_at(&self) -> UnixMillis {
        let over = self.ended.map_or(self.live_until(), |ended| ended.at);
        over.plus_secs(SESSION_MEMORY_SECS)
    }

    /// When it ends by itself: at its absolute limit, or for want of use before.
    #[must_use]
    pub fn live_until(&self) -> UnixMillis {
        self.expires_at
            .min(self.last_used_at.plus_secs(self.idle_secs))
    }

    /// Takes it for ended if one of `revoked` covers it: then nothing that rests on it is in force,
    /// although nobody has told the subject.
    pub fn end_if_covered(&mut self, revoked: &[WideRevocation]) {
        let covering = revoked.iter().find(|wide| {
            covers_session(
                std::slice::from_ref(wide),
                &self.client_id,
                &self.connection,
                self.set_out_at,
            )
        });
        if let (None, Some(wide)) = (self.ended, covering) {
            let cause = match wide.scope {
                WideScope::Connection(_) => Cause::ConnectionEnded,
                WideScope::Client(_) | WideScope::Key(_) => Cause::ClientEnded,
            };
            self.ended = Some(Ended {
                at: wide.not_before,
                cause,
            });
        }
    }

    /// Whether it is neither ended nor past a limit.
    #[must_use]
    pub fn is_live(&self, now: UnixMillis) -> bool {
        self.ended.is_none() && now < self.live_until()
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
    /// The audiences that access tokens may have (RFC 8707 section 2).
    pub audiences: Vec<String>,
    /// The `DPoP` key that it is bound to (RFC 9449 section 10).
    pub dpop_jkt: Option<String>,
    /// After this it is worth nothing.
    pub expires_at: UnixMillis,
    /// Single use: set by the first redemption.
    pub redeemed: bool,
}

/// The refresh tokens of a session: a chain of which one link is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// The session it keeps going.
    pub session: SessionId,
    /// Who may use it.
    pub client_id: String,
    /// The scope granted; a refresh may ask for less.
    pub scope: String,
    /// The audiences that access tokens may have.
    pub audiences: Vec<String>,
    /// The `DPoP` key that every refresh must prove (RFC 9449 section 5).
    pub jkt: Option<String>,
    /// The one that is good.
    pub current: Digest,
    /// The one before, which may come once more.
    pub previous: Option<Previous>,
}

/// A refresh token that was exchanged for its successor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Of its secret part.
    pub digest: Digest,
    /// What the successor was derived from it with.
    pub salt: [u8; 24],
    /// When.
    pub rotated_at: UnixMillis,
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
    if now >= session.live_until() {
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
        session_expires_at: session.live_until(),
    }
}
