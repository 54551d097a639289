//! Tokens that nobody should accept, made with keys of our own or bent from good ones.

use crate::app::{claims, header};
use crate::{Failure, Result};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use portcullis_core::text::{base64url, from_base64url};
use serde_json::{Value, json};

/// A key that the service has never heard of.
pub struct Forger {
    key: SigningKey,
}

impl Forger {
    /// One with a new key.
    pub fn new() -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Failure::new(error.to_string()))?;
        secret[0] &= 0x7f; // below the order of the curve
        let key = SigningKey::from_slice(&secret)?;
        Ok(Self { key })
    }

    /// An ES256 token with exactly this header and these claims, signed by the forger.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = signing_input(header, claims);
        let signature: Signature = self.key.sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }

    /// The forger's public key as a JWK, to smuggle into a header.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let point = self.key.verifying_key().to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| base64url(bytes));
        json!({ "kty": "EC", "crv": "P-256", "x": coordinate(point.x()), "y": coordinate(point.y()) })
    }
}

/// A token with no signature (`alg: none`, RFC 7519 section 6).
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!(
        "{}.",
        signing_input(&json!({ "alg": "none", "typ": "at+jwt" }), claims)
    )
}

/// A token whose HMAC key is a public key that everybody knows (RFC 8725 section 2.1).
#[must_use]
pub fn hmac_with(public_key: &[u8], kid: &Value, claims: &Value) -> String {
    let input = signing_input(
        &json!({ "alg": "HS256", "typ": "at+jwt", "kid": kid }),
        claims,
    );
    let tag = hmac_sha256::HMAC::mac(input.as_bytes(), public_key);
    format!("{input}.{}", base64url(&tag))
}

/// A good token with one claim changed and the signature kept.
#[track_caller]
pub fn with_claim(token: &str, name: &str, value: Value) -> Result<String> {
    let mut changed = claims(token)?;
    changed[name] = value;
    Ok(format!(
        "{}.{}",
        signing_input(&header(token)?, &changed),
        signature(token)?
    ))
}

/// A good token with one bit of its signature turned.
#[track_caller]
pub fn with_bent_signature(token: &str) -> Result<String> {
    let mut bytes = from_base64url(signature(token)?).unwrap_or_default();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let (input, _) = token.rsplit_once('.').unwrap_or_default();
    Ok(format!("{input}.{}", base64url(&bytes)))
}

fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

#[track_caller]
fn signature(token: &str) -> Result<&str> {
    match token.rsplit_once('.') {
        Some((_, signature)) => Ok(signature),
        None => Err(Failure::new(format!("not a token: {token}"))),
    }
}
