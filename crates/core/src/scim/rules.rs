//! What a connection says of SCIM: how its users and log-ins meet, and what a change of groups does.

use super::change::GroupPolicy;
use super::matching::{Matching, MatchingAttribute};
use crate::connection::Connection;
use serde::{Deserialize, Serialize};

/// The settings in a connection's document, under `scim`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScimSettings {
    /// The attribute that has the value by which a person logs in.
    pub matching: MatchingAttribute,
    /// What happens to those who stay when their groups or roles change.
    pub group_changes: GroupPolicy,
}

impl ScimSettings {
    /// Whether they are what they are where nothing is said.
    #[must_use]
    pub fn are_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What a directory goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who a user is.
    pub matching: Matching,
    /// What happens to those who stay.
    pub group_changes: GroupPolicy,
}

impl Rules {
    /// Those of a connection.
    #[must_use]
    pub const fn of(connection: &Connection) -> Self {
        Self {
            matching: Matching::of(connection, connection.scim.matching),
            group_changes: connection.scim.group_changes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::testing::{connection, with};
    use serde_json::json;

    #[test]
    fn a_connection_that_says_nothing_has_the_usual_rules_and_shows_none() {
        assert_eq!(Rules::of(&connection()), Rules::default());
        assert!(!connection().description().contains_key("scim"));
    }

    #[test]
    fn what_a_connection_says_holds_and_another_matching_makes_other_people() {
        let by_mail = with(&json!({"subject_folds_case": true, "scim": {
            "matching": "work_email", "group_changes": "reauthenticate_on_group_change"}}));
        let rules = Rules::of(&by_mail);
        assert_eq!(rules.matching.attribute, MatchingAttribute::WorkEmail);
        assert_eq!(
            rules.group_changes,
            GroupPolicy::ReauthenticateOnGroupChange
        );
        assert!(rules.matching.folds_case);
        assert!(!by_mail.knows_the_people_of(&with(&json!({"subject_folds_case": true}))));
        let softer = with(&json!({"subject_folds_case": true, "scim": {"matching": "work_email"}}));
        assert!(by_mail.knows_the_people_of(&softer) && by_mail.carries_on_as(&softer));
    }
}
