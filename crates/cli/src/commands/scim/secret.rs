//! `portcullis scim secret`: the secrets of a connection's SCIM endpoint
//! (`/v1/connections/{connection}/scim-secrets`).
//!
//! A new secret is on standard output and alone there, so that it can be piped to where it belongs; what a
//! person should know beside it is on standard error.

use super::EXAMPLE;
use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, clean, member, to_the_second};
use clap::Subcommand;
use serde_json::{Value, json};

const CREATE_EXAMPLE: &str = "\
The secret is on standard output, once; where it belongs is on standard error. Earlier ones
stay good for a day, or for as long as --overlap says. After a leak: --overlap 0.

Example:
  portcullis scim secret create okta
  portcullis scim secret create okta --overlap 3600 > secret.txt";

const DELETE_EXAMPLE: &str = "\
It is refused from now on.

Example:
  portcullis scim secret delete okta scs_AAECAwQFBgcICQoLDA0ODw";

/// What can be done with secrets.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Make one; the earlier ones end after a while
    #[command(after_help = CREATE_EXAMPLE)]
    Create {
        /// The connection
        connection: String,
        /// How long the earlier ones stay good; 0: not at all
        #[arg(long, value_name = "SECONDS")]
        overlap: Option<u64>,
    },
    /// Those that are good, oldest first
    #[command(after_help = EXAMPLE)]
    List {
        /// The connection
        connection: String,
    },
    /// Remove one, at once
    #[command(after_help = DELETE_EXAMPLE)]
    Delete {
        /// The connection
        connection: String,
        /// The secret's id
        id: String,
    },
}

impl Secret {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::Create {
                connection,
                overlap,
            } => {
                let asked = match overlap {
                    Some(secs) => json!({ "overlap_secs": secs }),
                    None => json!({}),
                };
                let made = client.post(&all(connection), &asked)?;
                output.answer(&made, |made| made.text("secret").map(str::to_owned))?;
                output.remark(&where_to(&made)?);
                Ok(())
            }
            Self::List { connection } => output
                .answer(&client.get(&all(connection), &[])?, |answer| {
                    Ok(rows(answer.list("secrets")?))
                }),
            Self::Delete { connection, id } => {
                let [v1, connections, connection, secrets] = all(connection);
                let gone = client.delete(&[v1, connections, connection, secrets, id])?;
                output.answer(&gone, |_| Ok(format!("{id} is refused from now on.")))
            }
        }
    }
}

const fn all(connection: &str) -> [&str; 4] {
    ["v1", "connections", connection, "scim-secrets"]
}

fn where_to(made: &Answer) -> Result<String, Failure> {
    let (url, id) = (clean(made.text("scim_url")?), clean(made.text("id")?));
    Ok(format!(
        "This is {id}, and is shown this once. The provider wants it as a bearer token, with the base URL {url}"
    ))
}

fn rows(secrets: &[Value]) -> String {
    let mut table = Table::new(&["SECRET", "CREATED", "GOOD UNTIL", "LAST USED"]);
    for secret in secrets {
        table.row([
            member(secret, "id"),
            to_the_second(secret, "created_at"),
            to_the_second(secret, "good_until"),
            to_the_second(secret, "last_used_at"),
        ]);
    }
    table.render("No secrets.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_row_with_what_is_known_of_it() {
        let shown = rows(&[json!({
            "id": "scs_1", "created_at": "2026-11-25T22:15:19.000Z", "good_until": null,
            "last_used_at": "2026-11-25T23:00:00.000Z",
        })]);
        assert_eq!(
            shown,
            "\
SECRET  CREATED               LAST USED
scs_1   2026-11-25T22:15:19Z  2026-11-25T23:00:00Z"
        );
        assert_eq!(rows(&[]), "No secrets.");
    }
}
