//! Running other programs.

use std::{
    ffi::OsStr,
    process::{Command, Output},
};

use crate::failure::{Doing, Failure};

/// A command that does not inherit what `cargo run` says about this crate: build scripts watch
/// some of those variables, and would run again for every change of how they were started.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs it with our own output; an exit code other than 0 is a failure.
pub fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().doing(describe(command))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::step(format!("{}: {status}", describe(command))))
}

/// Runs it in silence and returns its stdout; when it fails, the failure shows what it printed.
pub fn output(command: &mut Command) -> Result<String, Failure> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().doing(describe(command))?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    Err(Failure::step(format!(
        "{}: {status}\n{stdout}{stderr}",
        describe(command)
    )))
}

/// Its stdout, or nothing when it is not there or does not succeed: for asking what a machine has.
pub fn probe(command: &mut Command) -> Option<String> {
    let Output { status, stdout, .. } = command.output().ok()?;
    status
        .success()
        .then(|| String::from_utf8_lossy(&stdout).trim().to_owned())
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}
