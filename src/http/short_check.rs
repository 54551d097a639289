//! The short way of `POST /v1/check`, for the commonest question with the commonest answer: a subject and
//! session that the caller has verified itself, and yes.
//!
//! `entry.mjs` waits, and takes the steps that are here in between: promises and a general request's context
//! are most of what a check costs in Rust. Each step goes on, or leaves the request to the general way
//! ([`super::serve`]), which then begins at the beginning. So whatever is refused, logged or explained is so in
//! one place, and the one answer that is given here is a strict yes: read from the subject's storage after
//! the question came in, like every other.

use super::check::{Body, Reply};
use super::context::MAX_BODY_BYTES;
use crate::auth::{Access, Caller, authorize};
use crate::config::Config;
use crate::error::Problem;
use crate::objects::call;
use crate::routes::{Found, find};
use crate::{policy, runtime};
use portcullis_core::client::uri::is_loopback;
use portcullis_core::session::check::{CheckReply, CheckRequest, Verdict};
use portcullis_core::wire;
use std::cell::OnceCell;
use url::Url;
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;
use worker::{Env, console_error};

/// The route that has a short way.
const METHOD: &str = "POST";
/// Likewise.
const PATH: &str = "/v1/check";

/// The steps of the short way, in the order of its methods.
#[wasm_bindgen]
#[derive(Default)]
pub struct ShortCheck {
    way: OnceCell<Option<Way>>,
    headers: OnceCell<web_sys::ResponseInit>,
}

/// What goes this way.
struct Way {
    url: String,
    access: Access,
}

#[wasm_bindgen]
#[expect(
    clippy::unused_self,
    reason = "only methods of an instance start the module anew after a panic"
)]
impl ShortCheck {
    /// Nothing is read yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `request` may go this way: it is for the service's own URL, of somebody who may ask,
    /// and does not say that it is too large. Nothing of its body has been read.
    pub fn admits(&self, request: &web_sys::Request, env: &Env) -> bool {
        let Some(config) = runtime::config(env) else {
            return false;
        };
        let Some(way) = self.way.get_or_init(|| way(&config)) else {
            return false;
        };
        if request.url() != way.url || request.method() != METHOD {
            return false;
        }
        let headers = request.headers();
        let authorization = headers.get("authorization").ok().flatten();
        let authorized = authorize(&config, way.access, authorization.as_deref());
        if !matches!(authorized, Ok(Caller::Role(_))) {
            return false;
        }
        let declared = headers.get("content-length").ok().flatten();
        declared.is_none_or(|length| length.parse().is_ok_and(|n: usize| n <= MAX_BODY_BYTES))
    }

    /// Asks the subject, if `body` is a question of a subject and session, by a view of the policy that is
    /// at hand and fresh enough.
    pub fn ask(&self, body: &[u8], env: &Env) -> Option<Promise> {
        let question = question(body)?;
        let view = policy::at_hand()?;
        call::begin_check(env, &view, question).ok()
    }

    /// The answer to `body` by the subject's reply, if that is yes.
    pub fn answer(&self, body: &[u8], reply: &[u8]) -> Option<web_sys::Response> {
        let reply: CheckReply = wire::decode(reply).ok()?;
        let Verdict::Active { session_expires_at } = reply.verdict else {
            return None;
        };
        let question = question(body)?;
        let reply = Reply::active(&question, session_expires_at, reply.checked_at);
        let json = serde_json::to_string(&reply).ok()?;
        web_sys::Response::new_with_opt_str_and_init(Some(&json), self.headers()?).ok()
    }

    /// The answer when the subject gave none. The cause is for our log only.
    pub fn failed(&self, error: JsValue) -> Result<web_sys::Response, JsValue> {
        console_error!("check: {}", worker::Error::from(error));
        Ok(Problem::unavailable().response()?.into())
    }
}

impl ShortCheck {
    /// The headers of every answer, made once.
    fn headers(&self) -> Option<&web_sys::ResponseInit> {
        if self.headers.get().is_none() {
            let headers = web_sys::Headers::new().ok()?;
            for (name, value) in crate::error::JSON_HEADERS {
                headers.set(name, value).ok()?;
            }
            let init = web_sys::ResponseInit::new();
            init.set_headers(&headers);
            return Some(self.headers.get_or_init(|| init));
        }
        self.headers.get()
    }
}

/// The check at our own name. By another name, and in a developer's service that may not answer to its own,
/// a request goes the general way.
fn way(config: &Config) -> Option<Way> {
    let answers = !config.dev || Url::parse(&config.issuer).is_ok_and(|url| is_loopback(&url));
    let Found::Route(route, _) = find(METHOD, PATH) else {
        return None;
    };
    answers.then(|| Way {
        url: format!("{}{PATH}", config.issuer),
        access: route.access,
    })
}

/// The question, if it is of a session by its subject's key.
fn question(body: &[u8]) -> Option<CheckRequest> {
    match serde_json::from_slice(body).ok()? {
        Body {
            checks: None,
            token: None,
            resource: None,
            subject: Some(subject),
            session: Some(session),
            jti,
        } if body.len() <= MAX_BODY_BYTES => Some(CheckRequest {
            token: jti,
            ..CheckRequest::of_session(subject.parse().ok()?, session)
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::dev;
    use portcullis_core::id::{SessionId, SubjectKey, TokenId};
    use serde_json::json;

    fn subject() -> SubjectKey {
        SubjectKey::from_bytes([1; 16])
    }

    fn session() -> SessionId {
        SessionId::from_bytes([2; 16])
    }

    fn asked(body: &serde_json::Value) -> Option<CheckRequest> {
        question(body.to_string().as_bytes())
    }

    #[test]
    fn a_subject_and_session_are_asked_for_with_their_token_if_it_is_named() {
        let plain = asked(&json!({"subject": subject(), "session": session()}));
        assert_eq!(plain, Some(CheckRequest::of_session(subject(), session())));
        let jti = TokenId::from_bytes([3; 16]);
        let named = asked(&json!({"subject": subject(), "session": session(), "jti": jti}));
        assert_eq!(named.and_then(|asked| asked.token), Some(jti));
    }

    #[test]
    fn every_other_question_goes_the_general_way() {
        for body in [
            json!({}),
            json!({"checks": [{"subject": subject(), "session": session()}]}),
            json!({"token": "x"}),
            json!({"token": "x", "subject": subject(), "session": session()}),
            json!({"resource": "x", "subject": subject(), "session": session()}),
            json!({"subject": subject()}),
            json!({"session": session()}),
            json!({"subject": "demo:alice", "session": session()}),
            json!({"subject": subject(), "session": "x"}),
            json!({"subject": subject(), "session": session(), "x": 1}),
        ] {
            assert_eq!(asked(&body), None, "{body}");
        }
        let padded = format!(
            "{}{}",
            json!({"subject": subject(), "session": session()}),
            " ".repeat(MAX_BODY_BYTES)
        );
        assert_eq!(question(padded.as_bytes()), None);
        assert_eq!(question(b"\xff"), None);
    }

    #[test]
    fn a_developers_service_has_a_short_way_by_its_loopback_name_only() {
        let mut config = dev();
        config.issuer = "https://auth.example.com".to_owned();
        assert!(way(&config).is_none());
        config.issuer = "http://127.0.0.1:1".to_owned();
        let url = way(&config).map(|way| way.url);
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:1/v1/check"));
        config.dev = false;
        config.issuer = "https://auth.example.com".to_owned();
        let url = way(&config).map(|way| way.url);
        assert_eq!(url.as_deref(), Some("https://auth.example.com/v1/check"));
    }
}
