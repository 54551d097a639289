//! What a connection makes of verified claims: who somebody is, and which groups and roles that means.
//!
//! Roles are decided over every record of a claim; of the roles, groups and custom claims that are kept in a
//! session only so many are, because tokens go into cookies, which hold 4 KB. What does not fit is
//! left out whole: a name that was cut could be another's.

use super::Connection;
use super::claims::{at, records, text};
use crate::session::Profile;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most groups that are kept.
pub const MAX_GROUPS: usize = 20;
/// The longest name of a group or role.
pub const MAX_GROUP_BYTES: usize = 64;
/// The longest name or address that is kept.
pub const MAX_PROFILE_BYTES: usize = 256;
/// The longest identifying value.
pub const MAX_VALUE_BYTES: usize = 256;
/// How much of custom claims is kept, names and JSON together.
pub const MAX_CUSTOM_BYTES: usize = 1024;

/// Who somebody is, by verified claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The value of the claim that identifies them.
    pub value: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Roles, by the connection's rules.
    pub roles: Vec<String>,
    /// Custom claims.
    pub claims: Vec<CustomClaim>,
    /// What else is said of them.
    pub profile: Profile,
}

/// A claim that a connection keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomClaim {
    /// As the connection names it.
    pub name: String,
    /// What it says, as JSON.
    pub json: String,
}

/// Why claims identify nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// The identifying claim is absent, no text, or too long.
    NoValue,
    /// It is an address that the provider has not verified: whoever writes another's address into
    /// their profile would be them.
    EmailNotVerified,
    /// A claim that the connection requires is absent or another.
    NotAdmitted,
}

impl Unidentified {
    /// The stable name, as in events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoValue => "subject_claim",
            Self::EmailNotVerified => "email_not_verified",
            Self::NotAdmitted => "not_admitted",
        }
    }
}

impl Connection {
    /// Who the holder of a token of the provider's own is, by its claims. They must have been verified.
    pub fn identity_by_token(&self, claims: &Map<String, Value>) -> Result<Identity, Unidentified> {
        let of_tokens = self.tokens.as_ref();
        match of_tokens.and_then(|rules| rules.subject_claim.clone()) {
            Some(subject_claim) => Self {
                subject_claim,
                ..self.clone()
            }
            .identity(claims),
            None => self.identity(claims),
        }
    }

    /// Who logged in, by the claims of their ID token. They must have been verified.
    pub fn identity(&self, claims: &Map<String, Value>) -> Result<Identity, Unidentified> {
        if !self.requires.admit(claims) {
            return Err(Unidentified::NotAdmitted);
        }
        let value = text(claims, &self.subject_claim)
            .filter(|value| value.len() <= MAX_VALUE_BYTES && !value.chars().any(char::is_control))
            .ok_or(Unidentified::NoValue)?;
        // What the provider says of `email` it says of no other claim.
        let is_verified =
            |name| self.email_is_verified || (plain_name(name) == "email" && says_verified(claims));
        let identifying = plain_name(&self.subject_claim);
        let is_address = [plain_name(&self.email_claim), "email"].contains(&identifying);
        if is_address && !is_verified(identifying) {
            return Err(Unidentified::EmailNotVerified);
        }
        // Left out whole: an address that was cut is another's.
        let kept = |name: &str| {
            text(claims, name)
                .filter(|text| text.len() <= MAX_PROFILE_BYTES)
                .map(str::to_owned)
        };
        Ok(Identity {
            value: value.to_owned(),
            groups: self.groups(claims),
            roles: self.roles(claims),
            claims: self.custom_claims(claims),
            profile: Profile {
                name: kept("name"),
                preferred_username: kept("preferred_username"),
                email: kept(&self.email_claim),
                email_verified: is_verified(&self.email_claim),
            },
        })
    }

    fn groups(&self, claims: &Map<String, Value>) -> Vec<String> {
        let mut groups: Vec<String> = Vec::new();
        let named = self
            .groups_claims
            .iter()
            .flat_map(|claim| records(claims, claim))
            .filter_map(Value::as_str)
            .filter(|group| (1..=MAX_GROUP_BYTES).contains(&group.len()));
        for group in named {
            if groups.len() < MAX_GROUPS && !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        groups
    }

    fn roles(&self, claims: &Map<String, Value>) -> Vec<String> {
        let mut roles: Vec<String> = Vec::new();
        for rule in &self.roles {
            let applies = records(claims, &rule.claim).any(|record| rule.matches(record));
            if applies && roles.len() < MAX_GROUPS && !roles.contains(&rule.role) {
                roles.push(rule.role.clone());
            }
        }
        roles
    }

    fn custom_claims(&self, claims: &Map<String, Value>) -> Vec<CustomClaim> {
        let mut room = MAX_CUSTOM_BYTES;
        let found = self.claims.iter().filter_map(|name| {
            let json = at(claims, name)
                .filter(|value| !value.is_null())?
                .to_string();
            room = room.checked_sub(name.len() + json.len())?;
            let name = name.clone();
            Some(CustomClaim { name, json })
        });
        found.collect()
    }
}

/// The name of a claim at the top level, however it is named.
pub(super) fn plain_name(name: &str) -> &str {
    name.strip_prefix('/')
        .filter(|rest| !rest.contains(['/', '~']))
        .unwrap_or(name)
}

/// `email_verified` (OIDC Core section 5.1). Some providers send the truth value as text.
fn says_verified(claims: &Map<String, Value>) -> bool {
    match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{connection, with};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn claims(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn identity(settings: &Value, said: &Value) -> Result<Identity, Unidentified> {
        with(settings).identity(&claims(said))
    }

    #[test]
    fn the_identifying_claim_is_a_short_text_and_nothing_else() {
        let said = |sub: Value| identity(&json!({}), &json!({ "sub": sub })).map(|who| who.value);
        assert_eq!(said(json!("alice")), Ok("alice".to_owned()));
        for bad in [
            json!(7),
            json!(""),
            json!(["alice"]),
            json!(null),
            json!("a\nb"),
            json!("x".repeat(257)),
        ] {
            assert_eq!(said(bad), Err(Unidentified::NoValue));
        }
        assert_eq!(identity(&json!({}), &json!({})), Err(Unidentified::NoValue));
    }

    #[test]
    fn an_address_identifies_only_if_it_was_verified() {
        let by_email = json!({"subject_claim": "email"});
        let of = |settings: &Value, more: Value| {
            let mut said = claims(&json!({"sub": "s", "email": "a@example.com"}));
            said.extend(claims(&more));
            with(settings).identity(&said).map(|who| who.value)
        };
        let refused = Err(Unidentified::EmailNotVerified);
        assert_eq!(of(&by_email, json!({})), refused);
        assert_eq!(of(&by_email, json!({"email_verified": false})), refused);
        assert_eq!(of(&by_email, json!({"email_verified": "false"})), refused);
        assert_eq!(of(&by_email, json!({"email_verified": 1})), refused);
        assert!(of(&by_email, json!({"email_verified": true})).is_ok());
        assert!(of(&by_email, json!({"email_verified": "true"})).is_ok());
        let trusted = json!({"subject_claim": "email", "email_is_verified": true});
        assert!(of(&trusted, json!({})).is_ok());
        let custom = json!({"subject_claim": "mail", "email_claim": "mail"});
        assert_eq!(of(&custom, json!({"mail": "a@example.com"})), refused);
        // It speaks of `email` and of no other claim, however either is named.
        let yes = json!({"mail": "b@example.com", "email_verified": true});
        assert_eq!(of(&custom, yes), refused);
        let pointed = json!({"subject_claim": "/email"});
        assert_eq!(of(&pointed, json!({})), refused);
        assert!(of(&pointed, json!({"email_verified": true})).is_ok());
        let known = json!({
            "subject_claim": "mail", "email_claim": "mail", "email_is_verified": true,
        });
        assert!(of(&known, json!({"mail": "a@example.com"})).is_ok());
        // Another claim is no address.
        assert!(of(&json!({}), json!({})).is_ok());
    }

    #[test]
    fn who_lacks_a_required_claim_is_nobody() {
        let company = json!({"requires": {"hd": "example.com"}});
        let said = |hd: Value| identity(&company, &json!({"sub": "a", "hd": hd})).map(|_| ());
        assert_eq!(said(json!("example.com")), Ok(()));
        for other in [json!("evil.example"), json!(null), json!(["example.com"])] {
            assert_eq!(said(other), Err(Unidentified::NotAdmitted));
        }
    }

    #[test]
    fn each_record_is_looked_at_by_itself() {
        let settings = json!({"roles": [
            {"role": "admin", "claim": "groups", "equals": "admins"},
            {"role": "owner", "claim": "/orgs", "where": {"org": "acme", "level": "owner"}},
        ]});
        let roles = |said: Value| identity(&settings, &said).expect("somebody").roles;
        let both = json!({"sub": "a", "groups": ["staff", "admins"],
            "orgs": [{"org": "x", "level": "owner"}, {"org": "acme", "level": "owner"}]});
        assert_eq!(roles(both), ["admin", "owner"]);
        // Two records do not make one, and a lone text is a record.
        let mixed = json!({"sub": "a", "groups": "admins",
            "orgs": [{"org": "acme", "level": "member"}, {"org": "x", "level": "owner"}]});
        assert_eq!(roles(mixed), ["admin"]);
        assert_eq!(
            roles(json!({"sub": "a", "groups": "staff admins"})),
            [""; 0]
        );
        assert_eq!(
            roles(json!({"sub": "a", "orgs": {"org": "acme", "level": "owner"}})),
            ["owner"]
        );
    }

    #[test]
    fn roles_see_every_group_though_few_are_kept() {
        let mut groups: Vec<String> = (0..200).map(|n| format!("g{n}")).collect();
        groups.push("admins".to_owned());
        let rules = json!({"roles": [{"role": "admin", "claim": "groups", "equals": "admins"}]});
        let who = identity(&rules, &json!({"sub": "a", "groups": groups})).expect("somebody");
        assert_eq!(
            (who.groups.len(), who.roles),
            (MAX_GROUPS, vec!["admin".to_owned()])
        );
    }

    #[test]
    fn groups_of_several_claims_are_joined_and_cut_names_are_none() {
        let settings = json!({"groups_claims": ["groups", "/realm/roles"]});
        let long = "x".repeat(MAX_GROUP_BYTES + 1);
        let said = json!({"sub": "a", "groups": ["a", "b", "a", long, "", 7, {"name": "c"}],
            "realm": {"roles": "d"}});
        assert_eq!(
            identity(&settings, &said).expect("somebody").groups,
            ["a", "b", "d"]
        );
    }

    #[test]
    fn custom_claims_are_kept_as_they_are_while_there_is_room() {
        let settings = json!({"claims": ["department", "/address/country", "big", "level"]});
        let said = json!({"sub": "a", "department": "R&D", "address": {"country": "NL"},
            "big": "x".repeat(MAX_CUSTOM_BYTES), "level": [1, 2]});
        let kept = identity(&settings, &said).expect("somebody").claims;
        let kept: Vec<(&str, &str)> = kept
            .iter()
            .map(|one| (one.name.as_str(), one.json.as_str()))
            .collect();
        assert_eq!(
            kept,
            [
                ("department", "\"R&D\""),
                ("/address/country", "\"NL\""),
                ("level", "[1,2]")
            ]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_claims_stay_within_bounds(names in prop::collection::vec(".{0,80}", 0..40), sub in ".{0,300}") {
            let said = json!({"sub": sub, "groups": names, "name": sub});
            if let Ok(who) = connection().identity(&claims(&said)) {
                prop_assert!(who.groups.len() <= MAX_GROUPS);
                prop_assert!(who.groups.iter().all(|group| names.contains(group)));
                prop_assert_eq!(who.value, sub);
            }
        }
    }
}
