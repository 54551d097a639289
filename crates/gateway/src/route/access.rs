//! Who may pass a guarded route: what of a caller's roles, groups and scopes is enough.
//!
//! All conditions of a route must hold. Names are compared as they are, in one case.

use crate::caller::Caller;

/// What a caller must have. Nothing: to be known is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// One of these roles.
    pub roles_any: Vec<String>,
    /// All of these roles.
    pub roles_all: Vec<String>,
    /// One of these groups.
    pub groups_any: Vec<String>,
    /// All of these groups.
    pub groups_all: Vec<String>,
    /// All of these scopes.
    pub scopes: Vec<String>,
}

/// What a caller does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing<'r> {
    /// A role.
    Role,
    /// A group.
    Group,
    /// A scope; these are required.
    Scope(&'r [String]),
}

impl Missing<'_> {
    /// The stable name, as in events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Role => "role_missing",
            Self::Group => "group_missing",
            Self::Scope(_) => "scope_missing",
        }
    }
}

impl Requirements {
    /// What `caller` does not have. A scope is named last: with one more of those, who lacks a role is
    /// let in no sooner.
    pub fn met_by(&self, caller: &Caller) -> Result<(), Missing<'_>> {
        if !has(&caller.roles, &self.roles_any, &self.roles_all) {
            return Err(Missing::Role);
        }
        if !has(&caller.groups, &self.groups_any, &self.groups_all) {
            return Err(Missing::Group);
        }
        let granted = |scope: &String| {
            let scopes = caller.scope.as_deref().unwrap_or_default();
            scopes.split(' ').any(|granted| granted == scope)
        };
        if !self.scopes.iter().all(granted) {
            return Err(Missing::Scope(&self.scopes));
        }
        Ok(())
    }
}

fn has(held: &[String], any: &[String], all: &[String]) -> bool {
    let any_of_them = any.is_empty() || any.iter().any(|name| held.contains(name));
    any_of_them && all.iter().all(|name| held.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller;
    use proptest::prelude::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn caller(roles: &[&str], groups: &[&str], scope: &str) -> Caller {
        Caller {
            roles: names(roles),
            groups: names(groups),
            scope: Some(scope.to_owned()),
            ..caller::example()
        }
    }

    #[test]
    fn to_be_known_is_enough_where_nothing_is_required() {
        let nobody_special = Caller {
            scope: None,
            ..caller(&[], &[], "")
        };
        assert_eq!(Requirements::default().met_by(&nobody_special), Ok(()));
    }

    #[test]
    fn every_condition_must_hold() {
        let scopes = names(&["read", "write"]);
        let requirements = Requirements {
            roles_any: names(&["admin", "owner"]),
            roles_all: names(&["staff"]),
            groups_any: names(&["berlin", "paris"]),
            groups_all: names(&["all"]),
            scopes: scopes.clone(),
        };
        for (roles, groups, scope, met) in [
            (
                vec!["owner", "staff"],
                vec!["all", "paris"],
                "x write read",
                Ok(()),
            ),
            (
                vec!["owner"],
                vec!["all", "paris"],
                "read write",
                Err(Missing::Role),
            ),
            (vec!["staff"], vec!["all", "paris"], "", Err(Missing::Role)),
            (
                vec!["Admin", "staff"],
                vec!["all", "paris"],
                "read write",
                Err(Missing::Role),
            ),
            (
                vec!["admin", "staff"],
                vec!["all"],
                "read write",
                Err(Missing::Group),
            ),
            (
                vec!["admin", "staff"],
                vec!["paris"],
                "",
                Err(Missing::Group),
            ),
            (
                vec!["admin", "staff"],
                vec!["all", "paris"],
                "read",
                Err(Missing::Scope(&scopes)),
            ),
            (
                vec!["admin", "staff"],
                vec!["all", "paris"],
                "reads write",
                Err(Missing::Scope(&scopes)),
            ),
        ] {
            let met_by = requirements.met_by(&caller(&roles, &groups, scope));
            assert_eq!(met_by, met, "{roles:?} {groups:?} {scope}");
        }
    }

    proptest! {
        #[test]
        fn a_role_is_no_group_and_no_scope(name in "[a-c]", held in "[a-c]") {
            let by_role = Requirements { roles_all: vec![name.clone()], ..Requirements::default() };
            let as_role = caller(&[&held], &[], "");
            let otherwise = caller(&[], &[&held], &held);
            prop_assert_eq!(by_role.met_by(&as_role).is_ok(), name == held);
            prop_assert!(by_role.met_by(&otherwise).is_err());
        }
    }
}
