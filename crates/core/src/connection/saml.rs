//! A connection that speaks SAML 2.0 instead of OpenID Connect: where its provider is, by which keys it
//! is believed, and what it says as claims, so that all that a connection makes of claims holds for it
//! too.
//!
//! The connection's `issuer` is the provider's entity ID, which need not be an address, and its
//! `client_id` is ours there. It accepts no tokens and has no key document: an assertion is for a log-in.
//!
//! | claim | of the assertion |
//! |---|---|
//! | `sub` | the `NameID` |
//! | an attribute's `Name` | its value as a text; several as an array of texts |

use super::MAX_TEXT_BYTES;
use crate::client::uri::is_fetchable;
use crate::saml::SamlError;
use crate::saml::certificate::VerifyingKey;
use crate::saml::response::VerifiedAssertion;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most certificates: two while a provider changes its key, and those of a provider with several.
pub const MAX_CERTIFICATES: usize = 8;
/// How much an assertion may say, as JSON.
pub const MAX_CLAIMS_BYTES: usize = 64 * 1024;

/// The claim that names the person, whatever attributes there are.
const SUB: &str = "sub";

/// How a SAML provider is reached and believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamlSettings {
    /// Where browsers are sent with a request, by HTTP-Redirect.
    pub sso_url: String,
    /// Its certificates: DER in base64, with or without PEM's lines. Each counts.
    pub certificates: Vec<String>,
    /// The kind of name to ask for; `None` leaves it to the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_id_format: Option<String>,
}

impl SamlSettings {
    /// The keys that answers are believed by.
    pub fn keys(&self) -> Result<Vec<VerifyingKey>, SamlError> {
        let certificates = self.certificates.iter();
        certificates
            .map(|text| VerifyingKey::from_certificate(text))
            .collect()
    }

    /// Whether it can be kept; else why not. `dev` lets the provider be on loopback.
    pub(super) fn valid(&self, dev: bool) -> Result<(), &'static str> {
        if !is_fetchable(&self.sso_url, dev) {
            return Err("saml: sso_url is not https at a public name");
        }
        if !(1..=MAX_CERTIFICATES).contains(&self.certificates.len()) || self.keys().is_err() {
            return Err(
                "saml: certificates is not 1 to 8 of base64 X.509, each with an RSA key of 2048 bits or more, or one on P-256",
            );
        }
        let is_format =
            |format: &String| is_one_word(format) && format.starts_with("urn:oasis:names:tc:SAML:");
        if !self.name_id_format.as_ref().is_none_or(is_format) {
            return Err("saml: name_id_format is none of urn:oasis:names:tc:SAML:...");
        }
        Ok(())
    }

    /// What of it says who somebody is: the kind of name. Where the provider is and which keys it has may
    /// change, as they do from time to time.
    pub(super) fn identifying(&self) -> Self {
        Self {
            sso_url: String::new(),
            certificates: Vec::new(),
            name_id_format: self.name_id_format.clone(),
        }
    }
}

/// Whether `text` can be an entity ID: a URI of at most 512 bytes, by what can be seen of it.
pub(super) fn is_one_word(text: &str) -> bool {
    (1..=MAX_TEXT_BYTES).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// What an assertion says, as claims. No attribute stands in for the name.
#[must_use]
pub fn claims(assertion: &VerifiedAssertion) -> Map<String, Value> {
    let mut claims = Map::new();
    for (name, values) in &assertion.attributes {
        let value = match values.as_slice() {
            [] => continue,
            [one] => Value::from(one.as_str()),
            several => Value::from(several),
        };
        claims.insert(name.clone(), value);
    }
    claims.insert(SUB.to_owned(), assertion.name_id.as_str().into());
    claims
}

#[cfg(test)]
mod tests {
    use super::super::testing::with;
    use super::*;
    use crate::saml::testing::{NOW, SIGNED_ASSERTION, element, signed, verifier};
    use serde_json::json;

    /// What an answer says whose attributes are these, as XML.
    fn said(attributes: &str) -> Map<String, Value> {
        let statement = element(SIGNED_ASSERTION, "AttributeStatement");
        let other = format!("<saml:AttributeStatement>{attributes}</saml:AttributeStatement>");
        let answer = signed(&[(statement, &other)]);
        claims(&verifier().verify_xml(&answer, NOW).expect("good"))
    }

    fn attribute(name: &str, values: &[&str]) -> String {
        let value = |value| format!("<saml:AttributeValue>{value}</saml:AttributeValue>");
        let values = values.iter().map(value).collect::<Vec<_>>().concat();
        format!("<saml:Attribute Name=\"{name}\">{values}</saml:Attribute>")
    }

    #[test]
    fn the_name_is_sub_one_value_is_a_text_and_several_are_a_list() {
        let assertion = verifier().verify_xml(SIGNED_ASSERTION, NOW).expect("good");
        let expected = json!({
            "sub": "alice@example.com", "mail": "alice@example.com", "groups": ["staff", "R&D ü"],
        });
        assert_eq!(Value::Object(claims(&assertion)), expected);
    }

    #[test]
    fn no_attribute_is_the_name_and_one_without_values_is_none() {
        let attributes = [
            attribute("sub", &["bob"]),
            attribute("none", &[]),
            attribute("sub", &["carol"]),
        ];
        let expected = json!({"sub": "alice@example.com"});
        assert_eq!(Value::Object(said(&attributes.concat())), expected);
    }

    #[test]
    fn a_connection_makes_of_attributes_what_it_makes_of_claims() {
        let connection = with(&json!({
            "subject_claim": "urn:oid:0.9.2342.19200300.100.1.1",
            "email_claim": "mail", "email_is_verified": true,
            "groups_claims": ["http://schemas.xmlsoap.org/claims/Group"],
            "roles": [{"role": "admin", "claim": "http://schemas.xmlsoap.org/claims/Group", "equals": "Admins"}],
        }));
        let attributes = [
            attribute("urn:oid:0.9.2342.19200300.100.1.1", &["alice"]),
            attribute("mail", &["alice@example.com"]),
            attribute("http://schemas.xmlsoap.org/claims/Group", &["Admins"]),
        ];
        let who = connection.identity(&said(&attributes.concat()));
        let who = who.expect("somebody");
        assert_eq!(
            (who.value.as_str(), who.profile.email_verified),
            ("alice", true)
        );
        assert_eq!(
            (who.groups, who.roles),
            (vec!["Admins".to_owned()], vec!["admin".to_owned()])
        );
    }

    #[test]
    fn several_values_identify_nobody() {
        let connection = with(&json!({"subject_claim": "uid"}));
        let two = said(&attribute("uid", &["alice", "bob"]));
        assert!(connection.identity(&two).is_err());
    }
}
