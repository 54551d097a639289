//! The issuer's keys and endpoints, fetched when [`KeyCache`] says so and shared by the requests of
//! an isolate. Nothing is borrowed across an await, so those may interleave there.

use super::feed::seed;
use super::http::{self, FetchError};
use super::{now, sleep_ms};
use crate::config::Config;
use crate::metadata::{self, Metadata};
use crate::remembered::{Known, Remembered};
use crate::view;
use crate::view::page::Opened;
use portcullis_core::feed::page::SignedPage;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::access_token::{AccessTokenVerifier, Presentation};
use portcullis_core::jwt::cache::{KeyCache, Look, NoKeys, Plan, Ticket, Turn};
use portcullis_core::jwt::dpop::VerifiedProof;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
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
    NoKeys(NoKeys),
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
            Self::NoKeys(error) => write!(f, "{error}"),
        }
    }
}

/// The access token of that text, if it verified a while ago, presented in the same way.
pub async fn recall(
    token: &str,
    proof: Option<&VerifiedProof>,
    config: &Config,
) -> Option<Rc<Known>> {
    let (keys, seed) = (current(config).await?, seed()?);
    let jkt = proof.map(VerifiedProof::jkt);
    REMEMBERED.with_borrow(|tokens| tokens.recall(token, jkt, &keys, &seed, now()))
}

/// Believes an access token for this gateway that came with that proof, or as a bearer token, or says why
/// not.
pub async fn verify(
    token: &str,
    proof: Option<&VerifiedProof>,
    config: &Config,
) -> Result<Rc<Known>, Failure> {
    judged(token, config, |keys| {
        verify_with(keys, token, proof, config)
    })
    .await
}

/// Opens a page of the feed.
pub async fn open(page: &SignedPage, config: &Config) -> Result<Opened, Failure> {
    judged(&page.statement, config, |keys| {
        view::page::open(page, keys, &config.issuer)
    })
    .await
}

/// Judges what the token in compact form says by the issuer's keys.
async fn judged<T>(
    token: &str,
    config: &Config,
    judge: impl Fn(&Arc<KeySet>) -> Result<T, TokenError>,
) -> Result<T, Failure> {
    let mut turn = Turn::default();
    let keys = keys(config, &mut turn).await.ok_or(Failure::NoKeys)?;
    let mut judged = judge(&keys);
    // The issuer may have begun to use another key since.
    while matches!(judged, Err(TokenError::UnknownKey)) {
        let kid = UnverifiedToken::parse(token)
            .ok()
            .and_then(|token| token.kid().map(str::to_owned));
        let look = |cache: &mut KeyCache| cache.look_for(kid.as_deref(), &mut turn, now());
        match KEYS.with_borrow_mut(look) {
            Look::Judge(keys) => judged = judge(&keys),
            Look::Fetch(ticket) => refresh(config, ticket).await,
            Look::Wait(ms) => sleep_ms(ms).await,
            Look::No => break,
        }
    }
    judged.map_err(Failure::Token)
}

fn verify_with(
    keys: &Arc<KeySet>,
    token: &str,
    proof: Option<&VerifiedProof>,
    config: &Config,
) -> Result<Rc<Known>, TokenError> {
    let now = now();
    let seed = seed().ok_or(TokenError::UnknownKey)?;
    let jkt = proof.map(VerifiedProof::jkt);
    let recall = |tokens: &Remembered| tokens.recall(token, jkt, keys, &seed, now);
    if let Some(known) = REMEMBERED.with_borrow(recall) {
        return Ok(known);
    }
    let verifier = AccessTokenVerifier {
        issuer: &config.issuer,
        audience: Some(&config.audience),
    };
    let presentation = proof.map_or(Presentation::Bearer, Presentation::WithProof);
    let proven = verifier.begin(token, presentation, keys, now)?.check()?;
    let known = Rc::new(Known::of((token, jkt), proven, &seed));
    REMEMBERED.with_borrow_mut(|tokens| tokens.remember(&known, keys, &seed, now));
    Ok(known)
}

/// The issuer's keys.
pub async fn current(config: &Config) -> Option<Arc<KeySet>> {
    keys(config, &mut Turn::default()).await
}

async fn keys(config: &Config, turn: &mut Turn) -> Option<Arc<KeySet>> {
    loop {
        match KEYS.with_borrow_mut(|cache| cache.plan(turn, now())) {
            Plan::Use(keys) => return Some(keys),
            Plan::Fetch(ticket) => refresh(config, ticket).await,
            Plan::Wait(ms) => sleep_ms(ms).await,
            Plan::Unavailable => return None,
        }
    }
}

/// The issuer's endpoints. They come with the keys and are kept even when those are too old.
pub async fn endpoints(config: &Config) -> Option<Metadata> {
    current(config).await;
    METADATA.with_borrow(Clone::clone)
}

/// Fetches, and tells the cache what came of it.
async fn refresh(config: &Config, ticket: Ticket) {
    // Both documents in the time of one: others take a fetch that lasts longer for lost.
    let fetched = http::in_time(fetch(config)).await;
    let reported = match fetched.unwrap_or(Err(RefreshError::Fetch(FetchError::TimedOut))) {
        Ok((metadata, keys)) => KEYS
            .with_borrow_mut(|cache| cache.fetched(ticket, keys, now()))
            .map(|()| METADATA.set(Some(metadata)))
            .map_err(RefreshError::NoKeys),
        Err(error) => {
            KEYS.with_borrow_mut(|cache| cache.failed(ticket, now()));
            Err(error)
        }
    };
    if let Err(error) = reported {
        console_error!("the issuer's keys could not be fetched: {error}");
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
