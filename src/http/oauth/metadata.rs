//! Authorization server metadata (RFC 8414), the same as OpenID provider metadata, and the JWKS.

use crate::error::json;
use crate::http::context::Ctx;
use crate::keys;
use portcullis_core::client::GrantType;
use portcullis_core::jwt::assertion::ALGORITHMS;
use portcullis_core::jwt::dpop;
use portcullis_core::oauth::authorize::Prompt;
use serde_json::json;
use worker::{Response, Result};

/// What the endpoints are and what they support.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let issuer = &ctx.config.issuer;
    let registration = &ctx.config.registration;
    let at = |path: &str| format!("{issuer}{path}");
    let with_secret_or_key = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let any_client = [
        "none",
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
    ];
    let mut metadata = json!({
        "issuer": issuer,
        "authorization_endpoint": at("/authorize"),
        "pushed_authorization_request_endpoint": at("/par"),
        "token_endpoint": at("/token"),
        "userinfo_endpoint": at("/userinfo"),
        "introspection_endpoint": at("/introspect"),
        "revocation_endpoint": at("/revoke"),
        "end_session_endpoint": at("/logout"),
        "jwks_uri": at("/.well-known/jwks.json"),

        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": GrantType::ALL,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": Prompt::ALL.map(Prompt::as_str),
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "acr",
            "name", "preferred_username", "email", "email_verified"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": dpop::ALGORITHMS,

        "token_endpoint_auth_methods_supported": any_client,
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint_auth_methods_supported": any_client,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "introspection_endpoint_auth_methods_supported": with_secret_or_key,
        "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,

        "authorization_response_iss_parameter_supported": true,
        "backchannel_logout_supported": true,
        "backchannel_logout_session_supported": true,
        "client_id_metadata_document_supported": registration.metadata_documents,
        "require_pushed_authorization_requests": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "claims_parameter_supported": false,
    });
    if let (true, Some(fields)) = (registration.dynamic, metadata.as_object_mut()) {
        fields.insert("registration_endpoint".to_owned(), at("/register").into());
    }
    public(json(200, &metadata)?)
}

/// The public keys.
pub async fn jwks(ctx: Ctx) -> Result<Response> {
    let keys = keys::ours(&ctx.env, &ctx.config).await?;
    let response = Response::ok(keys.jwks.clone())?;
    response
        .headers()
        .set("content-type", "application/jwk-set+json")?;
    public(response)
}

/// Readable by any page and for a minute by any cache.
fn public(response: Response) -> Result<Response> {
    response
        .headers()
        .set("cache-control", "public, max-age=60")?;
    response.headers().set("access-control-allow-origin", "*")?;
    Ok(response)
}
