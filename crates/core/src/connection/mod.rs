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
pub mod sync;

use crate::client::AuthMethod;
use crate::client::uri::{is_fetchable, is_resource};
use crate::jwt::Algorithm;
use crate::policy::KEPT_SECS;
use claims::{Conditions, is_comparable, is_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sync::Target;

/// The longest id.
pub const MAX_ID_BYTES: usize = 32;
/// Names that are no connection's: services live in the first, trusts in the second.
const TAKEN: [&str; 2] = ["local", "trust"];
const MAX_NAME_BYTES: usize = 64;
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
    /// Its issuer URL; a slash at its end makes no difference to where it is looked for.
    pub issuer: String,
    /// Where browsers are sent, for a provider without discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where codes are exchanged, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// Where its keys are, likewise.
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
}

/// A record that makes a role: exactly a value, or an object that meets conditions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleRule {
    /// The role.
    pub role: String,
    /// The claim whose records are looked at.
    pub claim: String,
    /// The record is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equals: Option<Value>,
    /// The record is an object with these members.
    #[serde(default, skip_serializing_if = "Conditions::is_empty")]
    pub r#where: Conditions,
}

impl RoleRule {
    fn matches(&self, record: &Value) -> bool {
        match (&self.equals, record) {
            (Some(wanted), record) => wanted == record,
            (None, Value::Object(members)) => {
                !self.r#where.is_empty() && self.r#where.admit(members)
            }
            (None, _) => false,
        }
    }

    fn is_valid(&self) -> bool {
        let named = (1..=identity::MAX_GROUP_BYTES).contains(&self.role.len())
            && !self.role.contains(char::is_whitespace);
        let one_condition = match &self.equals {
            Some(value) => self.r#where.is_empty() && is_comparable(value),
            None => !self.r#where.is_empty() && self.r#where.are_valid(),
        };
        named && is_name(&self.claim) && one_condition
    }
}

/// Which of a provider's own tokens are accepted in place of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRules {
    /// One of these must be among the token's `aud`.
    pub audiences: Vec<String>,
    /// What they may be signed with.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// How old, and how long-lived, one may be at most, in seconds.
    #[serde(default = "an_hour")]
    pub max_age_secs: u64,
    /// The resources (RFC 8707) at which they count; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
}

impl TokenRules {
    /// What they may be signed with.
    #[must_use]
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let parsed = self.algorithms.iter().map(|alg| Algorithm::parse(alg));
        parsed.flatten().collect()
    }

    /// Whether they count at `resource`.
    #[must_use]
    pub fn count_at(&self, resource: &str) -> bool {
        self.resources.is_empty() || self.resources.iter().any(|one| one == resource)
    }

    fn valid(&self) -> Result<(), &'static str> {
        let short = |text: &String| (1..=MAX_TEXT_BYTES).contains(&text.len());
        if !(1..=MAX_LIST).contains(&self.audiences.len()) || !self.audiences.iter().all(short) {
            return Err("tokens.audiences has none, too many, or one that is empty or too long");
        }
        if self.algorithms.is_empty()
            || !self
                .algorithms
                .iter()
                .all(|alg| Algorithm::parse(alg).is_some())
        {
            return Err("tokens.algorithms has none, or one other than RS256, PS256, ES256, EdDSA");
        }
        if !(1..=MAX_TOKEN_AGE_SECS).contains(&self.max_age_secs) {
            return Err("tokens.max_age_secs is not between a second and a day");
        }
        if self.resources.len() > MAX_LIST || !self.resources.iter().all(|one| is_resource(one)) {
            return Err("tokens.resources has too many, or one that is no absolute URI");
        }
        Ok(())
    }
}

impl Connection {
    /// Whether it can be kept; else why not. `dev` lets it be on loopback.
    pub fn valid(&self, dev: bool) -> Result<(), &'static str> {
        if !is_id(&self.id) {
            return Err("id is not 1 to 32 of a-z, 0-9 and -, or is taken");
        }
        self.valid_settings(dev)
    }

    /// The same but for the id: the configuration's connection has an older one.
    pub fn valid_settings(&self, dev: bool) -> Result<(), &'static str> {
        if self.name.as_ref().is_some_and(|name| {
            !(1..=MAX_NAME_BYTES).contains(&name.len()) || name.chars().any(char::is_control)
        }) {
            return Err("name is empty, too long, or not one line");
        }
        let manual = [
            &self.authorization_endpoint,
            &self.token_endpoint,
            &self.jwks_uri,
        ];
        let given = manual.iter().filter(|endpoint| endpoint.is_some()).count();
        if given != 0 && given != manual.len() {
            return Err(
                "authorization_endpoint, token_endpoint and jwks_uri come together or not at all",
            );
        }
        let urls = [Some(&self.issuer)]
            .into_iter()
            .chain(manual.map(Option::as_ref));
        if !urls.flatten().all(|url| is_fetchable(url, dev)) {
            return Err("issuer or an endpoint is not https at a public name");
        }
        self.valid_client()?;
        self.valid_claims()?;
        if self.email_domains.len() > MAX_LIST
            || !self.email_domains.iter().all(|one| is_domain(one))
        {
            return Err("email_domains has too many, or one that is no domain in lower case");
        }
        if let Some(tokens) = &self.tokens {
            tokens.valid()?;
        }
        if !self.jwks_path.starts_with('/') || self.jwks_path.len() > MAX_TEXT_BYTES {
            return Err("jwks_path is no JSON Pointer");
        }
        if let Some(target) = &self.api_shield {
            target.valid().map_err(
                |_| "api_shield has no zone_id of 32 hexadecimal digits or no UUID as config_id",
            )?;
        }
        Ok(())
    }

    fn valid_client(&self) -> Result<(), &'static str> {
        if !(1..=MAX_TEXT_BYTES).contains(&self.client_id.len())
            || self.client_id.chars().any(char::is_control)
        {
            return Err("client_id is empty, too long, or not one line");
        }
        let scope_char = |c: char| c == ' ' || (c.is_ascii_graphic() && !['"', '\\'].contains(&c));
        if self.scope.len() > MAX_TEXT_BYTES
            || !self.scope.chars().all(scope_char)
            || !self.scope.split(' ').any(|scope| scope == "openid")
        {
            return Err("scope is too long, not as RFC 6749 section 3.3 has it, or lacks openid");
        }
        Ok(())
    }

    fn valid_claims(&self) -> Result<(), &'static str> {
        let lists = [&self.groups_claims, &self.claims];
        let names = [&self.subject_claim, &self.email_claim].into_iter();
        if lists.iter().any(|list| list.len() > MAX_LIST)
            || !names
                .chain(lists.into_iter().flatten())
                .all(|name| is_name(name))
        {
            return Err("a claim's name is empty or too long, or there are too many");
        }
        if !self.requires.are_valid() {
            return Err("requires has too many, or a value that cannot be compared");
        }
        if self.roles.len() > MAX_LIST || !self.roles.iter().all(RoleRule::is_valid) {
            return Err(
                "roles has too many, or one without a role, a claim, and either equals or where",
            );
        }
        Ok(())
    }

    /// What people are shown.
    #[must_use]
    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }

    /// Whether it needs a secret.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        matches!(
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

    /// The document for whoever administers it: without its secret.
    #[must_use]
    pub fn description(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut fields)) = serde_json::to_value(self) else {
            return Map::new();
        };
        fields.remove("sealed_client_secret");
        fields
    }
}

/// A connection needs a secret and there is none that it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeedsSecret;

/// Whether `id` can be a connection's.
#[must_use]
pub fn is_id(id: &str) -> bool {
    let of_an_id = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_ID_BYTES).contains(&id.len())
        && id.bytes().all(of_an_id)
        && !id.starts_with('-')
        && !TAKEN.contains(&id)
}

fn is_domain(text: &str) -> bool {
    let of_a_domain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (3..=253).contains(&text.len())
        && text.bytes().all(of_a_domain)
        && text.split('.').all(|label| !label.is_empty())
        && text.contains('.')
}

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

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"]
        .map(str::to_owned)
        .into()
}

const fn an_hour() -> u64 {
    3600
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
mod tests {
    use super::testing::{connection, with};
    use super::*;
    use serde_json::json;

    #[test]
    fn the_least_document_is_valid_and_reads_back() {
        let least = connection();
        assert_eq!(least.valid(false), Ok(()));
        let json = serde_json::to_string(&least).expect("JSON");
        assert_eq!(serde_json::from_str::<Connection>(&json).ok(), Some(least));
    }

    #[test]
    fn a_full_document_is_valid() {
        let full = with(&json!({
            "name": "Okta (staff)", "token_endpoint_auth_method": "private_key_jwt",
            "authorization_endpoint": "https://idp.example/a", "token_endpoint": "https://idp.example/t",
            "jwks_uri": "https://keys.example/k", "subject_claim": "preferred_username",
            "requires": {"tid": "x"}, "groups_claims": ["groups", "/realm/roles"],
            "roles": [{"role": "admin", "claim": "groups", "equals": "admins"},
                      {"role": "owner", "claim": "orgs", "where": {"org": "acme"}}],
            "claims": ["department"], "email_domains": ["example.com"],
            "tokens": {"audiences": ["api"], "algorithms": ["RS256"], "resources": ["https://app.example"]},
            "jwks_path": "/public/keys",
            "api_shield": {"zone_id": "0123456789abcdef0123456789abcdef",
                           "config_id": "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7"},
        }));
        assert_eq!(full.valid(false), Ok(()));
    }

    #[test]
    fn what_is_not_valid_is_said() {
        for (changes, part) in [
            (json!({"id": ""}), "id"),
            (json!({"id": "Okta"}), "id"),
            (json!({"id": "a:b"}), "id"),
            (json!({"id": "trust"}), "id"),
            (json!({"id": "-a"}), "id"),
            (json!({"id": "x".repeat(33)}), "id"),
            (json!({"name": ""}), "name"),
            (json!({"name": "a\nb"}), "name"),
            (json!({"issuer": "http://idp.example"}), "issuer"),
            (json!({"issuer": "https://10.0.0.1"}), "issuer"),
            (json!({"issuer": "https://idp.internal"}), "issuer"),
            (json!({"issuer": "http://127.0.0.1:1"}), "issuer"),
            (json!({"jwks_uri": "https://idp.example/k"}), "together"),
            (
                json!({"authorization_endpoint": "https://idp.example/a", "token_endpoint": "https://idp.example/t",
                    "jwks_uri": "https://169.254.169.254/k"}),
                "endpoint",
            ),
            (json!({"client_id": ""}), "client_id"),
            (json!({"scope": "profile"}), "scope"),
            (json!({"scope": "openid \"x\""}), "scope"),
            (json!({"subject_claim": ""}), "claim"),
            (json!({"requires": {"a": null}}), "requires"),
            (json!({"roles": [{"role": "a", "claim": "g"}]}), "roles"),
            (
                json!({"roles": [{"role": "a b", "claim": "g", "equals": "x"}]}),
                "roles",
            ),
            (
                json!({"roles": [{"role": "a", "claim": "g", "equals": "x", "where": {"a": 1}}]}),
                "roles",
            ),
            (json!({"email_domains": ["Example.com"]}), "email_domains"),
            (json!({"email_domains": ["example"]}), "email_domains"),
            (json!({"tokens": {"audiences": []}}), "audiences"),
            (
                json!({"tokens": {"audiences": ["a"], "algorithms": ["none"]}}),
                "algorithms",
            ),
            (
                json!({"tokens": {"audiences": ["a"], "algorithms": ["HS256"]}}),
                "algorithms",
            ),
            (
                json!({"tokens": {"audiences": ["a"], "max_age_secs": 86401}}),
                "max_age",
            ),
            (
                json!({"tokens": {"audiences": ["a"], "resources": ["x"]}}),
                "resources",
            ),
            (json!({"jwks_path": "keys"}), "jwks_path"),
            (
                json!({"api_shield": {"zone_id": "../x", "config_id": "y"}}),
                "api_shield",
            ),
        ] {
            let why = with(&changes).valid(false).expect_err("not valid");
            assert!(why.contains(part), "{changes}: {why}");
        }
        assert_eq!(
            with(&json!({"issuer": "http://127.0.0.1:1"})).valid(true),
            Ok(())
        );
    }

    #[test]
    fn unknown_members_are_no_typing_mistakes_that_pass() {
        let document =
            json!({"issuer": "https://a.example", "client_id": "c", "subject_clam": "x"});
        assert!(serde_json::from_value::<Connection>(document).is_err());
    }

    #[test]
    fn only_what_says_nothing_of_people_can_change_without_an_end() {
        let before = connection();
        for harmless in [
            json!({"name": "x"}),
            json!({"email_domains": ["x.example"]}),
            json!({"token_endpoint_auth_method": "private_key_jwt"}),
            json!({"sealed_client_secret": "x"}),
            json!({"jwks_path": "/x"}),
        ] {
            assert!(before.carries_on_as(&with(&harmless)), "{harmless}");
        }
        for change in [
            json!({"issuer": "https://other.example"}),
            json!({"client_id": "x"}),
            json!({"subject_claim": "email"}),
            json!({"email_is_verified": true}),
            json!({"requires": {"hd": "x"}}),
            json!({"groups_claims": []}),
            json!({"roles": [{"role": "a", "claim": "g", "equals": "x"}]}),
            json!({"claims": ["x"]}),
            json!({"scope": "openid"}),
            json!({"tokens": {"audiences": ["a"]}}),
        ] {
            assert!(!before.carries_on_as(&with(&change)), "{change}");
        }
    }

    #[test]
    fn a_secret_goes_nowhere_else() {
        let before = connection();
        let sealed = with(&json!({"sealed_client_secret": "s"}));
        let kept = |changes: Value| {
            let kept = with(&changes).keeps_secret_of(Some(&sealed));
            kept.map(|kept| kept.sealed_client_secret)
        };
        let same = Ok(Some("s".to_owned()));
        assert_eq!(kept(json!({"name": "x", "scope": "openid"})), same);
        assert_eq!(
            kept(json!({"sealed_client_secret": "t"})),
            Ok(Some("t".to_owned()))
        );
        assert_eq!(
            kept(json!({"token_endpoint_auth_method": "private_key_jwt"})),
            Ok(None)
        );
        assert_eq!(before.clone().keeps_secret_of(None), Err(NeedsSecret));
        for elsewhere in [
            json!({"issuer": "https://evil.example"}),
            json!({"token_endpoint": "https://evil.example/t"}),
            json!({"client_id": "x"}),
        ] {
            assert_eq!(kept(elsewhere.clone()), Err(NeedsSecret), "{elsewhere}");
        }
    }

    #[test]
    fn a_description_has_no_secret() {
        let described = with(&json!({"sealed_client_secret": "sealed"})).description();
        assert!(!format!("{described:?}").contains("sealed"));
    }
}
