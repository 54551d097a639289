//! `/v1/clients`: the OAuth clients, by an operator.
//!
//! Metadata has the names of RFC 7591, with a few of ours besides (`portcullis_core::client`). PUT
//! replaces all of it, as RFC 7592 section 2.2 has it: nothing is merged, so what is sent is what
//! holds. Static clients are shown and cannot be changed here. A secret is shown in the answer that
//! makes it and never again.
//!
//! What takes something away (a change, a new secret with an end for the old ones, a deletion) is
//! answered when it is in force everywhere.

use super::context::Ctx;
use super::wide::{Revocation, changed_by, in_force};
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError};
use crate::policy;
use crate::runtime::random;
use portcullis_core::client::{Client, NewSecret, Origin, Source};
use portcullis_core::policy::call::{
    CreateClient, Created, DeleteClient, GetClient, ListClients, RotateSecret, Rotated,
    UpdateClient,
};
use portcullis_core::text::base64url;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use worker::{Response, Result};

const DEFAULT_LIMIT: u32 = 100;
/// How long earlier secrets stay good if nothing is said: a day to roll out the new one.
const DEFAULT_OVERLAP_SECS: u64 = 24 * 60 * 60;
/// The longest overlap.
const MAX_OVERLAP_SECS: u64 = 90 * 24 * 60 * 60;

type Refused<T> = std::result::Result<T, Problem>;

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("clients: {error}");
    Problem::unavailable().response()
}

fn parsed(json: &str) -> Result<Client> {
    Ok(serde_json::from_str(json)?)
}

/// A new identifier of a client.
pub fn new_client_id() -> Result<String> {
    Ok(format!("cli_{}", base64url(&random::<16>()?)))
}

/// Gives `client` a secret if it needs one; returns its text.
pub fn with_secret(client: &mut Client, ctx: &Ctx) -> Result<Option<String>> {
    if !client.has_secrets() {
        return Ok(None);
    }
    let secret = NewSecret::new(&random()?);
    client.add_secret(secret.digest(), ctx.now.secs(), ctx.now);
    Ok(Some(secret.into_text()))
}

fn described(
    client: &Client,
    secret: Option<String>,
    revoked: Option<Revocation>,
) -> Result<Value> {
    let mut fields = client.description();
    if let Some(secret) = secret {
        fields.insert("client_secret".to_owned(), secret.into());
    }
    if let Some(revoked) = revoked {
        fields.insert("revoked".to_owned(), serde_json::to_value(revoked)?);
    }
    Ok(Value::Object(fields))
}

/// A static client cannot be changed over the API.
fn refuse_static(ctx: &Ctx, client_id: &str) -> Refused<()> {
    if ctx.config.client(client_id).is_some() {
        return Err(Problem::new(409, "the client stands in the configuration"));
    }
    Ok(())
}

fn valid(ctx: &Ctx, client_id: &str, metadata: Map<String, Value>) -> Refused<Client> {
    Origin::Operator
        .client(client_id, metadata, ctx.now, ctx.config.dev)
        .map_err(|invalid| Problem::bad_request(format!("{}: {invalid}", invalid.error())))
}

/// Registers a client, under an id of the caller's choice or a new one.
pub async fn create(mut ctx: Ctx) -> Result<Response> {
    let metadata: Map<String, Value> = match ctx.json().await? {
        Ok(metadata) => metadata,
        Err(problem) => return problem.response(),
    };
    let client_id = match metadata.get("client_id") {
        Some(Value::String(id)) => id.clone(),
        None | Some(Value::Null) => new_client_id()?,
        Some(_) => return Problem::bad_request("client_id is no text").response(),
    };
    let valid = refuse_static(&ctx, &client_id).and_then(|()| valid(&ctx, &client_id, metadata));
    let mut client = match valid {
        Ok(client) => client,
        Err(problem) => return problem.response(),
    };
    let secret = with_secret(&mut client, &ctx)?;
    let create = CreateClient {
        client: serde_json::to_string(&client)?,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, create).await {
        Ok(Created::Created(revoked)) => {
            if revoked.is_some() {
                policy::in_force_everywhere().await;
            }
            let revoked = revoked.as_ref().map(Revocation::from);
            json(201, &described(&client, secret, revoked)?)
        }
        Ok(Created::Exists) => Problem::new(409, "the client_id is taken").response(),
        Ok(Created::Full) => Problem::unavailable().response(),
        Err(error) => failed(&error),
    }
}

/// A page of clients by id; static ones stand before the first.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let page = match ctx.query().and_then(|mut query| {
        let after = query.remove("cursor");
        let limit = query.remove("limit").map(|limit| limit.parse());
        match (limit.transpose(), query.is_empty()) {
            (Ok(limit), true) => Ok((after, limit.unwrap_or(DEFAULT_LIMIT))),
            _ => Err(Problem::bad_request("limit or a parameter cannot be read")),
        }
    }) {
        Ok((after, limit)) => ListClients { after, limit },
        Err(problem) => return problem.response(),
    };
    let mut clients = Vec::new();
    if page.after.is_none() {
        for client in &ctx.config.clients {
            clients.push(described(client, None, None)?);
        }
    }
    match call::policy_object(&ctx.env, page).await {
        Ok(found) => {
            for client in &found.clients {
                clients.push(described(&parsed(client)?, None, None)?);
            }
            json(200, &json!({"clients": clients, "next": found.next}))
        }
        Err(error) => failed(&error),
    }
}

/// One client.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let client_id = ctx.decoded_param(0);
    if let Some(client) = ctx.config.client(&client_id) {
        return json(200, &described(client, None, None)?);
    }
    match call::policy_object(&ctx.env, GetClient { client_id }).await {
        Ok(found) => match found.client {
            Some(client) => json(200, &described(&parsed(&client)?, None, None)?),
            None => unknown(),
        },
        Err(error) => failed(&error),
    }
}

fn unknown() -> Result<Response> {
    Problem::new(404, "there is no such client").response()
}

/// Replaces a client's metadata; its secrets stay, unless it has no use for them any more.
pub async fn put(mut ctx: Ctx) -> Result<Response> {
    let client_id = ctx.decoded_param(0);
    let metadata: Map<String, Value> = match ctx.json().await? {
        Ok(metadata) => metadata,
        Err(problem) => return problem.response(),
    };
    if metadata
        .get("client_id")
        .is_some_and(|id| *id != *client_id)
    {
        return Problem::bad_request("client_id is another").response();
    }
    let valid = refuse_static(&ctx, &client_id).and_then(|()| valid(&ctx, &client_id, metadata));
    let client = match valid {
        Ok(client) => client,
        Err(problem) => return problem.response(),
    };
    let update = UpdateClient {
        client: serde_json::to_string(&client)?,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, update).await {
        Ok(Some(updated)) => {
            policy::in_force_everywhere().await;
            let revoked = updated.revoked.as_ref().map(Revocation::from);
            json(200, &described(&parsed(&updated.client)?, None, revoked)?)
        }
        Ok(None) => unknown(),
        Err(error) => failed(&error),
    }
}

/// Forgets a client and ends everything that it has.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let client_id = ctx.decoded_param(0);
    if let Err(problem) = refuse_static(&ctx, &client_id) {
        return problem.response();
    }
    let by = changed_by(&ctx);
    match call::policy_object(&ctx.env, DeleteClient { client_id, by }).await {
        Ok(Some(revoked)) => in_force(&ctx, &revoked).await,
        Ok(None) => unknown(),
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default = "default_overlap")]
    earlier_expire_in: u64,
}

const fn default_overlap() -> u64 {
    DEFAULT_OVERLAP_SECS
}

/// Gives a client a new secret; the earlier ones are good for a while yet, or not at all.
pub async fn rotate(mut ctx: Ctx) -> Result<Response> {
    let client_id = ctx.decoded_param(0);
    let rotation: Rotation = match ctx.json().await? {
        Ok(rotation) => rotation,
        Err(problem) => return problem.response(),
    };
    if rotation.earlier_expire_in > MAX_OVERLAP_SECS {
        return Problem::bad_request("earlier_expire_in is more than 90 days").response();
    }
    if let Err(problem) = refuse_static(&ctx, &client_id) {
        return problem.response();
    }
    let secret = NewSecret::new(&random()?);
    let rotate = RotateSecret {
        client_id,
        sha256: secret.digest(),
        earlier_until: ctx.now.secs() + rotation.earlier_expire_in,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, rotate).await {
        Ok(Rotated::Rotated(client)) => {
            policy::in_force_everywhere().await;
            let secret = Some(secret.into_text());
            json(200, &described(&parsed(&client)?, secret, None)?)
        }
        Ok(Rotated::Unknown) => unknown(),
        Ok(Rotated::NoSecrets) => {
            Problem::new(409, "the client does not authenticate by a secret").response()
        }
        Err(error) => failed(&error),
    }
}

/// A client's metadata as it is sent, for the API description.
pub fn request_schema() -> Value {
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    json!({
        "type": "object",
        "description": "client metadata as in RFC 7591 section 2",
        "additionalProperties": false,
        "properties": {
            "client_id": {"type": "string", "description": "a new one if left out"},
            "client_name": {"type": "string"},
            "redirect_uris": texts(),
            "post_logout_redirect_uris": texts(),
            "grant_types": texts(),
            "response_types": {"type": "array", "items": {"const": "code"}},
            "token_endpoint_auth_method": {
                "enum": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            },
            "jwks": {"type": "object"},
            "jwks_uri": {"type": "string"},
            "scope": {"type": "string"},
            "dpop_bound_access_tokens": {"type": "boolean"},
            "require_pushed_authorization_requests": {"type": "boolean"},
            "backchannel_logout_uri": {"type": "string"},
            "backchannel_logout_session_required": {"type": "boolean"},
            "resources": {"type": "array", "items": {"type": "string"},
                "description": "what its tokens may be for (RFC 8707); the first is the default"},
            "introspects": {"type": "array", "items": {"type": "string"},
                "description": "the audiences for which it is the resource server"},
            "first_party": {"type": "boolean", "description": "nobody is asked for consent"},
            "disabled": {"type": "boolean", "description": "turned away, and what it had is over"},
        },
    })
}

/// A client as it is shown, for the API description.
pub fn reply_schema() -> Value {
    let mut schema = request_schema();
    if let Some(fields) = schema["properties"].as_object_mut() {
        let source = Source::ALL.map(Source::as_str);
        fields.insert("source".to_owned(), json!({ "enum": source }));
        fields.insert("client_id_issued_at".to_owned(), json!({"type": "integer"}));
        let secret = json!({"type": "string", "description": "shown once"});
        fields.insert("client_secret".to_owned(), secret);
        let secrets = json!({"type": "array", "items": {"type": "object", "properties": {
            "created_at": {"type": "integer"},
            "expires_at": {"type": ["integer", "null"]},
        }}});
        fields.insert("secrets".to_owned(), secrets);
        let revoked = json!({"$ref": "#/components/schemas/WideRevocation"});
        fields.insert("revoked".to_owned(), revoked);
    }
    schema
}

/// A page of clients, for the API description.
pub fn page_schema() -> Value {
    json!({
        "type": "object",
        "required": ["clients", "next"],
        "properties": {
            "clients": {"type": "array", "items": {"$ref": "#/components/schemas/Client"}},
            "next": {"type": ["string", "null"], "description": "the cursor of the next page"},
        },
    })
}

/// What is said with a rotation, for the API description.
pub fn rotation_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "earlier_expire_in": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_OVERLAP_SECS,
                "default": DEFAULT_OVERLAP_SECS,
                "description": "seconds for which earlier secrets stay good",
            },
        },
    })
}
