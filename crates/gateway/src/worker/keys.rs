//! The issuer's keys and endpoints, fetched when [`KeyCache`] says so and shared by the requests of
//! an isolate. Nothing is borrowed across an await, so those may interleave there.

use super::http::{self, FetchError};
use super::now;
use crate::config::Config;
use crate::metadata::{self, Metadata};
use crate::remembered::Remembered;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, VerifiedAccessToken};
use portcullis_core::jwt::cache::{KeyCache, Plan};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use worker::console_error;

thread_local! {
    static KEYS: RefCell<KeyCache> = const { RefCell::new(KeyCache::new()) };
    static REMEMBERED: RefCell<Remembered> = const { RefCell::new(Remembered::new()) };
    static METADATA: RefCell<Option<Metadata>> = const { RefCell::new(None) };
}

/// Why a token was not verified.
pub enum Failure {
    /// It is not good.
    Token(TokenError),
    /// There is nothing to verify it with.
    NoKeys,
}

enum RefreshError {
    Fetch(FetchError),
    Metadata,
    KeySet,
}

impl From<FetchError> for RefreshError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetch(error) => write!(f, "{error}"),
            Self::Metadata => f.write_str("metadata that is not the issuer's"),
            Self::KeySet => f.write_str("no valid key set"),
        }
    }
}

/// Believes an access token for this gateway, or says why not.
pub async fn verify(token: &str, config: &Config) -> Result<VerifiedAccessToken, Failure> {
    let keys = current(config).await.ok_or(Failure::NoKeys)?;
    match verify_with(&keys, token, config) {
        // The issuer may have begun to use another key since.
        Err(TokenError::UnknownKey) => match look_for_key_of(token, config).await {
            Some(keys) => verify_with(&keys, token, config),
            None => Err(TokenError::UnknownKey),
        },
        judged => judged,
    }
    .map_err(Failure::Token)
}

fn verify_with(
    keys: &Arc<KeySet>,
    token: &str,
    config: &Config,
) -> Result<VerifiedAccessToken, TokenError> {
    let now = now();
    if let Some(known) = REMEMBERED.with_borrow(|tokens| tokens.recall(token, keys, now)) {
        return Ok(known);
    }
    let verifier = AccessTokenVerifier {
        issuer: &config.issuer,
        audience: Some(&config.audience),
    };
    let proven = verifier.verify(token, keys, now)?;
    REMEMBERED.with_borrow_mut(|tokens| tokens.remember(token, &proven, keys, now));
    Ok(proven)
}

/// The issuer's keys.
pub async fn current(config: &Config) -> Option<Arc<KeySet>> {
    match KEYS.with_borrow_mut(|cache| cache.plan(now())) {
        Plan::Use(keys) => Some(keys),
        Plan::Refresh(keys) => Some(refreshed(config).await.unwrap_or(keys)),
        Plan::Fetch => refreshed(config).await,
        Plan::Unavailable => None,
    }
}

/// The issuer's endpoints. They come with the keys and are kept even when those are too old.
pub async fn endpoints(config: &Config) -> Option<Metadata> {
    current(config).await;
    METADATA.with_borrow(Clone::clone)
}

async fn look_for_key_of(token: &str, config: &Config) -> Option<Arc<KeySet>> {
    let token = UnverifiedToken::parse(token).ok()?;
    if !KEYS.with_borrow_mut(|cache| cache.may_look_for(token.kid(), now())) {
        return None;
    }
    let keys = refreshed(config).await?;
    if !token.kid().is_some_and(|kid| keys.has_kid(kid)) {
        KEYS.with_borrow_mut(|cache| cache.missed(token.kid(), now()));
    }
    Some(keys)
}

async fn refreshed(config: &Config) -> Option<Arc<KeySet>> {
    match fetch(config).await {
        Ok((metadata, keys)) => {
            METADATA.set(Some(metadata));
            Some(KEYS.with_borrow_mut(|cache| cache.fetched(keys, now())))
        }
        Err(error) => {
            console_error!("the issuer's keys could not be fetched: {error}");
            KEYS.with_borrow_mut(|cache| cache.failed(now()));
            None
        }
    }
}

async fn fetch(config: &Config) -> Result<(Metadata, KeySet), RefreshError> {
    let location = metadata::location(&config.issuer).ok_or(RefreshError::Metadata)?;
    let document = http::get(&location).await?;
    let metadata =
        Metadata::parse(&document, &config.issuer).map_err(|_| RefreshError::Metadata)?;
    let jwks = http::get(&metadata.jwks_uri).await?;
    let keys = KeySet::parse(&jwks).map_err(|_| RefreshError::KeySet)?;
    Ok((metadata, keys))
}
