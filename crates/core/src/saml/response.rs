//! The answer of an identity provider: a `Response` with one signed assertion (saml-profiles-2.0-os
//! section 4.1.4).
//!
//! | what | must be |
//! |---|---|
//! | `Response` | 2.0, `Success`, `InResponseTo` the request; `Destination` our address, `Issuer` the provider, each if there is one |
//! | signature | in the assertion, in the response or in both; each that is there must be good |
//! | `Issuer` | the provider |
//! | `Subject` | a `NameID`, and a bearer confirmation for this request and address, in time |
//! | `Conditions` | in time, for us, and none that is not understood |
//! | `AuthnStatement` | exactly one |
//!
//! Where the assertion alone is signed, the response around it can only be a reason to refuse: all that
//! is believed stands in the assertion.

use super::certificate::VerifyingKey;
use super::document::{Document, attribute, child, is, text};
use super::signature::{self, SIGNATURE_NS, SignedElement};
use super::{ASSERTION_NS, MAX_RESPONSE_BYTES, PROTOCOL_NS, SamlError};
use crate::text::from_base64_wrapped;
use crate::time::UnixMillis;
use roxmltree::Node;
use std::collections::BTreeMap;

mod assertion;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wrapping;

const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const ENTITY: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";

/// What an answer must say to be believed.
#[derive(Clone, Copy, Debug)]
pub struct ResponseVerifier<'a> {
    /// The provider's entity ID.
    pub idp_entity_id: &'a str,
    /// Our entity ID.
    pub sp_entity_id: &'a str,
    /// The address that the answer came to.
    pub acs_url: &'a str,
    /// The ID of the request that this browser was sent with.
    pub in_response_to: &'a str,
    /// The keys in the provider's certificates.
    pub keys: &'a [VerifyingKey],
    /// How far the provider's clock may be ahead of ours, in seconds.
    pub max_clock_skew_secs: u64,
}

/// What a provider says of who authenticated. Only [`ResponseVerifier::verify`] makes one.
///
/// It counts once: the caller remembers `assertion_id`, with the provider, until `not_on_or_after`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifiedAssertion {
    /// Its ID, which this provider gives no other.
    pub assertion_id: String,
    /// When it is refused anyway.
    pub not_on_or_after: UnixMillis,
    /// What the provider calls the person, exactly as written.
    pub name_id: String,
    /// The kind of name (`Format`).
    pub name_id_format: Option<String>,
    /// What the provider calls the session there, for its logout.
    pub session_index: Option<String>,
    /// When the session here should end, by the provider's word.
    pub session_not_on_or_after: Option<UnixMillis>,
    /// When the person authenticated.
    pub authn_instant: UnixMillis,
    /// How (`AuthnContextClassRef`).
    pub authn_context: Option<String>,
    /// Attributes by `Name`; values that are not plain text are left out.
    pub attributes: BTreeMap<String, Vec<String>>,
}

impl ResponseVerifier<'_> {
    /// Believes an answer as it was posted (`SAMLResponse`, base64), or says why not.
    pub fn verify(&self, posted: &str, now: UnixMillis) -> Result<VerifiedAssertion, SamlError> {
        // Base64 is longer by a third, and by line breaks.
        if posted.len() > MAX_RESPONSE_BYTES / 2 * 3 {
            return Err(SamlError::TooLarge);
        }
        let xml = from_base64_wrapped(posted).ok_or(SamlError::Malformed)?;
        let xml = str::from_utf8(&xml).map_err(|_| SamlError::Malformed)?;
        self.verify_xml(xml, now)
    }

    /// Believes an answer given as XML, or says why not.
    pub fn verify_xml(&self, xml: &str, now: UnixMillis) -> Result<VerifiedAssertion, SamlError> {
        let document = Document::parse(xml)?;
        self.check_response(document.root())?;
        let assertion = self.signed_assertion(&document)?;
        self.read(assertion, now)
    }

    /// What is around the assertion, and may be anybody's.
    fn check_response(&self, response: Node<'_, '_>) -> Result<(), SamlError> {
        if !is(response, PROTOCOL_NS, "Response") || attribute(response, "Version") != Some("2.0") {
            return Err(SamlError::Malformed);
        }
        let status = child(response, PROTOCOL_NS, "Status")?.ok_or(SamlError::Malformed)?;
        let code = child(status, PROTOCOL_NS, "StatusCode")?.ok_or(SamlError::Malformed)?;
        if attribute(code, "Value") != Some(SUCCESS) {
            return Err(SamlError::Status);
        }
        if attribute(response, "InResponseTo") != Some(self.in_response_to) {
            return Err(SamlError::InResponseTo);
        }
        let destination = attribute(response, "Destination");
        if destination.is_some_and(|url| url != self.acs_url) {
            return Err(SamlError::Destination);
        }
        match child(response, ASSERTION_NS, "Issuer")? {
            Some(issuer) => self.require_issuer(issuer),
            None => Ok(()),
        }
    }

    /// The one assertion, with a good signature on it or around it.
    fn signed_assertion<'a, 'i>(
        &self,
        document: &'a Document<'i>,
    ) -> Result<SignedElement<'a, 'i>, SamlError> {
        let response = document.root();
        let mut all = document.all(ASSERTION_NS, "Assertion");
        let (Some(assertion), None) = (all.next(), all.next()) else {
            return Err(SamlError::Assertions);
        };
        if assertion.parent() != Some(response) {
            return Err(SamlError::Assertions);
        }
        let known = signature::count(response) + signature::count(assertion);
        if document.all(SIGNATURE_NS, "Signature").count() != known {
            return Err(SamlError::Reference);
        }
        let around = signature::verify(response, self.keys)?;
        let on_it = signature::verify(assertion, self.keys)?;
        // A message that is signed must say where it was sent (saml-bindings-2.0-os section 3.5.5.2).
        if around.is_some() && attribute(response, "Destination").is_none() {
            return Err(SamlError::Destination);
        }
        match (on_it, around) {
            (Some(signed), _) => Ok(signed),
            (None, Some(signed)) => signed.child(ASSERTION_NS, "Assertion"),
            (None, None) => Err(SamlError::Unsigned),
        }
    }

    fn require_issuer(&self, issuer: Node<'_, '_>) -> Result<(), SamlError> {
        let format = attribute(issuer, "Format").unwrap_or(ENTITY);
        if format != ENTITY || text(issuer) != Some(self.idp_entity_id) {
            return Err(SamlError::Issuer);
        }
        Ok(())
    }
}
