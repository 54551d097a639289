//! `/scim/v2/Groups`: groups, one by one ([`super::resources`]).

use super::Admitted;
use super::resources::{self, Kind};
use worker::{Response, Result};

/// POST.
pub async fn create(ctx: Admitted) -> Result<Response> {
    resources::create(ctx, Kind::Group).await
}

/// GET by id.
pub async fn get(ctx: Admitted) -> Result<Response> {
    resources::get(ctx, Kind::Group).await
}

/// PUT.
pub async fn replace(ctx: Admitted) -> Result<Response> {
    resources::replace(ctx, Kind::Group).await
}

/// PATCH.
pub async fn patch(ctx: Admitted) -> Result<Response> {
    resources::patch(ctx, Kind::Group).await
}

/// DELETE.
pub async fn delete(ctx: Admitted) -> Result<Response> {
    resources::delete(ctx, Kind::Group).await
}
