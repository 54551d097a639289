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
    /// As much of it as is kept: the first of each.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.groups.truncate(MAX_PROVISIONED);
        self.roles.truncate(MAX_PROVISIONED);
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
    fn more_than_is_kept_is_left_out_from_the_end() {
        let state = State::unseen(SubjectKey::from_bytes([1; 16]));
        let names: Vec<String> = (0..=MAX_PROVISIONED).map(|n| n.to_string()).collect();
        let kept = decided(
            &state,
            Provisioned {
                version: 1,
                groups: names.clone(),
                roles: names.clone(),
            },
        );
        let kept = kept.expect("newer than nothing");
        assert_eq!(kept.groups.len(), MAX_PROVISIONED);
        assert_eq!(kept.roles, names.get(..MAX_PROVISIONED).unwrap_or_default());
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
