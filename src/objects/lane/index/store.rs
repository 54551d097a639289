//! Every statement of the index, and of finding segments by it.

use super::super::retained;
use super::super::store::Segment;
use crate::objects::sql::{Row, Sql, SqlError, Value};
use portcullis_core::audit::addresses::Fingerprints;
use portcullis_core::audit::postings::{ascending, put_ascending};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::audit::terms::Term;
use portcullis_core::time::UnixMillis;

/// The largest number that is stored, for a time that has no end.
const NEVER: u64 = (1 << 53) - 1;

/// A segment without its lines.
pub struct Outline {
    /// The index of the first line.
    pub first_index: u64,
    /// The index behind the last.
    pub end_index: u64,
    /// The earliest and latest `occurred`.
    pub occurred: (UnixMillis, UnixMillis),
    /// How long its lines are.
    pub bytes: u64,
}

impl TryFrom<&Row> for Outline {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            first_index: row.integer(0)?,
            end_index: row.integer(1)?,
            occurred: (UnixMillis(row.integer(2)?), UnixMillis(row.integer(3)?)),
            bytes: row.integer(4)?,
        })
    }
}

/// A segment that may have wanted lines.
pub struct Candidate {
    /// The segment.
    pub segment: Segment,
    /// Of the addresses of its lines, where they are known.
    pub addresses: Option<Fingerprints>,
}

/// Consecutive segments whose terms have an index.
pub struct Group {
    /// The index of the first line.
    pub first_index: u64,
    /// The index behind the last.
    pub end_index: u64,
    /// The earliest and latest `occurred`.
    pub occurred: (UnixMillis, UnixMillis),
    /// The segments that must be looked at for every term.
    pub unknown: Vec<u64>,
}

impl TryFrom<&Row> for Group {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            first_index: row.integer(0)?,
            end_index: row.integer(1)?,
            occurred: (UnixMillis(row.integer(2)?), UnixMillis(row.integer(3)?)),
            unknown: ascending(&mut row.blob(4)?)?,
        })
    }
}

/// By which key terms are made; `proof` is kept if there is none yet.
pub fn settle_key(sql: &impl Sql, proof: [u8; 8]) -> Result<[u8; 8], SqlError> {
    let kept = || -> Result<Option<[u8; 8]>, SqlError> {
        let rows = sql.exec("SELECT proof FROM term_key", &[])?;
        rows.first().map(|row| row.bytes(0)).transpose()
    };
    if let Some(kept) = kept()? {
        return Ok(kept);
    }
    let keep = "INSERT INTO term_key (id, proof) VALUES (1, ?)";
    sql.exec(keep, &[proof.as_slice().into()])?;
    Ok(proof)
}

/// Behind the last group.
pub fn grouped_end(sql: &impl Sql) -> Result<u64, SqlError> {
    let last = "SELECT end_index FROM grp ORDER BY first_index DESC LIMIT 1";
    let row = sql.first(last, &[])?;
    row.map_or(Ok(0), |row| row.integer(0))
}

const OUTLINE: &str = "SELECT first_index, first_index + count, first_occurred, last_occurred, length(lines) \
     FROM segment";

/// The segments from the one that holds `index` on, or below `index` the last first; so many at most.
pub fn outlines(
    sql: &impl Sql,
    index: u64,
    order: Order,
    limit: u64,
) -> Result<Vec<Outline>, SqlError> {
    let statement = match order {
        Order::Oldest => format!(
            "{OUTLINE} WHERE first_index >= coalesce(\
             (SELECT max(first_index) FROM segment WHERE first_index <= ?1), 0) \
             AND first_index + count > ?1 ORDER BY first_index LIMIT ?2"
        ),
        Order::Newest => {
            format!("{OUTLINE} WHERE first_index < ?1 ORDER BY first_index DESC LIMIT ?2")
        }
    };
    let rows = sql.exec(&statement, &[index.into(), limit.into()])?;
    rows.iter().map(Outline::try_from).collect()
}

/// How many lines and segments there are from `index` on, which begins a segment; of so many segments at most.
pub fn count_from(sql: &impl Sql, index: u64, limit: u64) -> Result<(u64, u64), SqlError> {
    let count = "SELECT coalesce(sum(count), 0), count(*) FROM \
         (SELECT count FROM segment WHERE first_index >= ? ORDER BY first_index LIMIT ?)";
    match sql.exec(count, &[index.into(), limit.into()])?.first() {
        Some(row) => Ok((row.integer(0)?, row.integer(1)?)),
        None => Ok((0, 0)),
    }
}

/// Of the segments that begin in `first .. end`: those that may have all of the terms, as their first indexes.
pub fn with_terms(
    sql: &impl Sql,
    first: u64,
    end: u64,
    terms: &[Term],
) -> Result<Vec<u64>, SqlError> {
    // Found also where it is the end of one term and the beginning of the next: then one segment too many is looked at.
    let each = " AND instr(terms, ?)".repeat(terms.len());
    let statement = format!(
        "SELECT first_index FROM segment WHERE first_index >= ? AND first_index < ? \
         AND (terms IS NULL OR (1{each})) ORDER BY first_index"
    );
    let mut values: Vec<Value> = vec![first.into(), end.into()];
    let terms = terms.iter().map(|term| term.to_bytes());
    values.extend(terms.map(|term| Value::from(term.as_slice())));
    let rows = sql.exec(&statement, &values)?;
    rows.iter().map(|row| row.integer(0)).collect()
}

/// The terms of the segments that begin in `first .. end`, as they are stored; `None` where they are not known.
pub fn terms(sql: &impl Sql, first: u64, end: u64) -> Result<Vec<Option<Vec<u8>>>, SqlError> {
    let of = "SELECT terms FROM segment WHERE first_index >= ? AND first_index < ? \
         ORDER BY first_index";
    let rows = sql.exec(of, &[first.into(), end.into()])?;
    let terms = |row: &Row| Ok(row.optional_blob(0)?.map(<[u8]>::to_vec));
    rows.iter().map(terms).collect()
}

/// The segment that begins there, if it is there and may have a line of the filter's time.
pub fn timely_segment(
    sql: &impl Sql,
    first_index: u64,
    filter: &Filter,
) -> Result<Option<Candidate>, SqlError> {
    let of = "SELECT first_index, count, first_occurred, last_occurred, lines, addresses FROM segment \
         WHERE first_index = ? AND last_occurred >= ? AND first_occurred < ?";
    let from = filter.from.map_or(0, |at| at.0.min(NEVER));
    let to = filter.to.map_or(NEVER, |at| at.0.min(NEVER));
    let rows = sql.exec(of, &[first_index.into(), from.into(), to.into()])?;
    let of_row = |row: Row| {
        let addresses = row.optional_blob(5)?.map(<[u8]>::to_vec);
        let segment = Segment::try_from(row)?;
        let of_lines = |bytes| Fingerprints::of_lines(segment.first_index, segment.count, bytes);
        Ok(Candidate {
            addresses: addresses.and_then(of_lines),
            segment,
        })
    };
    rows.into_iter().next().map(of_row).transpose()
}

/// The groups that have lines from `index` on, or below `index` the last first; so many at most.
pub fn groups(
    sql: &impl Sql,
    index: u64,
    order: Order,
    limit: u64,
) -> Result<Vec<Group>, SqlError> {
    let which = match order {
        Order::Oldest => {
            "WHERE first_index >= coalesce((SELECT max(first_index) FROM grp WHERE first_index <= ?1), 0) \
             AND end_index > ?1 ORDER BY first_index"
        }
        Order::Newest => "WHERE first_index < ?1 ORDER BY first_index DESC",
    };
    let statement = format!(
        "SELECT first_index, end_index, first_occurred, last_occurred, unknown FROM grp {which} LIMIT ?2"
    );
    let rows = sql.exec(&statement, &[index.into(), limit.into()])?;
    rows.iter().map(Group::try_from).collect()
}

/// Where the segments of a group begin.
pub fn starts(sql: &impl Sql, group: u64) -> Result<Vec<u64>, SqlError> {
    let rows = sql.exec(
        "SELECT starts FROM grp WHERE first_index = ?",
        &[group.into()],
    )?;
    let row = rows.first().ok_or_else(|| SqlError::corrupt("grp"))?;
    Ok(ascending(&mut row.blob(0)?)?)
}

/// A slice of the groups that begin in `first ..= last`, as (group, postings).
pub fn postings(
    sql: &impl Sql,
    slice: u8,
    first: u64,
    last: u64,
) -> Result<Vec<(u64, Vec<u8>)>, SqlError> {
    let of = "SELECT grp, postings FROM posting WHERE slice = ? AND grp >= ? AND grp <= ?";
    let rows = sql.exec(of, &[u64::from(slice).into(), first.into(), last.into()])?;
    let of_row = |row: &Row| Ok((row.integer(0)?, row.blob(1)?.to_vec()));
    rows.iter().map(of_row).collect()
}

/// Adds a group with its postings. In a transaction.
pub fn add_group(
    sql: &impl Sql,
    group: &Group,
    starts: &[u64],
    slices: &[(u8, Vec<u8>)],
) -> Result<(), SqlError> {
    let ascending = |numbers: &[u64]| {
        let mut bytes = Vec::new();
        put_ascending(numbers.iter().copied(), &mut bytes);
        bytes
    };
    let (earliest, latest) = group.occurred;
    sql.exec(
        "INSERT INTO grp (first_index, end_index, first_occurred, last_occurred, unknown, starts) \
         VALUES (?, ?, ?, ?, ?, ?)",
        &[
            group.first_index.into(),
            group.end_index.into(),
            earliest.0.into(),
            latest.0.into(),
            ascending(&group.unknown).into(),
            ascending(starts).into(),
        ],
    )?;
    for (slice, postings) in slices {
        sql.exec(
            "INSERT INTO posting (slice, grp, postings) VALUES (?, ?, ?)",
            &[
                u64::from(*slice).into(),
                group.first_index.into(),
                postings.as_slice().into(),
            ],
        )?;
    }
    Ok(())
}

/// Removes a group whose lines are gone, the first of them, but never the last that there is; says whether there was one. In a
/// transaction.
pub fn drop_gone(sql: &impl Sql) -> Result<bool, SqlError> {
    let gone = "SELECT first_index FROM grp WHERE first_index = (SELECT min(first_index) FROM grp) \
         AND first_index < (SELECT max(first_index) FROM grp) AND end_index <= ?";
    let rows = sql.exec(gone, &[retained::pruned_to(sql)?.into()])?;
    let Some(row) = rows.first() else {
        return Ok(false);
    };
    let group = row.integer(0)?;
    for slice in 0..portcullis_core::audit::postings::SLICES {
        let drop = "DELETE FROM posting WHERE slice = ? AND grp = ?";
        sql.exec(drop, &[u64::from(slice).into(), group.into()])?;
    }
    sql.exec("DELETE FROM grp WHERE first_index = ?", &[group.into()])?;
    Ok(true)
}
