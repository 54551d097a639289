//! Asking an identity provider to log somebody in: an `AuthnRequest` (saml-core-2.0-os section 3.4.1)
//! in a URL, by the HTTP-Redirect binding (saml-bindings-2.0-os section 3.4).
//!
//! The answer is asked for by HTTP-POST, at one address. The request is not signed: all that it says
//! is bound again by the answer, which must name the request, us and the address.
//!
//! The binding wants the XML compressed by DEFLATE. What is written here are stored blocks (RFC 1951
//! section 3.2.4), which every inflater reads: a request is half a kilobyte, and a compressor would weigh
//! more than all of this module.

use super::c14n::{Place, escape};
use super::{ASSERTION_NS, PROTOCOL_NS, SamlError};
use crate::id::SamlRequestId;
use crate::time::UnixMillis;
use base64ct::{Base64, Encoding};
use url::Url;

/// The longest `RelayState` (saml-bindings-2.0-os section 3.4.3).
pub const MAX_RELAY_STATE_BYTES: usize = 80;

pub(super) const POST_BINDING: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// A request to log somebody in.
#[derive(Clone, Copy, Debug)]
pub struct AuthnRequest<'a> {
    /// Its ID, random and used once: the answer must name it.
    pub id: SamlRequestId,
    /// When it is made.
    pub issued_at: UnixMillis,
    /// Where the provider takes requests by HTTP-Redirect.
    pub destination: &'a str,
    /// Our entity ID.
    pub sp_entity_id: &'a str,
    /// Where the answer is to be posted (`AssertionConsumerServiceURL`).
    pub acs_url: &'a str,
    /// Whether the provider is to ask the person again, whatever it remembers.
    pub force_authn: bool,
    /// Whether the provider must answer without showing the person anything.
    pub is_passive: bool,
    /// The kind of name that is asked for, e.g.
    /// `urn:oasis:names:tc:SAML:2.0:nameid-format:persistent`; `None` leaves it to the provider.
    pub name_id_format: Option<&'a str>,
}

impl AuthnRequest<'_> {
    /// The request as XML.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut xml = format!("<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL_NS}\"");
        attribute(&mut xml, "ID", &self.id.to_string());
        attribute(&mut xml, "Version", "2.0");
        attribute(&mut xml, "IssueInstant", &self.issued_at.to_rfc3339());
        attribute(&mut xml, "Destination", self.destination);
        if self.force_authn {
            attribute(&mut xml, "ForceAuthn", "true");
        }
        if self.is_passive {
            attribute(&mut xml, "IsPassive", "true");
        }
        attribute(&mut xml, "AssertionConsumerServiceURL", self.acs_url);
        attribute(&mut xml, "ProtocolBinding", POST_BINDING);
        xml.push_str("><saml:Issuer");
        attribute(&mut xml, "xmlns:saml", ASSERTION_NS);
        xml.push('>');
        escape(&mut xml, self.sp_entity_id, Place::Text);
        xml.push_str("</saml:Issuer>");
        if let Some(format) = self.name_id_format {
            xml.push_str("<samlp:NameIDPolicy");
            attribute(&mut xml, "Format", format);
            attribute(&mut xml, "AllowCreate", "true");
            xml.push_str("/>");
        }
        xml.push_str("</samlp:AuthnRequest>");
        xml
    }

    /// The URL to send the browser to; `relay_state` comes back with the answer as it is.
    pub fn redirect_url(&self, relay_state: Option<&str>) -> Result<String, SamlError> {
        let mut url = Url::parse(self.destination).map_err(|_| SamlError::Endpoint)?;
        if !matches!(url.scheme(), "https" | "http") || url.fragment().is_some() {
            return Err(SamlError::Endpoint);
        }
        if relay_state.is_some_and(|state| state.len() > MAX_RELAY_STATE_BYTES) {
            return Err(SamlError::TooLarge);
        }
        let request = Base64::encode_string(&stored(self.to_xml().as_bytes()));
        let mut query = url.query_pairs_mut();
        query.append_pair("SAMLRequest", &request);
        if let Some(state) = relay_state {
            query.append_pair("RelayState", state);
        }
        drop(query);
        Ok(url.into())
    }
}

pub(super) fn attribute(xml: &mut String, name: &str, value: &str) {
    xml.push(' ');
    xml.push_str(name);
    xml.push_str("=\"");
    escape(xml, value, Place::Attribute);
    xml.push('"');
}

/// `bytes` as a DEFLATE stream of stored blocks: whether it is the last, its length and the complement.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    let mut blocks = bytes.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> AuthnRequest<'static> {
        AuthnRequest {
            id: SamlRequestId::from_bytes([1; 16]),
            issued_at: UnixMillis(1_800_000_000_000),
            destination: "https://idp.example/sso?tenant=a",
            sp_entity_id: "https://id.example/saml",
            acs_url: "https://id.example/saml/acs",
            force_authn: false,
            is_passive: false,
            name_id_format: None,
        }
    }

    /// What a provider reads from a URL: the request and the relay state.
    fn received(url: &str) -> (String, Option<String>) {
        let url = Url::parse(url).expect("a URL");
        let value = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let deflated = Base64::decode_vec(&value("SAMLRequest").expect("a request"));
        let mut deflated = &deflated.expect("base64")[..];
        let mut xml = Vec::new();
        loop {
            let [last, l0, l1, n0, n1, rest @ ..] = deflated else {
                panic!("no block");
            };
            let length = u16::from_le_bytes([*l0, *l1]);
            assert_eq!(!length, u16::from_le_bytes([*n0, *n1]));
            let (block, rest) = rest.split_at(usize::from(length));
            xml.extend_from_slice(block);
            deflated = rest;
            if *last == 1 {
                break;
            }
        }
        assert!(deflated.is_empty());
        let state = value("RelayState").map(std::borrow::Cow::into_owned);
        (String::from_utf8(xml).expect("UTF-8"), state)
    }

    #[test]
    fn the_request_says_who_asks_where_to_answer_and_under_which_id() {
        assert_eq!(
            request().to_xml(),
            "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
             ID=\"saml_AQEBAQEBAQEBAQEBAQEBAQ\" Version=\"2.0\" \
             IssueInstant=\"2027-01-15T08:00:00.000Z\" \
             Destination=\"https://idp.example/sso?tenant=a\" \
             AssertionConsumerServiceURL=\"https://id.example/saml/acs\" \
             ProtocolBinding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\">\
             <saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">\
             https://id.example/saml</saml:Issuer></samlp:AuthnRequest>"
        );
    }

    #[test]
    fn forced_authentication_and_a_kind_of_name_are_asked_for() {
        let xml = AuthnRequest {
            force_authn: true,
            name_id_format: Some("urn:f"),
            ..request()
        }
        .to_xml();
        assert!(xml.contains(" ForceAuthn=\"true\""), "{xml}");
        assert!(!xml.contains("IsPassive"), "{xml}");
        let policy = "<samlp:NameIDPolicy Format=\"urn:f\" AllowCreate=\"true\"/>";
        assert!(xml.contains(policy), "{xml}");
    }

    #[test]
    fn a_provider_can_be_told_to_show_nothing() {
        let xml = AuthnRequest {
            is_passive: true,
            ..request()
        }
        .to_xml();
        assert!(xml.contains(" IsPassive=\"true\""), "{xml}");
        assert!(!xml.contains("ForceAuthn"), "{xml}");
    }

    #[test]
    fn the_url_keeps_its_own_query_and_carries_request_and_state() {
        let url = request().redirect_url(Some("a&b=c ü")).expect("a URL");
        assert!(url.starts_with("https://idp.example/sso?tenant=a&SAMLRequest="));
        let expected = (request().to_xml(), Some("a&b=c ü".to_owned()));
        assert_eq!(received(&url), expected);
    }

    #[test]
    fn addresses_that_no_browser_is_sent_to_are_refused() {
        for destination in ["", "/sso", "javascript:alert(1)", "https://idp.example/#x"] {
            let request = AuthnRequest {
                destination,
                ..request()
            };
            assert_eq!(request.redirect_url(None), Err(SamlError::Endpoint));
        }
        let long = "s".repeat(MAX_RELAY_STATE_BYTES + 1);
        let refused = request().redirect_url(Some(&long));
        assert_eq!(refused, Err(SamlError::TooLarge));
    }

    #[test]
    fn a_long_text_takes_several_blocks() {
        let long = format!("https://id.example/{}", "a".repeat(200_000));
        let request = AuthnRequest {
            sp_entity_id: &long,
            ..request()
        };
        let url = request.redirect_url(None).expect("a URL");
        assert_eq!(received(&url), (request.to_xml(), None));
    }

    proptest! {
        #[test]
        fn whatever_the_names_are_the_request_reads_back(name in "[ -~é\t\n\r]{1,40}") {
            let request = AuthnRequest { sp_entity_id: &name, acs_url: &name, ..request() };
            let xml = request.to_xml();
            let read = roxmltree::Document::parse(&xml).expect("XML");
            let root = read.root_element();
            prop_assert_eq!(root.attribute("AssertionConsumerServiceURL"), Some(&name[..]));
            prop_assert_eq!(root.children().next().and_then(|it| it.text()), Some(&name[..]));
        }
    }
}
