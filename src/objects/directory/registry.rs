//! Who is known, statement by statement. Rows become domain values here and nowhere else.
//!
//! Log-ins and SCIM write the same rows. Of a name and an address the last word counts, whoever said it,
//! and who says nothing takes nothing away.

use super::store::Stored;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::id::SubjectKey;
use portcullis_core::registry::{
    KnownPerson, ListPeople, MAX_PEOPLE, People, Place, ScimUser, SeeLogin,
};
use portcullis_core::scim::user::UserId;
use portcullis_core::text::{self, folded};
use portcullis_core::time::UnixMillis;

/// The most rows that a search looks at for a page.
const MAX_LOOKED_AT: u64 = 500;

/// What a search looks at, each in an index.
const SEARCHED: [&str; 3] = ["folded_value", "folded_name", "folded_email"];

const COLUMNS: &str = "registry.subject, registry.value, registry.name, \
     registry.preferred_username, registry.email, registry.group_names, registry.disabled, \
     registry.last_login_at, registry.scim_user, registry.scim_active, registry.seat";

impl TryFrom<&Row> for KnownPerson {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        let text = |at| Ok::<_, SqlError>(row.optional_text(at)?.map(str::to_owned));
        let scim = match row.0.get(8) {
            Some(Value::Null) => None,
            _ => Some(ScimUser {
                id: UserId::from_bytes(row.bytes(8)?),
                active: row.integer(9)? != 0,
            }),
        };
        Ok(Self {
            subject: SubjectKey::from_bytes(row.bytes(0)?),
            value: row.text(1)?.to_owned(),
            name: text(2)?,
            preferred_username: text(3)?,
            email: text(4)?,
            groups: serde_json::from_str(row.text(5)?).map_err(|_| SqlError::corrupt("groups"))?,
            disabled: row.integer(6)? != 0,
            last_login_at: row.optional_integer(7)?.map(UnixMillis),
            scim,
            seat: row.integer(10)? != 0,
        })
    }
}

/// Notes a log-in, and that whoever is not kept out holds a seat from now on; the caller holds the transaction.
/// `key` is what the subject's key is made of.
pub fn see(sql: &impl Sql, login: &SeeLogin, key: &str, now: UnixMillis) -> Result<(), SqlError> {
    let groups = serde_json::to_string(&login.groups).map_err(|_| SqlError::corrupt("groups"))?;
    make_room(sql, key, login.subject)?;
    sql.exec(
        "INSERT INTO registry (matched, folded_value, value, subject, disabled, preferred_username, \
         group_names, last_login_at, seat) SELECT ?, ?, ?, ?, held, ?, ?, ?, 1 - held FROM \
         (SELECT EXISTS (SELECT 1 FROM held_subject WHERE subject = ?) AS held) WHERE true \
         ON CONFLICT (subject) DO UPDATE SET \
         matched = excluded.matched, folded_value = excluded.folded_value, value = excluded.value, \
         preferred_username = excluded.preferred_username, group_names = excluded.group_names, \
         last_login_at = excluded.last_login_at, seat = 1 - disabled",
        &[
            key.into(),
            folded(key).as_str().into(),
            login.value.as_str().into(),
            login.subject.as_bytes().into(),
            login.profile.preferred_username.as_deref().into(),
            groups.as_str().into(),
            now.0.into(),
            login.subject.as_bytes().into(),
        ],
    )?;
    say(
        sql,
        login.subject,
        login.profile.name.as_deref(),
        login.profile.email.as_deref(),
    )
}

/// Notes a user of `subject`, who has `value`; the caller holds the transaction.
pub fn provision(
    sql: &impl Sql,
    (record, user): &Stored,
    subject: SubjectKey,
    value: &str,
    key: &str,
) -> Result<(), SqlError> {
    make_room(sql, key, subject)?;
    sql.exec(
        "INSERT INTO registry (matched, folded_value, value, subject, disabled, group_names, \
         scim_user, scim_active) \
         VALUES (?, ?, ?, ?, EXISTS (SELECT 1 FROM held_subject WHERE subject = ?), '[]', ?, ?) \
         ON CONFLICT (subject) DO UPDATE SET \
         matched = excluded.matched, folded_value = excluded.folded_value, value = excluded.value, \
         scim_user = excluded.scim_user, scim_active = excluded.scim_active",
        &[
            key.into(),
            folded(key).as_str().into(),
            value.into(),
            subject.as_bytes().into(),
            subject.as_bytes().into(),
            record.id.as_bytes().into(),
            user.active.into(),
        ],
    )?;
    say(
        sql,
        subject,
        user.shown_name().as_deref(),
        user.email().as_deref(),
    )
}

/// Takes away a row from before values were compared as subjects' keys are: it was made in lower case, and stands
/// where somebody else belongs. They are known again when they come.
fn make_room(sql: &impl Sql, key: &str, subject: SubjectKey) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM registry WHERE matched = ? AND subject <> ?",
        &[key.into(), subject.as_bytes().into()],
    )
    .map(drop)
}

/// That subject is no user's any more; the caller holds the transaction.
pub fn unprovision(sql: &impl Sql, subject: SubjectKey) -> Result<(), SqlError> {
    for statement in [
        "DELETE FROM registry WHERE subject = ? AND last_login_at IS NULL",
        "UPDATE registry SET scim_user = NULL, scim_active = NULL WHERE subject = ?",
    ] {
        sql.exec(statement, &[subject.as_bytes().into()])?;
    }
    Ok(())
}

/// Notes a name and an address, if they are said and are news: each is in an index, which a row that is
/// written again writes again.
fn say(
    sql: &impl Sql,
    subject: SubjectKey,
    name: Option<&str>,
    email: Option<&str>,
) -> Result<(), SqlError> {
    for (said, statement) in [
        (
            name,
            "UPDATE registry SET name = ?, folded_name = ? WHERE subject = ? AND name IS NOT ?",
        ),
        (
            email,
            "UPDATE registry SET email = ?, folded_email = ? WHERE subject = ? AND email IS NOT ?",
        ),
    ] {
        if let Some(said) = said {
            let lower = text::folded(said);
            let values = [
                said.into(),
                lower.as_str().into(),
                subject.as_bytes().into(),
                said.into(),
            ];
            sql.exec(statement, &values)?;
        }
    }
    Ok(())
}

/// Notes that a subject is kept out, which frees its seat, or is not any more, which takes none; the caller
/// holds the transaction.
pub fn set_disabled(sql: &impl Sql, subject: SubjectKey, disabled: bool) -> Result<(), SqlError> {
    let statement = if disabled {
        "UPDATE registry SET disabled = 1, seat = 0 WHERE subject = ?"
    } else {
        "UPDATE registry SET disabled = 0 WHERE subject = ?"
    };
    sql.exec(statement, &[subject.as_bytes().into()]).map(drop)
}

/// Whether somebody has logged in as that subject.
pub fn has_logged_in(sql: &impl Sql, subject: SubjectKey) -> Result<bool, SqlError> {
    let seen = "SELECT 1 FROM registry WHERE subject = ? AND last_login_at IS NOT NULL";
    Ok(!sql.exec(seen, &[subject.as_bytes().into()])?.is_empty())
}

/// How many seats are held.
pub fn seats(sql: &impl Sql) -> Result<u64, SqlError> {
    let seats = sql.exec("SELECT count(*) FROM registry WHERE seat = 1", &[])?;
    seats.first().map_or(Ok(0), |row| row.integer(0))
}

/// Users who are not in the registry yet.
pub fn unregistered(sql: &impl Sql) -> Result<Vec<UserId>, SqlError> {
    sql.exec("SELECT user FROM unregistered", &[])?
        .iter()
        .map(|row| row.bytes(0).map(UserId::from_bytes))
        .collect()
}

/// They are in it now; the caller holds the transaction.
pub fn all_registered(sql: &impl Sql) -> Result<(), SqlError> {
    sql.exec("DELETE FROM unregistered", &[]).map(drop)
}

/// The person of that subject.
pub fn person(sql: &impl Sql, subject: SubjectKey) -> Result<Option<KnownPerson>, SqlError> {
    sql.exec(
        &format!("SELECT {COLUMNS} FROM registry WHERE subject = ?"),
        &[subject.as_bytes().into()],
    )?
    .first()
    .map(KnownPerson::try_from)
    .transpose()
}

/// A page of people.
pub fn people(sql: &impl Sql, list: &ListPeople) -> Result<People, SqlError> {
    let limit = list.limit.clamp(1, MAX_PEOPLE) as usize;
    let (look_at, rows) = if list.search.is_empty() {
        let one_more = limit as u64 + 1;
        (one_more, everybody(sql, list, one_more)?)
    } else {
        (MAX_LOOKED_AT, found(sql, list, MAX_LOOKED_AT)?)
    };
    let mut page = People {
        people: Vec::new(),
        next: None,
    };
    let there_may_be_more = rows.len() as u64 == look_at;
    let mut reached = None;
    for row in &rows {
        if page.people.len() == limit {
            page.next = reached;
            return Ok(page);
        }
        let place = Place {
            found: row.text(11)?.to_owned(),
            value: row.text(12)?.to_owned(),
        };
        let is_wanted = list.disabled.is_none_or(|wanted| {
            row.integer(6)
                .is_ok_and(|disabled| (disabled != 0) == wanted)
        });
        if is_wanted && is_first_find(row, list, &place.found)? {
            page.people.push(KnownPerson::try_from(row)?);
        }
        reached = Some(place);
    }
    page.next = reached.filter(|_| there_may_be_more);
    Ok(page)
}

/// Whether nothing else that was found of that person comes before: they are on one page only.
fn is_first_find(row: &Row, list: &ListPeople, found: &str) -> Result<bool, SqlError> {
    let others = [
        row.optional_text(13)?,
        row.optional_text(14)?,
        row.optional_text(15)?,
    ];
    let first = others
        .into_iter()
        .flatten()
        .filter(|text| text.starts_with(&list.search))
        .min();
    Ok(list.search.is_empty() || first == Some(found))
}

fn everybody(sql: &impl Sql, list: &ListPeople, look_at: u64) -> Result<Vec<Row>, SqlError> {
    let after = list.after.as_ref().map_or("", |place| place.value.as_str());
    sql.exec(&all_of(list.disabled), &[after.into(), look_at.into()])
}

fn all_of(disabled: Option<bool>) -> String {
    let only = match disabled {
        None => "",
        Some(true) => "disabled = 1 AND ",
        Some(false) => "disabled = 0 AND ",
    };
    format!(
        "SELECT {COLUMNS}, matched, matched, folded_value, folded_name, folded_email \
         FROM registry WHERE {only}matched > ? ORDER BY matched LIMIT ?"
    )
}

/// What begins with the search, of each index as much as a page can need.
fn found(sql: &impl Sql, list: &ListPeople, look_at: u64) -> Result<Vec<Row>, SqlError> {
    let (after, after_value) = match &list.after {
        Some(place) => (place.found.as_str(), place.value.as_str()),
        None => (list.search.as_str(), ""),
    };
    let end = format!("{}{}", list.search, char::MAX);
    let mut values: Vec<Value> = Vec::new();
    for _ in SEARCHED {
        values.extend([
            after.into(),
            after_value.into(),
            list.search.as_str().into(),
            end.as_str().into(),
            look_at.into(),
        ]);
    }
    values.push(look_at.into());
    sql.exec(&searched(), &values)
}

fn searched() -> String {
    let arm = |column: &str| {
        format!(
            "SELECT * FROM (SELECT {column} AS found, matched AS whose FROM registry \
             WHERE ({column}, matched) > (?, ?) AND {column} >= ? AND {column} < ? \
             ORDER BY {column}, matched LIMIT ?)"
        )
    };
    // An arm finds a person once, and two arms may find the same of them.
    format!(
        "SELECT {COLUMNS}, found, whose, folded_value, folded_name, folded_email \
         FROM ({} ORDER BY found, whose LIMIT ?) \
         JOIN registry ON matched = whose ORDER BY found, whose",
        SEARCHED.map(arm).join(" UNION ")
    )
}

/// Every statement of a page, with how many values it takes, for a test to ask how it is carried out.
#[cfg(test)]
pub fn statements() -> Vec<(String, usize)> {
    let all = [None, Some(true), Some(false)].map(|disabled| (all_of(disabled), 2));
    let mut statements = Vec::from(all);
    statements.push((searched(), 5 * SEARCHED.len() + 1));
    statements
}
