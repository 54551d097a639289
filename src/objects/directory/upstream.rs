//! What a directory knows of sessions at its provider, statement by statement: whose they are, which have
//! ended, and which log-outs were carried out.

use crate::objects::sql::{Sql, SqlError};
use portcullis_core::id::SubjectKey;
use portcullis_core::jwt::CLOCK_SKEW_SECS;
use portcullis_core::registry::UpstreamLogout;
use portcullis_core::secret::Digest;
use portcullis_core::session::revoke::ENDED_UPSTREAM_SECS;
use portcullis_core::session::{OFFLINE_TTL_SECS, SESSION_TTL_SECS, Upstream};
use portcullis_core::time::UnixMillis;
use std::collections::BTreeSet;

/// How long a log-in is remembered, in seconds: longer than any session that comes of it.
const KNOWN_SECS: u64 = OFFLINE_TTL_SECS + SESSION_TTL_SECS;
/// How often what is over is deleted, in seconds. Nothing hangs on it, and finding it costs a scan.
const SWEEP_SECS: u64 = 24 * 3600;
/// How long somebody who does not log in stays known, in seconds: who comes once a year does.
const FORGET_SECS: u64 = 400 * 24 * 3600;

/// Whether the provider has ended that session, or everything of that person after `begun_at`.
pub fn has_ended(
    sql: &impl Sql,
    upstream: &Upstream,
    begun_at: UnixMillis,
) -> Result<bool, SqlError> {
    if let Some(sid) = &upstream.sid {
        let ended = "SELECT 1 FROM ended_sid WHERE sid = ?";
        if !sql.exec(ended, &[sid.as_bytes().into()])?.is_empty() {
            return Ok(true);
        }
    }
    let Some(sub) = &upstream.sub else {
        return Ok(false);
    };
    let ended = "SELECT 1 FROM ended_sub WHERE sub = ? AND at >= ?";
    let ended = sql.exec(ended, &[sub.as_bytes().into(), begun_at.0.into()])?;
    Ok(!ended.is_empty())
}

/// Notes whose they are; the caller holds the transaction.
pub fn note(
    sql: &impl Sql,
    upstream: &Upstream,
    subject: SubjectKey,
    now: UnixMillis,
) -> Result<(), SqlError> {
    let until = now.plus_secs(KNOWN_SECS);
    for (digest, statement) in [
        (
            upstream.sub,
            "INSERT OR REPLACE INTO known_sub (sub, subject, until) VALUES (?, ?, ?)",
        ),
        (
            upstream.sid,
            "INSERT OR REPLACE INTO known_sid (sid, subject, until) VALUES (?, ?, ?)",
        ),
    ] {
        if let Some(digest) = digest {
            let values = [
                digest.as_bytes().into(),
                subject.as_bytes().into(),
                until.0.into(),
            ];
            sql.exec(statement, &values)?;
        }
    }
    Ok(())
}

/// The subjects that have logged in as that person or with that session.
pub fn known(sql: &impl Sql, upstream: &Upstream) -> Result<BTreeSet<SubjectKey>, SqlError> {
    let mut subjects = BTreeSet::new();
    for (digest, statement) in [
        (upstream.sub, "SELECT subject FROM known_sub WHERE sub = ?"),
        (upstream.sid, "SELECT subject FROM known_sid WHERE sid = ?"),
    ] {
        if let Some(digest) = digest {
            for row in sql.exec(statement, &[digest.as_bytes().into()])? {
                subjects.insert(SubjectKey::from_bytes(row.bytes(0)?));
            }
        }
    }
    Ok(subjects)
}

/// Whether that logout token came before.
pub fn was_used(sql: &impl Sql, replay: &Digest) -> Result<bool, SqlError> {
    let used = "SELECT 1 FROM used_logout WHERE replay = ?";
    Ok(!sql.exec(used, &[replay.as_bytes().into()])?.is_empty())
}

/// Notes that the token was used, and what has ended whether or not anybody is known by it; the caller
/// holds the transaction.
pub fn end(sql: &impl Sql, logout: &UpstreamLogout, now: UnixMillis) -> Result<(), SqlError> {
    // The clock that found the token good may be behind.
    let used_until = logout.expires_at.plus_secs(CLOCK_SKEW_SECS);
    sql.exec(
        "INSERT INTO used_logout (replay, until) VALUES (?, ?)",
        &[logout.replay.as_bytes().into(), used_until.0.into()],
    )?;
    let until = now.plus_secs(ENDED_UPSTREAM_SECS);
    match (&logout.upstream.sid, &logout.upstream.sub) {
        (Some(sid), _) => sql.exec(
            "INSERT OR REPLACE INTO ended_sid (sid, until) VALUES (?, ?)",
            &[sid.as_bytes().into(), until.0.into()],
        )?,
        (None, Some(sub)) => sql.exec(
            "INSERT INTO ended_sub (sub, at, until) VALUES (?, ?, ?) ON CONFLICT (sub) \
             DO UPDATE SET at = max(at, excluded.at), until = max(until, excluded.until)",
            &[sub.as_bytes().into(), now.0.into(), until.0.into()],
        )?,
        (None, None) => Vec::new(),
    };
    Ok(())
}

/// Deletes what is over, if that was not done for long; the caller holds the transaction.
pub fn sweep(sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
    let swept = sql.exec("SELECT swept_at FROM sweep", &[])?;
    let swept = swept.first().map(|row| row.integer(0)).transpose()?;
    if swept.is_some_and(|at| now < UnixMillis(at).plus_secs(SWEEP_SECS)) {
        return Ok(());
    }
    for statement in [
        "DELETE FROM known_sub WHERE until <= ?",
        "DELETE FROM known_sid WHERE until <= ?",
        "DELETE FROM ended_sub WHERE until <= ?",
        "DELETE FROM ended_sid WHERE until <= ?",
        "DELETE FROM used_logout WHERE until <= ?",
        "INSERT OR REPLACE INTO sweep (id, swept_at) VALUES (1, ?)",
    ] {
        sql.exec(statement, &[now.0.into()])?;
    }
    let long_ago = now.0.saturating_sub(FORGET_SECS * 1000);
    for statement in [
        "DELETE FROM registry WHERE last_login_at <= ? AND scim_user IS NULL",
        "UPDATE registry SET last_login_at = NULL, group_names = '[]', preferred_username = NULL \
         WHERE last_login_at <= ?",
    ] {
        sql.exec(statement, &[long_ago.into()])?;
    }
    Ok(())
}
