//! `/scim/v2/Users`: people, one by one (RFC 7644 sections 3.3, 3.4.1, 3.5 and 3.6).
//!
//! Every answer with a resource has its version as `ETag` (section 3.14). `If-Match` and `If-None-Match` are
//! heeded by all but POST: 412 where they do not hold, and 304 for a GET of what the caller has.
//! `attributes` and `excludedAttributes` narrow what is answered, also to writes.

use super::{Admitted, CONTENT_TYPE, View, asked, failed, unavailable};
use crate::error::scim_problem;
use crate::objects::call::CallError;
use crate::runtime::new_id;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{ChangeUser, CreateUser, GetUser, UserChange, UserReply};
use portcullis_core::scim::resource::version::{Conditions, Verdict, Version};
use portcullis_core::scim::user::UserId;
use serde::Deserialize;
use worker::{Response, Result};

/// POST.
pub async fn create(mut ctx: Admitted) -> Result<Response> {
    let view = match asked(&ctx).and_then(|asked| View::of(&asked)) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    let id = UserId::from_bytes(new_id()?);
    let reply = ctx.ask(CreateUser { id, body }).await;
    let response = resource(201, reply, &view)?;
    if response.status_code() == 201 {
        let location = format!("{}/Users/{}", ctx.base(), id.to_text());
        response.headers().set("location", &location)?;
    }
    Ok(response)
}

/// GET by id.
pub async fn get(ctx: Admitted) -> Result<Response> {
    let (view, conditions) = match asked(&ctx).and_then(|asked| View::of(&asked)) {
        Ok(view) => (view, conditions(&ctx)?),
        Err(error) => return failed(&error),
    };
    let conditions = match conditions {
        Ok(conditions) => conditions,
        Err(error) => return failed(&error),
    };
    let Some(id) = UserId::from_text(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    let reply = ctx.ask(GetUser { id }).await;
    if let Ok(Ok(resource)) = &reply {
        let version = version(resource)?;
        match conditions.check(Some(version), true) {
            Ok(Verdict::Proceed) => {}
            Ok(Verdict::NotModified) => {
                let response = Response::empty()?.with_status(304);
                response.headers().set("etag", &version.to_etag())?;
                response.headers().set("cache-control", "no-store")?;
                return Ok(response);
            }
            Err(error) => return failed(&error),
        }
    }
    resource(200, reply, &view)
}

/// PUT.
pub async fn replace(ctx: Admitted) -> Result<Response> {
    change_by_body(ctx, UserChange::Replace).await
}

/// PATCH.
pub async fn patch(ctx: Admitted) -> Result<Response> {
    change_by_body(ctx, UserChange::Patch).await
}

/// DELETE.
pub async fn delete(ctx: Admitted) -> Result<Response> {
    let view = match asked(&ctx).and_then(|asked| View::of(&asked)) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    change(&ctx, UserChange::Delete, &view).await
}

async fn change_by_body(mut ctx: Admitted, by: fn(String) -> UserChange) -> Result<Response> {
    let view = match asked(&ctx).and_then(|asked| View::of(&asked)) {
        Ok(view) => view,
        Err(error) => return failed(&error),
    };
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return scim_problem(&problem),
    };
    change(&ctx, by(body), &view).await
}

async fn change(ctx: &Admitted, change: UserChange, view: &View) -> Result<Response> {
    let Some(id) = UserId::from_text(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    let headers = ctx.request.headers();
    let change = ChangeUser {
        id,
        change,
        if_match: headers.get("if-match")?,
        if_none_match: headers.get("if-none-match")?,
    };
    match ctx.ask(change).await {
        Ok(Ok(None)) => Ok(Response::empty()?.with_status(204)),
        Ok(Ok(Some(changed))) => resource(200, Ok(Ok(changed)), view),
        Ok(Err(error)) => failed(&error),
        Err(error) => unavailable(&error),
    }
}

fn conditions(ctx: &Admitted) -> Result<std::result::Result<Conditions, ScimError>> {
    let headers = ctx.request.headers();
    let (if_match, if_none_match) = (headers.get("if-match")?, headers.get("if-none-match")?);
    Ok(Conditions::new(
        if_match.as_deref(),
        if_none_match.as_deref(),
    ))
}

fn resource(
    status: u16,
    reply: std::result::Result<UserReply, CallError>,
    view: &View,
) -> Result<Response> {
    let resource = match reply {
        Ok(Ok(resource)) => resource,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return unavailable(&error),
    };
    let etag = version(&resource)?.to_etag();
    let shown = if view.is_narrower() {
        view.show(serde_json::from_str(&resource)?).to_string()
    } else {
        resource
    };
    let response = Response::ok(shown)?.with_status(status);
    response.headers().set("content-type", CONTENT_TYPE)?;
    response.headers().set("cache-control", "no-store")?;
    response.headers().set("etag", &etag)?;
    Ok(response)
}

/// The version of a resource as the directory gave it.
fn version(resource: &str) -> Result<Version> {
    #[derive(Deserialize)]
    struct Versioned {
        meta: Meta,
    }
    #[derive(Deserialize)]
    struct Meta {
        version: String,
    }
    let versioned: Versioned = serde_json::from_str(resource)?;
    Version::from_etag(&versioned.meta.version)
        .ok_or_else(|| worker::Error::from("a resource has no version"))
}
