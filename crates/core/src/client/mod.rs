//! OAuth clients: what is known of one, and what follows from it.
//!
//! The fields have the names of RFC 7591 section 2 (and of the RFCs that added to its registry), so that a client's
//! JSON is the same in the configuration, in storage, over `/v1/clients`, in a registration and in
//! a client ID metadata document. [`metadata`] says who may set which, and checks all of them.
//!
//! A secret is kept as its SHA-256 only; several are valid at a time, so that one can be replaced
//! without an outage. Times are seconds since the Unix epoch, as in RFC 7591.
//!
//! Out of scope: fetching `jwks_uri` or a metadata document, and verifying assertions.

pub mod metadata;
pub mod uri;

pub use metadata::{Invalid, Origin};

use crate::oauth::opaque::checksum;
use crate::secret::Digest;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

/// The scopes of a client for which none are set.
pub const DEFAULT_SCOPE: &str = "openid profile";

/// Where a client came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The configuration.
    Static,
    /// An operator, over `/v1/clients`.
    Registered,
    /// The document at its own `client_id` (OAuth Client ID Metadata Document).
    MetadataDocument,
    /// Itself (RFC 7591 section 3).
    Dynamic,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 4] = [
        Self::Static,
        Self::Registered,
        Self::MetadataDocument,
        Self::Dynamic,
    ];

    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Registered => "registered",
            Self::MetadataDocument => "metadata_document",
            Self::Dynamic => "dynamic",
        }
    }
}

/// `grant_types`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantType {
    /// RFC 6749 section 4.1.
    #[serde(rename = "authorization_code")]
    AuthorizationCode,
    /// RFC 6749 section 6.
    #[serde(rename = "refresh_token")]
    RefreshToken,
    /// RFC 6749 section 4.4.
    #[serde(rename = "client_credentials")]
    ClientCredentials,
    /// RFC 8693.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange,
    /// RFC 7523 section 2.1.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer,
}

impl GrantType {
    /// Every grant there is.
    pub const ALL: [Self; 5] = [
        Self::AuthorizationCode,
        Self::RefreshToken,
        Self::ClientCredentials,
        Self::TokenExchange,
        Self::JwtBearer,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::ClientCredentials => "client_credentials",
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }

    /// The grant of that name, exactly.
    #[must_use]
    pub fn parse(grant_type: &str) -> Option<Self> {
        let named = |grant: &Self| grant.as_str() == grant_type;
        Self::ALL.into_iter().find(named)
    }
}

/// `token_endpoint_auth_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// A public client.
    None,
    /// HTTP Basic (RFC 6749 section 2.3.1).
    ClientSecretBasic,
    /// In the form (the same section).
    ClientSecretPost,
    /// A signed assertion (RFC 7523 section 2.2).
    PrivateKeyJwt,
}

/// A client secret, of which only the digest is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Its SHA-256, as base64url in JSON.
    #[serde(serialize_with = "as_base64url", deserialize_with = "of_base64url")]
    pub sha256: Digest,
    /// When it was made; 0: not known.
    #[serde(default)]
    pub created_at: u64,
    /// From when it is not accepted any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// A client.
///
/// What deserializes is only known to have the right types: [`Origin::client`] makes one that is
/// valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "RFC 7591 metadata has many flags"
)]
pub struct Client {
    /// What it is called in requests (RFC 6749 section 2.2).
    pub client_id: String,
    /// Where it came from.
    pub source: Source,
    /// What people are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Where codes may be sent. Compared exactly, but for the port of one on a loopback address
    /// (RFC 8252 section 7.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<String>,
    /// Where browsers may be sent after a log-out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<String>,
    /// What it may present at the token endpoint.
    #[serde(default = "only_codes")]
    pub grant_types: Vec<GrantType>,
    /// How it proves who it is there.
    #[serde(default = "basic")]
    pub token_endpoint_auth_method: AuthMethod,
    /// Its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<ClientSecret>,
    /// Its public keys (RFC 7517 section 5), as they came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Value>,
    /// Where they are to be fetched instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The scopes that it may be given, separated by spaces; see [`Client::scopes`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The resources (RFC 8707) that its tokens may be for; the first is meant when it names none.
    /// Empty: those of the deployment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// The audiences for which it is the resource server and may introspect tokens (RFC 7662).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub introspects: Vec<String>,
    /// Whether its tokens are always bound to a key (RFC 9449 section 5.2).
    #[serde(default)]
    pub dpop_bound_access_tokens: bool,
    /// Whether it must push its authorization requests (RFC 9126 section 6).
    #[serde(default)]
    pub require_pushed_authorization_requests: bool,
    /// Where it wants to hear of log-outs (OIDC Back-Channel Logout section 2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether it needs a `sid` there.
    #[serde(default)]
    pub backchannel_logout_session_required: bool,
    /// Whether it is the deployment's own: nobody is asked for consent.
    #[serde(default)]
    pub first_party: bool,
    /// Whether it is turned away although it is known.
    #[serde(default)]
    pub disabled: bool,
    /// When it got its `client_id`; 0: not known.
    #[serde(default)]
    pub client_id_issued_at: u64,
}

impl Client {
    /// Whether it cannot keep a secret (RFC 6749 section 2.1).
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.token_endpoint_auth_method == AuthMethod::None
    }

    /// Whether it authenticates by a secret. It may then send it either way: HTTP Basic, which RFC
    /// 6749 section 2.3.1 prefers, or in the form.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        matches!(
            self.token_endpoint_auth_method,
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost
        )
    }

    /// Whether it may use that grant.
    #[must_use]
    pub fn allows_grant(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether a code may be sent to `uri`.
    #[must_use]
    pub fn allows_redirect_to(&self, uri: &str) -> bool {
        uri::is_among(&self.redirect_uris, uri)
    }

    /// Whether a browser may be sent to `uri` after a log-out.
    #[must_use]
    pub fn allows_post_logout_redirect_to(&self, uri: &str) -> bool {
        uri::is_among(&self.post_logout_redirect_uris, uri)
    }

    /// The scopes that it may be given.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        let scope = self.scope.as_deref().unwrap_or(DEFAULT_SCOPE);
        scope.split(' ').filter(|scope| !scope.is_empty())
    }

    /// Whether it may be given `scope`, which is one.
    #[must_use]
    pub fn allows_scope(&self, scope: &str) -> bool {
        self.scopes().any(|allowed| allowed == scope)
    }

    /// The resources that its tokens may be for: its own, or else the deployment's.
    #[must_use]
    pub fn resources<'a>(&'a self, deployment: &'a [String]) -> &'a [String] {
        if self.resources.is_empty() {
            deployment
        } else {
            &self.resources
        }
    }

    /// Whether it may ask about tokens for `audience`.
    #[must_use]
    pub fn introspects(&self, audience: &str) -> bool {
        self.introspects.iter().any(|own| own == audience)
    }

    /// Whether people are asked before it gets anything.
    #[must_use]
    pub const fn needs_consent(&self) -> bool {
        !self.first_party
    }

    /// Whether people are asked each time a code goes to `redirect_uri`, whatever they allowed
    /// before: a public client on a loopback address or a private-use scheme can be pretended to by
    /// any program on the same machine (RFC 8252 section 8.6).
    #[must_use]
    pub fn must_always_ask(&self, redirect_uri: &str) -> bool {
        self.needs_consent() && self.is_public() && !redirect_uri.starts_with("https://")
    }

    /// Whether `secret` is one of its secrets at `now`.
    ///
    /// All are compared, each in constant time: which one matched shows nowhere.
    #[must_use]
    pub fn authenticates_with_secret(&self, secret: &str, now: UnixMillis) -> bool {
        let digest = Digest::of(secret.as_bytes());
        let is_known = self.secrets.iter().fold(false, |found, known| {
            let is_this = known.sha256 == digest;
            let in_time = known.expires_at.is_none_or(|end| now.secs() < end);
            found || (is_this && in_time)
        });
        is_known && self.has_secrets()
    }

    /// Its metadata for whoever administers it: without the digests of its secrets, and with the
    /// `response_types` that follow from its grants.
    #[must_use]
    pub fn description(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            return Map::new();
        };
        let secrets = self.secrets.iter().map(|secret| {
            serde_json::json!({"created_at": secret.created_at, "expires_at": secret.expires_at})
        });
        if self.has_secrets() {
            fields.insert("secrets".to_owned(), secrets.collect());
        }
        let codes = self.allows_grant(GrantType::AuthorizationCode);
        let response_types: &[&str] = if codes { &["code"] } else { &[] };
        fields.insert("response_types".to_owned(), response_types.into());
        fields
    }

    /// Takes a new secret in. Those from before are good until `earlier_until`, or until they would
    /// have ended anyway; those that have ended are forgotten, and so is the oldest of too many.
    pub fn add_secret(&mut self, sha256: Digest, earlier_until: u64, now: UnixMillis) {
        for earlier in &mut self.secrets {
            let until = earlier
                .expires_at
                .map_or(earlier_until, |end| end.min(earlier_until));
            earlier.expires_at = Some(until);
        }
        self.secrets
            .retain(|secret| secret.expires_at.is_none_or(|end| now.secs() < end));
        let too_many = (self.secrets.len() + 1).saturating_sub(metadata::MAX_SECRETS);
        self.secrets.drain(..too_many);
        self.secrets.push(ClientSecret {
            sha256,
            created_at: now.secs(),
            expires_at: None,
        });
    }
}

/// A new client secret, which its client is told once. It has no Debug.
///
/// `pc_cs_`, the base64url of 32 random bytes, a dot, and the checksum by which secret scanners know
/// a real one ([`checksum`]).
pub struct NewSecret(String);

impl NewSecret {
    /// The secret around 32 random bytes.
    #[must_use]
    pub fn new(random: &[u8; 32]) -> Self {
        let text = format!("pc_cs_{}", base64url(random));
        let checksum = checksum(&text);
        Self(format!("{text}.{checksum}"))
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// What the client is told.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

fn only_codes() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode]
}

const fn basic() -> AuthMethod {
    AuthMethod::ClientSecretBasic
}

fn as_base64url<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&base64url(digest.as_bytes()))
}

fn of_base64url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
    let text = String::deserialize(deserializer)?;
    from_base64url(&text)
        .and_then(|bytes| bytes.try_into().ok())
        .map(Digest::from_bytes)
        .ok_or_else(|| de::Error::custom("not the base64url of a SHA-256"))
}

#[cfg(test)]
mod tests;
