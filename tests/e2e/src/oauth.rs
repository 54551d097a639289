//! The endpoints beside `/token` that a client or a resource server calls.

use crate::Result;
use crate::app::{App, Tokens, random_text};
use crate::browser::Browser;
use crate::forge::Forger;
use crate::http::{Request, Response};
use crate::stack::Endpoints;
use crate::wait::unix_secs;
use portcullis_core::text::base64url;
use serde_json::{Value, json};

/// The demo resource server, as form fields that authenticate it.
pub const DEMO_SERVICE: [(&str, &str); 2] = [
    ("client_id", "demo-service"),
    ("client_secret", "dev-secret"),
];

/// The refresh token of an answer.
#[must_use]
pub fn refresh_token(tokens: &Tokens) -> &str {
    tokens.answer["refresh_token"].as_str().unwrap_or_default()
}

/// A POST of `client`'s fields and `token` to the service's `path`.
#[must_use]
pub fn about(at: &Endpoints, path: &str, client: &[(&str, &str)], token: &str) -> Request {
    let mut fields = client.to_vec();
    fields.push(("token", token));
    Request::post(format!("{}{path}", at.service)).form(&fields)
}

/// What `POST /introspect` says of a token to the demo resource server.
#[track_caller]
pub fn introspected(at: &Endpoints, token: &str) -> Result<Value> {
    let request = about(at, "/introspect", &DEMO_SERVICE, token);
    request.send()?.expect(200)?.json()
}

/// Exchanges a refresh token of `client_id`'s.
pub fn refresh(at: &Endpoints, client_id: &str, token: &str) -> Result<Response> {
    Request::post(format!("{}/token", at.service))
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("refresh_token", token),
        ])
        .send()
}

/// Logs `user` in to tokens that are bound to `key`.
pub fn log_in_bound(app: &App, user: &str, key: &Forger) -> Result<Tokens> {
    let attempt = app.attempt()?;
    let code = app.code(&mut Browser::new(), user, &attempt)?;
    let answer = Request::post(&app.token_endpoint)
        .form(&[
            ("grant_type", "authorization_code"),
            ("client_id", &app.client_id),
            ("redirect_uri", app.redirect_uri.as_str()),
            ("code", &code),
            ("code_verifier", &attempt.verifier),
        ])
        .header("dpop", proof(key, "POST", &app.token_endpoint, None)?)
        .send()?
        .expect(200)?;
    let tokens = Tokens::read(&answer)?;
    if tokens.answer["token_type"] == "DPoP" {
        return Ok(tokens);
    }
    Err(answer.unexpected("tokens of the type DPoP"))
}

/// A `DPoP` proof by `key` for a request (RFC 9449 section 4.2).
pub fn proof(key: &Forger, method: &str, url: &str, token: Option<&str>) -> Result<String> {
    let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key.jwk() });
    let mut claims =
        json!({ "jti": random_text()?, "htm": method, "htu": url, "iat": unix_secs() });
    if let Some(token) = token {
        claims["ath"] = json!(base64url(&hmac_sha256::Hash::hash(token.as_bytes())));
    }
    Ok(key.sign(&header, &claims))
}
