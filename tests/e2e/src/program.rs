//! A Node program of the checkout as a child process: it says `ready` when it is, and is ended with all that it started.

use crate::{Failure, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const LINES_KEPT: usize = 400;

/// One program, running or not.
#[derive(Default)]
pub(crate) struct Program {
    process: Option<Child>,
    output: Arc<Output>,
}

impl Program {
    /// Ends it if it runs, and starts it with this command; returns when it is ready.
    pub(crate) fn start(&mut self, what: &str, mut command: Command, patience: Duration) -> Result {
        self.kill()?;
        self.output = Arc::default();
        command
            .process_group(0) // with what it starts, and nobody else
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(|error| Failure::new(format!("starting {what}: {error}")))?;
        self.output.collect(process.stdout.take());
        self.output.collect(process.stderr.take());
        let process = self.process.insert(process);
        self.output.expect_ready(process, what, patience)
    }

    /// Ends every process of it at once, without a chance to finish anything.
    pub(crate) fn kill(&mut self) -> Result {
        if let Some(mut process) = self.process.take() {
            match kill_process_group(Pid::from_child(&process), Signal::KILL) {
                Ok(()) | Err(Errno::SRCH) => {} // the latter if it had ended by itself
                Err(error) => return Err(error.into()),
            }
            process.wait()?;
        }
        Ok(())
    }

    /// Its process group, while it runs.
    pub(crate) fn group(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What it has written since it was last started.
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Nobody is left to tell.
        drop(self.kill());
    }
}

/// The last lines a program wrote, and whether `ready` was among them.
#[derive(Default)]
struct Output {
    written: Mutex<Written>,
    changed: Condvar,
}

#[derive(Default)]
struct Written {
    lines: VecDeque<String>,
    ready: bool,
}

impl Output {
    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads `pipe` to its end, in a thread of its own.
    fn collect(self: &Arc<Self>, pipe: Option<impl Read + Send + 'static>) {
        let Some(pipe) = pipe else { return };
        let output = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(pipe)
                .lines()
                .map_while(std::result::Result::ok)
            {
                let mut written = output.written();
                written.ready |= line == "ready";
                if written.lines.len() == LINES_KEPT {
                    written.lines.pop_front();
                }
                written.lines.push_back(line);
                drop(written);
                output.changed.notify_all();
            }
        });
    }

    fn expect_ready(&self, process: &mut Child, what: &str, patience: Duration) -> Result {
        let deadline = Instant::now() + patience;
        while !self.wait_ready(Duration::from_millis(50)) {
            let problem = match process.try_wait()? {
                Some(status) => format!("{what} ended with {status} before it was ready"),
                None if Instant::now() < deadline => continue,
                None => format!("{what} is not ready after {} s", patience.as_secs()),
            };
            // What it said last may still be on its way through the pipe.
            thread::sleep(Duration::from_millis(100));
            return Err(Failure::new(format!("{problem}:\n{}", self.text())));
        }
        Ok(())
    }

    fn wait_ready(&self, at_most: Duration) -> bool {
        let waited = self
            .changed
            .wait_timeout_while(self.written(), at_most, |written| !written.ready);
        waited.map_or_else(
            |poisoned| poisoned.into_inner().0.ready,
            |(written, _)| written.ready,
        )
    }

    fn text(&self) -> String {
        let written = self.written();
        let lines: Vec<&str> = written.lines.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}
