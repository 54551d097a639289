//! Documents of others that outlive an isolate, by way of the keyring: key sets, and the metadata that says
//! where those are.
//!
//! An isolate that begins while an identity provider cannot be reached would have no keys, and nothing
//! that the provider signed would count until it can. So whoever fetches a document hands it to the keyring: one that differs
//! from what this isolate handed over last, and any once in [`KEEP_AGAIN_SECS`], for a document is as old
//! as its fetch. Only what operators named is kept; there is no room for clients'.

use crate::kept::Kept;
use crate::objects::call;
use crate::objects::keyring::call::{Document, DocumentKind, GetDocument, KeepDocument};
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
/// Of how many documents it is known what was handed over.
const MAX_KNOWN: usize = 200;

thread_local! {
    static HANDED_OVER: RefCell<Kept<Option<HandedOver>>> = RefCell::new(Kept::at_most(MAX_KNOWN));
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
pub async fn keep(kind: DocumentKind, name: &str, document: Vec<u8>, fetched_at: UnixMillis) {
    let digest = Digest::of(&document);
    if !is_news(kind, name, digest, fetched_at) {
        return;
    }
    let keep = KeepDocument {
        kind,
        name: name.to_owned(),
        document,
        fetched_at,
    };
    let Some(env) = env() else { return };
    match in_time(PATIENCE, call::keyring(&env, keep)).await {
        Some(Ok(_)) => {}
        failed => {
            console_error!("{kind:?} of {name} were not kept: {failed:?}");
            known(kind, name, |known| *known = None);
        }
    }
}

/// Whether a document says anything new. If so it counts as handed over, so that one request does it.
fn is_news(kind: DocumentKind, name: &str, digest: Digest, at: UnixMillis) -> bool {
    known(kind, name, |known| {
        let news = !known.is_some_and(|known| known.will_do(digest, at));
        if news {
            *known = Some(HandedOver { digest, at });
        }
        news
    })
}

fn known<T>(kind: DocumentKind, name: &str, act: impl FnOnce(&mut Option<HandedOver>) -> T) -> T {
    let name = format!("{} {name}", kind.number());
    HANDED_OVER.with_borrow_mut(|known| act(known.entry(&name, || None)))
}

/// The document that was kept under a name, if there is one and the keyring answers.
pub async fn kept(kind: DocumentKind, name: &str) -> Option<Document> {
    let get = GetDocument {
        kind,
        name: name.to_owned(),
    };
    let env = env()?;
    match in_time(PATIENCE, call::keyring(&env, get)).await {
        Some(Ok(kept)) => kept,
        failed => {
            console_error!("kept {kind:?} of {name} cannot be had: {failed:?}");
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
        let is_news = |name, digest, at| is_news(DocumentKind::Keys, name, digest, at);
        assert!(is_news(URI, one, at(0)));
        assert!(!is_news(URI, one, at(KEEP_AGAIN_SECS - 1)));
        assert!(is_news(URI, one, at(KEEP_AGAIN_SECS)));
        assert!(is_news(URI, two, at(KEEP_AGAIN_SECS + 1)));
        assert!(is_news(URI, one, at(KEEP_AGAIN_SECS + 2)));
        assert!(is_news("https://other.example/jwks", one, at(0)));
        assert!(is_news(URI, one, at(0)), "a clock that went back");
        let metadata = super::is_news(DocumentKind::Metadata, URI, one, at(0));
        assert!(metadata, "another document by the same name");
        // What is kept is used for longer than until it is kept again.
        const { assert!(2 * KEEP_AGAIN_SECS < USABLE_SECS) };
    }
}
