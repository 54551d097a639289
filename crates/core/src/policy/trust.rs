//! Trusts: whose workload identities may act as which of our services.
//!
//! A trust names an issuer, the audience its tokens must be for, and claims that they must have. A
//! token that fits may be exchanged (RFC 8693, RFC 7523) for one of ours in the name of the trust's
//! client, with scopes no wider than the trust's. No secret is involved.
//!
//! Conditions compare exactly: no patterns, so that nobody can register a name that fits by
//! accident. There is at least one, for an issuer's tokens are usually everybody's.

use crate::client::uri::is_fetchable;
use crate::connection::claims::Conditions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MAX_TEXT_BYTES: usize = 512;

/// A declared trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trust {
    /// Its name here.
    #[serde(default)]
    pub id: String,
    /// The `iss` of the tokens, exactly; also where OIDC discovery finds their keys.
    pub issuer: String,
    /// Where the keys are, for an issuer without discovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// The `aud` that they must have.
    pub audience: String,
    /// Claims that they must have, each with exactly this string, number or truth value.
    pub claims: Conditions,
    /// The client in whose name tokens are given.
    pub client_id: String,
    /// The scopes that they may have at most, separated by spaces.
    pub scope: String,
}

impl Trust {
    /// Whether it can be declared; else why not. `dev` lets keys come from loopback.
    pub fn valid(&self, dev: bool) -> Result<(), &'static str> {
        let short = |text: &str| (1..=MAX_TEXT_BYTES).contains(&text.len());
        if !is_fetchable(&self.issuer, dev) {
            return Err("issuer is not https at a public name");
        }
        if self
            .jwks_uri
            .as_deref()
            .is_some_and(|uri| !is_fetchable(uri, dev))
        {
            return Err("jwks_uri is not https at a public name");
        }
        if !short(&self.audience) || !short(&self.client_id) {
            return Err("audience or client_id is empty or too long");
        }
        let scope_char = |c: char| c == ' ' || (c.is_ascii_graphic() && !['"', '\\'].contains(&c));
        if self.scope.len() > MAX_TEXT_BYTES || !self.scope.chars().all(scope_char) {
            return Err("scope is too long or not as RFC 6749 section 3.3 has it");
        }
        if self.claims.is_empty() || !self.claims.are_valid() {
            return Err(
                "claims has no condition, too many, or one that is neither a text nor a whole \
                 number nor a truth value",
            );
        }
        Ok(())
    }

    /// The connection of sessions that rest on the trust of that id.
    #[must_use]
    pub fn connection(id: &str) -> String {
        format!("trust:{id}")
    }

    /// Whether verified `claims` meet every condition.
    #[must_use]
    pub fn admits(&self, claims: &Map<String, Value>) -> bool {
        !self.claims.is_empty() && self.claims.admit(claims)
    }

    /// The scopes that it gives at most.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.scope.split(' ').filter(|scope| !scope.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn trust(claims: &Value) -> Trust {
        serde_json::from_value(json!({
            "issuer": "https://ci.example",
            "audience": "portcullis",
            "claims": claims,
            "client_id": "deployer",
            "scope": "deploy",
        }))
        .expect("reads")
    }

    fn claims(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    #[test]
    fn every_condition_must_be_met_exactly() {
        let trust = trust(&json!({"repository": "org/app", "run": 7, "protected": true}));
        assert_eq!(trust.valid(false), Ok(()));
        let good = json!({"repository": "org/app", "run": 7, "protected": true, "more": 1});
        assert!(trust.admits(&claims(good)));
        for bad in [
            json!({}),
            json!({"repository": "org/app", "run": 7}),
            json!({"repository": "org/App", "run": 7, "protected": true}),
            json!({"repository": "org/app/x", "run": 7, "protected": true}),
            json!({"repository": ["org/app"], "run": 7, "protected": true}),
            json!({"repository": "org/app", "run": "7", "protected": true}),
            json!({"repository": "org/app", "run": 7, "protected": "true"}),
        ] {
            assert!(!trust.admits(&claims(bad.clone())), "{bad}");
        }
    }

    #[test]
    fn a_trust_without_conditions_cannot_be_declared_and_admits_nobody() {
        let trust = trust(&json!({}));
        assert!(trust.valid(false).is_err());
        assert!(!trust.admits(&claims(json!({"sub": "x"}))));
    }

    #[test]
    fn what_cannot_be_compared_or_fetched_cannot_be_declared() {
        for conditions in [
            json!({"a": null}),
            json!({"a": ["x"]}),
            json!({"a": {"b": 1}}),
            json!({"a": 1.5}),
            json!({"a": ""}),
        ] {
            assert!(trust(&conditions).valid(false).is_err(), "{conditions}");
        }
        for issuer in [
            "http://ci.example",
            "https://10.0.0.1",
            "https://ci.internal",
        ] {
            let mut trust = trust(&json!({"sub": "x"}));
            trust.issuer = issuer.into();
            assert!(trust.valid(false).is_err(), "{issuer}");
        }
    }

    proptest! {
        #[test]
        fn who_is_admitted_has_each_claim(wanted: String, had: String) {
            let trust = trust(&json!({ "sub": wanted }));
            prop_assert_eq!(trust.admits(&claims(json!({ "sub": had }))), wanted == had);
        }
    }
}
