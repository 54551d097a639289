//! The statements about how long a lane's lines are kept, and what of them is gone.

use super::store;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::audit::retention::Hold;
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;

/// How long lines are kept, and how far they are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// For how many milliseconds; `None`: for good.
    pub keep_ms: Option<u64>,
    /// The index of the first line that is there.
    pub pruned_to: u64,
    /// When the latest that is gone was committed.
    pub pruned_until: Option<UnixMillis>,
    /// The index of the first line whose bundle is still in the archive.
    pub archive_pruned_to: u64,
}

/// How it is.
pub fn kept(sql: &impl Sql) -> Result<Kept, SqlError> {
    let of = "SELECT keep_ms, pruned_to, pruned_until, archive_pruned_to FROM retention";
    let Some(row) = sql.first(of, &[])? else {
        return Ok(Kept::default());
    };
    Ok(Kept {
        keep_ms: row.optional_integer(0)?,
        pruned_to: row.integer(1)?,
        pruned_until: row.optional_integer(2)?.map(UnixMillis),
        archive_pruned_to: row.integer(3)?,
    })
}

/// Notes how it is.
pub fn put_kept(sql: &impl Sql, kept: &Kept) -> Result<(), SqlError> {
    let put = "INSERT OR REPLACE INTO retention \
         (id, keep_ms, pruned_to, pruned_until, archive_pruned_to) VALUES (1, ?, ?, ?, ?)";
    let values = [
        kept.keep_ms.into(),
        kept.pruned_to.into(),
        kept.pruned_until.map(|at| at.0).into(),
        kept.archive_pruned_to.into(),
    ];
    sql.exec(put, &values).map(drop)
}

/// The index of the first line that is there.
pub fn pruned_to(sql: &impl Sql) -> Result<u64, SqlError> {
    let row = sql.first("SELECT pruned_to FROM retention", &[])?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// Takes the lines of `from .. to` away, with their terms and fingerprints. Leaf hashes and edges stay, and so does whatever
/// else a segment has; a segment that ends behind `to` keeps the lines from there on, and an empty one in place of each before.
pub fn remove_lines(sql: &impl Sql, from: u64, to: u64) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE segment SET lines = x'', terms = NULL, addresses = NULL WHERE first_index >= coalesce(\
         (SELECT max(first_index) FROM segment WHERE first_index <= ?), 0) \
         AND first_index < ? AND first_index + count <= ?",
        &[from.into(), to.into(), to.into()],
    )?;
    let across = store::segment_at(sql, to)?.filter(|segment| segment.first_index < to);
    let Some(segment) = across else {
        return Ok(());
    };
    let mut left = Vec::with_capacity(segment.lines.len());
    for (index, entry) in (segment.first_index..).zip(segment.entries()) {
        if index >= to {
            left.extend_from_slice(entry);
        }
        left.push(b'\n');
    }
    sql.exec(
        "UPDATE segment SET lines = ? WHERE first_index = ?",
        &[left.into(), segment.first_index.into()],
    )
    .map(drop)
}

/// The index of the first line of the last segment.
pub fn last_segment(sql: &impl Sql) -> Result<u64, SqlError> {
    let row = sql.first("SELECT max(first_index) FROM segment", &[])?;
    row.map_or(Ok(0), |row| Ok(row.optional_integer(0)?.unwrap_or(0)))
}

/// Whether something of that person's is under a legal hold, or, without one, anything is. A hold of everything holds
/// everybody's.
pub fn held(sql: &impl Sql, subject: Option<SubjectKey>) -> Result<bool, SqlError> {
    let row = match subject {
        None => sql.first("SELECT 1 FROM hold LIMIT 1", &[])?,
        Some(subject) => {
            let of = "SELECT 1 FROM hold WHERE subject IS NULL OR subject = ? LIMIT 1";
            sql.first(of, &[subject.as_bytes().into()])?
        }
    };
    Ok(row.is_some())
}

const HOLD: &str = "SELECT name, subject, placed_at, placed_by FROM hold";

fn hold_of(row: &Row) -> Result<Hold, SqlError> {
    let subject = match row.optional_blob(1)? {
        Some(_) => Some(SubjectKey::from_bytes(row.bytes(1)?)),
        None => None,
    };
    Ok(Hold {
        name: row.text(0)?.to_owned(),
        subject,
        placed_at: UnixMillis(row.integer(2)?),
        placed_by: row.text(3)?.to_owned(),
    })
}

/// All holds, by name.
pub fn holds(sql: &impl Sql) -> Result<Vec<Hold>, SqlError> {
    let rows = sql.exec(&format!("{HOLD} ORDER BY name"), &[])?;
    rows.iter().map(hold_of).collect()
}

/// The hold of that name.
pub fn hold(sql: &impl Sql, name: &str) -> Result<Option<Hold>, SqlError> {
    let row = sql.first(&format!("{HOLD} WHERE name = ?"), &[name.into()])?;
    row.as_ref().map(hold_of).transpose()
}

/// How many there are.
pub fn count_holds(sql: &impl Sql) -> Result<u64, SqlError> {
    let row = sql.first("SELECT count(*) FROM hold", &[])?;
    row.map_or(Ok(0), |row| row.integer(0))
}

/// Adds one, of a name that there is not.
pub fn add_hold(sql: &impl Sql, hold: &Hold) -> Result<(), SqlError> {
    let subject = hold.subject;
    sql.exec(
        "INSERT INTO hold (name, subject, placed_at, placed_by) VALUES (?, ?, ?, ?)",
        &[
            hold.name.as_str().into(),
            subject.map_or(Value::Null, |subject| subject.as_bytes().into()),
            hold.placed_at.0.into(),
            hold.placed_by.as_str().into(),
        ],
    )
    .map(drop)
}

/// Removes one.
pub fn remove_hold(sql: &impl Sql, name: &str) -> Result<(), SqlError> {
    sql.exec("DELETE FROM hold WHERE name = ?", &[name.into()])
        .map(drop)
}
