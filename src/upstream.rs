//! The relying party's side of OpenID Connect: the identity provider's metadata, keys and tokens.

use crate::config::Config;
use crate::discovery::Metadata;
use crate::runtime::now;
use crate::{discovery, outbound, remote_keys};
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::id_token::{IdTokenVerifier, VerifiedIdToken};
use portcullis_core::jwt::jwks::KeySet;
use serde::Deserialize;
use std::fmt;
use std::rc::Rc;
use url::form_urlencoded;

/// Why a log-in could not be finished at the identity provider.
#[derive(Debug)]
pub enum UpstreamError {
    /// It does not answer, or not with what it should.
    Unavailable(String),
    /// Its ID token is not to be believed.
    Token(TokenError),
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(why) => write!(f, "identity provider: {why}"),
            Self::Token(error) => write!(f, "ID token: {error}"),
        }
    }
}

impl From<worker::Error> for UpstreamError {
    fn from(error: worker::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<discovery::Unavailable> for UpstreamError {
    fn from(error: discovery::Unavailable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The provider's metadata, from the isolate's memory or by discovery.
pub async fn metadata(config: &Config) -> Result<Rc<Metadata>, UpstreamError> {
    Ok(discovery::discovered(&config.connection.issuer, config.dev).await?)
}

#[derive(Deserialize)]
struct TokenResponse {
    id_token: String,
}

/// Exchanges the provider's `code` and verifies the ID token that comes for it.
pub async fn identify(
    config: &Config,
    code: &str,
    code_verifier: &str,
    nonce: &str,
) -> Result<VerifiedIdToken, UpstreamError> {
    let metadata = metadata(config).await?;
    let connection = &config.connection;
    let redirect_uri = format!("{}/callback", config.issuer);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", code_verifier),
    ];
    let authorization = basic(&connection.client_id, &connection.client_secret);
    let answer = outbound::post_form(&metadata.token_endpoint, &authorization, &form).await?;
    let tokens: TokenResponse = serde_json::from_slice(&answer)
        .map_err(|_| UpstreamError::Unavailable("no id_token".to_owned()))?;
    let verifier = IdTokenVerifier {
        // As the provider spells it: the comparison is exact.
        issuer: &metadata.issuer,
        client_id: &connection.client_id,
        nonce,
    };
    let verify = |keys: &KeySet| verifier.verify(&tokens.id_token, keys, now());
    remote_keys::verified(&metadata.jwks_uri, &tokens.id_token, verify)
        .await
        .map_err(|error| UpstreamError::Unavailable(error.to_string()))?
        .map_err(UpstreamError::Token)
}

/// HTTP Basic as RFC 6749 section 2.3.1 wants it: both parts form-encoded first.
fn basic(client_id: &str, client_secret: &str) -> String {
    use base64ct::{Base64, Encoding};
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(client_id), encoded(client_secret));
    format!("Basic {}", Base64::encode_string(pair.as_bytes()))
}
