//! SAML answers, certificates and requests.

use crate::parted;
use portcullis_core::id::SamlRequestId;
use portcullis_core::saml::certificate::VerifyingKey;
use portcullis_core::saml::request::AuthnRequest;
use portcullis_core::saml::response::{ResponseVerifier, VerifiedAssertion};
use portcullis_core::time::UnixMillis;
use std::sync::LazyLock;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const CERTIFICATE: &str = include_str!("../../crates/core/src/saml/testdata/rsa.crt.pem");
/// The assertion of the first is signed, the whole of the second, and both in the third.
const SIGNED: [&str; 3] = [
    include_str!("../../crates/core/src/saml/testdata/signxml_assertion.xml"),
    include_str!("../../crates/core/src/saml/testdata/signxml_response.xml"),
    include_str!("../../crates/core/src/saml/testdata/signxml_both.xml"),
];

static KEYS: LazyLock<[VerifyingKey; 1]> =
    LazyLock::new(|| [VerifyingKey::from_certificate(CERTIFICATE).expect("a certificate")]);

static GOOD: LazyLock<VerifiedAssertion> = LazyLock::new(|| {
    let good = verifier().verify_xml(SIGNED[0], NOW);
    good.expect("a good answer")
});

fn verifier() -> ResponseVerifier<'static> {
    ResponseVerifier {
        idp_entity_id: "https://idp.example/metadata",
        sp_entity_id: "https://id.example/saml",
        acs_url: "https://id.example/saml/acs",
        in_response_to: "saml_AQEBAQEBAQEBAQEBAQEBAQ",
        keys: &*KEYS,
        max_clock_skew_secs: 60,
    }
}

/// As it comes: as an answer, as a certificate, as the names in a request. Then written into answers
/// that are signed: `WHICH POSITION LENGTH TEXT` puts the text in place of so much at the position, and
/// `WHICH FROM \0 TO` one text in place of another. Either is refused or says what was signed.
pub fn saml(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(verified) = verifier().verify(text, NOW) {
            assert_eq!(verified, *GOOD);
        }
        believed_as_signed(text);
        let _ = VerifyingKey::from_certificate(text);
        asked(text);
    }
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let good = SIGNED[usize::from(which) % SIGNED.len()];
    if let Some((from, to)) = parted(data) {
        believed_as_signed(&good.replacen(from, to, 1));
        believed_as_signed(&good.replace(from, to));
    }
    if let [high, low, length, text @ ..] = data
        && let Ok(text) = str::from_utf8(text)
    {
        let start = usize::from(u16::from_be_bytes([*high, *low])) % good.len();
        let end = good.len().min(start + usize::from(*length));
        if let (Some(before), Some(after)) = (good.get(..start), good.get(end..)) {
            believed_as_signed(&format!("{before}{text}{after}"));
        }
    }
}

fn believed_as_signed(xml: &str) {
    if let Ok(verified) = verifier().verify_xml(xml, NOW) {
        assert_eq!(verified, *GOOD);
    }
}

/// A request is one element whatever the names are, and its URL is the provider's.
fn asked(name: &str) {
    let request = AuthnRequest {
        id: SamlRequestId::from_bytes([1; 16]),
        issued_at: NOW,
        destination: "https://idp.example/sso",
        sp_entity_id: name,
        acs_url: name,
        force_authn: true,
        is_passive: false,
        name_id_format: Some(name),
    };
    assert_eq!(request.to_xml().matches('<').count(), 5);
    if let Ok(url) = request.redirect_url(Some(name)) {
        assert!(url.starts_with("https://idp.example/sso?SAMLRequest="));
    }
    let elsewhere = AuthnRequest {
        destination: name,
        ..request
    };
    let _ = elsewhere.redirect_url(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_believed() {
        for xml in SIGNED {
            assert_eq!(verifier().verify_xml(xml, NOW), Ok(GOOD.clone()));
        }
    }
}
