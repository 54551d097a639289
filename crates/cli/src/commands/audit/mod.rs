//! `portcullis audit`: the audit log, searched (`GET /v1/audit/events`), followed, taken away, verified and erased; and how
//! long it is kept.

mod by_service;
mod disclosures;
mod download;
mod epoch;
mod erase;
mod export;
mod exports;
mod letters;
mod log;
mod parquet;
mod partial;
mod progress;
mod query;
mod retention;
mod status;
mod tail;
mod verify;
mod views;

use crate::args::Global;
use crate::failure::Failure;
use clap::Subcommand;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis audit query --subject okta:alice --newest
  portcullis audit export ./november --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z
  portcullis audit verify ./november --key-file log.vkey";

/// What can be done with the audit log.
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Lines that fit, a page of them
    #[command(after_help = query::EXAMPLE)]
    Query(query::Query),
    /// Lines as they are committed
    #[command(after_help = tail::EXAMPLE)]
    Tail(tail::Tail),
    /// Lines and what proves them, as a folder
    #[command(after_help = export::EXAMPLE)]
    Export(export::Export),
    /// Exports that the service makes or has made
    #[command(subcommand, after_help = exports::EXAMPLE)]
    Exports(exports::Exports),
    /// Whether such a folder is the log's; no service is asked
    #[command(after_help = verify::EXAMPLE)]
    Verify(verify::Verify),
    /// How long lines are kept, and what of them is gone
    #[command(after_help = retention::EXAMPLE)]
    Retention(retention::Retention),
    /// Legal holds: while there is one, no line goes
    #[command(subcommand, after_help = retention::HOLD_EXAMPLE)]
    Hold(retention::Hold),
    /// Have nobody read any more what the log has sealed of a person
    #[command(after_help = erase::EXAMPLE)]
    Erase(erase::Erase),
    /// The logs of the lane, one after another
    #[command(subcommand, after_help = epoch::EXAMPLE)]
    Epoch(epoch::Epoch),
    /// How the log is: its size, what waits, whether it signs
    #[command(after_help = status::EXAMPLE)]
    Status,
    /// What could not be taken into the log
    #[command(subcommand, after_help = letters::EXAMPLE)]
    DeadLetters(letters::DeadLetters),
}

impl Audit {
    /// Carries it out.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let output = global.output();
        match self {
            Self::Query(command) => command.run(&global.client()?, output),
            Self::Tail(command) => command.run(&global.client()?, output),
            Self::Export(command) => command.run(global),
            Self::Exports(command) => command.run(&global.client()?, output),
            Self::Verify(command) => command.run(output),
            Self::Retention(command) => command.run(&global.client()?, output),
            Self::Hold(command) => command.run(&global.client()?, output),
            Self::Erase(command) => command.run(&global.client()?, output),
            Self::Epoch(command) => command.run(&global.client()?, output),
            Self::Status => status::run(&global.client()?, output),
            Self::DeadLetters(command) => command.run(&global.client()?, output),
        }
    }
}
