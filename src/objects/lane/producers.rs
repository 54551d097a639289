//! The statements about producers: what a lane remembers of them, and how far that is stored.

use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::audit::places::{Places, Shelf};
use portcullis_core::audit::remembered::{Remembered, Stored};
use portcullis_core::audit::runs::SegmentRuns;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;

const PRODUCER: &str = "SELECT ranges, notes, seen, gap_due, producer FROM producer";

fn remembered_in(row: &Row) -> Result<Remembered, SqlError> {
    let stored = Stored {
        ranges: row.blob(0)?.to_vec(),
        notes: row.optional_blob(1)?.map(<[u8]>::to_vec),
        seen: UnixMillis(row.integer(2)?),
        gap_due: row.optional_integer(3)?.map(UnixMillis),
    };
    Remembered::try_from(stored).map_err(|_| SqlError::corrupt("producer"))
}

/// What is stored of `producer`.
pub fn remembered(sql: &impl Sql, producer: ProducerId) -> Result<Remembered, SqlError> {
    let of = format!("{PRODUCER} WHERE producer = ?");
    let row = sql.first(&of, &[producer.as_bytes().into()])?;
    row.as_ref()
        .map_or_else(|| Ok(Remembered::nothing()), remembered_in)
}

/// Replaces what is stored of `producer`.
pub fn put(sql: &impl Sql, producer: ProducerId, remembered: &Remembered) -> Result<(), SqlError> {
    let stored = remembered.to_stored()?;
    sql.exec(
        "INSERT OR REPLACE INTO producer (producer, ranges, notes, seen, gap_due) \
         VALUES (?, ?, ?, ?, ?)",
        &[
            producer.as_bytes().into(),
            stored.ranges.into(),
            stored.notes.into(),
            stored.seen.0.into(),
            stored.gap_due.map(|due| due.0).into(),
        ],
    )
    .map(drop)
}

/// The most shelves that are looked at for a sequence.
const MAX_SHELVES: u64 = 8;

/// Stores what was put aside of `producer`.
pub fn put_shelf(sql: &impl Sql, producer: ProducerId, shelf: &Shelf) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO shelf (producer, first_sequence, last_sequence, seen, runs) \
         VALUES (?, ?, ?, ?, ?)",
        &[
            producer.as_bytes().into(),
            shelf.sequences.0.into(),
            shelf.sequences.1.into(),
            shelf.seen.0.into(),
            shelf.places.to_bytes()?.into(),
        ],
    )
    .map(drop)
}

/// Where `sequence` is by what was put aside, and how many follow it there with itself. Shelves overlap where a producer's
/// events came in another order; the search is bounded, and finds nothing where too many do.
pub fn shelved(
    sql: &impl Sql,
    producer: ProducerId,
    sequence: u64,
) -> Result<Option<(u64, u64)>, SqlError> {
    let rows = sql.exec(
        "SELECT runs FROM shelf WHERE producer = ? AND last_sequence >= ? AND first_sequence <= ? \
         ORDER BY last_sequence LIMIT ?",
        &[
            producer.as_bytes().into(),
            sequence.into(),
            sequence.into(),
            MAX_SHELVES.into(),
        ],
    )?;
    for row in &rows {
        if let Some(place) = Places::from_bytes(row.blob(0)?)?.place(sequence) {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Removes the oldest shelves, as far as all of them is from before; gives back how many.
pub fn remove_shelves(sql: &impl Sql, before: UnixMillis, limit: u64) -> Result<u64, SqlError> {
    let old = "SELECT id FROM (SELECT id, seen FROM shelf ORDER BY id LIMIT ?) WHERE seen < ?";
    let old = sql.exec(old, &[limit.into(), before.0.into()])?;
    for row in &old {
        let id: u64 = row.integer(0)?;
        sql.exec("DELETE FROM shelf WHERE id = ?", &[id.into()])?;
    }
    Ok(old.len() as u64)
}

/// The first producers behind `after`, in the order of their names.
pub fn behind(
    sql: &impl Sql,
    after: Option<ProducerId>,
    limit: u64,
) -> Result<Vec<(ProducerId, Remembered)>, SqlError> {
    let of = format!("{PRODUCER} WHERE producer > ? ORDER BY producer LIMIT ?");
    let after = after.map_or_else(Vec::new, |after| after.as_bytes().to_vec());
    let rows = sql.exec(&of, &[after.into(), limit.into()])?;
    let of_row = |row: &Row| Ok((ProducerId::from_bytes(row.bytes(4)?), remembered_in(row)?));
    rows.iter().map(of_row).collect()
}

/// The producers whose gaps are due first.
pub fn with_gaps_due(
    sql: &impl Sql,
    now: UnixMillis,
    limit: u64,
) -> Result<Vec<ProducerId>, SqlError> {
    let due = "SELECT producer FROM producer WHERE gap_due <= ? ORDER BY gap_due LIMIT ?";
    let rows = sql.exec(due, &[now.0.into(), limit.into()])?;
    let of_row = |row: &Row| Ok(ProducerId::from_bytes(row.bytes(0)?));
    rows.iter().map(of_row).collect()
}

/// When the next gaps are due.
pub fn next_gap(sql: &impl Sql) -> Result<Option<UnixMillis>, SqlError> {
    let next = "SELECT gap_due FROM producer WHERE gap_due IS NOT NULL ORDER BY gap_due LIMIT 1";
    let row = sql.first(next, &[])?;
    row.map(|row| row.integer(0).map(UnixMillis)).transpose()
}

/// How far the rows of producers are.
pub struct Folded {
    /// The first line that they do not have.
    pub next_index: u64,
    /// When the next of them are looked at; 0: that has not been set.
    pub sweep_at: UnixMillis,
    /// The last that was looked at.
    pub swept: Option<ProducerId>,
}

/// How far they are.
pub fn folded(sql: &impl Sql) -> Result<Folded, SqlError> {
    let row = sql.first("SELECT next_index, sweep_at, swept FROM folded", &[])?;
    let row = row.ok_or_else(|| SqlError::corrupt("folded"))?;
    let swept = row.optional_blob(2)?.map(ProducerId::try_from).transpose();
    Ok(Folded {
        next_index: row.integer(0)?,
        sweep_at: UnixMillis(row.integer(1)?),
        swept: swept.map_err(|_| SqlError::corrupt("swept"))?,
    })
}

/// Notes how far they are.
pub fn put_folded(sql: &impl Sql, folded: &Folded) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO folded (id, next_index, sweep_at, swept) VALUES (1, ?, ?, ?)",
        &[
            folded.next_index.into(),
            folded.sweep_at.0.into(),
            folded.swept.map(|swept| swept.as_bytes().to_vec()).into(),
        ],
    )
    .map(drop)
}

/// A segment that the rows of producers do not have yet.
pub struct Unfolded {
    /// The index of its first line.
    pub first_index: u64,
    /// The size of its lines.
    pub bytes: u64,
    /// Whose they are.
    pub runs: SegmentRuns,
}

/// The segments from that index on, in their order.
pub fn unfolded(sql: &impl Sql, next_index: u64) -> Result<Vec<Unfolded>, SqlError> {
    let rows = sql.exec(
        "SELECT first_index, length(lines), packs FROM segment \
         WHERE first_index >= ? AND packs IS NOT NULL ORDER BY first_index",
        &[next_index.into()],
    )?;
    let of_row = |row: &Row| {
        Ok(Unfolded {
            first_index: row.integer(0)?,
            bytes: row.integer(1)?,
            runs: SegmentRuns::from_bytes(row.blob(2)?)?,
        })
    };
    rows.iter().map(of_row).collect()
}
