//! What a connection's directory says of a person: the groups that they are in, and their roles.
//!
//! A log-in brings it, and what changes afterwards the directory pushes. Both may come in any order, so each
//! says how new it is, and what is not newer than what is known changes nothing. That is an order of its own, beside
//! the one of deactivations ([`Subject::directory_version`](super::Subject::directory_version)): a newer push of groups
//! overtakes no older deactivation.
//!
//! It ends nothing and lets nobody in. The next token says it; what a token may say of it, the connection
//! decides ([`crate::connection`]).

use super::{Change, Command, Decision, Needs, State};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The most groups, and the most roles, that are kept of a person. More than tokens have room for, because the
/// connection's rules look at all of them.
pub const MAX_PROVISIONED: usize = 1000;
/// How much of their names, of each.
pub const MAX_PROVISIONED_BYTES: usize = 64 * 1024;

/// What a directory says of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provisioned {
    /// How new it is, by the directory's versions.
    pub version: u64,
    /// The names of their groups.
    pub groups: Vec<String>,
    /// The values of their `roles`.
    pub roles: Vec<String>,
}

impl Provisioned {
    /// As much of it as is kept. What there is no room for is left out whole, so that it gives nothing.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for names in [&mut self.groups, &mut self.roles] {
            names.truncate(MAX_PROVISIONED);
            let mut room = MAX_PROVISIONED_BYTES;
            names.retain(|name| {
                let left = room.checked_sub(name.len());
                room = left.unwrap_or(room);
                left.is_some()
            });
        }
        self
    }

    /// Whether it overtakes what is known.
    #[must_use]
    pub fn is_newer_than(&self, known: Option<&Self>) -> bool {
        known.is_none_or(|known| known.version < self.version)
    }
}

/// From now on that is what the directory says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provision(pub Provisioned);

/// Whether it changed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvisionReply {
    /// Tokens say it from now on.
    Provisioned,
    /// Something that is as new was known.
    Unchanged,
}

impl Command for Provision {
    type Reply = ProvisionReply;

    fn needs(&self) -> Needs<'_> {
        Needs {
            provisioned: true,
            ..Needs::default()
        }
    }

    fn decide(self, state: &State, _now: UnixMillis) -> Decision<ProvisionReply> {
        let Self(said) = self;
        if !said.is_newer_than(state.provisioned.as_ref()) {
            return Decision::unchanged(ProvisionReply::Unchanged);
        }
        Decision {
            changes: vec![Change::PutProvisioned(said.bounded())],
            ..Decision::unchanged(ProvisionReply::Provisioned)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SubjectKey;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(7);

    fn said(version: u64) -> Provisioned {
        Provisioned {
            version,
            groups: vec![format!("g{version}")],
            roles: Vec::new(),
        }
    }

    fn decided(state: &State, said: Provisioned) -> Option<Provisioned> {
        let decision = Provision(said).decide(state, NOW);
        let changed = !decision.changes.is_empty();
        assert_eq!(changed, decision.reply == ProvisionReply::Provisioned);
        match decision.changes.into_iter().next() {
            Some(Change::PutProvisioned(said)) => Some(said),
            _ => None,
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out_whole() {
        let state = State::unseen(SubjectKey::from_bytes([1; 16]));
        let many: Vec<String> = (0..=MAX_PROVISIONED).map(|n| n.to_string()).collect();
        let long = |name: char, bytes: usize| name.to_string().repeat(bytes);
        let kept = decided(
            &state,
            Provisioned {
                version: 1,
                groups: many.clone(),
                roles: vec![
                    long('a', MAX_PROVISIONED_BYTES - 1),
                    long('b', 2),
                    long('c', 1),
                    long('d', 1),
                ],
            },
        );
        let kept = kept.expect("newer than nothing");
        assert_eq!(kept.groups, many.get(..MAX_PROVISIONED).unwrap_or_default());
        assert_eq!(
            kept.roles,
            [long('a', MAX_PROVISIONED_BYTES - 1), long('c', 1)]
        );
    }

    proptest! {
        #[test]
        fn in_whatever_order_it_comes_the_newest_is_known(versions in prop::collection::vec(1u64..9, 1..20)) {
            let mut state = State::unseen(SubjectKey::from_bytes([1; 16]));
            for version in &versions {
                if let Some(said) = decided(&state, said(*version)) {
                    state.provisioned = Some(said);
                }
            }
            let newest = versions.into_iter().max().map(said);
            prop_assert_eq!(state.provisioned, newest);
        }
    }
}
