//! A workload proves itself by a token of its own platform (RFC 7523 section 2.1, RFC 8693): a CI job's, a
//! cluster's. A declared trust says whose tokens stand for which of our services; no secret of ours is
//! involved, so none can leak.

use super::Rejection;
use crate::http::context::{Ctx, Form};
use crate::limits::{self, Limit};
use crate::{discovery, policy, remote_keys};
use portcullis_core::client::{Client, GrantType};
use portcullis_core::jwt::assertion::WorkloadTokenVerifier;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::jwt::unverified::UnverifiedToken;
use portcullis_core::policy::trust::Trust;
use std::rc::Rc;
use worker::Result;

/// The `subject_token_type`s of foreign tokens (RFC 8693 section 3).
const FOREIGN: [&str; 2] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
];

/// A client, and the trust that let a workload stand for it, if one did.
pub(super) type Identified = (Rc<Client>, Option<Trust>);

/// Whether the request brings a workload's token instead of a client's credential.
pub(super) fn is_presented(grant: GrantType, form: &Form) -> bool {
    match grant {
        GrantType::JwtBearer => true,
        GrantType::TokenExchange => form
            .get("subject_token_type")
            .is_some_and(|kind| FOREIGN.contains(&kind)),
        _ => false,
    }
}

/// Whom the token stands for.
pub(super) async fn identify(
    ctx: &Ctx,
    form: &Form,
) -> Result<std::result::Result<Identified, Rejection>> {
    let token = form.get("assertion").or_else(|| form.get("subject_token"));
    let Some(token) = token else {
        return Ok(Err(Rejection::InvalidRequest));
    };
    let address = ctx.request.headers().get("cf-connecting-ip")?;
    if !limits::allow(&ctx.env, Limit::Address(address.as_deref())).await {
        return Ok(Err(Rejection::TooMany));
    }
    let trusts = match policy::trusts(&ctx.env).await {
        Ok(trusts) => trusts,
        Err(error) => {
            worker::console_error!("trusts: {error}");
            return Ok(Err(Rejection::Unavailable));
        }
    };
    // Its claims say which trusts to try, and nothing else until it is verified.
    let Ok(unverified) = UnverifiedToken::parse(token) else {
        return Ok(Err(refused(ctx, "workload_malformed")));
    };
    let candidates = trusts.iter().filter(|trust| {
        unverified.unverified_iss() == Some(trust.issuer.as_str())
            && unverified.has_unverified_aud(&trust.audience)
    });
    for trust in candidates {
        match admits(ctx, trust, token).await {
            Ok(true) => return client_of(ctx, form, trust).await,
            Ok(false) => {}
            Err(rejection) => return Ok(Err(rejection)),
        }
    }
    Ok(Err(refused(ctx, "workload_untrusted")))
}

async fn admits(ctx: &Ctx, trust: &Trust, token: &str) -> std::result::Result<bool, Rejection> {
    let unavailable = |error: &dyn std::fmt::Display| {
        worker::console_error!("trust {}: {error}", trust.id);
        Rejection::Unavailable
    };
    let jwks_uri = match &trust.jwks_uri {
        Some(uri) => uri.clone(),
        None => discovery::jwks_uri(&trust.issuer, ctx.config.dev)
            .await
            .map_err(|error| unavailable(&error))?,
    };
    let verifier = WorkloadTokenVerifier {
        issuer: &trust.issuer,
        audience: &trust.audience,
    };
    let verify = |keys: &KeySet| verifier.verify(token, keys, ctx.now);
    let believed = remote_keys::verified(&jwks_uri, token, verify)
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(believed.is_ok_and(|token| trust.admits(token.claims())))
}

async fn client_of(
    ctx: &Ctx,
    form: &Form,
    trust: &Trust,
) -> Result<std::result::Result<Identified, Rejection>> {
    // Who says who they are must be who the trust says.
    if form
        .get("client_id")
        .is_some_and(|id| id != trust.client_id)
    {
        return Ok(Err(refused(ctx, "workload_client")));
    }
    match policy::client(&ctx.env, &ctx.config, &trust.client_id).await {
        Ok(Some(client)) => Ok(Ok((client, Some(trust.clone())))),
        Ok(None) => Ok(Err(refused(ctx, "workload_client"))),
        Err(error) => {
            worker::console_error!("trust {}: {error}", trust.id);
            Ok(Err(Rejection::Unavailable))
        }
    }
}

fn refused(ctx: &Ctx, reason: &str) -> Rejection {
    ctx.log(ctx.refusal(reason, 400));
    Rejection::InvalidGrant
}
