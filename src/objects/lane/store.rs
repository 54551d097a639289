//! Every statement of a lane but those about [`producers`](super::producers). Rows become domain values here and there.

use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::{Hash, hashes_from_bytes, hashes_to_bytes};
use portcullis_core::audit::runs::SegmentRuns;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::ops::ControlFlow;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_lane.sql"),
    include_str!("migrations/0002_tree.sql"),
    include_str!("migrations/0003_archive.sql"),
    include_str!("migrations/0004_packs.sql"),
    include_str!("migrations/0005_person_keys.sql"),
    include_str!("migrations/0006_index.sql"),
    include_str!("migrations/0007_letters.sql"),
    include_str!("migrations/0008_retention.sql"),
    include_str!("migrations/0009_epochs.sql"),
    include_str!("migrations/0010_addresses.sql"),
    include_str!("migrations/0011_shelves.sql"),
];

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

impl Segment {
    /// The index behind its last line.
    pub const fn end(&self) -> u64 {
        self.first_index + self.count
    }

    /// Its lines without their line feeds, as they are in the tree.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        let lines = self.lines.strip_suffix(b"\n").unwrap_or(&self.lines);
        lines.split(|byte| *byte == b'\n')
    }
}

/// What the tree has of a segment.
pub struct Rooted {
    /// The leaf hashes of its lines.
    pub hashes: Vec<Hash>,
    /// The edge of the tree that ends with it.
    pub edge: Edge,
}

impl TryFrom<Row> for Segment {
    type Error = SqlError;

    fn try_from(mut row: Row) -> Result<Self, SqlError> {
        Ok(Self {
            first_index: row.integer(0)?,
            count: row.integer(1)?,
            occurred: (UnixMillis(row.integer(2)?), UnixMillis(row.integer(3)?)),
            lines: row.take_blob(4)?,
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

/// The index that the next event will have, and the edge of the tree up to there. `None` for the edge while the
/// tree is behind.
pub fn end(sql: &impl Sql) -> Result<(u64, Option<Edge>), SqlError> {
    let last = "SELECT first_index + count, edge FROM segment ORDER BY first_index DESC LIMIT 1";
    match sql.exec(last, &[])?.first() {
        Some(row) => {
            let size = row.integer(0)?;
            let edge = row.optional_blob(1)?;
            Ok((size, edge.map(|edge| edge_of(size, edge)).transpose()?))
        }
        None => Ok((0, Some(Edge::empty()))),
    }
}

fn edge_of(size: u64, stored: &[u8]) -> Result<Edge, SqlError> {
    Edge::from_stored(size, stored).ok_or_else(|| SqlError::corrupt("edge"))
}

/// Adds a segment behind the last one, with whose lines it has, what the tree has of it, and its terms
/// and fingerprints of addresses, where they are known.
pub fn add_segment(
    sql: &impl Sql,
    segment: &Segment,
    runs: &SegmentRuns,
    rooted: Option<&Rooted>,
    terms: Option<Vec<u8>>,
    addresses: Option<Vec<u8>>,
) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO segment \
         (first_index, count, first_occurred, last_occurred, lines, hashes, edge, packs, terms, addresses) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        &[
            segment.first_index.into(),
            segment.count.into(),
            segment.occurred.0.0.into(),
            segment.occurred.1.0.into(),
            segment.lines.as_slice().into(),
            rooted.map(|rooted| hashes_to_bytes(&rooted.hashes)).into(),
            rooted.map(|rooted| rooted.edge.to_bytes()).into(),
            runs.to_bytes()?.into(),
            terms.into(),
            addresses.into(),
        ],
    )
    .map(drop)
}

/// Adds to a segment what the tree has of it.
pub fn put_rooted(sql: &impl Sql, first_index: u64, rooted: &Rooted) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE segment SET hashes = ?, edge = ? WHERE first_index = ?",
        &[
            hashes_to_bytes(&rooted.hashes).into(),
            rooted.edge.to_bytes().into(),
            first_index.into(),
        ],
    )
    .map(drop)
}

/// What the tree has of the segment that begins at that index.
pub fn rooted(sql: &impl Sql, segment: &Segment) -> Result<Option<Rooted>, SqlError> {
    let of = "SELECT hashes, edge FROM segment WHERE first_index = ?";
    let rows = sql.exec(of, &[segment.first_index.into()])?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    match (row.optional_blob(0)?, row.optional_blob(1)?) {
        (Some(hashes), Some(edge)) => Ok(Some(Rooted {
            hashes: hashes_from_bytes(hashes).ok_or_else(|| SqlError::corrupt("hashes"))?,
            edge: edge_of(segment.end(), edge)?,
        })),
        _ => Ok(None),
    }
}

/// The segments that have lines of `first .. end`, without their lines, as (first index, leaf hashes).
pub fn leaves(sql: &impl Sql, first: u64, end: u64) -> Result<Vec<(u64, Vec<Hash>)>, SqlError> {
    let rows = sql.exec(
        "SELECT first_index, hashes FROM segment WHERE first_index >= coalesce(\
         (SELECT max(first_index) FROM segment WHERE first_index <= ?), 0) \
         AND first_index < ? ORDER BY first_index",
        &[first.into(), end.into()],
    )?;
    let of_row = |row: &Row| {
        let hashes = hashes_from_bytes(row.blob(1)?);
        let hashes = hashes.ok_or_else(|| SqlError::corrupt("hashes"))?;
        Ok((row.integer(0)?, hashes))
    };
    rows.iter().map(of_row).collect()
}

/// The segments that have lines of `first .. end`.
pub fn segments(sql: &impl Sql, first: u64, end: u64) -> Result<Vec<Segment>, SqlError> {
    let mut segments = Vec::new();
    each_segment(sql, first, end, |segment| {
        segments.push(segment);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(segments)
}

/// The same one after another, until one is told to be enough.
pub fn each_segment(
    sql: &impl Sql,
    first: u64,
    end: u64,
    mut segment: impl FnMut(Segment) -> Result<ControlFlow<()>, SqlError>,
) -> Result<(), SqlError> {
    let of = format!(
        "{SEGMENT} WHERE first_index >= coalesce(\
         (SELECT max(first_index) FROM segment WHERE first_index <= ?), 0) \
         AND first_index < ? ORDER BY first_index"
    );
    sql.each(&of, &[first.into(), end.into()], |row| {
        segment(Segment::try_from(row)?)
    })
}

/// The hashes of a tile above level 0, as far as there are.
pub fn tile(sql: &impl Sql, level: u8, number: u64) -> Result<Vec<Hash>, SqlError> {
    let of = "SELECT hashes FROM tile WHERE level = ? AND number = ?";
    let rows = sql.exec(of, &[u64::from(level).into(), number.into()])?;
    match rows.first() {
        Some(row) => hashes_from_bytes(row.blob(0)?).ok_or_else(|| SqlError::corrupt("tile")),
        None => Ok(Vec::new()),
    }
}

/// Replaces a tile above level 0.
pub fn put_tile(sql: &impl Sql, level: u8, number: u64, hashes: &[Hash]) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO tile (level, number, hashes) VALUES (?, ?, ?)",
        &[
            u64::from(level).into(),
            number.into(),
            hashes_to_bytes(hashes).into(),
        ],
    )
    .map(drop)
}

/// Whether there is a tile above level 0.
pub fn has_tiles(sql: &impl Sql) -> Result<bool, SqlError> {
    Ok(!sql.exec("SELECT 1 FROM tile LIMIT 1", &[])?.is_empty())
}

/// The first line that the tree does not have, while it is behind.
pub fn unbuilt(sql: &impl Sql) -> Result<Option<u64>, SqlError> {
    let rows = sql.exec("SELECT next_index FROM unbuilt", &[])?;
    rows.first().map(|row| row.integer(0)).transpose()
}

/// Notes how far the tree is; `None`: it is not behind any more.
pub fn put_unbuilt(sql: &impl Sql, next_index: Option<u64>) -> Result<(), SqlError> {
    match next_index {
        Some(next_index) => sql.exec(
            "INSERT OR REPLACE INTO unbuilt (id, next_index) VALUES (1, ?)",
            &[next_index.into()],
        ),
        None => sql.exec("DELETE FROM unbuilt", &[]),
    }
    .map(drop)
}

/// How many full tiles of level 0 are archived.
pub fn archived_tiles(sql: &impl Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT tiles FROM archive", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// Notes how many are.
pub fn put_archived_tiles(sql: &impl Sql, tiles: u64) -> Result<(), SqlError> {
    let put = "INSERT OR REPLACE INTO archive (id, tiles) VALUES (1, ?)";
    sql.exec(put, &[tiles.into()]).map(drop)
}

/// The segment that holds `index`, or the first one after it.
pub fn segment_at(sql: &impl Sql, index: u64) -> Result<Option<Segment>, SqlError> {
    let after = format!(
        "{SEGMENT} WHERE first_index >= coalesce(\
         (SELECT max(first_index) FROM segment WHERE first_index <= ?), 0) \
         AND first_index + count > ? ORDER BY first_index LIMIT 1"
    );
    sql.exec(&after, &[index.into(), index.into()])?
        .into_iter()
        .next()
        .map(Segment::try_from)
        .transpose()
}

/// The segment that holds the last line below `index`.
pub fn segment_below(sql: &impl Sql, index: u64) -> Result<Option<Segment>, SqlError> {
    let below = format!("{SEGMENT} WHERE first_index < ? ORDER BY first_index DESC LIMIT 1");
    sql.exec(&below, &[index.into()])?
        .into_iter()
        .next()
        .map(Segment::try_from)
        .transpose()
}

/// The lane's own identity as a producer.
pub fn own_producer(sql: &impl Sql) -> Result<Option<ProducerId>, SqlError> {
    let row = sql.first("SELECT producer FROM lane", &[])?;
    row.map(|row| Ok(ProducerId::from_bytes(row.bytes(0)?)))
        .transpose()
}

/// Names the lane as a producer, once.
pub fn add_own_producer(sql: &impl Sql, producer: ProducerId) -> Result<(), SqlError> {
    let add = "INSERT INTO lane (id, producer, next_sequence) VALUES (1, ?, 1)";
    sql.exec(add, &[producer.as_bytes().into()]).map(drop)
}
