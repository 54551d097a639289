//! `portcullis audit`: the audit log, searched (`GET /v1/audit/events`), followed, taken away and verified.

mod by_service;
mod download;
mod export;
mod exports;
mod log;
mod parquet;
mod partial;
mod progress;
mod query;
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
        }
    }
}
