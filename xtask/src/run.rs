//! Runs the stack, the tests, the demo and the measurements.

use std::{ffi::OsString, os::unix::process::CommandExt, path::PathBuf, process::Command};

use crate::{cli::TestScope, failure::Failure, process, progress::step, setup::Kit};

const E2E: &str = "portcullis-e2e";

/// Becomes the stack: no process of ours stays in between, so that a signal sent to the command,
/// from a terminal or by its id, reaches the one that can clean up.
pub fn dev(kit: &Kit, args: &[OsString]) -> Result<(), Failure> {
    let mut stack = kit.command(kit.node.node());
    if let Ok(here) = std::env::current_dir() {
        stack.current_dir(here); // what a relative --persist is relative to
    }
    let error = stack
        .arg(kit.place.root.join("dev/stack.mjs"))
        .arg("--detached") // it is the command itself, and as long-lived as the user wants
        .args(args)
        .exec();
    Err(Failure::step(format!("starting dev/stack.mjs: {error}")))
}

/// `python_packages` are what end-to-end tests have from the Python registry.
pub fn test(
    kit: &Kit,
    scope: TestScope,
    filter: Option<&str>,
    python_packages: &[(&str, PathBuf)],
) -> Result<(), Failure> {
    let mut cargo = with_stack(kit);
    cargo.arg("test");
    for (variable, packages) in python_packages {
        cargo.env(variable, packages);
    }
    match scope {
        TestScope::All => cargo.arg("--workspace"),
        TestScope::Unit => cargo.args(["--workspace", "--exclude", E2E]),
        TestScope::EndToEnd => cargo.args(["--package", E2E]),
    };
    cargo.args(filter);
    step("tests", || process::run(&mut cargo))?;
    if scope == TestScope::EndToEnd {
        return Ok(());
    }
    step("tests of the fuzz targets", || fuzz_bodies(kit, filter))
}

/// What the fuzz targets do, with inputs made up by proptest: the fuzzer needs a nightly compiler.
fn fuzz_bodies(kit: &Kit, filter: Option<&str>) -> Result<(), Failure> {
    let mut cargo = kit.cargo();
    cargo
        .args(["test", "--locked", "--no-default-features", "--lib"])
        .args(["--manifest-path", "fuzz/Cargo.toml"])
        .args(filter);
    process::run(&mut cargo)
}

pub fn demo(kit: &Kit, args: &[OsString]) -> Result<(), Failure> {
    let mut cargo = with_stack(kit);
    cargo
        .args(["run", "--quiet", "--package", E2E, "--bin", "demo", "--"])
        .args(args);
    process::run(&mut cargo)
}

pub fn bench(kit: &Kit, args: &[OsString]) -> Result<(), Failure> {
    let mut cargo = with_stack(kit);
    cargo
        .args([
            "run",
            "--quiet",
            "--release",
            "--package",
            E2E,
            "--bin",
            "bench",
            "--",
        ])
        .args(args);
    process::run(&mut cargo)
}

/// Whether the Workers as they were built start, and answer what needs all of a module.
pub fn starts(kit: &Kit) -> Result<(), Failure> {
    let mut script = kit.command(kit.node.node());
    script.arg(kit.place.root.join("dev/starts.mjs"));
    step("starting what was built", || process::run(&mut script))
}

/// A cargo whose programs can start a stack: `$PORTCULLIS_NODE $PORTCULLIS_ROOT/dev/stack.mjs`.
fn with_stack(kit: &Kit) -> Command {
    let mut cargo = kit.cargo();
    cargo
        .env("PORTCULLIS_NODE", kit.node.node())
        .env("PORTCULLIS_ROOT", &kit.place.root);
    cargo
}
