//! Who a client is, at every endpoint that it calls itself (RFC 6749 section 2.3).
//!
//! One method at a time: HTTP Basic or the form for a secret, a signed assertion for a key (RFC 7523
//! section 2.2), and nothing but its `client_id` for a public client. An unknown client, a wrong secret and
//! the wrong method are all `invalid_client`.

use crate::error::json;
use crate::http::context::Ctx;
use crate::limits::{self, Limit};
use crate::objects::call;
use crate::remote_keys::Of;
use crate::{policy, remote_keys};
use base64ct::{Base64, Encoding};
use portcullis_core::audit::event::Event;
use portcullis_core::client::{AuthMethod, Client};
use portcullis_core::id::SubjectKey;
use portcullis_core::jwt::TokenError;
use portcullis_core::jwt::assertion::{
    ASSERTION_TYPE, ClientAssertionVerifier, VerifiedAssertion, unverified_client_id,
};
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::session::describe::UseOnce;
use portcullis_core::session::grant::OneTime;
use portcullis_core::session::service::LOCAL;
use serde_json::json;
use std::collections::BTreeMap;
use std::rc::Rc;
use worker::{Response, Result};

/// Why a client is not dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unproven {
    /// Two methods at once, or one that is not understood.
    InvalidRequest,
    /// It is not known, or has not proven that it is who it says.
    InvalidClient {
        /// It tried HTTP authentication, so it is asked for that (RFC 6749 section 5.2).
        by_header: bool,
    },
    /// It asks too often.
    TooMany,
    /// It cannot be told now.
    Unavailable,
}

impl Unproven {
    /// The error as the RFC shapes it.
    pub fn response(self) -> Result<Response> {
        let (status, error) = match self {
            Self::InvalidRequest => (400, "invalid_request"),
            Self::InvalidClient { .. } => (401, "invalid_client"),
            Self::TooMany => return limits::refusal(),
            Self::Unavailable => (503, "temporarily_unavailable"),
        };
        let response = json(status, &json!({"error": error}))?;
        let headers = response.headers();
        if (Self::InvalidClient { by_header: true }) == self {
            headers.set("www-authenticate", r#"Basic realm="portcullis""#)?;
        }
        if self == Self::Unavailable {
            headers.set("retry-after", "1")?;
        }
        Ok(response)
    }
}

/// What a client presents.
enum Presented<'a> {
    Nothing {
        client_id: &'a str,
    },
    Secret {
        client_id: String,
        secret: String,
        by_header: bool,
    },
    Assertion {
        client_id: String,
        assertion: &'a str,
    },
}

impl Presented<'_> {
    fn client_id(&self) -> &str {
        match self {
            Self::Nothing { client_id } => client_id,
            Self::Secret { client_id, .. } | Self::Assertion { client_id, .. } => client_id,
        }
    }

    const fn by_header(&self) -> bool {
        matches!(
            self,
            Self::Secret {
                by_header: true,
                ..
            }
        )
    }
}

/// The client that calls, proven as far as its kind can; a public one has only said who it is.
pub async fn authenticate(
    ctx: &Ctx,
    form: &BTreeMap<String, String>,
) -> Result<std::result::Result<Rc<Client>, Unproven>> {
    let header = ctx.request.headers().get("authorization")?;
    let presented = match presented(header.as_deref(), form) {
        Ok(presented) => presented,
        Err(unproven) => return Ok(Err(unproven)),
    };
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    let limit = Limit::Client {
        id: presented.client_id(),
        address: address.as_deref(),
    };
    if !limits::allow(&ctx.env, limit).await {
        return Ok(Err(Unproven::TooMany));
    }
    let found = policy::client(&ctx.env, &ctx.config, presented.client_id()).await;
    let client = match found {
        Ok(client) => client,
        Err(error) => {
            worker::console_error!("client: {error}");
            return Ok(Err(Unproven::Unavailable));
        }
    };
    let by_header = presented.by_header();
    let Some(client) = client else {
        refused(ctx, presented.client_id(), "client_unknown");
        return Ok(Err(Unproven::InvalidClient { by_header }));
    };
    let proven = match &presented {
        Presented::Nothing { .. } => Ok(client.is_public()),
        Presented::Secret { secret, .. } => Ok(client.authenticates_with_secret(secret, ctx.now)),
        Presented::Assertion { assertion, .. } => proven_by(ctx, &client, assertion).await,
    };
    match proven {
        Ok(true) => Ok(Ok(client)),
        Ok(false) => {
            refused(ctx, &client.client_id, "client_unproven");
            Ok(Err(Unproven::InvalidClient { by_header }))
        }
        Err(unproven) => Ok(Err(unproven)),
    }
}

/// What `header` and `form` present, if it is one thing.
fn presented<'a>(
    header: Option<&str>,
    form: &'a BTreeMap<String, String>,
) -> std::result::Result<Presented<'a>, Unproven> {
    let get = |name: &str| form.get(name).map(String::as_str);
    let (client_id, secret) = (get("client_id"), get("client_secret"));
    let assertion = match (get("client_assertion_type"), get("client_assertion")) {
        (None, None) => None,
        (Some(ASSERTION_TYPE), Some(assertion)) => Some(assertion),
        _ => return Err(Unproven::InvalidRequest),
    };
    match (header, secret, assertion, client_id) {
        (Some(header), None, None, _) => {
            let (id, secret) = basic(header).ok_or(Unproven::InvalidClient { by_header: true })?;
            if client_id.is_some_and(|other| other != id) {
                return Err(Unproven::InvalidRequest);
            }
            Ok(Presented::Secret {
                client_id: id,
                secret,
                by_header: true,
            })
        }
        (None, Some(secret), None, Some(client_id)) => Ok(Presented::Secret {
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            by_header: false,
        }),
        (None, None, Some(assertion), _) => {
            let subject = unverified_client_id(assertion).ok();
            let client_id = client_id.map(str::to_owned).or(subject);
            let client_id = client_id.ok_or(Unproven::InvalidClient { by_header: false })?;
            Ok(Presented::Assertion {
                client_id,
                assertion,
            })
        }
        (None, None, None, Some(client_id)) => Ok(Presented::Nothing { client_id }),
        _ => Err(Unproven::InvalidRequest),
    }
}

/// `client_id` and secret of HTTP Basic: each form-encoded, then joined (RFC 6749 section 2.3.1).
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(Base64::decode_vec(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = pair.split_once(':')?;
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&text).decode_utf8();
        decoded.ok().map(std::borrow::Cow::into_owned)
    };
    Some((decoded(client_id)?, decoded(secret)?))
}

/// Whether `assertion` is by a key of the client's, for us, in force, and new.
async fn proven_by(
    ctx: &Ctx,
    client: &Client,
    assertion: &str,
) -> std::result::Result<bool, Unproven> {
    if client.token_endpoint_auth_method != AuthMethod::PrivateKeyJwt {
        return Ok(false);
    }
    let Some(verified) = verified(ctx, client, assertion).await? else {
        return Ok(false);
    };
    // Remembered with the client's own subject, whichever grant it is for.
    let subject = SubjectKey::derive(&ctx.config.naming_key, LOCAL, &client.client_id);
    let once = UseOnce {
        once: OneTime {
            digest: verified.replay_digest(),
            until: verified.expires_at(),
        },
    };
    call::subject(&ctx.env, subject, once)
        .await
        .map_err(|error| {
            worker::console_error!("client assertion: {error}");
            Unproven::Unavailable
        })
}

async fn verified(
    ctx: &Ctx,
    client: &Client,
    assertion: &str,
) -> std::result::Result<Option<VerifiedAssertion>, Unproven> {
    let issuer = &ctx.config.issuer;
    let token_endpoint = format!("{issuer}/token");
    let called = format!("{issuer}{}", ctx.url.path());
    let verifier = ClientAssertionVerifier {
        client_id: &client.client_id,
        audiences: &[issuer, &token_endpoint, &called],
    };
    let verify = |keys: &KeySet| verifier.verify(assertion, keys, ctx.now);
    let believed: std::result::Result<_, TokenError> = match (&client.jwks, &client.jwks_uri) {
        (Some(jwks), _) => {
            let keys = KeySet::parse(jwks.to_string().as_bytes());
            keys.map_or(Err(TokenError::UnknownKey), |keys| verify(&keys))
        }
        (None, Some(uri)) => remote_keys::verified_of(Of::Client, uri, assertion, verify)
            .await
            .map_err(|error| {
                worker::console_error!("client keys: {error}");
                Unproven::Unavailable
            })?,
        (None, None) => return Ok(None),
    };
    Ok(believed.ok())
}

/// In the log, off the path. The id is what was claimed; nothing else of the request is kept.
fn refused(ctx: &Ctx, client_id: &str, reason: &str) {
    ctx.log(Event {
        client_id: Some(client_id.to_owned()),
        ..ctx.refusal(reason, 401)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn basic_is_decoded_as_rfc_6749_has_it() {
        let header = |pair: &str| format!("Basic {}", Base64::encode_string(pair.as_bytes()));
        let found = basic(&header("a%3Ab:c+d%2B%25"));
        assert_eq!(found, Some(("a:b".to_owned(), "c d+%".to_owned())));
        for bad in [
            "Bearer x",
            "Basic",
            "Basic !",
            &header("no colon"),
            &header("%ff:x"),
        ] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }

    #[test]
    fn two_methods_at_once_are_no_request() {
        let header = format!("Basic {}", Base64::encode_string(b"c:s"));
        let assertion = ("client_assertion", "x");
        let typed = ("client_assertion_type", ASSERTION_TYPE);
        for (header, form) in [
            (Some(header.as_str()), form(&[("client_secret", "s")])),
            (Some(header.as_str()), form(&[assertion, typed])),
            (Some(header.as_str()), form(&[("client_id", "other")])),
            (
                None,
                form(&[("client_id", "c"), ("client_secret", "s"), assertion, typed]),
            ),
            (None, form(&[("client_id", "c"), assertion])),
            (
                None,
                form(&[
                    ("client_id", "c"),
                    assertion,
                    ("client_assertion_type", "saml"),
                ]),
            ),
            (None, form(&[("client_secret", "s")])),
            (None, form(&[])),
        ] {
            let refused = presented(header, &form).err();
            assert_eq!(refused, Some(Unproven::InvalidRequest), "{form:?}");
        }
        let known = form(&[("client_id", "c")]);
        assert!(presented(Some(&header), &known).is_ok_and(|p| p.client_id() == "c"));
    }
}
