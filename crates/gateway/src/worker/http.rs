//! Requests and responses, between the runtime's types and ours; and small, bounded fetches.

use crate::answer::Answer;
use crate::inbound::{Headers, Inbound};
use futures::future::{Either, select};
use futures::{Future, TryStreamExt};
use std::fmt;
use std::pin::pin;
use std::time::Duration;
use url::Url;
use worker::wasm_bindgen::JsValue;
use worker::{
    AbortController, Cf, Delay, Error, Fetch, Method, Request, RequestInit, RequestRedirect,
    Response, ResponseBody, ResponseBuilder, Result,
};

/// How long anybody may take to answer us.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest document that is read.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;

/// Why a fetch gave nothing.
#[derive(Debug)]
pub enum FetchError {
    /// No connection, or it broke.
    Runtime(Error),
    /// Too slow.
    TimedOut,
    /// Another status than was asked for.
    Status(u16),
    /// More bytes than are read.
    TooLong,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Runtime(error) => write!(f, "{error}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLong => f.write_str("too long"),
        }
    }
}

impl From<Error> for FetchError {
    fn from(error: Error) -> Self {
        Self::Runtime(error)
    }
}

/// The parts of a request that are looked at.
pub fn inbound(request: &Request) -> Result<Inbound> {
    let edge = request.cf();
    Ok(Inbound {
        asn: edge.and_then(Cf::asn),
        country: edge.and_then(Cf::country),
        // Not `request.method()`: that one calls a method it does not know GET.
        method: request.inner().method(),
        url: request.url()?,
        headers: request.headers().entries().collect(),
    })
}

/// A response of our own.
pub fn respond(answer: Answer) -> Result<Response> {
    let headers = worker::Headers::new();
    for (name, value) in &answer.headers {
        headers.append(name, value)?;
    }
    // A 204 with a body, be it an empty one, is an exception.
    let body = match answer.status {
        204 => ResponseBody::Empty,
        _ => ResponseBody::Body(answer.body.into_bytes()),
    };
    Ok(ResponseBuilder::new()
        .with_status(answer.status)
        .with_headers(headers)
        .body(body))
}

/// The runtime's form of a list of headers.
pub fn headers(list: &Headers) -> Result<worker::Headers> {
    let headers = worker::Headers::new();
    for (name, value) in list {
        headers.append(name, value)?;
    }
    Ok(headers)
}

/// The document at `url`, of a 200.
pub async fn get(url: &Url) -> std::result::Result<Vec<u8>, FetchError> {
    let mut init = RequestInit::new();
    init.with_headers([("accept", "application/json")].iter().collect());
    document(exchange(url, init).await?).await
}

/// What `url` answers to a form, if that is a 200.
pub async fn post_form(url: &Url, form: String) -> std::result::Result<Vec<u8>, FetchError> {
    document(send_form(url, form).await?).await
}

/// The status with which `url` answers a form.
pub async fn post_form_for_status(url: &Url, form: String) -> std::result::Result<u16, FetchError> {
    Ok(send_form(url, form).await?.status_code())
}

/// `future`, if it is done in time.
pub async fn in_time<T>(future: impl Future<Output = T>) -> Option<T> {
    within(PATIENCE, future).await
}

/// `future`, if it is done in so much time.
pub async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    match select(pin!(future), pin!(Delay::from(time))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

async fn send_form(url: &Url, form: String) -> std::result::Result<Response, FetchError> {
    let content_type = "application/x-www-form-urlencoded";
    let mut init = RequestInit::new();
    init.with_method(Method::Post)
        .with_headers(
            [
                ("content-type", content_type),
                ("accept", "application/json"),
            ]
            .iter()
            .collect(),
        )
        .with_body(Some(JsValue::from_str(&form)));
    exchange(url, init).await
}

async fn exchange(url: &Url, mut init: RequestInit) -> std::result::Result<Response, FetchError> {
    init.with_redirect(RequestRedirect::Manual);
    let request = Fetch::Request(Request::new_with_init(url.as_str(), &init)?);
    let abort = AbortController::default();
    let signal = abort.signal();
    let Some(response) = in_time(request.send_with_signal(&signal)).await else {
        abort.abort();
        return Err(FetchError::TimedOut);
    };
    Ok(response?)
}

async fn document(mut response: Response) -> std::result::Result<Vec<u8>, FetchError> {
    if response.status_code() != 200 {
        return Err(FetchError::Status(response.status_code()));
    }
    let mut chunks = response.stream()?;
    let read = async {
        let mut document = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            if document.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(FetchError::TooLong);
            }
            document.extend(chunk);
        }
        Ok(document)
    };
    in_time(read).await.unwrap_or(Err(FetchError::TimedOut))
}
