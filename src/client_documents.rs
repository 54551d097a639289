//! Clients by their metadata documents (OAuth Client ID Metadata Document): the `client_id` is the
//! https URL of what the client says of itself, so nobody has to register it.
//!
//! Whoever can be found by a name can be pretended to by a look-alike, so people are always asked for
//! consent, and shown whose the URL is. A document gets no secret and no privilege, and only the scopes
//! that are open to anybody.
//!
//! A document is asked for from its own host only, without redirects, within bounds of size and time.
//! It is remembered for [`FRESH_SECS`]; one that cannot be had is not asked for again for
//! [`RETRY_SECS`], and what was known of it before still does for [`STALE_SECS`].

use crate::config::Config;
use crate::limits::{Limit, allow};
use crate::outbound;
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

/// What is known of a document.
struct Remembered {
    client: Option<Rc<Client>>,
    fetched_at: UnixMillis,
    ask_again_at: UnixMillis,
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
pub async fn client(env: &Env, config: &Config, client_id: &str) -> Option<Rc<Client>> {
    if !is_document_url(client_id, config.dev) {
        return None;
    }
    let at = now();
    let known = DOCUMENTS.with_borrow(|documents| {
        let known = documents.get(client_id)?;
        Some((known.client.clone(), known.fetched_at, known.ask_again_at))
    });
    if let Some((client, _, ask_again_at)) = &known
        && at < *ask_again_at
    {
        return client.clone();
    }
    // A stranger chooses where this goes: not often to one place.
    let url = Url::parse(client_id).ok()?;
    let host = url.host_str().unwrap_or_default();
    let fetched = if allow(
        env,
        Limit::Client {
            id: host,
            address: None,
        },
    )
    .await
    {
        fetch(config, client_id).await
    } else {
        Err("too many".to_owned())
    };
    let remembered = match fetched {
        Ok(client) => Remembered {
            client: Some(Rc::new(client)),
            fetched_at: at,
            ask_again_at: at.plus_secs(FRESH_SECS),
        },
        Err(why) => {
            console_warn!("client document of {host}: {why}");
            let before =
                known.filter(|(_, at_that_time, _)| at < at_that_time.plus_secs(STALE_SECS));
            Remembered {
                fetched_at: before.as_ref().map_or(at, |(_, then, _)| *then),
                client: before.and_then(|(client, _, _)| client),
                ask_again_at: at.plus_secs(RETRY_SECS),
            }
        }
    };
    let client = remembered.client.clone();
    DOCUMENTS.with_borrow_mut(|documents| {
        if documents.len() >= MAX_REMEMBERED {
            documents.clear();
        }
        documents.insert(client_id.to_owned(), remembered);
    });
    client
}

async fn fetch(config: &Config, client_id: &str) -> Result<Client, String> {
    let bytes = outbound::get_at_most(client_id, MAX_BYTES)
        .await
        .map_err(|error| error.to_string())?;
    described(config, client_id, &bytes)
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
