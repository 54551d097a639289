//! CORS preflights: pages of other origins may call the endpoints that apps in browsers need.
//!
//! Nothing there is authenticated by a cookie, so a page gets no more than what it brings itself.

use super::context::Ctx;
use worker::{Response, Result};

/// 204: any origin, and any header; `*` does not cover `Authorization` (Fetch section 4.9).
pub async fn options(_ctx: Ctx) -> Result<Response> {
    let response = Response::empty()?.with_status(204);
    let headers = response.headers();
    headers.set("access-control-allow-origin", "*")?;
    headers.set("access-control-allow-methods", "GET, POST")?;
    headers.set("access-control-allow-headers", "authorization, *")?;
    headers.set("access-control-max-age", "86400")?;
    Ok(response)
}
