use super::super::access_token::{
    AccessTokenClaims, AccessTokenVerifier, Confirmation, Presentation,
};
use super::super::testing::{NOW, access_token_claims, our_key, our_keys, with, without};
use super::*;
use ed25519_compact as ed25519;
use p256::ecdsa::signature::Signer;
use proptest::prelude::*;
use serde_json::json;

const URL: &str = "https://id.example/token";
const TOKEN: &str = "an.access.token";

fn key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).expect("a valid scalar")
}

fn jwk(seed: u8) -> Value {
    let point = key(seed).verifying_key().to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| base64url(bytes.expect("a coordinate"));
    json!({ "kty": "EC", "crv": "P-256", "x": coordinate(point.x()), "y": coordinate(point.y()) })
}

fn header() -> Value {
    json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(9) })
}

fn claims() -> Value {
    json!({ "jti": "j-1", "htm": "POST", "htu": URL, "iat": NOW.secs() })
}

fn input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

fn signed(header: &Value, claims: &Value) -> String {
    let input = input(header, claims);
    let signature: p256::ecdsa::Signature = key(9).sign(input.as_bytes());
    format!("{input}.{}", base64url(&signature.to_bytes()))
}

fn verifier() -> ProofVerifier<'static> {
    ProofVerifier {
        method: "POST",
        url: URL,
        access_token: None,
    }
}

fn refusal(header: &Value, claims: &Value) -> Option<TokenError> {
    verifier().verify(&signed(header, claims), NOW).err()
}

fn refused(claims: &Value) -> Option<TokenError> {
    refusal(&header(), claims)
}

#[test]
fn a_good_proof_names_its_key_and_itself() {
    let proof = verifier()
        .verify(&signed(&header(), &claims()), NOW)
        .expect("verifies");
    let key = EmbeddedKey::parse(jwk(9).as_object().expect("an object")).expect("a key");
    assert_eq!(proof.jkt(), key.into_thumbprint());
    assert_eq!(proof.expires_at(), NOW.plus_secs(MAX_PROOF_AGE_SECS));
    let again = verifier()
        .verify(&signed(&header(), &claims()), NOW)
        .expect("verifies");
    assert_eq!(proof.replay_digest(), again.replay_digest());
    let other = signed(&header(), &with(&claims(), "jti", "j-2"));
    let other = verifier().verify(&other, NOW).expect("verifies");
    assert_ne!(proof.replay_digest(), other.replay_digest());
}

#[test]
fn the_same_jti_by_another_key_is_another_proof() {
    let header = with(&header(), "jwk", jwk(8));
    let input = input(&header, &claims());
    let signature: p256::ecdsa::Signature = key(8).sign(input.as_bytes());
    let theirs = format!("{input}.{}", base64url(&signature.to_bytes()));
    let theirs = verifier().verify(&theirs, NOW).expect("verifies");
    let ours = verifier()
        .verify(&signed(&self::header(), &claims()), NOW)
        .expect("verifies");
    assert_ne!(ours.replay_digest(), theirs.replay_digest());
}

#[test]
fn the_proof_of_rfc_9449_figure_2_verifies_in_its_time() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik\
                 VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR\
                 nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE\
                 QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj\
                 oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia\
                 WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg\
                 4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let verifier = ProofVerifier {
        method: "POST",
        url: "https://server.example.com/token",
        access_token: None,
    };
    let made_at = UnixMillis(1_562_262_616_000);
    let good = verifier.verify(proof, made_at).expect("verifies");
    assert_eq!(good.jkt(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let late = made_at.plus_secs(MAX_PROOF_AGE_SECS);
    assert_eq!(
        verifier.verify(proof, late).err(),
        Some(TokenError::Expired)
    );
}

#[test]
fn rfc_9449_4_3_1_two_header_fields_are_no_proof() {
    let proof = signed(&header(), &claims());
    for two in [format!("{proof}, {proof}"), format!("{proof},{proof}")] {
        assert_eq!(
            verifier().verify(&two, NOW).err(),
            Some(TokenError::Malformed)
        );
    }
}

#[test]
fn rfc_9449_4_3_2_what_is_no_jwt_or_too_long_is_refused() {
    for text in ["", "a", "a.b.c", "..", "e30.e30.", " "] {
        let refused = verifier().verify(text, NOW).err();
        assert_eq!(refused, Some(TokenError::Malformed), "{text}");
    }
    let long = with(&claims(), "more", "x".repeat(MAX_PROOF_BYTES));
    assert_eq!(refused(&long), Some(TokenError::TooLarge));
    let extension = with(&header(), "crit", json!(["exp"]));
    assert_eq!(refusal(&extension, &claims()), Some(TokenError::Malformed));
}

#[test]
fn rfc_9449_4_3_3_every_claim_is_required_and_of_its_type() {
    for name in ["jti", "htm", "htu", "iat"] {
        let absent = refused(&without(&claims(), name));
        assert_eq!(absent, Some(TokenError::Claims), "{name}");
        for value in [json!(null), json!([]), json!({}), json!(true)] {
            let claims = with(&claims(), name, value);
            assert_eq!(refused(&claims), Some(TokenError::Claims), "{claims}");
        }
    }
    for jti in [String::new(), "j".repeat(MAX_JTI_BYTES + 1)] {
        let claims = with(&claims(), "jti", jti);
        assert_eq!(refused(&claims), Some(TokenError::Claims));
    }
}

#[test]
fn rfc_9449_4_3_4_the_type_is_dpop_jwt() {
    for typ in ["JWT", "at+jwt", "dpop", "", "text/dpop+jwt"] {
        let header = with(&header(), "typ", typ);
        assert_eq!(refusal(&header, &claims()), Some(TokenError::Type), "{typ}");
    }
    let untyped = without(&header(), "typ");
    assert_eq!(refusal(&untyped, &claims()), Some(TokenError::Type));
}

#[test]
fn rfc_9449_4_3_5_the_algorithm_is_one_of_the_listed() {
    for alg in ["none", "HS256", "RS256", "PS256", "ES384", "es256", ""] {
        let header = with(&header(), "alg", alg);
        assert_eq!(
            refusal(&header, &claims()),
            Some(TokenError::Algorithm),
            "{alg}"
        );
    }
    // Listed, but not the key's.
    let header = with(&header(), "alg", "EdDSA");
    assert_eq!(refusal(&header, &claims()), Some(TokenError::Algorithm));
}

#[test]
fn rfc_9449_4_3_5_ed25519_is_accepted_too() {
    let pair = ed25519::KeyPair::from_seed(ed25519::Seed::new([3; 32]));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.pk.as_ref()) });
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
    let input = input(&header, &claims());
    let signature = pair.sk.sign(&input, None);
    let proof = format!("{input}.{}", base64url(signature.as_ref()));
    assert!(verifier().verify(&proof, NOW).is_ok());
    let bent = format!("{input}.{}", base64url(&[1; 64]));
    assert_eq!(
        verifier().verify(&bent, NOW).err(),
        Some(TokenError::Signature)
    );
}

#[test]
fn rfc_9449_4_3_6_the_key_in_the_header_signed_it() {
    let header = with(&header(), "jwk", jwk(8));
    assert_eq!(refusal(&header, &claims()), Some(TokenError::Signature));
    for jwk in [
        json!(null),
        json!("key"),
        json!({}),
        json!({ "kty": "oct", "k": "AAAA" }),
        with(&jwk(9), "use", "enc"),
        with(&jwk(9), "crv", "P-384"),
        with(&jwk(9), "x", "AAAA"),
    ] {
        let refused = refusal(&with(&self::header(), "jwk", jwk), &claims());
        assert!(matches!(
            refused,
            Some(TokenError::UnknownKey | TokenError::Malformed)
        ));
    }
    let without = without(&self::header(), "jwk");
    assert_eq!(refusal(&without, &claims()), Some(TokenError::Malformed));
}

#[test]
fn rfc_9449_4_3_7_a_private_key_is_refused_even_if_it_signed() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let private = with(&jwk(9), name, base64url(&[9; 32]));
        let header = with(&header(), "jwk", private);
        assert_eq!(
            refusal(&header, &claims()),
            Some(TokenError::UnknownKey),
            "{name}"
        );
    }
}

#[test]
fn rfc_9449_4_3_8_the_method_is_exact() {
    for method in ["GET", "post", "POST ", ""] {
        let claims = with(&claims(), "htm", method);
        assert_eq!(refused(&claims), Some(TokenError::Request), "{method}");
    }
}

#[test]
fn rfc_9449_4_3_9_equal_urls_are_equal_however_they_are_written() {
    for htu in [
        "https://id.example/token?a=b",
        "https://id.example/token#f",
        "HTTPS://ID.EXAMPLE/token",
        "https://id.example:443/token",
        "https://id.example/a/../token",
        "https://id.example/%74oken",
    ] {
        assert_eq!(refused(&with(&claims(), "htu", htu)), None, "{htu}");
    }
    for htu in [
        "https://id.example/token/",
        "https://id.example/TOKEN",
        "https://id.example:8443/token",
        "http://id.example/token",
        "https://id.example.evil.example/token",
        "https://evil.example/https://id.example/token",
        "https://id.example@evil.example/token",
        "https://user@id.example/token",
        "https:id.example/token",
        "https:///id.example/token",
        "https:\\\\id.example/token",
        "https://id.example\\token",
        "https://id.example/to\nken",
        " https://id.example/token",
        "https://id.example/%2Ftoken",
        "https://id.example/token%",
        "https://id.example/token%+1",
        "//id.example/token",
        "/token",
        "",
    ] {
        let claims = with(&claims(), "htu", htu);
        assert_eq!(refused(&claims), Some(TokenError::Request), "{htu}");
    }
}

#[test]
fn rfc_9449_4_3_10_a_nonce_that_nobody_asked_for_changes_nothing() {
    assert_eq!(refused(&with(&claims(), "nonce", "n")), None);
}

#[test]
fn rfc_9449_4_3_11_the_window_is_short_on_both_sides() {
    for (name, at, expected) in [
        ("iat", NOW.secs() - MAX_PROOF_AGE_SECS + 1, None),
        (
            "iat",
            NOW.secs() - MAX_PROOF_AGE_SECS,
            Some(TokenError::Expired),
        ),
        ("iat", NOW.secs() + CLOCK_SKEW_SECS, None),
        (
            "iat",
            NOW.secs() + CLOCK_SKEW_SECS + 1,
            Some(TokenError::NotYetValid),
        ),
        (
            "nbf",
            NOW.secs() + CLOCK_SKEW_SECS + 1,
            Some(TokenError::NotYetValid),
        ),
        ("exp", NOW.secs(), Some(TokenError::Expired)),
        ("exp", NOW.secs() + 9000, None),
    ] {
        assert_eq!(refused(&with(&claims(), name, at)), expected, "{name} {at}");
    }
    let text = with(&claims(), "iat", NOW.secs().to_string());
    assert_eq!(refused(&text), Some(TokenError::Claims));
}

#[test]
fn rfc_9449_4_3_12a_a_proof_is_for_one_access_token() {
    let with_token = ProofVerifier {
        access_token: Some(TOKEN),
        ..verifier()
    };
    let verify = |claims: &Value| with_token.verify(&signed(&header(), claims), NOW);
    let good = verify(&with(&claims(), "ath", ath(TOKEN))).expect("verifies");
    assert!(good.is_for(TOKEN) && !good.is_for("another"));
    assert_eq!(verify(&claims()).err(), Some(TokenError::Claims));
    for wrong in [ath("another"), String::new()] {
        let refused = verify(&with(&claims(), "ath", wrong)).err();
        assert_eq!(refused, Some(TokenError::Binding));
    }
    // As in section 7.1, figure 12.
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    assert_eq!(ath(token), "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
}

fn access_token(jkt: Option<&str>) -> String {
    let claims = AccessTokenClaims {
        cnf: jkt.map(|jkt| Confirmation {
            jkt: Some(jkt.to_owned()),
        }),
        ..access_token_claims()
    };
    our_key().sign(&claims, "at+jwt").expect("signs")
}

fn present(token: &str, presentation: Presentation<'_>) -> Option<TokenError> {
    let verifier = AccessTokenVerifier {
        issuer: "https://id.example",
        audience: None,
    };
    verifier
        .begin(token, presentation, &our_keys(), NOW)
        .and_then(super::super::jwks::pending::Pending::check)
        .err()
}

fn proof_for(token: &str) -> VerifiedProof {
    let verifier = ProofVerifier {
        access_token: Some(token),
        ..verifier()
    };
    let claims = with(&claims(), "ath", ath(token));
    verifier
        .verify(&signed(&header(), &claims), NOW)
        .expect("verifies")
}

#[test]
fn rfc_9449_4_3_12b_a_bound_token_is_good_with_a_proof_of_its_key_only() {
    let jkt = proof_for("x").jkt().to_owned();
    let bound = access_token(Some(&jkt));
    let proof = proof_for(&bound);
    assert_eq!(present(&bound, Presentation::WithProof(&proof)), None);
    assert_eq!(
        present(&bound, Presentation::Bearer),
        Some(TokenError::ProofRequired)
    );
    assert_eq!(present(&bound, Presentation::OnlyDescribed), None);

    let other_key = access_token(Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"));
    let unbound = access_token(None);
    for token in [&other_key, &unbound] {
        let proof = proof_for(token);
        let refused = present(token, Presentation::WithProof(&proof));
        assert_eq!(refused, Some(TokenError::Binding));
    }
    // A proof for another token, and one made without a token in sight.
    let elsewhere = proof_for(&unbound);
    let without = verifier()
        .verify(&signed(&header(), &claims()), NOW)
        .expect("verifies");
    for proof in [&elsewhere, &without] {
        let refused = present(&bound, Presentation::WithProof(proof));
        assert_eq!(refused, Some(TokenError::Binding));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_changed_proof_never_verifies(at: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
        let proof = signed(&header(), &claims());
        let at = at.index(proof.len());
        prop_assume!(proof.get(at..=at) != Some(to.as_str()));
        let mut changed = proof;
        changed.replace_range(at..=at, &to);
        prop_assert!(verifier().verify(&changed, NOW).is_err());
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        prop_assert!(verifier().verify(&text, NOW).is_err());
        normalized(&text);
    }

    #[test]
    fn arbitrary_members_never_panic(
        name in "jti|htm|htu|iat|ath|exp|nbf",
        number: i64,
        text: String,
    ) {
        for value in [json!(number), json!(text), json!([text]), json!({})] {
            refused(&with(&claims(), &name, value));
        }
    }

    #[test]
    fn normalizing_is_idempotent(path in "[a-zA-Z0-9._~/%-]{0,20}", query in "[a-z=&]{0,8}") {
        let uri = format!("https://Id.Example/{path}?{query}");
        if let Some(normal) = normalized(&uri) {
            prop_assert_eq!(normalized(&normal), Some(normal.clone()));
            prop_assert!(!normal.contains('?'));
        }
    }
}
