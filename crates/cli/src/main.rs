//! `portcullis`: the service from a terminal, for operators and auditors.
//!
//! A command is a request or two to the API under `/v1` and a rendering of the answer. What may be
//! done and what it means is the service's to say: nothing is judged here that it would judge. A
//! gateway's file is judged by the gateway's code. An export of the audit log is made here from what the
//! service serves, and verified here without it.
//!
//! Nothing is kept between two runs, no log-in and no settings, but an export that is not finished.
//!
//! A command stands in a file of its own under [`commands`]: its arguments, what it asks, how the
//! answer is shown.

#![cfg_attr(
    not(test),
    deny(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

mod args;
mod client;
mod commands;
mod failure;
mod input;
mod output;
mod table;

use args::Cli;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(unparsed) => {
            // Help and the version come this way too. If they cannot be printed, nobody reads.
            let _ = unparsed.print();
            return if unparsed.use_stderr() {
                ExitCode::from(failure::USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match cli.command.run(&cli.global) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(cli.global.json);
            ExitCode::from(failure.exit_code())
        }
    }
}
