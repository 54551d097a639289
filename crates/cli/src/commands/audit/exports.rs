//! `portcullis audit exports`: what the service makes or has made (`/v1/audit/exports`).

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, details, member, to_the_second};
use clap::Subcommand;
use serde_json::Value;

/// For the help.
pub const EXAMPLE: &str = "\
Files are there for a week; `audit export DIR --by-service` of this command line fetches and verifies them.

Example:
  portcullis audit exports list
  portcullis audit exports delete exp_1764144000000";

const LIST_EXAMPLE: &str = "\
Example:
  portcullis audit exports list";

const SHOW_EXAMPLE: &str = "\
Example:
  portcullis audit exports show exp_1764144000000";

const DELETE_EXAMPLE: &str = "\
Example:
  portcullis audit exports delete exp_1764144000000";

/// What can be done with exports of the service.
#[derive(Debug, Subcommand)]
pub enum Exports {
    /// Those there are, newest first
    #[command(after_help = LIST_EXAMPLE)]
    List,
    /// How far one is, and its files
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// Which: `exp_...`
        id: String,
    },
    /// Cancel one, or remove its files
    #[command(after_help = DELETE_EXAMPLE)]
    Delete {
        /// Which: `exp_...`
        id: String,
    },
}

impl Exports {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let of = |id| ["v1", "audit", "exports", id];
        match self {
            Self::List => {
                let answer = client.get(&["v1", "audit", "exports"], &[])?;
                output.answer(&answer, |answer| Ok(table(answer.list("exports")?)))
            }
            Self::Show { id } => {
                let answer = client.get(&of(id.as_str()), &[])?;
                output.answer(&answer, |answer| Ok(shown(answer)))
            }
            Self::Delete { id } => {
                let answer = client.delete(&of(id.as_str()))?;
                output.answer(&answer, |_| Ok(format!("{id} is gone.")))
            }
        }
    }
}

fn shown(answer: &Answer) -> String {
    let first = ["id", "state", "from", "to", "filter", "format", "progress"];
    details(&answer.value, &first)
}

fn table(exports: &[Value]) -> String {
    let heads = [
        "EXPORT", "STATE", "DONE", "LINES", "FORMAT", "BY", "CREATED", "EXPIRES", "REASON",
    ];
    let mut table = Table::new(&heads);
    for export in exports {
        let progress = export.get("progress").filter(|it| it.is_object());
        let done = progress.map(|it| format!("{}/{}", member(it, "done"), member(it, "total")));
        table.row([
            member(export, "id"),
            member(export, "state"),
            done.unwrap_or_default(),
            member(export, "lines"),
            member(export, "format"),
            member(export, "requested_by"),
            to_the_second(export, "created_at"),
            to_the_second(export, "expires_at"),
            member(export, "reason"),
        ]);
    }
    table.render("No exports.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_export_is_a_row_with_how_far_it_is() {
        let export = json!({
            "id": "exp_7", "state": "running", "progress": {"done": 5, "total": 9}, "lines": 4,
            "format": "csv", "requested_by": "auditor", "created_at": "2026-11-25T22:15:19.000Z",
            "expires_at": null, "reason": null,
        });
        let shown = table(&[export]);
        for part in ["exp_7", "running", "5/9", "auditor"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert_eq!(table(&[]), "No exports.");
    }
}
