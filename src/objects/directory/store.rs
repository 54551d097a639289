//! Every statement of a directory. Rows become domain values here and nowhere else.

use super::command::{About, Pending, SubjectCommand};
use super::registry;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::matching::Matching;
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
    include_str!("migrations/0005_policy.sql"),
    include_str!("migrations/0006_scim_secrets.sql"),
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

/// The user who is a person by that, if somebody is: a value as [`Matching::key`] makes it.
pub fn user_matched(sql: &impl Sql, matched: &str) -> Result<Option<Stored>, SqlError> {
    sql.exec(&format!("{USER} WHERE matched = ?"), &[matched.into()])?
        .first()
        .map(stored)
        .transpose()
}

/// The user whom that subject stands for, or stood for and nobody else since.
pub fn user_of(sql: &impl Sql, subject: SubjectKey) -> Result<Option<Stored>, SqlError> {
    sql.exec(
        &format!("{USER} WHERE id = (SELECT user FROM linked_subject WHERE subject = ?)"),
        &[subject.as_bytes().into()],
    )?
    .first()
    .map(stored)
    .transpose()
}

/// The names of the groups that a user is in, `most` at most.
pub fn group_names_of(sql: &impl Sql, user: UserId, most: u64) -> Result<Vec<String>, SqlError> {
    sql.exec(
        "SELECT display_name FROM member JOIN scim_group ON id = grp WHERE user = ? \
         ORDER BY folded_name LIMIT ?",
        &[user.as_bytes().into(), most.into()],
    )?
    .iter()
    .map(|row| row.text(0).map(str::to_owned))
    .collect()
}

/// The rule by which users and log-ins meet, from the first user on.
pub fn matching(sql: &impl Sql) -> Result<Option<Matching>, SqlError> {
    let rows = sql.exec("SELECT attribute, folds_case FROM matching", &[])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let attribute = serde_json::Value::from(row.text(0)?);
    Ok(Some(Matching {
        attribute: serde_json::from_value(attribute).map_err(|_| SqlError::corrupt("matching"))?,
        folds_case: row.integer(1)? != 0,
    }))
}

/// That is the rule from now on; the caller holds the transaction.
pub fn set_matching(sql: &impl Sql, matching: Matching) -> Result<(), SqlError> {
    let attribute = serde_json::to_value(matching.attribute);
    let attribute = attribute.map_err(|_| SqlError::corrupt("matching"))?;
    sql.exec(
        "INSERT INTO matching (id, attribute, folds_case) VALUES (1, ?, ?)",
        &[attribute.as_str().into(), matching.folds_case.into()],
    )
    .map(drop)
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

/// Inserts or updates a user, who is a person by `matched`. Fails if another one is.
pub fn put_user(
    sql: &impl Sql,
    (record, user): &Stored,
    matched: Option<&str>,
) -> Result<(), SqlError> {
    let attributes =
        serde_json::to_string(&user.attributes).map_err(|_| SqlError::corrupt("attributes"))?;
    sql.exec(
        "INSERT INTO user (id, user_name, folded_name, external_id, active, attributes, created, \
         modified, version, matched) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET \
         user_name = excluded.user_name, folded_name = excluded.folded_name, \
         external_id = excluded.external_id, active = excluded.active, \
         attributes = excluded.attributes, modified = excluded.modified, \
         version = excluded.version, matched = excluded.matched",
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
            matched.into(),
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

/// The version that a command would have that is added now.
pub fn next_version(sql: &impl Sql, now: UnixMillis) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT next_version FROM directory", &[])?;
    Ok(rows.first().map_or(Ok(1), |row| row.integer(0))?.max(now.0))
}

/// Takes so many versions that no command has, and says the first; the caller holds the transaction.
///
/// Versions follow the clock where they can. A directory that was restored to an earlier time then
/// goes on above what its subjects have applied, so that they do not take its changes for old ones.
pub fn take_versions(sql: &impl Sql, many: u64, now: UnixMillis) -> Result<u64, SqlError> {
    let version = next_version(sql, now)?;
    sql.exec(
        "INSERT OR REPLACE INTO directory (id, next_version) VALUES (1, ?)",
        &[(version + many).into()],
    )?;
    Ok(version)
}

/// Adds a command for `subject` behind the others and notes what it does; the caller holds the transaction.
pub fn add_pending(
    sql: &impl Sql,
    about: About,
    subject: SubjectKey,
    command: SubjectCommand,
    now: UnixMillis,
) -> Result<(), SqlError> {
    let version = take_versions(sql, 1, now)?;
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
        _ => return Ok(()),
    };
    sql.exec(hold, &[subject.as_bytes().into()])?;
    registry::set_disabled(sql, subject, disabled)
}

const PENDING: &str = "SELECT version, subject, command FROM pending";

impl TryFrom<&Row> for Pending {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            version: row.integer(0)?,
            subject: SubjectKey::from_bytes(row.bytes(1)?),
            command: wire::decode(row.blob(2)?)?,
        })
    }
}

/// Commands not confirmed, oldest first: for the subjects that a user stands for or has commanded, or for
/// those that a log-out concerns. By subject: a name that passed to another user has commands of both, and a
/// later one must not overtake an earlier.
pub fn pending(sql: &impl Sql, about: About) -> Result<Vec<Pending>, SqlError> {
    let rows = match about {
        About::Logout(logout) => sql.exec(
            &format!(
                "{PENDING} WHERE subject IN (SELECT subject FROM pending WHERE logout = ?) \
                 ORDER BY version"
            ),
            &[logout.as_bytes().into()],
        )?,
        About::User(user) => sql.exec(
            &format!(
                "{PENDING} WHERE subject IN (SELECT subject FROM pending WHERE user = ? \
                 UNION SELECT subject FROM linked_subject WHERE user = ?) ORDER BY version"
            ),
            &[user.as_bytes().into(), user.as_bytes().into()],
        )?,
    };
    rows.iter().map(Pending::try_from).collect()
}

/// Commands not confirmed that may be sent now, oldest first, of those behind that version: none whose
/// subject still waits for an older one.
pub fn due_after(
    sql: &impl Sql,
    version: u64,
    now: UnixMillis,
    most: u64,
) -> Result<Vec<Pending>, SqlError> {
    sql.exec(
        &format!(
            "{PENDING} WHERE version > ? AND due <= ? AND NOT EXISTS (SELECT 1 FROM pending AS older \
             WHERE older.subject = pending.subject AND older.version < pending.version \
             AND older.due > ?) ORDER BY version LIMIT ?"
        ),
        &[version.into(), now.0.into(), now.0.into(), most.into()],
    )?
    .iter()
    .map(Pending::try_from)
    .collect()
}

/// Whether any command is not confirmed.
pub fn has_pending(sql: &impl Sql) -> Result<bool, SqlError> {
    Ok(!sql.exec("SELECT 1 FROM pending LIMIT 1", &[])?.is_empty())
}

/// Whether the command of that version is not confirmed.
pub fn is_pending(sql: &impl Sql, version: u64) -> Result<bool, SqlError> {
    let there = "SELECT 1 FROM pending WHERE version = ?";
    Ok(!sql.exec(there, &[version.into()])?.is_empty())
}

/// How often the command of that version was sent in vain.
pub fn failures(sql: &impl Sql, version: u64) -> Result<u64, SqlError> {
    let rows = sql.exec(
        "SELECT failures FROM pending WHERE version = ?",
        &[version.into()],
    )?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// The command of that version was sent in vain so often, and waits until `due`.
pub fn put_off(
    sql: &impl Sql,
    version: u64,
    failures: u64,
    due: UnixMillis,
) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE pending SET failures = ?, due = ? WHERE version = ?",
        &[failures.into(), due.0.into(), version.into()],
    )
    .map(drop)
}

/// When the first command that waits may be sent.
pub fn next_due(sql: &impl Sql) -> Result<Option<UnixMillis>, SqlError> {
    let rows = sql.exec("SELECT min(due) FROM pending", &[])?;
    let due = rows
        .first()
        .map_or(Ok(None), |row| row.optional_integer(0))?;
    Ok(due.map(UnixMillis))
}

/// The subject has committed it.
pub fn confirm(sql: &impl Sql, version: u64) -> Result<(), SqlError> {
    sql.exec("DELETE FROM pending WHERE version = ?", &[version.into()])
        .map(drop)
}
