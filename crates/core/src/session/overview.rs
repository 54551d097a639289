//! A subject in brief, for operators who look somebody up.

use super::{Session, Subject};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How is it with this subject?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookUp;

/// What there is of it now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Whether it is kept out.
    pub disabled: bool,
    /// Live sessions.
    pub sessions: u32,
    /// When one of those was last begun or refreshed.
    pub last_used_at: Option<UnixMillis>,
    /// Through which connection the newest of those began.
    pub connection: Option<String>,
}

impl Overview {
    /// Of a subject and its live sessions, oldest first.
    #[must_use]
    pub fn of(subject: Option<&Subject>, live: &[Session]) -> Self {
        Self {
            disabled: subject.is_some_and(|subject| subject.disabled),
            sessions: u32::try_from(live.len()).unwrap_or(u32::MAX),
            last_used_at: live.iter().map(|session| session.last_used_at).max(),
            connection: live.last().map(|session| session.connection.clone()),
        }
    }
}
