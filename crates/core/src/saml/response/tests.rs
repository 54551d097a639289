use super::super::testing::{
    BOTH_SIGNED, ECDSA, INCLUSIVE, NOW, SHA1, SIGNED_ASSERTION, SIGNED_RESPONSE, changed, element,
    refusal, resigned, sign, signed, verifier,
};
use super::*;
use crate::saml::certificate::VerifyingKey;
use crate::saml::testing::{EC_CERTIFICATE, RSA_CERTIFICATE};
use base64ct::{Base64, Encoding};
use proptest::prelude::*;

fn at(text: &str) -> UnixMillis {
    UnixMillis::from_rfc3339(text).expect("an instant")
}

/// What every good answer here says.
fn expected() -> VerifiedAssertion {
    let attribute = |name: &str, values: &[&str]| {
        let values = values.iter().map(|it| (*it).to_owned()).collect();
        (name.to_owned(), values)
    };
    VerifiedAssertion {
        assertion_id: "_a1".to_owned(),
        not_on_or_after: at("2027-01-15T08:05:00Z"),
        name_id: "alice@example.com".to_owned(),
        name_id_format: Some("urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".to_owned()),
        session_index: Some("_s1".to_owned()),
        session_not_on_or_after: None,
        authn_instant: at("2027-01-15T07:59:50Z"),
        authn_context: Some(
            "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport".to_owned(),
        ),
        attributes: BTreeMap::from([
            attribute("groups", &["staff", "R&D ü"]),
            attribute("mail", &["alice@example.com"]),
        ]),
    }
}

/// Why an answer with these changes, made before it was signed, is refused.
fn refused(changes: &[(&str, &str)]) -> Option<SamlError> {
    refusal(&signed(changes))
}

#[test]
fn answers_signed_by_other_implementations_say_what_they_say() {
    for (name, xml) in [
        ("assertion", SIGNED_ASSERTION),
        ("response", SIGNED_RESPONSE),
        ("both", BOTH_SIGNED),
        ("inclusive prefixes", INCLUSIVE),
        ("ECDSA", ECDSA),
        ("our own", &signed(&[])),
    ] {
        let verified = verifier().verify_xml(xml, NOW);
        assert_eq!(verified, Ok(expected()), "{name}");
    }
}

#[test]
fn an_answer_is_read_as_it_was_posted_wrapped_or_not() {
    let posted = Base64::encode_string(SIGNED_ASSERTION.as_bytes());
    assert_eq!(verifier().verify(&posted, NOW), Ok(expected()));
    let wrapped: Vec<_> = posted.as_bytes().chunks(76).collect();
    let wrapped = String::from_utf8(wrapped.join(&b"\r\n"[..])).expect("ASCII");
    assert_eq!(verifier().verify(&wrapped, NOW), Ok(expected()));
}

#[test]
fn what_is_no_answer_is_malformed() {
    let not_utf8 = Base64::encode_string(&[0xff, 0xfe]);
    for posted in ["", "%", "PHI+", &not_utf8] {
        let refused = verifier().verify(posted, NOW);
        assert_eq!(refused, Err(SamlError::Malformed), "{posted}");
    }
    let long = "A".repeat(MAX_RESPONSE_BYTES * 2);
    assert_eq!(verifier().verify(&long, NOW), Err(SamlError::TooLarge));
    let request = SIGNED_ASSERTION.replace("samlp:Response", "samlp:LogoutResponse");
    assert_eq!(refusal(&request), Some(SamlError::Malformed));
    let alone = element(SIGNED_ASSERTION, "Assertion");
    assert_eq!(refusal(alone), Some(SamlError::Malformed));
}

#[test]
fn an_answer_without_a_good_signature_is_refused() {
    let without = SIGNED_ASSERTION.replace(element(SIGNED_ASSERTION, "Signature"), "");
    assert_eq!(refusal(&without), Some(SamlError::Unsigned));
    assert_eq!(refusal(SHA1), Some(SamlError::Algorithm));
    let others = ResponseVerifier {
        keys: &[VerifyingKey::from_certificate(EC_CERTIFICATE).expect("a key")],
        ..verifier()
    };
    let refused = others.verify_xml(SIGNED_ASSERTION, NOW);
    assert_eq!(refused, Err(SamlError::Signature));
    let nobody = ResponseVerifier {
        keys: &[],
        ..verifier()
    };
    let refused = nobody.verify_xml(SIGNED_ASSERTION, NOW);
    assert_eq!(refused, Err(SamlError::Signature));
}

#[test]
fn the_key_in_the_message_counts_for_nothing() {
    let der: String = EC_CERTIFICATE
        .lines()
        .filter(|it| !it.contains("--"))
        .collect();
    let carried = element(SIGNED_ASSERTION, "X509Certificate");
    let other = format!("<ds:X509Certificate>{der}</ds:X509Certificate>");
    let xml = SIGNED_ASSERTION.replace(carried, &other);
    assert_eq!(verifier().verify_xml(&xml, NOW), Ok(expected()));
    let rsa_only = ResponseVerifier {
        keys: &[VerifyingKey::from_certificate(RSA_CERTIFICATE).expect("a key")],
        ..verifier()
    };
    let refused = rsa_only.verify_xml(ECDSA, NOW);
    assert_eq!(refused, Err(SamlError::Signature));
}

#[test]
fn where_both_are_signed_a_bad_signature_on_either_refuses() {
    for id in ["_r1", "_a1"] {
        let (before, rest) = BOTH_SIGNED
            .split_once(&format!("URI=\"#{id}\""))
            .expect("one");
        let (value, after) = rest.split_once("<ds:SignatureValue>").expect("a value");
        let bent = if after.starts_with('A') { 'B' } else { 'A' };
        let after = after.get(1..).unwrap_or_default();
        let xml = format!("{before}URI=\"#{id}\"{value}<ds:SignatureValue>{bent}{after}");
        assert_eq!(refusal(&xml), Some(SamlError::Signature), "{id}");
    }
}

/// `xml` as it was before its `SignedInfo` was signed.
fn without_value(xml: &str) -> String {
    let value = element(xml, "SignatureValue");
    xml.replace(value, "<ds:SignatureValue>@VALUE@</ds:SignatureValue>")
}

/// Each is signed as it stands by a key that is believed.
#[test]
fn a_signature_of_another_form_is_refused_however_good() {
    const ENVELOPED: &str =
        "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>";
    const EXCLUSIVE: &str = "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>";
    let xml = signed(&[]);
    let unsigned = without_value(&xml);
    let reference = element(&xml, "Reference");
    let swapped = format!("{EXCLUSIVE}{ENVELOPED}");
    let twice = format!("{reference}{reference}");
    let forms: [(&str, &str, SamlError); 15] = [
        (
            ENVELOPED,
            "<ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#base64\"/>",
            SamlError::Algorithm,
        ),
        ("URI=\"#_a1\"", "URI=\"\"", SamlError::Reference),
        ("URI=\"#_a1\"", "URI=\"#_r1\"", SamlError::Reference),
        ("URI=\"#_a1\"", "URI=\"_a1\"", SamlError::Reference),
        ("URI=\"#_a1\"", "", SamlError::Reference),
        (reference, &twice, SamlError::Reference),
        (reference, "", SamlError::Reference),
        (EXCLUSIVE, "", SamlError::Reference),
        (ENVELOPED, "", SamlError::Reference),
        (
            &format!("{ENVELOPED}{EXCLUSIVE}"),
            &swapped,
            SamlError::Algorithm,
        ),
        (
            "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>",
            "<ds:Transform Algorithm=\"http://www.w3.org/TR/1999/REC-xpath-19991116\"/>",
            SamlError::Algorithm,
        ),
        (
            "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>",
            "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/TR/2001/REC-xml-c14n-20010315\"/>",
            SamlError::Algorithm,
        ),
        ("xmlenc#sha256", "xmldsig-more#sha224", SamlError::Algorithm),
        ("#ecdsa-sha256", "#hmac-sha256", SamlError::Algorithm),
        (
            "</ds:Signature>",
            "<ds:Object/></ds:Signature>",
            SamlError::Reference,
        ),
    ];
    assert_eq!(refusal(&resigned(&unsigned)), None);
    for (from, to, why) in forms {
        let xml = resigned(&changed(&unsigned, &[(from, to)]));
        assert_eq!(refusal(&xml), Some(why), "{from} -> {to}");
    }
}

#[test]
fn what_the_unsigned_response_says_can_only_refuse() {
    for (from, to, why) in [
        ("status:Success", "status:Responder", SamlError::Status),
        (
            "ID=\"_r1\" Version=\"2.0\"",
            "ID=\"_r1\" Version=\"1.1\"",
            SamlError::Malformed,
        ),
        (
            "Destination=\"https://id.example/saml/acs\"",
            "Destination=\"https://other.example/acs\"",
            SamlError::Destination,
        ),
        (
            "acs\" InResponseTo=\"saml_AQEBAQEBAQEBAQEBAQEBAQ\">",
            "acs\" InResponseTo=\"saml_other\">",
            SamlError::InResponseTo,
        ),
        (
            "acs\" InResponseTo=\"saml_AQEBAQEBAQEBAQEBAQEBAQ\">",
            "acs\">",
            SamlError::InResponseTo,
        ),
        (
            "assertion\">https://idp.example/metadata<",
            "assertion\">https://evil.example/<",
            SamlError::Issuer,
        ),
    ] {
        let xml = changed(SIGNED_ASSERTION, &[(from, to)]);
        assert_eq!(refusal(&xml), Some(why), "{to}");
    }
    let silent = changed(
        SIGNED_ASSERTION,
        &[(" Destination=\"https://id.example/saml/acs\"", "")],
    );
    assert_eq!(verifier().verify_xml(&silent, NOW), Ok(expected()));
}

#[test]
fn the_answer_to_another_request_is_refused() {
    let other = ResponseVerifier {
        in_response_to: "saml_other",
        ..verifier()
    };
    let refused_by_response = other.verify_xml(SIGNED_ASSERTION, NOW);
    assert_eq!(refused_by_response, Err(SamlError::InResponseTo));
    for to in ["InResponseTo=\"saml_other\"/>", "/>"] {
        let changes = [("InResponseTo=\"saml_AQEBAQEBAQEBAQEBAQEBAQ\"/>", to)];
        assert_eq!(refused(&changes), Some(SamlError::InResponseTo), "{to}");
    }
}

#[test]
fn an_assertion_of_another_issuer_is_refused() {
    let issuer = "<saml:Issuer>https://idp.example/metadata</saml:Issuer>";
    for to in [
        "<saml:Issuer>https://evil.example/</saml:Issuer>",
        "<saml:Issuer>https://idp.example/metadata </saml:Issuer>",
        "<saml:Issuer Format=\"urn:f\">https://idp.example/metadata</saml:Issuer>",
        "<saml:Issuer>https://idp.example/<saml:b/>metadata</saml:Issuer>",
        "",
    ] {
        assert_eq!(refused(&[(issuer, to)]), Some(SamlError::Issuer), "{to}");
    }
    let twice = format!("{issuer}{issuer}");
    assert_eq!(refused(&[(issuer, &twice)]), Some(SamlError::Issuer));
}

#[test]
fn an_assertion_for_another_audience_is_refused() {
    let audience = "<saml:Audience>https://id.example/saml</saml:Audience>";
    let restriction = format!("<saml:AudienceRestriction>{audience}</saml:AudienceRestriction>");
    let other = "<saml:Audience>https://other.example</saml:Audience>";
    let also = format!("<saml:AudienceRestriction>{other}</saml:AudienceRestriction>{restriction}");
    for (from, to) in [
        (audience, other),
        (audience, ""),
        (&restriction, ""),
        (&restriction, &also),
    ] {
        assert_eq!(refused(&[(from, to)]), Some(SamlError::Audience), "{to}");
    }
    let bare = signed(&[]);
    let whole = element(&bare, "Conditions");
    assert_eq!(refused(&[(whole, "")]), Some(SamlError::Audience));
    let among = format!("{other}\n{}", audience.replace(">h", ">\n h"));
    assert_eq!(refused(&[(audience, &among)]), None);
}

#[test]
fn a_condition_that_is_not_understood_refuses_and_one_use_does_not() {
    let end = "</saml:Conditions>";
    for (condition, why) in [
        ("<saml:Condition/>", Some(SamlError::Condition)),
        (
            "<x:Audience xmlns:x=\"urn:x\"/>",
            Some(SamlError::Condition),
        ),
        ("<saml:OneTimeUse/>", None),
        ("<saml:ProxyRestriction Count=\"0\"/>", None),
    ] {
        let to = format!("{condition}{end}");
        assert_eq!(refused(&[(end, &to)]), why, "{condition}");
    }
}

#[test]
fn an_assertion_to_be_presented_elsewhere_is_refused() {
    let recipient = "Recipient=\"https://id.example/saml/acs\"";
    for to in ["Recipient=\"https://other.example/acs\"", ""] {
        assert_eq!(
            refused(&[(recipient, to)]),
            Some(SamlError::Recipient),
            "{to}"
        );
    }
}

#[test]
fn only_a_bearer_confirmation_confirms() {
    assert_eq!(
        refused(&[("cm:bearer", "cm:holder-of-key")]),
        Some(SamlError::Subject)
    );
    let xml = signed(&[]);
    let confirmation = element(&xml, "SubjectConfirmation");
    assert_eq!(refused(&[(confirmation, "")]), Some(SamlError::Subject));
    let data = element(&xml, "SubjectConfirmationData");
    assert_eq!(refused(&[(data, "")]), Some(SamlError::Subject));
    let other = confirmation.replace("https://id.example/saml/acs", "https://other.example/");
    let two = format!("{other}{confirmation}");
    assert_eq!(refused(&[(confirmation, &two)]), None);
}

#[test]
fn somebody_must_be_named() {
    let xml = signed(&[]);
    let name = element(&xml, "NameID");
    for to in [
        "",
        "<saml:NameID/>",
        "<saml:NameID> </saml:NameID>",
        &name.repeat(2),
    ] {
        assert_eq!(refused(&[(name, to)]), Some(SamlError::Subject), "{to}");
    }
    let long = format!("<saml:NameID>{}</saml:NameID>", "a".repeat(1025));
    assert_eq!(refused(&[(name, &long)]), Some(SamlError::Subject));
    let encrypted = changed(&xml, &[(name, "<saml:EncryptedID/>")]);
    assert_eq!(refusal(&encrypted), Some(SamlError::Encrypted));
}

#[test]
fn somebody_must_have_authenticated_once() {
    let xml = signed(&[]);
    let statement = element(&xml, "AuthnStatement");
    for to in ["", &statement.repeat(2)] {
        let refused = refused(&[(statement, to)]);
        assert_eq!(refused, Some(SamlError::Authentication), "{to}");
    }
    let never = [(" AuthnInstant=\"2027-01-15T07:59:50Z\"", "")];
    assert_eq!(refused(&never), Some(SamlError::Malformed));
}

#[test]
fn expiry_has_no_leeway_and_the_future_has_the_skew() {
    let from = |text: &str| verifier().verify_xml(&signed(&[]), at(text)).err();
    assert_eq!(from("2027-01-15T08:04:59.999Z"), None);
    assert_eq!(from("2027-01-15T08:05:00Z"), Some(SamlError::Expired));
    assert_eq!(from("2027-01-15T07:58:58Z"), None);
    assert_eq!(from("2027-01-15T07:58:57Z"), Some(SamlError::NotYetValid));

    for (from, to, why) in [
        (
            "NotOnOrAfter=\"2027-01-15T09:00:00Z\"",
            "NotOnOrAfter=\"2027-01-15T08:00:00Z\"",
            SamlError::Expired,
        ),
        (
            "NotBefore=\"2027-01-15T07:55:00Z\"",
            "NotBefore=\"2027-01-15T08:01:01Z\"",
            SamlError::NotYetValid,
        ),
        (
            "AuthnInstant=\"2027-01-15T07:59:50Z\"",
            "AuthnInstant=\"2027-01-15T08:01:01Z\"",
            SamlError::NotYetValid,
        ),
        (
            "IssueInstant=\"2027-01-15T07:59:58Z\"",
            "IssueInstant=\"2027-01-15T08:01:01Z\"",
            SamlError::NotYetValid,
        ),
        (
            "SessionIndex=\"_s1\"",
            "SessionNotOnOrAfter=\"2027-01-15T08:00:00Z\"",
            SamlError::Expired,
        ),
        (
            "NotOnOrAfter=\"2027-01-15T08:05:00Z\"",
            "NotOnOrAfter=\"2027-01-15T08:00:00Z\"",
            SamlError::Expired,
        ),
        (
            "NotOnOrAfter=\"2027-01-15T08:05:00Z\"",
            "",
            SamlError::Subject,
        ),
        (
            " Recipient=",
            " NotBefore=\"2027-01-15T08:01:01Z\" Recipient=",
            SamlError::NotYetValid,
        ),
        (
            "NotBefore=\"2027-01-15T07:55:00Z\"",
            "NotBefore=\"yesterday\"",
            SamlError::Malformed,
        ),
    ] {
        assert_eq!(refused(&[(from, to)]), Some(why), "{to}");
    }
}

/// What remembers IDs until then remembers them long enough, and refuses the second.
#[test]
fn an_assertion_is_refused_by_itself_from_when_its_id_may_be_forgotten() {
    for changes in [
        &[][..],
        &[(
            "NotOnOrAfter=\"2027-01-15T09:00:00Z\"",
            "NotOnOrAfter=\"2027-01-15T08:02:00Z\"",
        )],
        &[("NotOnOrAfter=\"2027-01-15T09:00:00Z\"", "")],
    ] {
        let xml = signed(changes);
        let first = verifier().verify_xml(&xml, NOW).expect("it is good");
        let again = verifier().verify_xml(&xml, NOW).expect("it is good");
        assert_eq!(first.assertion_id, again.assertion_id);
        let last = UnixMillis(first.not_on_or_after.0 - 1);
        assert!(verifier().verify_xml(&xml, last).is_ok());
        let after = verifier().verify_xml(&xml, first.not_on_or_after);
        assert_eq!(after, Err(SamlError::Expired));
    }
}

#[test]
fn attributes_of_one_name_are_gathered_and_only_plain_text_is_a_value() {
    let end = "</saml:AttributeStatement>";
    let more = "<saml:Attribute Name=\"groups\"><saml:AttributeValue><![CDATA[a<b]]></saml:AttributeValue>\
        <saml:AttributeValue><saml:NameID>x</saml:NameID></saml:AttributeValue>\
        <saml:AttributeValue xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\" i:nil=\"true\"/>\
        </saml:Attribute><saml:Attribute Name=\"none\"/></saml:AttributeStatement>";
    let xml = signed(&[(end, more)]);
    let verified = verifier().verify_xml(&xml, NOW).expect("it is good");
    assert_eq!(verified.attributes["groups"], ["staff", "R&D ü", "a<b"]);
    assert!(verified.attributes["none"].is_empty());
    let nameless = [("Name=\"mail\"", "")];
    assert_eq!(refused(&nameless), Some(SamlError::Malformed));
}

/// CVE-2017-11427 and its kin: canonical forms leave comments out, and readers stop at them.
#[test]
fn no_comment_or_instruction_changes_who_is_meant() {
    let honest = [("alice@example.com", "alice@example.com.evil.example")];
    let xml = signed(&honest);
    assert!(verifier().verify_xml(&xml, NOW).is_ok());
    for hidden in ["<!-- -->", "<?x y?>", "<!---->"] {
        let to = format!("alice@example.com{hidden}.evil.example");
        let cut = changed(&xml, &[("alice@example.com.evil.example", &to)]);
        assert_eq!(refusal(&cut), Some(SamlError::Markup), "{hidden}");
    }
    let to = "alice@example.com<![CDATA[.evil.example]]>";
    let same = changed(&xml, &[("alice@example.com.evil.example", to)]);
    let verified = verifier().verify_xml(&same, NOW).expect("the same text");
    assert_eq!(verified.name_id, "alice@example.com.evil.example");
}

/// CVE-2025-29775: a digest that reads differently with the comment and without.
#[test]
fn no_comment_hides_a_digest() {
    let xml = signed(&[]);
    let commented = xml.replace("<ds:DigestValue>", "<ds:DigestValue><!--x-->");
    assert_eq!(refusal(&commented), Some(SamlError::Markup));
}

#[test]
fn encrypted_or_more_than_one_assertion_is_refused() {
    let xml = signed(&[]);
    let assertion = element(&xml, "Assertion");
    let encrypted = "<saml:EncryptedAssertion \
        xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\"/>";
    let also = format!("{assertion}{encrypted}");
    for to in [encrypted, &also] {
        let xml = changed(&xml, &[(assertion, to)]);
        assert_eq!(refusal(&xml), Some(SamlError::Encrypted), "{to:.40}");
    }
    let twice = changed(&xml, &[(assertion, &assertion.repeat(2))]);
    assert_eq!(refusal(&twice), Some(SamlError::DuplicateId));
    let other = assertion.replace("_a1", "_a2");
    let two = changed(&xml, &[(assertion, &format!("{assertion}{other}"))]);
    assert_eq!(refusal(&two), Some(SamlError::Assertions));
    let none = changed(&xml, &[(assertion, "")]);
    assert_eq!(refusal(&none), Some(SamlError::Assertions));
}

#[test]
fn a_signed_response_must_say_where_it_was_sent() {
    let bare = SIGNED_RESPONSE.replace(element(SIGNED_RESPONSE, "Signature"), "@SIGNATURE@");
    let good = sign(&bare, "_r1");
    assert_eq!(verifier().verify_xml(&good, NOW), Ok(expected()));
    let silent = [(" Destination=\"https://id.example/saml/acs\"", "")];
    let silent = sign(&changed(&bare, &silent), "_r1");
    assert_eq!(refusal(&silent), Some(SamlError::Destination));
}

#[test]
fn an_element_is_named_by_its_own_id_and_by_no_other_attribute() {
    let bare = SIGNED_ASSERTION.replace(element(SIGNED_ASSERTION, "Signature"), "@SIGNATURE@");
    for to in [" Id=\"_a1\"", " ID=\"\" Id=\"_a1\""] {
        let xml = sign(&changed(&bare, &[(" ID=\"_a1\"", to)]), "_a1");
        assert_eq!(refusal(&xml), Some(SamlError::Reference), "{to}");
        for reference in ["", " URI=\"#\"", " URI=\"\""] {
            let named = changed(&without_value(&xml), &[(" URI=\"#_a1\"", reference)]);
            let refused = refusal(&resigned(&named));
            assert_eq!(refused, Some(SamlError::Reference), "{to} {reference}");
        }
    }
}

#[test]
fn an_assertion_of_another_version_is_malformed() {
    let issued = "IssueInstant=\"2027-01-15T07:59:58Z\"";
    let (from, to) = (
        format!("Version=\"2.0\" {issued}"),
        format!("Version=\"1.1\" {issued}"),
    );
    assert_eq!(refused(&[(&from, &to)]), Some(SamlError::Malformed));
}

/// Every byte, changed in two ways: the answer is refused or says the same.
#[test]
fn no_changed_byte_changes_what_is_believed() {
    for xml in [SIGNED_ASSERTION, SIGNED_RESPONSE] {
        for at in 0..xml.len() {
            for other in *b"X\"" {
                let mut bytes = xml.as_bytes().to_vec();
                bytes[at] = other;
                let Ok(changed) = str::from_utf8(&bytes) else {
                    continue;
                };
                if let Ok(verified) = verifier().verify_xml(changed, NOW) {
                    assert_eq!(verified, expected(), "{at} {}", char::from(other));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_cut_or_insertion_changes_what_is_believed(
        at in 0usize..4096,
        length in 0usize..40,
        inserted in "[<>/=a:'\" &;!?#x0-9-]{0,12}",
    ) {
        let start = at % SIGNED_ASSERTION.len();
        let end = (start + length).min(SIGNED_ASSERTION.len());
        let (before, after) = (SIGNED_ASSERTION.get(..start), SIGNED_ASSERTION.get(end..));
        if let (Some(before), Some(after)) = (before, after) {
            let xml = format!("{before}{inserted}{after}");
            if let Ok(verified) = verifier().verify_xml(&xml, NOW) {
                prop_assert_eq!(verified, expected());
            }
        }
    }

    #[test]
    fn arbitrary_text_is_refused(posted: String) {
        prop_assert!(verifier().verify(&posted, NOW).is_err());
        prop_assert!(verifier().verify_xml(&posted, NOW).is_err());
    }
}
