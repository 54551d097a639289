//! What may be said of somebody's groups and roles: what they came with, and what the connection's directory
//! says of them.
//!
//! Decided where a token is minted, and by the connection as it is then, so that a group that the directory gives or
//! takes is in the next token, or is not.
//!
//! | | first | then | then |
//! |---|---|---|---|
//! | groups | the directory's | | those that they came with |
//! | roles | what the rules make of the directory's groups and roles | the directory's | those that they came with |
//!
//! Each once, and no more than there is room for ([`MAX_GROUPS`], [`MAX_GROUP_BYTES`]). A directory's group is a record of
//! the claims that are groups, and its role one of the claim `roles`; of the rules those count that want exactly such a text.
//! They look at every one, also at those for which there is no room.

use super::identity::{MAX_GROUP_BYTES, MAX_GROUPS, plain_name};
use super::{Connection, RoleRule};
use crate::session::provision::Provisioned;
use serde_json::Value;

/// The claim that a directory's roles are records of.
const ROLES: &str = "roles";

/// Groups and roles, as tokens have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entitlements {
    /// Groups.
    pub groups: Vec<String>,
    /// Roles.
    pub roles: Vec<String>,
}

impl Entitlements {
    /// Those that somebody came with, of whom no directory says anything.
    #[must_use]
    pub fn brought(groups: &[String], roles: &[String]) -> Self {
        Self {
            groups: groups.to_vec(),
            roles: roles.to_vec(),
        }
    }
}

impl Connection {
    /// Those of somebody who came with `brought`, and of whom the directory says that.
    #[must_use]
    pub fn entitlements(&self, brought: &Entitlements, said: &Provisioned) -> Entitlements {
        let made = self.roles.iter().filter(|rule| self.makes(rule, said));
        let roles = made
            .map(|rule| &rule.role)
            .chain(&said.roles)
            .chain(&brought.roles);
        Entitlements {
            groups: kept(said.groups.iter().chain(&brought.groups)),
            roles: kept(roles),
        }
    }

    /// Whether what the directory says has the record that `rule` wants.
    fn makes(&self, rule: &RoleRule, said: &Provisioned) -> bool {
        let Some(Value::String(wanted)) = &rule.equals else {
            return false;
        };
        let claim = plain_name(&rule.claim);
        let mut of_groups = self.groups_claims.iter().map(|name| plain_name(name));
        (of_groups.any(|name| name == claim) && said.groups.contains(wanted))
            || (claim == ROLES && said.roles.contains(wanted))
    }
}

/// Each once, as many as there is room for. What is too long is left out whole.
fn kept<'n>(names: impl Iterator<Item = &'n String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for name in names.filter(|name| (1..=MAX_GROUP_BYTES).contains(&name.len())) {
        if kept.len() == MAX_GROUPS {
            break;
        }
        if !kept.contains(name) {
            kept.push(name.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::testing::with;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn said(groups: &[&str], roles: &[&str]) -> Provisioned {
        Provisioned {
            version: 1,
            groups: names(groups),
            roles: names(roles),
        }
    }

    fn roles(settings: &Value, said: &Provisioned) -> Vec<String> {
        with(settings)
            .entitlements(&Entitlements::default(), said)
            .roles
    }

    #[test]
    fn both_are_said_each_once_and_the_directorys_first() {
        let connection = with(&json!({
            "roles": [{"role": "admin", "claim": "groups", "equals": "admins"}],
        }));
        let brought = Entitlements::brought(&names(&["staff", "eng"]), &names(&["user", "buyer"]));
        let all = connection.entitlements(&brought, &said(&["admins", "eng"], &["buyer"]));
        assert_eq!(all.groups, ["admins", "eng", "staff"]);
        assert_eq!(all.roles, ["admin", "buyer", "user"]);
    }

    #[test]
    fn a_directory_that_says_nothing_takes_nothing_away() {
        let brought = Entitlements::brought(&names(&["staff"]), &names(&["user"]));
        let all = with(&json!({})).entitlements(&brought, &Provisioned::default());
        assert_eq!(all, brought);
    }

    #[test]
    fn a_rule_counts_on_a_claim_of_groups_or_on_roles_and_where_it_wants_the_text() {
        let both = said(&["admins", "1"], &["boss"]);
        let of = |rule: Value, claims: Value| {
            let mut rule = rule;
            rule["role"] = json!("made");
            let settings = json!({"roles": [rule], "groups_claims": claims});
            roles(&settings, &both).contains(&"made".to_owned())
        };
        let groups = || json!(["groups"]);
        let wants = |claim: &str, text: &str| json!({"claim": claim, "equals": text});
        assert!(of(wants("groups", "admins"), groups()));
        assert!(of(wants("/groups", "admins"), groups()));
        assert!(of(
            wants("/realm/groups", "admins"),
            json!(["x", "/realm/groups"])
        ));
        assert!(of(wants("roles", "boss"), groups()));
        assert!(of(wants("/roles", "boss"), groups()));
        assert!(of(wants("roles", "admins"), json!(["roles"])));
        for (rule, claims) in [
            // A claim that is no group's, and one that is another's.
            (wants("department", "admins"), groups()),
            (wants("groups", "admins"), json!(["teams"])),
            (wants("/realm/groups", "admins"), groups()),
            // Names are not folded, nor looked for in each other.
            (wants("groups", "Admins"), groups()),
            (wants("groups", "admin"), groups()),
            // A group is no role, and a role no group.
            (wants("roles", "admins"), groups()),
            (wants("groups", "boss"), groups()),
            // A text is no number, and no object.
            (json!({"claim": "groups", "equals": 1}), groups()),
            (
                json!({"claim": "groups", "where": {"name": "admins"}}),
                groups(),
            ),
        ] {
            assert!(!of(rule.clone(), claims.clone()), "{rule} {claims}");
        }
    }

    #[test]
    fn a_rule_sees_names_for_which_there_is_no_room() {
        let long = "x".repeat(MAX_GROUP_BYTES + 1);
        let mut groups: Vec<String> = (0..MAX_GROUPS).map(|n| format!("g{n}")).collect();
        groups.extend([long.clone(), "admins".to_owned()]);
        let said = Provisioned {
            version: 1,
            groups,
            roles: vec![long.clone()],
        };
        let connection = with(&json!({"roles": [
            {"role": "admin", "claim": "groups", "equals": "admins"},
            {"role": "long", "claim": "groups", "equals": long},
        ]}));
        let all = connection.entitlements(&Entitlements::default(), &said);
        assert_eq!(all.roles, ["admin", "long"]);
        assert_eq!(all.groups.len(), MAX_GROUPS);
        assert!(!all.groups.contains(&long) && !all.groups.contains(&"admins".to_owned()));
    }

    proptest! {
        #[test]
        fn whatever_is_said_there_is_no_more_than_room_and_nothing_new(
            groups in prop::collection::vec(".{0,70}", 0..30), others in prop::collection::vec(".{0,3}", 0..30),
        ) {
            let said = Provisioned { version: 1, groups: groups.clone(), roles: others.clone() };
            let brought = Entitlements::brought(&others, &groups);
            let all = with(&json!({})).entitlements(&brought, &said);
            for list in [&all.groups, &all.roles] {
                prop_assert!(list.len() <= MAX_GROUPS);
                let mut distinct = (*list).clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), list.len());
                prop_assert!(list.iter().all(|one| groups.contains(one) || others.contains(one)));
                prop_assert!(list.iter().all(|one| (1..=MAX_GROUP_BYTES).contains(&one.len())));
            }
        }
    }
}
