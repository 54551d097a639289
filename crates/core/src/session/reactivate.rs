//! The directory says that a person is active: they may log in again.
//!
//! Nothing old comes back: ended sessions stay ended, and the generation stays where the kill put it.

use super::{Change, Command, Decision, Needs, State, Subject};
use crate::audit::event::{Action, Actor, Event, Outcome};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Lift a deactivation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reactivate {
    /// The directory's version of this change.
    pub directory_version: u64,
    /// Who says so.
    pub actor: Actor,
}

/// Whether it changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReactivateReply {
    /// The subject was deactivated and is not any more.
    Reactivated,
    /// It was active, or a newer change had been applied.
    Unchanged,
}

impl Command for Reactivate {
    type Reply = ReactivateReply;

    fn needs(&self) -> Needs<'_> {
        Needs::default()
    }

    fn decide(self, state: &State, now: UnixMillis) -> Decision<ReactivateReply> {
        if self.directory_version <= state.subject.directory_version {
            return Decision::unchanged(ReactivateReply::Unchanged);
        }
        // The version is kept even if nothing else changes: an older kill that comes late must
        // find that it has been overtaken.
        let reactivated_at = if state.subject.disabled {
            state.subject.reactivated_at.max(Some(now))
        } else {
            state.subject.reactivated_at
        };
        let changes = vec![Change::PutSubject(Subject {
            disabled: false,
            directory_version: self.directory_version,
            reactivated_at,
            ..state.subject.clone()
        })];
        if !state.subject.disabled {
            return Decision {
                changes,
                ..Decision::unchanged(ReactivateReply::Unchanged)
            };
        }
        Decision {
            changes,
            events: vec![Event {
                subject: Some(state.subject.key),
                ..Event::new(now, Action::Reactivated, Outcome::Success, self.actor)
            }],
            reply: ReactivateReply::Reactivated,
        }
    }
}
