//! What a person allowed a client (RFC 6749 section 4.1, OIDC Core section 3.1.2.4).
//!
//! It is remembered with the log-in that followed it (see [`super::login`]), per client: scope, and the
//! audiences that tokens may have. A client that asks for more asks again.

use super::{Command, Decision, Needs, State};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// What has the person allowed this client?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskConsent {
    /// Whom.
    pub client_id: String,
}

impl Command for AskConsent {
    /// The scope; `None` if they were never asked.
    type Reply = Option<String>;

    fn needs(&self) -> Needs<'_> {
        Needs {
            consent: Some(&self.client_id),
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, _now: UnixMillis) -> Decision<Option<String>> {
        Decision::unchanged(state.consented.clone())
    }
}

/// Whether everything in `asked` is in `allowed`.
#[must_use]
pub fn covers(allowed: &str, asked: &str) -> bool {
    asked
        .split(' ')
        .filter(|one| !one.is_empty())
        .all(|one| allowed.split(' ').any(|other| other == one))
}

/// Everything in either.
#[must_use]
pub(super) fn union(allowed: &str, asked: &str) -> String {
    let mut all: Vec<&str> = allowed.split(' ').filter(|one| !one.is_empty()).collect();
    for one in asked.split(' ').filter(|one| !one.is_empty()) {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_scope_than_was_allowed_is_asked_for_again() {
        assert!(covers("a b", "b"));
        assert!(covers("a b", ""));
        assert!(!covers("a b", "a c"));
        assert!(!covers("", "a"));
        assert_eq!(union("a b", "c b"), "a b c");
    }
}
