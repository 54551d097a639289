//! Key documents that outlive an isolate, by way of the keyring.
//!
//! An isolate that begins while an identity provider cannot be reached would have no keys, and nobody
//! could log in until it can. So whoever fetches a document hands it to the keyring: one that differs
//! from what this isolate handed over last, and any once in [`KEEP_AGAIN_SECS`], for a document is as old
//! as its fetch. Only places that operators named are kept; there is no room for clients'.

use crate::kept::Kept;
use crate::objects::call;
use crate::objects::keyring::call::{GetKeyDocument, KeepKeyDocument, KeyDocument};
use crate::runtime::{env, in_time};
use portcullis_core::jwt::cache::USABLE_SECS;
use portcullis_core::secret::Digest;
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use std::time::Duration;
use worker::console_error;

/// How often a document that does not change is kept again, in seconds: well before it is too old.
const KEEP_AGAIN_SECS: u64 = USABLE_SECS / 4;
/// How long the keyring may take. A request waits for it, though seldom.
const PATIENCE: Duration = Duration::from_millis(800);
/// Of how many places it is known what was handed over.
const MAX_PLACES: usize = 100;

thread_local! {
    static HANDED_OVER: RefCell<Kept<Option<HandedOver>>> = RefCell::new(Kept::at_most(MAX_PLACES));
}

#[derive(Clone, Copy)]
struct HandedOver {
    digest: Digest,
    at: UnixMillis,
}

impl HandedOver {
    /// Whether another hand-over of `digest` says nothing new.
    fn will_do(self, digest: Digest, now: UnixMillis) -> bool {
        self.digest == digest && self.at <= now && now < self.at.plus_secs(KEEP_AGAIN_SECS)
    }
}

/// Hands a good document over, if that says anything new.
pub async fn keep(jwks_uri: &str, document: Vec<u8>, fetched_at: UnixMillis) {
    let digest = Digest::of(&document);
    if !is_news(jwks_uri, digest, fetched_at) {
        return;
    }
    let keep = KeepKeyDocument {
        jwks_uri: jwks_uri.to_owned(),
        document,
        fetched_at,
    };
    let Some(env) = env() else { return };
    match in_time(PATIENCE, call::keyring(&env, keep)).await {
        Some(Ok(_)) => {}
        failed => {
            console_error!("the keys of {jwks_uri} were not kept: {failed:?}");
            HANDED_OVER.with_borrow_mut(|known| *known.entry(jwks_uri, || None) = None);
        }
    }
}

/// Whether a document says anything new. If so it counts as handed over, so that one request does it.
fn is_news(jwks_uri: &str, digest: Digest, at: UnixMillis) -> bool {
    HANDED_OVER.with_borrow_mut(|known| {
        let known = known.entry(jwks_uri, || None);
        let news = !known.is_some_and(|known| known.will_do(digest, at));
        if news {
            *known = Some(HandedOver { digest, at });
        }
        news
    })
}

/// The document that was kept for a place, if there is one and the keyring answers.
pub async fn kept(jwks_uri: &str) -> Option<KeyDocument> {
    let get = GetKeyDocument {
        jwks_uri: jwks_uri.to_owned(),
    };
    let env = env()?;
    match in_time(PATIENCE, call::keyring(&env, get)).await {
        Some(Ok(kept)) => kept,
        failed => {
            console_error!("kept keys of {jwks_uri} cannot be had: {failed:?}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URI: &str = "https://idp.example/jwks";

    #[test]
    fn a_document_is_handed_over_when_it_differs_and_before_it_is_too_old() {
        let at = |secs| UnixMillis(1_000_000).plus_secs(secs);
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        assert!(is_news(URI, one, at(0)));
        assert!(!is_news(URI, one, at(KEEP_AGAIN_SECS - 1)));
        assert!(is_news(URI, one, at(KEEP_AGAIN_SECS)));
        assert!(is_news(URI, two, at(KEEP_AGAIN_SECS + 1)));
        assert!(is_news(URI, one, at(KEEP_AGAIN_SECS + 2)));
        assert!(is_news("https://other.example/jwks", one, at(0)));
        assert!(is_news(URI, one, at(0)), "a clock that went back");
        // What is kept is used for longer than until it is kept again.
        const { assert!(2 * KEEP_AGAIN_SECS < USABLE_SECS) };
    }
}
