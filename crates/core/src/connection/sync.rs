//! Keeping the keys of an identity provider in API Shield, which checks tokens before they reach a Worker.
//!
//! A token configuration of a zone has its own copy of the provider's keys
//! (`PUT /zones/{zone_id}/token_validation/config/{config_id}/credentials`). When the provider rotates, the
//! copy must follow, or good tokens are refused at the edge. A run fetches the provider's document, reduces
//! it to what the API takes ([`Credentials`]), and sends it if it differs from what was sent last.
//!
//! This is the state of that for one connection, without storage, clock or network: a run asks
//! [`SyncState::begin`], does its work, and reports to [`SyncState::end`].
//!
//! | what happened | what follows |
//! |---|---|
//! | the set was sent, or is the one that was sent last | nothing, until the next run of the schedule |
//! | anything failed | the schedule tries again after a minute, then two, up to an hour; never before the API's `retry-after` |
//! | a run never reported | it counts as over after [`RUN_SECS`]; the next one sends what differs, which does no harm twice |
//!
//! What is empty or malformed is never sent: a provider that breaks must not take every key out of force.
//!
//! Out of scope: whether the keys are any good. Whoever verifies with them judges that.

use super::Connection;
use crate::jwt::json;
use crate::text::from_base64url;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt;

pub use crate::jwt::jwks::{MAX_KEY_SET_BYTES, MAX_KEYS};

/// How long a run may take, in seconds. Longer than all of its requests may.
pub const RUN_SECS: u64 = 60;
/// How long after a first failure the schedule tries again, in seconds; it doubles with each.
pub const FIRST_PAUSE_SECS: u64 = 60;
/// The longest such pause, in seconds.
pub const LONGEST_PAUSE_SECS: u64 = 3600;
/// The longest pause that the API can ask for, in seconds.
pub const LONGEST_RETRY_AFTER_SECS: u64 = 24 * 3600;
/// The longest `kid` that is sent, in bytes.
const MAX_KID_BYTES: usize = 256;
/// The members of a JWK that are secret (RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Where a connection's keys are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The zone.
    pub zone_id: String,
    /// Its token configuration.
    pub config_id: String,
}

impl Target {
    /// Whether both names are what the API gives; else which is not. They become part of a URL.
    pub fn valid(&self) -> Result<(), &'static str> {
        let hexadecimal = |text: &str| {
            text.bytes()
                .all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        if self.zone_id.len() != 32 || !hexadecimal(&self.zone_id) {
            return Err("zone_id is not 32 hexadecimal digits");
        }
        let parts: Vec<&str> = self.config_id.split('-').collect();
        let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        if lengths != [8, 4, 4, 4, 12] || !parts.into_iter().all(hexadecimal) {
            return Err("config_id is not a UUID");
        }
        Ok(())
    }

    /// Where its keys are put, below the API's base URL.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "/zones/{}/token_validation/config/{}/credentials",
            self.zone_id, self.config_id
        )
    }
}

/// What of a connection a run needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The connection's id.
    pub connection: String,
    /// Its issuer.
    pub issuer: String,
    /// Where its keys are, if that is not to be discovered.
    pub jwks_uri: Option<String>,
    /// Where in the document the array of keys is (RFC 6901).
    pub jwks_path: String,
    /// Where they are sent.
    pub target: Target,
}

impl Source {
    /// What a run needs of `connection`, if its keys are to be kept in step. A SAML provider has none.
    #[must_use]
    pub fn of(connection: &Connection) -> Option<Self> {
        if connection.saml.is_some() {
            return None;
        }
        Some(Self {
            connection: connection.id.clone(),
            issuer: connection.issuer.clone(),
            jwks_uri: connection.jwks_uri.clone(),
            jwks_path: connection.jwks_path.clone(),
            target: connection.api_shield.clone()?,
        })
    }
}

/// A key set as the API takes it, in one form whatever order the provider has it in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials(String);

impl Credentials {
    /// Reads the array of keys at `path` (RFC 6901) in a provider's document, and reduces each to the
    /// members that the API documents. Keys that are not for signatures, have no `kid` or a private part,
    /// or are of other types are left out.
    pub fn read(document: &[u8], path: &str) -> Result<Self, SyncError> {
        if document.len() > MAX_KEY_SET_BYTES {
            return Err(SyncError::Malformed);
        }
        let document = json::value(document).ok_or(SyncError::Malformed)?;
        let listed = document.pointer(path).and_then(Value::as_array);
        let listed = listed.ok_or(SyncError::Malformed)?;
        if listed.len() > MAX_KEYS || !listed.iter().all(Value::is_object) {
            return Err(SyncError::Malformed);
        }
        let keys = listed
            .iter()
            .filter_map(Value::as_object)
            .filter_map(reduced);
        // As texts, of which two equal ones are one.
        let keys: BTreeSet<String> = keys.map(|key| Value::Object(key).to_string()).collect();
        if keys.is_empty() {
            return Err(SyncError::NoKeys);
        }
        let keys: Vec<String> = keys.into_iter().collect();
        Ok(Self(format!(r#"{{"keys":[{}]}}"#, keys.join(","))))
    }

    /// The body that is sent.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

/// What of a JWK the API takes, if it takes the key.
fn reduced(jwk: &Map<String, Value>) -> Option<Map<String, Value>> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let for_signatures = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let for_verifying = jwk.get("key_ops").is_none_or(|ops| {
        ops.as_array()
            .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
    });
    let is_private = PRIVATE.iter().any(|name| jwk.contains_key(*name));
    let kid = text("kid").filter(|kid| (1..=MAX_KID_BYTES).contains(&kid.len()))?;
    if !for_signatures || !for_verifying || is_private {
        return None;
    }
    let number =
        |name: &str| text(name).filter(|n| from_base64url(n).is_some_and(|n| !n.is_empty()));
    let coordinate = |name: &str, bytes: usize| {
        text(name).filter(|n| from_base64url(n).is_some_and(|n| n.len() == bytes))
    };
    // A member of another type than a text is not the same as none.
    let alg = match jwk.get("alg") {
        None => None,
        Some(alg) => Some(alg.as_str()?),
    };
    let key = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let alg = alg.unwrap_or("RS256");
            let known = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
            if !known.contains(&alg) {
                return None;
            }
            json!({"alg": alg, "e": number("e")?, "kid": kid, "kty": "RSA", "n": number("n")?})
        }
        ("EC", Some(crv)) => {
            let (of_curve, bytes) = match crv {
                "P-256" => ("ES256", 32),
                "P-384" => ("ES384", 48),
                _ => return None,
            };
            if alg.is_some_and(|alg| alg != of_curve) {
                return None;
            }
            json!({
                "alg": of_curve, "crv": crv, "kid": kid, "kty": "EC",
                "x": coordinate("x", bytes)?, "y": coordinate("y", bytes)?,
            })
        }
        _ => return None,
    };
    match key {
        Value::Object(key) => Some(key),
        _ => None,
    }
}

/// Why a run failed. Append only: the order is the stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SyncError {
    /// There is no credential for the API.
    NotConfigured,
    /// The provider's document cannot be had.
    ProviderUnavailable,
    /// The provider's document has no array of keys at that path, or is too large.
    Malformed,
    /// None of the provider's keys is one that the API takes.
    NoKeys,
    /// The API did not answer.
    ApiUnavailable,
    /// The API does not know our credential, or it may not do this.
    ApiUnauthorized,
    /// The API knows no such zone or configuration.
    ApiNotFound,
    /// The API wants fewer requests.
    ApiLimited,
    /// The API does not take the keys.
    ApiRefused,
    /// The API failed.
    ApiFailed,
}

impl SyncError {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::NotConfigured,
        Self::ProviderUnavailable,
        Self::Malformed,
        Self::NoKeys,
        Self::ApiUnavailable,
        Self::ApiUnauthorized,
        Self::ApiNotFound,
        Self::ApiLimited,
        Self::ApiRefused,
        Self::ApiFailed,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::Malformed => "malformed",
            Self::NoKeys => "no_keys",
            Self::ApiUnavailable => "api_unavailable",
            Self::ApiUnauthorized => "api_unauthorized",
            Self::ApiNotFound => "api_not_found",
            Self::ApiLimited => "api_limited",
            Self::ApiRefused => "api_refused",
            Self::ApiFailed => "api_failed",
        }
    }
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for SyncError {}

/// A failed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub error: SyncError,
    /// The API's code for it, if it gave one.
    pub code: Option<u64>,
    /// How long the API wants to be left alone, in seconds.
    pub retry_after_secs: Option<u64>,
}

impl From<SyncError> for Failure {
    fn from(error: SyncError) -> Self {
        Self {
            error,
            code: None,
            retry_after_secs: None,
        }
    }
}

/// What the API's answer says: `retry_after` is its header of that name (RFC 9110 section 10.2.3). A
/// success is one that says so in its status and in its body.
pub fn judge_answer(
    status: u16,
    retry_after: Option<&str>,
    body: &[u8],
    now: UnixMillis,
) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        #[serde(default)]
        success: bool,
        #[serde(default)]
        errors: Vec<ApiError>,
    }
    #[derive(Deserialize)]
    struct ApiError {
        code: Option<u64>,
    }
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    let success = envelope.as_ref().is_some_and(|envelope| envelope.success);
    let error = match status {
        200..=299 if success => return Ok(()),
        401 | 403 => SyncError::ApiUnauthorized,
        404 => SyncError::ApiNotFound,
        429 => SyncError::ApiLimited,
        400..=499 => SyncError::ApiRefused,
        // A body that says no, or nothing, under whatever status.
        _ => SyncError::ApiFailed,
    };
    let codes = envelope.map(|envelope| envelope.errors).unwrap_or_default();
    Err(Failure {
        error,
        code: codes.iter().find_map(|error| error.code),
        retry_after_secs: retry_after.and_then(|text| seconds_until(text, now)),
    })
}

/// The seconds that a `retry-after` asks for: a number of them, or a date.
fn seconds_until(text: &str, now: UnixMillis) -> Option<u64> {
    let text = text.trim();
    let secs = if text.bytes().all(|digit| digit.is_ascii_digit()) {
        text.parse().ok()?
    } else {
        let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
        u64::try_from(at.timestamp())
            .ok()?
            .saturating_sub(now.secs())
    };
    Some(secs.min(LONGEST_RETRY_AFTER_SECS))
}

/// What was sent last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// Where.
    pub target: Target,
    /// What.
    pub credentials: Credentials,
    /// When the API had taken it.
    pub at: UnixMillis,
}

/// What is known of one connection's keys at API Shield.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// What was sent last and taken for sure.
    pub sent: Option<Sent>,
    /// Whether something else may have been taken since: then the next run sends, whatever it has.
    pub in_doubt: bool,
    /// When the last run ended.
    pub attempted_at: Option<UnixMillis>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// How many runs in a row failed.
    pub failures: u32,
    /// When the schedule tries again after a failure.
    pub next_attempt_at: Option<UnixMillis>,
    /// How many runs have begun; the last one's number.
    runs: u64,
    /// When the run under way counts as over.
    running_until: Option<UnixMillis>,
}

/// What a run is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// To go on, and report under this number.
    Run {
        /// The number.
        run: u64,
        /// What was sent last; `None`: nothing, or it is not sure.
        sent: Option<Sent>,
    },
    /// After failures, not before then.
    NotDue(UnixMillis),
    /// Another is under way, until then at the latest.
    UnderWay(UnixMillis),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// The API took the keys.
    Sent(Target, Credentials),
    /// The provider has the keys that were sent last.
    Unchanged,
    /// Neither.
    Failed(Failure),
}

/// What about a run's end is worth an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Other keys are in force.
    Sent,
    /// The first of a row of failures, or one for another reason.
    Failed(SyncError),
}

impl Begun {
    /// Whether these keys are to be sent there.
    #[must_use]
    pub fn is_to_send(&self, target: &Target, credentials: &Credentials) -> bool {
        let same = |sent: &Sent| sent.target == *target && sent.credentials == *credentials;
        matches!(self, Self::Run { sent, .. } if !sent.as_ref().is_some_and(same))
    }
}

impl SyncState {
    /// Whether a run may begin; `forced` ones do not mind the pause after failures.
    pub fn begin(&mut self, forced: bool, now: UnixMillis) -> Begun {
        let longest = now.plus_secs(RUN_SECS);
        // A clock that went back does not make a run or a pause last longer.
        let running = self.running_until.map(|until| until.min(longest));
        if let Some(until) = running.filter(|until| now < *until) {
            return Begun::UnderWay(until);
        }
        let latest = now.plus_secs(LONGEST_RETRY_AFTER_SECS);
        let due = self.next_attempt_at.map(|at| at.min(latest));
        if let Some(at) = due.filter(|at| !forced && now < *at) {
            return Begun::NotDue(at);
        }
        // A run that never reported may have sent something.
        self.in_doubt |= self.running_until.is_some();
        self.runs += 1;
        self.running_until = Some(longest);
        Begun::Run {
            run: self.runs,
            sent: self.sent.clone().filter(|_| !self.in_doubt),
        }
    }

    /// The run of that number has ended. One that had counted as over says nothing, but that it sent
    /// something: then nobody knows what is in force, and the next run sends.
    pub fn end(&mut self, run: u64, ended: Ended, now: UnixMillis) -> Option<News> {
        if run != self.runs || self.running_until.is_none() {
            self.in_doubt |= matches!(ended, Ended::Sent(..));
            return None;
        }
        self.running_until = None;
        self.attempted_at = Some(now);
        let failure = match ended {
            Ended::Failed(failure) => failure,
            Ended::Sent(target, credentials) => {
                self.sent = Some(Sent {
                    target,
                    credentials,
                    at: now,
                });
                self.in_doubt = false;
                self.is_well();
                return Some(News::Sent);
            }
            Ended::Unchanged => {
                self.is_well();
                return None;
            }
        };
        // It may have taken the keys all the same.
        let lost = [SyncError::ApiUnavailable, SyncError::ApiFailed];
        self.in_doubt |= lost.contains(&failure.error);
        let doublings = self.failures.min(10);
        let pause = (FIRST_PAUSE_SECS << doublings).min(LONGEST_PAUSE_SECS);
        let asked = failure.retry_after_secs.unwrap_or(0);
        self.next_attempt_at = Some(now.plus_secs(pause.max(asked.min(LONGEST_RETRY_AFTER_SECS))));
        self.failures = self.failures.saturating_add(1);
        let before = self.failure.replace(failure);
        let same = before.is_some_and(|before| before.error == failure.error);
        (!same).then_some(News::Failed(failure.error))
    }

    fn is_well(&mut self) {
        self.failure = None;
        self.failures = 0;
        self.next_attempt_at = None;
    }
}

#[cfg(test)]
mod tests;
