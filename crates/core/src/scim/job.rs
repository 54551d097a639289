//! What the change of a group means for many people, as operators see it.
//!
//! A job is stored with the change, and carried out after the answer: each of its subjects is told by
//! itself, and again until it has committed. Whom it must tell follows from the change alone ([`tells`]).
//!
//! Out of scope: telling them, and the audit log, where each end is an event of its subject's.

use super::change::{Concerned, GroupChange, GroupPolicy, Why, concerned};
use super::group::GroupId;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most jobs of a page.
pub const MAX_JOBS: u32 = 100;
/// How long a finished one is kept, in seconds.
pub const KEPT_SECS: u64 = 30 * 24 * 3600;

/// One job of a directory: the version of its first command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl JobId {
    /// As in URLs, headers and answers.
    #[must_use]
    pub fn to_text(self) -> String {
        format!("job_{}", self.0)
    }

    /// Reads the text form back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let number = text.strip_prefix("job_")?.parse().ok()?;
        Some(Self(number)).filter(|id| id.to_text() == text && number < 1 << 53)
    }
}

/// What was changed of a group. Append only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Who is in it.
    Members,
    /// Its name, and perhaps who is in it.
    Renamed,
    /// It is gone.
    Deleted,
}

impl JobKind {
    /// The stable name, as it is stored and answered.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Renamed => "renamed",
            Self::Deleted => "deleted",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Members, Self::Renamed, Self::Deleted];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl From<&GroupChange> for JobKind {
    fn from(change: &GroupChange) -> Self {
        match change {
            GroupChange::Members(_) => Self::Members,
            GroupChange::Renamed(_) => Self::Renamed,
            GroupChange::Deleted => Self::Deleted,
        }
    }
}

/// How far one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// What was changed.
    pub what: JobKind,
    /// Of which group.
    pub group: GroupId,
    /// Its name before the change.
    pub group_name: String,
    /// Why sessions are ended, as in events; `None`: none are.
    pub cause: Option<String>,
    /// How many subjects are told.
    pub total: u64,
    /// How many of them have committed it.
    pub done: u64,
    /// How many of the others were told in vain so far.
    pub failing: u64,
    /// When the change was stored.
    pub created: UnixMillis,
    /// When the last had committed it.
    pub finished: Option<UnixMillis>,
}

/// What is and was done for changes of groups, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListJobs {
    /// Only those before this one.
    pub before: Option<JobId>,
    /// The most jobs to return.
    pub limit: u32,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Which.
    pub jobs: Vec<Job>,
    /// Where the next page begins: before this one; `None` at the end.
    pub next: Option<JobId>,
}

/// How far is it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindJob {
    /// Which.
    pub id: JobId,
}

/// Users, by their ids' text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Such {
    /// All who were members before the change.
    pub members: bool,
    /// These.
    pub users: BTreeSet<String>,
}

/// Whom the change of a group means something for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tells {
    /// Who must log in again.
    pub killed: Such,
    /// Why.
    pub why: Why,
    /// Who else has other groups than before.
    pub told: Such,
}

/// Whom the change of a group means something for, by a connection's policy. Nobody is in both parts.
#[must_use]
pub fn tells(change: &GroupChange, policy: GroupPolicy) -> Tells {
    let added = match change {
        GroupChange::Members(difference) | GroupChange::Renamed(difference) => &difference.added,
        GroupChange::Deleted => &BTreeSet::new(),
    };
    let killed = match concerned(change.clone(), policy) {
        Concerned::These(users) => Such {
            members: false,
            users,
        },
        Concerned::AllMembers(users) => Such {
            members: true,
            users,
        },
    };
    // Who only gains something loses nothing.
    let users = match policy {
        GroupPolicy::Automatic => killed.users.difference(added).cloned().collect(),
        _ => killed.users,
    };
    let killed = Such { users, ..killed };
    let all = match change {
        GroupChange::Members(difference) => Such {
            members: false,
            users: difference
                .added
                .union(&difference.removed)
                .cloned()
                .collect(),
        },
        GroupChange::Renamed(difference) => Such {
            members: true,
            users: difference.added.clone(),
        },
        GroupChange::Deleted => Such {
            members: true,
            users: BTreeSet::new(),
        },
    };
    let told = Such {
        members: all.members && !killed.members,
        users: all.users.difference(&killed.users).cloned().collect(),
    };
    let why = match policy {
        GroupPolicy::ReauthenticateOnGroupChange => Why::GroupsChanged,
        GroupPolicy::Automatic | GroupPolicy::Nothing => Why::GroupLost,
    };
    Tells { killed, why, told }
}

#[cfg(test)]
mod tests {
    use super::super::patch::members::MemberDifference;
    use super::*;
    use GroupPolicy::{Automatic, Nothing, ReauthenticateOnGroupChange as Reauthenticate};

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn such(members: bool, names: &[&str]) -> Such {
        let users = set(names);
        Such { members, users }
    }

    #[test]
    fn everybody_with_other_groups_is_told_and_who_is_killed_the_policy_says() {
        let difference = || MemberDifference {
            added: set(&["new"]),
            removed: set(&["old"]),
        };
        let (members, renamed) = (
            GroupChange::Members(difference()),
            GroupChange::Renamed(difference()),
        );
        for (change, policy, killed, told) in [
            (
                &members,
                Automatic,
                such(false, &["old"]),
                such(false, &["new"]),
            ),
            (
                &members,
                Reauthenticate,
                such(false, &["new", "old"]),
                Such::default(),
            ),
            (
                &members,
                Nothing,
                Such::default(),
                such(false, &["new", "old"]),
            ),
            (&renamed, Automatic, such(true, &[]), such(false, &["new"])),
            (
                &renamed,
                Reauthenticate,
                such(true, &["new"]),
                Such::default(),
            ),
            (&renamed, Nothing, Such::default(), such(true, &["new"])),
            (
                &GroupChange::Deleted,
                Automatic,
                such(true, &[]),
                Such::default(),
            ),
            (
                &GroupChange::Deleted,
                Reauthenticate,
                such(true, &[]),
                Such::default(),
            ),
            (
                &GroupChange::Deleted,
                Nothing,
                Such::default(),
                such(true, &[]),
            ),
        ] {
            let tells = tells(change, policy);
            assert_eq!(
                (tells.killed, tells.told),
                (killed, told),
                "{change:?} {policy:?}"
            );
        }
    }

    #[test]
    fn an_id_is_read_back_from_its_one_text() {
        let id = JobId(1_700_000_000_000);
        assert_eq!(JobId::from_text(&id.to_text()), Some(id));
        for other in [
            "",
            "1",
            "job_",
            "job_01",
            "job_+1",
            "job_-1",
            "job_9007199254740992",
        ] {
            assert_eq!(JobId::from_text(other), None, "{other}");
        }
    }

    #[test]
    fn kinds_are_read_back() {
        for kind in [JobKind::Members, JobKind::Renamed, JobKind::Deleted] {
            assert_eq!(JobKind::from_text(kind.as_str()), Some(kind));
            assert_eq!(serde_json::to_value(kind).expect("JSON"), kind.as_str());
        }
        assert_eq!(JobKind::from_text("members "), None);
    }
}
