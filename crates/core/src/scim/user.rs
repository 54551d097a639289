//! A user as the directory keeps it (RFC 7643 section 4.1): what decides something is lifted out of the
//! attributes, which are in the form that [`super::resource`] gives them.
//!
//! Users from before there were schemas may have attributes that none knows. Those are kept until a PUT
//! comes, and never answered.

use super::ScimError;
use super::id::resource_id;
use super::patch::{apply, operations};
use super::resource::render::{Meta, whole};
use super::resource::version::Version;
use super::resource::{created, replaced};
use super::schema::USER;
use super::value::{get, take, truth};
use crate::connection::identity::MAX_PROFILE_BYTES;
use crate::text::truncated;
use crate::time::UnixMillis;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

resource_id! {
    /// A user's `id`.
    UserId
}

/// What decides something, and the rest in the form in which it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Identifies the person to the identity provider; case-insensitive.
    pub user_name: String,
    /// The provider's own id.
    pub external_id: Option<String>,
    /// Whether the person may log in.
    pub active: bool,
    /// Every other attribute; `active` as null where a PATCH has taken it away.
    pub attributes: Map<String, Value>,
}

impl User {
    /// Reads the body of a POST.
    pub fn parse(body: &str) -> Result<Self, ScimError> {
        Self::from_whole(created(&USER, &json(body)?)?.attributes)
    }

    /// What the body of a PUT makes of the user.
    pub fn replaced_by(&self, body: &str) -> Result<Self, ScimError> {
        Self::from_whole(replaced(&USER, &self.to_whole(), &json(body)?)?.attributes)
    }

    /// What the body of a PATCH makes of the user. Who is no longer said to be active is not.
    pub fn patched_by(&self, body: &str) -> Result<Self, ScimError> {
        let operations = operations(&json(body)?)?;
        Self::from_whole(apply(&USER, &self.to_whole(), &operations)?.after)
    }

    /// All attributes together, as the rules take them.
    #[must_use]
    pub fn to_whole(&self) -> Map<String, Value> {
        let mut whole = self.attributes.clone();
        whole.insert("userName".into(), self.user_name.clone().into());
        if whole.remove("active").is_none() {
            whole.insert("active".into(), self.active.into());
        }
        if let Some(id) = &self.external_id {
            whole.insert("externalId".into(), id.clone().into());
        }
        whole
    }

    fn from_whole(mut whole: Map<String, Value>) -> Result<Self, ScimError> {
        let mut text = |name: &str| match take(&mut whole, name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let user_name = text("userName");
        let external_id = text("externalId");
        let active = take(&mut whole, "active").and_then(|value| value.as_bool());
        if active.is_none() {
            whole.insert("active".into(), Value::Null);
        }
        Ok(Self {
            user_name: user_name.ok_or_else(|| ScimError::Mutability("userName".into()))?,
            external_id,
            active: active == Some(true),
            attributes: whole,
        })
    }

    /// The values of `roles` (RFC 7643 section 4.1.2).
    #[must_use]
    pub fn roles(&self) -> BTreeSet<String> {
        let roles = get(&self.attributes, "roles").and_then(Value::as_array);
        let roles = roles.into_iter().flatten().filter_map(Value::as_object);
        roles
            .filter_map(|role| text_member(role, "value"))
            .map(str::to_owned)
            .collect()
    }

    /// What the person is called: `displayName`, or what there is of `name` (RFC 7643 section 4.1.1).
    #[must_use]
    pub fn shown_name(&self) -> Option<String> {
        let name = get(&self.attributes, "name").and_then(Value::as_object);
        let of_name = |part| text_member(name?, part);
        let parts = [of_name("givenName"), of_name("familyName")];
        let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let shown = text_member(&self.attributes, "displayName")
            .or_else(|| of_name("formatted"))
            .or_else(|| Some(joined.as_str()).filter(|joined| !joined.is_empty()));
        shown.map(|name| truncated(name, MAX_PROFILE_BYTES))
    }

    /// The address of `emails` that is primary, or the first (RFC 7643 section 4.1.2).
    #[must_use]
    pub fn email(&self) -> Option<String> {
        let emails = get(&self.attributes, "emails").and_then(Value::as_array)?;
        let emails = || emails.iter().filter_map(Value::as_object);
        let is_primary =
            |email: &&Map<String, Value>| get(email, "primary").and_then(truth) == Some(true);
        let chosen = emails().find(is_primary).or_else(|| emails().next());
        let address = chosen.and_then(|email| text_member(email, "value"));
        address.map(|address| truncated(address, MAX_PROFILE_BYTES))
    }

    /// The resource with all that it has, below `users_url`. `groups` are as they are answered; none if
    /// nobody asks for them.
    #[must_use]
    pub fn resource(
        &self,
        record: &Record,
        users_url: &str,
        groups: Vec<Value>,
    ) -> Map<String, Value> {
        let id = record.id.to_text();
        let location = format!("{users_url}/{id}");
        let meta = Meta {
            id: &id,
            created: record.created,
            modified: record.modified,
            version: record.version,
            location: &location,
        };
        let mut more = Map::new();
        more.insert("groups".into(), Value::Array(groups));
        whole(&USER, &self.to_whole(), &meta, more)
    }
}

pub(super) fn json(body: &str) -> Result<Value, ScimError> {
    serde_json::from_str(body)
        .map_err(|_| ScimError::InvalidSyntax("the body is no JSON object".into()))
}

fn text_member<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    let text = get(members, name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

/// What the directory adds to a user, or to a resource with another kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<I = UserId> {
    /// The resource's id.
    pub id: I,
    /// When it was created.
    pub created: UnixMillis,
    /// When it last changed.
    pub modified: UnixMillis,
    /// Which change that was.
    pub version: Version,
}

impl<I> Record<I> {
    /// Of a resource that is new.
    #[must_use]
    pub const fn new(id: I, now: UnixMillis) -> Self {
        Self {
            id,
            created: now,
            modified: now,
            version: Version(now.0),
        }
    }

    /// After a change. Versions follow the clock where they can: a directory that was restored to an
    /// earlier time must not give a version that somebody has to something else.
    #[must_use]
    pub fn changed(self, now: UnixMillis) -> Self {
        Self {
            modified: now,
            version: Version(now.0.max(self.version.0 + 1)),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::render::{Projection, projected};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_core_urn_hides_no_attribute() {
        for body in [
            r#"{"userName":"a","urn:ietf:params:scim:schemas:core:2.0:User:active":false}"#,
            r#"{"userName":"a","URN:ietf:params:scim:schemas:core:2.0:user":{"active":"False"}}"#,
        ] {
            assert!(!User::parse(body).expect(body).active, "{body}");
        }
    }

    #[test]
    fn a_numeric_external_id_is_refused() {
        let parsed = User::parse(r#"{"userName":"a","externalId":1}"#);
        assert_eq!(parsed, Err(ScimError::InvalidValue("externalId".into())));
    }

    #[test]
    fn names_are_case_insensitive_and_passwords_are_dropped() {
        let body = r#"{"USERNAME":"a","Active":"False","password":"p","x":1,"TITLE":"t"}"#;
        let user = User::parse(body).expect("parses");
        assert_eq!((user.user_name.as_str(), user.active), ("a", false));
        assert_eq!(user.attributes.keys().collect::<Vec<_>>(), ["title"]);
    }

    #[test]
    fn a_name_and_an_address_are_found_however_they_are_given() {
        let of = |attributes: Value| {
            let mut body = json!({"userName": "a"});
            let fields = body.as_object_mut().expect("an object");
            fields.extend(attributes.as_object().cloned().unwrap_or_default());
            let user = User::parse(&body.to_string()).expect("parses");
            (user.shown_name(), user.email())
        };
        let name = |attributes: Value| of(attributes).0;
        let email = |attributes: Value| of(attributes).1;
        let parts = json!({"givenName": "Ada", "familyName": "Byron"});
        assert_eq!(
            name(json!({"displayName": "A", "name": parts})).as_deref(),
            Some("A")
        );
        assert_eq!(name(json!({"Name": parts})).as_deref(), Some("Ada Byron"));
        assert_eq!(
            name(json!({"name": {"formatted": "F"}})).as_deref(),
            Some("F")
        );
        for nothing in [json!({}), json!({"displayName": ""}), json!({"name": {}})] {
            assert_eq!(name(nothing), None);
        }
        let emails = json!([{"value": "a@x.example"}, {"value": "b@x.example", "primary": "True"}]);
        assert_eq!(
            email(json!({"emails": emails})).as_deref(),
            Some("b@x.example")
        );
        let first = json!([{"value": "a@x.example"}, {"value": "b@x.example"}]);
        assert_eq!(
            email(json!({"emails": first})).as_deref(),
            Some("a@x.example")
        );
        for nothing in [
            json!({}),
            json!({"emails": []}),
            json!({"emails": [{"type": "work"}]}),
        ] {
            assert_eq!(email(nothing), None);
        }
    }

    #[test]
    fn roles_are_their_values_once_each() {
        let of = |roles: Value| {
            let body = json!({"userName": "a", "roles": roles});
            User::parse(&body.to_string()).expect("parses").roles()
        };
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(of(json!([])), BTreeSet::new());
        assert_eq!(
            of(
                json!([{"value": "b", "primary": true}, {"value": "a"}, {"value": "B", "type": "x"}])
            ),
            set(&["B", "a", "b"])
        );
        assert_eq!(of(json!([{"display": "a"}])), BTreeSet::new());
        assert_eq!(
            User::parse(r#"{"userName":"a"}"#).expect("parses").roles(),
            BTreeSet::new()
        );
    }

    #[test]
    fn what_is_no_user_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"userName":""}"#,
            r#"{"userName":"a","active":"no"}"#,
        ] {
            assert!(User::parse(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_put_clears_what_it_does_not_say_and_keeps_who_is_out_out() {
        let before = r#"{"userName":"a","externalId":"1","active":false,"title":"t"}"#;
        let before = User::parse(before).expect("parses");
        let after = before.replaced_by(r#"{"userName":"b"}"#).expect("replaces");
        let expected = User {
            user_name: "b".into(),
            external_id: None,
            active: false,
            attributes: Map::new(),
        };
        assert_eq!(after, expected);
        let refused = before.replaced_by(r#"{"active":true}"#);
        assert_eq!(refused, Err(ScimError::InvalidValue("userName".into())));
    }

    #[test]
    fn who_is_no_longer_said_to_be_active_is_not_and_nothing_else_is_said_until_a_change_does() {
        let before = User::parse(r#"{"userName":"a","title":"t"}"#).expect("parses");
        let removed = r#"{"Operations":[{"op":"remove","path":"active"}]}"#;
        let gone = before.patched_by(removed).expect("patches");
        assert!(before.active && !gone.active);
        assert_eq!(
            gone.to_whole(),
            *json!({"userName":"a","title":"t"})
                .as_object()
                .expect("one")
        );
        let put = gone.replaced_by(r#"{"userName":"a","title":"t"}"#);
        assert_eq!(put, Ok(gone.clone()));
        assert_eq!(gone.patched_by(removed), Ok(gone.clone()));
        for (body, back) in [
            (
                r#"{"Operations":[{"op":"add","path":"active","value":true}]}"#,
                true,
            ),
            (
                r#"{"Operations":[{"op":"replace","value":{"active":"False"}}]}"#,
                false,
            ),
        ] {
            let said = gone.patched_by(body).expect("patches");
            assert_eq!(
                said,
                User {
                    active: back,
                    ..before.clone()
                },
                "{body}"
            );
        }
    }

    #[test]
    fn versions_only_grow_whatever_the_clock_does() {
        let new = Record::new(UserId::from_bytes([1; 16]), UnixMillis(5));
        let versions = [7, 7, 3]
            .map(UnixMillis)
            .into_iter()
            .scan(new, |record, now| {
                *record = record.changed(now);
                Some(record.version.0)
            });
        assert_eq!(versions.collect::<Vec<_>>(), [7, 8, 9]);
    }

    #[test]
    fn what_no_schema_knows_is_kept_and_not_answered() {
        let mut user = User::parse(r#"{"userName":"a","title":"t"}"#).expect("parses");
        user.attributes
            .insert("favouriteTea".into(), json!("black"));
        let record = Record::new(UserId::from_bytes([1; 16]), UnixMillis(5));
        let whole = user.resource(&record, "u", Vec::new());
        let answered = projected(&USER, &whole, &Projection::default());
        assert_eq!(answered["title"], "t");
        assert_eq!(answered["meta"]["version"], "W/\"5\"");
        assert!(!answered.contains_key("favouriteTea"));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: String) {
            let _ = User::parse(&body);
        }
    }
}
