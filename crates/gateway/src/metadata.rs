//! What the service says of itself (RFC 8414), and where it says so.
//!
//! The endpoints must be of the issuer's own origin. Ours are, and a document that sent log-ins or
//! key fetches elsewhere would be a mistake or an attack.

use serde::Deserialize;
use url::Url;

/// The endpoints that the gateway uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Where browsers log in.
    pub authorization_endpoint: Url,
    /// Where a code becomes tokens.
    pub token_endpoint: Url,
    /// Where a session is ended.
    pub end_session_endpoint: Url,
    /// The keys.
    pub jwks_uri: Url,
}

/// The document is not what this issuer says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMetadata;

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    end_session_endpoint: Url,
    jwks_uri: Url,
}

/// Where the document is: the well-known name goes between host and path (section 3.1).
#[must_use]
pub fn location(issuer: &str) -> Option<Url> {
    let mut url = Url::parse(issuer).ok()?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    Some(url)
}

impl Metadata {
    /// Reads the document of `issuer`, which must name itself so (section 3.3).
    pub fn parse(json: &[u8], issuer: &str) -> Result<Self, InvalidMetadata> {
        let document: Document = serde_json::from_slice(json).map_err(|_| InvalidMetadata)?;
        let origin = Url::parse(issuer).map_err(|_| InvalidMetadata)?.origin();
        let endpoints = [
            &document.authorization_endpoint,
            &document.token_endpoint,
            &document.end_session_endpoint,
            &document.jwks_uri,
        ];
        let at_home = endpoints.into_iter().all(|url| url.origin() == origin);
        if document.issuer != issuer || !at_home {
            return Err(InvalidMetadata);
        }
        Ok(Self {
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            end_session_endpoint: document.end_session_endpoint,
            jwks_uri: document.jwks_uri,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ISSUER: &str = "https://id.example";

    fn document() -> Value {
        json!({
            "issuer": ISSUER, "authorization_endpoint": "https://id.example/authorize",
            "token_endpoint": "https://id.example/token", "jwks_uri": "https://id.example/jwks",
            "end_session_endpoint": "https://id.example/logout", "scopes_supported": ["openid"],
        })
    }

    fn parse(document: &Value) -> Result<Metadata, InvalidMetadata> {
        Metadata::parse(document.to_string().as_bytes(), ISSUER)
    }

    #[test]
    fn a_document_of_the_issuer_s_own_is_read() {
        let metadata = parse(&document()).expect("valid");
        assert_eq!(metadata.token_endpoint.as_str(), "https://id.example/token");
    }

    #[test]
    fn foreign_issuers_and_endpoints_are_refused() {
        for (name, value) in [
            ("issuer", "https://id.example/"),
            ("issuer", "https://evil.example"),
            ("jwks_uri", "https://evil.example/jwks"),
            ("jwks_uri", "http://id.example/jwks"),
            ("jwks_uri", "https://id.example:8443/jwks"),
            ("token_endpoint", "https://id.example.evil.example/token"),
            ("authorization_endpoint", "/authorize"),
        ] {
            let mut changed = document();
            changed[name] = json!(value);
            assert_eq!(parse(&changed), Err(InvalidMetadata), "{name} {value}");
        }
        assert_eq!(Metadata::parse(b"{}", ISSUER), Err(InvalidMetadata));
    }

    #[test]
    fn the_well_known_name_goes_before_the_issuer_s_path() {
        let at = |issuer| location(issuer).map(String::from);
        assert_eq!(
            at("https://id.example").as_deref(),
            Some("https://id.example/.well-known/oauth-authorization-server")
        );
        assert_eq!(
            at("https://id.example/a").as_deref(),
            Some("https://id.example/.well-known/oauth-authorization-server/a")
        );
    }
}
