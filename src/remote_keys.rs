//! Keys of others: identity providers, workloads' issuers, clients. Per key set an isolate keeps what
//! it fetched, when it may fetch again, and which keys it looked for in vain.

use crate::outbound;
use crate::runtime::now;
use portcullis_core::client::uri::is_fetchable;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::cache::{KeyCache, Plan};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use portcullis_core::time::UnixMillis;
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use worker::console_error;

/// The most key sets that are kept; then all are forgotten.
const MAX_SETS: usize = 100;
const METADATA_FRESH_SECS: u64 = 3600;

/// The keys cannot be had, so nothing is known of the token.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What of provider metadata is used.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

thread_local! {
    static PLACES: RefCell<HashMap<String, (UnixMillis, String)>> = RefCell::new(HashMap::new());
    static SETS: RefCell<HashMap<String, KeyCache>> = RefCell::new(HashMap::new());
}

fn with_cache<T>(jwks_uri: &str, act: impl FnOnce(&mut KeyCache) -> T) -> T {
    SETS.with_borrow_mut(|sets| {
        if sets.len() >= MAX_SETS && !sets.contains_key(jwks_uri) {
            sets.clear();
        }
        act(sets.entry(jwks_uri.to_owned()).or_default())
    })
}

/// Lets `verify` judge `token` by the keys at `jwks_uri`, and once more by fresh ones if its key is not
/// among them.
pub async fn verified<T>(
    jwks_uri: &str,
    token: &str,
    verify: impl Fn(&KeySet) -> Result<T, TokenError>,
) -> Result<Result<T, TokenError>, Unavailable> {
    let first = verify(&*keys(jwks_uri).await?);
    let Err(TokenError::UnknownKey) = first else {
        return Ok(first);
    };
    // There may be a new key. A stranger may have invented one: the cache says how often to look.
    let kid = UnverifiedToken::parse(token)
        .ok()
        .and_then(|token| token.kid().map(str::to_owned));
    if !with_cache(jwks_uri, |cache| cache.may_look_for(kid.as_deref(), now())) {
        return Ok(first);
    }
    let second = verify(&*fetched(jwks_uri).await?);
    if matches!(second, Err(TokenError::UnknownKey)) {
        with_cache(jwks_uri, |cache| cache.missed(kid.as_deref(), now()));
    }
    Ok(second)
}

/// Where the keys of `issuer` are, by its provider metadata (OIDC Discovery section 4).
pub async fn discovered(issuer: &str, dev: bool) -> Result<String, Unavailable> {
    let kept = PLACES.with_borrow(|places| {
        let (at, uri) = places.get(issuer)?;
        (now() < at.plus_secs(METADATA_FRESH_SECS)).then(|| uri.clone())
    });
    if let Some(uri) = kept {
        return Ok(uri);
    }
    let url = format!(
        "{}/.well-known/openid-configuration",
        issuer.trim_end_matches('/')
    );
    let bytes = outbound::get(&url)
        .await
        .map_err(|error| Unavailable(error.to_string()))?;
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|_| Unavailable("metadata cannot be read".to_owned()))?;
    // The issuer must be the one that was asked (section 4.3), and its keys in a public place.
    if metadata.issuer != issuer || !is_fetchable(&metadata.jwks_uri, dev) {
        return Err(Unavailable("metadata is of another issuer".to_owned()));
    }
    PLACES.with_borrow_mut(|places| {
        if places.len() >= MAX_SETS {
            places.clear();
        }
        places.insert(issuer.to_owned(), (now(), metadata.jwks_uri.clone()));
    });
    Ok(metadata.jwks_uri)
}

async fn keys(jwks_uri: &str) -> Result<Arc<KeySet>, Unavailable> {
    match with_cache(jwks_uri, |cache| cache.plan(now())) {
        Plan::Use(keys) => Ok(keys),
        Plan::Refresh(keys) => Ok(match fetched(jwks_uri).await {
            Ok(fresh) => fresh,
            Err(error) => {
                console_error!("{error}");
                keys
            }
        }),
        Plan::Fetch => fetched(jwks_uri).await,
        Plan::Unavailable => Err(Unavailable("no keys yet".to_owned())),
    }
}

async fn fetched(jwks_uri: &str) -> Result<Arc<KeySet>, Unavailable> {
    let fetched = match outbound::get(jwks_uri).await {
        Ok(bytes) => KeySet::parse(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    with_cache(jwks_uri, |cache| match fetched {
        Ok(keys) => Ok(cache.fetched(keys, now())),
        Err(why) => {
            cache.failed(now());
            Err(Unavailable(why))
        }
    })
}
