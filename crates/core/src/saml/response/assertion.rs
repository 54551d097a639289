//! Reading an assertion that is signed: of whom it speaks, for whom, when, and what it says.

use super::{ResponseVerifier, VerifiedAssertion};
use crate::saml::document::{attribute, child, children, is, text, trimmed};
use crate::saml::signature::SignedElement;
use crate::saml::{ASSERTION_NS, SamlError};
use crate::time::UnixMillis;
use roxmltree::Node;
use std::collections::BTreeMap;

const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// Conditions whose meaning is kept: the audience is checked, an assertion is used once anyway, and we
/// issue none for others to rely on.
const CONDITIONS: [&str; 3] = ["AudienceRestriction", "OneTimeUse", "ProxyRestriction"];
const XSI_NS: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The longest name of a person; the specification's own kinds have at most 256 characters.
const MAX_NAME_ID_BYTES: usize = 1024;

impl ResponseVerifier<'_> {
    /// Believes what a signed assertion says, if it is for us and now.
    pub(super) fn read(
        &self,
        assertion: SignedElement<'_, '_>,
        now: UnixMillis,
    ) -> Result<VerifiedAssertion, SamlError> {
        let assertion = assertion.node();
        if attribute(assertion, "Version") != Some("2.0") {
            return Err(SamlError::Malformed);
        }
        self.require_past(instant(assertion, "IssueInstant")?, now)?;
        self.require_issuer(one(assertion, "Issuer").map_err(|_| SamlError::Issuer)?)?;

        let subject = one(assertion, "Subject").map_err(|_| SamlError::Subject)?;
        let name_id = one(subject, "NameID").map_err(|_| SamlError::Subject)?;
        let name = text(name_id).filter(|name| !trimmed(name).is_empty());
        let name = name.filter(|name| name.len() <= MAX_NAME_ID_BYTES);
        let confirmed_until = self.confirmation(subject, now)?;
        let in_force_until = self.conditions(assertion, now)?;

        let statement = one(assertion, "AuthnStatement").map_err(|_| SamlError::Authentication)?;
        let authn_instant = instant(statement, "AuthnInstant")?;
        self.require_past(authn_instant, now)?;
        let session_not_on_or_after = optional_instant(statement, "SessionNotOnOrAfter")?;
        require_future(session_not_on_or_after, now)?;

        Ok(VerifiedAssertion {
            assertion_id: owned(attribute(assertion, "ID")).ok_or(SamlError::Malformed)?,
            not_on_or_after: in_force_until.map_or(confirmed_until, |it| it.min(confirmed_until)),
            name_id: owned(name).ok_or(SamlError::Subject)?,
            name_id_format: owned(attribute(name_id, "Format")),
            session_index: owned(attribute(statement, "SessionIndex")),
            session_not_on_or_after,
            authn_instant,
            authn_context: authn_context(statement)?,
            attributes: attributes(assertion)?,
        })
    }

    /// Until when whoever presents it is the subject (saml-profiles-2.0-os section 4.1.4.3). One
    /// confirmation that holds is enough; if none does, the last says why.
    fn confirmation(
        &self,
        subject: Node<'_, '_>,
        now: UnixMillis,
    ) -> Result<UnixMillis, SamlError> {
        let mut refusal = SamlError::Subject;
        for confirmation in children(subject, ASSERTION_NS, "SubjectConfirmation") {
            if attribute(confirmation, "Method") != Some(BEARER) {
                continue;
            }
            match self.bearer(confirmation, now) {
                Ok(until) => return Ok(until),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn bearer(&self, confirmation: Node<'_, '_>, now: UnixMillis) -> Result<UnixMillis, SamlError> {
        let data = child(confirmation, ASSERTION_NS, "SubjectConfirmationData")?;
        let data = data.ok_or(SamlError::Subject)?;
        if attribute(data, "Recipient") != Some(self.acs_url) {
            return Err(SamlError::Recipient);
        }
        if attribute(data, "InResponseTo") != Some(self.in_response_to) {
            return Err(SamlError::InResponseTo);
        }
        if let Some(not_before) = optional_instant(data, "NotBefore")? {
            self.require_past(not_before, now)?;
        }
        let until = instant(data, "NotOnOrAfter").map_err(|_| SamlError::Subject)?;
        require_future(Some(until), now)?;
        Ok(until)
    }

    /// Until when the conditions hold, if they say (saml-core-2.0-os section 2.5).
    fn conditions(
        &self,
        assertion: Node<'_, '_>,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, SamlError> {
        let conditions = child(assertion, ASSERTION_NS, "Conditions")?;
        let conditions = conditions.ok_or(SamlError::Audience)?;
        let understood = |node| CONDITIONS.iter().any(|name| is(node, ASSERTION_NS, name));
        if !conditions
            .children()
            .filter(Node::is_element)
            .all(understood)
        {
            return Err(SamlError::Condition);
        }
        if let Some(not_before) = optional_instant(conditions, "NotBefore")? {
            self.require_past(not_before, now)?;
        }
        let until = optional_instant(conditions, "NotOnOrAfter")?;
        require_future(until, now)?;

        // Each restriction must be met, and one audience of it is enough.
        let mut restrictions = children(conditions, ASSERTION_NS, "AudienceRestriction").peekable();
        let for_us = |restriction| {
            let mut audiences = children(restriction, ASSERTION_NS, "Audience");
            audiences.any(|audience| text(audience).map(trimmed) == Some(self.sp_entity_id))
        };
        if restrictions.peek().is_none() || !restrictions.all(for_us) {
            return Err(SamlError::Audience);
        }
        Ok(until)
    }

    fn require_past(&self, instant: UnixMillis, now: UnixMillis) -> Result<(), SamlError> {
        if instant > now.plus_secs(self.max_clock_skew_secs) {
            return Err(SamlError::NotYetValid);
        }
        Ok(())
    }
}

fn require_future(instant: Option<UnixMillis>, now: UnixMillis) -> Result<(), SamlError> {
    if instant.is_some_and(|instant| instant <= now) {
        return Err(SamlError::Expired);
    }
    Ok(())
}

fn one<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Result<Node<'a, 'i>, SamlError> {
    child(node, ASSERTION_NS, name)?.ok_or(SamlError::Malformed)
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn instant(node: Node<'_, '_>, name: &str) -> Result<UnixMillis, SamlError> {
    optional_instant(node, name)?.ok_or(SamlError::Malformed)
}

fn optional_instant(node: Node<'_, '_>, name: &str) -> Result<Option<UnixMillis>, SamlError> {
    attribute(node, name)
        .map(|text| UnixMillis::from_rfc3339(text).ok_or(SamlError::Malformed))
        .transpose()
}

fn authn_context(statement: Node<'_, '_>) -> Result<Option<String>, SamlError> {
    let Some(context) = child(statement, ASSERTION_NS, "AuthnContext")? else {
        return Ok(None);
    };
    let class = child(context, ASSERTION_NS, "AuthnContextClassRef")?;
    Ok(owned(class.and_then(text).map(trimmed)))
}

/// All attributes; a name that comes more than once has the values of all.
fn attributes(assertion: Node<'_, '_>) -> Result<BTreeMap<String, Vec<String>>, SamlError> {
    let mut attributes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for statement in children(assertion, ASSERTION_NS, "AttributeStatement") {
        for listed in children(statement, ASSERTION_NS, "Attribute") {
            let name = attribute(listed, "Name").ok_or(SamlError::Malformed)?;
            let values = attributes.entry(name.to_owned()).or_default();
            let plain = children(listed, ASSERTION_NS, "AttributeValue").filter(|it| !is_nil(*it));
            values.extend(plain.filter_map(text).map(str::to_owned));
        }
    }
    Ok(attributes)
}

fn is_nil(value: Node<'_, '_>) -> bool {
    let nil = value.attribute((XSI_NS, "nil")).map(trimmed);
    matches!(nil, Some("true" | "1"))
}
