//! `portcullis scim`: how providers provision people.

mod jobs;
mod secret;

use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;
use jobs::Jobs;
use secret::Secret;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis scim secret list okta";

/// What can be done with SCIM.
#[derive(Debug, Subcommand)]
pub enum Scim {
    /// What a provider proves itself by at its connection's endpoint
    #[command(subcommand, after_help = EXAMPLE)]
    Secret(Secret),
    /// What changes of groups do to people, and how far that is
    #[command(after_help = jobs::EXAMPLE)]
    Jobs(Jobs),
}

impl Scim {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::Secret(command) => command.run(client, output),
            Self::Jobs(command) => command.run(client, output),
        }
    }
}
