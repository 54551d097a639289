//! SCIM 2.0 (RFC 7643, RFC 7644) as identity providers use it to provision people: of every connection below
//! `/scim/{connection}/v2`, and of the configuration's below `/scim/v2` as well.
//!
//! | path | file |
//! |---|---|
//! | `/Users`, `/Users/{id}` | [`users`] |
//! | `/Groups`, `/Groups/{id}` | [`groups`] |
//! | either asked by a filter, `/.search` below it, `/.search` | [`search`] |
//! | `/Bulk` | [`bulk`] |
//! | `/ServiceProviderConfig`, `/ResourceTypes`, `/Schemas` | [`discovery`] |
//! | who may, at all of them | [`admit`] |
//!
//! A change is answered after the subjects have committed what it means for them. A 503 means that the
//! change is kept and will be carried out, though it has not been confirmed; sending it again is safe.
//!
//! Errors are of RFC 7644 section 3.12. What of a resource is answered the directory decides: so it reads no more
//! than that.

pub mod admit;
pub mod bulk;
pub mod discovery;
pub mod groups;
mod resources;
pub mod search;
pub mod users;

pub use admit::{Admitted, Whose, answer, turn_away};

use super::context::Ctx;
use crate::auth::Refusal;
use crate::error::{refused, scim_error};
use crate::objects::call::CallError;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use worker::{Response, Result};

const CONTENT_TYPE: &str = "application/scim+json";

/// What the service has, and publishes.
const TYPES: [&ResourceType; 2] = [&USER, &GROUP];

/// What a request's parameters ask for.
fn asked(ctx: &Ctx) -> std::result::Result<Asked, ScimError> {
    let query = ctx
        .query()
        .map_err(|_| ScimError::InvalidSyntax("a parameter came twice".into()))?;
    Ok(Asked::from_parameters(|name| {
        query.get(name).map(String::as_str)
    }))
}

fn failed(error: &ScimError) -> Result<Response> {
    if *error == ScimError::SecretRefused {
        return refused(Refusal::Unknown, true);
    }
    scim_error(error.status(), error.scim_type(), &error.detail())
}

fn unavailable(error: &CallError) -> Result<Response> {
    worker::console_error!("scim: {error}");
    let response = scim_error(503, None, "not confirmed yet; try again")?;
    response.headers().set("retry-after", "1")?;
    Ok(response)
}
