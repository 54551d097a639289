//! The gateway of `docs/examples/gateway-typescript`, as a child process.

use crate::program::Program;
use crate::stack::{checkout, node};
use crate::{Failure, Result};
use std::process::Command;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running one. Dropped, it is gone.
pub struct ExampleGateway {
    /// Where it answers.
    pub base: String,
    program: Program,
}

impl ExampleGateway {
    /// Starts one with these settings, on a free port.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let checkout = checkout()?;
        let mut command = Command::new(node(&checkout)?);
        command
            .arg(checkout.join("docs/examples/gateway-typescript/gateway.ts"))
            .env("PORT", "0")
            .envs(settings.iter().copied());
        let mut program = Program::default();
        program.start("the example gateway", command, START_TIMEOUT)?;
        let output = program.output();
        let port = output
            .lines()
            .find_map(|line| line.strip_prefix("listening on port "))
            .ok_or_else(|| Failure::new(format!("it does not say where it listens:\n{output}")))?;
        Ok(Self {
            base: format!("http://127.0.0.1:{port}"),
            program,
        })
    }

    /// What it has written.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }
}
