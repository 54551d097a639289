//! Signature wrapping: a signed part is kept where a signature finds it, and another is put where a
//! reader looks. The eight arrangements are those that Somorovsky and others described ("On Breaking
//! SAML", 2012), each tried with whichever of the fixtures it is about.

use super::super::testing::{
    BOTH_SIGNED, NOW, SIGNED_ASSERTION, SIGNED_RESPONSE, changed, element, refusal, verifier,
};
use super::*;

const EVIL: &str = "mallory@example.com";

/// The parts of an answer whose assertion is signed.
struct Parts {
    /// The signed assertion.
    assertion: String,
    /// Its signature.
    signature: String,
    /// The signed assertion without its signature, which is what the digest is of.
    content: String,
    /// An assertion with another name and ID, unsigned.
    evil: String,
}

fn parts() -> Parts {
    let assertion = element(SIGNED_ASSERTION, "Assertion");
    let signature = element(assertion, "Signature");
    let content = assertion.replace(signature, "");
    Parts {
        assertion: assertion.to_owned(),
        signature: signature.to_owned(),
        evil: evil(&content),
        content,
    }
}

fn evil(content: &str) -> String {
    let changes = [("alice@example.com", EVIL), ("\"_a1\"", "\"_a2\"")];
    changed(content, &changes)
}

/// `xml` with `inner` right after the assertion's issuer.
fn with_inside(xml: &str, inner: &str) -> String {
    let (before, after) = xml.split_once("</saml:Issuer>").expect("an issuer");
    format!("{before}</saml:Issuer>{inner}{after}")
}

/// The answer with `inner` instead of its assertion. It must be XML: what is refused is the arrangement.
fn arranged(inner: &str) -> String {
    let xml = SIGNED_ASSERTION.replace(element(SIGNED_ASSERTION, "Assertion"), inner);
    well_formed(xml)
}

fn well_formed(xml: String) -> String {
    assert!(xml.contains(EVIL));
    roxmltree::Document::parse(&xml).expect("well-formed");
    xml
}

/// A signed response whose assertion names somebody else, with `inner` in place of its signature.
fn evil_response(inner: &str) -> String {
    let signature = element(SIGNED_RESPONSE, "Signature");
    let changes = [
        ("alice@example.com", EVIL),
        ("\"_r1\"", "\"_r2\""),
        ("\"_a1\"", "\"_a2\""),
    ];
    let bare = changed(&SIGNED_RESPONSE.replace(signature, "@HERE@"), &changes);
    well_formed(bare.replace("@HERE@", inner))
}

fn in_signature(signature: &str, inner: &str) -> String {
    signature.replace("</ds:Signature>", &format!("{inner}</ds:Signature>"))
}

fn response_content() -> (String, String) {
    let signature = element(SIGNED_RESPONSE, "Signature");
    (signature.to_owned(), SIGNED_RESPONSE.replace(signature, ""))
}

#[test]
fn what_is_wrapped_was_good() {
    for xml in [SIGNED_ASSERTION, SIGNED_RESPONSE, BOTH_SIGNED] {
        let verified = verifier().verify_xml(xml, NOW).expect("it is good");
        assert_eq!(verified.name_id, "alice@example.com");
    }
}

#[test]
fn xsw1_the_signed_response_inside_the_signature_of_another() {
    let (signature, content) = response_content();
    let xml = evil_response(&in_signature(&signature, &content));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw2_the_signed_response_beside_its_detached_signature() {
    let (signature, content) = response_content();
    let xml = evil_response(&format!("{content}{signature}"));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw3_another_assertion_before_the_signed_one() {
    let Parts {
        assertion, evil, ..
    } = parts();
    let xml = arranged(&format!("{evil}{assertion}"));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
    let xml = arranged(&format!("{assertion}{evil}"));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw4_the_signed_assertion_inside_another() {
    let Parts {
        assertion, evil, ..
    } = parts();
    let xml = arranged(&with_inside(&evil, &assertion));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
    let advised = format!("<saml:Advice>{assertion}</saml:Advice>");
    let xml = arranged(&with_inside(&evil, &advised));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw5_the_signature_in_another_assertion_and_the_signed_one_at_the_end() {
    let Parts {
        signature,
        content,
        evil,
        ..
    } = parts();
    let xml = arranged(&format!("{}{content}", with_inside(&evil, &signature)));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw6_the_signed_assertion_inside_the_signature_in_another() {
    let Parts {
        signature,
        content,
        evil,
        ..
    } = parts();
    let xml = arranged(&with_inside(&evil, &in_signature(&signature, &content)));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw7_another_assertion_in_extensions() {
    let Parts {
        assertion, evil, ..
    } = parts();
    let extensions = format!("<samlp:Extensions>{evil}</samlp:Extensions>");
    let xml = arranged(&format!("{extensions}{assertion}"));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
    let extensions = format!("<samlp:Extensions>{assertion}</samlp:Extensions>");
    let xml = arranged(&format!("{extensions}{evil}"));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn xsw8_the_signed_assertion_in_an_object_of_the_signature_in_another() {
    let Parts {
        signature,
        content,
        evil,
        ..
    } = parts();
    let object = format!("<ds:Object>{content}</ds:Object>");
    let xml = arranged(&with_inside(&evil, &in_signature(&signature, &object)));
    assert_eq!(refusal(&xml), Some(SamlError::Assertions));
}

#[test]
fn a_good_assertion_is_read_in_its_place_only() {
    let Parts { assertion, .. } = parts();
    for (before, after) in [
        ("<samlp:Extensions>", "</samlp:Extensions>"),
        ("<samlp:Response ID=\"_r2\">", "</samlp:Response>"),
    ] {
        let xml = SIGNED_ASSERTION.replace(&assertion, &format!("{before}{assertion}{after}"));
        assert_eq!(refusal(&xml), Some(SamlError::Assertions), "{before}");
    }
}

/// What is left when the second assertion is hidden from counting, by another name or not at all.
#[test]
fn a_signature_moved_to_another_assertion_is_about_that_one() {
    let Parts {
        signature, evil, ..
    } = parts();
    let xml = arranged(&with_inside(&evil, &signature));
    assert_eq!(refusal(&xml), Some(SamlError::Reference));
    let same_id = evil.replace("\"_a2\"", "\"_a1\"");
    let xml = arranged(&with_inside(&same_id, &signature));
    assert_eq!(refusal(&xml), Some(SamlError::Signature));
    let outside = arranged(&format!(
        "{evil}<samlp:Extensions>{signature}</samlp:Extensions>"
    ));
    assert_eq!(refusal(&outside), Some(SamlError::Reference));
    let beside = arranged(&format!("{evil}{signature}"));
    assert_eq!(refusal(&beside), Some(SamlError::Reference));
}

#[test]
fn two_elements_of_the_signed_id_are_refused() {
    let Parts {
        assertion, evil, ..
    } = parts();
    let same_id = evil.replace("\"_a2\"", "\"_a1\"");
    let xml = arranged(&format!("{same_id}{assertion}"));
    assert_eq!(refusal(&xml), Some(SamlError::DuplicateId));
    let other = format!("<x ID=\"_a1\">{EVIL}</x>{assertion}");
    assert_eq!(refusal(&arranged(&other)), Some(SamlError::DuplicateId));
}

#[test]
fn a_second_signature_is_refused_wherever_it_stands() {
    let Parts {
        assertion,
        signature,
        ..
    } = parts();
    let twice = assertion.replace(&signature, &signature.repeat(2));
    let xml = SIGNED_ASSERTION.replace(&assertion, &twice);
    assert_eq!(refusal(&xml), Some(SamlError::Malformed));
    let deeper = format!("<saml:Advice>{signature}</saml:Advice>");
    let deeper = with_inside(&assertion, &deeper);
    let xml = SIGNED_ASSERTION.replace(&assertion, &deeper);
    assert_eq!(refusal(&xml), Some(SamlError::Reference));
}

/// Where the response is signed and the assertion is not, a good assertion of another answer around which
/// nothing is signed, or the other way round, is still the only thing that is read.
#[test]
fn what_is_not_signed_is_not_read() {
    let xml = SIGNED_ASSERTION.replace(
        "<samlp:Status>",
        "<samlp:Extensions><x xmlns=\"urn:x\" NameID=\"mallory@example.com\"/></samlp:Extensions>\
         <samlp:Status>",
    );
    let verified = verifier()
        .verify_xml(&xml, NOW)
        .expect("the assertion is good");
    assert_eq!(verified.name_id, "alice@example.com");
    let inside = SIGNED_RESPONSE.replace("<samlp:Status>", "<samlp:Extensions/><samlp:Status>");
    assert_eq!(refusal(&inside), Some(SamlError::Signature));
}
