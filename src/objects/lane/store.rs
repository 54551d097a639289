//! Every statement of a lane. Rows become domain values here and nowhere else.

use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::audit::ranges::Ranges;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_lane.sql")];

/// Consecutive lines with the times they span.
pub struct Segment {
    /// The index of the first line.
    pub first_index: u64,
    /// How many lines.
    pub count: u64,
    /// The earliest and latest `occurred`.
    pub occurred: (UnixMillis, UnixMillis),
    /// JSON lines.
    pub lines: Vec<u8>,
}

impl TryFrom<&Row> for Segment {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            first_index: row.integer(0)?,
            count: row.integer(1)?,
            occurred: (UnixMillis(row.integer(2)?), UnixMillis(row.integer(3)?)),
            lines: row.blob(4)?.to_vec(),
        })
    }
}

const SEGMENT: &str =
    "SELECT first_index, count, first_occurred, last_occurred, lines FROM segment";

/// The index that the next event will have.
pub fn next_index(sql: &impl Sql) -> Result<u64, SqlError> {
    sql.exec(
        "SELECT first_index + count FROM segment ORDER BY first_index DESC LIMIT 1",
        &[],
    )?
    .first()
    .map_or(Ok(0), |row| row.integer(0))
}

/// Adds a segment behind the last one.
pub fn add_segment(sql: &impl Sql, segment: &Segment) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO segment (first_index, count, first_occurred, last_occurred, lines) \
         VALUES (?, ?, ?, ?, ?)",
        &[
            segment.first_index.into(),
            segment.count.into(),
            segment.occurred.0.0.into(),
            segment.occurred.1.0.into(),
            segment.lines.as_slice().into(),
        ],
    )
    .map(drop)
}

/// The segment that holds `index`, or the first one after it.
pub fn segment_at(sql: &impl Sql, index: u64) -> Result<Option<Segment>, SqlError> {
    let after = format!(
        "{SEGMENT} WHERE first_index >= coalesce(\
         (SELECT max(first_index) FROM segment WHERE first_index <= ?), 0) \
         AND first_index + count > ? ORDER BY first_index LIMIT 1"
    );
    sql.exec(&after, &[index.into(), index.into()])?
        .first()
        .map(Segment::try_from)
        .transpose()
}

/// The segment that holds the last line below `index`.
pub fn segment_below(sql: &impl Sql, index: u64) -> Result<Option<Segment>, SqlError> {
    let below = format!("{SEGMENT} WHERE first_index < ? ORDER BY first_index DESC LIMIT 1");
    sql.exec(&below, &[index.into()])?
        .first()
        .map(Segment::try_from)
        .transpose()
}

/// Which sequences of `producer` are in the log.
pub fn ranges(sql: &impl Sql, producer: ProducerId) -> Result<Ranges, SqlError> {
    let rows = sql.exec(
        "SELECT ranges FROM producer WHERE producer = ?",
        &[producer.as_bytes().into()],
    )?;
    match rows.first() {
        Some(row) => Ranges::from_stored(wire::decode(row.blob(0)?)?)
            .ok_or_else(|| SqlError::corrupt("ranges")),
        None => Ok(Ranges::default()),
    }
}

/// Replaces what is known of `producer`.
pub fn put_ranges(sql: &impl Sql, producer: ProducerId, ranges: &Ranges) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO producer (producer, ranges) VALUES (?, ?)",
        &[
            producer.as_bytes().into(),
            wire::encode(&ranges.as_slice())?.into(),
        ],
    )
    .map(drop)
}

/// The lane's own identity as a producer and its next sequence.
pub fn own_producer(sql: &impl Sql) -> Result<Option<(ProducerId, u64)>, SqlError> {
    sql.exec("SELECT producer, next_sequence FROM lane", &[])?
        .first()
        .map(|row| Ok((ProducerId::from_bytes(row.bytes(0)?), row.integer(1)?)))
        .transpose()
}

/// Notes the lane's next own sequence.
pub fn put_own_producer(
    sql: &impl Sql,
    producer: ProducerId,
    next_sequence: u64,
) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO lane (id, producer, next_sequence) VALUES (1, ?, ?)",
        &[producer.as_bytes().into(), next_sequence.into()],
    )
    .map(drop)
}
