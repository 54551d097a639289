//! Signing our own tokens, with ES256 only.
//!
//! RSA signing is deliberately absent: its pure-Rust implementation leaks timing
//! (RUSTSEC-2023-0071). The nonce of a signature is derived from key and message and hedged with
//! fresh noise inside the library, so two signatures of the same claims differ; nothing else here
//! is random.

use crate::text::base64url;
use hmac_sha256::Hash;
use jwt_simple::prelude::{ECDSAP256KeyPairLike, ES256KeyPair, HeaderOptions, JWTClaims};
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

/// A private key for ES256. It has no Debug and no way out.
pub struct SigningKey {
    pair: ES256KeyPair,
    jwk: PublicJwk,
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
        let pair = ES256KeyPair::from_bytes(secret).map_err(|_| InvalidKey)?;
        let jwk = PublicJwk::of(&pair).ok_or(InvalidKey)?;
        Ok(Self {
            pair: pair.with_key_id(&jwk.kid),
            jwk,
        })
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

    /// A compact JWS of exactly these claims, with that `typ`.
    pub fn sign(&self, claims: &impl Serialize, typ: &str) -> Result<String, InvalidClaims> {
        let claims = JWTClaims {
            issued_at: None,
            expires_at: None,
            invalid_before: None,
            issuer: None,
            subject: None,
            audiences: None,
            jwt_id: None,
            nonce: None,
            custom: claims,
        };
        let options = HeaderOptions {
            signature_type: Some(typ.to_owned()),
            ..HeaderOptions::default()
        };
        self.pair
            .sign_with_options(claims, &options)
            .map_err(|_| InvalidClaims)
    }
}

impl PublicJwk {
    fn of(pair: &ES256KeyPair) -> Option<Self> {
        let point = pair.key_pair().public_key().to_bytes_uncompressed();
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
    use super::super::jwks::Validity;
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
            .verify(token, &[Algorithm::Es256], Validity::At(NOW))
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
    fn claims_without_a_json_object_are_refused() {
        assert_eq!(our_key().sign(&7, "JWT"), Err(InvalidClaims));
    }
}
