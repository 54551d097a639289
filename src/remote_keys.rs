//! Keys of others: identity providers, workloads' issuers, clients. Per key set an isolate keeps what
//! it fetched, when it may fetch again, and which keys it looked for in vain.
//!
//! Anybody may become a client and bring a `jwks_uri`, so clients' key sets are kept apart: however many
//! there are, those of the identity provider and of trusts stay.

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

/// The most key sets of a kind that are kept; then the one that was not used for longest goes.
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

/// Whose keys they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Whom an operator named: the identity provider, or the issuer of a trust.
    Issuer,
    /// A client.
    Client,
}

/// What was kept, by name.
struct Kept<T>(HashMap<String, Used<T>>);

struct Used<T> {
    /// Counts uses: a clock may stand still meanwhile.
    turn: u64,
    value: T,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Kept<T> {
    /// What is kept by that name, or else what `new` makes, for which the one that was not used for
    /// longest goes if there are too many.
    fn entry(&mut self, name: &str, new: impl FnOnce() -> T) -> &mut T {
        let last = self.0.values().map(|used| used.turn).max();
        let turn = last.map_or(0, |last| last.saturating_add(1));
        if self.0.len() >= MAX_SETS && !self.0.contains_key(name) {
            let oldest = self.0.iter().min_by_key(|(_, used)| used.turn);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&oldest);
            }
        }
        let entry = self.0.entry(name.to_owned());
        let used = entry.or_insert_with(|| Used { turn, value: new() });
        used.turn = turn;
        &mut used.value
    }
}

thread_local! {
    static PLACES: RefCell<Kept<Option<(UnixMillis, String)>>> = RefCell::default();
    static OF_ISSUERS: RefCell<Kept<KeyCache>> = RefCell::default();
    static OF_CLIENTS: RefCell<Kept<KeyCache>> = RefCell::default();
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

/// Lets `verify` judge `token` by the keys at `jwks_uri`, and once more by fresh ones if its key is not
/// among them.
pub async fn verified_of<T>(
    of: Of,
    jwks_uri: &str,
    token: &str,
    verify: impl Fn(&KeySet) -> Result<T, TokenError>,
) -> Result<Result<T, TokenError>, Unavailable> {
    let first = verify(&*keys(of, jwks_uri).await?);
    let Err(TokenError::UnknownKey) = first else {
        return Ok(first);
    };
    // There may be a new key. A stranger may have invented one: the cache says how often to look.
    let kid = UnverifiedToken::parse(token)
        .ok()
        .and_then(|token| token.kid().map(str::to_owned));
    if !with_cache(of, jwks_uri, |cache| {
        cache.may_look_for(kid.as_deref(), now())
    }) {
        return Ok(first);
    }
    let second = verify(&*fetched(of, jwks_uri).await?);
    if matches!(second, Err(TokenError::UnknownKey)) {
        with_cache(of, jwks_uri, |cache| cache.missed(kid.as_deref(), now()));
    }
    Ok(second)
}

/// Where the keys of `issuer` are, by its provider metadata (OIDC Discovery section 4).
pub async fn discovered(issuer: &str, dev: bool) -> Result<String, Unavailable> {
    let kept = PLACES.with_borrow_mut(|places| {
        let (at, uri) = places.entry(issuer, || None).as_ref()?;
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
        *places.entry(issuer, || None) = Some((now(), metadata.jwks_uri.clone()));
    });
    Ok(metadata.jwks_uri)
}

async fn keys(of: Of, jwks_uri: &str) -> Result<Arc<KeySet>, Unavailable> {
    match with_cache(of, jwks_uri, |cache| cache.plan(now())) {
        Plan::Use(keys) => Ok(keys),
        Plan::Refresh(keys) => Ok(match fetched(of, jwks_uri).await {
            Ok(fresh) => fresh,
            Err(error) => {
                console_error!("{error}");
                keys
            }
        }),
        Plan::Fetch => fetched(of, jwks_uri).await,
        Plan::Unavailable => Err(Unavailable("no keys yet".to_owned())),
    }
}

async fn fetched(of: Of, jwks_uri: &str) -> Result<Arc<KeySet>, Unavailable> {
    let fetched = match outbound::get(jwks_uri).await {
        Ok(bytes) => KeySet::parse(&bytes).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    with_cache(of, jwks_uri, |cache| match fetched {
        Ok(keys) => Ok(cache.fetched(keys, now())),
        Err(why) => {
            cache.failed(now());
            Err(Unavailable(why))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &str = "https://idp.example/jwks";

    /// Whether nothing was ever asked of `jwks_uri`: the first plan is to fetch, which counts, and
    /// after a failure the next is to wait.
    fn is_new(of: Of, jwks_uri: &str) -> bool {
        let at = UnixMillis(1_000_000);
        with_cache(of, jwks_uri, |cache| {
            let is_new = matches!(cache.plan(at), Plan::Fetch);
            cache.failed(at);
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
        assert_eq!(OF_CLIENTS.with_borrow(|sets| sets.0.len()), MAX_SETS);
    }

    #[test]
    fn of_too_many_only_the_one_that_was_not_used_for_longest_goes() {
        let mut kept: Kept<usize> = Kept::default();
        for n in 0..MAX_SETS {
            kept.entry(&n.to_string(), || n);
        }
        kept.entry("0", || 1000);
        kept.entry("one more", || 1001);
        assert_eq!(kept.0.len(), MAX_SETS);
        assert!(kept.0.contains_key("0") && !kept.0.contains_key("1"));
        assert!((2..MAX_SETS).all(|n| kept.0.contains_key(&n.to_string())));
    }
}
