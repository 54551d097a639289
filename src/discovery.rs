//! What identity providers say of themselves (OIDC Discovery section 4), for log-ins and for trusts.
//!
//! One rule for all: the document is at the issuer's own place and names that very issuer; every
//! endpoint that is used is https at a public name, or on loopback in development; nothing is
//! redirected, large or slow ([`outbound`]). An issuer is compared exactly (section 4.3) but for one
//! slash at its end, which tells no two places apart here: both have one document.
//!
//! A document is asked for by one request at a time, is used for an hour, and for a day if it cannot
//! be had; it outlives the isolate ([`kept_documents`]).

use crate::kept::Kept;
use crate::objects::keyring::call::DocumentKind;
use crate::runtime::{now, sleep_ms};
use crate::{kept_documents, outbound};
use portcullis_core::client::uri::is_fetchable;
use portcullis_core::fetch::{Ages, Fetched, Plan, Ticket, Turn};
use serde::Deserialize;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use worker::console_error;

const AGES: Ages = Ages {
    fresh_secs: 3600,
    usable_secs: 24 * 3600,
};
/// The most issuers of which documents are kept; then the one that was not asked of for longest goes.
const MAX_ISSUERS: usize = 100;

/// The document cannot be had, or is not what it must be.
#[derive(Debug)]
pub struct Unavailable(String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "discovery: {}", self.0)
    }
}

/// Provider metadata (OIDC Discovery section 3), what of it log-ins use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The issuer as the provider spells it: its tokens' `iss`.
    pub issuer: String,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where a code becomes tokens.
    pub token_endpoint: String,
    /// Where its keys are.
    pub jwks_uri: String,
    /// Whether its answers to browsers say whose they are (RFC 9207 section 3).
    pub authorization_response_iss_parameter_supported: bool,
}

impl Metadata {
    /// Whether an answer with that `iss` can be this provider's (RFC 9207 section 2.4).
    pub fn may_have_answered(&self, iss: Option<&str>) -> bool {
        match iss {
            Some(iss) => iss.trim_end_matches('/') == self.issuer.trim_end_matches('/'),
            None => !self.authorization_response_iss_parameter_supported,
        }
    }
}

/// A document that was read and judged.
#[derive(Debug, PartialEq, Eq)]
struct Document {
    jwks_uri: String,
    /// `None`: its issuer vouches for workloads and logs nobody in.
    log_in: Option<Rc<Metadata>>,
}

thread_local! {
    static DOCUMENTS: RefCell<Kept<Fetched<Rc<Document>>>> =
        RefCell::new(Kept::at_most(MAX_ISSUERS));
}

fn with_document<T>(issuer: &str, act: impl FnOnce(&mut Fetched<Rc<Document>>) -> T) -> T {
    DOCUMENTS.with_borrow_mut(|documents| act(documents.entry(issuer, || Fetched::new(AGES))))
}

/// The metadata of an issuer that logs people in.
pub async fn discovered(issuer: &str, dev: bool) -> Result<Rc<Metadata>, Unavailable> {
    let document = document(issuer, dev).await?;
    let log_in = document.log_in.as_ref().map(Rc::clone);
    log_in.ok_or_else(|| Unavailable(format!("{issuer} has no endpoints for log-ins")))
}

/// Where the keys of an issuer are.
pub async fn jwks_uri(issuer: &str, dev: bool) -> Result<String, Unavailable> {
    Ok(document(issuer, dev).await?.jwks_uri.clone())
}

async fn document(issuer: &str, dev: bool) -> Result<Rc<Document>, Unavailable> {
    let mut turn = Turn::default();
    loop {
        match with_document(issuer, |document| document.plan(&mut turn, now())) {
            Plan::Use(document) => return Ok(document),
            Plan::Fetch(ticket) => fetch(issuer, dev, ticket).await,
            Plan::Wait(ms) => sleep_ms(ms).await,
            Plan::Unavailable => {
                return Err(Unavailable(format!("{issuer} has no usable document now")));
            }
        }
    }
}

/// Fetches, and tells what came of it. Where a document is needed and none came, the one that another
/// isolate fetched does.
async fn fetch(issuer: &str, dev: bool, ticket: Ticket) {
    let why = match fetched(issuer, dev).await {
        Ok((read, bytes)) => {
            let at = now();
            with_document(issuer, |document| {
                document.fetched(ticket, Rc::new(read), at);
            });
            return kept_documents::keep(DocumentKind::Metadata, issuer, bytes, at).await;
        }
        Err(why) => why,
    };
    console_error!("discovery: {issuer}: {why}");
    let kept = if with_document(issuer, |document| document.has_usable(now())) {
        None
    } else {
        kept_documents::kept(DocumentKind::Metadata, issuer).await
    };
    let kept =
        kept.and_then(|kept| Some((read(&kept.document, issuer, dev).ok()?, kept.fetched_at)));
    with_document(issuer, |document| match kept {
        Some((read, at)) => document.restored(ticket, Rc::new(read), at, now()),
        None => document.failed(ticket, now()),
    });
}

async fn fetched(issuer: &str, dev: bool) -> Result<(Document, Vec<u8>), String> {
    if !is_fetchable(issuer, dev) {
        return Err("the issuer is not https at a public name".to_owned());
    }
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = format!("{base}/.well-known/openid-configuration");
    let bytes = outbound::get(&url).await;
    let bytes = bytes.map_err(|error| error.to_string())?;
    let read = read(&bytes, issuer, dev)?;
    Ok((read, bytes))
}

/// Whether `bytes` are a document of `issuer`, be it on a developer's machine: whoever uses it reads it
/// again.
pub fn is_of(bytes: &[u8], issuer: &str) -> bool {
    read(bytes, issuer, true).is_ok()
}

/// Reads the document that `issuer`'s place gave.
fn read(bytes: &[u8], issuer: &str, dev: bool) -> Result<Document, &'static str> {
    #[derive(Deserialize)]
    struct Read {
        issuer: String,
        jwks_uri: String,
        authorization_endpoint: Option<String>,
        token_endpoint: Option<String>,
        #[serde(default)]
        authorization_response_iss_parameter_supported: bool,
    }
    let read: Read = serde_json::from_slice(bytes).map_err(|_| "the document cannot be read")?;
    let without_slash = |text: &str| text.strip_suffix('/').unwrap_or(text).to_owned();
    if without_slash(&read.issuer) != without_slash(issuer) {
        return Err("the document is of another issuer");
    }
    if !is_fetchable(&read.jwks_uri, dev) {
        return Err("jwks_uri is not https at a public name");
    }
    // An endpoint elsewhere is none. Issuers of workload identities have some for show.
    let public = |uri: Option<String>| uri.filter(|uri| is_fetchable(uri, dev));
    let log_in = public(read.authorization_endpoint)
        .zip(public(read.token_endpoint))
        .map(|(authorization_endpoint, token_endpoint)| {
            Rc::new(Metadata {
                issuer: read.issuer,
                authorization_endpoint,
                token_endpoint,
                jwks_uri: read.jwks_uri.clone(),
                authorization_response_iss_parameter_supported: read
                    .authorization_response_iss_parameter_supported,
            })
        });
    Ok(Document {
        jwks_uri: read.jwks_uri,
        log_in,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://idp.example";

    fn document() -> Value {
        json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://idp.example/auth?p=1",
            "token_endpoint": "https://login.example/token",
            "jwks_uri": "https://keys.example/jwks",
            "authorization_response_iss_parameter_supported": true,
            "response_types_supported": ["code"],
        })
    }

    fn read_as(document: &Value, issuer: &str, dev: bool) -> Result<Document, &'static str> {
        read(document.to_string().as_bytes(), issuer, dev)
    }

    fn with(name: &str, value: impl Into<Value>) -> Value {
        let mut document = document();
        document[name] = value.into();
        document
    }

    #[test]
    fn a_document_says_where_a_log_in_goes() {
        let read = read_as(&document(), ISSUER, false).expect("good");
        let log_in = read.log_in.expect("endpoints");
        assert_eq!(log_in.issuer, ISSUER);
        assert_eq!(log_in.token_endpoint, "https://login.example/token");
        assert_eq!(log_in.jwks_uri, read.jwks_uri);
        assert!(log_in.authorization_response_iss_parameter_supported);
    }

    #[test]
    fn an_answer_without_a_name_counts_only_where_none_was_promised() {
        let log_in = |document: &Value| {
            let read = read_as(document, ISSUER, false).expect("good");
            read.log_in.expect("endpoints")
        };
        let promised = log_in(&document());
        let other = log_in(&with(
            "authorization_response_iss_parameter_supported",
            false,
        ));
        for metadata in [&promised, &other] {
            assert!(metadata.may_have_answered(Some(ISSUER)));
            assert!(!metadata.may_have_answered(Some("https://evil.example")));
            assert!(!metadata.may_have_answered(Some("")));
        }
        assert!(!promised.may_have_answered(None) && other.may_have_answered(None));
    }

    #[test]
    fn a_document_of_another_issuer_counts_for_nothing() {
        for other in [
            "https://idp.example.evil.example",
            "https://evil.example",
            "https://IDP.example",
            "https://idp.example//",
            "https://idp.example/x",
            "http://idp.example",
            "",
        ] {
            let read = read_as(&with("issuer", other), ISSUER, false);
            assert_eq!(read, Err("the document is of another issuer"), "{other}");
        }
    }

    #[test]
    fn one_slash_at_the_end_tells_no_issuers_apart_and_tokens_are_compared_as_the_provider_spells_it()
     {
        let slashed = format!("{ISSUER}/");
        let read = read_as(&with("issuer", slashed.as_str()), ISSUER, false).expect("good");
        assert_eq!(read.log_in.expect("endpoints").issuer, slashed);
        let read = read_as(&document(), &slashed, false).expect("good");
        assert_eq!(read.log_in.expect("endpoints").issuer, ISSUER);
    }

    #[test]
    fn nothing_in_a_private_network_is_an_endpoint() {
        for private in [
            "http://idp.example/x",
            "https://10.0.0.1/x",
            "https://localhost/x",
            "https://metadata.google.internal/x",
            "https://idp.example:8443/x",
            "https://user@idp.example/x",
            "urn:kubernetes:programmatic_authorization",
            "http://127.0.0.1:8789/x",
        ] {
            let read = |name| read_as(&with(name, private), ISSUER, false);
            assert!(read("jwks_uri").is_err(), "{private}");
            for name in ["authorization_endpoint", "token_endpoint"] {
                assert_eq!(
                    read(name).expect("its keys are good").log_in,
                    None,
                    "{private}"
                );
            }
        }
        let local = json!({
            "issuer": "http://127.0.0.1:8789",
            "jwks_uri": "http://127.0.0.1:8789/jwks",
        });
        assert!(read_as(&local, "http://127.0.0.1:8789", true).is_ok());
        assert!(read_as(&local, "http://127.0.0.1:8789", false).is_err());
    }

    #[test]
    fn an_issuer_of_workload_identities_needs_no_more_than_keys() {
        let document = json!({"issuer": ISSUER, "jwks_uri": "https://keys.example/jwks"});
        let read = read_as(&document, ISSUER, false).expect("good");
        assert_eq!(read.log_in, None);
        assert_eq!(read.jwks_uri, "https://keys.example/jwks");
    }

    proptest! {
        #[test]
        fn arbitrary_documents_never_panic_and_are_of_the_issuer_if_they_count(
            bytes: Vec<u8>,
            issuer in "https://[a-z.]{1,12}/?",
            jwks_uri in "https?://[a-z0-9.:@/]{1,20}",
        ) {
            prop_assert!(read(&bytes, ISSUER, false).is_err());
            let document = json!({"issuer": issuer, "jwks_uri": jwks_uri});
            if let Ok(document) = read_as(&document, ISSUER, false) {
                prop_assert_eq!(issuer.trim_end_matches('/'), ISSUER);
                prop_assert!(is_fetchable(&document.jwks_uri, false));
            }
        }
    }
}
