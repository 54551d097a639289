//! Requests to identity providers and clients: bounded in size and time, and never redirected.
//!
//! Whoever takes in a URL judges it by [`is_fetchable`](portcullis_core::client::uri::is_fetchable): https
//! at a public name, or loopback in development. That is where a provider is discovered and where an
//! operator or a client names one.

use futures::future::{Either, select};
use futures::pin_mut;
use std::time::Duration;
use worker::js_sys::Uint8Array;
use worker::{
    AbortController, Delay, Error, Fetch, Headers, Method, Request, RequestInit, RequestRedirect,
    Response,
};

const TIMEOUT: Duration = Duration::from_secs(5);
/// For documents that many requests wait for. They take a fetch for lost after core's
/// [`FETCH_SECS`](portcullis_core::fetch::FETCH_SECS); until then there is time to make up for one that
/// failed.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_BYTES: usize = 256 * 1024;

/// GETs a document; anything but 200 is an error.
pub async fn get(url: &str) -> Result<Vec<u8>, Error> {
    let headers = Headers::new();
    headers.set("accept", "application/json")?;
    let get = Exchange {
        url,
        method: Method::Get,
        headers,
        body: None,
        timeout: DOCUMENT_TIMEOUT,
    };
    get.answered(read).await
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
    let get = Exchange {
        url,
        method: Method::Get,
        headers,
        body: None,
        timeout: TIMEOUT,
    };
    let read = async |response: &mut Response| {
        let status = response.status_code();
        let body = match status {
            200 => bounded(response.stream()?, max_bytes).await?,
            _ => None,
        };
        Ok(Answer { status, body })
    };
    get.answered(read).await
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
    headers.set("accept", "application/json")?;
    Exchange::of_form(url, headers, form)?.answered(read).await
}

/// What an API answered.
pub struct ApiAnswer {
    /// The status.
    pub status: u16,
    /// When it may be asked again (RFC 9110 section 10.2.3).
    pub retry_after: Option<String>,
    /// What came with it; nothing if that is too large.
    pub body: Vec<u8>,
}

/// PUTs JSON under a bearer credential and gives back the answer, whichever it is.
pub async fn put_json(url: &str, bearer: &str, json: &str) -> Result<ApiAnswer, Error> {
    let headers = Headers::new();
    headers.set("authorization", &format!("Bearer {bearer}"))?;
    headers.set("content-type", "application/json")?;
    headers.set("accept", "application/json")?;
    let put = Exchange {
        url,
        method: Method::Put,
        headers,
        body: Some(json.to_owned()),
        timeout: TIMEOUT,
    };
    let read = async |response: &mut Response| {
        Ok(ApiAnswer {
            status: response.status_code(),
            retry_after: response.headers().get("retry-after")?,
            body: bounded(response.stream()?, MAX_BYTES)
                .await?
                .unwrap_or_default(),
        })
    };
    put.answered(read).await
}

/// POSTs a form to `url` and gives back the status. What comes with it is not read.
pub async fn notify(url: &str, form: &[(&str, &str)]) -> Result<u16, Error> {
    let status = async |response: &mut Response| Ok(response.status_code());
    let post = Exchange::of_form(url, Headers::new(), form)?;
    post.answered(status).await
}

/// A request, and how long all of its answer may take.
struct Exchange<'a> {
    url: &'a str,
    method: Method,
    headers: Headers,
    body: Option<String>,
    timeout: Duration,
}

impl<'a> Exchange<'a> {
    fn of_form(url: &'a str, headers: Headers, form: &[(&str, &str)]) -> Result<Self, Error> {
        headers.set("content-type", "application/x-www-form-urlencoded")?;
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        Ok(Self {
            url,
            method: Method::Post,
            headers,
            body: Some(body.extend_pairs(form).finish()),
            timeout: TIMEOUT,
        })
    }

    /// What `read` makes of the answer, if all of that is done in time.
    async fn answered<T>(
        self,
        read: impl AsyncFnOnce(&mut Response) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut init = RequestInit::new();
        let body = self
            .body
            .map(|body| Uint8Array::from(body.as_bytes()).into());
        init.with_method(self.method)
            .with_headers(self.headers)
            .with_redirect(RequestRedirect::Manual)
            .with_body(body);
        let request = Request::new_with_init(self.url, &init)?;
        let controller = AbortController::default();
        let signal = controller.signal();
        let answer = async {
            let mut response = Fetch::Request(request).send_with_signal(&signal).await?;
            read(&mut response).await
        };
        let deadline = Delay::from(self.timeout);
        pin_mut!(answer, deadline);
        match select(answer, deadline).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), _)) => {
                controller.abort();
                Err(Error::from("timed out"))
            }
        }
    }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, Error> {
    if response.status_code() != 200 {
        return Err(Error::RustError(format!(
            "status {}",
            response.status_code()
        )));
    }
    bounded(response.stream()?, MAX_BYTES)
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
