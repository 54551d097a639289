//! Plain HTTP as a test wants it: no redirect is followed, and every status is an answer.

use crate::{Failure, Result};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::OnceLock;
use std::time::Duration;
use ureq::Agent;
use ureq::http;
use url::Url;

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The same as it came.
    pub bytes: Vec<u8>,
    headers: Vec<(String, String)>,
    /// Of what it answers, for messages.
    request_line: String,
}

impl Request {
    /// A request of this method.
    #[must_use]
    pub fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// GET.
    #[must_use]
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// POST.
    #[must_use]
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// One more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// `Authorization: Bearer`.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A body of any type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self.header("content-type", content_type)
    }

    /// A JSON body.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// A form body (`application/x-www-form-urlencoded`).
    #[must_use]
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.body("application/x-www-form-urlencoded", body)
    }

    /// The status of the answer to its head alone, which says that a body of so many bytes follows. A body that is
    /// refused before it was read may cut off its sender, who then sees no answer.
    #[track_caller]
    pub fn status_if_it_were(self, bytes: usize) -> Result<u16> {
        let url = Url::parse(&self.url)?;
        let mut connection = TcpStream::connect(&*url.socket_addrs(|| None)?)?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut head = format!(
            "{} {} HTTP/1.1\r\nhost: {}\r\n",
            self.method,
            url.path(),
            url.authority()
        );
        for (name, value) in &self.headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "content-length: {bytes}\r\n\r\n")?;
        connection.write_all(head.as_bytes())?;
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        status.ok_or_else(|| Failure::new(format!("{}: answered {line:?}", self.url)))
    }

    /// Sends it and leaves the answer's body, of that type, to be read as it comes, for a minute at most.
    #[track_caller]
    pub fn stream(self, content_type: &str) -> Result<Stream> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_recv_response(Some(Duration::from_secs(20)))
            .timeout_recv_body(Some(Duration::from_mins(1)));
        let mut builder = http::Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let agent: Agent = config.build().into();
        let answer = agent.run(builder.body(())?)?;
        let status = answer.status().as_u16();
        let found = answer.headers().get("content-type").cloned();
        if status != 200 || found.as_ref().is_none_or(|it| it != content_type) {
            let why = format!("{} {}: {status}, {found:?}", self.method, self.url);
            return Err(Failure::new(why));
        }
        Ok(Stream(BufReader::new(answer.into_body().into_reader())))
    }

    /// Sends it over a connection of its own: a stack that was restarted has no old ones.
    #[track_caller]
    pub fn send(self) -> Result<Response> {
        let request_line = format!("{} {}", self.method, self.url);
        let mut builder = http::Request::builder().method(self.method).uri(&self.url);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        let answer = match self.body {
            Some(body) => agent().run(builder.body(body)?),
            None if matches!(self.method, "POST" | "PUT" | "PATCH") => {
                agent().run(builder.body(Vec::new())?)
            }
            None => agent().run(builder.body(())?),
        };
        match answer.and_then(|answer| Response::read(answer, &request_line)) {
            Ok(response) => Ok(response),
            Err(error) => Err(Failure::new(format!("{request_line}: {error}"))),
        }
    }
}

/// An answer's body on its way.
pub struct Stream(BufReader<ureq::BodyReader<'static>>);

impl Stream {
    /// The next line, without its end; that there is none is a failure.
    #[track_caller]
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(Failure::new("the stream has ended"));
        }
        line.truncate(line.trim_end_matches('\n').len());
        Ok(line)
    }

    /// Reads what is left, and says how many bytes that were.
    pub fn drain(mut self) -> Result<u64> {
        Ok(io::copy(&mut self.0, &mut io::sink())?)
    }
}

impl Response {
    fn read(
        mut answer: http::Response<ureq::Body>,
        request_line: &str,
    ) -> std::result::Result<Self, ureq::Error> {
        let bytes = answer.body_mut().read_to_vec()?;
        let headers = answer.headers().iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(Self {
            status: answer.status().as_u16(),
            headers: headers.collect(),
            body: String::from_utf8_lossy(&bytes).into_owned(),
            bytes,
            request_line: request_line.to_owned(),
        })
    }

    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// Every header of that name, in lower case.
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Itself if the status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Result<Self> {
        if self.status == status {
            return Ok(self);
        }
        Err(self.unexpected(&format!("status {status}")))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Result<Value> {
        match serde_json::from_str(&self.body) {
            Ok(value) => Ok(value),
            Err(error) => Err(self.unexpected(&format!("JSON ({error})"))),
        }
    }

    /// The body of an RFC 9457 problem whose status member agrees with the response's.
    #[track_caller]
    pub fn problem(&self) -> Result<Value> {
        let media_type = self.header("content-type").unwrap_or_default();
        if !media_type.starts_with("application/problem+json") {
            return Err(self.unexpected("application/problem+json"));
        }
        let problem = self.json()?;
        let whole = problem["status"].as_u64() == Some(u64::from(self.status))
            && problem["title"].is_string()
            && problem["type"].is_string();
        if whole {
            return Ok(problem);
        }
        Err(self.unexpected("a problem with type, title and status"))
    }

    /// A failure that shows this response.
    #[track_caller]
    #[must_use]
    pub fn unexpected(&self, expected: &str) -> Failure {
        let shown: String = self.body.chars().take(2000).collect();
        let headers: String = ["content-type", "location", "www-authenticate"]
            .iter()
            .filter_map(|name| Some(format!("\n  {name}: {}", self.header(name)?)))
            .collect();
        Failure::new(format!(
            "expected {expected} from {}, got status {}{headers}\n  {shown}",
            self.request_line, self.status
        ))
    }
}

fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(Duration::from_secs(30)))
            .user_agent("portcullis-e2e")
            .build()
            .into()
    })
}
