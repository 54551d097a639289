//! `portcullis audit dead-letters`: what could not be taken into the log (`/v1/audit/dead-letters`).

use super::query::cells;
use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, details, member, to_the_second};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis audit dead-letters list
  portcullis audit dead-letters show ltr_AAECAwQFBgcICQoLDA0ODw";

const LIST_EXAMPLE: &str = "\
Those that were kept last come first.

Example:
  portcullis audit dead-letters list
  portcullis audit dead-letters list --limit 10 --cursor 512";

const SHOW_EXAMPLE: &str = "\
If it is a pack its events are shown, without what looks like a credential; its bytes never are.

Example:
  portcullis audit dead-letters show ltr_AAECAwQFBgcICQoLDA0ODw";

const REPLAY_EXAMPLE: &str = "\
What is in the log already is not taken twice. The letter goes with it. What is no pack, says what a
gateway may not say, or contradicts the log is refused and stays.

Example:
  portcullis audit dead-letters replay ltr_AAECAwQFBgcICQoLDA0ODw";

const DISCARD_EXAMPLE: &str = "\
What is in it is gone. That it was given up, and by whom, is in the log.

Example:
  portcullis audit dead-letters discard ltr_AAECAwQFBgcICQoLDA0ODw";

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// A page of them
    #[command(after_help = LIST_EXAMPLE)]
    List(List),
    /// One, and its events
    #[command(after_help = SHOW_EXAMPLE)]
    Show(Letter),
    /// Take in what is in one
    #[command(after_help = REPLAY_EXAMPLE)]
    Replay(Letter),
    /// Give one up
    #[command(after_help = DISCARD_EXAMPLE)]
    Discard(Letter),
}

/// Which page.
#[derive(Debug, Args)]
pub struct List {
    /// How many on a page
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Go on where a page ended
    #[arg(long)]
    cursor: Option<String>,
}

/// Which letter.
#[derive(Debug, Args)]
pub struct Letter {
    /// Its id (ltr_...)
    letter: String,
}

impl DeadLetters {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(client, output),
            Self::Show(Letter { letter }) => output.answer(&client.get(&path(letter), &[])?, shown),
            Self::Replay(Letter { letter }) => {
                let [v1, audit, letters, letter] = path(letter);
                let replay = [v1, audit, letters, letter, "replay"];
                output.answer(&client.post(&replay, &json!({}))?, |answer| {
                    let of = |name| member(&answer.value, name);
                    let (new, known) = (of("new_events"), of("duplicates"));
                    Ok(format!(
                        "Taken in: {new} new events, {known} that the log had."
                    ))
                })
            }
            Self::Discard(Letter { letter }) => {
                let gone = client.delete(&path(letter))?;
                output.answer(&gone, |_| Ok(String::new()))?;
                output.remark(&format!("{letter} is given up."));
                Ok(())
            }
        }
    }
}

impl List {
    fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let limit = self.limit.map(|limit| limit.to_string());
        let both = [
            ("limit", limit.as_deref()),
            ("cursor", self.cursor.as_deref()),
        ];
        let both = both.into_iter();
        let query: Vec<_> = both.filter_map(|(name, it)| Some((name, it?))).collect();
        let page = client.get(&["v1", "audit", "dead-letters"], &query)?;
        output.answer(&page, |page| Ok(rows(page.list("letters")?)))?;
        if let Ok(next) = page.text("next") {
            output.remark(&format!("There are more: --cursor {next}"));
        }
        Ok(())
    }
}

const fn path(letter: &str) -> [&str; 4] {
    ["v1", "audit", "dead-letters", letter]
}

fn rows(letters: &[Value]) -> String {
    let mut table = Table::new(&["LETTER", "REASON", "KEPT", "BYTES", "SHA-256"]);
    for letter in letters {
        table.row([
            member(letter, "letter"),
            member(letter, "reason"),
            to_the_second(letter, "kept_at"),
            member(letter, "size"),
            member(letter, "sha256"),
        ]);
    }
    table.render("No dead letters.")
}

fn shown(answer: &Answer) -> Result<String, Failure> {
    let mut letter = answer.value.clone();
    let events = letter.as_object_mut().and_then(|it| it.remove("events"));
    let known = details(&letter, &["letter", "reason", "kept_at", "size"]);
    let events = match events {
        Some(Value::Array(events)) => events,
        Some(Value::Null) | None => return Ok(format!("{known}\n\nIt is no pack of events.")),
        Some(_) => return Err(Failure::NoAnswer("`events` is no list".to_owned())),
    };
    let heads = [
        "SEQUENCE", "OCCURRED", "ACTION", "OUTCOME", "REASON", "BY", "SUBJECT", "CLIENT", "REQUEST",
    ];
    let mut table = Table::new(&heads);
    for event in &events {
        let mut cells = cells(event);
        if let Some(first) = cells.first_mut() {
            *first = member(event, "sequence");
        }
        table.row(cells);
    }
    Ok(format!("{known}\n\n{}", table.render("No events.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(value: Value) -> Answer {
        let body = value.to_string();
        Answer { body, value }
    }

    #[test]
    fn a_letter_is_a_row() {
        let shown = rows(&[json!({
            "letter": "ltr_1", "reason": "malformed", "kept_at": "2026-11-25T22:15:19.123Z",
            "size": 7, "sha256": "00ff",
        })]);
        assert_eq!(
            shown,
            "\
LETTER  REASON     KEPT                  BYTES  SHA-256
ltr_1   malformed  2026-11-25T22:15:19Z  7      00ff"
        );
        assert_eq!(rows(&[]), "No dead letters.");
    }

    #[test]
    fn a_letter_that_is_a_pack_is_shown_with_its_events_and_one_that_is_none_without() {
        let pack = answer(json!({
            "letter": "ltr_1", "reason": "too_old", "opened": true,
            "events": [{"sequence": 7, "occurred": "2026-11-25T22:15:19.123Z", "action": "check.denied",
                "outcome": "denied", "actor": {"type": "anonymous"}}],
        }));
        let text = shown(&pack).expect("text");
        assert!(text.contains("ltr_1") && text.contains("too_old"), "{text}");
        assert!(
            text.contains("7         2026-11-25T22:15:19Z  check.denied"),
            "{text}"
        );
        let none = answer(json!({"letter": "ltr_1", "reason": "malformed", "events": null}));
        let text = shown(&none).expect("text");
        assert!(text.ends_with("It is no pack of events."), "{text}");
    }
}
