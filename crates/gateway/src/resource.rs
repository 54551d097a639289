//! Protected resource metadata (RFC 9728): how a client that was given nothing but a URL behind this
//! gateway finds out where its tokens come from.
//!
//! Everything behind one gateway is one resource, its `AUDIENCE`. So the document is the same with
//! a path behind the well-known name (section 3.1), which is where clients look first that were given a
//! URL with that path: it names the resource that the path belongs to, and no token could be
//! narrower. A client that insists on the path itself (section 3.3) gets no further than with a 404.
//!
//! `scopes_supported` is left out: a route that needs more says so in its challenge.

use crate::answer::Answer;
use crate::config::Config;
use portcullis_core::jwt::dpop::ALGORITHMS;
use serde_json::json;

/// Where the document is.
pub const METADATA: &str = "/.well-known/oauth-protected-resource";

/// All paths of it, as a pattern.
pub const OURS: &str = "/.well-known/oauth-protected-resource/*";

/// How long it may be kept, in seconds. It changes with a deployment's settings only.
const MAX_AGE: &str = "public, max-age=300";

/// Whether `path` is where the document is, by itself or for a path.
#[must_use]
pub fn is_metadata(path: &str) -> bool {
    path.strip_prefix(METADATA)
        .is_some_and(|behind| behind.is_empty() || behind.starts_with('/'))
}

/// The document (section 2). Pages of any origin may read it: it holds nothing of anybody's.
#[must_use]
pub fn metadata(config: &Config) -> Answer {
    let document = json!({
        "resource": config.audience,
        "authorization_servers": [config.issuer],
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
    });
    Answer::public(document.to_string(), MAX_AGE)
        .with("Access-Control-Allow-Origin", "*".to_owned())
}

/// A page of any origin may read the document, with whatever headers its client adds (the MCP
/// clients' `MCP-Protocol-Version` is one).
#[must_use]
pub fn preflight() -> Answer {
    Answer::empty(204)
        .with("Access-Control-Allow-Origin", "*".to_owned())
        .with("Access-Control-Allow-Methods", "GET".to_owned())
        .with("Access-Control-Allow-Headers", "*".to_owned())
        .with("Access-Control-Max-Age", "86400".to_owned())
}

/// The same answer, where every challenge says where the document is (section 5.1).
#[must_use]
pub fn advertised(mut answer: Answer, config: &Config) -> Answer {
    for (name, value) in &mut answer.headers {
        if *name == "WWW-Authenticate" {
            // After a scheme alone comes a space, after a parameter a comma (RFC 9110 section 11.6.1).
            let separator = if value.contains('=') { ", " } else { " " };
            *value = format!(
                r#"{value}{separator}resource_metadata="{}{METADATA}""#,
                config.audience
            );
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::example;
    use crate::credential::Scheme;
    use portcullis_core::jwt::TokenError;

    fn challenge(answer: Answer) -> Option<String> {
        let answer = advertised(answer, &example());
        let mut values = answer.headers.into_iter();
        values
            .find(|(name, _)| *name == "WWW-Authenticate")
            .map(|(_, value)| value)
    }

    #[test]
    fn the_document_names_the_resource_and_who_issues_for_it() {
        let document: serde_json::Value =
            serde_json::from_str(&metadata(&example()).body).expect("JSON");
        assert_eq!(
            document,
            json!({
                "resource": "https://app.example",
                "authorization_servers": ["https://id.example"],
                "bearer_methods_supported": ["header"],
                "dpop_signing_alg_values_supported": ["ES256", "EdDSA"],
            })
        );
    }

    #[test]
    fn every_challenge_says_where_the_document_is() {
        let location =
            r#"resource_metadata="https://app.example/.well-known/oauth-protected-resource""#;
        assert_eq!(
            challenge(Answer::credential_required()),
            Some(format!("Bearer {location}"))
        );
        assert_eq!(
            challenge(Answer::token_refused(TokenError::Expired, Scheme::Bearer)),
            Some(format!(
                r#"Bearer error="invalid_token", error_description="The access token has expired.", {location}"#
            ))
        );
        assert_eq!(challenge(Answer::unavailable()), None);
    }

    #[test]
    fn pages_of_any_origin_may_read_it_and_add_headers() {
        for answer in [metadata(&example()), preflight()] {
            let origin = ("Access-Control-Allow-Origin", "*".to_owned());
            assert!(answer.headers.contains(&origin), "{answer:?}");
        }
        let any = ("Access-Control-Allow-Headers", "*".to_owned());
        assert!(preflight().headers.contains(&any));
    }
}
