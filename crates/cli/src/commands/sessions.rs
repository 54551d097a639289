//! `portcullis sessions`: where somebody is logged in (`GET /v1/subjects/{subject}/sessions`).

use crate::client::{Answer, Client};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Table, member, to_the_second};
use clap::{Args, Subcommand};
use serde_json::Value;

/// For the help.
pub const EXAMPLE: &str = "\
Example:
  portcullis sessions list okta:alice";

/// What can be done with sessions. To end one: `revoke --session`.
#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// Somebody's live sessions, oldest first
    #[command(after_help = EXAMPLE)]
    List(List),
}

/// Whose sessions.
#[derive(Debug, Args)]
pub struct List {
    /// Whose: a subject's key (sub_...) or CONNECTION:VALUE
    subject: String,
}

impl Sessions {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let Self::List(List { subject }) = self;
        let answer = client.get(&["v1", "subjects", subject, "sessions"], &[])?;
        output.answer(&answer, table)
    }
}

fn table(answer: &Answer) -> Result<String, Failure> {
    Ok(rows(answer.list("sessions")?))
}

fn rows(sessions: &[Value]) -> String {
    let mut table = Table::new(&[
        "SESSION",
        "CLIENT",
        "CONNECTION",
        "DEVICE",
        "BEGUN",
        "LAST USED",
        "ENDS IF UNUSED",
        "ENDS",
    ]);
    for session in sessions {
        table.row([
            member(session, "session"),
            member(session, "client_id"),
            member(session, "connection"),
            member(session, "device"),
            to_the_second(session, "begun_at"),
            to_the_second(session, "last_used_at"),
            to_the_second(session, "idle_expires_at"),
            to_the_second(session, "expires_at"),
        ]);
    }
    table.render("No live sessions.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_session_is_a_row() {
        let shown = rows(&[json!({
            "session": "ses_1", "client_id": "demo-app", "connection": "okta", "device": null,
            "begun_at": "2026-11-25T22:15:19.000Z", "auth_time": null,
            "last_used_at": "2026-11-25T22:16:00.500Z",
            "idle_expires_at": "2026-11-26T22:16:00.500Z", "expires_at": "2026-12-25T22:15:19.000Z",
        })]);
        assert_eq!(
            shown,
            "\
SESSION  CLIENT    CONNECTION  BEGUN                 LAST USED             ENDS IF UNUSED        ENDS
ses_1    demo-app  okta        2026-11-25T22:15:19Z  2026-11-25T22:16:00Z  2026-11-26T22:16:00Z  2026-12-25T22:15:19Z"
        );
    }

    #[test]
    fn somebody_without_sessions_is_no_error() {
        assert_eq!(rows(&[]), "No live sessions.");
    }
}
