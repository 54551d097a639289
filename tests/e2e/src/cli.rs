//! The command line, as the checkout builds it, run against a stack.

use crate::api::bearer;
use crate::stack::{Endpoints, checkout};
use crate::{Failure, Result};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        Err(Failure::new(format!("{self:?}")))
    }
}

/// Runs `portcullis` with these arguments, as an auditor of that service.
pub fn portcullis(at: &Endpoints, args: &[&str]) -> Result<Ran> {
    portcullis_as(at, bearer::AUDITOR, args)
}

/// The same as an administrator.
pub fn portcullis_of_admin(at: &Endpoints, args: &[&str]) -> Result<Ran> {
    portcullis_as(at, bearer::ADMIN, args)
}

fn portcullis_as(at: &Endpoints, bearer: &str, args: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary()?);
    command
        .env("PORTCULLIS_URL", &at.service)
        .env("PORTCULLIS_TOKEN", bearer);
    run(command.args(args))
}

/// The same as an operator.
pub fn portcullis_as_admin(at: &Endpoints, args: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary()?);
    command
        .env("PORTCULLIS_URL", &at.service)
        .env("PORTCULLIS_TOKEN", bearer::ADMIN);
    run(command.args(args))
}

/// The same without a credential and without a service.
pub fn portcullis_alone(args: &[&str]) -> Result<Ran> {
    let mut command = Command::new(binary()?);
    command
        .env("PORTCULLIS_URL", "http://127.0.0.1:1")
        .env_remove("PORTCULLIS_TOKEN");
    run(command.args(args))
}

/// Runs an example of the command line's package.
pub fn example(name: &str, args: &[&str]) -> Result<Ran> {
    run(Command::new(build("--example", name)?).args(args))
}

fn run(command: &mut Command) -> Result<Ran> {
    let output = command.output()?;
    Ok(Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// Built once: a test of this package does not know the binaries of others.
fn binary() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let built =
        BUILT.get_or_init(|| build("--bin", "portcullis").map_err(|error| error.to_string()));
    built.clone().map_err(Failure::new)
}

fn build(kind: &str, name: &str) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(checkout()?)
        .args([
            "build",
            "--quiet",
            "--package",
            "portcullis-cli",
            kind,
            name,
        ])
        .args(["--message-format", "json-render-diagnostics"]);
    let output = cargo.output()?;
    let told = String::from_utf8_lossy(&output.stdout);
    let executable = told.lines().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.ok_or_else(|| {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        Failure::new(format!("building the command line: {told}"))
    })
}
