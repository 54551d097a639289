//! The outbox: audit events written with the change they tell of, delivered afterwards.
//!
//! [`append`] runs inside the transaction of the change. A row goes away only when the lane has
//! committed it ([`acknowledge`]); until then it is sent again, and the lane drops what it has seen.
//! A crash between the two leaves the row, and the object's alarm sends it.

use super::sql::{Sql, SqlError};
use portcullis_core::audit::event::Event;
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;

/// An object with an outbox.
pub trait Producer {
    /// Packs that the lane has not confirmed.
    fn waiting(&self) -> Result<Vec<Pack>, SqlError>;
    /// The lane has committed them.
    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError>;
}

/// The tables that an object with an outbox has in its first migration.
#[cfg(test)]
const TABLES: &str = include_str!("outbox.sql");

/// The most packs sent at once; more wait for the next round.
const MAX_PACKS: u64 = 50;

/// Writes `events` behind those already there. `new_producer` names this object as a producer if it
/// has not been one before; sequences then count from 1.
pub fn append(
    sql: &impl Sql,
    events: Vec<Event>,
    new_producer: ProducerId,
) -> Result<(), SqlError> {
    if events.is_empty() {
        return Ok(());
    }
    let rows = sql.exec("SELECT producer, next_sequence FROM outbox_producer", &[])?;
    let (producer, first_sequence) = match rows.first() {
        Some(row) => (ProducerId::from_bytes(row.bytes(0)?), row.integer(1)?),
        None => (new_producer, 1),
    };
    let next_sequence = first_sequence + events.len() as u64;
    let pack = Pack {
        producer,
        first_sequence,
        events: events.into_iter().map(Event::bounded).collect(),
    };
    sql.exec(
        "INSERT OR REPLACE INTO outbox_producer (id, producer, next_sequence) VALUES (1, ?, ?)",
        &[producer.as_bytes().into(), next_sequence.into()],
    )?;
    sql.exec(
        "INSERT INTO outbox (first_sequence, pack) VALUES (?, ?)",
        &[first_sequence.into(), pack.to_bytes()?.into()],
    )?;
    Ok(())
}

/// Whether anything waits to be delivered.
pub fn has_waiting(sql: &impl Sql) -> Result<bool, SqlError> {
    let first = sql.exec("SELECT 1 FROM outbox LIMIT 1", &[])?;
    Ok(!first.is_empty())
}

/// What waits to be delivered, oldest first.
pub fn waiting(sql: &impl Sql) -> Result<Vec<Pack>, SqlError> {
    sql.exec(
        "SELECT pack FROM outbox ORDER BY first_sequence LIMIT ?",
        &[MAX_PACKS.into()],
    )?
    .iter()
    .map(|row| Ok(Pack::from_bytes(row.blob(0)?)?))
    .collect()
}

/// Forgets packs that the lane has committed.
pub fn acknowledge(sql: &impl Sql, packs: &[Pack]) -> Result<(), SqlError> {
    let Some(last) = packs.iter().map(|pack| pack.first_sequence).max() else {
        return Ok(());
    };
    sql.exec(
        "DELETE FROM outbox WHERE first_sequence <= ?",
        &[last.into()],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::host_sql::HostSql;
    use crate::objects::sql::migrate;
    use portcullis_core::audit::event::{Action, Actor, Outcome};
    use portcullis_core::time::UnixMillis;

    fn event() -> Event {
        Event::new(
            UnixMillis(1),
            Action::Kill,
            Outcome::Success,
            Actor::Anonymous,
        )
    }

    #[test]
    fn sequences_go_on_after_delivery_and_under_the_first_producer() {
        let sql = HostSql::new();
        migrate(&sql, &[TABLES]).expect("migrates");
        let first = ProducerId::from_bytes([1; 16]);
        append(&sql, vec![event(), event()], first).expect("appends");
        let packs = waiting(&sql).expect("reads");
        acknowledge(&sql, &packs).expect("deletes");
        assert_eq!(waiting(&sql), Ok(vec![]));
        append(&sql, vec![event()], ProducerId::from_bytes([2; 16])).expect("appends");
        let packs = waiting(&sql).expect("reads");
        let identities: Vec<_> = packs
            .iter()
            .map(|pack| (pack.producer, pack.first_sequence))
            .collect();
        assert_eq!(identities, [(first, 3)]);
    }

    #[test]
    fn what_came_after_the_delivered_packs_stays() {
        let sql = HostSql::new();
        migrate(&sql, &[TABLES]).expect("migrates");
        let producer = ProducerId::from_bytes([1; 16]);
        append(&sql, vec![event()], producer).expect("appends");
        let in_flight = waiting(&sql).expect("reads");
        append(&sql, vec![event()], producer).expect("appends");
        acknowledge(&sql, &in_flight).expect("deletes");
        assert_eq!(waiting(&sql).expect("reads").len(), 1);
    }
}
