//! What the gateway says itself: problems to programs (RFC 9457), pages to people.
//!
//! Neither says more than the reader can act on. Causes are in the log.

use crate::credential::Scheme;
use crate::proof::ProofError;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::dpop::ALGORITHMS;
use portcullis_core::session::check::DenyReason;
use serde_json::json;

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// 401 to a request without a usable credential: no error code (RFC 6750 section 3.1).
    #[must_use]
    pub fn credential_required() -> Self {
        Self::problem(401, "Unauthorized", "An access token is required.")
            .challenging(Scheme::Bearer, None)
    }

    /// 400 to a request with several credentials, or one that cannot be a token.
    #[must_use]
    pub fn malformed_credential() -> Self {
        let detail = "The credential is malformed, or there are several.";
        let challenge = format!(r#"Bearer error="invalid_request", error_description="{detail}""#);
        Self::problem(400, "Bad Request", detail).with("WWW-Authenticate", challenge)
    }

    /// 401 to a token that does not verify, in the scheme that it came by.
    #[must_use]
    pub fn token_refused(why: TokenError, scheme: Scheme) -> Self {
        let detail = match why {
            TokenError::Expired => "The access token has expired.",
            TokenError::NotYetValid => "The access token is not valid yet.",
            TokenError::Issuer | TokenError::Audience => {
                "The access token is not for this resource."
            }
            TokenError::ProofRequired => {
                "The access token is bound to a key; no proof was accepted."
            }
            TokenError::Binding => "The access token is not bound to the key of the proof.",
            TokenError::Malformed
            | TokenError::TooLarge
            | TokenError::Algorithm
            | TokenError::UnknownKey
            | TokenError::Signature
            | TokenError::Type
            | TokenError::Claims
            | TokenError::Nonce
            | TokenError::Request
            | TokenError::Lifetime => "The access token is not valid.",
        };
        Self::refused(scheme, ("invalid_token", detail), why.as_str())
    }

    /// 401 to a proof that is not good, or came before (RFC 9449 section 7.1).
    #[must_use]
    pub fn proof_refused(why: ProofError) -> Self {
        let detail = match why {
            ProofError::NotOne => "One DPoP proof is required.",
            ProofError::Replayed => "The DPoP proof has been used.",
            ProofError::Bad(TokenError::Expired | TokenError::NotYetValid) => {
                "The DPoP proof was not made just now."
            }
            ProofError::Bad(TokenError::Request) => "The DPoP proof is for another request.",
            ProofError::Bad(_) => "The DPoP proof is not valid.",
        };
        let error = ("invalid_dpop_proof", detail);
        Self::refused(Scheme::Dpop, error, &why.reason())
    }

    /// 401 to a token that verified and is no longer in force.
    #[must_use]
    pub fn denied(why: DenyReason, scheme: Scheme) -> Self {
        let detail = match why {
            DenyReason::SubjectDisabled => "The account is disabled.",
            DenyReason::SessionUnknown | DenyReason::SessionEnded => "The session has ended.",
            DenyReason::SessionExpired => "The session has expired.",
            DenyReason::TokenRevoked
            | DenyReason::GenerationStale
            | DenyReason::KeyRevoked
            | DenyReason::ActorDenied
            | DenyReason::IssuedBeforeKill
            | DenyReason::ConnectionRevoked => "The access token has been revoked.",
        };
        Self::refused(scheme, ("invalid_token", detail), why.as_str())
    }

    /// 403 to what only a page of this origin may do.
    #[must_use]
    pub fn cross_origin() -> Self {
        Self::problem(403, "Forbidden", "Only a page of this origin may do this.")
    }

    /// 403 to somebody who is known and may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::problem(403, "Forbidden", "Your account may not do this.")
    }

    /// The same to a person.
    #[must_use]
    pub fn forbidden_page() -> Self {
        let text = "Your account may not open this page.";
        Self::page(403, "Not for this account", text, None)
    }

    /// 403 to a token that was granted less than is required here (RFC 6750 section 3.1).
    #[must_use]
    pub fn insufficient_scope(required: &[String], scheme: Scheme) -> Self {
        let detail = "The access token was not granted what this requires.";
        let scope = required.join(" ");
        let scheme = match scheme {
            Scheme::Bearer => "Bearer",
            Scheme::Dpop => "DPoP",
        };
        let challenge = format!(
            r#"{scheme} error="insufficient_scope", error_description="{detail}", scope="{scope}""#
        );
        Self::problem(403, "Forbidden", detail).with("WWW-Authenticate", challenge)
    }

    /// 400 to a path that servers read in more than one way.
    #[must_use]
    pub fn unclear_path() -> Self {
        let detail = "The path is not written in the one way that every server reads alike.";
        Self::problem(400, "Bad Request", detail)
    }

    /// 403 to a request that should never have reached a development setup.
    #[must_use]
    pub fn loopback_only() -> Self {
        Self::problem(403, "Forbidden", "This gateway answers on loopback only.")
    }

    /// 404 to what no route is for.
    #[must_use]
    pub fn not_found() -> Self {
        Self::problem(404, "Not Found", "There is nothing here.")
    }

    /// 405 to a path that is for other methods: these.
    #[must_use]
    pub fn wrong_method(allowed: &[&str]) -> Self {
        Self::problem(405, "Method Not Allowed", "Another method is needed here.")
            .with("Allow", allowed.join(", "))
    }

    /// 502: the origin did not answer.
    #[must_use]
    pub fn origin_unreachable() -> Self {
        Self::problem(502, "Bad Gateway", "The origin did not answer.")
    }

    /// 503: we could not ask what must be asked. Nothing was forwarded.
    #[must_use]
    pub fn unavailable() -> Self {
        Self::problem(503, "Service Unavailable", "Try again shortly.")
            .with("Retry-After", "1".to_owned())
    }

    /// 200: the Worker runs and is configured.
    #[must_use]
    pub fn healthy() -> Self {
        Self::new(
            200,
            "application/json",
            json!({ "status": "ok" }).to_string(),
        )
    }

    /// 200 with a JSON document that is the same for everybody, to be kept as `cache_control` says.
    #[must_use]
    pub fn public(document: String, cache_control: &str) -> Self {
        Self {
            status: 200,
            headers: vec![
                ("Content-Type", "application/json".to_owned()),
                ("Cache-Control", cache_control.to_owned()),
            ],
            body: document,
        }
    }

    /// A status and nothing more.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A redirect, which no cache may keep.
    #[must_use]
    pub fn redirect(status: u16, location: String) -> Self {
        Self::new(status, "text/plain;charset=utf-8", String::new())
            .with("Location", location)
            .with("Referrer-Policy", "no-referrer".to_owned())
    }

    /// A page for a person: a heading, a sentence, and where to go from there.
    #[must_use]
    pub fn page(status: u16, heading: &str, text: &str, link: Option<(&str, &str)>) -> Self {
        let link = link.map_or(String::new(), |(href, label)| {
            format!(
                "\n<p><a href=\"{}\">{}</a></p>",
                escaped(href),
                escaped(label)
            )
        });
        let (heading, text) = (escaped(heading), escaped(text));
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{heading}</title>\n\
             <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:36em;margin:4em auto;\
             padding:0 1em;color-scheme:light dark}}</style>\n\
             <main>\n<h1>{heading}</h1>\n<p>{text}</p>{link}\n</main>\n</html>\n"
        );
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";
        Self::new(status, "text/html;charset=utf-8", html)
            .with("Content-Security-Policy", policy.to_owned())
            .with("Referrer-Policy", "no-referrer".to_owned())
            .with("X-Content-Type-Options", "nosniff".to_owned())
    }

    /// The same answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn refused(scheme: Scheme, error: (&str, &str), reason: &str) -> Self {
        let body = json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401, "detail": error.1,
            "reason": reason,
        });
        Self::new(401, "application/problem+json", body.to_string())
            .challenging(scheme, Some(error))
    }

    /// Both schemes, the one that was used first and with the error, if there is one.
    fn challenging(self, scheme: Scheme, error: Option<(&str, &str)>) -> Self {
        let error = error.map_or(String::new(), |(code, detail)| {
            format!(r#"error="{code}", error_description="{detail}""#)
        });
        let bearer = |parameters: &str| format!("Bearer {parameters}").trim_end().to_owned();
        let dpop = |parameters: &str| {
            let separator = if parameters.is_empty() { "" } else { ", " };
            let algorithms = ALGORITHMS.join(" ");
            format!(r#"DPoP {parameters}{separator}algs="{algorithms}""#)
        };
        let challenges = match scheme {
            Scheme::Bearer => [bearer(&error), dpop("")],
            Scheme::Dpop => [dpop(&error), bearer("")],
        };
        challenges
            .into_iter()
            .fold(self, |answer, value| answer.with("WWW-Authenticate", value))
    }

    fn problem(status: u16, title: &str, detail: &str) -> Self {
        let body = json!({
            "type": "about:blank", "title": title, "status": status, "detail": detail,
        });
        Self::new(status, "application/problem+json", body.to_string())
    }

    fn new(status: u16, content_type: &str, body: String) -> Self {
        Self {
            status,
            headers: vec![
                ("Content-Type", content_type.to_owned()),
                ("Cache-Control", "no-store".to_owned()),
            ],
            body,
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        let found = answer.headers.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_challenge_names_an_error_only_if_a_token_was_sent() {
        let required = Answer::credential_required();
        assert_eq!(
            (required.status, header(&required, "WWW-Authenticate")),
            (401, Some("Bearer"))
        );
        let refused = Answer::token_refused(TokenError::Expired, Scheme::Bearer);
        assert_eq!(
            header(&refused, "WWW-Authenticate"),
            Some(
                r#"Bearer error="invalid_token", error_description="The access token has expired.""#
            )
        );
        assert_eq!(
            refused.body,
            r#"{"detail":"The access token has expired.","reason":"expired","status":401,"title":"Unauthorized","type":"about:blank"}"#
        );
    }

    #[test]
    fn a_token_that_was_granted_too_little_is_told_what_it_needs() {
        let answer =
            Answer::insufficient_scope(&["read".to_owned(), "write".to_owned()], Scheme::Bearer);
        assert_eq!(answer.status, 403);
        assert_eq!(
            header(&answer, "WWW-Authenticate"),
            Some(
                "Bearer error=\"insufficient_scope\", error_description=\"The access token was \
                 not granted what this requires.\", scope=\"read write\""
            )
        );
    }

    #[test]
    fn the_scheme_that_was_used_comes_first_with_the_error_and_the_other_is_offered() {
        let challenges = |answer: Answer| -> Vec<String> {
            let challenge = |(name, value)| (name == "WWW-Authenticate").then_some(value);
            answer.headers.into_iter().filter_map(challenge).collect()
        };
        let offered = r#"DPoP algs="ES256 EdDSA""#;
        assert_eq!(
            challenges(Answer::credential_required()),
            ["Bearer", offered]
        );
        let downgraded = Answer::token_refused(TokenError::ProofRequired, Scheme::Bearer);
        let downgraded = challenges(downgraded);
        assert!(downgraded[0].starts_with(r#"Bearer error="invalid_token""#));
        assert_eq!(downgraded[1], offered);
        let denied = Answer::denied(DenyReason::SessionEnded, Scheme::Dpop);
        assert_eq!(
            challenges(denied),
            [
                r#"DPoP error="invalid_token", error_description="The session has ended.", algs="ES256 EdDSA""#,
                "Bearer"
            ]
        );
        let replayed = challenges(Answer::proof_refused(ProofError::Replayed));
        assert!(replayed[0].starts_with(r#"DPoP error="invalid_dpop_proof", "#));
    }

    #[test]
    fn a_forger_learns_nothing_of_why() {
        let detail = |why| Answer::token_refused(why, Scheme::Bearer).headers;
        assert_eq!(
            detail(TokenError::Signature),
            detail(TokenError::UnknownKey)
        );
        assert_eq!(detail(TokenError::Signature), detail(TokenError::Type));
    }

    #[test]
    fn pages_escape_what_they_show_and_load_nothing() {
        let page = Answer::page(400, "<b>", "a & b", Some(("/\"><script>", "x")));
        assert!(page.body.contains("<h1>&lt;b&gt;</h1>") && page.body.contains("a &amp; b"));
        assert!(!page.body.contains("<script>"));
        assert!(
            header(&page, "Content-Security-Policy")
                .is_some_and(|csp| csp.starts_with("default-src 'none'"))
        );
    }

    #[test]
    fn nothing_that_concerns_a_caller_is_cacheable() {
        for answer in [
            Answer::credential_required(),
            Answer::unavailable(),
            Answer::redirect(302, "/".to_owned()),
            Answer::page(200, "h", "t", None),
        ] {
            assert_eq!(header(&answer, "Cache-Control"), Some("no-store"));
        }
    }
}
