//! `portcullis connections`: identity providers (`/v1/connections`).
//!
//! A connection is one JSON document; `create` makes the common one from options, and everything
//! else goes into a file. What takes something away is in force everywhere when it is done.

mod document;

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, clean, details, member, to_the_second};
use clap::Subcommand;
use document::{Create, Update};
use serde_json::{Value, json};

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis connections list";

const CREATE_USAGE: &str = "\
portcullis connections create <ID> --issuer <URL> --client-id <ID> [OPTIONS]
       portcullis connections create --file <FILE> [--client-secret-stdin]";

const CREATE_EXAMPLE: &str = "\
At the identity provider, register the redirect URI ISSUER/callback/ID, where ISSUER is
the service's own https URL. An id is part of the key of everybody who logs in by it;
once deleted it can never be used again.

Example:
  portcullis connections create okta --issuer https://acme.okta.example --client-id 0oa1 \\
    --client-secret-stdin --email-domain acme.example --role admin=groups:admins < secret.txt
  portcullis connections create --file okta.json";

const UPDATE_EXAMPLE: &str = "\
The document takes the place of the one there is; a client_secret that is not in it stays.

Example:
  portcullis connections update okta --file okta.json
  portcullis connections update okta --file okta.json --client-secret-stdin < secret.txt";

const SHOW_EXAMPLE: &str = "\
Example:
  portcullis connections show okta";

const DELETE_EXAMPLE: &str = "\
Everything that rests on a log-in by it ends, and its id can never be used again. To keep
it, disable it instead.

Example:
  portcullis connections delete okta";

const ENABLE_EXAMPLE: &str = "\
Example:
  portcullis connections enable okta";

const DISABLE_EXAMPLE: &str = "\
Everything that rests on a log-in by it ends; enabling it again revives nothing.

Example:
  portcullis connections disable okta";

const TEST_EXAMPLE: &str = "\
It ends on a page with the claims that came and what they map to; nobody is logged in by it.

Example:
  portcullis connections test okta";

const SYNC_EXAMPLE: &str = "\
Example:
  portcullis connections sync okta
  portcullis connections sync okta --show";

/// What a reader looks for first.
const FIRST: [&str; 6] = [
    "id",
    "name",
    "enabled",
    "issuer",
    "client_id",
    "has_client_secret",
];

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub enum Connections {
    /// All of them
    #[command(after_help = EXAMPLE)]
    List,
    /// One of them
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// The connection
        id: String,
    },
    /// Make one, from options or from a document
    #[command(override_usage = CREATE_USAGE, after_help = CREATE_EXAMPLE)]
    Create(Create),
    /// Replace one's document
    #[command(after_help = UPDATE_EXAMPLE)]
    Update(Update),
    /// Remove one, and end all that rests on it
    #[command(after_help = DELETE_EXAMPLE)]
    Delete {
        /// The connection
        id: String,
    },
    /// Let people log in by one
    #[command(after_help = ENABLE_EXAMPLE)]
    Enable {
        /// The connection
        id: String,
    },
    /// Let nobody log in by one, and end all that rests on it
    #[command(after_help = DISABLE_EXAMPLE)]
    Disable {
        /// The connection
        id: String,
    },
    /// Get the URL of a log-in that shows what the provider sends
    #[command(after_help = TEST_EXAMPLE)]
    Test {
        /// The connection
        id: String,
    },
    /// Bring the provider's keys to where tokens are checked, now
    #[command(after_help = SYNC_EXAMPLE)]
    Sync {
        /// The connection
        id: String,
        /// Show how it stands, and bring nothing
        #[arg(long)]
        show: bool,
    },
}

impl Connections {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let all = ["v1", "connections"];
        match self {
            Self::List => output.answer(&client.get(&all, &[])?, table),
            Self::Show { id } => output.answer(&client.get(&one(id), &[])?, connection),
            Self::Create(create) => {
                let document = create.document()?;
                output.answer(&client.post(&all, &document)?, connection)
            }
            Self::Update(update) => {
                let document = update.document()?;
                output.answer(&client.put(&one(update.id()), &document)?, connection)
            }
            Self::Delete { id } => {
                let answer = client.delete(&one(id))?;
                output.answer(&answer, |_| {
                    Ok(format!(
                        "{id} is gone, and all that rested on it has ended."
                    ))
                })
            }
            Self::Enable { id } => {
                output.answer(&post(client, id, "enable")?, |answer| state(id, answer))
            }
            Self::Disable { id } => {
                output.answer(&post(client, id, "disable")?, |answer| state(id, answer))
            }
            Self::Test { id } => output.answer(&post(client, id, "test")?, invitation),
            Self::Sync { id, show } => {
                let answer = if *show {
                    client.get(&["v1", "connections", id, "jwks-sync"], &[])?
                } else {
                    post(client, id, "jwks-sync")?
                };
                output.answer(&answer, |sync| Ok(details(&sync.value, &[])))
            }
        }
    }
}

const fn one(id: &str) -> [&str; 3] {
    ["v1", "connections", id]
}

fn post(client: &Client, id: &str, what: &str) -> Result<Answer, Failure> {
    client.post(&["v1", "connections", id, what], &json!({}))
}

fn table(answer: &Answer) -> Result<String, Failure> {
    Ok(rows(answer.list("connections")?))
}

fn rows(connections: &[Value]) -> String {
    let mut table = Table::new(&["ID", "NAME", "STATE", "ISSUER", "CLIENT", "EMAIL DOMAINS"]);
    for connection in connections {
        table.row([
            member(connection, "id"),
            member(connection, "name"),
            enabled(connection).to_owned(),
            member(connection, "issuer"),
            member(connection, "client_id"),
            member(connection, "email_domains"),
        ]);
    }
    table.render("No connections.")
}

fn enabled(connection: &Value) -> &'static str {
    match connection.get("enabled").and_then(Value::as_bool) {
        Some(true) => "enabled",
        Some(false) => "disabled",
        None => "",
    }
}

fn connection(answer: &Answer) -> Result<String, Failure> {
    answer.text("id")?;
    Ok(details(&answer.value, &FIRST))
}

fn state(id: &str, answer: &Answer) -> Result<String, Failure> {
    let state = if answer.truth("enabled")? {
        "enabled"
    } else {
        "disabled"
    };
    Ok(format!("{id} is {state}, everywhere."))
}

fn invitation(answer: &Answer) -> Result<String, Failure> {
    let url = clean(answer.text("url")?);
    let until = to_the_second(&answer.value, "expires_at");
    Ok(format!("Open in a browser, until {until}:\n{url}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_a_row() {
        let shown = rows(&[
            json!({"id": "demo", "name": "Demo", "enabled": true, "issuer": "http://127.0.0.1:8789",
                "client_id": "portcullis", "email_domains": []}),
            json!({"id": "okta", "name": "Okta", "enabled": false, "issuer": "https://acme.okta.example",
                "client_id": "0oa1", "email_domains": ["acme.example", "acme.test"]}),
        ]);
        assert_eq!(
            shown,
            "\
ID    NAME  STATE     ISSUER                     CLIENT      EMAIL DOMAINS
demo  Demo  enabled   http://127.0.0.1:8789      portcullis
okta  Okta  disabled  https://acme.okta.example  0oa1        acme.example, acme.test"
        );
    }
}
