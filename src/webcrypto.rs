//! ES256 by the runtime's own cryptography, `WebCrypto`.
//!
//! Only our own tokens are signed and verified here: their keys are few and live long, so importing
//! them pays, and `WebCrypto` is several times as fast as the same in wasm. Foreign tokens are verified
//! by `portcullis-core` itself.
//!
//! Core decides everything but the cryptography ([`Pending`], [`SigningInput`]); this is the one
//! place that gives its verdict.

use js_sys::{Array, JSON, Object, Reflect, Uint8Array};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::jwks::pending::{POINT_BYTES, Pending, SignatureVerdict};
use portcullis_core::jwt::sign::{PublicJwk, SigningKey};
use serde::Serialize;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Crypto, CryptoKey, SubtleCrypto};
use worker::{Error, Result};

/// A private key that the runtime holds; it cannot be read back.
pub struct Signer {
    key: CryptoKey,
    jwk: PublicJwk,
}

impl Signer {
    /// Hands `key` to the runtime.
    pub async fn import(key: &SigningKey) -> Result<Self> {
        let jwk = JSON::parse(&key.to_private_jwk())?;
        let jwk = jwk.dyn_into::<Object>()?;
        Ok(Self {
            key: import("jwk", &jwk, "sign").await?,
            jwk: key.public_jwk().clone(),
        })
    }

    /// The name of the key.
    pub fn kid(&self) -> &str {
        &self.jwk.kid
    }

    /// A compact JWS of exactly these claims, with that `typ`.
    pub async fn sign(&self, claims: &impl Serialize, typ: &str) -> Result<String> {
        let input = self
            .jwk
            .signing_input(claims, typ)
            .map_err(|error| Error::RustError(error.to_string()))?;
        let bytes = Uint8Array::from(input.as_bytes());
        let signing = subtle()?.sign_with_object_and_js_u8_array(&ecdsa()?, &self.key, &bytes)?;
        let signature = Uint8Array::new(&JsFuture::from(signing).await?).to_vec();
        let signature = signature
            .as_slice()
            .try_into()
            .map_err(|_| Error::from("a signature of another length"))?;
        Ok(input.with_signature(signature))
    }
}

/// A public key that the runtime holds.
#[derive(Clone)]
pub struct Verifier {
    point: [u8; POINT_BYTES],
    key: Rc<CryptoKey>,
}

impl Verifier {
    /// Hands the key of that point to the runtime.
    pub async fn import(point: &[u8; POINT_BYTES]) -> Result<Self> {
        let raw = Uint8Array::from(point.as_slice());
        Ok(Self {
            point: *point,
            key: Rc::new(import("raw", &raw, "verify").await?),
        })
    }

    /// Whether it is the key of that point.
    pub fn is_of(&self, point: &[u8; POINT_BYTES]) -> bool {
        self.point == *point
    }

    /// Checks the signature that `pending` waits for. The outer error is that nobody could tell;
    /// then, too, nothing has been verified.
    pub async fn settle<T>(
        &self,
        pending: Pending<'_, T>,
    ) -> Result<std::result::Result<T, TokenError>> {
        if !self.is_of(pending.public_point()) {
            return Err(Error::from("checked with another key"));
        }
        let signature = Uint8Array::from(pending.signature().as_slice());
        let input = Uint8Array::from(pending.signing_input());
        let verifying = subtle()?.verify_with_object_and_js_u8_array_and_js_u8_array(
            &ecdsa()?,
            &self.key,
            &signature,
            &input,
        )?;
        // Anything but `true` is no.
        let verdict = if JsFuture::from(verifying).await?.is_truthy() {
            SignatureVerdict::Good
        } else {
            SignatureVerdict::Bad
        };
        Ok(pending.settle(verdict))
    }
}

async fn import(format: &str, key: &Object, usage: &str) -> Result<CryptoKey> {
    let algorithm = object(&[("name", "ECDSA"), ("namedCurve", "P-256")])?;
    let usages = Array::of1(&usage.into());
    let importing =
        subtle()?.import_key_with_object(format, key, &algorithm, false, usages.as_ref())?;
    Ok(JsFuture::from(importing).await?.dyn_into::<CryptoKey>()?)
}

fn subtle() -> Result<SubtleCrypto> {
    let crypto = Reflect::get(&js_sys::global(), &"crypto".into())?;
    Ok(crypto.dyn_into::<Crypto>()?.subtle())
}

fn ecdsa() -> Result<Object> {
    object(&[("name", "ECDSA"), ("hash", "SHA-256")])
}

fn object(members: &[(&str, &str)]) -> Result<Object> {
    let object = Object::new();
    for (name, value) in members {
        Reflect::set(&object, &(*name).into(), &(*value).into())?;
    }
    Ok(object)
}
