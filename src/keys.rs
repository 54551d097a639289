//! Our own keys, opened and kept in the isolate for a minute.

use crate::config::Config;
use crate::objects::call::Object;
use crate::objects::keyring::seal::Sealed;
use crate::objects::keyring::{GetKeys, KeyringRequest};
use crate::runtime::now;
use portcullis_core::jwt::jwks::KeySet;
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
    /// The one that signs.
    pub signing: SigningKey,
    /// All that verify.
    pub public: KeySet,
    /// The same as JSON (RFC 7517 section 5).
    pub jwks: String,
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
    let keys = Rc::new(open(&fetch(env).await?, config)?);
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

fn open(sealed: &[Sealed], config: &Config) -> Result<OurKeys, Error> {
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
    let public = KeySet::parse(jwks.as_bytes()).map_err(|_| unusable())?;
    let signing = keys.into_iter().next().ok_or_else(unusable)?;
    Ok(OurKeys {
        signing,
        public,
        jwks,
    })
}
