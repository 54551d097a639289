//! Every statement of a feed. Rows become domain values here and nowhere else.

use crate::objects::sql::{Sql, SqlError};
use portcullis_core::feed::{Entry, Incarnation, Target};
use portcullis_core::id::IncarnationId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_feed.sql")];

/// A feed's life and its last sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which life.
    pub incarnation: Incarnation,
    /// The sequence of the newest entry; 0 before the first.
    pub sequence: u64,
}

/// Where the feed stands, if it has begun.
pub fn head(sql: &impl Sql) -> Result<Option<Head>, SqlError> {
    let rows = sql.exec("SELECT incarnation, began_at, sequence FROM feed", &[])?;
    rows.first()
        .map(|row| {
            let incarnation = Incarnation {
                id: IncarnationId::from_bytes(row.bytes(0)?),
                began_at: UnixMillis(row.integer(1)?),
            };
            Ok(Head {
                incarnation,
                sequence: row.integer(2)?,
            })
        })
        .transpose()
}

/// Keeps where the feed stands.
pub fn put_head(sql: &impl Sql, head: &Head) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO feed (id, incarnation, began_at, sequence) VALUES (1, ?, ?, ?)",
        &[
            head.incarnation.id.as_bytes().into(),
            head.incarnation.began_at.0.into(),
            head.sequence.into(),
        ],
    )
    .map(drop)
}

/// Sequence and entry of the target.
pub fn known(sql: &impl Sql, target: &Target) -> Result<Option<(u64, Entry)>, SqlError> {
    let rows = sql.exec(
        "SELECT sequence, entry FROM entry WHERE target = ?",
        &[wire::encode(target)?.into()],
    )?;
    rows.first()
        .map(|row| Ok((row.integer(0)?, wire::decode(row.blob(1)?)?)))
        .transpose()
}

/// Keeps an entry in place of the one its target had.
pub fn put(sql: &impl Sql, sequence: u64, entry: &Entry) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO entry (sequence, target, ends_at, entry) VALUES (?, ?, ?, ?)",
        &[
            sequence.into(),
            wire::encode(&entry.target)?.into(),
            entry.ends_at.map(|at| at.0).into(),
            wire::encode(entry)?.into(),
        ],
    )
    .map(drop)
}

/// Forgets up to `limit` entries that had ended then.
pub fn forget_ended(sql: &impl Sql, then: UnixMillis, limit: u64) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM entry WHERE sequence IN \
         (SELECT sequence FROM entry WHERE ends_at <= ? ORDER BY ends_at LIMIT ?)",
        &[then.0.into(), limit.into()],
    )
    .map(drop)
}

/// Entries after a sequence with their own, in order.
pub fn after(sql: &impl Sql, sequence: u64, limit: u64) -> Result<Vec<(u64, Entry)>, SqlError> {
    sql.exec(
        "SELECT sequence, entry FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?",
        &[sequence.into(), limit.into()],
    )?
    .iter()
    .map(|row| Ok((row.integer(0)?, wire::decode(row.blob(1)?)?)))
    .collect()
}
