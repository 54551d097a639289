//! The statements about the keys of a lane's logs: of the one that it has, and of those before.

use crate::objects::sql::{Row, Sql, SqlError};
use crate::seal::Sealed;
use portcullis_core::audit::log::checkpoint::{CheckpointVerifier, Origin};
use portcullis_core::time::UnixMillis;

/// The key of a log's checkpoints.
pub struct LogKey {
    /// Which of the lane's logs, from 0.
    pub epoch: u32,
    /// The log's name.
    pub origin: String,
    /// The public half.
    pub public: [u8; 32],
    /// The private half.
    pub sealed: Sealed,
}

impl LogKey {
    /// The public half with the name.
    pub fn verifier(&self) -> Result<CheckpointVerifier, SqlError> {
        let origin = Origin::parse(&self.origin).ok_or_else(|| SqlError::corrupt("log_key"))?;
        Ok(CheckpointVerifier::new(origin, self.public))
    }
}

const KEY: &str = "SELECT epoch, origin, public, sealed FROM log_key";

fn epoch_of(row: &Row) -> Result<u32, SqlError> {
    u32::try_from(row.integer(0)?).map_err(|_| SqlError::corrupt("log_key"))
}

fn of_row(row: &Row) -> Result<LogKey, SqlError> {
    Ok(LogKey {
        epoch: epoch_of(row)?,
        origin: row.text(1)?.to_owned(),
        public: row.bytes(2)?,
        sealed: Sealed::from_bytes(row.blob(3)?),
    })
}

/// The key of the lane's log, if there is one.
pub fn current(sql: &impl Sql) -> Result<Option<LogKey>, SqlError> {
    let row = sql.first(&format!("{KEY} ORDER BY epoch DESC LIMIT 1"), &[])?;
    row.as_ref().map(of_row).transpose()
}

/// The key of that log, if it is known.
pub fn of_epoch(sql: &impl Sql, epoch: u32) -> Result<Option<LogKey>, SqlError> {
    let epoch = u64::from(epoch).into();
    let row = sql.first(&format!("{KEY} WHERE epoch = ?"), &[epoch])?;
    row.as_ref().map(of_row).transpose()
}

/// The epochs of the logs whose keys are known, from the first on, and of the lane's in any case.
pub fn epochs(sql: &impl Sql) -> Result<Vec<u32>, SqlError> {
    let rows = sql.exec("SELECT epoch FROM log_key ORDER BY epoch", &[])?;
    if rows.is_empty() {
        return Ok(vec![0]);
    }
    rows.iter().map(epoch_of).collect()
}

/// The epoch of the lane's log; that of a lane which has no key yet is the first.
pub fn epoch(sql: &impl Sql) -> Result<u32, SqlError> {
    let last = "SELECT epoch FROM log_key ORDER BY epoch DESC LIMIT 1";
    sql.first(last, &[])?.as_ref().map_or(Ok(0), epoch_of)
}

/// Keeps the key that was just made; that log has none yet.
pub fn add(sql: &impl Sql, key: &LogKey, now: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO log_key (epoch, origin, public, sealed, created_at) VALUES (?, ?, ?, ?, ?)",
        &[
            u64::from(key.epoch).into(),
            key.origin.as_str().into(),
            (&key.public).into(),
            key.sealed.as_bytes().into(),
            now.0.into(),
        ],
    )
    .map(drop)
}

/// Forgets the key of that log.
pub fn forget(sql: &impl Sql, epoch: u32) -> Result<(), SqlError> {
    let epoch = u64::from(epoch).into();
    sql.exec("DELETE FROM log_key WHERE epoch = ?", &[epoch])
        .map(drop)
}
