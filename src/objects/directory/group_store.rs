//! Every statement about groups and who is in them. Rows become domain values here and nowhere else.
//!
//! Many ids go into a statement as one value, one behind the other: a statement takes no more than 100
//! values.

use super::store::Found;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::scim::group::{Group, GroupId};
use portcullis_core::scim::resource::version::Version;
use portcullis_core::scim::user::{Record, UserId};
use portcullis_core::text::folded;
use portcullis_core::time::UnixMillis;

const GROUP: &str = "SELECT id, display_name, external_id, attributes, created, modified, version \
     FROM scim_group";

/// Ids that are given as a number and that many times 16 bytes.
const GIVEN: &str = "WITH RECURSIVE at (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM at WHERE n + 1 < ?), \
     given (id) AS (SELECT substr(?, n * 16 + 1, 16) FROM at)";

/// A group with what the directory adds.
pub type StoredGroup = (Record<GroupId>, Group);

fn stored(row: &Row) -> Result<StoredGroup, SqlError> {
    let record = Record {
        id: GroupId::from_bytes(row.bytes(0)?),
        created: UnixMillis(row.integer(4)?),
        modified: UnixMillis(row.integer(5)?),
        version: Version(row.integer(6)?),
    };
    let group = Group {
        display_name: row.text(1)?.to_owned(),
        external_id: row.optional_text(2)?.map(str::to_owned),
        attributes: serde_json::from_str(row.text(3)?)
            .map_err(|_| SqlError::corrupt("attributes"))?,
    };
    Ok((record, group))
}

/// The group with that id.
pub fn group(sql: &impl Sql, id: GroupId) -> Result<Option<StoredGroup>, SqlError> {
    sql.exec(&format!("{GROUP} WHERE id = ?"), &[id.as_bytes().into()])?
        .first()
        .map(stored)
        .transpose()
}

/// The folded name and the id of a group by its id, its name in any case, or its `externalId`; `most` at
/// most.
pub fn found_by(
    sql: &impl Sql,
    by: Found<GroupId>,
    most: u64,
) -> Result<Vec<(String, GroupId)>, SqlError> {
    let (condition, value): (_, Value) = match by {
        Found::Id(id) => ("id = ?", id.as_bytes().into()),
        Found::Name(name) => ("folded_name = ?", folded(name).as_str().into()),
        Found::ExternalId(id) => ("external_id = ?", id.into()),
    };
    let statement = format!(
        "SELECT folded_name, id FROM scim_group WHERE {condition} ORDER BY folded_name LIMIT ?"
    );
    named_ids(&sql.exec(&statement, &[value, most.into()])?)
}

fn named_ids(rows: &[Row]) -> Result<Vec<(String, GroupId)>, SqlError> {
    rows.iter()
        .map(|row| Ok((row.text(0)?.to_owned(), GroupId::from_bytes(row.bytes(1)?))))
        .collect()
}

/// How many groups there are.
pub fn count_groups(sql: &impl Sql) -> Result<u64, SqlError> {
    let total = sql.exec("SELECT count(*) FROM scim_group", &[])?;
    total.first().map_or(Ok(0), |row| row.integer(0))
}

/// Whether there are more groups than that.
pub fn has_more_groups_than(sql: &impl Sql, number: u64) -> Result<bool, SqlError> {
    let one_more = "SELECT 1 FROM scim_group ORDER BY folded_name LIMIT 1 OFFSET ?";
    Ok(!sql.exec(one_more, &[number.into()])?.is_empty())
}

/// The ids of a page of groups by name, or backwards.
pub fn groups(
    sql: &impl Sql,
    is_backwards: bool,
    skip: u64,
    count: u64,
) -> Result<Vec<GroupId>, SqlError> {
    let order = if is_backwards { "DESC" } else { "ASC" };
    sql.exec(
        &format!("SELECT id FROM scim_group ORDER BY folded_name {order} LIMIT ? OFFSET ?"),
        &[count.into(), skip.into()],
    )?
    .iter()
    .map(|row| row.bytes(0).map(GroupId::from_bytes))
    .collect()
}

/// The groups whose names come after that one, in order.
pub fn groups_after(
    sql: &impl Sql,
    folded_name: &str,
    most: u64,
) -> Result<Vec<StoredGroup>, SqlError> {
    sql.exec(
        &format!("{GROUP} WHERE folded_name > ? ORDER BY folded_name LIMIT ?"),
        &[folded_name.into(), most.into()],
    )?
    .iter()
    .map(stored)
    .collect()
}

/// Inserts or replaces a group, without its members.
pub fn put_group(sql: &impl Sql, (record, group): &StoredGroup) -> Result<(), SqlError> {
    let attributes =
        serde_json::to_string(&group.attributes).map_err(|_| SqlError::corrupt("attributes"))?;
    sql.exec(
        "INSERT OR REPLACE INTO scim_group (id, display_name, folded_name, external_id, attributes, \
         created, modified, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            record.id.as_bytes().into(),
            group.display_name.as_str().into(),
            folded(&group.display_name).as_str().into(),
            group.external_id.as_deref().into(),
            attributes.as_str().into(),
            record.created.0.into(),
            record.modified.0.into(),
            record.version.0.into(),
        ],
    )
    .map(drop)
}

/// Forgets a group and who was in it.
pub fn delete_group(sql: &impl Sql, id: GroupId) -> Result<(), SqlError> {
    for statement in [
        "DELETE FROM member WHERE grp = ?",
        "DELETE FROM scim_group WHERE id = ?",
    ] {
        sql.exec(statement, &[id.as_bytes().into()])?;
    }
    Ok(())
}

/// A user is in no group any more, and their groups are not what they were.
pub fn leave_all(sql: &impl Sql, user: UserId, now: UnixMillis) -> Result<(), SqlError> {
    let user: Value = user.as_bytes().into();
    sql.exec(
        "UPDATE scim_group SET modified = ?, version = max(version + 1, ?) \
         WHERE id IN (SELECT grp FROM member WHERE user = ?)",
        &[now.0.into(), now.0.into(), user.clone()],
    )?;
    sql.exec("DELETE FROM member WHERE user = ?", &[user])
        .map(drop)
}

/// The ids and names of a group's members, `most` at most.
pub fn members(
    sql: &impl Sql,
    group: GroupId,
    most: u64,
) -> Result<Vec<(UserId, String)>, SqlError> {
    sql.exec(
        "SELECT member.user, user.user_name FROM member JOIN user ON user.id = member.user \
         WHERE member.grp = ? ORDER BY member.user LIMIT ?",
        &[group.as_bytes().into(), most.into()],
    )?
    .iter()
    .map(|row| Ok((UserId::from_bytes(row.bytes(0)?), row.text(1)?.to_owned())))
    .collect()
}

/// The member of that id.
pub fn member(
    sql: &impl Sql,
    group: GroupId,
    user: UserId,
) -> Result<Option<(UserId, String)>, SqlError> {
    sql.exec(
        "SELECT user.user_name FROM member JOIN user ON user.id = member.user \
         WHERE member.grp = ? AND member.user = ?",
        &[group.as_bytes().into(), user.as_bytes().into()],
    )?
    .first()
    .map(|row| Ok((user, row.text(0)?.to_owned())))
    .transpose()
}

/// The ids and names of a user's groups, `most` at most.
pub fn groups_of(
    sql: &impl Sql,
    user: UserId,
    most: u64,
) -> Result<Vec<(GroupId, String)>, SqlError> {
    sql.exec(
        "SELECT scim_group.id, scim_group.display_name FROM member \
         JOIN scim_group ON scim_group.id = member.grp WHERE member.user = ? ORDER BY member.grp LIMIT ?",
        &[user.as_bytes().into(), most.into()],
    )?
    .iter()
    .map(|row| Ok((GroupId::from_bytes(row.bytes(0)?), row.text(1)?.to_owned())))
    .collect()
}

/// The user's group of that id.
pub fn group_of(
    sql: &impl Sql,
    user: UserId,
    group: GroupId,
) -> Result<Option<(GroupId, String)>, SqlError> {
    sql.exec(
        "SELECT scim_group.display_name FROM member JOIN scim_group ON scim_group.id = member.grp \
         WHERE member.user = ? AND member.grp = ?",
        &[user.as_bytes().into(), group.as_bytes().into()],
    )?
    .first()
    .map(|row| Ok((group, row.text(0)?.to_owned())))
    .transpose()
}

/// The folded names and ids of a group's members, `most` at most.
pub fn found_users(
    sql: &impl Sql,
    group: GroupId,
    most: u64,
) -> Result<Vec<(String, UserId)>, SqlError> {
    sql.exec(
        "SELECT user.folded_name, user.id FROM member JOIN user ON user.id = member.user \
         WHERE member.grp = ? LIMIT ?",
        &[group.as_bytes().into(), most.into()],
    )?
    .iter()
    .map(|row| Ok((row.text(0)?.to_owned(), UserId::from_bytes(row.bytes(1)?))))
    .collect()
}

/// The folded names and ids of a user's groups, `most` at most.
pub fn found_groups(
    sql: &impl Sql,
    user: UserId,
    most: u64,
) -> Result<Vec<(String, GroupId)>, SqlError> {
    let rows = sql.exec(
        "SELECT scim_group.folded_name, scim_group.id FROM member \
         JOIN scim_group ON scim_group.id = member.grp WHERE member.user = ? LIMIT ?",
        &[user.as_bytes().into(), most.into()],
    )?;
    named_ids(&rows)
}

/// The ids of a group's members, `most` at most.
pub fn member_ids(sql: &impl Sql, group: GroupId, most: u64) -> Result<Vec<UserId>, SqlError> {
    let statement = "SELECT user FROM member WHERE grp = ? LIMIT ?";
    user_ids(&sql.exec(statement, &[group.as_bytes().into(), most.into()])?)
}

/// Whether each of these is a user.
pub fn are_users(sql: &impl Sql, ids: &[UserId]) -> Result<bool, SqlError> {
    let strangers = given(
        sql,
        "SELECT id FROM given WHERE NOT EXISTS (SELECT 1 FROM user WHERE user.id = given.id) LIMIT 1",
        ids,
        None,
    )?;
    Ok(strangers.is_empty())
}

/// Who of these is in the group.
pub fn who_is_member(
    sql: &impl Sql,
    group: GroupId,
    ids: &[UserId],
) -> Result<Vec<UserId>, SqlError> {
    let statement = "SELECT id FROM given WHERE EXISTS \
         (SELECT 1 FROM member WHERE member.grp = ? AND member.user = given.id)";
    user_ids(&given(sql, statement, ids, Some(group))?)
}

/// Who of these is not in the group.
pub fn who_is_no_member(
    sql: &impl Sql,
    group: GroupId,
    ids: &[UserId],
) -> Result<Vec<UserId>, SqlError> {
    let statement = "SELECT id FROM given WHERE NOT EXISTS \
         (SELECT 1 FROM member WHERE member.grp = ? AND member.user = given.id)";
    user_ids(&given(sql, statement, ids, Some(group))?)
}

/// Who is in the group and not one of these.
pub fn other_members(
    sql: &impl Sql,
    group: GroupId,
    ids: &[UserId],
) -> Result<Vec<UserId>, SqlError> {
    if ids.is_empty() {
        let all = "SELECT user FROM member WHERE grp = ?";
        return user_ids(&sql.exec(all, &[group.as_bytes().into()])?);
    }
    let statement = "SELECT user FROM member WHERE grp = ? AND user NOT IN (SELECT id FROM given)";
    user_ids(&given(sql, statement, ids, Some(group))?)
}

/// Puts these into the group.
pub fn add_members(sql: &impl Sql, group: GroupId, ids: &[UserId]) -> Result<(), SqlError> {
    let statement = "INSERT OR IGNORE INTO member (grp, user) SELECT ?, id FROM given";
    given(sql, statement, ids, Some(group)).map(drop)
}

/// Takes these out of the group.
pub fn remove_members(sql: &impl Sql, group: GroupId, ids: &[UserId]) -> Result<(), SqlError> {
    let statement = "DELETE FROM member WHERE grp = ? AND user IN (SELECT id FROM given)";
    given(sql, statement, ids, Some(group)).map(drop)
}

/// Runs a statement that reads [`GIVEN`]; of no ids nothing comes.
fn given(
    sql: &impl Sql,
    statement: &str,
    ids: &[UserId],
    group: Option<GroupId>,
) -> Result<Vec<Row>, SqlError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let bytes: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    let mut values: Vec<Value> = vec![(ids.len() as u64).into(), bytes.into()];
    values.extend(group.map(|group| group.as_bytes().into()));
    sql.exec(&format!("{GIVEN} {statement}"), &values)
}

fn user_ids(rows: &[Row]) -> Result<Vec<UserId>, SqlError> {
    rows.iter()
        .map(|row| row.bytes(0).map(UserId::from_bytes))
        .collect()
}
