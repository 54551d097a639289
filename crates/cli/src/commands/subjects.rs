//! `portcullis subjects`: who is known (`/v1/subjects`).

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, details};
use clap::{Args, Subcommand};
use serde_json::Value;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis subjects list --connection okta --search alice";

const LIST_EXAMPLE: &str = "\
Example:
  portcullis subjects list --connection okta --search alice
  portcullis subjects list --all --json > subjects.jsonl";

const SHOW_EXAMPLE: &str = "\
Example:
  portcullis subjects show okta:alice";

/// What a reader looks for first.
const FIRST: [&str; 3] = ["subject", "connection", "state"];

/// What can be done with subjects.
#[derive(Debug, Subcommand)]
pub enum Subjects {
    /// Who is known, a page of them
    #[command(after_help = LIST_EXAMPLE)]
    List(List),
    /// One of them
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// Who: a subject's key (sub_...) or CONNECTION:VALUE
        subject: String,
    },
}

/// Which subjects.
#[derive(Debug, Args)]
pub struct List {
    /// Only those of this connection
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
    /// Only those that this finds
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those in this state
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// How many on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Every page; with --json a line for each
    #[arg(long)]
    all: bool,
}

impl Subjects {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(client, output),
            Self::Show { subject } => {
                let answer = client.get(&["v1", "subjects", subject], &[])?;
                output.answer(&answer, |answer| Ok(details(&answer.value, &FIRST)))
            }
        }
    }
}

impl List {
    fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let mut found = Vec::new();
        let mut cursor = None;
        let is_all = loop {
            let page = self.page(client, cursor.as_deref())?;
            let subjects = page.list("subjects")?;
            if output.json {
                Output::line(&page.body)?;
            } else {
                found.extend_from_slice(subjects);
            }
            let next = page.value.get("next").and_then(Value::as_str);
            match next {
                None => break true,
                Some(_) if !self.all => break false,
                Some(next) if cursor.as_deref() == Some(next) => {
                    let why = "a page of subjects leads to itself";
                    return Err(Failure::NoAnswer(why.to_owned()));
                }
                Some(next) => cursor = Some(next.to_owned()),
            }
        };
        if output.json {
            return Ok(());
        }
        Output::line(&Table::of_records(&found, &FIRST).render("No subjects."))?;
        if !is_all {
            output.remark("There are more: --all shows every one.");
        }
        Ok(())
    }

    fn page(&self, client: &Client, cursor: Option<&str>) -> Result<Answer, Failure> {
        let limit = self.limit.map(|limit| limit.to_string());
        let query: Vec<(&str, &str)> = [
            ("connection", self.connection.as_deref()),
            ("search", self.search.as_deref()),
            ("state", self.state.as_deref()),
            ("limit", limit.as_deref()),
            ("cursor", cursor),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        client.get(&["v1", "subjects"], &query)
    }
}
