//! For the tests of this module: answers that others signed (`testdata/make.py` says how they were
//! made), and a signer for answers of any content.

use super::SamlError;
use super::c14n::canonical;
use super::certificate::VerifyingKey;
use super::document::{Document, child};
use super::response::ResponseVerifier;
use super::signature::SIGNATURE_NS;
use crate::secret::Digest;
use crate::time::UnixMillis;
use base64ct::{Base64, Encoding};
use p256::ecdsa::signature::Signer;
use std::sync::LazyLock;

pub const RSA_CERTIFICATE: &str = include_str!("testdata/rsa.crt.pem");
pub const EC_CERTIFICATE: &str = include_str!("testdata/ec.crt.pem");
pub const WEAK_CERTIFICATE: &str = include_str!("testdata/weak.crt.pem");

/// The assertion is signed, and the response is not.
pub const SIGNED_ASSERTION: &str = include_str!("testdata/signxml_assertion.xml");
/// The response is signed, and the assertion is not; names are in the default namespace.
pub const SIGNED_RESPONSE: &str = include_str!("testdata/signxml_response.xml");
pub const BOTH_SIGNED: &str = include_str!("testdata/signxml_both.xml");
/// Made with a list of inclusive prefixes, and with white space in the signature.
pub const INCLUSIVE: &str = include_str!("testdata/xmlsec1_inclusive.xml");
pub const ECDSA: &str = include_str!("testdata/xmlsec1_ecdsa.xml");
pub const SHA1: &str = include_str!("testdata/xmlsec1_sha1.xml");
pub const CANONICAL: &str = include_str!("testdata/canonical.json");

/// 2027-01-15T08:00:00Z, two seconds after the assertions were issued.
pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

static KEYS: LazyLock<[VerifyingKey; 3]> = LazyLock::new(|| {
    let rsa = VerifyingKey::from_certificate(RSA_CERTIFICATE).expect("a key");
    let ec = VerifyingKey::from_certificate(EC_CERTIFICATE).expect("a key");
    [rsa, ec, VerifyingKey::from_p256(*our_key().verifying_key())]
});

fn our_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a valid scalar")
}

/// What the answers here are for.
pub fn verifier() -> ResponseVerifier<'static> {
    ResponseVerifier {
        idp_entity_id: "https://idp.example/metadata",
        sp_entity_id: "https://id.example/saml",
        acs_url: "https://id.example/saml/acs",
        in_response_to: "saml_AQEBAQEBAQEBAQEBAQEBAQ",
        keys: &*KEYS,
        max_clock_skew_secs: 60,
    }
}

pub fn refusal(xml: &str) -> Option<SamlError> {
    verifier().verify_xml(xml, NOW).err()
}

/// `text` with each change made in it; each must find what it replaces.
pub fn changed(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// The element of that name, from its first `<` to its last `>`.
pub fn element<'a>(xml: &'a str, name: &str) -> &'a str {
    let document = roxmltree::Document::parse(xml).expect("XML");
    let mut all = document.descendants();
    let found = all.find(|node| node.is_element() && node.tag_name().name() == name);
    xml.get(found.expect("an element").range()).expect("text")
}

/// An answer that says what [`SIGNED_ASSERTION`] says, with these changes, signed afterwards: so what is
/// wrong with it is never the signature.
pub fn signed(changes: &[(&str, &str)]) -> String {
    let bare = SIGNED_ASSERTION.replace(element(SIGNED_ASSERTION, "Signature"), "@SIGNATURE@");
    sign(&changed(&bare, changes), "_a1")
}

/// `xml` with a signature at `@SIGNATURE@`, by our key, of the element of that `ID`.
pub fn sign(xml: &str, id: &str) -> String {
    let digest = {
        let xml = xml.replace("@SIGNATURE@", "");
        let document = roxmltree::Document::parse(&xml).expect("XML");
        let mut all = document.descendants();
        let about = all.find(|node| node.attributes().any(|it| it.value() == id));
        let content = canonical(about.expect("an element"), None, &[]).expect("canonical");
        Base64::encode_string(Digest::of(content.as_bytes()).as_bytes())
    };
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{SIGNATURE_NS}\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256\"/>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"{SIGNATURE_NS}enveloped-signature\"/>\
         <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
         <ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>\
         <ds:SignatureValue>@VALUE@</ds:SignatureValue></ds:Signature>"
    );
    resigned(&xml.replace("@SIGNATURE@", &signature))
}

/// `xml` with our key's signature over its `SignedInfo`, whatever that says, at `@VALUE@`.
pub fn resigned(xml: &str) -> String {
    let document = Document::parse(xml).expect("a document");
    let signature = document.all(SIGNATURE_NS, "Signature").next();
    let info = child(signature.expect("a signature"), SIGNATURE_NS, "SignedInfo");
    let info = info.expect("at most one").expect("one");
    let message = canonical(info, None, &[]).expect("canonical");
    let value: p256::ecdsa::Signature = our_key().sign(message.as_bytes());
    xml.replace("@VALUE@", &Base64::encode_string(&value.to_bytes()))
}
