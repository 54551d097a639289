//! `/v1/connections`: the identity providers, by an operator.
//!
//! PUT replaces a connection's whole document but for its secret, which stays if none is sent and it may
//! be sent where the document says; a secret is never shown. The configuration's connection is shown,
//! can be turned off and on, and is changed there.
//!
//! Turning a connection off, removing it, and changing what its people may end everything that
//! rests on it; a change of who they are is another connection. A change leaves it on or off as it was,
//! unless it says otherwise. Every change is answered when it is in force everywhere.

use super::context::Ctx;
use super::scim_secrets;
use super::wide::{Revocation, changed_by};
use crate::connections;
use crate::error::{Problem, json};
use crate::objects::call::{self, CallError, Object};
use crate::policy;
use crate::runtime::random;
use portcullis_core::connection::{Connection, is_id};
use portcullis_core::oauth::flow::{FlowId, FlowRequest, Keep, Kind, Stage};
use portcullis_core::policy::call::{
    ConnectionKept, DeleteConnection, EnableConnection, PutConnection, RevokedWide,
};
use portcullis_core::wire::Call;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// How long a link to a test is good for, in seconds.
const TEST_TTL_SECS: u64 = 600;
const MAX_SECRET_BYTES: usize = 1024;
/// What only answers have.
const ANSWERED: [&str; 9] = [
    "has_client_secret",
    "static",
    "redirect_uri",
    "backchannel_logout_uri",
    "jwks_uri_of_service",
    "revoked",
    "acs_url",
    "metadata_url",
    "scim_url",
];

fn failed(error: &CallError) -> Result<Response> {
    worker::console_error!("connections: {error}");
    Problem::unavailable().response()
}

fn unknown() -> Result<Response> {
    Problem::new(404, "there is no such connection").response()
}

/// The connection as operators see it, with what they must tell the provider.
fn described(ctx: &Ctx, connection: &Connection, revoked: Option<&RevokedWide>) -> Result<Value> {
    let is_static = connections::is_static(&ctx.config, &connection.id);
    let issuer = &ctx.config.issuer;
    let id = &connection.id;
    let mut fields = connection.description();
    let has_secret = is_static || connection.sealed_client_secret.is_some();
    fields.insert("has_client_secret".to_owned(), has_secret.into());
    fields.insert("static".to_owned(), is_static.into());
    fields.insert(
        "scim_url".to_owned(),
        connections::scim_url(&ctx.config, id).into(),
    );
    let to_register = if connection.saml.is_some() {
        vec![
            ("acs_url", connections::acs_url(&ctx.config, id)),
            (
                "metadata_url",
                connections::saml_metadata_url(&ctx.config, id),
            ),
        ]
    } else {
        vec![
            ("redirect_uri", connections::redirect_uri(&ctx.config, id)),
            (
                "backchannel_logout_uri",
                format!("{issuer}/backchannel-logout/{id}"),
            ),
            (
                "jwks_uri_of_service",
                format!("{issuer}/.well-known/jwks.json"),
            ),
        ]
    };
    let to_register = to_register.into_iter();
    fields.extend(to_register.map(|(name, url)| (name.to_owned(), url.into())));
    if let Some(revoked) = revoked {
        let revoked = serde_json::to_value(Revocation::from(revoked))?;
        fields.insert("revoked".to_owned(), revoked);
    }
    Ok(Value::Object(fields))
}

/// Makes a connection.
pub async fn create(ctx: Ctx) -> Result<Response> {
    keep(ctx, None).await
}

/// Replaces a connection.
pub async fn put(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    keep(ctx, Some(id)).await
}

/// Keeps what the body says, in place of the connection of that id if there is to be one.
async fn keep(mut ctx: Ctx, replaced: Option<String>) -> Result<Response> {
    let body: Map<String, Value> = match ctx.json().await? {
        Ok(body) => body,
        Err(problem) => return problem.response(),
    };
    let enabled = body.get("enabled").and_then(Value::as_bool);
    let connection = match connection(&ctx, body, replaced.as_deref()) {
        Ok(connection) => connection,
        Err(problem) => return problem.response(),
    };
    let new = replaced.is_none();
    let put = PutConnection {
        connection: serde_json::to_string(&connection)?,
        enabled,
        new,
        by: changed_by(&ctx),
    };
    match call::policy_object(&ctx.env, put).await {
        Ok(ConnectionKept::Kept(kept, revoked)) => {
            policy::in_force_everywhere().await;
            let kept: Connection = serde_json::from_str(&kept)?;
            let kept = described(&ctx, &kept, revoked.as_ref())?;
            json(if new { 201 } else { 200 }, &kept)
        }
        Ok(ConnectionKept::Mismatch) if new => Problem::new(409, "the id is taken").response(),
        Ok(ConnectionKept::Mismatch) => unknown(),
        Ok(ConnectionKept::Full) => Problem::new(409, "there are too many connections").response(),
        Ok(ConnectionKept::NeedsSecret) => {
            let why = "client_secret is needed: there is none, or it was for another issuer, \
                       token_endpoint or client_id";
            Problem::bad_request(why).response()
        }
        Ok(ConnectionKept::OtherPeople) => {
            let why = "by another issuer or subject_claim the same value is somebody else: make another \
                       connection";
            Problem::new(409, why).response()
        }
        Ok(ConnectionKept::Taken(other)) => {
            let why = format!("{other} accepts the same tokens, or has the same api_shield");
            Problem::new(409, why).response()
        }
        Err(error) => failed(&error),
    }
}

/// The connection that the body describes, its secret sealed.
fn connection(
    ctx: &Ctx,
    mut body: Map<String, Value>,
    replaced: Option<&str>,
) -> std::result::Result<Connection, Problem> {
    let secret = match body.remove("client_secret") {
        None | Some(Value::Null) => None,
        Some(Value::String(secret)) if (1..=MAX_SECRET_BYTES).contains(&secret.len()) => {
            Some(secret)
        }
        Some(_) => {
            return Err(Problem::bad_request(
                "client_secret is empty, too long, or no text",
            ));
        }
    };
    // Sealed here and nowhere else.
    if body.contains_key("sealed_client_secret") {
        return Err(Problem::bad_request("sealed_client_secret is not taken"));
    }
    // So that what was shown can be sent back.
    for name in ANSWERED {
        body.remove(name);
    }
    let mut connection = Connection::deserialize(Value::Object(body))
        .map_err(|error| Problem::bad_request(format!("the body: {error}")))?;
    if let Some(replaced) = replaced {
        if !connection.id.is_empty() && connection.id != replaced {
            return Err(Problem::bad_request("id is another"));
        }
        replaced.clone_into(&mut connection.id);
    }
    if connections::is_static(&ctx.config, &connection.id) {
        return Err(Problem::new(
            409,
            "the connection stands in the configuration",
        ));
    }
    if connection.is_issuer(&ctx.config.issuer) {
        return Err(Problem::bad_request("issuer is this service"));
    }
    connection
        .valid(ctx.config.dev)
        .map_err(Problem::bad_request)?;
    connection.sealed_client_secret = secret
        .map(|secret| connections::sealed(&ctx.config, &connection.id, &secret))
        .transpose()
        .map_err(|_| Problem::unavailable())?;
    Ok(connection)
}

/// Every connection.
pub async fn list(ctx: Ctx) -> Result<Response> {
    let all = connections::all(&ctx.env, &ctx.config).await?;
    let all = all
        .iter()
        .map(|connection| described(&ctx, connection, None));
    let all = all.collect::<Result<Vec<_>>>()?;
    json(200, &json!({ "connections": all }))
}

/// One connection.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    match connections::any(&ctx.env, &ctx.config, &id).await? {
        Some(connection) => json(200, &described(&ctx, &connection, None)?),
        None => unknown(),
    }
}

/// Forgets a connection and ends what rests on it.
pub async fn delete(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    if connections::is_static(&ctx.config, &id) {
        return Problem::new(409, "the connection stands in the configuration").response();
    }
    let by = changed_by(&ctx);
    let delete = DeleteConnection { id: id.clone(), by };
    match call::policy_object(&ctx.env, delete).await {
        Ok(true) => {
            // Its endpoint is closed when every view knows; a crash here leaves secrets that open nothing, and the
            // operator, who has had no answer, asks again.
            if let Err(error) = scim_secrets::forget(&ctx, &id).await {
                return failed(&error);
            }
            policy::in_force_everywhere().await;
            Ok(Response::empty()?.with_status(204))
        }
        Ok(false) => unknown(),
        Err(error) => failed(&error),
    }
}

/// Turns a connection on.
pub async fn enable(ctx: Ctx) -> Result<Response> {
    set_enabled(&ctx, true).await
}

/// Turns a connection off and ends what rests on it.
pub async fn disable(ctx: Ctx) -> Result<Response> {
    set_enabled(&ctx, false).await
}

async fn set_enabled(ctx: &Ctx, enabled: bool) -> Result<Response> {
    let id = ctx.decoded_param(0);
    let enable = EnableConnection {
        is_static: connections::is_static(&ctx.config, &id),
        id: id.clone(),
        enabled,
        by: changed_by(ctx),
    };
    match call::policy_object(&ctx.env, enable).await {
        Ok(true) => {
            policy::in_force_everywhere().await;
            json(200, &json!({"id": id, "enabled": enabled}))
        }
        Ok(false) => unknown(),
        Err(error) => failed(&error),
    }
}

/// Makes a link that tests a connection, in a browser.
pub async fn test(ctx: Ctx) -> Result<Response> {
    let id = ctx.decoded_param(0);
    let is_known = is_id(&id) || connections::is_static(&ctx.config, &id);
    if !is_known
        || connections::any(&ctx.env, &ctx.config, &id)
            .await?
            .is_none()
    {
        return unknown();
    }
    let flow = FlowId::new(&ctx.config.routing_key, Kind::Test, &random()?);
    let keep: FlowRequest = Keep {
        stage: Stage::ToTest(id),
        ttl_secs: TEST_TTL_SECS,
    }
    .into_request();
    let object = Object::named(&ctx.env, "FLOW", flow.as_str().to_owned());
    if let Err(error) = object.send::<_, ()>(&keep).await {
        return failed(&error);
    }
    let url = format!(
        "{}/connection-test?flow={}",
        ctx.config.issuer,
        flow.as_str()
    );
    let expires_at = ctx.now.plus_secs(TEST_TTL_SECS).to_rfc3339();
    json(200, &json!({"url": url, "expires_at": expires_at}))
}

/// A connection, for the API description.
pub fn schema() -> Value {
    let text = |what: &str| json!({"type": "string", "description": what});
    let texts =
        |what: &str| json!({"type": "array", "items": {"type": "string"}, "description": what});
    let only_shown = |what: &str| json!({"type": "string", "readOnly": true, "description": what});
    json!({
        "type": "object",
        "required": ["id", "issuer", "client_id"],
        "additionalProperties": false,
        "description": "A claim is named by its exact name, or by a JSON Pointer (RFC 6901); one that is an array is records, each looked at by itself.",
        "properties": {
            "id": text("1 to 32 of a-z, 0-9 and -; never given to another"),
            "name": text("what people are shown"),
            "enabled": {"type": "boolean", "default": true},
            "issuer": text("https at a public name; where discovery begins. With saml: the provider's entity ID"),
            "authorization_endpoint": text("all three or none: no discovery"),
            "token_endpoint": text("likewise"),
            "jwks_uri": text("likewise; alone, with tokens: nobody logs in through it"),
            "client_id": text("what the service is called there; with saml: its entity ID"),
            "client_secret": {"type": "string", "writeOnly": true},
            "token_endpoint_auth_method": {"enum": ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]},
            "scope": text("default: openid profile email"),
            "subject_claim": text("the verified claim that identifies a person; default: sub"),
            "subject_folds_case": {"type": "boolean", "default": false, "description": "its value is the same in any case"},
            "email_claim": text("default: email"),
            "email_is_verified": {"type": "boolean", "description": "every address there is known to be verified"},
            "requires": {"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean"]}, "description": "claims without which nobody is let in, exactly"},
            "groups_claims": texts("default: groups"),
            "roles": {"type": "array", "items": {
                "type": "object",
                "required": ["role", "claim"],
                "properties": {
                    "role": text("what a matching record makes"),
                    "claim": text("whose records are looked at"),
                    "equals": {"type": ["string", "integer", "boolean"], "description": "the record is this"},
                    "where": {"type": "object", "description": "the record is an object with these members"},
                },
            }},
            "claims": texts("what is kept with the session and put into tokens, as idp_claims"),
            "email_domains": texts("whose addresses end so is sent here without being asked"),
            "tokens": {
                "type": "object",
                "required": ["audiences"],
                "description": "which of its own tokens are accepted; absent: none",
                "properties": {
                    "audiences": texts("one must be among aud"),
                    "subject_claim": text("which claim identifies a person in them, if another than in ID tokens"),
                    "algorithms": texts("of RS256, PS256, ES256, EdDSA; default: all"),
                    "max_age_secs": {"type": "integer", "minimum": 1, "maximum": 86400, "default": 3600},
                    "resources": texts("where they count; default: everywhere"),
                },
            },
            "jwks_path": text("where the keys for API Shield are in its key document, a JSON Pointer; default: /keys"),
            "api_shield": {
                "type": "object",
                "required": ["zone_id", "config_id"],
                "properties": {"zone_id": text("32 hex digits"), "config_id": text("a UUID")},
            },
            "saml": saml_schema(),
            "scim": scim_schema(),
            "has_client_secret": {"type": "boolean", "readOnly": true},
            "static": {"type": "boolean", "readOnly": true, "description": "it stands in the configuration"},
            "redirect_uri": only_shown("to be registered at the provider; not with saml"),
            "backchannel_logout_uri": only_shown("likewise"),
            "jwks_uri_of_service": only_shown("likewise, for private_key_jwt"),
            "scim_url": only_shown("where its provider provisions people, by a secret made under scim-secrets"),
            "acs_url": only_shown("with saml: to be registered at the provider"),
            "metadata_url": only_shown("with saml: what the provider must know of the service"),
            "revoked": {"readOnly": true, "$ref": "#/components/schemas/WideRevocation"},
        },
    })
}

fn scim_schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "matching": {
                "enum": ["user_name", "primary_email", "work_email"], "default": "user_name",
                "description": "which attribute of a user has the value by which the person logs in",
            },
            "group_changes": {
                "enum": ["automatic", "reauthenticate_on_group_change", "nothing"], "default": "automatic",
                "description": "what happens to those who stay when their groups or roles change",
            },
        },
    })
}

fn saml_schema() -> Value {
    json!({
        "type": "object",
        "required": ["sso_url", "certificates"],
        "additionalProperties": false,
        "description": "it speaks SAML 2.0: no endpoints, no secret, no tokens and no api_shield. The name of the person is the claim sub, each attribute a claim of its name",
        "properties": {
            "sso_url": {"type": "string", "description": "where browsers are sent, by HTTP-Redirect; https at a public name"},
            "certificates": {
                "type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 8,
                "description": "X.509, in base64; by whose keys it is believed. Changing them ends nothing",
            },
            "name_id_format": {"type": "string", "description": "the kind of name to ask for"},
        },
    })
}

/// All connections, for the API description.
pub fn list_schema() -> Value {
    json!({
        "type": "object",
        "required": ["connections"],
        "properties": {
            "connections": {"type": "array", "items": {"$ref": "#/components/schemas/Connection"}},
        },
    })
}

/// The answer to turning one on or off, for the API description.
pub fn enabled_schema() -> Value {
    json!({
        "type": "object",
        "required": ["id", "enabled"],
        "properties": {"id": {"type": "string"}, "enabled": {"type": "boolean"}},
    })
}

/// A link to a test, for the API description.
pub fn test_schema() -> Value {
    json!({
        "type": "object",
        "required": ["url", "expires_at"],
        "properties": {
            "url": {"type": "string", "description": "to be opened in a browser, once"},
            "expires_at": {"type": "string", "format": "date-time"},
        },
    })
}
