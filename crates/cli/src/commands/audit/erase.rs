//! `portcullis audit erase`: what the log says of a person in sealed fields can be read by nobody any more
//! (`POST /v1/audit/erasures`). It cannot be undone, so that it is asked for twice.

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{clean, member, to_the_second};
use clap::Args;
use serde_json::{Map, Value};
use std::io::{BufRead, IsTerminal};

/// For the help.
pub const EXAMPLE: &str = "\
Lines stay, and every proof and export still verifies. Gone are address, user agent and claims: not in
what was exported and disclosed before, and within 30 days the platform could bring the key back.

It cannot be undone. A terminal asks for the word `erase`; without one, --yes is needed.

Example:
  portcullis audit erase okta:alice --dry-run
  portcullis audit erase okta:alice --reason requested
  portcullis audit erase --unattributed-before 2026-01-01 --yes";

/// Whose.
#[derive(Debug, Args)]
pub struct Erase {
    /// Whose: a subject's key (sub_...) or CONNECTION:VALUE
    #[arg(
        required_unless_present = "unattributed_before",
        conflicts_with = "unattributed_before"
    )]
    subject: Option<String>,
    /// What is nobody's that is known, of the days before this one (YYYY-MM-DD, UTC)
    #[arg(long, value_name = "DAY")]
    unattributed_before: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT", conflicts_with = "dry_run")]
    reason: Option<String>,
    /// Say what there is to erase, and erase nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

impl Erase {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        if !self.dry_run && !self.yes {
            self.confirm(output)?;
        }
        let answer = client.post(&["v1", "audit", "erasures"], &self.body())?;
        output.answer(&answer, sentence)
    }

    fn body(&self) -> Value {
        let texts = [
            ("subject", &self.subject),
            ("unattributed_before", &self.unattributed_before),
            ("reason", &self.reason),
        ];
        let texts = texts.into_iter();
        let mut body: Map<String, Value> = texts
            .filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())))
            .collect();
        body.insert("dry_run".to_owned(), self.dry_run.into());
        Value::Object(body)
    }

    fn confirm(&self, output: Output) -> Result<(), Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            let why = "it cannot be undone: say --yes, or see first what --dry-run says";
            return Err(Failure::Usage(why.to_owned()));
        }
        let whose = match (&self.subject, &self.unattributed_before) {
            (Some(subject), _) => format!("of {subject}"),
            (None, Some(day)) => format!("of nobody known before {day}"),
            (None, None) => String::new(),
        };
        output.remark(&clean(&format!(
            "This destroys what opens the sealed fields {whose}. It cannot be undone. Type `erase`:"
        )));
        let mut word = String::new();
        let read = stdin.lock().read_line(&mut word);
        match read {
            Ok(_) if word.trim() == "erase" => Ok(()),
            _ => Err(Failure::Usage("nothing was erased".to_owned())),
        }
    }
}

/// What an erasure did, or would do, in a sentence.
fn sentence(answer: &Answer) -> Result<String, Failure> {
    let whose = match (
        member(&answer.value, "subject"),
        member(&answer.value, "unattributed_before"),
    ) {
        (subject, day) if subject.is_empty() => format!("of nobody known before {}", clean(&day)),
        (subject, _) => format!("of {}", clean(&subject)),
    };
    let (keys, since) = (
        member(&answer.value, "keys"),
        to_the_second(&answer.value, "since"),
    );
    let lines = answer.value.get("lines");
    let lines = lines.map(|lines| {
        let at_least = lines.get("at_least").and_then(Value::as_bool);
        let at_least = if at_least == Some(false) {
            ""
        } else {
            "at least "
        };
        format!("{at_least}{}", member(lines, "count"))
    });
    let lines = lines.unwrap_or_default();
    let before = to_the_second(&answer.value, "erased_at");
    let complete = to_the_second(&answer.value, "complete_at");
    Ok(match (answer.truth("dry_run")?, answer.truth("erased")?) {
        (true, _) if keys != "0" => format!(
            "Would erase what is sealed {whose}; keys: {keys}, since {since}; lines: {lines}. Nothing was done."
        ),
        (false, true) => format!(
            "Erased what is sealed {whose}; keys: {keys}; lines: {lines}. It is complete on {complete}."
        ),
        _ if before.is_empty() => format!("Nothing to erase: nothing is sealed {whose}."),
        _ => format!("Nothing to erase {whose}: erased {before}, complete on {complete}."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(keys: u32, erased_at: Option<&str>, dry_run: bool, erased: bool) -> String {
        let value = json!({
            "subject": "sub_1", "unattributed_before": null, "dry_run": dry_run, "erased": erased,
            "keys": keys, "since": "2026-11-01T10:00:00.000Z", "lines": {"count": 7, "at_least": dry_run},
            "erased_at": erased_at, "complete_at": erased_at.map(|_| "2026-12-25T22:15:19.123Z"),
        });
        let body = value.to_string();
        sentence(&Answer { body, value }).expect("a sentence")
    }

    #[test]
    fn what_was_erased_is_told_from_what_would_be_and_from_what_was_before() {
        let at = Some("2026-11-25T22:15:19.123Z");
        assert_eq!(
            said(1, None, true, false),
            "Would erase what is sealed of sub_1; keys: 1, since 2026-11-01T10:00:00Z; lines: at least 7. Nothing was done."
        );
        assert_eq!(
            said(1, at, false, true),
            "Erased what is sealed of sub_1; keys: 1; lines: 7. It is complete on 2026-12-25T22:15:19Z."
        );
        assert_eq!(
            said(0, at, false, false),
            "Nothing to erase of sub_1: erased 2026-11-25T22:15:19Z, complete on 2026-12-25T22:15:19Z."
        );
        assert_eq!(
            said(0, None, true, false),
            "Nothing to erase: nothing is sealed of sub_1."
        );
    }

    #[test]
    fn an_answer_that_leaves_open_what_was_done_is_none() {
        let value = json!({"subject": "sub_1", "dry_run": false});
        let body = value.to_string();
        assert!(sentence(&Answer { body, value }).is_err());
    }
}
