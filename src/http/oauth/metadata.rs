//! Authorization server metadata (RFC 8414), the same as OpenID provider metadata, and the JWKS.

use crate::error::json;
use crate::http::context::Ctx;
use crate::keys;
use portcullis_core::jwt::assertion::ALGORITHMS;
use portcullis_core::oauth::authorize::Prompt;
use serde_json::json;
use worker::{Response, Result};

/// What the endpoints are and what they support.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let issuer = &ctx.config.issuer;
    let registration = &ctx.config.registration;
    let mut metadata = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "pushed_authorization_request_endpoint": format!("{issuer}/par"),
            "require_pushed_authorization_requests": false,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "end_session_endpoint": format!("{issuer}/logout"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "revocation_endpoint": format!("{issuer}/revoke"),
            "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
            "backchannel_logout_supported": true,
            "backchannel_logout_session_supported": true,
            "prompt_values_supported": Prompt::ALL.map(Prompt::as_str),
            "request_parameter_supported": false,
            "request_uri_parameter_supported": false,
            "claims_parameter_supported": false,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid", "acr", "name", "preferred_username", "email", "email_verified"],
            "authorization_response_iss_parameter_supported": true,
            "client_id_metadata_document_supported": registration.metadata_documents,
    });
    if let (true, Some(fields)) = (registration.dynamic, metadata.as_object_mut()) {
        let endpoint = format!("{issuer}/register");
        fields.insert("registration_endpoint".to_owned(), endpoint.into());
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
