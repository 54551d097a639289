//! The strict check, through the service binding `CHECKS`; and events that the queue does not take.
//!
//! The binding's entrypoint has methods from `Uint8Array` to a `Promise`. Messages in the wire
//! envelope go out and come back; anything else is a failure, and so is no answer in time.
//!
//! | method | goes out | comes back |
//! |---|---|---|
//! | `check` | [`CheckRequest`] | [`CheckReply`] |
//! | `checkToken` | [`CheckForeignToken`] | [`ForeignTokenReply`] |
//! | `record` | [`Pack`](portcullis_core::audit::pack::Pack) | nothing, once it is in the log |
//! | `feed` | [`Poll`] | [`Polled`] |

use super::http::in_time;
use portcullis_core::feed::poll::{Poll, Polled};
use portcullis_core::session::check::{CheckReply, CheckRequest};
use portcullis_core::session::foreign::{CheckForeignToken, ForeignTokenReply};
use portcullis_core::wire;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use worker::js_sys::futures::JsFuture;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen::{self, JsCast, JsValue, prelude::wasm_bindgen};
use worker::{Env, Fetcher};

const BINDING: &str = "CHECKS";

#[wasm_bindgen]
extern "C" {
    /// The entrypoint's interface.
    type Checks;

    #[wasm_bindgen(method, catch)]
    fn check(this: &Checks, request: Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = checkToken)]
    fn check_token(this: &Checks, request: Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn record(this: &Checks, pack: Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn feed(this: &Checks, request: Uint8Array) -> Result<JsValue, JsValue>;
}

/// Why there is no answer.
pub enum CheckError {
    /// There is no such binding.
    Unbound,
    /// It threw.
    Thrown(String),
    /// It took too long.
    TimedOut,
    /// What it said is no reply.
    Malformed,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound => write!(f, "there is no binding {BINDING}"),
            Self::Thrown(error) => f.write_str(error),
            Self::TimedOut => f.write_str("timed out"),
            Self::Malformed => f.write_str("the reply cannot be read"),
        }
    }
}

/// Asks whether a credential is still in force.
pub async fn ask(env: &Env, request: &CheckRequest) -> Result<CheckReply, CheckError> {
    call(env, request, Checks::check).await
}

/// Asks whose an identity provider's token is, and whether it is in force.
pub async fn ask_about_token(
    env: &Env,
    request: &CheckForeignToken,
) -> Result<ForeignTokenReply, CheckError> {
    call(env, request, Checks::check_token).await
}

/// Puts a pack into the log, not by way of the queue. It may be there already: it is taken once.
pub async fn record(env: &Env, pack: &[u8]) -> Result<(), CheckError> {
    call_with_bytes(env, pack, Checks::record).await.map(drop)
}

/// Asks what came after these places of the feed.
pub async fn poll(env: &Env, request: &Poll) -> Result<Polled, CheckError> {
    call(env, request, Checks::feed).await
}

async fn call<R: DeserializeOwned>(
    env: &Env,
    request: &impl Serialize,
    method: impl FnOnce(&Checks, Uint8Array) -> Result<JsValue, JsValue>,
) -> Result<R, CheckError> {
    let request = wire::encode(request).map_err(|_| CheckError::Malformed)?;
    let reply = call_with_bytes(env, &request, method)
        .await?
        .dyn_into::<Uint8Array>()
        .map_err(|_| CheckError::Malformed)?;
    wire::decode(&reply.to_vec()).map_err(|_| CheckError::Malformed)
}

async fn call_with_bytes(
    env: &Env,
    request: &[u8],
    method: impl FnOnce(&Checks, Uint8Array) -> Result<JsValue, JsValue>,
) -> Result<JsValue, CheckError> {
    let binding = env.service(BINDING).map_err(|_| CheckError::Unbound)?;
    let checks: Checks = Fetcher::into_rpc(binding);
    let called = method(&checks, Uint8Array::from(request));
    let called = called.map_err(|error| thrown(&error))?;
    // What a call returns can be awaited but is not a Promise itself.
    in_time(JsFuture::from(Promise::resolve(&called)))
        .await
        .ok_or(CheckError::TimedOut)?
        .map_err(|error| thrown(&error))
}

fn thrown(error: &JsValue) -> CheckError {
    CheckError::Thrown(format!("{error:?}"))
}
