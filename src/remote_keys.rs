//! Keys of others: identity providers, workloads' issuers, clients. Per key set an isolate keeps what
//! it fetched, when it may fetch again, and which keys it looked for in vain. What was fetched for an
//! issuer outlives the isolate ([`kept_documents`]).
//!
//! Anybody may become a client and bring a `jwks_uri`, so clients' key sets are kept apart: however many
//! there are, those of the identity provider and of trusts stay.

use crate::kept::Kept;
use crate::objects::keyring::call::DocumentKind;
use crate::runtime::{now, sleep_ms};
use crate::{kept_documents, outbound};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::cache::{KeyCache, Look, NoKeys, Plan, Ticket, Turn};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use worker::console_error;

/// The most key sets of a kind that are kept; then the one that was not used for longest goes.
const MAX_SETS: usize = 100;

/// The keys cannot be had, so nothing is known of the token.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whose keys they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Whom an operator named: the identity provider, or the issuer of a trust.
    Issuer,
    /// A client.
    Client,
}

thread_local! {
    static OF_ISSUERS: RefCell<Kept<KeyCache>> = RefCell::new(Kept::at_most(MAX_SETS));
    static OF_CLIENTS: RefCell<Kept<KeyCache>> = RefCell::new(Kept::at_most(MAX_SETS));
}

fn with_cache<T>(of: Of, jwks_uri: &str, act: impl FnOnce(&mut KeyCache) -> T) -> T {
    let sets = match of {
        Of::Issuer => &OF_ISSUERS,
        Of::Client => &OF_CLIENTS,
    };
    sets.with_borrow_mut(|sets| act(sets.entry(jwks_uri, KeyCache::default)))
}

/// The same as [`verified_of`], for the keys of an issuer that an operator named.
pub async fn verified<T>(
    jwks_uri: &str,
    token: &str,
    verify: impl Fn(&KeySet) -> Result<T, TokenError>,
) -> Result<Result<T, TokenError>, Unavailable> {
    verified_of(Of::Issuer, jwks_uri, token, verify).await
}

/// Lets `verify` judge `token` by the keys at `jwks_uri`, and again by newer ones if its key is not among
/// them: a rotation at its issuer is no reason to refuse it.
pub async fn verified_of<T>(
    of: Of,
    jwks_uri: &str,
    token: &str,
    verify: impl Fn(&KeySet) -> Result<T, TokenError>,
) -> Result<Result<T, TokenError>, Unavailable> {
    judged(of, jwks_uri, token, |keys| verify(keys)).await
}

/// The same for a `judge` that remembers by which keys it did: the very same mean the same.
pub async fn judged<T>(
    of: Of,
    jwks_uri: &str,
    token: &str,
    judge: impl Fn(&Arc<KeySet>) -> Result<T, TokenError>,
) -> Result<Result<T, TokenError>, Unavailable> {
    let mut turn = Turn::default();
    let mut judged = judge(&keys(of, jwks_uri, &mut turn).await?);
    if !matches!(judged, Err(TokenError::UnknownKey)) {
        return Ok(judged);
    }
    // There may be a new key. A stranger may have invented one: the cache says how often to look.
    let kid = UnverifiedToken::parse(token)
        .ok()
        .and_then(|token| token.kid().map(str::to_owned));
    let mut failure = None;
    while matches!(judged, Err(TokenError::UnknownKey)) {
        let look = |cache: &mut KeyCache| cache.look_for(kid.as_deref(), &mut turn, now());
        match with_cache(of, jwks_uri, look) {
            Look::Judge(keys) => {
                failure = None;
                judged = judge(&keys);
            }
            Look::Fetch(ticket) => failure = fetch(of, jwks_uri, ticket).await.err(),
            Look::Wait(ms) => sleep_ms(ms).await,
            Look::No => break,
        }
    }
    failure.map_or(Ok(judged), Err)
}

async fn keys(of: Of, jwks_uri: &str, turn: &mut Turn) -> Result<Arc<KeySet>, Unavailable> {
    let mut failure = None;
    loop {
        match with_cache(of, jwks_uri, |cache| cache.plan(turn, now())) {
            Plan::Use(keys) => return Ok(keys),
            Plan::Fetch(ticket) => failure = fetch(of, jwks_uri, ticket).await.err(),
            Plan::Wait(ms) => sleep_ms(ms).await,
            Plan::Unavailable => {
                return Err(failure.unwrap_or_else(|| Unavailable("no keys yet".to_owned())));
            }
        }
    }
}

/// Fetches, and tells the cache what came of it. Where keys are needed and none came, those that another
/// isolate fetched do.
async fn fetch(of: Of, jwks_uri: &str, ticket: Ticket) -> Result<(), Unavailable> {
    let why = match fetched(jwks_uri).await {
        Ok((keys, document)) => {
            let at = now();
            let reported = with_cache(of, jwks_uri, |cache| cache.fetched(ticket, keys, at));
            if reported.is_ok() && of == Of::Issuer {
                kept_documents::keep(DocumentKind::Keys, jwks_uri, document, at).await;
            }
            return reported.map_err(|error| Unavailable(error.to_string()));
        }
        Err(why) => why,
    };
    console_error!("keys of {jwks_uri}: {why}");
    let kept = match of {
        Of::Issuer if !with_cache(of, jwks_uri, |cache| cache.has_usable(now())) => {
            kept_documents::kept(DocumentKind::Keys, jwks_uri).await
        }
        _ => None,
    };
    let kept = kept.and_then(|kept| Some((KeySet::parse(&kept.document).ok()?, kept.fetched_at)));
    with_cache(of, jwks_uri, |cache| match kept {
        Some((keys, at)) => cache.restored(ticket, keys, at, now()),
        None => cache.failed(ticket, now()),
    });
    Err(Unavailable(why))
}

/// The keys at a place, and the document that they are from.
async fn fetched(jwks_uri: &str) -> Result<(KeySet, Vec<u8>), String> {
    let document = outbound::get(jwks_uri).await;
    let document = document.map_err(|error| error.to_string())?;
    let keys = KeySet::parse(&document).map_err(|error| error.to_string())?;
    if keys.is_empty() {
        return Err(NoKeys.to_string());
    }
    Ok((keys, document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::time::UnixMillis;

    const PROVIDER: &str = "https://idp.example/jwks";

    /// Whether nothing was ever asked of `jwks_uri`: the first is told to fetch, which counts, and
    /// after a failure the next to wait.
    fn is_new(of: Of, jwks_uri: &str) -> bool {
        let at = UnixMillis(1_000_000);
        with_cache(of, jwks_uri, |cache| {
            let told = cache.plan(&mut Turn::default(), at);
            let is_new = matches!(told, Plan::Fetch(_));
            if let Plan::Fetch(ticket) = told {
                cache.failed(ticket, at);
            }
            is_new
        })
    }

    #[test]
    fn however_many_clients_bring_keys_those_of_issuers_stay() {
        assert!(is_new(Of::Issuer, PROVIDER));
        for n in 0..3 * MAX_SETS {
            assert!(is_new(Of::Client, &format!("https://a.example/{n}")));
        }
        assert!(!is_new(Of::Issuer, PROVIDER));
        assert!(is_new(Of::Client, PROVIDER), "a client's are its own");
        assert_eq!(OF_CLIENTS.with_borrow(Kept::len), MAX_SETS);
    }
}
