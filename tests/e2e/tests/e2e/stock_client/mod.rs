//! Each flow as a stock client meets it: npm `openid-client`, with all of its checks on, and
//! nothing of ours in between. The scripts are in `tests/e2e/clients`.

mod authorize;
mod code;
mod dpop;
mod refresh;
mod registration;
mod service;
mod tokens;

use portcullis_e2e::people::Person;
use portcullis_e2e::{Result, stock};
use serde_json::{Value, json};

/// Runs a flow of `group` as `person`.
#[track_caller]
fn flow(person: &Person, group: &str, flow: &str) -> Result<Value> {
    let input = json!({ "user": person.name });
    stock::run(person.endpoints(), group, flow, input)
}

/// Fails unless the token endpoint refused with this status and error code (RFC 6749 section 5.2).
#[track_caller]
fn assert_token_error(seen: &Value, status: u16, error: &str) {
    assert_eq!(seen["name"], "ResponseBodyError", "{seen}");
    assert_eq!(seen["status"], status, "{seen}");
    assert_eq!(seen["error"], error, "{seen}");
}

/// Fails unless the browser brought this error back (RFC 6749 section 4.1.2.1).
#[track_caller]
fn assert_authorization_error(seen: &Value, error: &str) {
    assert_eq!(seen["name"], "AuthorizationResponseError", "{seen}");
    assert_eq!(seen["error"], error, "{seen}");
}
