//! Finding people: `GET /scim/v2/Users` (RFC 7644 section 3.4.2), and `POST` to `/Users/.search` or
//! `/.search`, which keeps what is asked for out of URLs (section 3.4.3).
//!
//! The same is asked either way, and the same is answered: a list, of which a page has 100 at most. Users
//! are all that there is, so `/.search` finds them alone.

use super::{Admitted, CONTENT_TYPE, View, asked, failed, unavailable};
use crate::error::{json_as, scim_problem};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{MAX_RESULTS, SearchUsers};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::resource::list::response;
use portcullis_core::scim::schema::USER;
use serde_json::Value;
use worker::{Response, Result};

/// GET by filter, or all in pages.
pub async fn get(ctx: Admitted) -> Result<Response> {
    match asked(&ctx) {
        Ok(asked) => answer(&ctx, asked).await,
        Err(error) => failed(&error),
    }
}

/// POST.
pub async fn post(mut ctx: Admitted) -> Result<Response> {
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    let asked = serde_json::from_str(&body)
        .map_err(|_| ScimError::InvalidSyntax("the body is no JSON object".into()))
        .and_then(|body: Value| Asked::from_body(&body));
    match asked {
        Ok(asked) => answer(&ctx, asked).await,
        Err(error) => failed(&error),
    }
}

async fn answer(ctx: &Admitted, asked: Asked) -> Result<Response> {
    let checked = asked.checked(&USER, MAX_RESULTS);
    let (query, view) = match checked.and_then(|query| Ok((query, View::of(&asked)?))) {
        Ok(both) => both,
        Err(error) => return failed(&error),
    };
    let found = match ctx.ask(SearchUsers { asked }).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return unavailable(&error),
    };
    let resources = found.resources.iter().map(|resource| {
        let resource = serde_json::from_str(resource)?;
        Ok(view.show(resource))
    });
    let resources = resources.collect::<Result<Vec<Value>>>()?;
    let list = response(found.total, query.page, &resources);
    json_as(CONTENT_TYPE, 200, &list)
}
