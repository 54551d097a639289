//! Finding resources: `GET /scim/v2/Users` and `/Groups` (RFC 7644 section 3.4.2), and `POST` to `/.search` below
//! them, which keeps what is asked for out of URLs (section 3.4.3). `POST /.search` finds resources of every type.
//!
//! The same is asked either way, and the same is answered: a list, of which a page has 100 at most.

use super::{Admitted, CONTENT_TYPE, asked, failed, unavailable};
use crate::error::scim_problem;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{MAX_RESULTS, SearchResources, Searched};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::resource::list::{Page, response_of_texts};
use serde_json::Value;
use worker::{Response, Result};

/// GET of users by filter, or all in pages.
pub async fn get_users(ctx: Admitted) -> Result<Response> {
    get(ctx, Searched::Users).await
}

/// The same of groups.
pub async fn get_groups(ctx: Admitted) -> Result<Response> {
    get(ctx, Searched::Groups).await
}

/// POST, for users.
pub async fn post_users(ctx: Admitted) -> Result<Response> {
    post(ctx, Searched::Users).await
}

/// POST, for groups.
pub async fn post_groups(ctx: Admitted) -> Result<Response> {
    post(ctx, Searched::Groups).await
}

/// POST, for everything.
pub async fn post_all(ctx: Admitted) -> Result<Response> {
    post(ctx, Searched::All).await
}

async fn get(ctx: Admitted, of: Searched) -> Result<Response> {
    match asked(&ctx) {
        Ok(asked) => answer(&ctx, of, asked).await,
        Err(error) => failed(&error),
    }
}

async fn post(mut ctx: Admitted, of: Searched) -> Result<Response> {
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    let asked = serde_json::from_str(&body)
        .map_err(|_| ScimError::InvalidSyntax("the body is no JSON object".into()))
        .and_then(|body: Value| Asked::from_body(&body));
    match asked {
        Ok(asked) => answer(&ctx, of, asked).await,
        Err(error) => failed(&error),
    }
}

async fn answer(ctx: &Admitted, of: Searched, asked: Asked) -> Result<Response> {
    let page = match checked(of, &asked) {
        Ok(page) => page,
        Err(error) => return failed(&error),
    };
    let search = SearchResources { of, asked };
    let found = match ctx.ask(search).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return unavailable(&error),
    };
    let list = response_of_texts(found.total, page, &found.resources);
    let response = Response::ok(list)?;
    response.headers().set("content-type", CONTENT_TYPE)?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

/// Which page that asks for. What cannot be asked is refused before the directory is.
fn checked(of: Searched, asked: &Asked) -> std::result::Result<Page, ScimError> {
    let queries = asked.checked_of(of.types(), MAX_RESULTS)?;
    let first = queries.first().map(|query| query.page);
    first.map_or_else(|| Page::new(None, None, MAX_RESULTS), Ok)
}
