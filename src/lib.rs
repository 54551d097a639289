//! The Worker: requests, queue batches, the schedule, and the objects. Only dispatch happens here.
//!
//! A request goes from [`routes`], where the whole API stands on one page, to a handler in
//! [`http`], which parses, calls an object and renders. What is decided is decided in
//! `portcullis-core`; what is kept is kept by [`objects`].

mod audit;
mod auth;
mod client_documents;
mod config;
mod connections;
mod cron;
mod discovery;
mod error;
mod feed;
mod foreign;
#[cfg(feature = "host")]
pub mod host;
mod http;
mod jwks_sync;
mod kept;
mod kept_documents;
mod keys;
mod letters;
mod limits;
mod objects;
mod outbound;
mod policy;
mod queue;
mod refusals;
mod remote_keys;
mod routes;
mod runtime;
mod seal;
mod upstream;
mod webcrypto;

use portcullis_core::feed::poll::Poll;
use portcullis_core::session::check::CheckRequest;
use portcullis_core::session::foreign::CheckForeignToken;
use portcullis_core::wire;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use worker::{
    Context, Env, MessageBatch, Request, Response, Result, ScheduleContext, ScheduledEvent, event,
};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> Result<Response> {
    http::serve(request, None, env, context).await
}

/// The same for a request whose body `entry.mjs` has read.
#[wasm_bindgen(js_name = fetchRead)]
pub async fn fetch_read(
    request: web_sys::Request,
    body: Vec<u8>,
    env: Env,
    context: worker::worker_sys::Context,
) -> std::result::Result<web_sys::Response, JsValue> {
    let context = Context::new(context);
    let response = http::serve(request.into(), Some(body), env, context).await?;
    Ok(response.into())
}

#[event(queue)]
async fn queue(batch: MessageBatch<JsValue>, env: Env, _context: Context) -> Result<()> {
    queue::ingest(&batch, &env).await
}

#[event(scheduled)]
async fn scheduled(_event: ScheduledEvent, env: Env, _context: ScheduleContext) {
    cron::run(&env).await;
}

/// What a gateway's service binding reaches, by way of `entry.mjs`: a strict check, and [`record`]. Bytes in, bytes out, as `portcullis_core::session::check` describes them.
#[wasm_bindgen(js_name = check)]
pub async fn check(request: Vec<u8>, env: Env) -> std::result::Result<Vec<u8>, JsValue> {
    let request: CheckRequest = wire::decode(&request).map_err(|error| failed(&error))?;
    let reply = objects::call::check(&env, request).await;
    let reply = reply.map_err(|error| unavailable(&error))?;
    wire::encode(&reply).map_err(|error| failed(&error))
}

/// The same for a token that an identity provider issued, as `portcullis_core::session::foreign` describes
/// it.
#[wasm_bindgen(js_name = checkToken)]
pub async fn check_token(request: Vec<u8>, env: Env) -> std::result::Result<Vec<u8>, JsValue> {
    let request: CheckForeignToken = wire::decode(&request).map_err(|error| failed(&error))?;
    let config = runtime::config(&env).ok_or_else(|| failed(&"not configured"))?;
    let reply = foreign::answer(&env, &config, &request).await;
    let reply = reply.map_err(|error| unavailable(&error))?;
    wire::encode(&reply).map_err(|error| failed(&error))
}

/// What came after the places that a gateway has read the feed up to, as `portcullis_core::feed::poll`
/// describes it.
#[wasm_bindgen(js_name = feed)]
pub async fn read_feed(request: Vec<u8>, env: Env) -> std::result::Result<Vec<u8>, JsValue> {
    let poll: Poll = wire::decode(&request).map_err(|error| failed(&error))?;
    let config = runtime::config(&env).ok_or_else(|| failed(&"not configured"))?;
    let polled = feed::poll(&env, &config, &poll).await;
    let polled = polled.map_err(|error| unavailable(&error))?;
    wire::encode(&polled).map_err(|error| failed(&error))
}

/// A pack of events that the queue did not take, into the log: what a gateway may say and nothing else, as
/// from the queue. Bytes in, as `portcullis_core::audit::pack` describes them.
#[wasm_bindgen(js_name = record)]
pub async fn record(pack: Vec<u8>, env: Env) -> std::result::Result<(), JsValue> {
    let recorded = queue::record(&env, &pack).await;
    recorded.map_err(|error| {
        worker::console_error!("record: {error}");
        failed(&"failed")
    })
}

fn failed(error: &dyn std::fmt::Display) -> JsValue {
    JsValue::from_str(&error.to_string())
}

/// The cause is for our log only.
fn unavailable(error: &dyn std::fmt::Display) -> JsValue {
    worker::console_error!("check: {error}");
    failed(&"failed")
}
