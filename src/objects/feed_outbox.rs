//! The way of what was ended to the feed: entries written with the change that ended it, delivered
//! afterwards, and the receipts that say how far each revocation has got.
//!
//! As with the audit [`outbox`](super::outbox), rows are written inside the transaction of the change and go
//! away when the receiver has committed them; until then they are sent again, and the feed knows what
//! it has.

use super::sql::{Row, Sql, SqlError};
use portcullis_core::feed::Entry;
use portcullis_core::feed::receipt::{
    AskReceipts, Followed, KEPT_SECS, MAX_KEPT, Position, Receipt, Receipts,
};
use portcullis_core::feed::shards::Layouts;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// An object that ends things.
pub trait Ends {
    /// What the feed has not confirmed, the oldest first.
    fn untold(&self) -> Result<Vec<Untold>, SqlError>;
    /// The feeds that must know.
    fn shards(&self, layouts: &Layouts) -> Result<Vec<String>, SqlError>;
    /// The feeds have committed these, there.
    fn told(&self, entries: &[Untold], positions: &[Position]) -> Result<(), SqlError>;
}

/// An entry that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Untold {
    /// Its row.
    pub id: u64,
    /// What it says.
    pub entry: Entry,
}

/// The most entries sent at once.
const MAX_ENTRIES: u64 = 500;
/// The most receipts of an answer.
const MAX_ANSWERED: u32 = 100;

/// Writes `entries` behind those already there; the caller holds the transaction. Returns the last row.
pub fn append(sql: &impl Sql, entries: &[Entry]) -> Result<Option<u64>, SqlError> {
    let mut last = None;
    for entry in entries {
        let rows = sql.exec(
            "INSERT INTO feed_outbox (entry) VALUES (?) RETURNING id",
            &[wire::encode(entry)?.into()],
        )?;
        last = rows.first().map(|row| row.integer(0)).transpose()?;
    }
    Ok(last)
}

/// Whether anything waits to be delivered.
pub fn has_waiting(sql: &impl Sql) -> Result<bool, SqlError> {
    let first = sql.exec("SELECT 1 FROM feed_outbox LIMIT 1", &[])?;
    Ok(!first.is_empty())
}

/// What waits to be delivered.
pub fn waiting(sql: &impl Sql) -> Result<Vec<Untold>, SqlError> {
    sql.exec(
        "SELECT id, entry FROM feed_outbox ORDER BY id LIMIT ?",
        &[MAX_ENTRIES.into()],
    )?
    .iter()
    .map(|row| {
        Ok(Untold {
            id: row.integer(0)?,
            entry: wire::decode(row.blob(1)?)?,
        })
    })
    .collect()
}

/// Forgets entries that the feed has committed, and notes where on their receipts.
pub fn acknowledge(
    sql: &impl Sql,
    entries: &[Untold],
    positions: &[Position],
) -> Result<(), SqlError> {
    let Some(last) = entries.iter().map(|one| one.id).max() else {
        return Ok(());
    };
    let positions = wire::encode(&positions)?;
    sql.transaction(|| {
        sql.exec(
            "UPDATE receipt SET waits_for = NULL, feed = ? WHERE waits_for <= ?",
            &[positions.into(), last.into()],
        )?;
        sql.exec("DELETE FROM feed_outbox WHERE id <= ?", &[last.into()])?;
        Ok(())
    })
}

/// The serial of a receipt that is made now.
pub fn next_serial(sql: &impl Sql, now: UnixMillis) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT max(serial) FROM receipt", &[])?;
    let last = rows
        .first()
        .map(|row| row.optional_integer(0))
        .transpose()?;
    Ok(last.flatten().map_or(now.0, |last| now.0.max(last + 1)))
}

/// Keeps a receipt that waits for that row of the outbox, and forgets old ones; the caller holds the
/// transaction.
pub fn put_receipt(
    sql: &impl Sql,
    receipt: &Receipt,
    waits_for: Option<u64>,
    now: UnixMillis,
) -> Result<(), SqlError> {
    let oldest = now.0.saturating_sub(KEPT_SECS * 1000);
    sql.exec(
        "DELETE FROM receipt WHERE waits_for IS NULL AND (serial < ? OR serial <= \
         (SELECT serial FROM receipt ORDER BY serial DESC LIMIT 1 OFFSET ?))",
        &[oldest.into(), (MAX_KEPT - 1).into()],
    )?;
    sql.exec(
        "INSERT INTO receipt (serial, waits_for, receipt, feed) VALUES (?, ?, ?, NULL)",
        &[
            receipt.serial.into(),
            waits_for.into(),
            wire::encode(receipt)?.into(),
        ],
    )?;
    Ok(())
}

/// The receipts that are asked for.
pub fn receipts(sql: &impl Sql, ask: AskReceipts) -> Result<Receipts, SqlError> {
    const COLUMNS: &str = "SELECT waits_for, receipt, feed FROM receipt";
    let rows = match ask {
        AskReceipts::One(serial) => {
            sql.exec(&format!("{COLUMNS} WHERE serial = ?"), &[serial.into()])?
        }
        AskReceipts::Newest(limit) => sql.exec(
            &format!("{COLUMNS} ORDER BY serial DESC LIMIT ?"),
            &[u64::from(limit.min(MAX_ANSWERED)).into()],
        )?,
    };
    Ok(Receipts {
        receipts: rows.iter().map(followed).collect::<Result<_, _>>()?,
        settled: !has_waiting(sql)?,
    })
}

fn followed(row: &Row) -> Result<Followed, SqlError> {
    let receipt = wire::decode(row.blob(1)?)?;
    let feed = match (row.optional_integer(0)?, row.optional_blob(2)?) {
        (Some(_), _) => None,
        (None, Some(positions)) => Some(wire::decode(positions)?),
        (None, None) => Some(Vec::new()),
    };
    Ok(Followed { receipt, feed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::host_sql::HostSql;
    use crate::objects::sql::migrate;
    use portcullis_core::feed::Target;

    const TABLES: &str = include_str!("feed_outbox.sql");

    fn entry(kid: &str) -> Entry {
        Entry {
            target: Target::Key(kid.to_owned()),
            issued_until: None,
            ends_at: None,
            version: 1,
        }
    }

    #[test]
    fn an_acknowledgement_that_comes_late_takes_nothing_that_was_not_sent() {
        let sql = HostSql::new();
        migrate(&sql, &[TABLES]).expect("migrates");
        append(&sql, &[entry("a")]).expect("stores");
        let twice = waiting(&sql).expect("reads");
        acknowledge(&sql, &twice, &[]).expect("deletes");
        append(&sql, &[entry("b")]).expect("stores");
        // The same was under way twice.
        acknowledge(&sql, &twice, &[]).expect("deletes");
        let left = waiting(&sql).expect("reads");
        let left: Vec<Entry> = left.into_iter().map(|one| one.entry).collect();
        assert_eq!(left, [entry("b")]);
    }
}
