//! A group as the directory keeps it (RFC 7643 section 4.2): what is looked for is lifted out of the
//! attributes. Members are the store's, for there may be many.

use super::ScimError;
use super::id::resource_id;
use super::patch::{MemberChange, patched_group};
use super::resource::render::{Meta, whole};
use super::resource::{created, replaced};
use super::schema::GROUP;
use super::user::{Record, json};
use super::value::take;
use serde_json::{Map, Value};

/// The most operations of a PATCH that look for members by what no index has.
pub const MAX_FILTERS: usize = 10;

resource_id! {
    /// A group's `id`.
    GroupId
}

/// What is looked for, and the rest in the form in which it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What roles go by; no other group of the connection has it, in any case.
    pub display_name: String,
    /// The provider's own id.
    pub external_id: Option<String>,
    /// Every other attribute but the members.
    pub attributes: Map<String, Value>,
}

impl Group {
    /// Reads the body of a POST: the group, and the ids of its members, each once.
    pub fn parse(body: &str) -> Result<(Self, Vec<String>), ScimError> {
        let body = created(&GROUP, &json(body)?)?;
        Ok((
            Self::from_whole(body.attributes)?,
            body.members.unwrap_or_default(),
        ))
    }

    /// What the body of a PUT makes of the group. Without `members` it keeps them.
    pub fn replaced_by(&self, body: &str) -> Result<(Self, Vec<MemberChange>), ScimError> {
        let body = replaced(&GROUP, &self.to_whole(), &json(body)?)?;
        let members = body.members.map(MemberChange::Replace);
        Ok((
            Self::from_whole(body.attributes)?,
            members.into_iter().collect(),
        ))
    }

    /// What the body of a PATCH makes of the group, and what it does to the members, in this order.
    pub fn patched_by(&self, body: &str) -> Result<(Self, Vec<MemberChange>), ScimError> {
        let patched = patched_group(&self.to_whole(), &json(body)?)?;
        let by_filter = |change: &&MemberChange| matches!(change, MemberChange::RemoveSuch(_));
        if patched.members.iter().filter(by_filter).count() > MAX_FILTERS {
            return Err(ScimError::TooMany(format!(
                "more than {MAX_FILTERS} operations look for members: name them"
            )));
        }
        Ok((Self::from_whole(patched.after)?, patched.members))
    }

    /// The resource with all that it has, below `groups_url`. `members` are as they are answered; none if
    /// nobody asks for them.
    #[must_use]
    pub fn resource(
        &self,
        record: &Record<GroupId>,
        groups_url: &str,
        members: Vec<Value>,
    ) -> Map<String, Value> {
        let id = record.id.to_text();
        let location = format!("{groups_url}/{id}");
        let meta = Meta {
            id: &id,
            created: record.created,
            modified: record.modified,
            version: record.version,
            location: &location,
        };
        let mut more = Map::new();
        more.insert("members".into(), Value::Array(members));
        whole(&GROUP, &self.to_whole(), &meta, more)
    }

    fn to_whole(&self) -> Map<String, Value> {
        let mut whole = self.attributes.clone();
        whole.insert("displayName".into(), self.display_name.clone().into());
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
        let display_name = text("displayName");
        let external_id = text("externalId");
        Ok(Self {
            display_name: display_name
                .ok_or_else(|| ScimError::Mutability("displayName".into()))?,
            external_id,
            attributes: whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;
    use serde_json::json;

    fn group() -> Group {
        let body = r#"{"displayName":"Staff","externalId":"e","x":1,"id":"other"}"#;
        Group::parse(body).expect("a group").0
    }

    #[test]
    fn a_group_has_a_name_and_its_members_come_apart() {
        let body = r#"{"DisplayName":"g","members":[{"value":"a"},{"value":"a"},{"value":"b"}]}"#;
        let (group, members) = Group::parse(body).expect("a group");
        assert_eq!((group.display_name.as_str(), members.len()), ("g", 2));
        assert_eq!(group.attributes, Map::new());
        for body in [
            "",
            "{}",
            r#"{"displayName":""}"#,
            r#"{"displayName":1}"#,
            r#"{"displayName":"g","externalId":1}"#,
            r#"{"displayName":"g","members":[{"value":"a","type":"Group"}]}"#,
            r#"{"displayName":"g","members":[{}]}"#,
        ] {
            assert!(Group::parse(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_put_keeps_members_of_which_it_says_nothing_and_clears_the_rest() {
        let (after, members) = group().replaced_by(r#"{"displayName":"h"}"#).expect("puts");
        assert_eq!(
            (after.display_name.as_str(), after.external_id),
            ("h", None)
        );
        assert_eq!(members, []);
        let emptied = group().replaced_by(r#"{"displayName":"h","members":[]}"#);
        assert_eq!(emptied.expect("puts").1, [MemberChange::Replace(vec![])]);
    }

    #[test]
    fn a_patch_changes_what_it_names_and_a_group_keeps_a_name() {
        let rename = json!({"Operations": [{"op": "replace", "value": {"displayName": "h"}}]});
        let (after, members) = group().patched_by(&rename.to_string()).expect("patches");
        assert_eq!((after.display_name.as_str(), members.len()), ("h", 0));
        assert_eq!(after.external_id.as_deref(), Some("e"));
        let unnamed = json!({"Operations": [{"op": "remove", "path": "displayName"}]});
        assert!(group().patched_by(&unnamed.to_string()).is_err());
        let by_filter = |times| {
            let one = json!({"op": "remove", "path": "members[value sw \"a\"]"});
            let body = json!({"Operations": vec![one; times]});
            group()
                .patched_by(&body.to_string())
                .map(|(_, members)| members.len())
        };
        assert_eq!(by_filter(MAX_FILTERS), Ok(MAX_FILTERS));
        assert!(matches!(
            by_filter(MAX_FILTERS + 1),
            Err(ScimError::TooMany(_))
        ));
    }

    #[test]
    fn an_id_is_read_back_and_is_written_one_way_only() {
        let id = GroupId::from_bytes([255; 16]);
        assert_eq!(GroupId::from_text(&id.to_text()), Some(id));
        let other = id.to_text().replace("_w", "_x");
        assert_ne!(other, id.to_text());
        for text in [
            other.as_str(),
            "",
            "x",
            "00000000-0000-4000-8000-000000000000",
        ] {
            assert_eq!(GroupId::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_resource_says_where_it_is_and_who_belongs_to_it() {
        let record = Record::new(GroupId::from_bytes([1; 16]), UnixMillis(5));
        let resource = group().resource(&record, "u/Groups", vec![json!({"value": "a"})]);
        assert_eq!(resource["meta"]["resourceType"], "Group");
        assert_eq!(
            resource["meta"]["location"],
            format!("u/Groups/{}", record.id.to_text())
        );
        assert_eq!(resource["members"][0]["value"], "a");
        assert!(
            group()
                .resource(&record, "u", vec![])
                .get("members")
                .is_none()
        );
    }
}
