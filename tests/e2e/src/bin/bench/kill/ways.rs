//! Whom to ask, what to send them, and what their answers mean.

use super::choice::Asks;
use crate::connection::{Answer, request};
use crate::wire::find;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::history::{Consistency, Outcome};
use serde_json::json;
use url::Url;

/// Whom to ask, and how sure they must be.
pub struct Way {
    /// Where.
    pub url: Url,
    /// How sure.
    pub consistency: Consistency,
    /// What it is.
    pub kind: Kind,
}

/// What a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The service's own check, by token.
    Check,
    /// A gateway's strict route.
    Strict,
    /// A bounded one that waits for a fresh view, and is refused without.
    Refreshes,
    /// A bounded one that is checked strictly where the view is too old.
    FallsBack,
}

impl Way {
    /// What it asks about.
    pub fn asks(&self) -> Asks {
        Asks {
            consistency: self.consistency,
            of_all: self.kind != Kind::Strict,
        }
    }

    /// The bytes that ask about somebody.
    pub fn request(&self, tokens: &Tokens) -> Vec<u8> {
        if self.kind == Kind::Check {
            let service = format!("Bearer {}", bearer::GATEWAY);
            let headers = [
                ("Authorization", service.as_str()),
                ("Content-Type", "application/json"),
            ];
            let body = json!({ "token": tokens.access }).to_string();
            return request("POST", &self.url, &headers, &body);
        }
        let person = format!("Bearer {}", tokens.access);
        request("GET", &self.url, &[("Authorization", &person)], "")
    }
}

/// What an answer means.
pub fn outcome(answer: &Answer) -> Outcome {
    let says = |text: &str| find(&answer.body, text.as_bytes()).is_some();
    match answer.status {
        200 if says(r#""verdict":"denied""#) => Outcome::Denied,
        200 => Outcome::Accepted,
        401 => Outcome::Denied,
        _ => Outcome::Nothing,
    }
}

/// Whether the gateway says that it judged by its copy of the feed.
pub fn is_by_view(answer: &Answer) -> bool {
    let head = answer.head.to_ascii_lowercase();
    find(&head, b"portcullis-check: bounded").is_some()
}
