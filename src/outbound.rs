//! Requests to identity providers and clients: bounded in size and time, and never redirected.

use futures::future::{Either, select};
use futures::pin_mut;
use std::time::Duration;
use worker::js_sys::Uint8Array;
use worker::{
    AbortController, Delay, Error, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
    Response,
};

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BYTES: usize = 256 * 1024;

/// GETs `url`; anything but 200 is an error.
pub async fn get(url: &str) -> Result<Vec<u8>, Error> {
    send(url, Method::Get, Headers::new(), None, MAX_BYTES).await
}

/// What a place answered to a GET.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// What came with a 200, unless it is larger than the caller takes.
    pub body: Option<Vec<u8>>,
}

/// GETs `url` and gives back the answer, whichever it is; an error says that there was none.
pub async fn answer_of(url: &str, max_bytes: usize) -> Result<Answer, Error> {
    let headers = Headers::new();
    headers.set("accept", "application/json")?;
    in_time(url, Method::Get, headers, None, async |response| {
        let status = response.status_code();
        let body = match status {
            200 => bounded(response.stream()?, max_bytes).await?,
            _ => None,
        };
        Ok(Answer { status, body })
    })
    .await
}

/// POSTs a form to `url`, with an `Authorization` if there is one.
pub async fn post_form(
    url: &str,
    authorization: Option<&str>,
    form: &[(&str, &str)],
) -> Result<Vec<u8>, Error> {
    let headers = Headers::new();
    if let Some(authorization) = authorization {
        headers.set("authorization", authorization)?;
    }
    let body = form_body(form, &headers)?;
    send(url, Method::Post, headers, Some(body), MAX_BYTES).await
}

/// POSTs a form to `url` and gives back the status. What comes with it is not read.
pub async fn notify(url: &str, form: &[(&str, &str)]) -> Result<u16, Error> {
    let headers = Headers::new();
    let body = form_body(form, &headers)?;
    in_time(url, Method::Post, headers, Some(body), async |response| {
        Ok(response.status_code())
    })
    .await
}

fn form_body(form: &[(&str, &str)], headers: &Headers) -> Result<String, Error> {
    headers.set("content-type", "application/x-www-form-urlencoded")?;
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    Ok(body.extend_pairs(form).finish())
}

async fn send(
    url: &str,
    method: Method,
    headers: Headers,
    body: Option<String>,
    max_bytes: usize,
) -> Result<Vec<u8>, Error> {
    headers.set("accept", "application/json")?;
    in_time(url, method, headers, body, async |response| {
        read(response, max_bytes).await
    })
    .await
}

/// What `read` makes of the answer, if all of that is done in time.
async fn in_time<T>(
    url: &str,
    method: Method,
    headers: Headers,
    body: Option<String>,
    read: impl AsyncFnOnce(&mut Response) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut init = RequestInit::new();
    init.with_method(method)
        .with_headers(headers)
        .with_redirect(RequestRedirect::Manual)
        .with_body(body.map(|body| Uint8Array::from(body.as_bytes()).into()));
    let request = Request::new_with_init(url, &init)?;
    let controller = AbortController::default();
    let signal = controller.signal();
    let answer = async {
        let mut response = Fetch::Request(request).send_with_signal(&signal).await?;
        read(&mut response).await
    };
    let deadline = Delay::from(TIMEOUT);
    pin_mut!(answer, deadline);
    match select(answer, deadline).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => {
            controller.abort();
            Err(Error::from("timed out"))
        }
    }
}

async fn read(response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, Error> {
    if response.status_code() != 200 {
        return Err(Error::RustError(format!(
            "status {}",
            response.status_code()
        )));
    }
    bounded(response.stream()?, max_bytes)
        .await?
        .ok_or_else(|| Error::from("too large"))
}

/// The whole of a body, or `None` once it is longer than `max_bytes`.
pub async fn bounded(
    mut body: worker::ByteStream,
    max_bytes: usize,
) -> Result<Option<Vec<u8>>, Error> {
    use futures::StreamExt as _;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend(chunk?);
        if bytes.len() > max_bytes {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}
