//! A connection's document, from options or from a file.
//!
//! Nothing of it is judged here: the service says what a connection may be.

use crate::failure::Failure;
use crate::input;
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// A new connection.
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    options: Options,
    /// The whole document, as JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the client's secret from standard input, one line
    #[arg(long, conflicts_with = "private_key_jwt")]
    client_secret_stdin: bool,
}

/// A connection's new document.
#[derive(Debug, Args)]
pub struct Update {
    /// The connection
    id: String,
    /// The whole document, as JSON; `-` is standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Read the client's secret from standard input, one line
    #[arg(long)]
    client_secret_stdin: bool,
}

/// What the common connection needs. Everything else goes into a file.
#[derive(Debug, Args)]
#[group(id = "options", conflicts_with = "file", multiple = true)]
struct Options {
    /// The connection's id: a-z, 0-9 and -, for example okta
    #[arg(required_unless_present = "file")]
    id: Option<String>,
    /// The provider's issuer; the rest is discovered
    #[arg(long, value_name = "URL", required_unless_present = "file")]
    issuer: Option<String>,
    /// What the service is called at the provider
    #[arg(long, value_name = "ID", required_unless_present = "file")]
    client_id: Option<String>,
    /// Authenticate by a signature with the service's own key instead of a secret
    #[arg(long)]
    private_key_jwt: bool,
    /// What people see when they choose
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The claim that identifies a person
    #[arg(long, value_name = "CLAIM")]
    subject_claim: Option<String>,
    /// A domain whose addresses are sent here unasked; may be repeated
    #[arg(long = "email-domain", value_name = "DOMAIN")]
    email_domains: Vec<String>,
    /// A claim that has groups; may be repeated
    #[arg(long = "group-claim", value_name = "CLAIM")]
    groups_claims: Vec<String>,
    /// Who has a role: those with VALUE in CLAIM, divided by the last colon; may be repeated
    #[arg(long = "role", value_name = "ROLE=CLAIM:VALUE", value_parser = role)]
    roles: Vec<RoleRule>,
}

/// Who has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RoleRule {
    role: String,
    claim: String,
    equals: String,
}

impl Create {
    /// The document to send.
    pub fn document(&self) -> Result<Value, Failure> {
        if let Some(path) = &self.file {
            return read(path, self.client_secret_stdin);
        }
        let mut document = self.options.document();
        if self.client_secret_stdin {
            let method = Some("client_secret_basic");
            set(&mut document, "token_endpoint_auth_method", method);
            add_secret(&mut document)?;
        }
        Ok(Value::Object(document))
    }
}

impl Update {
    /// The connection.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The document to send.
    pub fn document(&self) -> Result<Value, Failure> {
        read(&self.file, self.client_secret_stdin)
    }
}

impl Options {
    /// What was said, and nothing besides: what was not said is the service's to choose.
    fn document(&self) -> Map<String, Value> {
        let mut document = Map::new();
        set(&mut document, "id", self.id.as_deref());
        set(&mut document, "name", self.name.as_deref());
        set(&mut document, "issuer", self.issuer.as_deref());
        set(&mut document, "client_id", self.client_id.as_deref());
        set(
            &mut document,
            "subject_claim",
            self.subject_claim.as_deref(),
        );
        if self.private_key_jwt {
            let method = Some("private_key_jwt");
            set(&mut document, "token_endpoint_auth_method", method);
        }
        if !self.email_domains.is_empty() {
            document.insert("email_domains".to_owned(), json!(self.email_domains));
        }
        if !self.groups_claims.is_empty() {
            document.insert("groups_claims".to_owned(), json!(self.groups_claims));
        }
        if !self.roles.is_empty() {
            let roles = self
                .roles
                .iter()
                .map(|rule| json!({"role": rule.role, "claim": rule.claim, "equals": rule.equals}));
            document.insert("roles".to_owned(), roles.collect());
        }
        document
    }
}

fn set(document: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        document.insert(name.to_owned(), value.into());
    }
}

fn read(path: &Path, secret_too: bool) -> Result<Value, Failure> {
    if secret_too && input::is_stdin(path) {
        let why = "standard input is the document or the secret, not both";
        return Err(Failure::Usage(why.to_owned()));
    }
    let mut document = input::document(path)?;
    if secret_too {
        add_secret(&mut document)?;
    }
    Ok(Value::Object(document))
}

/// Puts the secret in, from standard input.
fn add_secret(document: &mut Map<String, Value>) -> Result<(), Failure> {
    let secret = input::secret_from_stdin()?;
    document.insert("client_secret".to_owned(), secret.expose().into());
    Ok(())
}

/// `ROLE=CLAIM:VALUE`. Claims may be URLs, so it is the last colon that divides.
fn role(text: &str) -> Result<RoleRule, String> {
    let parts = text.split_once('=').and_then(|(role, rule)| {
        let (claim, equals) = rule.rsplit_once(':')?;
        Some((role, claim, equals))
    });
    match parts {
        Some((role, claim, equals))
            if [role, claim, equals].iter().all(|part| !part.is_empty()) =>
        {
            Ok(RoleRule {
                role: role.to_owned(),
                claim: claim.to_owned(),
                equals: equals.to_owned(),
            })
        }
        _ => Err("it is ROLE=CLAIM:VALUE, for example admin=groups:admins".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::commands::connections::Connections;
    use clap::Parser;

    fn parsed(args: &str) -> Result<Create, clap::Error> {
        let words = ["portcullis", "connections", "create"];
        let words = words.into_iter().chain(args.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Connections(Connections::Create(create)) => Ok(create),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_become_the_document_and_what_was_not_said_is_not_in_it() {
        let create = parsed("okta --issuer https://idp.example --client-id x").expect("parsed");
        assert_eq!(
            create.document().expect("a document"),
            json!({"id": "okta", "issuer": "https://idp.example", "client_id": "x"})
        );
        let create = parsed(
            "okta --issuer https://idp.example --client-id x --private-key-jwt --name Okta \
             --subject-claim email --email-domain a.example --email-domain b.example \
             --group-claim groups --group-claim /realm/roles --role admin=groups:admins \
             --role owner=https://acme.example/roles:owner",
        );
        assert_eq!(
            create.expect("parsed").document().expect("a document"),
            json!({
                "id": "okta",
                "name": "Okta",
                "issuer": "https://idp.example",
                "client_id": "x",
                "token_endpoint_auth_method": "private_key_jwt",
                "subject_claim": "email",
                "email_domains": ["a.example", "b.example"],
                "groups_claims": ["groups", "/realm/roles"],
                "roles": [
                    {"role": "admin", "claim": "groups", "equals": "admins"},
                    {"role": "owner", "claim": "https://acme.example/roles", "equals": "owner"},
                ],
            })
        );
    }

    #[test]
    fn a_document_is_said_in_options_or_in_a_file_and_not_in_both() {
        assert!(parsed("--file okta.json").is_ok());
        assert!(parsed("--file okta.json --client-secret-stdin").is_ok());
        for wrong in [
            "",
            "okta",
            "okta --issuer https://idp.example",
            "--issuer https://idp.example --client-id x",
            "okta --file okta.json",
            "--file okta.json --name Okta",
            "--file okta.json --role admin=groups:admins",
            "okta --issuer https://idp.example --client-id x --client-secret-stdin --private-key-jwt",
            "okta --issuer https://idp.example --client-id x --client-secret s3cret",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_role_names_all_three_parts() {
        assert!(role("admin=groups:admins").is_ok());
        for wrong in [
            "",
            "admin",
            "admin=groups",
            "groups:admins",
            "=groups:admins",
            "admin=:admins",
            "admin=groups:",
        ] {
            assert!(role(wrong).is_err(), "{wrong}");
        }
    }
}
