//! On to the origin and back, bodies streamed through untouched.

use super::http;
use crate::consistency::Checked;
use crate::headers;
use crate::inbound::{Headers, Inbound};
use worker::web_sys::{self, RequestCache, RequestRedirect};
use worker::{Error, Fetch, Request, Response, Result};

/// Sends the request to an origin. Its redirects are the caller's to follow.
pub async fn send(
    request: &Request,
    inbound: &Inbound,
    origin: &str,
    headers: Headers,
    checked: Option<Checked>,
) -> Result<Response> {
    let init = web_sys::RequestInit::new();
    init.set_method(&inbound.method);
    init.set_headers(http::headers(&headers)?.as_ref());
    init.set_redirect(RequestRedirect::Manual);
    // The edge keys its cache by URL, and the credential that told callers apart is stripped: what
    // one person got must not be another's answer.
    init.set_cache(RequestCache::NoStore);
    if let Some(body) = request.inner().body() {
        init.set_body(&body);
    }
    let url = format!("{origin}{}", inbound.path_and_query());
    let outbound = web_sys::Request::new_with_str_and_init(&url, &init).map_err(Error::from)?;
    let response = Fetch::Request(outbound.into()).send().await?;
    if !(200..=599).contains(&response.status_code()) {
        return Err(Error::RustError(
            "a status that cannot be passed on".to_owned(),
        ));
    }
    let from_origin: Headers = response.headers().entries().collect();
    let returned = http::headers(&headers::returned(&from_origin, checked))?;
    Ok(response.with_headers(returned))
}
