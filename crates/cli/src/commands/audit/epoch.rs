//! `portcullis audit epoch begin`: end a log that may not be signed any more, and begin a new one
//! (`POST /v1/audit/epochs`). What would be done is shown first, and it is asked for twice.

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{clean, member};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal};

/// For the help.
pub const EXAMPLE: &str = "\
A lane that was restored to an earlier point, or lost its storage, does not sign its log any more: it would
contradict what it signed before (the status says so). A new log has the lane's lines as they are, and
another name and key. What was archived of the one before stays where it is.

It cannot be undone. A terminal shows what would be done and asks for the word `begin`; without one, --yes is needed.
Auditors must be given the new key.

Example:
  portcullis audit epoch begin --dry-run
  portcullis audit epoch begin --reason restored --yes";

/// What can be done with the logs of a lane.
#[derive(Debug, Subcommand)]
pub enum Epoch {
    /// End the log, which may not be signed any more, and begin a new one
    #[command(after_help = EXAMPLE)]
    Begin(Begin),
}

/// How.
#[derive(Debug, Args)]
pub struct Begin {
    /// The name of the log that ends, where it is to be no other than that; without it, the lane's
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

impl Epoch {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let Self::Begin(begin) = self;
        begin.run(client, output)
    }
}

impl Begin {
    fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let log = match &self.log {
            Some(log) => log.clone(),
            None => named(client)?,
        };
        if self.dry_run {
            return output.answer(&self.post(client, &log, true)?, sentence);
        }
        if !self.yes {
            if !std::io::stdin().is_terminal() {
                let why = "it cannot be undone: say --yes, or see first what --dry-run says";
                return Err(Failure::Usage(why.to_owned()));
            }
            output.remark(&sentence(&self.post(client, &log, true)?)?);
            confirm(output)?;
        }
        output.answer(&self.post(client, &log, false)?, sentence)
    }

    fn post(&self, client: &Client, log: &str, dry_run: bool) -> Result<Answer, Failure> {
        let reason = self.reason.as_deref().unwrap_or("dry run");
        let body = json!({"log": log, "reason": reason, "dry_run": dry_run});
        client.post(&["v1", "audit", "epochs"], &body)
    }
}

/// The name of the lane's log.
fn named(client: &Client) -> Result<String, Failure> {
    let status = client.get(&["v1", "audit", "status"], &[])?;
    match status.value.get("log") {
        // It has no key: being asked for it, it makes one.
        Some(Value::Null) => {
            let key = client.get(&["v1", "audit", "key"], &[])?;
            key.text("origin").map(ToOwned::to_owned)
        }
        _ => status.text("log").map(ToOwned::to_owned),
    }
}

fn confirm(output: Output) -> Result<(), Failure> {
    output.remark("It cannot be undone. Type `begin`:");
    let mut word = String::new();
    let read = std::io::stdin().lock().read_line(&mut word);
    match read {
        Ok(_) if word.trim() == "begin" => Ok(()),
        _ => Err(Failure::Usage("no log was begun".to_owned())),
    }
}

/// What was begun, or would be, in a few sentences.
fn sentence(answer: &Answer) -> Result<String, Failure> {
    let ended = answer.value.get("ended").cloned().unwrap_or_default();
    let archived = match ended.get("checkpoint") {
        Some(checkpoint @ Value::Object(_)) => format!(
            "its last archived checkpoint is of {} lines",
            member(checkpoint, "size")
        ),
        _ => "no archived checkpoint of it is known".to_owned(),
    };
    let of = format!(
        "{} ({}); {archived}. The lane has {} lines",
        member(&ended, "log"),
        member(&ended, "refusal"),
        member(&answer.value, "lines")
    );
    let log = answer.text("log")?;
    let said = if answer.truth("dry_run")? {
        format!("Would end {of}, and begin {log}. Nothing was done.")
    } else {
        format!(
            "Ended {of}. Begun: {log}.\nIts key: {}",
            answer.text("key")?
        )
    };
    let lines: Vec<String> = said.lines().map(clean).collect();
    Ok(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(checkpoint: &Value, key: Option<&str>) -> String {
        let value = json!({
            "lane": 0, "epoch": 1, "log": "id.example/audit/lane/0.1", "key": key, "lines": 5, "dry_run": key.is_none(),
            "ended": {"log": "id.example/audit/lane/0", "refusal": "the log is behind its archive", "checkpoint": checkpoint},
        });
        let body = value.to_string();
        sentence(&Answer { body, value }).expect("a sentence")
    }

    #[test]
    fn what_would_be_begun_is_told_from_what_was() {
        assert_eq!(
            said(&json!({"size": 7}), None),
            "Would end id.example/audit/lane/0 (the log is behind its archive); its last archived checkpoint is of 7 lines. \
             The lane has 5 lines, and begin id.example/audit/lane/0.1. Nothing was done."
        );
        assert_eq!(
            said(&Value::Null, Some("k+1+2")),
            "Ended id.example/audit/lane/0 (the log is behind its archive); no archived checkpoint of it is known. \
             The lane has 5 lines. Begun: id.example/audit/lane/0.1.\nIts key: k+1+2"
        );
    }
}
