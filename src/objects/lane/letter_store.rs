//! Every statement about dead letters and backlogs.

use crate::objects::sql::{Row, Sql, SqlError};
use crate::seal::Sealed;
use portcullis_core::audit::backlog::Backlog;
use portcullis_core::audit::letters::{LetterCount, LetterInfo, Reason};
use portcullis_core::id::LetterId;
use portcullis_core::time::UnixMillis;

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// What is in it is in the log.
    Replayed,
    /// It was given up.
    Discarded,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replayed => "replayed",
            Self::Discarded => "discarded",
        }
    }

    fn parse(name: &str) -> Result<Self, SqlError> {
        [Self::Replayed, Self::Discarded]
            .into_iter()
            .find(|ended| ended.as_str() == name)
            .ok_or_else(|| SqlError::corrupt("letter"))
    }
}

/// A letter that waits, or that is over.
pub enum Stored {
    /// It waits.
    Waits(LetterInfo, Sealed),
    /// It is over.
    Over(Ended),
}

fn info(row: &Row) -> Result<LetterInfo, SqlError> {
    Ok(LetterInfo {
        letter: LetterId::from_bytes(row.bytes(0)?),
        reason: reason(row, 1)?,
        kept_at: UnixMillis(row.integer(2)?),
        size: row.integer(3)?,
        digest: row.bytes(4)?,
    })
}

fn reason(row: &Row, at: usize) -> Result<Reason, SqlError> {
    Reason::parse(row.text(at)?).ok_or_else(|| SqlError::corrupt("letter"))
}

/// The letter of that id.
pub fn letter(sql: &impl Sql, id: LetterId) -> Result<Option<Stored>, SqlError> {
    let rows = sql.exec(
        "SELECT id, reason, kept_at, size, digest, sealed, ended FROM letter WHERE id = ?",
        &[id.as_bytes().into()],
    )?;
    let of_row = |row: &Row| match row.optional_text(6)? {
        Some(ended) => Ok(Stored::Over(Ended::parse(ended)?)),
        None => Ok(Stored::Waits(info(row)?, Sealed::from_bytes(row.blob(5)?))),
    };
    rows.first().map(of_row).transpose()
}

/// Keeps a letter that does not wait: it is another, or is over and comes again.
pub fn add(sql: &impl Sql, letter: &LetterInfo, sealed: &Sealed) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO letter (id, reason, kept_at, size, digest, sealed) VALUES (?, ?, ?, ?, ?, ?)",
        &[
            letter.letter.as_bytes().into(),
            letter.reason.as_str().into(),
            letter.kept_at.0.into(),
            letter.size.into(),
            (&letter.digest).into(),
            sealed.as_bytes().into(),
        ],
    )
    .map(drop)
}

/// Notes what became of a letter, whose content goes.
pub fn end(sql: &impl Sql, id: LetterId, ended: Ended, now: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE letter SET sealed = NULL, ended = ?, ended_at = ? WHERE id = ?",
        &[ended.as_str().into(), now.0.into(), id.as_bytes().into()],
    )
    .map(drop)
}

/// Forgets what was over before `then`.
pub fn forget(sql: &impl Sql, then: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM letter WHERE ended IS NOT NULL AND ended_at < ?",
        &[then.0.into()],
    )
    .map(drop)
}

/// A page of what waits, the newest first, with the number of each.
pub fn page(
    sql: &impl Sql,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, LetterInfo)>, SqlError> {
    let before = before.map_or(crate::objects::sql::Value::Null, Into::into);
    let rows = sql.exec(
        "SELECT id, reason, kept_at, size, digest, number FROM letter \
         WHERE ended IS NULL AND number < coalesce(?, 9007199254740991) \
         ORDER BY number DESC LIMIT ?",
        &[before, u64::from(limit).into()],
    )?;
    let of_row = |row: &Row| Ok((row.integer(5)?, info(row)?));
    rows.iter().map(of_row).collect()
}

/// How many wait, by their reasons.
pub fn counts(sql: &impl Sql) -> Result<Vec<LetterCount>, SqlError> {
    let rows = sql.exec(
        "SELECT reason, count(*), sum(size) FROM letter WHERE ended IS NULL \
         GROUP BY reason ORDER BY reason",
        &[],
    )?;
    let of_row = |row: &Row| {
        Ok(LetterCount {
            reason: reason(row, 0)?,
            letters: row.integer(1)?,
            bytes: row.integer(2)?,
        })
    };
    rows.iter().map(of_row).collect()
}

/// Notes for how long messages of a queue wait.
pub fn put_backlog(sql: &impl Sql, backlog: &Backlog) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO backlog (queue, sent, seen) VALUES (?, ?, ?)",
        &[
            backlog.queue.as_str().into(),
            backlog.sent.0.into(),
            backlog.seen.0.into(),
        ],
    )
    .map(drop)
}

/// For how long they do, of each queue.
pub fn backlogs(sql: &impl Sql) -> Result<Vec<Backlog>, SqlError> {
    let rows = sql.exec("SELECT queue, sent, seen FROM backlog ORDER BY queue", &[])?;
    let of_row = |row: &Row| {
        Ok(Backlog {
            queue: row.text(0)?.to_owned(),
            sent: UnixMillis(row.integer(1)?),
            seen: UnixMillis(row.integer(2)?),
        })
    };
    rows.iter().map(of_row).collect()
}
