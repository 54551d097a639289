//! `portcullis gateway`: the gateway's file. What is judged here, the gateway's own code judges, and
//! no service is asked.

use crate::failure::Failure;
use crate::input;
use crate::output::Output;
use crate::table::{Table, clean};
use clap::{Args, Subcommand};
use portcullis_gateway::file::{self, Declared, Problem};
use serde_json::{Value, json};
use std::path::PathBuf;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis gateway check gateway.toml";

const AFTER_CHECK: &str = "\
Each fault is a line on standard error, FILE:LINE:COLUMN: and what is wrong, and the exit code
is 1. A file without one is shown as its routes, in the order in which they are tried.
With --json either is one object on standard output.

What differs between deployments is not known here: variables and secrets are checked by the
gateway when it starts.

Example:
  portcullis gateway check gateway.toml
  portcullis gateway check - < gateway.toml";

/// The columns that come first.
const FIRST: [&str; 12] = [
    "line",
    "host",
    "path",
    "methods",
    "upstream",
    "public",
    "roles_any",
    "roles_all",
    "groups_any",
    "groups_all",
    "scopes",
    "consistency",
];

/// What can be done with a gateway's file.
#[derive(Debug, Subcommand)]
pub enum Gateway {
    /// Say what a file declares, or what is wrong with it
    #[command(after_help = AFTER_CHECK)]
    Check(Check),
}

/// Which file.
#[derive(Debug, Args)]
pub struct Check {
    /// The file; - is standard input
    file: PathBuf,
}

impl Gateway {
    /// Carries it out.
    pub fn run(&self, output: Output) -> Result<(), Failure> {
        let Self::Check(Check { file }) = self;
        let read = file::read(&input::whole(file)?);
        let whence = file.display().to_string();
        if output.json {
            Output::line(&report(&whence, &read).to_string())?;
        }
        match read {
            Ok(declared) => {
                for warning in &declared.warnings {
                    output.remark(&clean(&format!("{whence}:{warning} (warning)")));
                }
                if output.json {
                    return Ok(());
                }
                let routes = file::described(&declared.table);
                Output::line(&Table::of_records(&routes, &FIRST).render("no routes"))
            }
            Err(problems) => {
                let told = problems.iter().map(|it| format!("{whence}:{it}"));
                Err(Failure::Invalid(told.collect()))
            }
        }
    }
}

fn report(whence: &str, read: &Result<Declared, Vec<Problem>>) -> Value {
    let told = |problems: &[Problem]| -> Vec<Value> {
        let told =
            |it: &Problem| json!({"line": it.line, "column": it.column, "message": it.message});
        problems.iter().map(told).collect()
    };
    match read {
        Ok(Declared { table, warnings }) => json!({
            "file": whence, "valid": true, "errors": [], "warnings": told(warnings),
            "routes": file::described(table),
        }),
        Err(problems) => json!({
            "file": whence, "valid": false, "errors": told(problems), "warnings": [], "routes": [],
        }),
    }
}
