//! `portcullis scim jobs`: what changes of groups do to people, and how far that is
//! (`/v1/connections/{connection}/scim-jobs`).
//!
//! `--follow` asks until none of the jobs on the page is left. How far they are is shown on standard error: as a bar
//! on a terminal, else as a line whenever it changes.

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, clean, member, to_the_second};
use clap::Args;
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::thread::sleep;
use std::time::Duration;

/// For the help.
pub const EXAMPLE: &str = "\
Newest first, 50 of them. A job ends sessions of those who lost a group, or tells who has
other groups now; those it has failed to reach are tried again until they are.

Example:
  portcullis scim jobs okta
  portcullis scim jobs okta --follow";

/// How often is asked.
const PAUSE: Duration = Duration::from_millis(500);
/// How wide the bar is, in characters.
const WIDTH: usize = 30;

/// What changes of groups do to people
#[derive(Debug, Args)]
pub struct Jobs {
    /// The connection
    connection: String,
    /// Wait until none is left, and show how far they are meanwhile
    #[arg(long)]
    follow: bool,
}

impl Jobs {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let path = ["v1", "connections", &self.connection, "scim-jobs"];
        let mut progress = Progress::new(output);
        loop {
            let answer = client.get(&path, &[])?;
            let left = left(answer.list("jobs")?);
            if !self.follow || left.jobs == 0 {
                progress.end();
                return output.answer(&answer, rows);
            }
            progress.show(&left);
            sleep(PAUSE);
        }
    }
}

/// What is not finished.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    jobs: u64,
    done: u64,
    total: u64,
    failing: u64,
}

fn left(jobs: &[Value]) -> Left {
    let mut left = Left::default();
    let number = |job: &Value, name: &str| job.get(name).and_then(Value::as_u64).unwrap_or(0);
    for job in jobs {
        if job.get("finished_at").is_some_and(Value::is_null) {
            left.jobs += 1;
            left.done += number(job, "done");
            left.total += number(job, "total");
            left.failing += number(job, "failing");
        }
    }
    left
}

impl Left {
    fn line(&self) -> String {
        let failing = match self.failing {
            0 => String::new(),
            failing => format!(", {failing} not reached yet"),
        };
        format!("{} of {}{failing}", self.done, self.total)
    }

    fn bar(&self) -> String {
        let part = self.done.min(self.total);
        let full = part.saturating_mul(WIDTH as u64) / self.total.max(1);
        let full = usize::try_from(full).unwrap_or(WIDTH);
        let empty = WIDTH.saturating_sub(full);
        format!(
            "[{}{}] {}",
            "#".repeat(full),
            " ".repeat(empty),
            self.line()
        )
    }
}

/// How far it is, for people.
struct Progress {
    output: Output,
    is_terminal: bool,
    last: String,
}

impl Progress {
    fn new(output: Output) -> Self {
        Self {
            output,
            is_terminal: std::io::stderr().is_terminal(),
            last: String::new(),
        }
    }

    fn show(&mut self, left: &Left) {
        let line = if self.is_terminal {
            left.bar()
        } else {
            left.line()
        };
        if line == self.last || self.output.json {
            return;
        }
        if self.is_terminal {
            // The last one may have been longer. It only helps, as any remark.
            let _ = write!(std::io::stderr().lock(), "\r{line}\u{1b}[K");
        } else {
            self.output.remark(&line);
        }
        self.last = line;
    }

    fn end(&self) {
        if self.is_terminal && !self.last.is_empty() {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

fn rows(answer: &Answer) -> Result<String, Failure> {
    Ok(table(answer.list("jobs")?))
}

fn table(jobs: &[Value]) -> String {
    let heads = [
        "JOB",
        "CHANGE",
        "GROUP",
        "CAUSE",
        "DONE",
        "NOT REACHED",
        "CREATED",
        "FINISHED",
    ];
    let mut table = Table::new(&heads);
    for job in jobs {
        let name = job.pointer("/group/name").and_then(Value::as_str);
        let failing = member(job, "failing");
        table.row([
            member(job, "id"),
            member(job, "what"),
            clean(name.unwrap_or_default()),
            member(job, "cause"),
            format!("{}/{}", member(job, "done"), member(job, "total")),
            if failing == "0" {
                String::new()
            } else {
                failing
            },
            to_the_second(job, "created_at"),
            to_the_second(job, "finished_at"),
        ]);
    }
    table.render("No jobs.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(done: u64, failing: u64, finished: &Value) -> Value {
        json!({
            "id": "job_7", "what": "deleted", "group": {"id": "g", "name": "Staff\n"},
            "cause": "scim_group_lost", "total": 40, "done": done, "failing": failing,
            "created_at": "2026-11-25T22:15:19.000Z", "finished_at": finished,
        })
    }

    #[test]
    fn a_job_is_a_row_and_what_is_left_is_counted() {
        let done = job(40, 0, &json!("2026-11-25T22:15:29.000Z"));
        let half = job(20, 3, &Value::Null);
        let shown = table(&[half.clone(), done.clone()]);
        assert!(shown.contains("20/40"), "{shown}");
        assert!(shown.contains("40/40"), "{shown}");
        assert_eq!(shown.lines().count(), 3, "{shown}");
        assert_eq!(table(&[]), "No jobs.");
        let open = left(&[half.clone(), done.clone(), half]);
        let expected = Left {
            jobs: 2,
            done: 40,
            total: 80,
            failing: 6,
        };
        assert_eq!(open, expected);
        assert_eq!(open.line(), "40 of 80, 6 not reached yet");
        assert_eq!(left(&[done]), Left::default());
    }

    #[test]
    fn a_bar_is_full_when_all_is_done_and_as_wide_at_any_time() {
        for (done, full) in [(0, 0), (20, 15), (39, 29), (40, 30)] {
            let left = Left {
                jobs: 1,
                done,
                total: 40,
                failing: 0,
            };
            let bar = left.bar();
            let inner = &bar[1..=WIDTH];
            assert_eq!(inner.matches('#').count(), full, "{bar}");
            assert_eq!(bar.find(']'), Some(WIDTH + 1), "{bar}");
        }
        assert!(Left::default().bar().starts_with("[ "));
    }
}
