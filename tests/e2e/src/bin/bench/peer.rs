//! The peer of the token measurements: npm `oidc-provider` in memory, a node process of its own.

use portcullis_e2e::app::App;
use portcullis_e2e::stack::{checkout, node};
use portcullis_e2e::{Failure, Result, ports};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

/// Running until it is dropped.
pub struct Peer {
    /// The application as the peer knows it.
    pub app: App,
    process: Running,
}

struct Running(Child);

impl Peer {
    /// Starts it; returns when it answers.
    pub fn start() -> Result<Self> {
        let checkout = checkout()?;
        let port = ports::free_run()?;
        let mut process = Command::new(node(&checkout)?)
            .arg(checkout.join("bench/oidc-provider.mjs"))
            .arg(port.to_string())
            .env("NODE_ENV", "production")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()) // its warnings that it is not for production
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        let running = Running(process);
        if said.trim() != "ready" {
            return Err(Failure::new("bench/oidc-provider.mjs did not start"));
        }
        let metadata = format!("http://127.0.0.1:{port}/.well-known/openid-configuration");
        Ok(Self {
            app: App::described_at(&metadata)?,
            process: running,
        })
    }

    /// Its process group.
    pub fn group(&self) -> u32 {
        self.process.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody is left to tell.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
