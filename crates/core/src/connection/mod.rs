//! Connections: the identity providers through which people log in, and what is believed of each.
//!
//! A connection says where the provider is, what the service is called there, which verified claim
//! identifies a person, and what its claims mean ([`identity`]). [`choose`] says who is sent where.
//!
//! The static connection comes from the configuration; an operator keeps others over `/v1/connections`.
//! Its id is part of subject keys, so it is never given to another provider: what was deleted stays taken.
//! A secret is in the document only as it was sealed; who can open it is not this module's matter.
//!
//! Out of scope: fetching, verifying, and how long a wide revocation of a connection lasts.

pub mod choose;
pub mod claims;
pub mod identity;
pub mod saml;
pub mod sync;

mod rules;
mod valid;

pub use rules::{RoleRule, TokenRules};
pub use valid::is_id;

use crate::client::AuthMethod;
use crate::id::SubjectKey;
use crate::policy::KEPT_SECS;
use crate::scim::rules::ScimSettings;
use claims::Conditions;
use saml::SamlSettings;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sync::Target;

const MAX_TEXT_BYTES: usize = 512;
const MAX_LIST: usize = 64;
/// The oldest token of a provider that is ever accepted, in seconds: younger than the time for which
/// a kill is remembered, so that no token outlasts what ended it.
pub const MAX_TOKEN_AGE_SECS: u64 = 24 * 3600;
const _: () = assert!(MAX_TOKEN_AGE_SECS < KEPT_SECS);

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// Its name in subject keys and events.
    #[serde(default)]
    pub id: String,
    /// What people are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether anything goes through it. Kept beside the document.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Its issuer URL; a slash at its end makes no difference to where it is looked for. Of a SAML
    /// provider its entity ID, exactly.
    pub issuer: String,
    /// Where browsers are sent, for a provider without discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where codes are exchanged, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Where its keys are, likewise; alone, for a provider of which only tokens are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// What the service is called there.
    pub client_id: String,
    /// How the service proves who it is there.
    #[serde(default = "basic")]
    pub token_endpoint_auth_method: AuthMethod,
    /// The secret for that, sealed, as base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_client_secret: Option<String>,
    /// What is asked for, separated by spaces.
    #[serde(default = "scope")]
    pub scope: String,
    /// The verified claim that identifies a person; what SCIM's `userName` is compared with.
    #[serde(default = "sub")]
    pub subject_claim: String,
    /// Whether that claim's value is the same in any case, as SCIM's `userName` is.
    #[serde(default)]
    pub subject_folds_case: bool,
    /// The claim with the person's address.
    #[serde(default = "email")]
    pub email_claim: String,
    /// Whether the operator knows that every address there is verified.
    #[serde(default)]
    pub email_is_verified: bool,
    /// What a person's claims must say for them to be let in at all.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub requires: Conditions,
    /// The claims whose records are groups.
    #[serde(default = "groups")]
    pub groups_claims: Vec<String>,
    /// What makes roles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleRule>,
    /// Claims that are kept with the session.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
    /// Whose addresses end so is sent here without being asked; in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email_domains: Vec<String>,
    /// Which of its own tokens are accepted; `None`: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenRules>,
    /// Where the array of keys is in its key document, a JSON Pointer.
    #[serde(default = "keys")]
    pub jwks_path: String,
    /// Which token configuration of API Shield gets its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_shield: Option<Target>,
    /// How it is reached and believed, if it speaks SAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saml: Option<SamlSettings>,
    /// How its users are provisioned.
    #[serde(default, skip_serializing_if = "ScimSettings::are_default")]
    pub scim: ScimSettings,
}

impl Connection {
    /// What people are shown.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Whether people log in through it. One with keys and no endpoints is for its tokens alone.
    #[must_use]
    pub const fn logs_in(&self) -> bool {
        let only_keys = self.jwks_uri.is_some()
            && self.authorization_endpoint.is_none()
            && self.token_endpoint.is_none();
        !(only_keys && self.tokens.is_some())
    }

    /// Whether it needs a secret.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        self.logs_in()
            && self.saml.is_none()
            && matches!(
                self.token_endpoint_auth_method,
                AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost
            )
    }

    /// Whether `iss` is its issuer, but for a slash at the end: providers differ on it in their own
    /// documents. Whoever compares tokens takes the spelling of the provider's metadata.
    #[must_use]
    pub fn is_issuer(&self, iss: &str) -> bool {
        self.issuer.trim_end_matches('/') == iss.trim_end_matches('/')
    }

    /// The subject of whom the provider knows by `value`.
    #[must_use]
    pub fn subject(&self, naming_key: &[u8; 32], value: &str) -> SubjectKey {
        if self.subject_folds_case {
            SubjectKey::derive_folded(naming_key, &self.id, value)
        } else {
            SubjectKey::derive(naming_key, &self.id, value)
        }
    }

    /// Whether the same value means the same person under `changed`. If not, it is another connection.
    #[must_use]
    pub fn knows_the_people_of(&self, changed: &Self) -> bool {
        self.is_issuer(&changed.issuer)
            && self.subject_claim == changed.subject_claim
            && self.subject_folds_case == changed.subject_folds_case
            && self.scim.matching == changed.scim.matching
    }

    /// Whether a token could be accepted by both: their names for whose it is would differ, and turning
    /// one off would leave it to the other.
    #[must_use]
    pub fn shares_tokens_with(&self, other: &Self) -> bool {
        let (Some(own), Some(others)) = (&self.tokens, &other.tokens) else {
            return false;
        };
        self.is_issuer(&other.issuer)
            && own
                .audiences
                .iter()
                .any(|one| others.audiences.contains(one))
    }

    /// Whether what rests on `self` may go on under `changed`: nothing that says who somebody is or
    /// what they may has changed.
    #[must_use]
    pub fn carries_on_as(&self, changed: &Self) -> bool {
        let comparable = |one: &Self| Self {
            name: None,
            enabled: true,
            token_endpoint_auth_method: AuthMethod::None,
            sealed_client_secret: None,
            email_domains: Vec::new(),
            api_shield: None,
            jwks_path: keys(),
            scim: ScimSettings::default(),
            saml: one.saml.as_ref().map(SamlSettings::identifying),
            ..one.clone()
        };
        comparable(self) == comparable(changed)
    }

    /// Whether the secret for `self` may be sent where `changed` sends it. Else whoever may change a
    /// connection could have its secret sent to them.
    fn shares_secret_with(&self, changed: &Self) -> bool {
        self.issuer == changed.issuer
            && self.token_endpoint == changed.token_endpoint
            && self.client_id == changed.client_id
    }

    /// The secret that is kept when `self` takes the place of `before` and brings none; `Err` if one
    /// is needed.
    pub fn keeps_secret_of(mut self, before: Option<&Self>) -> Result<Self, NeedsSecret> {
        if !self.needs_secret() {
            self.sealed_client_secret = None;
        } else if self.sealed_client_secret.is_none() {
            let shared = before.filter(|before| before.shares_secret_with(&self));
            let kept = shared.and_then(|before| before.sealed_client_secret.clone());
            self.sealed_client_secret = Some(kept.ok_or(NeedsSecret)?);
        }
        Ok(self)
    }

    /// The document for whoever administers it: without its secret, and without what means nothing to a
    /// SAML provider.
    #[must_use]
    pub fn description(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            return Map::new();
        };
        fields.remove("sealed_client_secret");
        if self.saml.is_some() {
            for name in ["token_endpoint_auth_method", "scope", "jwks_path"] {
                fields.remove(name);
            }
        }
        fields
    }
}

/// A connection needs a secret and there is none that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsSecret;

const fn yes() -> bool {
    true
}

const fn basic() -> AuthMethod {
    AuthMethod::ClientSecretBasic
}

fn scope() -> String {
    "openid profile email".to_owned()
}

fn sub() -> String {
    "sub".to_owned()
}

fn email() -> String {
    "email".to_owned()
}

fn groups() -> Vec<String> {
    vec!["groups".to_owned()]
}

fn keys() -> String {
    "/keys".to_owned()
}

/// A connection for the tests of this crate, and changes to it.
#[cfg(test)]
pub(crate) mod testing {
    use super::Connection;
    use serde_json::{Value, json};

    pub fn connection() -> Connection {
        with(&json!({}))
    }

    /// The usual one with these members.
    pub fn with(changes: &Value) -> Connection {
        let mut document =
            json!({"id": "okta", "issuer": "https://idp.example", "client_id": "portcullis"});
        let members = document.as_object_mut().expect("an object");
        members.extend(changes.as_object().cloned().unwrap_or_default());
        serde_json::from_value(document).expect("a connection")
    }
}

#[cfg(test)]
mod shapes;
#[cfg(test)]
mod tests;
