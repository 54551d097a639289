//! SCIM 2.0 (RFC 7643, RFC 7644) as identity providers use it to provision people: of every connection below
//! `/scim/{connection}/v2`, and of the configuration's below `/scim/v2` as well.
//!
//! | path | file |
//! |---|---|
//! | `/Users`, `/Users/{id}` | [`users`] |
//! | `/Users` asked by a filter, `/Users/.search`, `/.search` | [`search`] |
//! | `/ServiceProviderConfig`, `/ResourceTypes`, `/Schemas` | [`discovery`] |
//! | who may, at all of them | [`admit`] |
//!
//! A change is answered after the subjects have committed what it means for them. A 503 means that the
//! change is kept and will be carried out, though it has not been confirmed; sending it again is safe.
//!
//! Errors are of RFC 7644 section 3.12. What of a resource is answered is decided here: the directory
//! gives all that is answered without being asked for.

pub mod admit;
pub mod discovery;
pub mod search;
pub mod users;

pub use admit::{Admitted, Whose, answer, turn_away};

use super::context::Ctx;
use crate::auth::Refusal;
use crate::error::{refused, scim_error};
use crate::objects::call::CallError;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::resource::render::{Projection, projected};
use portcullis_core::scim::schema::{ResourceType, USER};
use serde_json::Value;
use worker::{Response, Result};

const CONTENT_TYPE: &str = "application/scim+json";

/// What the service has. What is published of it, and what is found by a search of everything, follows.
const TYPES: [&ResourceType; 1] = [&USER];

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
