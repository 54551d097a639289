//! npm `openid-client` as an application: scripts of `tests/e2e/clients`, run by the pinned Node.

use crate::stack::{Endpoints, checkout, node};
use crate::{Failure, Result};
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// Runs one flow of `clients/GROUP.mjs` against a stack, and gives back what the client saw.
///
/// `input` is an object; the stack's addresses are added to it.
#[track_caller]
pub fn run(at: &Endpoints, group: &str, flow: &str, mut input: Value) -> Result<Value> {
    input["service"] = json!(at.service);
    input["audience"] = json!(at.gateway);
    let checkout = checkout()?;
    let output = Command::new(node(&checkout)?)
        .arg(checkout.join(format!("tests/e2e/clients/{group}.mjs")))
        .args([flow, &input.to_string()])
        .stdin(Stdio::null())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if output.status.success() {
        return Ok(serde_json::from_str(&printed)?);
    }
    Err(Failure::new(format!(
        "flow {flow} of clients/{group}.mjs ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    )))
}
