//! Our own keys, opened, imported into `WebCrypto`, and kept in the isolate for a minute.

use crate::config::Config;
use crate::objects::call::Object;
use crate::objects::keyring::seal::Sealed;
use crate::objects::keyring::{GetKeys, KeyringRequest};
use crate::runtime::now;
use crate::webcrypto::{Signer, Verifier};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation, VerifiedAccessToken};
use portcullis_core::jwt::id_token::{VerifiedHint, begin_id_token_hint};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::jwks::pending::Pending;
use portcullis_core::jwt::sign::{PublicJwk, SigningKey};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire::Call;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use worker::{Env, Error};

const FRESH_SECS: u64 = 60;

/// The keys of this deployment.
pub struct OurKeys {
    signer: Signer,
    /// All that verify.
    public: KeySet,
    verifiers: Vec<Verifier>,
    /// What is published, as JSON (RFC 7517 section 5).
    pub jwks: String,
}

impl OurKeys {
    /// A token of ours: a compact JWS of exactly these claims, with that `typ`.
    pub async fn sign(&self, claims: &impl Serialize, typ: &str) -> Result<String, Error> {
        self.signer.sign(claims, typ).await
    }

    /// Believes an access token of ours that was presented in this way, or says why not. The outer
    /// error is that nobody could tell.
    pub async fn verify_access_token(
        &self,
        token: &str,
        presentation: Presentation<'_>,
        verifier: &AccessTokenVerifier<'_>,
        now: UnixMillis,
    ) -> Result<Result<VerifiedAccessToken, TokenError>, Error> {
        match verifier.begin(token, presentation, &self.public, now) {
            Ok(pending) => self.settle(pending).await,
            Err(error) => Ok(Err(error)),
        }
    }

    /// Believes an ID token of ours as a hint, or says why not. The outer error is that nobody could
    /// tell.
    pub async fn verify_id_token_hint(
        &self,
        token: &str,
        issuer: &str,
    ) -> Result<Result<VerifiedHint, TokenError>, Error> {
        match begin_id_token_hint(token, &self.public, issuer) {
            Ok(pending) => self.settle(pending).await,
            Err(error) => Ok(Err(error)),
        }
    }

    async fn settle<T>(&self, pending: Pending<'_, T>) -> Result<Result<T, TokenError>, Error> {
        let point = pending.public_point();
        let verifier = self.verifiers.iter().find(|verifier| verifier.is_of(point));
        let verifier = verifier.ok_or_else(|| Error::from("a key of ours was not imported"))?;
        verifier.settle(pending).await
    }
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: Vec<&'a PublicJwk>,
}

thread_local! {
    static KEYS: RefCell<Option<(UnixMillis, Rc<OurKeys>)>> = const { RefCell::new(None) };
}

/// The keys, from the isolate's memory or from the keyring.
pub async fn ours(env: &Env, config: &Config) -> Result<Rc<OurKeys>, Error> {
    let kept = KEYS.with_borrow(|kept| {
        kept.as_ref()
            .filter(|(at, _)| now() < at.plus_secs(FRESH_SECS))
            .map(|(_, keys)| Rc::clone(keys))
    });
    if let Some(keys) = kept {
        return Ok(keys);
    }
    let keys = Rc::new(open(&fetch(env).await?, config).await?);
    KEYS.set(Some((now(), Rc::clone(&keys))));
    Ok(keys)
}

async fn fetch(env: &Env) -> Result<Vec<Sealed>, Error> {
    let request: KeyringRequest = GetKeys.into_request();
    Object::named(env, "KEYRING", "keyring".to_owned())
        .send(&request)
        .await
        .map_err(|error| Error::RustError(error.to_string()))
}

async fn open(sealed: &[Sealed], config: &Config) -> Result<OurKeys, Error> {
    let unusable = || Error::from("a signing key cannot be opened: was SERVICE_KEY changed?");
    let mut keys = Vec::with_capacity(sealed.len());
    for sealed in sealed {
        let secret = sealed.open(&config.sealing_key).ok_or_else(unusable)?;
        keys.push(SigningKey::from_secret(&secret).map_err(|_| unusable())?);
    }
    let jwks = Jwks {
        keys: keys.iter().map(SigningKey::public_jwk).collect(),
    };
    let jwks = serde_json::to_string(&jwks)?;
    let mut verifiers = Vec::with_capacity(keys.len());
    for key in &keys {
        verifiers.push(Verifier::import(&key.public_point()).await?);
    }
    Ok(OurKeys {
        signer: Signer::import(keys.first().ok_or_else(unusable)?).await?,
        public: KeySet::parse(jwks.as_bytes()).map_err(|_| unusable())?,
        verifiers,
        jwks,
    })
}
