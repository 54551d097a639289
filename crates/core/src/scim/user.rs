//! A user resource (RFC 7643 section 4.1).

use super::ScimError;
use crate::connection::identity::MAX_PROFILE_BYTES;
use crate::text::{base64url, from_base64url, truncated};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The schema of the core user.
pub const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The longest `userName` and `externalId`.
const MAX_NAME_BYTES: usize = 320;
/// The most top-level attributes of a user.
const MAX_ATTRIBUTES: usize = 64;

/// A resource's `id`, random and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserId([u8; 16]);

impl UserId {
    /// From 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// For storing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As in URLs and bodies.
    #[must_use]
    pub fn to_text(self) -> String {
        base64url(&self.0)
    }

    /// Reads the text form back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        from_base64url(text)?.try_into().ok().map(Self)
    }
}

/// What decides something, and the rest as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Identifies the person to the identity provider; case-insensitive.
    pub user_name: String,
    /// The provider's own id.
    pub external_id: Option<String>,
    /// Whether the person may log in.
    pub active: bool,
    /// Every other attribute.
    pub attributes: Map<String, Value>,
}

impl User {
    /// Reads the body of a POST. `password` is dropped: nobody logs in here with one.
    pub fn parse(body: &str) -> Result<Self, ScimError> {
        let Ok(Value::Object(given)) = serde_json::from_str(body) else {
            return Err(ScimError::InvalidSyntax(
                "the body is no JSON object".into(),
            ));
        };
        let mut user = Self {
            user_name: String::new(),
            external_id: None,
            active: true,
            attributes: Map::new(),
        };
        for (name, value) in given {
            match name.to_ascii_lowercase().as_str() {
                // The service's to give; clients may echo them (RFC 7644 section 3.3).
                "id" | "meta" | "schemas" => {}
                _ => user.set(&name, value)?,
            }
        }
        if user.user_name.is_empty() {
            return Err(ScimError::InvalidValue("userName".into()));
        }
        Ok(user)
    }

    /// Sets one top-level attribute. Names are case-insensitive (RFC 7643 section 2.1), and the core
    /// schema's URN says nothing: in front of a name it is dropped, and alone it holds attributes.
    pub fn set(&mut self, name: &str, value: Value) -> Result<(), ScimError> {
        match (without_core_urn(name), value) {
            ("", Value::Object(attributes)) => attributes
                .into_iter()
                .try_for_each(|(name, value)| self.set_plain(&name, value)),
            ("", _) => Err(ScimError::InvalidValue(name.to_owned())),
            (plain, value) => self.set_plain(plain, value),
        }
    }

    fn set_plain(&mut self, name: &str, value: Value) -> Result<(), ScimError> {
        let invalid = || ScimError::InvalidValue(name.to_owned());
        match name.to_ascii_lowercase().as_str() {
            "username" => {
                let name = value.as_str().filter(|name| is_name(name));
                name.ok_or_else(invalid)?.clone_into(&mut self.user_name);
            }
            // A number here once let one tenant's user pass for another: text only.
            "externalid" => match value {
                Value::Null => self.external_id = None,
                Value::String(id) if is_name(&id) => self.external_id = Some(id),
                _ => return Err(invalid()),
            },
            "active" => self.active = boolean(&value).ok_or_else(invalid)?,
            "password" => {}
            "id" | "meta" => return Err(ScimError::Mutability(name.to_owned())),
            _ => {
                self.attributes
                    .retain(|known, _| !known.eq_ignore_ascii_case(name));
                if !value.is_null() {
                    self.attributes.insert(name.to_owned(), value);
                }
                if self.attributes.len() > MAX_ATTRIBUTES {
                    return Err(ScimError::InvalidSyntax("too many attributes".into()));
                }
            }
        }
        Ok(())
    }

    /// What the person is called: `displayName`, or what there is of `name` (RFC 7643 section 4.1.1).
    #[must_use]
    pub fn shown_name(&self) -> Option<String> {
        let name = member(&self.attributes, "name").and_then(Value::as_object);
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
        let emails = member(&self.attributes, "emails").and_then(Value::as_array)?;
        let emails = || emails.iter().filter_map(Value::as_object);
        let is_primary =
            |email: &&Map<String, Value>| member(email, "primary").and_then(boolean) == Some(true);
        let chosen = emails().find(is_primary).or_else(|| emails().next());
        let address = chosen.and_then(|email| text_member(email, "value"));
        address.map(|address| truncated(address, MAX_PROFILE_BYTES))
    }

    /// The resource as it is answered, at `location`.
    #[must_use]
    pub fn resource(&self, record: &Record, location: &str) -> Value {
        let mut resource = json!({
            "schemas": [USER_SCHEMA],
            "id": record.id.to_text(),
            "userName": self.user_name,
            "active": self.active,
            "meta": {
                "resourceType": "User",
                "created": record.created.to_rfc3339(),
                "lastModified": record.modified.to_rfc3339(),
                "location": location,
            },
        });
        if let (Some(id), Some(fields)) = (&self.external_id, resource.as_object_mut()) {
            fields.insert("externalId".into(), json!(id));
        }
        if let Some(fields) = resource.as_object_mut() {
            fields.extend(self.attributes.clone());
        }
        resource
    }
}

/// `name` without the core schema's URN in front, in any case; empty if it is that URN alone.
pub(super) fn without_core_urn(name: &str) -> &str {
    match name.split_at_checked(USER_SCHEMA.len()) {
        Some((urn, rest)) if urn.eq_ignore_ascii_case(USER_SCHEMA) => {
            rest.strip_prefix(':').unwrap_or(rest)
        }
        _ => name,
    }
}

/// The member of that name, in any case (RFC 7643 section 2.1).
fn member<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    let found = members
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value)
}

fn text_member<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    let text = member(members, name).and_then(Value::as_str);
    text.filter(|text| !text.is_empty())
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES && !text.chars().any(char::is_control)
}

/// A boolean, also as the text that one large provider sends.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// What the directory adds to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The resource's id.
    pub id: UserId,
    /// When it was created.
    pub created: UnixMillis,
    /// When it last changed.
    pub modified: UnixMillis,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        let user = User::parse(r#"{"USERNAME":"a","Active":"False","password":"p","x":1}"#)
            .expect("parses");
        assert_eq!((user.user_name.as_str(), user.active), ("a", false));
        assert_eq!(user.attributes.keys().collect::<Vec<_>>(), ["x"]);
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
        for nothing in [
            json!({}),
            json!({"displayName": ""}),
            json!({"name": {}}),
            json!({"name": "x"}),
        ] {
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
            json!({"emails": ["x"]}),
            json!({"emails": "x"}),
        ] {
            assert_eq!(email(nothing), None);
        }
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

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body: String) {
            let _ = User::parse(&body);
        }
    }
}
