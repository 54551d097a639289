//! What a change of a user, or of a group, does to the person: the policy of a connection.
//!
//! Whatever the policy, who is deactivated or deleted is out until they are reactivated, and a value
//! that is not a user's any more lets nobody in. A value that becomes another user's starts a new person:
//! what went on under it is ended, because it was somebody else's.
//!
//! Losing a group or role is the policy's: by default whoever loses one must log in again, and what is gained is
//! picked up at the next refresh.
//!
//! Every effect may be carried out again, and the store leaves out what is in force already. Which of two
//! changes is newer, the directory's versions say; that is not decided here.

use super::matching::Matching;
use super::patch::members::MemberDifference;
use super::resource::is_active;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What happens to those who stay when their groups or roles change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupPolicy {
    /// Whoever loses one logs in again; who gains one has it at the next refresh.
    #[default]
    Automatic,
    /// Whoever's change logs in again.
    ReauthenticateOnGroupChange,
    /// Nothing. Deprovisioning is no group change.
    Nothing,
}

/// What of a user decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The value that identifies them ([`Matching::value`]); `None`: nobody.
    pub value: Option<String>,
    /// Whether they may log in.
    pub active: bool,
    /// Their groups.
    pub groups: BTreeSet<String>,
    /// Their roles.
    pub roles: BTreeSet<String>,
}

impl Standing {
    /// Of a user, as it is kept, who is in these groups and has these roles.
    #[must_use]
    pub fn of(
        user: &Map<String, Value>,
        matching: &Matching,
        groups: BTreeSet<String>,
        roles: BTreeSet<String>,
    ) -> Self {
        Self {
            value: matching.value(user).map(str::to_owned),
            active: is_active(user),
            groups,
            roles,
        }
    }
}

/// Why something is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The user is not active.
    Deactivated,
    /// The user was deleted.
    Deleted,
    /// The user has another value now; this was the old one.
    Renamed,
    /// The user has this value now, and did not before.
    Reassigned,
    /// The user lost a group.
    GroupLost,
    /// The user lost a role.
    RoleLost,
    /// The user's groups or roles changed.
    GroupsChanged,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// End everything under that value, and let nobody in until it is reactivated.
    Disable {
        /// Whose.
        value: String,
        /// Why.
        why: Why,
    },
    /// Let people in under that value again, if nobody was. It revives nothing.
    Reactivate {
        /// Whose.
        value: String,
    },
    /// End everything under that value. They may log in again.
    Reauthenticate {
        /// Whose.
        value: String,
        /// Why.
        why: Why,
    },
}

/// What the change of a user does, in this order. `None`: there was, or is, no such user.
#[must_use]
pub fn on_change(
    before: Option<&Standing>,
    after: Option<&Standing>,
    matching: &Matching,
    policy: GroupPolicy,
) -> Vec<Effect> {
    let old = before.and_then(|before| before.value.clone());
    let Some(after) = after else {
        let why = Why::Deleted;
        let ended = old.map(|value| Effect::Disable { value, why });
        return ended.into_iter().collect();
    };
    let is_same = match (&old, &after.value) {
        (Some(old), Some(new)) => matching.is_same(old, new),
        (None, None) => true,
        _ => false,
    };
    let mut effects = Vec::new();
    if let Some(value) = old.filter(|_| !is_same) {
        let why = Why::Renamed;
        effects.push(Effect::Disable { value, why });
    }
    let Some(value) = after.value.clone() else {
        return effects;
    };
    if !after.active {
        let why = Why::Deactivated;
        effects.push(Effect::Disable { value, why });
        return effects;
    }
    match before {
        None => effects.push(Effect::Reactivate { value }),
        Some(_) if !is_same => {
            effects.push(Effect::Reactivate {
                value: value.clone(),
            });
            let why = Why::Reassigned;
            effects.push(Effect::Reauthenticate { value, why });
        }
        Some(before) if !before.active => effects.push(Effect::Reactivate { value }),
        Some(before) => {
            let why = lost(before, after, policy);
            effects.extend(why.map(|why| Effect::Reauthenticate { value, why }));
        }
    }
    effects
}

/// Why somebody who stays must log in again, if they must.
fn lost(before: &Standing, after: &Standing, policy: GroupPolicy) -> Option<Why> {
    let group = !before.groups.is_subset(&after.groups);
    let role = !before.roles.is_subset(&after.roles);
    match policy {
        GroupPolicy::Automatic if group => Some(Why::GroupLost),
        GroupPolicy::Automatic if role => Some(Why::RoleLost),
        GroupPolicy::Automatic | GroupPolicy::Nothing => None,
        GroupPolicy::ReauthenticateOnGroupChange => {
            let changed = before.groups != after.groups || before.roles != after.roles;
            changed.then_some(Why::GroupsChanged)
        }
    }
}

/// What of a group changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupChange {
    /// Its members.
    Members(MemberDifference),
    /// Its name, by which roles may go; and its members.
    Renamed(MemberDifference),
    /// It is gone.
    Deleted,
}

/// Of whom [`on_change`] must be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// Of these users.
    These(BTreeSet<String>),
    /// Of all who were members before, and of these.
    AllMembers(BTreeSet<String>),
}

/// Whom the change of a group concerns.
#[must_use]
pub fn concerned(change: GroupChange, policy: GroupPolicy) -> Concerned {
    match (policy, change) {
        (GroupPolicy::Nothing, _) => Concerned::These(BTreeSet::new()),
        (_, GroupChange::Deleted) => Concerned::AllMembers(BTreeSet::new()),
        (_, GroupChange::Renamed(difference)) => Concerned::AllMembers(difference.added),
        // What is gained takes nothing away.
        (GroupPolicy::Automatic, GroupChange::Members(difference)) => {
            Concerned::These(difference.removed)
        }
        (GroupPolicy::ReauthenticateOnGroupChange, GroupChange::Members(difference)) => {
            let mut all = difference.added;
            all.extend(difference.removed);
            Concerned::These(all)
        }
    }
}

#[cfg(test)]
mod tests;
