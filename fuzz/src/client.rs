//! What clients bring: redirect URIs, and their own metadata.

use portcullis_core::client::metadata::Origin;
use portcullis_core::client::uri::{is_among, is_fetchable, is_redirect_uri, is_resource};
use portcullis_core::time::UnixMillis;
use serde_json::Value;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// As a redirect URI that is asked for, and as one that is registered.
pub fn redirect_uri(data: &[u8]) {
    let Ok(uri) = str::from_utf8(data) else {
        return;
    };
    let exact = "https://a.example/cb?x=1".to_owned();
    assert_eq!(is_among(std::slice::from_ref(&exact), uri), uri == exact);
    for (origin, path) in [
        ("http://127.0.0.1", "/cb"),
        ("http://[::1]", "/"),
        ("http://localhost", "/cb"),
    ] {
        if is_among(&[format!("{origin}{path}")], uri) {
            let port = uri
                .strip_prefix(origin)
                .and_then(|rest| rest.strip_suffix(path));
            let port = port.expect("another origin or path was allowed");
            assert!(
                port.is_empty() || port.strip_prefix(':').is_some_and(is_port),
                "{port}"
            );
        }
    }
    if is_redirect_uri(uri) {
        assert!(is_among(&[uri.to_owned()], uri));
        assert!(!uri.contains(['#', ' ', '\\', '\n', '\r', '\t', '\0']));
        assert!(!uri.starts_with("javascript:") && !uri.starts_with("data:"));
    }
    if is_fetchable(uri, false) {
        assert!(uri.starts_with("https://") && is_resource(uri));
        assert!(!uri.contains(['@', '#', '\\', '[']));
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>()
        .is_ok_and(|port| port.to_string() == text)
}

/// As the metadata of a client that registers itself, or that is at its own URL.
pub fn client_metadata(data: &[u8]) {
    let Ok(Value::Object(metadata)) = serde_json::from_slice(data) else {
        return;
    };
    let scope = "openid profile";
    for origin in [Origin::Registration { scope }, Origin::Document { scope }] {
        let Ok(client) = origin.client("https://a.example/c", metadata.clone(), NOW, false) else {
            continue;
        };
        assert_eq!(client.client_id, "https://a.example/c");
        assert!(client.redirect_uris.iter().all(|uri| is_redirect_uri(uri)));
        assert!(
            client
                .scopes()
                .all(|asked| scope.split(' ').any(|allowed| allowed == asked))
        );
        assert!(client.needs_consent(), "a stranger is not asked for");
    }
}
