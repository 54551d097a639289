//! `/scim/v2/Users`: SCIM 2.0 as identity providers use it to provision people.
//!
//! A deactivation is answered after the subject's kill has committed. A 503 means that the change is
//! kept and will be carried out, though it has not been confirmed; sending it again is safe.

use super::context::Ctx;
use crate::error::{json_as, scim_error};
use crate::objects::call::{self, CallError, DirectoryFrame};
use crate::runtime::new_id;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    CreateUser, DeleteUser, FindUser, Found, GetUser, PatchUser, UserReply,
};
use portcullis_core::scim::filter::user_name_eq;
use portcullis_core::scim::user::UserId;
use serde_json::{Value, json};
use worker::{Response, Result};

const CONTENT_TYPE: &str = "application/scim+json";
const MAX_COUNT: u32 = 100;

/// POST.
pub async fn create(mut ctx: Ctx) -> Result<Response> {
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return too_large(&problem),
    };
    let id = UserId::from_bytes(new_id()?);
    let reply = call::directory(&ctx.env, frame(&ctx), CreateUser { id, body }).await;
    let response = resource(201, reply)?;
    if response.status_code() == 201 {
        let location = format!("{}/{}", users_url(&ctx), id.to_text());
        response.headers().set("location", &location)?;
    }
    Ok(response)
}

/// GET by filter, or all in pages.
pub async fn find(ctx: Ctx) -> Result<Response> {
    let Ok(query) = ctx.query() else {
        return failed(&ScimError::InvalidSyntax("a parameter came twice".into()));
    };
    let user_name = match query
        .get("filter")
        .map(|filter| user_name_eq(filter))
        .transpose()
    {
        Ok(user_name) => user_name,
        Err(error) => return failed(&error),
    };
    let number = |name: &str, default: u32| match query.get(name) {
        None => Ok(default),
        // Negative counts as zero (RFC 7644 section 3.4.2.4).
        Some(text) => text
            .parse::<i64>()
            .map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX))
            .map_err(|_| ScimError::InvalidValue(name.to_owned())),
    };
    let (start_index, count) = match (number("startIndex", 1), number("count", MAX_COUNT)) {
        (Ok(start_index), Ok(count)) => (start_index.max(1), count.min(MAX_COUNT)),
        (Err(error), _) | (_, Err(error)) => return failed(&error),
    };
    let find = FindUser {
        user_name,
        start_index,
        count,
    };
    let found: Found = match call::directory(&ctx.env, frame(&ctx), find).await {
        Ok(found) => found,
        Err(error) => return unavailable(&error),
    };
    let resources = found
        .resources
        .iter()
        .map(|resource| serde_json::from_str(resource))
        .collect::<std::result::Result<Vec<Value>, _>>()?;
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": found.total,
        "startIndex": start_index,
        "itemsPerPage": resources.len(),
        "Resources": resources,
    });
    json_as(CONTENT_TYPE, 200, &body)
}

/// GET by id.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let Some(id) = UserId::from_text(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    resource(
        200,
        call::directory(&ctx.env, frame(&ctx), GetUser { id }).await,
    )
}

/// PATCH.
pub async fn patch(mut ctx: Ctx) -> Result<Response> {
    let Some(id) = UserId::from_text(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    let body = match ctx.text().await? {
        Ok(body) => body,
        Err(problem) => return too_large(&problem),
    };
    resource(
        200,
        call::directory(&ctx.env, frame(&ctx), PatchUser { id, body }).await,
    )
}

/// DELETE.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let Some(id) = UserId::from_text(ctx.param(0)) else {
        return failed(&ScimError::NotFound);
    };
    match call::directory(&ctx.env, frame(&ctx), DeleteUser { id }).await {
        Ok(Ok(())) => Ok(Response::empty()?.with_status(204)),
        Ok(Err(error)) => failed(&error),
        Err(error) => unavailable(&error),
    }
}

fn users_url(ctx: &Ctx) -> String {
    format!("{}/scim/v2/Users", ctx.config.issuer)
}

fn frame(ctx: &Ctx) -> DirectoryFrame {
    DirectoryFrame {
        connection: ctx.config.connection.id.clone(),
        users_url: users_url(ctx),
        request: ctx.facts(),
    }
}

fn resource(status: u16, reply: std::result::Result<UserReply, CallError>) -> Result<Response> {
    match reply {
        Ok(Ok(resource)) => {
            let response = Response::ok(resource)?.with_status(status);
            response.headers().set("content-type", CONTENT_TYPE)?;
            response.headers().set("cache-control", "no-store")?;
            Ok(response)
        }
        Ok(Err(error)) => failed(&error),
        Err(error) => unavailable(&error),
    }
}

fn failed(error: &ScimError) -> Result<Response> {
    scim_error(error.status(), error.scim_type(), &error.detail())
}

fn too_large(problem: &crate::error::Problem) -> Result<Response> {
    scim_error(problem.status(), None, problem.detail())
}

fn unavailable(error: &CallError) -> Result<Response> {
    worker::console_error!("scim: {error}");
    let response = scim_error(503, None, "not confirmed yet; try again")?;
    response.headers().set("retry-after", "1")?;
    Ok(response)
}
