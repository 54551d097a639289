//! Our own keys, opened, imported into `WebCrypto`, and kept in the isolate for a minute.
//!
//! Which of them signs follows from the clock: the next one is at hand before its time comes. A key
//! that the policy's view names as compromised is gone with that view, at most a second later,
//! whatever is kept.

use crate::config::Config;
use crate::objects::call;
use crate::objects::keyring::call::{GetKeys, KeptKey};
use crate::objects::keyring::opened;
use crate::policy::{self, View};
use crate::runtime::now;
use crate::webcrypto::{Signer, Verifier};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation, VerifiedAccessToken};
use portcullis_core::jwt::id_token::{VerifiedHint, begin_id_token_hint};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::jwks::pending::{POINT_BYTES, Pending};
use portcullis_core::jwt::sign::PublicJwk;
use portcullis_core::jwt::unverified::UnverifiedToken;
use portcullis_core::keyring::{KeyState, Keyring};
use portcullis_core::time::UnixMillis;
use serde::Serialize;
use std::cell::RefCell;
use std::rc::Rc;
use worker::{Env, Error};

/// How long keys are kept, in seconds. Core's timing of rotations counts on it.
const FRESH_SECS: u64 = 60;
/// How old keys must be to be asked for again because of an unknown `kid`, in seconds: strangers
/// choose `kid`s.
const COOL_DOWN_SECS: u64 = 1;

/// The keys of this deployment.
pub struct OurKeys {
    ring: Keyring,
    signers: Vec<Rc<Signer>>,
    verifiers: Vec<Verifier>,
    /// What verifies tokens.
    published: KeySet,
    /// What verifies hints: retired keys too.
    remembered: KeySet,
    /// What is published, as JSON (RFC 7517 section 5).
    pub jwks: String,
}

impl OurKeys {
    /// A token of ours: a compact JWS of exactly these claims, with that `typ`.
    pub async fn sign(&self, claims: &impl Serialize, typ: &str) -> Result<String, Error> {
        let signer = self.ring.signing(now()).and_then(|key| {
            let mut signers = self.signers.iter();
            signers.find(|signer| signer.kid() == key.kid)
        });
        let signer = signer.ok_or_else(|| Error::from("no key may sign"))?;
        signer.sign(claims, typ).await
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
        match verifier.begin(token, presentation, &self.published, now) {
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
        match begin_id_token_hint(token, &self.remembered, issuer) {
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

    fn has_one_covered_by(&self, view: &View) -> bool {
        let mut keys = self.ring.keys().iter();
        keys.any(|key| view.covers_key(&key.kid))
    }
}

#[derive(Serialize)]
struct Jwks<'a> {
    keys: Vec<&'a PublicJwk>,
}

struct Kept {
    asked_at: UnixMillis,
    keys: Rc<OurKeys>,
}

thread_local! {
    static KEYS: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

/// The keys, from the isolate's memory or from the keyring.
pub async fn ours(env: &Env, config: &Config) -> Result<Rc<OurKeys>, Error> {
    no_older_than(env, config, FRESH_SECS).await
}

/// The keys to verify `token` with. If none of its `kid` is at hand, a key may have had to sign at
/// once; then the keyring is asked, at most once a second whatever strangers send.
pub async fn for_token(env: &Env, config: &Config, token: &str) -> Result<Rc<OurKeys>, Error> {
    let keys = ours(env, config).await?;
    let unknown = UnverifiedToken::parse(token)
        .is_ok_and(|token| token.kid().is_some_and(|kid| !keys.remembered.has_kid(kid)));
    if unknown {
        no_older_than(env, config, COOL_DOWN_SECS).await
    } else {
        Ok(keys)
    }
}

/// Has this isolate ask the keyring with the next request.
pub fn look_again() {
    KEYS.set(None);
}

async fn no_older_than(env: &Env, config: &Config, secs: u64) -> Result<Rc<OurKeys>, Error> {
    let view = policy::view(env).await?;
    let asked_at = now();
    let kept = KEYS.with_borrow(|kept| {
        let kept = kept.as_ref()?;
        let fresh = kept.asked_at <= asked_at && asked_at < kept.asked_at.plus_secs(secs);
        Some((fresh, Rc::clone(&kept.keys)))
    });
    let kept = match kept {
        Some((true, keys)) if !keys.has_one_covered_by(&view) => return Ok(keys),
        Some((_, keys)) => Some(keys),
        None => None,
    };
    let stored = call::keyring(env, GetKeys).await;
    let mut stored = stored.map_err(|error| Error::RustError(error.to_string()))?;
    stored.retain(|stored| !view.covers_key(&stored.key.kid));
    let keys = Rc::new(open(&stored, config, kept.as_deref(), asked_at).await?);
    KEYS.set(Some(Kept {
        asked_at,
        keys: Rc::clone(&keys),
    }));
    Ok(keys)
}

/// Opens what is stored. What `kept` has imported is not imported again.
async fn open(
    stored: &[KeptKey],
    config: &Config,
    kept: Option<&OurKeys>,
    now: UnixMillis,
) -> Result<OurKeys, Error> {
    let ring = Keyring::new(stored.iter().map(|stored| stored.key.clone()).collect());
    let (mut signers, mut verifiers) = (Vec::new(), Vec::new());
    let (mut published, mut remembered) = (Vec::new(), Vec::new());
    for stored in stored {
        let state = ring.state(&stored.key, now);
        if state == KeyState::Compromised {
            continue;
        }
        let point: [u8; POINT_BYTES] =
            stored.point.as_slice().try_into().map_err(|_| unusable())?;
        let jwk = PublicJwk::of_point(&point).ok_or_else(unusable)?;
        let imported = kept.and_then(|kept| kept.verifiers.iter().find(|it| it.is_of(&point)));
        verifiers.push(match imported {
            Some(verifier) => verifier.clone(),
            None => Verifier::import(&point).await?,
        });
        if matches!(state, KeyState::Next | KeyState::Signing) {
            signers.push(signer(stored, config, kept).await?);
        }
        if state != KeyState::Retired {
            published.push(jwk.clone());
        }
        remembered.push(jwk);
    }
    let jwks = as_jwks(&published)?;
    Ok(OurKeys {
        published: KeySet::parse(jwks.as_bytes()).map_err(|_| unusable())?,
        remembered: KeySet::parse(as_jwks(&remembered)?.as_bytes()).map_err(|_| unusable())?,
        ring,
        signers,
        verifiers,
        jwks,
    })
}

async fn signer(
    stored: &KeptKey,
    config: &Config,
    kept: Option<&OurKeys>,
) -> Result<Rc<Signer>, Error> {
    let imported = kept.and_then(|kept| {
        let mut signers = kept.signers.iter();
        signers.find(|signer| signer.kid() == stored.key.kid)
    });
    if let Some(signer) = imported {
        return Ok(Rc::clone(signer));
    }
    let sealed = stored.sealed.as_ref().ok_or_else(unusable)?;
    let key = opened(&config.sealing_key, sealed).ok_or_else(unusable)?;
    Ok(Rc::new(Signer::import(&key).await?))
}

fn unusable() -> Error {
    Error::from("a signing key cannot be opened: was SERVICE_KEY changed?")
}

fn as_jwks(keys: &[PublicJwk]) -> Result<String, Error> {
    let keys = keys.iter().collect();
    Ok(serde_json::to_string(&Jwks { keys })?)
}
