//! The local stack (`dev/stack.mjs`) as a child process: started, killed hard, started again.

use crate::chaos::Mode;
use crate::ports::{self, all_free};
use crate::program::Program;
use crate::wait::until;
use crate::{Failure, Result};
use rustix::process::{Pid, test_kill_process};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_secs(90);

/// Where the parts of one stack answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The service, which is also the issuer.
    pub service: String,
    /// The demo gateway, which is also the audience of tokens.
    pub gateway: String,
    /// The demo identity provider.
    pub idp: String,
    /// The fake origin behind the gateway.
    pub origin: String,
    /// What the strict check is measured against; there in a stack with `bench` only.
    pub floor: String,
    /// Signatures in wasm and by the runtime, likewise.
    pub wasm: String,
    /// A library that validates tokens of its own, likewise.
    pub peer: String,
    /// What hands packs of events over as a gateway does, likewise.
    pub packs: String,
    /// Where the schedule can be fired by hand, in a stack with `crons`.
    pub crons: String,
    /// What stands between gateways and service, in a stack with `chaos`.
    pub chaos: String,
    /// The second gateway and the third, in a stack that has so many.
    pub more_gateways: [String; 2],
}

impl Endpoints {
    /// Those of a stack whose service listens on `port`.
    #[must_use]
    pub fn at(port: u16) -> Self {
        let url = |offset| format!("http://127.0.0.1:{}", port.saturating_add(offset));
        Self {
            service: url(0),
            gateway: url(1),
            idp: url(2),
            origin: url(3),
            floor: url(4),
            wasm: url(5),
            peer: url(6),
            packs: url(7),
            crons: format!("{}/cdn-cgi/handler/scheduled", url(4)),
            chaos: url(7),
            more_gateways: [url(8), url(9)],
        }
    }
}

/// How a stack differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The service's variables, `NAME=VALUE`; an empty value removes one.
    pub vars: Vec<String>,
    /// The gateway's variables, likewise.
    pub gateway_vars: Vec<String>,
    /// What the gateway does, relative to the checkout; usually the file that it comes with.
    pub gateway_file: Option<&'static str>,
    /// Whether to start what measurements need, too, and to do without rate limits.
    pub bench: bool,
    /// What every rate limit is; usually more than any test needs.
    pub limit: Option<u32>,
    /// How the gateway's queue fails, if it does (`dev/faulty-queue.mjs`).
    pub gateway_queue: Option<&'static str>,
    /// Whether the schedule can be fired by hand; not with `bench`.
    pub crons: bool,
    /// Whether something stands between gateways and service that fails as it is told to
    /// ([`Chaos`](crate::chaos::Chaos)), and how the feed fares at the start.
    pub chaos: Option<Mode>,
    /// How many gateways there are besides the first; two at most.
    pub more_gateways: u16,
    /// How many people there are besides the usual three, `person-0` and on.
    pub people: Option<u16>,
    /// Whether its state is kept in memory, where there is a file system for that and `TMPDIR` does not say where: for
    /// measurements that make more objects than a disk makes files.
    pub in_memory: bool,
}

impl Settings {
    /// The usual stack but for these variables of the service.
    #[must_use]
    pub fn vars(vars: &[&str]) -> Self {
        Self {
            vars: vars.iter().map(|&var| var.to_owned()).collect(),
            ..Self::default()
        }
    }
}

/// A running stack with ports and a state directory of its own. Dropped, it is gone with its state.
pub struct Stack {
    /// Where it answers.
    pub at: Endpoints,
    port: u16,
    /// How many ports it listens on, from `port` on.
    listening: u16,
    directory: PathBuf,
    program: Program,
}

impl Stack {
    /// The usual stack, with empty state.
    pub fn start() -> Result<Self> {
        Self::start_with(&Settings::default())
    }

    /// A stack with empty state; returns when all of it answers.
    pub fn start_with(settings: &Settings) -> Result<Self> {
        let directory = if settings.in_memory {
            fresh_directory_in(&memory())?
        } else {
            fresh_directory()?
        };
        let mut attempts = 0;
        loop {
            let port = ports::free_run()?;
            let mut stack = Self {
                at: Endpoints::at(port),
                port,
                listening: 0,
                directory: directory.clone(),
                program: Program::default(),
            };
            attempts += 1;
            match stack.run(settings) {
                // Somebody took a port between our look and its start.
                Err(_) if attempts < 5 && stack.output().contains(ports::TAKEN) => {}
                started => return started.map(|()| stack),
            }
        }
    }

    /// Ends every process of the stack at once, without a chance to finish anything.
    pub fn kill_hard(&mut self) -> Result {
        if self.group().is_none() {
            return Ok(());
        }
        self.program.kill()?;
        let (port, listening) = (self.port, self.listening);
        until("the killed stack's ports", || {
            Ok(all_free(port, listening).then_some(()))
        })
    }

    /// Starts again on the same ports and the same state.
    pub fn restart(&mut self, settings: &Settings) -> Result {
        self.kill_hard()?;
        self.run(settings)
    }

    /// Its process group, while it runs.
    #[must_use]
    pub fn group(&self) -> Option<u32> {
        self.program.group()
    }

    /// What the stack has written since it was last started.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }

    /// Where its state is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn run(&mut self, settings: &Settings) -> Result {
        let checkout = checkout()?;
        let usual_limit = if settings.bench { 0 } else { 1_000_000 };
        let limit = settings.limit.unwrap_or(usual_limit);
        let mut command = Command::new(node(&checkout)?);
        command
            .arg(checkout.join("dev/stack.mjs"))
            .args(["--port", &self.port.to_string()])
            .arg("--persist")
            .arg(&self.directory)
            .args(["--limit", &limit.to_string()])
            .args(
                settings
                    .crons
                    .then(|| format!("--crons={}", self.port.saturating_add(4))),
            )
            .args(settings.bench.then_some("--bench"))
            .args(
                settings
                    .chaos
                    .map(|mode| format!("--chaos={}", mode.name())),
            )
            .arg(format!("--gateways={}", 1 + settings.more_gateways))
            .args(settings.people.map(|people| format!("--people={people}")))
            .args(
                settings
                    .gateway_queue
                    .map(|fault| format!("--gateway-queue={fault}")),
            )
            .args(settings.vars.iter().flat_map(|var| ["--var", var]))
            .args(
                settings
                    .gateway_vars
                    .iter()
                    .flat_map(|var| ["--gateway-var", var]),
            );
        if let Some(file) = settings.gateway_file {
            command.arg("--gateway-file").arg(checkout.join(file));
        }
        self.listening = match settings {
            it if it.chaos.is_some() || it.more_gateways > 0 => ports::PER_STACK,
            it if it.bench => 8,
            it if it.crons => 5,
            _ => 4,
        };
        self.program.start("dev/stack.mjs", command, START_TIMEOUT)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the stack on port {} said:\n{}", self.port, self.output());
        }
        // Nobody is left to tell.
        drop(self.kill_hard());
        if env::var_os("PORTCULLIS_E2E_KEEP").is_some() {
            drop(fs::write(self.directory.join("output.txt"), self.output()));
        } else {
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// The checkout, which holds `dev/stack.mjs` and the built Workers.
pub fn checkout() -> Result<PathBuf> {
    let root = env::var_os("PORTCULLIS_ROOT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        PathBuf::from,
    );
    root.canonicalize().map_err(|error| {
        Failure::new(format!(
            "finding the checkout at {}: {error}",
            root.display()
        ))
    })
}

/// The pinned Node.
pub fn node(checkout: &Path) -> Result<PathBuf> {
    let node = env::var_os("PORTCULLIS_NODE").map_or_else(
        || checkout.join("dev/node_modules/.bin/node"),
        PathBuf::from,
    );
    if node.exists() {
        return Ok(node);
    }
    Err(Failure::new(format!(
        "{} is missing: run this through `cargo xtask test`, `demo` or `bench`, which install it",
        node.display()
    )))
}

/// An empty directory, for its maker to remove; what a killed run left is removed first.
pub(crate) fn fresh_directory() -> Result<PathBuf> {
    fresh_directory_in(&env::temp_dir())
}

/// Where files are in memory, if there is such a place and nobody says where else to put them.
fn memory() -> PathBuf {
    let shared = Path::new("/dev/shm");
    if shared.is_dir() && env::var_os("TMPDIR").is_none() {
        shared.to_path_buf()
    } else {
        env::temp_dir()
    }
}

fn fresh_directory_in(parent: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let parent = parent.join("portcullis-e2e");
    fs::create_dir_all(&parent)?;
    if env::var_os("PORTCULLIS_E2E_KEEP").is_none() {
        for entry in fs::read_dir(&parent)?.flatten() {
            if left_behind(&entry.file_name().to_string_lossy()) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }
    let name = format!(
        "{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let directory = parent.join(name);
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Whether `name` is that of a directory whose process is gone.
fn left_behind(name: &str) -> bool {
    name.split('-')
        .next()
        .and_then(|pid| pid.parse().ok())
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid).is_err())
}
