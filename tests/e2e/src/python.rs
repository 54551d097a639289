//! Programs of the Python registry that judge what the service does: scripts of this package, with packages that `cargo xtask test`
//! installed.

use crate::stack::checkout;
use crate::{Failure, Result};
use std::env;
use std::process::{Command, Stdio};

/// What a script prints. `packages` names the variable that says where its packages are, and `script` is relative to this
/// package.
pub fn python(packages: &str, script: &str, args: &[&str]) -> Result<String> {
    let packages = env::var_os(packages).ok_or_else(|| {
        Failure::new(format!(
            "no Python packages ({packages}): run this through `cargo xtask test`, which installs them"
        ))
    })?;
    let output = Command::new("python3")
        .arg(checkout()?.join("tests/e2e").join(script))
        .args(args)
        .env("PYTHONPATH", packages)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{script} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    String::from_utf8(output.stdout)
        .map_err(|error| Failure::new(format!("{script} printed no text: {error}")))
}
