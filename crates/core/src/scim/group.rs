//! A group as the directory keeps it (RFC 7643 section 4.2): what is looked for is lifted out of the
//! attributes. Members are the store's, for there may be many.

use super::ScimError;
use super::patch::{MemberChange, patched_group};
use super::resource::render::{Meta, whole};
use super::resource::{created, replaced};
use super::schema::GROUP;
use super::user::{Record, json};
use super::value::take;
use crate::text::{base64url, from_base64url};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A group's `id`, random and never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId([u8; 16]);

impl GroupId {
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
