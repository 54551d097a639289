//! Our own metadata (saml-metadata-2.0-os section 2.4.4): what an identity provider must know of us, in
//! the form that most of them read from a URL or a file.
//!
//! It says what is true of every request and answer here: requests are not signed, assertions have to
//! be, and answers are posted to one address. There is no key in it: nothing of ours is signed, and
//! encrypted assertions are not read.

use super::PROTOCOL_NS;
use super::request::{POST_BINDING, attribute};

const METADATA_NS: &str = "urn:oasis:names:tc:SAML:2.0:metadata";

/// The media type of metadata (saml-metadata-2.0-os appendix A).
pub const MEDIA_TYPE: &str = "application/samlmetadata+xml";

/// The service as one provider knows it.
#[derive(Clone, Copy, Debug)]
pub struct ServiceProvider<'a> {
    /// Its entity ID.
    pub entity_id: &'a str,
    /// Where answers are posted.
    pub acs_url: &'a str,
}

impl ServiceProvider<'_> {
    /// The metadata as XML.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut xml = format!("<md:EntityDescriptor xmlns:md=\"{METADATA_NS}\"");
        attribute(&mut xml, "entityID", self.entity_id);
        xml.push_str("><md:SPSSODescriptor");
        attribute(&mut xml, "AuthnRequestsSigned", "false");
        attribute(&mut xml, "WantAssertionsSigned", "true");
        attribute(&mut xml, "protocolSupportEnumeration", PROTOCOL_NS);
        xml.push_str("><md:AssertionConsumerService");
        attribute(&mut xml, "Binding", POST_BINDING);
        attribute(&mut xml, "Location", self.acs_url);
        attribute(&mut xml, "index", "0");
        attribute(&mut xml, "isDefault", "true");
        xml.push_str("/></md:SPSSODescriptor></md:EntityDescriptor>");
        xml
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_reads_who_we_are_where_to_post_and_that_assertions_are_signed() {
        let xml = ServiceProvider {
            entity_id: "https://id.example/saml?a=1&b=\"<2>\"",
            acs_url: "https://id.example/saml/okta/acs",
        }
        .to_xml();
        let document = roxmltree::Document::parse(&xml).expect("XML");
        let entity = document.root_element();
        let expected = "https://id.example/saml?a=1&b=\"<2>\"";
        assert_eq!(entity.attribute("entityID"), Some(expected));
        assert!(entity.has_tag_name((METADATA_NS, "EntityDescriptor")));
        let role = entity.first_element_child().expect("a role");
        assert!(role.has_tag_name((METADATA_NS, "SPSSODescriptor")));
        assert_eq!(role.attribute("WantAssertionsSigned"), Some("true"));
        assert_eq!(role.attribute("AuthnRequestsSigned"), Some("false"));
        let protocol = role.attribute("protocolSupportEnumeration");
        assert_eq!(protocol, Some(PROTOCOL_NS));
        let acs = role.first_element_child().expect("an endpoint");
        assert!(acs.has_tag_name((METADATA_NS, "AssertionConsumerService")));
        let location = acs.attribute("Location");
        assert_eq!(location, Some("https://id.example/saml/okta/acs"));
        assert_eq!(acs.attribute("Binding"), Some(POST_BINDING));
    }
}
