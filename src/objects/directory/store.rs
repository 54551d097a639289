//! Every statement of a directory. Rows become domain values here and nowhere else.

use super::command::{About, Pending, SubjectCommand};
use super::registry;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::resource::version::Version;
use portcullis_core::scim::user::{Record, User, UserId};
use portcullis_core::text::folded;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_directory.sql"),
    include_str!("../outbox.sql"),
    include_str!("migrations/0002_registry.sql"),
    include_str!("migrations/0003_scim.sql"),
    include_str!("migrations/0004_groups.sql"),
    include_str!("migrations/0007_bulk.sql"),
];

const USER: &str = "SELECT id, user_name, external_id, active, attributes, created, modified, \
     version FROM user";

/// A user with what the directory adds.
pub type Stored = (Record, User);

fn stored(row: &Row) -> Result<Stored, SqlError> {
    let record = Record {
        id: UserId::from_bytes(row.bytes(0)?),
        created: UnixMillis(row.integer(5)?),
        modified: UnixMillis(row.integer(6)?),
        version: Version(row.integer(7)?),
    };
    let user = User {
        user_name: row.text(1)?.to_owned(),
        external_id: match row.0.get(2) {
            Some(Value::Null) => None,
            _ => Some(row.text(2)?.to_owned()),
        },
        active: row.integer(3)? != 0,
        attributes: serde_json::from_str(row.text(4)?)
            .map_err(|_| SqlError::corrupt("attributes"))?,
    };
    Ok((record, user))
}

/// The user with that id.
pub fn user(sql: &impl Sql, id: UserId) -> Result<Option<Stored>, SqlError> {
    sql.exec(&format!("{USER} WHERE id = ?"), &[id.as_bytes().into()])?
        .first()
        .map(stored)
        .transpose()
}

/// The user with that name, in any case.
pub fn user_named(sql: &impl Sql, user_name: &str) -> Result<Option<Stored>, SqlError> {
    let folded = folded(user_name);
    sql.exec(
        &format!("{USER} WHERE folded_name = ?"),
        &[folded.as_str().into()],
    )?
    .first()
    .map(stored)
    .transpose()
}

/// The folded name and the id of a user by their id, their name in any case, or their `externalId`; `most` at
/// most.
pub fn found_by(sql: &impl Sql, by: Found, most: u64) -> Result<Vec<(String, UserId)>, SqlError> {
    let (condition, value): (_, Value) = match by {
        Found::Id(id) => ("id = ?", id.as_bytes().into()),
        Found::Name(name) => ("folded_name = ?", folded(name).as_str().into()),
        Found::ExternalId(id) => ("external_id = ?", id.into()),
    };
    let statement =
        format!("SELECT folded_name, id FROM user WHERE {condition} ORDER BY folded_name LIMIT ?");
    sql.exec(&statement, &[value, most.into()])?
        .iter()
        .map(|row| Ok((row.text(0)?.to_owned(), UserId::from_bytes(row.bytes(1)?))))
        .collect()
}

/// What leads to a resource.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a, I = UserId> {
    /// Its id.
    Id(I),
    /// Its name.
    Name(&'a str),
    /// The provider's id.
    ExternalId(&'a str),
}

/// How many users there are.
pub fn count_users(sql: &impl Sql) -> Result<u64, SqlError> {
    let total = sql.exec("SELECT count(*) FROM user", &[])?;
    total.first().map_or(Ok(0), |row| row.integer(0))
}

/// Whether there are more users than that.
pub fn has_more_users_than(sql: &impl Sql, number: u64) -> Result<bool, SqlError> {
    let one_more = "SELECT 1 FROM user ORDER BY folded_name LIMIT 1 OFFSET ?";
    Ok(!sql.exec(one_more, &[number.into()])?.is_empty())
}

/// A page of users by name, or backwards.
pub fn users(
    sql: &impl Sql,
    is_backwards: bool,
    skip: u64,
    count: u64,
) -> Result<Vec<Stored>, SqlError> {
    let order = if is_backwards { "DESC" } else { "ASC" };
    sql.exec(
        &format!("{USER} ORDER BY folded_name {order} LIMIT ? OFFSET ?"),
        &[count.into(), skip.into()],
    )?
    .iter()
    .map(stored)
    .collect()
}

/// The ids of the same.
pub fn user_ids(
    sql: &impl Sql,
    is_backwards: bool,
    skip: u64,
    count: u64,
) -> Result<Vec<UserId>, SqlError> {
    let order = if is_backwards { "DESC" } else { "ASC" };
    sql.exec(
        &format!("SELECT id FROM user ORDER BY folded_name {order} LIMIT ? OFFSET ?"),
        &[count.into(), skip.into()],
    )?
    .iter()
    .map(|row| row.bytes(0).map(UserId::from_bytes))
    .collect()
}

/// The users whose names come after that one, in order.
pub fn users_after(sql: &impl Sql, folded_name: &str, most: u64) -> Result<Vec<Stored>, SqlError> {
    sql.exec(
        &format!("{USER} WHERE folded_name > ? ORDER BY folded_name LIMIT ?"),
        &[folded_name.into(), most.into()],
    )?
    .iter()
    .map(stored)
    .collect()
}

/// Inserts or replaces a user.
pub fn put_user(sql: &impl Sql, (record, user): &Stored) -> Result<(), SqlError> {
    let attributes =
        serde_json::to_string(&user.attributes).map_err(|_| SqlError::corrupt("attributes"))?;
    sql.exec(
        "INSERT OR REPLACE INTO user (id, user_name, folded_name, external_id, active, attributes, \
         created, modified, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            record.id.as_bytes().into(),
            user.user_name.as_str().into(),
            folded(&user.user_name).as_str().into(),
            user.external_id.as_deref().into(),
            user.active.into(),
            attributes.as_str().into(),
            record.created.0.into(),
            record.modified.0.into(),
            record.version.0.into(),
        ],
    )
    .map(drop)
}

/// Forgets a user; the subjects it stood for stay held.
pub fn delete_user(sql: &impl Sql, id: UserId) -> Result<(), SqlError> {
    for statement in [
        "DELETE FROM user WHERE id = ?",
        "DELETE FROM linked_subject WHERE user = ?",
    ] {
        sql.exec(statement, &[id.as_bytes().into()])?;
    }
    Ok(())
}

/// Notes that `user` stands for `subject`, and that nobody else does any more: a name that was given
/// to someone else is not ended by what happens to its last owner.
pub fn link(sql: &impl Sql, user: UserId, subject: SubjectKey) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM linked_subject WHERE subject = ? AND user <> ?",
        &[subject.as_bytes().into(), user.as_bytes().into()],
    )?;
    sql.exec(
        "INSERT OR IGNORE INTO linked_subject (user, subject) VALUES (?, ?)",
        &[user.as_bytes().into(), subject.as_bytes().into()],
    )
    .map(drop)
}

/// Every subject that `user` ever stood for.
pub fn linked(sql: &impl Sql, user: UserId) -> Result<Vec<SubjectKey>, SqlError> {
    sql.exec(
        "SELECT subject FROM linked_subject WHERE user = ?",
        &[user.as_bytes().into()],
    )?
    .iter()
    .map(|row| row.bytes(0).map(SubjectKey::from_bytes))
    .collect()
}

/// Whether the directory has disabled `subject`.
pub fn is_held(sql: &impl Sql, subject: SubjectKey) -> Result<bool, SqlError> {
    let held = "SELECT 1 FROM held_subject WHERE subject = ?";
    Ok(!sql.exec(held, &[subject.as_bytes().into()])?.is_empty())
}

/// Adds a command for `subject` behind the others and notes what it does.
///
/// Versions follow the clock where they can. A directory that was restored to an earlier time then
/// goes on above what its subjects have applied, so that they do not take its changes for old ones.
pub fn add_pending(
    sql: &impl Sql,
    about: About,
    subject: SubjectKey,
    command: SubjectCommand,
    now: UnixMillis,
) -> Result<(), SqlError> {
    let rows = sql.exec("SELECT next_version FROM directory", &[])?;
    let version = rows.first().map_or(Ok(1), |row| row.integer(0))?.max(now.0);
    sql.exec(
        "INSERT OR REPLACE INTO directory (id, next_version) VALUES (1, ?)",
        &[(version + 1).into()],
    )?;
    let (user, logout): (Value, Value) = match about {
        About::User(user) => (user.as_bytes().into(), Value::Null),
        About::Logout(logout) => (Value::Null, logout.as_bytes().into()),
    };
    sql.exec(
        "INSERT INTO pending (version, subject, user, logout, command) VALUES (?, ?, ?, ?, ?)",
        &[
            version.into(),
            subject.as_bytes().into(),
            user,
            logout,
            wire::encode(&command)?.into(),
        ],
    )?;
    let (hold, disabled) = match command {
        SubjectCommand::Disable(_) => (
            "INSERT OR IGNORE INTO held_subject (subject) VALUES (?)",
            true,
        ),
        SubjectCommand::Reactivate => ("DELETE FROM held_subject WHERE subject = ?", false),
        SubjectCommand::EndSession(_) | SubjectCommand::EndAll => return Ok(()),
    };
    sql.exec(hold, &[subject.as_bytes().into()])?;
    registry::set_disabled(sql, subject, disabled)
}

/// Commands not confirmed, oldest first: for the subjects that a user stands for or has commanded, for
/// those that a log-out concerns, or all. By subject: a name that passed to another user has commands of
/// both, and a later one must not overtake an earlier.
pub fn pending(sql: &impl Sql, about: Option<About>) -> Result<Vec<Pending>, SqlError> {
    let all = "SELECT version, subject, command FROM pending";
    let rows = match about {
        Some(About::Logout(logout)) => sql.exec(
            &format!(
                "{all} WHERE subject IN (SELECT subject FROM pending WHERE logout = ?) \
                 ORDER BY version"
            ),
            &[logout.as_bytes().into()],
        )?,
        Some(About::User(user)) => sql.exec(
            &format!(
                "{all} WHERE subject IN (SELECT subject FROM pending WHERE user = ? \
                 UNION SELECT subject FROM linked_subject WHERE user = ?) ORDER BY version"
            ),
            &[user.as_bytes().into(), user.as_bytes().into()],
        )?,
        None => sql.exec(&format!("{all} ORDER BY version LIMIT 100"), &[])?,
    };
    rows.iter()
        .map(|row| {
            Ok(Pending {
                version: row.integer(0)?,
                subject: SubjectKey::from_bytes(row.bytes(1)?),
                command: wire::decode(row.blob(2)?)?,
            })
        })
        .collect()
}

/// The subject has committed it.
pub fn confirm(sql: &impl Sql, version: u64) -> Result<(), SqlError> {
    sql.exec("DELETE FROM pending WHERE version = ?", &[version.into()])
        .map(drop)
}
