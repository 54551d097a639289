//! A resource as it is answered: with `id`, `meta` and `schemas`, and of its attributes those that were
//! asked for (RFC 7644 section 3.9, RFC 7643 section 7 `returned`).

use super::super::ScimError;
use super::super::path::{AttrPath, shown};
use super::super::schema::{Attribute, Place, ResourceType, Returned, Schema, Target};
use super::super::value::{get, is_present};
use super::version::Version;
use crate::time::UnixMillis;
use serde_json::{Map, Value, json};

/// The most attributes that can be asked for or excluded.
pub const MAX_PROJECTED: usize = 100;

/// What the store says of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// Its id.
    pub id: &'a str,
    /// When it was created.
    pub created: UnixMillis,
    /// When it last changed.
    pub modified: UnixMillis,
    /// Its version.
    pub version: Version,
    /// Where it is.
    pub location: &'a str,
}

/// Which attributes are answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    asked: Option<Vec<Wanted>>,
    excluded: Vec<Wanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Extension(&'static Schema),
    Place(Place),
}

impl Projection {
    /// From the two parameters, each a list separated by commas. What the schema does not know is
    /// ignored: asked for alone, it leaves what is always answered.
    pub fn new(
        of: &ResourceType,
        attributes: Option<&str>,
        excluded: Option<&str>,
    ) -> Result<Self, ScimError> {
        let excluded = excluded.map(|text| wanted(of, text)).transpose()?;
        Ok(Self {
            asked: attributes.map(|text| wanted(of, text)).transpose()?,
            excluded: excluded.unwrap_or_default(),
        })
    }

    /// The same from lists, as `/.search` has them (RFC 7644 section 3.4.3).
    pub fn from_lists(
        of: &ResourceType,
        attributes: Option<&[String]>,
        excluded: Option<&[String]>,
    ) -> Result<Self, ScimError> {
        let joined = |list: &[String]| list.join(",");
        let (attributes, excluded) = (attributes.map(joined), excluded.map(joined));
        Self::new(of, attributes.as_deref(), excluded.as_deref())
    }

    /// Whether any of the attribute is answered. Whoever keeps it apart need not fetch it otherwise.
    #[must_use]
    pub fn wants(&self, attribute: &'static Attribute) -> bool {
        let place = Place {
            extension: None,
            attribute,
            sub: None,
        };
        match attribute.returned {
            Returned::Always => return true,
            Returned::Never => return false,
            Returned::Default | Returned::Request => {}
        }
        match &self.asked {
            Some(asked) => asked.iter().any(|one| one.is_about(&place)),
            None => {
                attribute.returned == Returned::Default
                    && !self.excluded.contains(&Wanted::Place(place))
            }
        }
    }

    /// Which parts of the value at `place` are answered.
    fn parts(&self, place: &Place) -> Parts {
        let whole = Wanted::Place(*place);
        let of_whole = |wanted: &[Wanted]| {
            wanted.iter().any(|one| match one {
                Wanted::Extension(schema) => place.extension.is_some_and(|own| own.id == schema.id),
                Wanted::Place(_) => *one == whole,
            })
        };
        match place.attribute.returned {
            Returned::Always => return Parts::All,
            Returned::Never => return Parts::None,
            Returned::Default | Returned::Request => {}
        }
        let subs = |wanted: &[Wanted]| -> Vec<&'static str> {
            let about = wanted.iter().filter_map(|one| match one {
                Wanted::Place(other) if other.is_part_of(place) => other.sub,
                _ => None,
            });
            about.map(|sub| sub.name).collect()
        };
        match &self.asked {
            Some(asked) if of_whole(asked) => Parts::All,
            Some(asked) => {
                let subs = subs(asked);
                if subs.is_empty() {
                    Parts::None
                } else {
                    Parts::Only(subs)
                }
            }
            None if place.attribute.returned == Returned::Request => Parts::None,
            None if of_whole(&self.excluded) => Parts::None,
            None => Parts::Without(subs(&self.excluded)),
        }
    }
}

enum Parts {
    None,
    All,
    Only(Vec<&'static str>),
    Without(Vec<&'static str>),
}

impl Parts {
    fn of(&self, value: &Value) -> Value {
        match self {
            Self::None => Value::Null,
            Self::All => value.clone(),
            Self::Only(subs) => kept(value, &|name| subs.contains(&name)),
            Self::Without(subs) => kept(value, &|name| !subs.contains(&name)),
        }
    }
}

fn kept(value: &Value, keep: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::Array(list) => {
            let each = list.iter().map(|one| kept(one, keep));
            each.filter(is_present).collect()
        }
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| keep(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        other => other.clone(),
    }
}

impl Wanted {
    fn is_about(&self, place: &Place) -> bool {
        matches!(self, Self::Place(other) if other.is_part_of(place) || other == place)
    }
}

impl Place {
    /// Whether this is a sub-attribute there.
    fn is_part_of(&self, whole: &Self) -> bool {
        self.sub.is_some()
            && self.attribute == whole.attribute
            && self.extension.map(|one| one.id) == whole.extension.map(|one| one.id)
    }
}

fn wanted(of: &ResourceType, list: &str) -> Result<Vec<Wanted>, ScimError> {
    let mut wanted = Vec::new();
    let names = list.split(',').map(str::trim);
    for (position, name) in names.filter(|name| !name.is_empty()).enumerate() {
        if position >= MAX_PROJECTED {
            return Err(ScimError::InvalidValue("attributes (too many)".into()));
        }
        let path = AttrPath::parse(name).ok_or_else(|| ScimError::InvalidValue(shown(name)))?;
        match of.resolve(&path) {
            Some(Target::Place(place)) => wanted.push(Wanted::Place(place)),
            Some(Target::Extension(schema)) => wanted.push(Wanted::Extension(schema)),
            Some(Target::Core) => wanted.extend(of.attributes().map(|attribute| {
                Wanted::Place(Place {
                    extension: None,
                    attribute,
                    sub: None,
                })
            })),
            None => {}
        }
    }
    Ok(wanted)
}

/// A resource with all that it has, as filters and sorting see it. `more` is what the store keeps apart:
/// a group's `members`, a user's `groups`.
#[must_use]
pub fn whole(
    of: &ResourceType,
    attributes: &Map<String, Value>,
    meta: &Meta,
    more: Map<String, Value>,
) -> Map<String, Value> {
    let mut resource = attributes.clone();
    resource.extend(more.into_iter().filter(|(_, value)| is_present(value)));
    let extensions = of.extensions.iter().map(|extension| extension.id);
    let present = extensions.filter(|urn| get(attributes, urn).is_some_and(is_present));
    let schemas: Vec<&str> = std::iter::once(of.schema.id).chain(present).collect();
    resource.insert("schemas".into(), json!(schemas));
    resource.insert("id".into(), json!(meta.id));
    let described = json!({
        "resourceType": of.name,
        "created": meta.created.to_rfc3339(),
        "lastModified": meta.modified.to_rfc3339(),
        "location": meta.location,
        "version": meta.version.to_etag(),
    });
    resource.insert("meta".into(), described);
    resource
}

/// What of a [`whole`] resource is answered. What no schema knows is not.
#[must_use]
pub fn projected(
    of: &ResourceType,
    whole: &Map<String, Value>,
    projection: &Projection,
) -> Map<String, Value> {
    let mut answer = Map::new();
    for attribute in of.attributes() {
        answer_one(&mut answer, None, attribute, whole, projection);
    }
    for schema in of.extensions.iter().copied() {
        let Some(values) = get(whole, schema.id).and_then(Value::as_object) else {
            continue;
        };
        let mut part = Map::new();
        for attribute in schema.attributes {
            answer_one(&mut part, Some(schema), attribute, values, projection);
        }
        if !part.is_empty() {
            answer.insert(schema.id.to_owned(), Value::Object(part));
        }
    }
    answer
}

fn answer_one(
    answer: &mut Map<String, Value>,
    extension: Option<&'static Schema>,
    attribute: &'static Attribute,
    values: &Map<String, Value>,
    projection: &Projection,
) {
    let place = Place {
        extension,
        attribute,
        sub: None,
    };
    if let Some(value) = get(values, attribute.name) {
        let value = projection.parts(&place).of(value);
        if is_present(&value) {
            answer.insert(attribute.name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::{GROUP, USER};
    use super::*;

    const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

    fn alice() -> Map<String, Value> {
        let attributes = json!({
            "userName": "alice", "active": true, "name": {"givenName": "A", "familyName": "B"},
            "emails": [{"value": "a", "type": "work"}, {"type": "home"}],
            ENTERPRISE: {"department": "d", "manager": {"value": "m"}},
            "unknown": 1, "password": "p",
        });
        let meta = Meta {
            id: "i",
            created: UnixMillis(1),
            modified: UnixMillis(2),
            version: Version(3),
            location: "https://x.example/Users/i",
        };
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        let mut more = Map::new();
        more.insert("groups".into(), json!([]));
        whole(&USER, &attributes, &meta, more)
    }

    fn answered(attributes: Option<&str>, excluded: Option<&str>) -> Value {
        let projection = Projection::new(&USER, attributes, excluded).expect("parses");
        Value::Object(projected(&USER, &alice(), &projection))
    }

    #[test]
    fn everything_known_is_answered_unless_something_is_asked_for() {
        let expected = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "id": "i", "userName": "alice", "active": true,
            "name": {"givenName": "A", "familyName": "B"},
            "emails": [{"value": "a", "type": "work"}, {"type": "home"}],
            ENTERPRISE: {"department": "d", "manager": {"value": "m"}},
            "meta": {
                "resourceType": "User", "created": "1970-01-01T00:00:00.001Z",
                "lastModified": "1970-01-01T00:00:00.002Z",
                "location": "https://x.example/Users/i", "version": "W/\"3\"",
            },
        });
        assert_eq!(answered(None, None), expected);
    }

    #[test]
    fn what_is_asked_for_comes_with_what_always_does() {
        let with = |more: Value| {
            let mut answer = json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE], "id": "i",
            });
            let fields = answer.as_object_mut().expect("an object");
            fields.extend(more.as_object().cloned().unwrap_or_default());
            answer
        };
        for (asked, more) in [
            ("USERNAME", json!({"userName": "alice"})),
            (
                "name.givenName, active",
                json!({"name": {"givenName": "A"}, "active": true}),
            ),
            (
                "name,name.givenName",
                json!({"name": {"givenName": "A", "familyName": "B"}}),
            ),
            ("emails.value", json!({"emails": [{"value": "a"}]})),
            ("password", json!({})),
            ("unknown", json!({})),
            ("", json!({})),
            (
                ENTERPRISE,
                json!({ENTERPRISE: {"department": "d", "manager": {"value": "m"}}}),
            ),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
                json!({ENTERPRISE: {"department": "d"}}),
            ),
            (
                "urn:ietf:params:scim:schemas:core:2.0:User:userName",
                json!({"userName": "alice"}),
            ),
        ] {
            assert_eq!(answered(Some(asked), None), with(more), "{asked}");
        }
    }

    #[test]
    fn what_is_excluded_is_left_out_but_not_what_always_comes() {
        let excluded = format!("id,schemas,meta,name.familyName,emails,{ENTERPRISE}:manager");
        let expected = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
            "id": "i", "userName": "alice", "active": true, "name": {"givenName": "A"},
            ENTERPRISE: {"department": "d"},
        });
        assert_eq!(answered(None, Some(&excluded)), expected);
        let none = answered(None, Some(ENTERPRISE));
        assert_eq!(none.get(ENTERPRISE), None);
    }

    #[test]
    fn members_need_not_be_fetched_if_nobody_wants_them() {
        let members = GROUP.attribute("members").expect("there");
        let wants = |asked: Option<&str>, excluded: Option<&str>| {
            let projection = Projection::new(&GROUP, asked, excluded).expect("parses");
            projection.wants(members)
        };
        assert!(wants(None, None));
        assert!(wants(Some("members.value"), None));
        assert!(wants(None, Some("members.display")));
        assert!(!wants(None, Some("MEMBERS")));
        assert!(!wants(Some("displayName"), None));
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for text in ["a b", "1", "x..y", "emails[type pr]"] {
            assert!(Projection::new(&USER, Some(text), None).is_err(), "{text}");
            assert!(Projection::new(&USER, None, Some(text)).is_err(), "{text}");
        }
        let many = vec!["title"; MAX_PROJECTED + 1].join(",");
        assert!(Projection::new(&USER, Some(&many), None).is_err());
        let lists = [String::from("userName")];
        let listed = Projection::from_lists(&USER, Some(&lists), None);
        assert_eq!(listed, Projection::new(&USER, Some("userName"), None));
    }
}
