//! Signing our own tokens, with ES256 only.
//!
//! A token is made in two steps, with the cryptography between them: [`PublicJwk::signing_input`]
//! says what to sign, and [`SigningInput::with_signature`] puts the token together. In the runtime
//! `WebCrypto` signs, with a key imported from [`SigningKey::to_private_jwk`]; on the host
//! [`SigningKey::sign`] does both steps, with a nonce derived from key and message (RFC 6979).
//!
//! RSA signing is deliberately absent: its pure-Rust implementation leaks timing
//! (RUSTSEC-2023-0071).

use super::jwks::pending::{POINT_BYTES, SIGNATURE_BYTES};
use crate::text::base64url;
use hmac_sha256::Hash;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Signer;
use serde::Serialize;
use std::fmt;

/// The bytes are not a P-256 private key: zero, or not below the group's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey;

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a P-256 private key")
    }
}

impl std::error::Error for InvalidKey {}

/// The claims have no JSON form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidClaims;

impl fmt::Display for InvalidClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims that are no JSON object")
    }
}

impl std::error::Error for InvalidClaims {}

/// A private key for ES256. It has no Debug.
pub struct SigningKey {
    key: p256::ecdsa::SigningKey,
    jwk: PublicJwk,
    point: [u8; POINT_BYTES],
}

/// The public half, as it is published (RFC 7517 section 4, RFC 7518 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicJwk {
    kty: &'static str,
    crv: &'static str,
    x: String,
    y: String,
    /// The thumbprint of the key (RFC 7638).
    pub kid: String,
    #[serde(rename = "use")]
    public_key_use: &'static str,
    alg: &'static str,
}

impl SigningKey {
    /// The key whose private scalar is `secret`, random. About one in 2^32 random values is none.
    pub fn from_secret(secret: &[u8; 32]) -> Result<Self, InvalidKey> {
        let key = p256::ecdsa::SigningKey::from_slice(secret).map_err(|_| InvalidKey)?;
        let point = point_of(&key).ok_or(InvalidKey)?;
        let jwk = PublicJwk::of_point(&point).ok_or(InvalidKey)?;
        Ok(Self { key, jwk, point })
    }

    /// The key's name in token headers: its RFC 7638 thumbprint.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// What to publish.
    #[must_use]
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.jwk
    }

    /// The public half as an uncompressed point (SEC 1 section 2.3.3).
    #[must_use]
    pub const fn public_point(&self) -> &[u8; POINT_BYTES] {
        &self.point
    }

    /// The private key as a JWK (RFC 7518 section 6.2.2), to import it where tokens are signed and
    /// for nothing else.
    #[must_use]
    pub fn to_private_jwk(&self) -> String {
        let PublicJwk { x, y, .. } = &self.jwk;
        let d = base64url(&self.key.to_bytes());
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","d":"{d}"}}"#)
    }

    /// A compact JWS of exactly these claims, with that `typ`, signed here and now.
    pub fn sign(&self, claims: &impl Serialize, typ: &str) -> Result<String, InvalidClaims> {
        let input = self.jwk.signing_input(claims, typ)?;
        let signature: Signature = self.key.sign(input.as_bytes());
        Ok(input.with_signature(&signature.to_bytes().into()))
    }
}

fn point_of(key: &p256::ecdsa::SigningKey) -> Option<[u8; POINT_BYTES]> {
    let point = key.verifying_key().to_encoded_point(false);
    point.as_bytes().try_into().ok()
}

/// What is signed (RFC 7515 section 5.1 step 5): the header and claims of a token that has no
/// signature yet.
#[derive(Debug)]
pub struct SigningInput(String);

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'a str,
    kid: &'a str,
}

impl SigningInput {
    /// The bytes to sign.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The compact JWS.
    #[must_use]
    pub fn with_signature(self, signature: &[u8; SIGNATURE_BYTES]) -> String {
        format!("{}.{}", self.0, base64url(signature))
    }
}

impl PublicJwk {
    /// What to sign with this key's private half for a token of exactly these claims.
    pub fn signing_input(
        &self,
        claims: &impl Serialize,
        typ: &str,
    ) -> Result<SigningInput, InvalidClaims> {
        let header = Header {
            alg: self.alg,
            typ,
            kid: &self.kid,
        };
        let header = serde_json::to_vec(&header).map_err(|_| InvalidClaims)?;
        let claims = serde_json::to_vec(claims).map_err(|_| InvalidClaims)?;
        if !claims.starts_with(b"{") {
            return Err(InvalidClaims);
        }
        let input = format!("{}.{}", base64url(&header), base64url(&claims));
        Ok(SigningInput(input))
    }

    /// What to publish for the key of that point (SEC 1 section 2.3.3, uncompressed). Whether it is
    /// on the curve shows when it is used.
    #[must_use]
    pub fn of_point(point: &[u8; POINT_BYTES]) -> Option<Self> {
        let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
        let (x, y) = (base64url(x), base64url(y));
        // The required members in lexical order, without white space (RFC 7638 section 3).
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Some(Self {
            kty: "EC",
            crv: "P-256",
            x,
            y,
            kid: base64url(&Hash::hash(canonical.as_bytes())),
            public_key_use: "sig",
            alg: "ES256",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Algorithm;
    use super::super::testing::{NOW, our_key, our_keys};
    use super::super::unverified::UnverifiedToken;
    use super::*;
    use crate::text::from_base64url;
    use serde_json::json;

    #[test]
    fn what_is_signed_verifies_and_says_exactly_the_claims() {
        let claims = json!({ "iss": "i", "exp": NOW.secs() + 1, "aud": ["a"], "n": { "m": 1 } });
        let text = our_key().sign(&claims, "at+jwt").expect("signs");
        let token = UnverifiedToken::parse(&text).expect("parses");
        assert_eq!(
            (token.typ(), token.kid()),
            (Some("at+jwt"), Some(our_key().kid()))
        );
        let signed = our_keys()
            .verify(token, &[Algorithm::Es256], NOW)
            .expect("verifies");
        assert_eq!(serde_json::Value::Object(signed.into_map()), claims);
    }

    #[test]
    fn the_kid_is_the_thumbprint() {
        let jwk = our_key().public_jwk().clone();
        assert_eq!(
            serde_json::to_value(&jwk).expect("JSON"),
            json!({
                "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": jwk.kid,
                "x": jwk.x, "y": jwk.y,
            })
        );
        assert_eq!(from_base64url(&jwk.x).map(|x| x.len()), Some(32));
        assert_eq!(jwk.kid, "gWjt7nmB1udyFpLYVp0SxJnI8lJEvl7q8AFYZRqnGV8");
    }

    #[test]
    fn scalars_out_of_range_are_refused() {
        assert!(SigningKey::from_secret(&[0; 32]).is_err());
        assert!(SigningKey::from_secret(&[0xff; 32]).is_err());
    }

    #[test]
    fn a_signature_made_elsewhere_completes_the_same_token() {
        let claims = json!({ "iss": "i", "exp": NOW.secs() + 1 });
        let token = our_key().sign(&claims, "JWT").expect("signs");
        let input = our_key().public_jwk().signing_input(&claims, "JWT");
        let input = input.expect("an object");
        let (signed, signature) = token.rsplit_once('.').expect("parts");
        assert_eq!(input.as_bytes(), signed.as_bytes());
        let signature: Vec<u8> = from_base64url(signature).expect("base64url");
        let signature = signature.as_slice().try_into().expect("64 bytes");
        assert_eq!(input.with_signature(signature), token);
    }

    #[test]
    fn the_private_jwk_is_the_public_one_and_its_scalar() {
        let jwk: serde_json::Value =
            serde_json::from_str(&our_key().to_private_jwk()).expect("JSON");
        let public = our_key().public_jwk().clone();
        assert_eq!(
            jwk,
            json!({
                "kty": "EC", "crv": "P-256", "x": public.x, "y": public.y,
                "d": crate::text::base64url(&[7; 32]),
            })
        );
    }

    #[test]
    fn claims_without_a_json_object_are_refused() {
        assert_eq!(our_key().sign(&7, "JWT"), Err(InvalidClaims));
    }
}
