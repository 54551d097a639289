//! What makes roles of claims, and which of a provider's own tokens are accepted.

use super::claims::{Conditions, is_comparable, is_name};
use super::identity::MAX_GROUP_BYTES;
use super::{MAX_LIST, MAX_TEXT_BYTES, MAX_TOKEN_AGE_SECS};
use crate::client::uri::is_resource;
use crate::jwt::Algorithm;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    pub(super) fn matches(&self, record: &Value) -> bool {
        match (&self.equals, record) {
            (Some(wanted), record) => wanted == record,
            (None, Value::Object(members)) => {
                !self.r#where.is_empty() && self.r#where.admit(members)
            }
            (None, _) => false,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        let named = (1..=MAX_GROUP_BYTES).contains(&self.role.len())
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

    pub(super) fn valid(&self) -> Result<(), &'static str> {
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

fn algorithms() -> Vec<String> {
    ["RS256", "PS256", "ES256", "EdDSA"]
        .map(str::to_owned)
        .into()
}

const fn an_hour() -> u64 {
    3600
}
