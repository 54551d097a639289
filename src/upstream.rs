//! The relying party's side of OpenID Connect: the identity provider's metadata, keys and tokens.

use crate::config::Config;
use crate::connections;
use crate::discovery::{self, Metadata};
use crate::keys;
use crate::runtime::{new_id, now};
use crate::{outbound, remote_keys};
use portcullis_core::client::AuthMethod;
use portcullis_core::connection::Connection;
use portcullis_core::id::TokenId;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::assertion::{ASSERTION_TYPE, ClientAssertionClaims, TYP};
use portcullis_core::jwt::id_token::{IdTokenVerifier, VerifiedIdToken};
use portcullis_core::jwt::jwks::KeySet;
use serde::Deserialize;
use std::fmt;
use std::rc::Rc;
use url::form_urlencoded;
use worker::Env;

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

/// How the provider spells its issuer, and where its keys are.
pub async fn issuer_and_keys(
    config: &Config,
    connection: &Connection,
) -> Result<(String, String), UpstreamError> {
    if let Some(jwks_uri) = &connection.jwks_uri {
        return Ok((connection.issuer.clone(), jwks_uri.clone()));
    }
    let metadata = metadata(config, connection).await?;
    Ok((metadata.issuer.clone(), metadata.jwks_uri.clone()))
}

/// The provider's metadata: as the connection says, or by discovery. A SAML provider has none, and nothing is
/// asked at its entity ID.
pub async fn metadata(
    config: &Config,
    connection: &Connection,
) -> Result<Rc<Metadata>, UpstreamError> {
    if connection.saml.is_some() {
        let why = "it speaks SAML and has no OpenID metadata";
        return Err(UpstreamError::Unavailable(why.to_owned()));
    }
    if let (Some(authorization_endpoint), Some(token_endpoint), Some(jwks_uri)) = (
        &connection.authorization_endpoint,
        &connection.token_endpoint,
        &connection.jwks_uri,
    ) {
        return Ok(Rc::new(Metadata {
            issuer: connection.issuer.clone(),
            authorization_endpoint: authorization_endpoint.clone(),
            token_endpoint: token_endpoint.clone(),
            jwks_uri: jwks_uri.clone(),
            authorization_response_iss_parameter_supported: false,
        }));
    }
    Ok(discovery::discovered(&connection.issuer, config.dev).await?)
}

#[derive(Deserialize)]
struct TokenResponse {
    id_token: String,
}

/// What a browser brought back, and what was kept of its way.
pub struct Returned<'a> {
    /// The provider's.
    pub code: &'a str,
    /// PKCE.
    pub code_verifier: &'a str,
    /// What the ID token must repeat.
    pub nonce: &'a str,
}

/// Exchanges the provider's code and verifies the ID token that comes for it.
pub async fn identify(
    env: &Env,
    config: &Config,
    connection: &Connection,
    returned: Returned<'_>,
) -> Result<VerifiedIdToken, UpstreamError> {
    let metadata = metadata(config, connection).await?;
    let redirect_uri = connections::redirect_uri(config, &connection.id);
    let proof = proof(env, config, connection, &metadata).await?;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", returned.code),
        ("redirect_uri", &redirect_uri),
        ("code_verifier", returned.code_verifier),
    ];
    form.extend(
        proof
            .form
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let authorization = proof.authorization.as_deref();
    let answer = outbound::post_form(&metadata.token_endpoint, authorization, &form).await?;
    let tokens: TokenResponse = serde_json::from_slice(&answer)
        .map_err(|_| UpstreamError::Unavailable("no id_token".to_owned()))?;
    let verifier = IdTokenVerifier {
        issuer: &metadata.issuer,
        client_id: &connection.client_id,
        nonce: returned.nonce,
    };
    let verify = |keys: &KeySet| verifier.verify(&tokens.id_token, keys, now());
    remote_keys::verified(&metadata.jwks_uri, &tokens.id_token, verify)
        .await
        .map_err(|error| UpstreamError::Unavailable(error.to_string()))?
        .map_err(UpstreamError::Token)
}

/// How the service proves who it is: a header, or fields of the form.
#[derive(Default)]
struct Proof {
    authorization: Option<String>,
    form: Vec<(&'static str, String)>,
}

async fn proof(
    env: &Env,
    config: &Config,
    connection: &Connection,
    metadata: &Metadata,
) -> Result<Proof, UpstreamError> {
    let client_id = &connection.client_id;
    Ok(match connection.token_endpoint_auth_method {
        AuthMethod::ClientSecretBasic => {
            let secret = connections::secret(config, connection)?;
            Proof {
                authorization: Some(basic(client_id, &secret)),
                form: Vec::new(),
            }
        }
        AuthMethod::ClientSecretPost => {
            let secret = connections::secret(config, connection)?;
            Proof {
                authorization: None,
                form: vec![("client_id", client_id.clone()), ("client_secret", secret)],
            }
        }
        AuthMethod::PrivateKeyJwt => {
            // For the very place that it is sent to, so that nobody else can use it.
            let jti = TokenId::from_bytes(new_id()?);
            let claims =
                ClientAssertionClaims::new(client_id, &metadata.token_endpoint, jti, now());
            let keys = keys::ours(env, config).await?;
            let assertion = keys.sign(&claims, TYP).await?;
            Proof {
                authorization: None,
                form: vec![
                    ("client_id", client_id.clone()),
                    ("client_assertion_type", ASSERTION_TYPE.to_owned()),
                    ("client_assertion", assertion),
                ],
            }
        }
        AuthMethod::None => Proof {
            authorization: None,
            form: vec![("client_id", client_id.clone())],
        },
    })
}

/// HTTP Basic as RFC 6749 section 2.3.1 wants it: both parts form-encoded first.
fn basic(client_id: &str, client_secret: &str) -> String {
    use base64ct::{Base64, Encoding};
    let encoded =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!("{}:{}", encoded(client_id), encoded(client_secret));
    format!("Basic {}", Base64::encode_string(pair.as_bytes()))
}
