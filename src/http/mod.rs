//! Handlers, a file per endpoint, and the way a request takes to them.

pub mod audit;
pub mod audit_epochs;
pub mod audit_events;
pub mod audit_letters;
pub mod audit_log;
pub mod audit_personal;
pub mod audit_retention;
pub mod audit_status;
mod audit_tail;
pub mod check;
mod check_batch;
pub mod clients;
pub mod connections;
pub mod context;
pub mod export_file;
pub mod exports;
pub mod feed;
pub mod health;
pub mod jwks_sync;
pub mod keys;
pub mod oauth;
pub mod openapi;
mod paging;
pub mod preflight;
pub mod receipts;
pub mod revocations;
pub mod scim;
pub mod scim_jobs;
pub mod scim_secrets;
pub mod sessions;
pub mod short_check;
pub mod subjects;
pub mod trusts;
pub mod wide;

use crate::auth::{Caller, Refusal, authorize};
use crate::error::{Problem, refused, shaped};
use crate::routes::{Found, find};
use crate::runtime;
use context::Ctx;
use std::rc::Rc;
use worker::{Context, Env, Request, Response, Result, console_error};

/// Answers a request: configuration, route, authorization, handler.
/// `body`: if it has been read.
pub async fn serve(
    request: Request,
    body: Option<Vec<u8>>,
    env: Env,
    context: Context,
) -> Result<Response> {
    let Some(config) = runtime::config(&env) else {
        return Problem::unavailable().response();
    };
    let url = request.url()?;
    // A developer's service answers to its own name only: a web page that resolves another name to
    // this machine gets nothing.
    if config.dev && !portcullis_core::client::uri::is_loopback(&url) {
        return Problem::new(403, "in development mode only loopback is served").response();
    }
    let scim = url.path().starts_with("/scim/");
    // As text: what the crate's enum does not know it takes for GET.
    let (route, params) = match find(&request.inner().method(), url.path()) {
        Found::Route(route, params) => (route, params),
        Found::WrongMethod(allowed) => {
            let response = shaped(&Problem::new(405, "not with this method"), scim)?;
            response.headers().set("allow", &allowed.join(", "))?;
            return Ok(response);
        }
        Found::Nothing => return shaped(&Problem::new(404, "nothing is here"), scim),
    };
    let authorization = request.headers().get("authorization")?;
    let mut ctx = Ctx::new(request, url, env, Rc::new(context), config, params);
    ctx.body = body;
    match authorize(&ctx.config, route.access, authorization.as_deref()) {
        Ok(Caller::Anyone) => {}
        Ok(Caller::Role(role)) => ctx.role = Some(role),
        Ok(Caller::Scim(secret)) => ctx.scim_secret = Some(secret),
        Err(refusal) if scim => return scim::turn_away(&ctx, refusal),
        Err(refusal) => return turn_away(&ctx, refusal),
    }
    match (route.handler)(ctx).await {
        Ok(response) => Ok(response),
        Err(error) => {
            console_error!("{} {}: {error}", route.method, route.path);
            shaped(&Problem::unavailable(), scim)
        }
    }
}

/// Refuses a caller, and logs it if they presented anything: no credential at all is noise.
fn turn_away(ctx: &Ctx, refusal: Refusal) -> Result<Response> {
    let response = refused(refusal, false)?;
    if let Some(reason) = refusal.reason() {
        ctx.log(ctx.refusal(reason, response.status_code()));
    }
    Ok(response)
}
