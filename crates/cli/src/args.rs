//! The command line: what every command takes, and where it leads.

use crate::client::Client;
use crate::commands::{audit, connections, gateway, revoke, scim, sessions, subjects};
use crate::failure::Failure;
use crate::input;
use crate::output::Output;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use url::{Host, Url};

const AFTER_HELP: &str = "\
Credential: a bearer credential of the service, in the variable PORTCULLIS_TOKEN or in
a file named by --token-file. It is never an argument, because arguments show in the
list of processes.

Exit codes:
  0  done
  1  the service said no, or a checked file is invalid; why is on standard error
  2  the command line makes no sense, or a file cannot be read or written
  3  the service cannot be reached, or what it answers makes no sense
  4  the service refused the credential (401 or 403)

Example:
  PORTCULLIS_TOKEN=dev-admin portcullis connections list";

/// Operate Portcullis: connections to identity providers, people, their sessions, gateways, the audit log.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The service; https, or http on loopback
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "PORTCULLIS_URL",
        default_value = "http://127.0.0.1:8787",
        hide_env_values = true,
        value_parser = service_url
    )]
    pub url: Url,

    /// The file with the credential, instead of the variable
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// Print the service's JSON as it is
    #[arg(long, global = true)]
    pub json: bool,
}

impl Global {
    /// The service, with the caller's credential.
    pub fn client(&self) -> Result<Client, Failure> {
        let credential = input::credential(self.token_file.as_deref())?;
        Client::new(self.url.clone(), &credential)
    }

    /// Where answers go.
    pub const fn output(&self) -> Output {
        Output { json: self.json }
    }
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connections to identity providers
    #[command(subcommand, after_help = connections::EXAMPLE)]
    Connections(connections::Connections),
    /// How providers provision people
    #[command(subcommand, after_help = scim::EXAMPLE)]
    Scim(scim::Scim),
    /// The people and services that are known
    #[command(subcommand, after_help = subjects::EXAMPLE)]
    Subjects(subjects::Subjects),
    /// Where somebody is logged in
    #[command(subcommand, after_help = sessions::EXAMPLE)]
    Sessions(sessions::Sessions),
    /// The audit log: search it, follow it, take it away, verify it
    #[command(subcommand, after_help = audit::EXAMPLE)]
    Audit(audit::Audit),
    /// A gateway's file; no service is asked
    #[command(subcommand, after_help = gateway::EXAMPLE)]
    Gateway(gateway::Gateway),
    /// End what somebody holds: all of it, a session or a token
    #[command(after_help = revoke::EXAMPLE)]
    Revoke(revoke::Revoke),
}

impl Command {
    /// Carries it out.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let output = global.output();
        match self {
            Self::Connections(command) => command.run(&global.client()?, output),
            Self::Scim(command) => command.run(&global.client()?, output),
            Self::Subjects(command) => command.run(&global.client()?, output),
            Self::Sessions(command) => command.run(&global.client()?, output),
            Self::Audit(command) => command.run(global),
            Self::Gateway(command) => command.run(output),
            Self::Revoke(command) => command.run(&global.client()?, output),
        }
    }
}

/// A URL to which a credential may be sent.
fn service_url(text: &str) -> Result<Url, String> {
    let url: Url = text
        .parse()
        .map_err(|error: url::ParseError| error.to_string())?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("it names no host".to_owned()),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        "http" => return Err("plain http would show the credential to others: https".to_owned()),
        _ => return Err("it is neither https nor http".to_owned()),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the credential goes into PORTCULLIS_TOKEN or --token-file".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it is a base URL, without a query or a fragment".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        fn each(command: &clap::Command) {
            let help = command.get_after_help().map(ToString::to_string);
            let name = command.get_name();
            let example = help.expect(name);
            assert!(example.contains("Example:\n  "), "{name}");
            command.get_subcommands().for_each(each);
        }
        each(&Cli::command());
    }

    #[test]
    fn every_example_in_a_help_can_be_parsed() {
        fn each(command: &clap::Command, tried: &mut usize) {
            let help = command.get_after_help().map(ToString::to_string);
            let example = help.unwrap_or_default().replace("\\\n", " ");
            for line in example.lines() {
                let Some((_, args)) = line.split_once("portcullis ") else {
                    continue;
                };
                let words = args.split_whitespace();
                let words = words.take_while(|word| !matches!(*word, "<" | ">"));
                let words = words.map(|word| word.trim_matches('\''));
                let parsed = Cli::try_parse_from(std::iter::once("portcullis").chain(words));
                assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
                *tried += 1;
            }
            command.get_subcommands().for_each(|it| each(it, tried));
        }
        let mut tried = 0;
        each(&Cli::command(), &mut tried);
        assert!(tried >= 18, "{tried}");
    }

    #[test]
    fn a_credential_goes_nowhere_in_the_clear_but_to_loopback() {
        for url in [
            "https://id.example",
            "https://id.example:8443/",
            "http://127.0.0.1:8787",
            "http://127.8.8.8",
            "http://localhost:1",
            "http://[::1]:8787",
        ] {
            assert!(service_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://id.example",
            "http://10.0.0.1:8787",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://[::2]",
            "ftp://127.0.0.1",
            "https://user@id.example",
            "https://user:word@id.example",
            "https://id.example/?a=b",
            "https://id.example/#a",
            "id.example",
            "",
        ] {
            assert!(service_url(url).is_err(), "{url}");
        }
    }
}
