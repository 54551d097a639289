//! What the service can do, and what it knows (RFC 7644 section 4): `/ServiceProviderConfig`, `/ResourceTypes`
//! and `/Schemas`, each of the latter also one by one.
//!
//! Lists come whole. A filter is refused, as the RFC says; every other parameter is ignored.

use super::{Admitted, CONTENT_TYPE, TYPES, failed};
use crate::error::{json_as, scim_error};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::bulk::LIMITS;
use portcullis_core::scim::call::MAX_RESULTS;
use portcullis_core::scim::resource::list::{Page, response};
use portcullis_core::scim::schema::documents::{
    self, Limits, resource_type, resource_types, schema, schemas,
};
use serde_json::Value;
use worker::{Response, Result};

/// What the service can do.
pub async fn config(ctx: Admitted) -> Result<Response> {
    let limits = Limits {
        max_results: MAX_RESULTS,
        bulk: Some(LIMITS),
    };
    let document = documents::service_provider_config(ctx.base(), limits);
    unfiltered(&ctx, || json_as(CONTENT_TYPE, 200, &document)).await
}

/// The types of resources.
pub async fn types(ctx: Admitted) -> Result<Response> {
    unfiltered(&ctx, || list(&resource_types(&TYPES, ctx.base()))).await
}

/// One type.
pub async fn one_type(ctx: Admitted) -> Result<Response> {
    let found = resource_type(&TYPES, &ctx.decoded_param(0), ctx.base());
    unfiltered(&ctx, || one(found)).await
}

/// The schemas.
pub async fn all_schemas(ctx: Admitted) -> Result<Response> {
    unfiltered(&ctx, || list(&schemas(&TYPES, ctx.base()))).await
}

/// One schema.
pub async fn one_schema(ctx: Admitted) -> Result<Response> {
    let found = schema(&TYPES, &ctx.decoded_param(0), ctx.base());
    unfiltered(&ctx, || one(found)).await
}

/// Answers, if nothing is to be filtered and the provider's secret is good: nothing else asks the directory here.
async fn unfiltered(ctx: &Admitted, answer: impl FnOnce() -> Result<Response>) -> Result<Response> {
    if let Err(refusal) = ctx.knock().await? {
        return Ok(refusal);
    }
    if ctx.url.query_pairs().any(|(name, _)| name == "filter") {
        return scim_error(403, None, "this cannot be filtered");
    }
    answer()
}

fn list(all: &[Value]) -> Result<Response> {
    let page = Page {
        start_index: 1,
        count: MAX_RESULTS,
    };
    let total = u64::try_from(all.len()).unwrap_or(u64::MAX);
    json_as(CONTENT_TYPE, 200, &response(total, page, all))
}

fn one(found: Option<Value>) -> Result<Response> {
    match found {
        Some(document) => json_as(CONTENT_TYPE, 200, &document),
        None => failed(&ScimError::NotFound),
    }
}
