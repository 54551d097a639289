//! Clients by their metadata documents (OAuth Client ID Metadata Document): the `client_id` is the
//! https URL of what the client says of itself, so nobody has to register it.
//!
//! Whoever can be found by a name can be pretended to by a look-alike, so people are always asked for
//! consent, and shown whose the URL is. A document gets no secret and no privilege, and only the scopes
//! that are open to anybody.
//!
//! A document is asked for from its own host only, without redirects, within bounds of size and time.
//! It is remembered for [`FRESH_SECS`]; one that cannot be had is not asked for again for
//! [`RETRY_SECS`], and what was known of it before still does for [`STALE_SECS`]. Where nothing was, a
//! document that is not there or not valid is no client; of one that cannot be had nothing is known.

use crate::config::Config;
use crate::limits::{Limit, allow};
use crate::outbound::{self, Answer};
use crate::runtime::now;
use portcullis_core::client::uri::is_fetchable;
use portcullis_core::client::{Client, Origin};
use portcullis_core::time::UnixMillis;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use url::Url;
use worker::{Env, console_warn};

const FRESH_SECS: u64 = 600;
const RETRY_SECS: u64 = 60;
const STALE_SECS: u64 = 24 * 60 * 60;
/// The largest document.
const MAX_BYTES: usize = 16 * 1024;
/// The most documents that are remembered; then all are forgotten.
const MAX_REMEMBERED: usize = 500;

/// Why no client came of a document.
#[derive(Debug)]
enum Failure {
    /// There is none, or it is not valid: whoever has that URL is no client.
    NoClient(String),
    /// It cannot be had now, which says nothing of it.
    NotHad(String),
}

/// It is not known whether there is such a client.
#[derive(Debug)]
pub struct Unavailable(pub String);

/// What is known of a document.
#[derive(Clone)]
struct Remembered {
    found: Found,
    fetched_at: UnixMillis,
    ask_again_at: UnixMillis,
}

/// What came of asking for a document.
#[derive(Clone)]
enum Found {
    Client(Rc<Client>),
    NoClient,
    NotHad(String),
}

impl Found {
    fn client(self) -> Result<Option<Rc<Client>>, Unavailable> {
        match self {
            Self::Client(client) => Ok(Some(client)),
            Self::NoClient => Ok(None),
            Self::NotHad(why) => Err(Unavailable(why)),
        }
    }
}

impl Remembered {
    /// What is known after asking at `at`, when `before` was known.
    fn after(before: Option<Self>, fetched: Result<Client, Failure>, at: UnixMillis) -> Self {
        let failure = match fetched {
            Ok(client) => {
                return Self {
                    found: Found::Client(Rc::new(client)),
                    fetched_at: at,
                    ask_again_at: at.plus_secs(FRESH_SECS),
                };
            }
            Err(failure) => failure,
        };
        let ask_again_at = at.plus_secs(RETRY_SECS);
        match before.and_then(|before| before.stale(at)) {
            Some(before) => Self {
                ask_again_at,
                ..before
            },
            None => Self {
                found: match failure {
                    Failure::NoClient(_) => Found::NoClient,
                    Failure::NotHad(why) => Found::NotHad(why),
                },
                fetched_at: at,
                ask_again_at,
            },
        }
    }

    /// Itself if it is a client that still does although the document cannot be had.
    fn stale(self, at: UnixMillis) -> Option<Self> {
        let is_client = matches!(self.found, Found::Client(_));
        (is_client && at < self.fetched_at.plus_secs(STALE_SECS)).then_some(self)
    }
}

thread_local! {
    static DOCUMENTS: RefCell<HashMap<String, Remembered>> = RefCell::default();
}

/// Whether `client_id` can be the URL of a document: one that may be fetched, with a path.
pub fn is_document_url(client_id: &str, dev: bool) -> bool {
    is_fetchable(client_id, dev)
        && Url::parse(client_id).is_ok_and(|url| url.as_str() == client_id && url.path() != "/")
}

/// The client that the document at `client_id` describes, if there is one.
pub async fn client(
    env: &Env,
    config: &Config,
    client_id: &str,
) -> Result<Option<Rc<Client>>, Unavailable> {
    let url = Url::parse(client_id).ok();
    let Some(url) = url.filter(|_| is_document_url(client_id, config.dev)) else {
        return Ok(None);
    };
    let at = now();
    let known = DOCUMENTS.with_borrow(|documents| documents.get(client_id).cloned());
    if let Some(known) = known.as_ref().filter(|known| at < known.ask_again_at) {
        return known.found.clone().client();
    }
    // A stranger chooses where this goes: not often to one place.
    let host = url.host_str().unwrap_or_default();
    let limit = Limit::Client {
        id: host,
        address: None,
    };
    if !allow(env, limit).await {
        // It says nothing of the document, so it is not remembered.
        let stale = known.and_then(|known| known.stale(at));
        let found = stale.map_or(Found::NotHad("too many".to_owned()), |known| known.found);
        return found.client();
    }
    let fetched = fetch(config, client_id).await;
    if let Err(Failure::NoClient(why) | Failure::NotHad(why)) = &fetched {
        console_warn!("client document of {host}: {why}");
    }
    let remembered = Remembered::after(known, fetched, at);
    let found = remembered.found.clone();
    DOCUMENTS.with_borrow_mut(|documents| {
        if documents.len() >= MAX_REMEMBERED {
            documents.clear();
        }
        documents.insert(client_id.to_owned(), remembered);
    });
    found.client()
}

async fn fetch(config: &Config, client_id: &str) -> Result<Client, Failure> {
    let answer = outbound::answer_of(client_id, MAX_BYTES).await;
    let answer = answer.map_err(|error| Failure::NotHad(error.to_string()))?;
    let document = document(answer)?;
    described(config, client_id, &document).map_err(Failure::NoClient)
}

/// The document in an answer. One that is elsewhere is none: nobody follows it there.
fn document(answer: Answer) -> Result<Vec<u8>, Failure> {
    match (answer.status, answer.body) {
        (200, Some(body)) => Ok(body),
        (200, None) => Err(Failure::NoClient("too large".to_owned())),
        (status @ (300..400 | 404 | 410), _) => Err(Failure::NoClient(format!("status {status}"))),
        (status, _) => Err(Failure::NotHad(format!("status {status}"))),
    }
}

fn described(config: &Config, client_id: &str, document: &[u8]) -> Result<Client, String> {
    let metadata: Map<String, Value> =
        serde_json::from_slice(document).map_err(|_| "no JSON object".to_owned())?;
    // As text: a document that calls itself something else is somebody else's.
    if metadata.get("client_id").and_then(Value::as_str) != Some(client_id) {
        return Err("its client_id is not its URL".to_owned());
    }
    let scope = &config.registration.scope;
    Origin::Document { scope }
        .client(client_id, metadata, UnixMillis(0), config.dev)
        .map_err(|invalid| invalid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::dev;
    use serde_json::json;

    const URL: &str = "https://app.example/client.json";

    fn read(document: &Value) -> Result<Client, String> {
        described(&dev(), URL, document.to_string().as_bytes())
    }

    #[test]
    fn a_document_must_name_its_own_url_exactly() {
        let document =
            |id: Value| json!({"client_id": id, "redirect_uris": ["https://app.example/cb"]});
        let client = read(&document(URL.into())).expect("valid");
        assert_eq!(client.client_id, URL);
        assert!(client.is_public() && client.needs_consent());
        for other in [
            json!("https://app.example/client.json/"),
            json!("https://APP.example/client.json"),
            json!("https://evil.example/client.json"),
            json!(null),
            json!([URL]),
        ] {
            assert!(read(&document(other.clone())).is_err(), "{other}");
        }
        assert!(described(&dev(), URL, b"[]").is_err());
        assert!(described(&dev(), URL, b"<html>").is_err());
    }

    /// What is remembered after `status` when `before` was.
    fn after(before: Option<Remembered>, status: u16, at: UnixMillis) -> Remembered {
        let body = json!({"client_id": URL, "redirect_uris": ["https://app.example/cb"]});
        let body = (status == 200).then(|| body.to_string().into_bytes());
        let fetched = document(Answer { status, body })
            .and_then(|body| described(&dev(), URL, &body).map_err(Failure::NoClient));
        Remembered::after(before, fetched, at)
    }

    #[test]
    fn only_a_document_that_is_not_there_or_not_valid_is_no_client() {
        let at = UnixMillis(1_000_000);
        assert!(matches!(after(None, 200, at).found.client(), Ok(Some(_))));
        for status in [301, 302, 404, 410] {
            let found = after(None, status, at).found.client();
            assert!(matches!(found, Ok(None)), "{status}");
        }
        for status in [401, 403, 429, 500, 502, 503, 504] {
            let found = after(None, status, at).found.client();
            assert!(found.is_err(), "{status}");
        }
        let timed_out = Err(Failure::NotHad("timed out".to_owned()));
        assert!(
            Remembered::after(None, timed_out, at)
                .found
                .client()
                .is_err()
        );
        let large = Answer {
            status: 200,
            body: None,
        };
        assert!(matches!(document(large), Err(Failure::NoClient(_))));
    }

    #[test]
    fn a_client_from_before_does_for_a_day_while_its_document_cannot_be_had() {
        let at = UnixMillis(1_000_000);
        let mut known = after(None, 200, at);
        for secs in [FRESH_SECS, FRESH_SECS + RETRY_SECS, STALE_SECS - 1] {
            known = after(Some(known), 503, at.plus_secs(secs));
            assert!(matches!(known.found, Found::Client(_)), "{secs}");
            assert_eq!(known.ask_again_at, at.plus_secs(secs + RETRY_SECS));
        }
        let end = at.plus_secs(STALE_SECS);
        let gone = after(Some(known.clone()), 404, end);
        assert!(matches!(gone.found.client(), Ok(None)));
        // What is not known is not remembered as if it were.
        let unknown = after(Some(known), 503, end);
        assert!(unknown.found.clone().client().is_err());
        let back = after(Some(unknown), 200, end.plus_secs(RETRY_SECS));
        assert!(matches!(back.found, Found::Client(_)));
    }

    #[test]
    fn only_a_url_with_a_path_that_may_be_fetched_is_a_document() {
        assert!(is_document_url(URL, false));
        assert!(is_document_url("http://127.0.0.1:8790/client.json", true));
        for other in [
            "demo-app",
            "https://app.example",
            "https://app.example/",
            "https://app.example/a/../b",
            "https://app.example/c#f",
            "https://127.0.0.1/client.json",
            "http://127.0.0.1:8790/client.json",
            "https://db.internal/client.json",
            "https://app.example:8443/client.json",
        ] {
            assert!(!is_document_url(other, false), "{other}");
        }
    }
}
