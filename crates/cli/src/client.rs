//! The service over HTTP, as an operator calls it.
//!
//! No redirect is followed: the credential goes to the host that was named and to no other. Plain
//! http is for loopback (`args` sees to it), and then no proxy is asked, which would read along. A call
//! that gets no answer is not repeated: what came of it is not known.

use crate::failure::{Failure, Problem};
use crate::input::Secret;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read};
use std::time::Duration;
use ureq::http::{HeaderValue, Request, Response, header, request};
use ureq::{Agent, Timeout};
use url::Url;

/// Until there is a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the answer is there: longer than the service waits for an identity provider.
const TIMEOUT: Duration = Duration::from_mins(1);
/// More than a page of anything.
const MAX_ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// The service.
pub struct Client {
    base: Url,
    authorization: HeaderValue,
    agent: Agent,
}

/// What the service answered, having done what was asked.
#[derive(Debug)]
pub struct Answer {
    /// The body as it came.
    pub body: String,
    /// What it says; null if it is empty.
    pub value: Value,
}

impl Answer {
    /// A member that is a list.
    pub fn list(&self, name: &str) -> Result<&[Value], Failure> {
        let found = self.value.get(name).and_then(Value::as_array);
        found.map(Vec::as_slice).ok_or_else(|| missing(name))
    }

    /// A member that is text.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        let found = self.value.get(name).and_then(Value::as_str);
        found.ok_or_else(|| missing(name))
    }

    /// A member that is true or false.
    pub fn truth(&self, name: &str) -> Result<bool, Failure> {
        let found = self.value.get(name).and_then(Value::as_bool);
        found.ok_or_else(|| missing(name))
    }
}

/// Without it nothing can be said of what was answered.
fn missing(name: &str) -> Failure {
    Failure::NoAnswer(format!(
        "there is no `{name}` in the answer, or it is not what it should be"
    ))
}

impl Client {
    /// The service at `base`, called with `credential`.
    pub fn new(base: Url, credential: &Secret) -> Result<Self, Failure> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {}", credential.expose()))
                .map_err(|_| Failure::Usage("the credential cannot be sent".to_owned()))?;
        authorization.set_sensitive(true);
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("portcullis-cli/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            config = config.proxy(None);
        }
        Ok(Self {
            agent: config.build().into(),
            base,
            authorization,
        })
    }

    /// GET of a path, given by its segments, with a query.
    pub fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.send("GET", path, query, None)
    }

    /// GET of what is no JSON; `None` if there is no such thing.
    pub fn bytes(&self, path: &[&str]) -> Result<Option<Vec<u8>>, Failure> {
        let request = self.request("GET", path, &[], "*/*")?;
        let request = request.body(()).map_err(invalid)?;
        let response = self.agent.run(request).and_then(Received::read);
        let received = response.map_err(|error| self.no_answer("GET", &error))?;
        match received.status {
            200 => Ok(Some(received.body)),
            404 if received.is_problem => Ok(None),
            201..=299 => Err(Failure::NoAnswer(format!("{} says nothing", self.base))),
            _ => received.judge(&self.base).and(Ok(None)),
        }
    }

    /// POST of a JSON document.
    pub fn post(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.send("POST", path, &[], Some(body))
    }

    /// POST of a JSON document that is done once, however often it is sent with that key.
    pub fn post_once(&self, path: &[&str], body: &Value, key: &str) -> Result<Answer, Failure> {
        let accept = "application/json, application/problem+json";
        let request = self.request("POST", path, &[], accept)?;
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        let request = request.body(body.to_string()).map_err(invalid)?;
        let response = self.agent.run(request).and_then(Received::read);
        response
            .map_err(|error| self.no_answer("GET", &error))?
            .judge(&self.base)
    }

    /// A file from that byte on, handed on piece by piece: no length is too much, and it may take its time.
    pub fn download(
        &self,
        path: &[&str],
        from: u64,
        taken: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let request = self.request("GET", path, &[], "*/*")?;
        let request = request.header(header::RANGE, format!("bytes={from}-"));
        let request = request.body(()).map_err(invalid)?;
        let request = self.agent.configure_request(request).timeout_global(None);
        let no_answer = |error: &ureq::Error| self.no_answer("GET", error);
        let request = request.timeout_recv_response(Some(TIMEOUT)).build();
        let mut response = self.agent.run(request).map_err(|error| no_answer(&error))?;
        if response.status() != 206 {
            let received = Received::read(response).map_err(|error| no_answer(&error))?;
            let status = received.status;
            let why = format!(
                "{} does not go on where it was (status {status})",
                self.base
            );
            return received.judge(&self.base).and(Err(Failure::NoAnswer(why)));
        }
        let mut reader = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => taken(buffer.get(..read).unwrap_or_default())?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(no_answer(&ureq::Error::Io(error))),
            }
        }
    }

    /// PUT of a JSON document.
    pub fn put(&self, path: &[&str], body: &Value) -> Result<Answer, Failure> {
        self.send("PUT", path, &[], Some(body))
    }

    /// DELETE.
    pub fn delete(&self, path: &[&str]) -> Result<Answer, Failure> {
        self.send("DELETE", path, &[], None)
    }

    fn send(
        &self,
        method: &str,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let accept = "application/json, application/problem+json";
        let request = self.request(method, path, query, accept)?;
        let response = match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                let request = request.body(body.to_string()).map_err(invalid)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(invalid)?),
        };
        response
            .and_then(Received::read)
            .map_err(|error| self.no_answer(method, &error))?
            .judge(&self.base)
    }

    fn request(
        &self,
        method: &str,
        path: &[&str],
        query: &[(&str, &str)],
        accept: &str,
    ) -> Result<request::Builder, Failure> {
        Ok(Request::builder()
            .method(method)
            .uri(url(&self.base, path, query)?.as_str())
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::ACCEPT, accept))
    }

    fn no_answer(&self, method: &str, error: &ureq::Error) -> Failure {
        let why = match error {
            ureq::Error::Timeout(_) => "it did not answer in time".to_owned(),
            other => other.to_string(),
        };
        let doubt = if method == "GET" || was_never_sent(error) {
            ""
        } else {
            "; whether it was done is not known"
        };
        Failure::NoAnswer(format!("{}: {why}{doubt}", self.base))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it on")]
fn invalid(error: ureq::http::Error) -> Failure {
    Failure::Usage(error.to_string())
}

/// Whether there was no connection: only then is it sure that the service did nothing.
fn was_never_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => error.kind() == ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// A response before it is known what it means.
struct Received {
    status: u16,
    is_problem: bool,
    body: Vec<u8>,
}

impl Received {
    fn read(mut response: Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES);
        let body = body.read_to_vec()?;
        let media_type = response.headers().get(header::CONTENT_TYPE);
        let media_type = media_type.and_then(|value| value.to_str().ok());
        Ok(Self {
            status: response.status().as_u16(),
            is_problem: media_type.is_some_and(|it| it.starts_with("application/problem+json")),
            body,
        })
    }

    fn judge(self, base: &Url) -> Result<Answer, Failure> {
        let Self {
            status,
            is_problem,
            body,
        } = self;
        let body = String::from_utf8(body).ok();
        let value: Option<Value> = body
            .as_deref()
            .and_then(|body| serde_json::from_str(body).ok());
        let why = match (status, body, value) {
            (200..=299, Some(body), Some(value)) => return Ok(Answer { body, value }),
            (200..=299, Some(body), None) if body.is_empty() => {
                let value = Value::Null;
                return Ok(Answer { body, value });
            }
            (300..=399, ..) => "redirects, and no redirect is followed: name the service itself",
            (400..=599, _, Some(document)) if is_problem && document.is_object() => {
                return Err(Failure::Refused(Problem { status, document }));
            }
            // Whoever it is that asks for a credential, it is not ours.
            (401 | 403, ..) => {
                let detail = "the credential was refused, and not in the service's words";
                let document = json!({"type": "about:blank", "title": "Refused", "status": status,
                    "detail": detail});
                return Err(Failure::Refused(Problem { status, document }));
            }
            _ => "does not answer as the service does: is the URL right?",
        };
        Err(Failure::NoAnswer(format!("{base} {why} (status {status})")))
    }
}

/// `base` with a path of these segments, each as it is, and a query.
fn url(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Result<Url, Failure> {
    // A segment like this would name something else than the caller thinks.
    if let Some(wrong) = path.iter().find(|it| matches!(**it, "" | "." | "..")) {
        return Err(Failure::Usage(format!("`{wrong}` names nothing")));
    }
    let mut url = base.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(path),
        Err(()) => return Err(Failure::Usage(format!("{base} can have no path"))),
    };
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        "https://id.example/".parse().expect("URL")
    }

    fn judged(status: u16, is_problem: bool, body: &str) -> Result<Answer, Failure> {
        let body = body.as_bytes().to_vec();
        Received {
            status,
            is_problem,
            body,
        }
        .judge(&base())
    }

    #[test]
    fn a_segment_stays_one_segment_whatever_is_in_it() {
        let path = ["v1", "subjects", "okta:a/b?c#d%2e ü"];
        let url = url(&base(), &path, &[("search", "a&b=c")]).expect("URL");
        assert_eq!(
            url.as_str(),
            "https://id.example/v1/subjects/okta:a%2Fb%3Fc%23d%252e%20%C3%BC?search=a%26b%3Dc"
        );
    }

    #[test]
    fn a_segment_that_would_lead_elsewhere_is_refused() {
        for wrong in ["", ".", ".."] {
            let refused = url(&base(), &["v1", "connections", wrong], &[]);
            assert!(matches!(refused, Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_base_may_have_a_path() {
        let base = "https://id.example/under/".parse().expect("URL");
        let url = url(&base, &["v1"], &[]).expect("URL");
        assert_eq!(url.as_str(), "https://id.example/under/v1");
    }

    #[test]
    fn an_answer_without_what_it_is_about_is_no_answer() {
        let answer = judged(200, false, r#"{"a": [], "b": "c", "d": false}"#).expect("an answer");
        assert!(answer.list("a").is_ok_and(<[Value]>::is_empty));
        assert!(answer.text("b").is_ok_and(|it| it == "c"));
        assert!(answer.truth("d").is_ok_and(|it| !it));
        for failure in [
            answer.list("b").err(),
            answer.list("x").err(),
            answer.text("a").err(),
            answer.truth("b").err(),
        ] {
            assert_eq!(failure.map(|it| it.exit_code()), Some(3));
        }
    }

    #[test]
    fn what_the_service_says_is_told_from_what_others_say() {
        assert!(judged(200, false, "{}").is_ok());
        assert!(judged(204, false, "").is_ok());
        let code = |status, is_problem, body| {
            let failure = judged(status, is_problem, body).expect_err("a failure");
            failure.exit_code()
        };
        assert_eq!(code(404, true, "{}"), 1);
        assert_eq!(code(503, true, "{}"), 1);
        assert_eq!(code(401, true, "{}"), 4);
        assert_eq!(code(403, false, "<html>"), 4);
        assert_eq!(code(404, false, "{}"), 3);
        assert_eq!(code(502, false, "<html>"), 3);
        assert_eq!(code(404, true, "not JSON"), 3);
        assert_eq!(code(302, false, ""), 3);
        assert_eq!(code(302, true, "{}"), 3);
        assert_eq!(code(200, false, "<html>"), 3);
    }
}
