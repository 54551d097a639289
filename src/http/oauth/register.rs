//! `POST /register`: dynamic client registration (RFC 7591), where the deployment allows it.
//!
//! Anybody may call it, so what it gives is little: a client that people are always asked about, with the
//! scopes that are open to anybody. It cannot be managed afterwards (RFC 7592) except by an operator.
//! A secret is shown here and never again. Software statements are ignored, as section 2.3 allows.

use crate::error::{Problem, json};
use crate::http::clients::{new_client_id, with_secret};
use crate::http::context::Ctx;
use crate::http::wide::changed_by;
use crate::limits::{Limit, allow, refusal};
use crate::objects::call;
use portcullis_core::client::{Invalid, Origin};
use portcullis_core::policy::call::{CreateClient, Created};
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// Fields of ours that are not the client's business.
const NOT_ITS_OWN: [&str; 6] = [
    "source",
    "secrets",
    "first_party",
    "disabled",
    "introspects",
    "resources",
];

/// 201 with the client's metadata, or an error of RFC 7591 section 3.2.2.
pub async fn post(ctx: Ctx) -> Result<Response> {
    let response = register(ctx).await?;
    // Applications in browsers register too; no cookie means anything here.
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}

async fn register(mut ctx: Ctx) -> Result<Response> {
    if !ctx.config.registration.dynamic {
        return Problem::new(404, "clients cannot register themselves here").response();
    }
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    if !allow(&ctx.env, Limit::Address(address.as_deref())).await {
        return refusal();
    }
    let metadata: Map<String, Value> = match ctx.json().await? {
        Ok(metadata) => metadata,
        Err(problem) if problem.status() == 413 => return problem.response(),
        Err(problem) => return refused(&Invalid::Metadata(problem.detail().to_owned())),
    };
    let scope = &ctx.config.registration.scope;
    let origin = Origin::Registration { scope };
    let mut client = match origin.client(&new_client_id()?, metadata, ctx.now, ctx.config.dev) {
        Ok(client) => client,
        Err(invalid) => return refused(&invalid),
    };
    let secret = with_secret(&mut client, &ctx)?;
    let create = CreateClient {
        client: serde_json::to_string(&client)?,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, create).await {
        Ok(Created::Created(_)) => {
            let mut fields = client.description();
            fields.retain(|name, _| !NOT_ITS_OWN.contains(&name.as_str()));
            if let Some(secret) = secret {
                fields.insert("client_secret".to_owned(), secret.into());
                fields.insert("client_secret_expires_at".to_owned(), 0.into());
            }
            json(201, &fields)
        }
        // An id of 16 random bytes is not taken; so many have registered that no more can.
        Ok(Created::Exists | Created::Full) => {
            json(503, &json!({"error": "temporarily_unavailable"}))
        }
        Err(error) => {
            worker::console_error!("register: {error}");
            json(503, &json!({"error": "temporarily_unavailable"}))
        }
    }
}

fn refused(invalid: &Invalid) -> Result<Response> {
    let body = json!({"error": invalid.error(), "error_description": invalid.to_string()});
    json(400, &body)
}
