//! Resources as they are answered, with what is kept apart from them: a group's members, a user's groups. Those
//! are read only where somebody wants to see them, and bounded: there may be many.

use super::group_store::{self, StoredGroup};
use super::store::Stored;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::filter::Needs;
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::resource::render::{Projection, projected};
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use portcullis_core::scim::user::UserId;
use serde_json::{Map, Value, json};

/// The most members, or groups of users, that one answer has or one question looks at.
pub const MAX_LISTED: u64 = 10_000;

/// A resource with what is kept apart from it.
pub struct Whole {
    /// All that it has.
    pub resource: Map<String, Value>,
    /// How many members or groups that took.
    pub listed: u64,
}

/// What of a resource an answer needs.
pub fn needs_of(of: &ResourceType, projection: &Projection) -> Needs {
    let apart = apart(of).and_then(|name| of.attribute(name));
    match apart {
        Some(attribute) if projection.wants(attribute) => Needs::All,
        _ => Needs::Nothing,
    }
}

/// The attribute that is kept apart.
pub fn apart(of: &ResourceType) -> Option<&'static str> {
    if of.name == GROUP.name {
        Some("members")
    } else if of.name == USER.name {
        Some("groups")
    } else {
        None
    }
}

/// A group; `None`: that needs more than `most` members.
pub fn whole_group(
    sql: &impl Sql,
    base: &str,
    stored: &StoredGroup,
    needs: &Needs,
    most: u64,
) -> Result<Option<Whole>, SqlError> {
    let members = members(sql, base, stored.0.id, needs, most)?;
    Ok(members.map(|members| with_members(base, stored, members)))
}

fn with_members(base: &str, (record, group): &StoredGroup, members: Vec<Value>) -> Whole {
    Whole {
        listed: members.len() as u64,
        resource: group.resource(record, &format!("{base}/Groups"), members),
    }
}

fn members(
    sql: &impl Sql,
    base: &str,
    group: GroupId,
    needs: &Needs,
    most: u64,
) -> Result<Option<Vec<Value>>, SqlError> {
    let found = match needs {
        Needs::Nothing => Vec::new(),
        Needs::These(ids) => {
            let ids = ids.iter().filter_map(|id| UserId::from_text(id));
            let found = ids.map(|id| group_store::member(sql, group, id));
            let found = found.filter_map(Result::transpose);
            found.collect::<Result<_, _>>()?
        }
        Needs::All => group_store::members(sql, group, most.saturating_add(1))?,
    };
    if found.len() as u64 > most {
        return Ok(None);
    }
    let member = |(id, name): (UserId, String)| {
        let id = id.to_text();
        json!({"value": id, "$ref": format!("{base}/Users/{id}"), "display": name, "type": "User"})
    };
    Ok(Some(found.into_iter().map(member).collect()))
}

/// A user; `None`: that needs more than `most` groups.
pub fn whole_user(
    sql: &impl Sql,
    base: &str,
    stored: &Stored,
    needs: &Needs,
    most: u64,
) -> Result<Option<Whole>, SqlError> {
    let groups = groups(sql, base, stored.0.id, needs, most)?;
    Ok(groups.map(|groups| with_groups(base, stored, groups)))
}

fn with_groups(base: &str, (record, user): &Stored, groups: Vec<Value>) -> Whole {
    Whole {
        listed: groups.len() as u64,
        resource: user.resource(record, &format!("{base}/Users"), groups),
    }
}

fn groups(
    sql: &impl Sql,
    base: &str,
    user: UserId,
    needs: &Needs,
    most: u64,
) -> Result<Option<Vec<Value>>, SqlError> {
    let found = match needs {
        Needs::Nothing => Vec::new(),
        Needs::These(ids) => {
            let ids = ids.iter().filter_map(|id| GroupId::from_text(id));
            let found = ids.map(|id| group_store::group_of(sql, user, id));
            let found = found.filter_map(Result::transpose);
            found.collect::<Result<_, _>>()?
        }
        Needs::All => group_store::groups_of(sql, user, most.saturating_add(1))?,
    };
    if found.len() as u64 > most {
        return Ok(None);
    }
    let group = |(id, name): (GroupId, String)| {
        let id = id.to_text();
        let at = format!("{base}/Groups/{id}");
        json!({"value": id, "$ref": at, "display": name, "type": "direct"})
    };
    Ok(Some(found.into_iter().map(group).collect()))
}

/// The text of what is answered.
pub fn shown(of: &ResourceType, whole: &Whole, projection: &Projection) -> String {
    Value::Object(projected(of, &whole.resource, projection)).to_string()
}

/// A user as they are answered to a change, which is done: groups that are too many are left out.
pub fn changed_user(
    sql: &impl Sql,
    base: &str,
    stored: &Stored,
    projection: &Projection,
) -> Result<String, SqlError> {
    let needs = needs_of(&USER, projection);
    let groups = groups(sql, base, stored.0.id, &needs, MAX_LISTED)?;
    let whole = with_groups(base, stored, groups.unwrap_or_default());
    Ok(shown(&USER, &whole, projection))
}

/// The same of a group and its members.
pub fn changed_group(
    sql: &impl Sql,
    base: &str,
    stored: &StoredGroup,
    projection: &Projection,
) -> Result<String, SqlError> {
    let needs = needs_of(&GROUP, projection);
    let members = members(sql, base, stored.0.id, &needs, MAX_LISTED)?;
    let whole = with_members(base, stored, members.unwrap_or_default());
    Ok(shown(&GROUP, &whole, projection))
}

/// Why a resource cannot be answered whole.
pub fn too_many_listed(of: &ResourceType) -> ScimError {
    let apart = apart(of).unwrap_or_default();
    ScimError::TooMany(format!(
        "more than {MAX_LISTED} {apart} would have to be looked at or answered: exclude {apart}"
    ))
}
