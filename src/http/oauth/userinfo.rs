//! `GET` and `POST /userinfo` (OIDC Core section 5.3): who the person is, to whoever has an access token
//! of theirs with the scope `openid`.
//!
//! | scope | claims |
//! |---|---|
//! | `openid` | `sub` |
//! | `profile` | `name`, `preferred_username` |
//! | `email` | `email`, `email_verified` |
//!
//! Any audience will do. The claims are for the client, whose tokens are for the APIs that it calls, and
//! an API that is sent one may know whose it is; nothing can be done here but to read. Groups
//! are in the access token, where the APIs look that decide by them, and not here.
//!
//! The token comes as RFC 6750 section 2.1 says, or RFC 9449 section 7.1: one that is bound to a key is worth
//! nothing without its proof, which counts once. Errors are those of RFC 6750 section 3.1.

use super::described::{Standing, believe, denial, standing};
use crate::error::{Problem, json};
use crate::http::context::Ctx;
use portcullis_core::audit::event::{Action, Actor};
use portcullis_core::jwt::access_token::{Presentation, VerifiedAccessToken};
use portcullis_core::jwt::dpop::{ALGORITHMS, ProofVerifier, VerifiedProof};
use portcullis_core::session::Profile;
use portcullis_core::session::grant::OneTime;
use serde_json::{Map, Value, json};
use worker::{Response, Result};

/// A token and how it came.
#[derive(Debug, PartialEq, Eq)]
enum Credential<'a> {
    Bearer(&'a str),
    Bound(&'a str),
}

/// Why nothing is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    /// No token came, or nothing that is one.
    Missing,
    /// It is not good, or not any more.
    InvalidToken,
    /// The proof is not good, or came before.
    InvalidProof,
    /// It is good for other things.
    InsufficientScope,
    /// Nobody can tell now.
    Unavailable,
}

impl Rejection {
    fn response(self) -> Result<Response> {
        let dpop = |error: &str| format!(r#"DPoP {error}algs="{}""#, ALGORITHMS.join(" "));
        let (status, detail, challenge) = match self {
            Self::Missing => (
                401,
                "an access token is needed",
                format!("Bearer, {}", dpop("")),
            ),
            Self::InvalidToken => (
                401,
                "the access token is not valid",
                format!(
                    r#"Bearer error="invalid_token", {}"#,
                    dpop(r#"error="invalid_token", "#)
                ),
            ),
            Self::InvalidProof => (
                401,
                "the proof is not valid",
                dpop(r#"error="invalid_dpop_proof", "#),
            ),
            Self::InsufficientScope => (
                403,
                "the access token does not allow this",
                r#"Bearer error="insufficient_scope", scope="openid""#.to_owned(),
            ),
            Self::Unavailable => return Problem::unavailable().response(),
        };
        let response = Problem::new(status, detail).response()?;
        response.headers().set("www-authenticate", &challenge)?;
        Ok(response)
    }
}

/// The claims, or why not; pages of any origin may read them, for no cookie means anything here.
pub async fn get(ctx: Ctx) -> Result<Response> {
    let response = match claims(&ctx).await? {
        Ok(claims) => json(200, &claims)?,
        Err(rejection) => rejection.response()?,
    };
    let headers = response.headers();
    headers.set("access-control-allow-origin", "*")?;
    headers.set("access-control-expose-headers", "www-authenticate")?;
    Ok(response)
}

async fn claims(ctx: &Ctx) -> Result<std::result::Result<Value, Rejection>> {
    let header = ctx.request.headers().get("authorization")?;
    let Some(credential) = header.as_deref().and_then(credential) else {
        return Ok(Err(Rejection::Missing));
    };
    let (text, proof) = match credential {
        Credential::Bearer(text) => (text, None),
        Credential::Bound(text) => match proof(ctx, text)? {
            Some(proof) => (text, Some(proof)),
            None => return Ok(Err(Rejection::InvalidProof)),
        },
    };
    let presentation = proof
        .as_ref()
        .map_or(Presentation::Bearer, Presentation::WithProof);
    let token = match believe(ctx, text, presentation).await? {
        Ok(token) => token,
        Err(why) => {
            let reason = format!("token_{}", why.as_str());
            ctx.log(ctx.refusal(reason, 401));
            return Ok(Err(Rejection::InvalidToken));
        }
    };
    let once = proof.map(|proof| OneTime {
        digest: proof.replay_digest(),
        until: proof.expires_at(),
    });
    if !has_scope(&token, "openid") {
        return Ok(Err(Rejection::InsufficientScope));
    }
    let actor = Actor::Subject(token.claims().sub);
    let (reason, rejection) = match standing(ctx, &token, once).await {
        Ok(Standing::Active(session)) => return Ok(Ok(told(&token, &session.profile))),
        Ok(Standing::Denied(why)) => (why.as_str(), Rejection::InvalidToken),
        Ok(Standing::ProofReplayed) => ("proof_replayed", Rejection::InvalidProof),
        Err(error) => {
            worker::console_error!("userinfo: {error}");
            return Ok(Err(Rejection::Unavailable));
        }
    };
    // A denial is in the log before the caller hears of it.
    let event = denial(ctx, &token, (Action::CheckDenied, reason), (actor, 401));
    crate::audit::record(&ctx.env, event).await?;
    Ok(Err(rejection))
}

/// What `Authorization` holds, if that is one token (RFC 6750 section 2.1, RFC 9449 section 7.1).
fn credential(header: &str) -> Option<Credential<'_>> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    if token.is_empty() || token.contains([' ', ',']) {
        return None;
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(Credential::Bearer(token))
    } else if scheme.eq_ignore_ascii_case("dpop") {
        Some(Credential::Bound(token))
    } else {
        None
    }
}

/// The proof that came along, if it is good for this request and this token.
fn proof(ctx: &Ctx, token: &str) -> Result<Option<VerifiedProof>> {
    let Some(header) = ctx.request.headers().get("dpop")? else {
        return Ok(None);
    };
    let verifier = ProofVerifier {
        method: &ctx.request.inner().method(),
        // By our own name, not by the one that the caller used.
        url: &format!("{}{}", ctx.config.issuer, ctx.url.path()),
        access_token: Some(token),
    };
    Ok(verifier.verify(&header, ctx.now).ok())
}

fn has_scope(token: &VerifiedAccessToken, scope: &str) -> bool {
    let granted = token.claims().scope.as_deref().unwrap_or_default();
    granted.split(' ').any(|one| one == scope)
}

fn told(token: &VerifiedAccessToken, profile: &Profile) -> Value {
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(token.claims().sub));
    let mut tell = |name: &str, value: Option<&String>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), json!(value));
        }
    };
    if has_scope(token, "profile") {
        tell("name", profile.name.as_ref());
        tell("preferred_username", profile.preferred_username.as_ref());
    }
    if has_scope(token, "email") && profile.email.is_some() {
        tell("email", profile.email.as_ref());
        claims.insert("email_verified".to_owned(), json!(profile.email_verified));
    }
    Value::Object(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_by_one_of_two_schemes_and_alone() {
        assert_eq!(
            credential("bEARER  a.b.c"),
            Some(Credential::Bearer("a.b.c"))
        );
        assert_eq!(credential("DPoP a.b.c"), Some(Credential::Bound("a.b.c")));
        for other in [
            "Bearer",
            "Bearer ",
            "Basic YTpi",
            "Bearer a b",
            "Bearer a,b",
            "",
        ] {
            assert_eq!(credential(other), None, "{other}");
        }
    }
}
