//! `/scim/v2`: SCIM 2.0 (RFC 7643, RFC 7644) as identity providers use it to provision people.
//!
//! | path | file |
//! |---|---|
//! | `/Users`, `/Users/{id}` | [`users`] |
//! | `/Users` asked by a filter, `/Users/.search`, `/.search` | [`search`] |
//! | `/ServiceProviderConfig`, `/ResourceTypes`, `/Schemas` | [`discovery`] |
//!
//! A change is answered after the subjects have committed what it means for them. A 503 means that the
//! change is kept and will be carried out, though it has not been confirmed; sending it again is safe.
//!
//! Errors are of RFC 7644 section 3.12. What of a resource is answered is decided here: the directory
//! gives all that is answered without being asked for.

pub mod discovery;
pub mod search;
pub mod users;

use super::context::Ctx;
use crate::error::scim_error;
use crate::objects::call::{CallError, DirectoryFrame};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::resource::render::{Projection, projected};
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::schema::{ResourceType, USER};
use serde_json::Value;
use worker::{Response, Result};

const CONTENT_TYPE: &str = "application/scim+json";

/// What the service has. What is published of it, and what is found by a search of everything, follows.
const TYPES: [&ResourceType; 1] = [&USER];

/// The connection's SCIM URL.
fn base(ctx: &Ctx) -> String {
    format!("{}/scim/v2", ctx.config.issuer)
}

fn frame(ctx: &Ctx) -> DirectoryFrame {
    DirectoryFrame {
        connection: ctx.config.connection.id.clone(),
        base: base(ctx),
        rules: Rules::of(&ctx.config.connection),
        request: ctx.facts(),
    }
}

/// What a request's parameters ask for.
fn asked(ctx: &Ctx) -> std::result::Result<Asked, ScimError> {
    let query = ctx
        .query()
        .map_err(|_| ScimError::InvalidSyntax("a parameter came twice".into()))?;
    Ok(Asked::from_parameters(|name| {
        query.get(name).map(String::as_str)
    }))
}

/// What of each resource is answered; `None`: all that is without being asked for.
struct View(Option<Projection>);

impl View {
    fn of(asked: &Asked) -> std::result::Result<Self, ScimError> {
        let (attributes, excluded) = (&asked.attributes, &asked.excluded_attributes);
        if attributes.is_none() && excluded.is_none() {
            return Ok(Self(None));
        }
        Projection::new(&USER, attributes.as_deref(), excluded.as_deref())
            .map(|projection| Self(Some(projection)))
    }

    fn is_narrower(&self) -> bool {
        self.0.is_some()
    }

    fn show(&self, resource: Value) -> Value {
        match (&self.0, resource) {
            (Some(projection), Value::Object(whole)) => {
                Value::Object(projected(&USER, &whole, projection))
            }
            (_, resource) => resource,
        }
    }
}

fn failed(error: &ScimError) -> Result<Response> {
    scim_error(error.status(), error.scim_type(), &error.detail())
}

fn unavailable(error: &CallError) -> Result<Response> {
    worker::console_error!("scim: {error}");
    let response = scim_error(503, None, "not confirmed yet; try again")?;
    response.headers().set("retry-after", "1")?;
    Ok(response)
}
