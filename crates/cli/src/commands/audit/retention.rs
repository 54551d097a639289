//! `portcullis audit retention` and `hold`: how long lines of the log are kept, and what keeps them longer
//! (`/v1/audit/retention`, `/v1/audit/holds`).

use crate::client::{Answer, Client};
use crate::failure::{Failure, Problem};
use crate::output::Output;
use crate::table::{Table, clean, member, to_the_second};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// For the help.
pub const EXAMPLE: &str = "\
Lines that are older go, the oldest first and in parts of 256; hashes and proofs of them stay. What went cannot be had
back. While there is a legal hold nothing goes.

Example:
  portcullis audit retention
  portcullis audit retention set 400 --dry-run
  portcullis audit retention set 400
  portcullis audit retention unset";

/// For the help.
pub const HOLD_EXAMPLE: &str = "\
Example:
  portcullis audit hold place case-2026-11
  portcullis audit hold place case-2026-12 --subject okta:alice
  portcullis audit hold list
  portcullis audit hold release case-2026-11";

const SHOW_EXAMPLE: &str = "\
Example:
  portcullis audit retention show";

const SET_EXAMPLE: &str = "\
Example:
  portcullis audit retention set 400 --dry-run";

const UNSET_EXAMPLE: &str = "\
Example:
  portcullis audit retention unset";

const LIST_EXAMPLE: &str = "\
Example:
  portcullis audit hold list";

const PLACE_EXAMPLE: &str = "\
Example:
  portcullis audit hold place case-2026-11 --subject okta:alice";

const RELEASE_EXAMPLE: &str = "\
Example:
  portcullis audit hold release case-2026-11";

const PATH: [&str; 3] = ["v1", "audit", "retention"];

/// What to do about how long lines are kept.
#[derive(Debug, Args)]
pub struct Retention {
    #[command(subcommand)]
    what: Option<What>,
    /// Say what would go, and change nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How long lines are kept, what keeps them longer, and what is gone
    #[command(after_help = SHOW_EXAMPLE)]
    Show,
    /// Have lines go that are older
    #[command(after_help = SET_EXAMPLE)]
    Set {
        /// How long lines are kept, in days; 30 at least
        days: u32,
    },
    /// Keep all lines for good
    #[command(after_help = UNSET_EXAMPLE)]
    Unset,
}

/// What to do about legal holds.
#[derive(Debug, Subcommand)]
pub enum Hold {
    /// The holds that there are
    #[command(after_help = LIST_EXAMPLE)]
    List,
    /// Place one: nothing goes any more
    #[command(after_help = PLACE_EXAMPLE)]
    Place {
        /// What it is called: a-z, 0-9, -, _ and .
        name: String,
        /// Of this person: their fields in the log cannot be erased either. Without it, it is of everything
        #[arg(long)]
        subject: Option<String>,
    },
    /// Release one
    #[command(after_help = RELEASE_EXAMPLE)]
    Release {
        /// What it is called
        name: String,
    },
}

/// What is gone of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// The index of the first line that is kept.
    pub to: u64,
    /// When the latest of those before was committed, as the log writes it.
    pub until: Option<String>,
}

impl Gone {
    /// As the service says.
    pub fn ask(client: &Client) -> Result<Self, Failure> {
        let answer = match client.get(&PATH, &[]) {
            // A service from before anything could go.
            Err(Failure::Refused(Problem { status: 404, .. })) => return Ok(Self::default()),
            other => other?,
        };
        let to = answer.value.get("pruned_to").and_then(Value::as_u64);
        let to = to.ok_or_else(|| {
            Failure::NoAnswer("the answer does not say what of the log is gone".to_owned())
        })?;
        let until = answer.value.get("pruned_until").and_then(Value::as_str);
        Ok(Self {
            to,
            until: until.map(str::to_owned),
        })
    }
}

impl Retention {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let days = match self.what {
            None | Some(What::Show) if self.dry_run => {
                let why = "--dry-run is for what would change something";
                return Err(Failure::Usage(why.to_owned()));
            }
            None | Some(What::Show) => {
                return output.answer(&client.get(&PATH, &[])?, |answer| Ok(sentences(answer)));
            }
            Some(What::Set { days }) => Some(days),
            Some(What::Unset) => None,
        };
        let body = json!({"days": days, "dry_run": self.dry_run});
        output.answer(&client.put(&PATH, &body)?, |answer| Ok(sentences(answer)))
    }
}

impl Hold {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::List => {
                let answer = client.get(&PATH, &[])?;
                let holds = answer.list("holds")?;
                if output.json {
                    return Output::line(&Value::from(holds).to_string());
                }
                Output::line(&table(holds))
            }
            Self::Place { name, subject } => {
                let body = json!({"subject": subject});
                let answer = client.put(&["v1", "audit", "holds", name], &body)?;
                output.answer(&answer, |answer| {
                    Ok(table(std::slice::from_ref(&answer.value)))
                })
            }
            Self::Release { name } => {
                let answer = client.delete(&["v1", "audit", "holds", name])?;
                output.answer(&answer, |_| Ok(clean(&format!("{name} is released."))))
            }
        }
    }
}

fn sentences(answer: &Answer) -> String {
    let of = &answer.value;
    let number = |name: &str| of.get(name).and_then(Value::as_u64).unwrap_or(0);
    let is_dry = of.get("dry_run") == Some(&Value::Bool(true));
    let mut lines = vec![match of.get("days").and_then(Value::as_u64) {
        Some(days) if is_dry => format!("Lines would be kept for {days} days."),
        Some(days) => format!("Lines are kept for {days} days."),
        None if is_dry => "Lines would be kept for good.".to_owned(),
        None => "Lines are kept for good.".to_owned(),
    }];
    lines.push(match number("pruned_to") {
        0 => "None is gone.".to_owned(),
        to => format!(
            "Those below index {to} are gone, the latest of them committed at {}.",
            to_the_second(of, "pruned_until")
        ),
    });
    let holds = of.get("holds").and_then(Value::as_array);
    let holds = holds.map(Vec::as_slice).unwrap_or_default();
    if holds.is_empty() {
        lines.push(match number("prunable") {
            0 => "None may go now.".to_owned(),
            many => format!("{many} may go now, up to index {}.", number("prunable_to")),
        });
    } else {
        lines.push("None goes while there is a hold:".to_owned());
        lines.push(table(holds));
    }
    clean_lines(&lines)
}

fn clean_lines(lines: &[String]) -> String {
    let clean: Vec<String> = lines
        .iter()
        .flat_map(|text| text.lines())
        .map(clean)
        .collect();
    clean.join("\n")
}

fn table(holds: &[Value]) -> String {
    let mut table = Table::new(&["HOLD", "OF", "PLACED", "BY"]);
    for hold in holds {
        let of = match member(hold, "subject") {
            subject if subject.is_empty() => "everything".to_owned(),
            subject => subject,
        };
        table.row([
            member(hold, "name"),
            of,
            to_the_second(hold, "placed_at"),
            member(hold, "placed_by"),
        ]);
    }
    table.render("No holds.")
}
