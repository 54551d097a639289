//! The statements about person keys, erasures and the holds that stand in their way.

use crate::objects::sql::{Row, Sql, SqlError, Value};
use crate::seal::Sealed;
use portcullis_core::audit::personal::Erasing;
use portcullis_core::audit::sealed::{Day, Owner};
use portcullis_core::time::UnixMillis;

/// A key as it is kept.
pub struct Kept {
    /// When it was made.
    pub created_at: UnixMillis,
    /// The key.
    pub sealed: Sealed,
}

/// The keys of an owner, the latest first. There is one, or none, as long as `SERVICE_KEY` stays what it is.
pub fn keys(sql: &impl Sql, owner: Owner) -> Result<Vec<Kept>, SqlError> {
    let of = "SELECT created_at, sealed FROM person_key WHERE owner = ? ORDER BY created_at DESC";
    let rows = sql.exec(of, &[owner.to_bytes().into()])?;
    let of_row = |row: &Row| {
        Ok(Kept {
            created_at: UnixMillis(row.integer(0)?),
            sealed: Sealed::from_bytes(row.blob(1)?),
        })
    };
    rows.iter().map(of_row).collect()
}

/// Adds a key, as the latest of its owner.
pub fn add_key(sql: &impl Sql, owner: Owner, key: &Kept) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO person_key (owner, created_at, sealed) VALUES (?, \
         max(?, coalesce((SELECT max(created_at) + 1 FROM person_key WHERE owner = ?), 0)), ?)",
        &[
            owner.to_bytes().into(),
            key.created_at.0.into(),
            owner.to_bytes().into(),
            key.sealed.as_bytes().into(),
        ],
    )
    .map(drop)
}

/// The owners that are meant, from the first to below the second.
fn range(what: Erasing) -> [Value; 2] {
    let (first, end) = match what {
        Erasing::Subject(key) => {
            let first = Owner::Subject(key).to_bytes();
            let end = [first.as_slice(), &[0]].concat();
            (first, end)
        }
        Erasing::UnattributedBefore(day) => {
            (Owner::Day(Day(0)).to_bytes(), Owner::Day(day).to_bytes())
        }
    };
    [first.into(), end.into()]
}

/// How many keys there are of that, and since when the first.
pub fn count(sql: &impl Sql, what: Erasing) -> Result<(u64, Option<UnixMillis>), SqlError> {
    let of = "SELECT count(*), min(created_at) FROM person_key WHERE owner >= ? AND owner < ?";
    match sql.exec(of, &range(what))?.first() {
        Some(row) => Ok((row.integer(0)?, row.optional_integer(1)?.map(UnixMillis))),
        None => Err(SqlError::corrupt("count")),
    }
}

/// When keys of that were destroyed last.
pub fn erased_at(sql: &impl Sql, what: Erasing) -> Result<Option<UnixMillis>, SqlError> {
    let of = "SELECT max(erased_at) FROM erasure WHERE owner >= ? AND owner < ?";
    match sql.exec(of, &range(what))?.first() {
        Some(row) => Ok(row.optional_integer(0)?.map(UnixMillis)),
        None => Ok(None),
    }
}

/// Destroys the keys of that. They are overwritten before they go: SQLite leaves what it deletes in its pages until
/// something else is written there.
pub fn destroy(sql: &impl Sql, what: Erasing, now: UnixMillis) -> Result<(), SqlError> {
    let [first, end] = range(what);
    let note = "INSERT OR REPLACE INTO erasure (owner, erased_at) \
        SELECT DISTINCT owner, ? FROM person_key WHERE owner >= ? AND owner < ?";
    sql.exec(note, &[now.0.into(), first.clone(), end.clone()])?;
    for statement in [
        "UPDATE person_key SET sealed = zeroblob(length(sealed)) WHERE owner >= ? AND owner < ?",
        "DELETE FROM person_key WHERE owner >= ? AND owner < ?",
    ] {
        sql.exec(statement, &[first.clone(), end.clone()])?;
    }
    Ok(())
}

/// The name of a legal hold that forbids it, if there is one.
pub fn hold(sql: &impl Sql, what: Erasing) -> Result<Option<String>, SqlError> {
    let rows = match what {
        Erasing::Subject(key) => sql.exec(
            "SELECT name FROM hold WHERE subject IS NULL OR subject = ? ORDER BY name LIMIT 1",
            &[key.as_bytes().into()],
        ),
        // Of whom those lines are nobody knows: they may be anybody's who is held.
        Erasing::UnattributedBefore(_) => {
            sql.exec("SELECT name FROM hold ORDER BY name LIMIT 1", &[])
        }
    }?;
    rows.first()
        .map(|row| row.text(0).map(str::to_owned))
        .transpose()
}
