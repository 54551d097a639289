//! A set of public keys (RFC 7517) and the one way to check a signature with it.
//!
//! Used: EC on P-256, RSA of 2048 to 4096 bits, OKP with Ed25519. A key that is for anything but
//! signatures, of another type or too weak is left out rather than failing the set: identity
//! providers publish sets with more in them than we use.
//!
//! A token is verified by the single key that fits its `kid` and `alg`. Where two would fit, neither
//! is tried: a signature that one of several keys might have made says too little.
//!
//! Foreign tokens are checked here, at once ([`KeySet::verify`]). Ours are of one algorithm and may
//! be checked by somebody else, who has the runtime's own cryptography: see [`pending`].

pub(super) mod embedded;
pub mod pending;

use super::unverified::{UnverifiedToken, text};
use super::{Algorithm, CLOCK_SKEW_SECS, TokenError, json};
use crate::text::from_base64url;
use crate::time::UnixMillis;
use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike, ES256PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike, NoCustomClaims,
    PS256PublicKey, RS256PublicKey, RSAPublicKeyLike, VerificationOptions, coarsetime,
};
use jwt_simple::{Error, JWTError};
use pending::PendingSignature;
use serde_json::{Map, Value};
use std::fmt;

/// The longest key set that is read.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// The most keys a set may have.
pub const MAX_KEYS: usize = 64;
/// The weakest RSA key that is used, in bits (RFC 7518 section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// The bytes are not a key set within the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKeySet;

impl fmt::Display for InvalidKeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a valid JSON Web Key Set")
    }
}

impl std::error::Error for InvalidKeySet {}

/// The public keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Claims that carry a good signature by a key of a set, which is all that is known of them.
/// Only [`KeySet::verify`] and a settled [`PendingSignature`] make one.
#[derive(Debug)]
pub(super) struct SignedClaims {
    claims: Map<String, Value>,
    kid: Option<String>,
}

impl SignedClaims {
    /// The claims.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.claims
    }

    /// The claims, and what the set calls the key that signed them.
    pub(super) fn into_parts(self) -> (Map<String, Value>, Option<String>) {
        (self.claims, self.kid)
    }
}

impl KeySet {
    /// Reads a JWK set (RFC 7517 section 5).
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidKeySet> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(InvalidKeySet);
        }
        let set = json::object(bytes).ok_or(InvalidKeySet)?;
        let Some(Value::Array(listed)) = set.get("keys") else {
            return Err(InvalidKeySet);
        };
        if listed.len() > MAX_KEYS {
            return Err(InvalidKeySet);
        }
        let keys = listed
            .iter()
            .filter_map(Value::as_object)
            .filter_map(Key::parse)
            .collect();
        Ok(Self { keys })
    }

    /// How many keys of it can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key of it can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key of that `kid` can be used.
    #[must_use]
    pub fn has_kid(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Checks the signature, by one of the `allowed` algorithms and the one key that fits.
    pub(super) fn verify(
        &self,
        token: UnverifiedToken<'_>,
        allowed: &[Algorithm],
        now: UnixMillis,
    ) -> Result<SignedClaims, TokenError> {
        let (key, algorithm) = self.key_for(&token, allowed)?;
        key.verify(token.text(), algorithm, now)?;
        Ok(SignedClaims {
            claims: token.into_claims(),
            kid: key.kid.clone(),
        })
    }

    /// Does all of [`KeySet::verify`] but the cryptography, for a token signed with ES256.
    pub(super) fn pending<'a>(
        &self,
        token: UnverifiedToken<'a>,
    ) -> Result<PendingSignature<'a>, TokenError> {
        let (key, _) = self.key_for(&token, &[Algorithm::Es256])?;
        PendingSignature::of(token, key)
    }

    fn key_for(
        &self,
        token: &UnverifiedToken<'_>,
        allowed: &[Algorithm],
    ) -> Result<(&Key, Algorithm), TokenError> {
        let algorithm = Algorithm::parse(token.alg())
            .filter(|algorithm| allowed.contains(algorithm))
            .ok_or(TokenError::Algorithm)?;
        Ok((self.key(token.kid(), algorithm)?, algorithm))
    }

    fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenError> {
        let named = |key: &&Key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid));
        let mut fitting = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (None, _) if kid.is_some_and(|kid| self.has_kid(kid)) => Err(TokenError::Algorithm),
            _ => Err(TokenError::UnknownKey),
        }
    }
}

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    /// The one algorithm that the set's owner uses the key with, where they say so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    P256(ES256PublicKey),
    Rsa(Box<(RS256PublicKey, PS256PublicKey)>),
    Ed25519(Ed25519PublicKey),
}

impl Key {
    /// The key of a JWK (RFC 7517 section 4), if it is one for us.
    fn parse(jwk: &Map<String, Value>) -> Option<Self> {
        let for_signatures = jwk.get("use").is_none_or(|value| value == "sig");
        let for_verifying = jwk.get("key_ops").is_none_or(|ops| {
            ops.as_array()
                .is_some_and(|ops| ops.iter().any(|op| op == "verify"))
        });
        // A private key in a public place is everybody's.
        if !for_signatures || !for_verifying || jwk.contains_key("d") {
            return None;
        }
        let material = match text(jwk, "kty")? {
            "EC" if text(jwk, "crv")? == "P-256" => p256(jwk)?,
            "RSA" => rsa(jwk)?,
            "OKP" if text(jwk, "crv")? == "Ed25519" => ed25519(jwk)?,
            _ => return None,
        };
        let only = match text(jwk, "alg") {
            None => None,
            Some("Ed25519") => Some(Algorithm::EdDsa),
            Some(alg) => Some(Algorithm::parse(alg)?),
        };
        Some(Self {
            kid: text(jwk, "kid").map(str::to_owned),
            only,
            material,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let by_type = match self.material {
            Material::P256(_) => algorithm == Algorithm::Es256,
            Material::Rsa(_) => matches!(algorithm, Algorithm::Rs256 | Algorithm::Ps256),
            Material::Ed25519(_) => algorithm == Algorithm::EdDsa,
        };
        by_type && self.only.is_none_or(|only| only == algorithm)
    }

    fn verify(&self, token: &str, algorithm: Algorithm, now: UnixMillis) -> Result<(), TokenError> {
        let options = Some(options(now));
        let verified = match (&self.material, algorithm) {
            (Material::P256(key), Algorithm::Es256) => {
                key.verify_token::<NoCustomClaims>(token, options)
            }
            (Material::Rsa(keys), Algorithm::Rs256) => {
                keys.0.verify_token::<NoCustomClaims>(token, options)
            }
            (Material::Rsa(keys), Algorithm::Ps256) => {
                keys.1.verify_token::<NoCustomClaims>(token, options)
            }
            (Material::Ed25519(key), Algorithm::EdDsa) => {
                key.verify_token::<NoCustomClaims>(token, options)
            }
            _ => return Err(TokenError::Algorithm),
        };
        verified.map(drop).map_err(|error| reason(&error))
    }
}

fn p256(jwk: &Map<String, Value>) -> Option<Material> {
    let x: [u8; 32] = bytes(jwk, "x")?.try_into().ok()?;
    let y: [u8; 32] = bytes(jwk, "y")?.try_into().ok()?;
    // SEC 1 section 2.3.3, uncompressed; the library refuses what is not on the curve.
    let point = [&[4u8][..], &x, &y].concat();
    ES256PublicKey::from_bytes(&point).ok().map(Material::P256)
}

fn rsa(jwk: &Map<String, Value>) -> Option<Material> {
    let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
    if significant_bits(&n) < MIN_RSA_BITS {
        return None;
    }
    let rs256 = RS256PublicKey::from_components(&n, &e).ok()?;
    let ps256 = PS256PublicKey::from_components(&n, &e).ok()?;
    Some(Material::Rsa(Box::new((rs256, ps256))))
}

fn ed25519(jwk: &Map<String, Value>) -> Option<Material> {
    Ed25519PublicKey::from_bytes(&bytes(jwk, "x")?)
        .ok()
        .map(Material::Ed25519)
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    text(jwk, name).and_then(from_base64url)
}

fn significant_bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let rest = number.get(zeros..).unwrap_or_default();
    let leading = rest.first().map_or(0, |byte| byte.leading_zeros() as usize);
    rest.len() * 8 - leading
}

/// The library's own checks run against the caller's clock. They are not the last word: it takes a
/// missing `exp` for "never expires" and gives expiry the same leeway as the future.
fn options(now: UnixMillis) -> VerificationOptions {
    VerificationOptions {
        artificial_time: Some(coarsetime::Duration::from_secs(now.secs())),
        time_tolerance: Some(coarsetime::Duration::from_secs(CLOCK_SKEW_SECS)),
        ..VerificationOptions::default()
    }
}

fn reason(error: &Error) -> TokenError {
    if error.is::<serde_json::Error>() {
        return TokenError::Claims;
    }
    match error.downcast_ref() {
        Some(JWTError::TokenHasExpired) => TokenError::Expired,
        Some(JWTError::ClockDrift | JWTError::TokenNotValidYet) => TokenError::NotYetValid,
        Some(JWTError::NotJWT) => TokenError::Type,
        Some(JWTError::AlgorithmMismatch) => TokenError::Algorithm,
        Some(
            JWTError::CompactEncodingError
            | JWTError::HeaderTooLarge
            | JWTError::UnknownCriticalExtension,
        ) => TokenError::Malformed,
        _ => TokenError::Signature,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOW, our_key, our_keys, signed, with, without};
    use super::*;
    use crate::text::base64url;
    use hmac_sha256::HMAC;
    use jwt_simple::prelude::{
        ECDSAP256KeyPairLike, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike, JWTClaims,
        PS256KeyPair, RS256KeyPair, RSAKeyPairLike,
    };
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::LazyLock;

    const ALL: [Algorithm; 4] = [
        Algorithm::Es256,
        Algorithm::Rs256,
        Algorithm::Ps256,
        Algorithm::EdDsa,
    ];

    /// Slow to make, so made once; public exponent 65537.
    static RSA: LazyLock<RS256KeyPair> =
        LazyLock::new(|| RS256KeyPair::generate(2048).expect("a key"));

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).expect("a key set")
    }

    fn verify(keys: &KeySet, token: &str, allowed: &[Algorithm]) -> Result<(), TokenError> {
        let token = UnverifiedToken::parse(token)?;
        keys.verify(token, allowed, NOW).map(drop)
    }

    fn claims() -> Value {
        json!({ "iss": "i", "exp": NOW.secs() + 60, "iat": NOW.secs() })
    }

    fn library_claims() -> JWTClaims<Value> {
        JWTClaims {
            issued_at: None,
            expires_at: None,
            invalid_before: None,
            issuer: None,
            subject: None,
            audiences: None,
            jwt_id: None,
            nonce: None,
            custom: claims(),
        }
    }

    fn rsa_jwk(kid: &str) -> Value {
        let parts = RSA.public_key().to_components();
        json!({ "kty": "RSA", "kid": kid, "n": base64url(&parts.n), "e": base64url(&parts.e) })
    }

    fn ec_jwk() -> Value {
        serde_json::to_value(our_key().public_jwk()).expect("JSON")
    }

    fn ours(header: &Value) -> String {
        signed(header, &claims())
    }

    #[test]
    fn each_algorithm_verifies_with_its_own_type_of_key_only() {
        let ed = Ed25519KeyPair::generate();
        let ed_jwk = json!({
            "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": base64url(&ed.public_key().to_bytes()),
        });
        let keys = set(&[rsa_jwk("rsa"), ed_jwk, with(&ec_jwk(), "kid", "ec")]);
        assert_eq!(keys.len(), 3);
        let ps = PS256KeyPair::from_der(&RSA.to_der().expect("DER")).expect("a key");
        let ec = ES256KeyPair::from_bytes(&[7; 32]).expect("a key");
        let tokens = [
            ec.with_key_id("ec").sign(library_claims()),
            RSA.clone().with_key_id("rsa").sign(library_claims()),
            ps.with_key_id("rsa").sign(library_claims()),
            ed.with_key_id("ed").sign(library_claims()),
        ];
        for (token, algorithm) in tokens.into_iter().zip(ALL) {
            let token = token.expect("signs");
            assert_eq!(verify(&keys, &token, &[algorithm]), Ok(()), "{algorithm:?}");
            let others: Vec<_> = ALL.into_iter().filter(|one| *one != algorithm).collect();
            assert_eq!(verify(&keys, &token, &others), Err(TokenError::Algorithm));
        }
    }

    #[test]
    fn none_and_hmac_are_never_accepted() {
        let kid = our_key().kid().to_owned();
        for alg in [
            "none", "None", "NONE", "", "HS256", "hs256", "es256", "ES256K",
        ] {
            let token = ours(&json!({ "alg": alg, "kid": kid }));
            let refused = Err(TokenError::Algorithm);
            assert_eq!(verify(&our_keys(), &token, &ALL), refused, "{alg}");
            let unsigned = token.rsplit_once('.').map(|(rest, _)| format!("{rest}."));
            assert_eq!(
                verify(&our_keys(), &unsigned.expect("parts"), &ALL),
                refused
            );
        }
    }

    #[test]
    fn the_public_key_is_not_an_hmac_secret() {
        let parts = RSA.public_key().to_components();
        for alg in ["HS256", "RS256"] {
            let header = json!({ "alg": alg, "kid": "rsa" }).to_string();
            let input = format!(
                "{}.{}",
                base64url(header.as_bytes()),
                base64url(claims().to_string().as_bytes())
            );
            let token = format!("{input}.{}", base64url(&HMAC::mac(&input, &parts.n)));
            assert!(
                verify(&set(&[rsa_jwk("rsa")]), &token, &ALL).is_err(),
                "{alg}"
            );
        }
    }

    #[test]
    fn a_kid_of_another_type_of_key_is_an_algorithm_error_and_no_reason_to_refetch() {
        let keys = set(&[rsa_jwk("rsa"), ec_jwk()]);
        let token = ours(&json!({ "alg": "ES256", "kid": "rsa" }));
        assert_eq!(verify(&keys, &token, &ALL), Err(TokenError::Algorithm));
        let token = ours(&json!({ "alg": "ES256", "kid": "other" }));
        assert_eq!(verify(&keys, &token, &ALL), Err(TokenError::UnknownKey));
    }

    #[test]
    fn without_a_kid_a_single_fitting_key_is_used_and_of_two_neither() {
        let token = ours(&json!({ "alg": "ES256" }));
        let one = set(&[rsa_jwk("rsa"), ec_jwk()]);
        assert_eq!(verify(&one, &token, &ALL), Ok(()));
        let two = set(&[ec_jwk(), with(&ec_jwk(), "kid", "other")]);
        assert_eq!(verify(&two, &token, &ALL), Err(TokenError::UnknownKey));
    }

    #[test]
    fn keys_that_share_a_kid_are_not_used() {
        let token = ours(&json!({ "alg": "ES256", "kid": our_key().kid() }));
        let twice = set(&[ec_jwk(), ec_jwk()]);
        assert_eq!(verify(&twice, &token, &ALL), Err(TokenError::UnknownKey));
    }

    #[test]
    fn a_jwk_in_the_header_is_never_the_key() {
        let forger = ES256KeyPair::from_bytes(&[9; 32]).expect("a key");
        let token = forger.sign(library_claims()).expect("signs");
        let (_, rest) = token.split_once('.').expect("parts");
        let header = json!({ "alg": "ES256", "jwk": ec_jwk(), "kid": our_key().kid() });
        let token = format!("{}.{rest}", base64url(header.to_string().as_bytes()));
        assert_eq!(
            verify(&our_keys(), &token, &ALL),
            Err(TokenError::Malformed)
        );
    }

    #[test]
    fn keys_that_are_not_for_verifying_are_left_out() {
        let short = base64url(&[0xff; 128]);
        let padded = base64url(&[[0; 128], [0xff; 128]].concat());
        for jwk in [
            json!({ "kty": "oct", "kid": "k", "k": "AAAA" }),
            with(&ec_jwk(), "use", "enc"),
            with(&ec_jwk(), "use", json!(["sig"])),
            with(&ec_jwk(), "key_ops", json!(["sign"])),
            with(&ec_jwk(), "d", "AAAA"),
            with(&ec_jwk(), "crv", "P-384"),
            with(&ec_jwk(), "crv", "secp256k1"),
            with(&ec_jwk(), "alg", "ES384"),
            with(&ec_jwk(), "x", "AAAA"),
            with(&ec_jwk(), "y", base64url(&[1; 32])),
            without(&ec_jwk(), "kty"),
            with(&rsa_jwk("k"), "n", short),
            with(&rsa_jwk("k"), "n", padded),
            with(&rsa_jwk("k"), "e", "AQ"),
            with(&rsa_jwk("k"), "n", base64url(&[0xff; 1025])),
            with(&rsa_jwk("k"), "alg", "RSA-OAEP"),
            json!({ "kty": "OKP", "crv": "X25519", "x": base64url(&[1; 32]) }),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(&[1; 31]) }),
            json!("a string"),
        ] {
            assert!(set(std::slice::from_ref(&jwk)).is_empty(), "{jwk}");
        }
    }

    #[test]
    fn the_alg_of_a_jwk_restricts_it() {
        let token = RSA.clone().with_key_id("rsa").sign(library_claims());
        let keys = set(&[with(&rsa_jwk("rsa"), "alg", "PS256")]);
        let refused = verify(&keys, &token.expect("signs"), &ALL);
        assert_eq!(refused, Err(TokenError::Algorithm));
    }

    #[test]
    fn sets_out_of_bounds_are_refused_whole() {
        let many = vec![json!({}); MAX_KEYS + 1];
        let huge = format!("{{\"keys\":[]{}}}", " ".repeat(MAX_KEY_SET_BYTES));
        let many = json!({ "keys": many }).to_string();
        for text in [
            many.as_str(),
            &huge,
            "{}",
            "[]",
            r#"{"keys":{}}"#,
            r#"{"keys":[],"keys":[]}"#,
        ] {
            assert!(KeySet::parse(text.as_bytes()).is_err());
        }
        assert!(KeySet::parse(br#"{"keys":[]}"#).is_ok_and(|set| set.is_empty()));
    }

    #[test]
    fn an_rsa_pss_signature_by_another_implementation_verifies() {
        // Made with OpenSSL: `openssl dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt
        // rsa_pss_saltlen:digest`, as RFC 7518 section 3.5 has it.
        let fixture: Value =
            serde_json::from_str(include_str!("../testdata/ps256.json")).expect("JSON");
        let keys = set(&[fixture["jwk"].clone()]);
        let token = fixture["token"].as_str().expect("text");
        assert_eq!(verify(&keys, token, &[Algorithm::Ps256]), Ok(()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_changed_token_never_verifies(at: prop::sample::Index, to in "[A-Za-z0-9_.=-]") {
            let token = ours(&json!({ "alg": "ES256", "kid": our_key().kid() }));
            let at = at.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(at..=at, &to);
            prop_assume!(changed != token);
            prop_assert!(verify(&our_keys(), &changed, &ALL).is_err());
        }

        #[test]
        fn arbitrary_sets_never_panic(bytes: Vec<u8>) {
            let _ = KeySet::parse(&bytes);
        }
    }
}
