//! `portcullis revoke`: the kill (`POST /v1/revocations`).
//!
//! When it is done it is in force: every strict check that begins later denies. It is harmless to repeat.

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{clean, member, to_the_second};
use clap::Args;
use serde_json::{Map, Value};

/// For the help.
pub const EXAMPLE: &str = "\
When it is done, every strict check that begins later denies. Who still has a session
at the identity provider may log in anew; to keep somebody out, deactivate them there.

Example:
  portcullis revoke okta:alice --dry-run
  portcullis revoke okta:alice
  portcullis revoke okta:alice --session ses_AAECAwQFBgcICQoLDA0ODw";

/// Whose credentials, and which of them.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Whose: a subject's key (sub_...) or CONNECTION:VALUE
    subject: String,
    /// Only this session (ses_...)
    #[arg(long, value_name = "ID", conflicts_with = "jti")]
    session: Option<String>,
    /// Only this token (jti_...)
    #[arg(long, value_name = "ID")]
    jti: Option<String>,
    /// Count what it would end, and end nothing
    #[arg(long)]
    dry_run: bool,
}

impl Revoke {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let answer = client.post(&["v1", "revocations"], &self.body())?;
        output.answer(&answer, sentence)
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("subject".to_owned(), self.subject.as_str().into());
        body.insert("dry_run".to_owned(), self.dry_run.into());
        if let Some(session) = &self.session {
            body.insert("session".to_owned(), session.as_str().into());
        }
        if let Some(jti) = &self.jti {
            body.insert("jti".to_owned(), jti.as_str().into());
        }
        Value::Object(body)
    }
}

/// What a revocation did, or would do, in a sentence.
fn sentence(answer: &Answer) -> Result<String, Failure> {
    let whose = clean(answer.text("subject")?);
    let what = match answer.text("scope")? {
        "subject" => "everything".to_owned(),
        "session" => "one session".to_owned(),
        "token" => "one token".to_owned(),
        other => clean(other),
    };
    let sessions = member(&answer.value, "sessions");
    let at = to_the_second(&answer.value, "committed_at");
    Ok(match (answer.truth("dry_run")?, answer.truth("changed")?) {
        (true, true) => {
            format!("Would end {what} of {whose}; live sessions: {sessions}. Nothing was done.")
        }
        (true, false) => format!("Would change nothing: {what} of {whose} had ended before."),
        (false, true) => {
            format!("Ended {what} of {whose}; live sessions: {sessions}. In force since {at}.")
        }
        (false, false) => format!("Nothing to end: {what} of {whose} had ended before."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(scope: &str, sessions: u32, changed: bool, dry_run: bool) -> String {
        let value = json!({
            "subject": "sub_1", "scope": scope, "sessions": sessions, "changed": changed,
            "dry_run": dry_run, "committed_at": "2026-11-25T22:15:19.123Z",
        });
        let body = value.to_string();
        sentence(&Answer { body, value }).expect("a sentence")
    }

    #[test]
    fn what_was_done_is_told_from_what_would_be() {
        assert_eq!(
            said("subject", 2, true, false),
            "Ended everything of sub_1; live sessions: 2. In force since 2026-11-25T22:15:19Z."
        );
        assert_eq!(
            said("subject", 1, true, true),
            "Would end everything of sub_1; live sessions: 1. Nothing was done."
        );
    }

    #[test]
    fn a_repetition_says_that_there_was_nothing_to_end() {
        assert_eq!(
            said("token", 0, false, false),
            "Nothing to end: one token of sub_1 had ended before."
        );
        assert_eq!(
            said("session", 0, false, true),
            "Would change nothing: one session of sub_1 had ended before."
        );
    }

    #[test]
    fn an_answer_that_leaves_open_what_was_done_is_none() {
        let value = json!({"subject": "sub_1", "scope": "subject"});
        let body = value.to_string();
        let unclear = sentence(&Answer { body, value });
        assert_eq!(unclear.err().map(|it| it.exit_code()), Some(3));
    }
}
