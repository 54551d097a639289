//! Every statement of the exports. Rows become domain values here and nowhere else.

use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::audit::export::call::{ListExports, Numbered};
use portcullis_core::audit::export::job::{ExportId, Job, Phase};
use portcullis_core::session::revoke::IdempotencyKey;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_exports.sql")];

const REMOVING: u64 = 3;

const fn state(job: &Job) -> u64 {
    match job.phase {
        Phase::Waiting | Phase::Running(_) => 0,
        Phase::Finished(_) => 1,
        Phase::Failed(_) => 2,
        Phase::Removing => REMOVING,
    }
}

fn numbered(row: &Row) -> Result<Numbered, SqlError> {
    Ok((ExportId(row.integer(0)?), wire::decode(row.blob(1)?)?))
}

/// An id that none has: the time, or a little later.
pub fn new_id(sql: &impl Sql, now: UnixMillis) -> Result<ExportId, SqlError> {
    let rows = sql.exec("SELECT max(id) FROM job", &[])?;
    let last = rows
        .first()
        .map_or(Ok(None), |row| row.optional_integer(0))?;
    Ok(ExportId(last.map_or(now.0, |last| now.0.max(last + 1))))
}

/// Stores a job as it is now.
pub fn put(sql: &impl Sql, id: ExportId, job: &Job) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO job (id, state, due, job) VALUES (?, ?, ?, ?)",
        &[
            id.0.into(),
            state(job).into(),
            job.due().0.into(),
            wire::encode(job)?.into(),
        ],
    )
    .map(drop)
}

/// A job.
pub fn job(sql: &impl Sql, id: ExportId) -> Result<Option<Job>, SqlError> {
    let rows = sql.exec("SELECT id, job FROM job WHERE id = ?", &[id.0.into()])?;
    let found = rows.first().map(numbered).transpose()?;
    Ok(found.map(|(_, job)| job))
}

/// Jobs that are not being removed, newest first.
pub fn newest(sql: &impl Sql, asked: ListExports) -> Result<Vec<Numbered>, SqlError> {
    let before = asked.before.map_or((1 << 53) - 1, |id| id.0);
    let rows = sql.exec(
        "SELECT id, job FROM job WHERE id < ? AND state <> ? ORDER BY id DESC LIMIT ?",
        &[
            before.into(),
            REMOVING.into(),
            u64::from(asked.limit).into(),
        ],
    )?;
    rows.iter().map(numbered).collect()
}

/// The oldest about which there is something to do.
pub fn oldest_due(sql: &impl Sql, now: UnixMillis) -> Result<Option<Numbered>, SqlError> {
    let due = "SELECT id, job FROM job WHERE due <= ? ORDER BY id LIMIT 1";
    let rows = sql.exec(due, &[now.0.into()])?;
    rows.first().map(numbered).transpose()
}

/// When there is something to do next.
pub fn next_due(sql: &impl Sql) -> Result<Option<UnixMillis>, SqlError> {
    let rows = sql.exec("SELECT min(due) FROM job", &[])?;
    let next = rows
        .first()
        .map_or(Ok(None), |row| row.optional_integer(0))?;
    Ok(next.map(UnixMillis))
}

/// How many are to be made.
pub fn unfinished(sql: &impl Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT count(*) FROM job WHERE state = 0", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// Forgets a job.
pub fn forget(sql: &impl Sql, id: ExportId) -> Result<(), SqlError> {
    forget_parts(sql, id)?;
    forget_request(sql, id)?;
    sql.exec("DELETE FROM job WHERE id = ?", &[id.0.into()])
        .map(drop)
}

/// Notes a part of a file.
pub fn add_part(
    sql: &impl Sql,
    id: ExportId,
    file: &str,
    number: u64,
    bytes: u64,
) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO part (job, file, number, bytes) VALUES (?, ?, ?, ?)",
        &[id.0.into(), file.into(), number.into(), bytes.into()],
    )
    .map(drop)
}

/// The parts of a file, in order: number and length.
pub fn parts(sql: &impl Sql, id: ExportId, file: &str) -> Result<Vec<(u64, u64)>, SqlError> {
    let of = "SELECT number, bytes FROM part WHERE job = ? AND file = ? ORDER BY number";
    let rows = sql.exec(of, &[id.0.into(), file.into()])?;
    let part = |row: &Row| Ok((row.integer(0)?, row.integer(1)?));
    rows.iter().map(part).collect()
}

/// Forgets the parts of all files of a job.
pub fn forget_parts(sql: &impl Sql, id: ExportId) -> Result<(), SqlError> {
    sql.exec("DELETE FROM part WHERE job = ?", &[id.0.into()])
        .map(drop)
}

/// Which job a request began, and whether it was the same request.
pub fn begun(
    sql: &impl Sql,
    idempotency: &IdempotencyKey,
) -> Result<Option<(ExportId, bool)>, SqlError> {
    let of = "SELECT job, fingerprint FROM idempotent WHERE key = ?";
    let rows = sql.exec(of, &[idempotency.key.as_bytes().into()])?;
    let found = |row: &Row| {
        let same = row.blob(1)? == idempotency.fingerprint.as_bytes();
        Ok((ExportId(row.integer(0)?), same))
    };
    rows.first().map(found).transpose()
}

/// Forgets which request began a job: the same begins another.
pub fn forget_request(sql: &impl Sql, id: ExportId) -> Result<(), SqlError> {
    sql.exec("DELETE FROM idempotent WHERE job = ?", &[id.0.into()])
        .map(drop)
}

/// Notes which job a request began.
pub fn begins(sql: &impl Sql, idempotency: &IdempotencyKey, id: ExportId) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO idempotent (key, fingerprint, job) VALUES (?, ?, ?)",
        &[
            idempotency.key.as_bytes().into(),
            idempotency.fingerprint.as_bytes().into(),
            id.0.into(),
        ],
    )
    .map(drop)
}
