//! Which person a user is: the attribute that carries the same value as the claim they log in with.
//!
//! Two values are the same person's only by the connection's rule: exactly, or in lower case
//! ([`folded`]). Nothing is normalised beyond that, and nothing that merely looks alike is alike. `externalId`
//! is no choice: providers let people write into what they map to it. A value is one user's at a
//! time: whoever stores users refuses a second with it as `uniqueness`.
//!
//! Out of scope: verifying the claim ([`crate::connection::identity`]).

use super::resource::coerce::is_primary;
use super::value::get;
use crate::connection::Connection;
use crate::text::folded;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where the value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchingAttribute {
    /// `userName`.
    #[default]
    UserName,
    /// The primary one of `emails`; without one, nobody.
    PrimaryEmail,
    /// The one of `emails` whose type is `work`; without exactly one, nobody.
    WorkEmail,
}

/// How users and log-ins meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matching {
    /// Where the value is.
    pub attribute: MatchingAttribute,
    /// Whether it is the same in any case.
    pub folds_case: bool,
}

impl Matching {
    /// The rule of a connection whose value is in `attribute`.
    #[must_use]
    pub const fn of(connection: &Connection, attribute: MatchingAttribute) -> Self {
        Self {
            attribute,
            folds_case: connection.subject_folds_case,
        }
    }

    /// The value of a user, as it was written.
    #[must_use]
    pub fn value<'u>(&self, user: &'u Map<String, Value>) -> Option<&'u str> {
        let found = match self.attribute {
            MatchingAttribute::UserName => get(user, "userName"),
            MatchingAttribute::PrimaryEmail => email(user, is_primary),
            MatchingAttribute::WorkEmail => email(user, |one| {
                let kind = one.as_object().and_then(|one| get(one, "type"));
                kind.and_then(Value::as_str)
                    .is_some_and(|kind| kind.eq_ignore_ascii_case("work"))
            }),
        };
        found
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// What is compared of a value.
    #[must_use]
    pub fn key(&self, value: &str) -> String {
        if self.folds_case {
            folded(value)
        } else {
            value.to_owned()
        }
    }

    /// Whether two values are the same person's.
    #[must_use]
    pub fn is_same(&self, one: &str, other: &str) -> bool {
        self.key(one) == self.key(other)
    }
}

/// The address of the only one of `emails` that is such.
fn email(user: &Map<String, Value>, is_such: impl Fn(&Value) -> bool) -> Option<&Value> {
    let emails = get(user, "emails").and_then(Value::as_array)?;
    let mut such = emails.iter().filter(|one| is_such(one));
    match (such.next(), such.next()) {
        (Some(only), None) => get(only.as_object()?, "value"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::created;
    use super::super::schema::USER;
    use super::*;
    use crate::connection::testing::with;
    use serde_json::json;

    const FOLDING: Matching = Matching {
        attribute: MatchingAttribute::UserName,
        folds_case: true,
    };
    const EXACT: Matching = Matching {
        folds_case: false,
        ..FOLDING
    };

    fn value(attribute: MatchingAttribute, user: &Value) -> Option<String> {
        let matching = Matching {
            attribute,
            ..FOLDING
        };
        let user = user.as_object().expect("an object");
        matching.value(user).map(str::to_owned)
    }

    #[test]
    fn letters_of_another_case_are_the_same_only_where_the_connection_says_so() {
        assert!(FOLDING.is_same("Ada@X.example", "ada@x.EXAMPLE"));
        assert!(FOLDING.is_same("ÉLAN", "élan"));
        assert!(!EXACT.is_same("Ada", "ada"));
        assert!(EXACT.is_same("ada", "ada"));
        for folds in [true, false] {
            let connection = with(&json!({"subject_folds_case": folds}));
            let matching = Matching::of(&connection, MatchingAttribute::UserName);
            assert_eq!(matching.is_same("Ada", "ada"), folds);
        }
    }

    #[test]
    fn what_only_looks_alike_is_somebody_else() {
        for (one, other) in [
            ("ada@x.example", "\u{430}da@x.example"), // a Cyrillic letter
            ("kate", "\u{212a}ate"),                  // the sign for Kelvin
            ("ada", "\u{ff41}da"),                    // a wide letter
            ("caf\u{e9}", "cafe\u{301}"),             // composed and decomposed
            ("ada", "ada\u{200b}"),                   // a space without width
            ("ada", " ada"),
            ("ada@x.example", "ada+x@x.example"),
            ("a.da@x.example", "ada@x.example"),
            ("strasse", "stra\u{df}e"),
            ("ffi", "\u{fb03}"),                       // a ligature
            ("i", "\u{130}"),                          // a dotted capital
            ("i", "\u{131}"),                          // a dotless letter
            ("ada@x.example", "ada@x\u{3002}example"), // an ideographic full stop
        ] {
            assert!(!FOLDING.is_same(one, other), "{one} {other}");
            assert!(!EXACT.is_same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn the_external_id_links_nobody() {
        let user = json!({"userName": "mallory", "externalId": "ada", "displayName": "ada",
            "nickName": "ada", "emails": [{"value": "m", "display": "ada", "primary": true}]});
        for attribute in [
            MatchingAttribute::UserName,
            MatchingAttribute::PrimaryEmail,
            MatchingAttribute::WorkEmail,
        ] {
            assert_ne!(value(attribute, &user).as_deref(), Some("ada"));
        }
        let unknown: Result<MatchingAttribute, _> = serde_json::from_value(json!("external_id"));
        assert!(unknown.is_err());
    }

    #[test]
    fn an_address_counts_only_if_it_is_the_one_that_is_meant() {
        use MatchingAttribute::{PrimaryEmail, WorkEmail};
        let of = |emails: Value| json!({"userName": "u", "emails": emails});
        let two = of(json!([
            {"value": "a", "type": "home", "primary": true}, {"value": "b", "type": "Work"},
        ]));
        assert_eq!(value(PrimaryEmail, &two).as_deref(), Some("a"));
        assert_eq!(value(WorkEmail, &two).as_deref(), Some("b"));
        for nobody in [
            of(json!([{"value": "a"}])),
            of(json!([{"type": "work", "primary": true}])),
            of(
                json!([{"value": "a", "type": "work", "primary": true}, {"value": "b", "type": "work", "primary": true}]),
            ),
            json!({"userName": "u"}),
        ] {
            assert_eq!(value(PrimaryEmail, &nobody), None, "{nobody}");
            assert_eq!(value(WorkEmail, &nobody), None, "{nobody}");
        }
        let kept = created(&USER, &of(json!([{"value": "a", "primary": "True"}]))).expect("a user");
        assert_eq!(
            value(PrimaryEmail, &Value::Object(kept.attributes)).as_deref(),
            Some("a")
        );
    }
}
