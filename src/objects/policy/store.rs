//! Every statement of the policy. Rows become domain values here and nowhere else.

use crate::objects::sql::{Row, Sql, SqlError};
use portcullis_core::client::{Client, Source};
use portcullis_core::policy::call::KeptConnection;
use portcullis_core::policy::{WideRevocation, WideScope};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// The object's schema, in the order it grew.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_policy.sql"),
    include_str!("../outbox.sql"),
    include_str!("migrations/0002_connections.sql"),
    include_str!("../feed_outbox.sql"),
];

/// The version; 0 before the first change.
pub fn version(sql: &impl Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT version FROM policy", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// Counts a change. Versions follow the clock where they can, so that a policy that was restored to
/// an earlier time goes on above what others have seen of it.
pub fn add_version(sql: &impl Sql, now: UnixMillis) -> Result<(), SqlError> {
    let version = (version(sql)? + 1).max(now.0);
    sql.exec(
        "INSERT OR REPLACE INTO policy (id, version) VALUES (1, ?)",
        &[version.into()],
    )
    .map(drop)
}

/// The wide revocations that can still cover something.
pub fn revocations(sql: &impl Sql, now: UnixMillis) -> Result<Vec<WideRevocation>, SqlError> {
    sql.exec(
        "SELECT scope, not_before FROM wide_revocation WHERE ends_at > ?",
        &[now.0.into()],
    )?
    .iter()
    .map(|row| {
        Ok(WideRevocation {
            scope: wire::decode(row.blob(0)?)?,
            not_before: UnixMillis(row.integer(1)?),
        })
    })
    .collect()
}

/// The revocation of that scope.
pub fn revocation(sql: &impl Sql, scope: &WideScope) -> Result<Option<WideRevocation>, SqlError> {
    let key = wire::encode(scope)?;
    let rows = sql.exec(
        "SELECT not_before FROM wide_revocation WHERE scope = ?",
        &[key.into()],
    )?;
    rows.first()
        .map(|row| {
            Ok(WideRevocation {
                scope: scope.clone(),
                not_before: UnixMillis(row.integer(0)?),
            })
        })
        .transpose()
}

/// Keeps a revocation in place of an earlier one of its scope, and forgets those that have ended.
pub fn put_revocation(
    sql: &impl Sql,
    revocation: &WideRevocation,
    now: UnixMillis,
) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM wide_revocation WHERE ends_at <= ?",
        &[now.0.into()],
    )?;
    sql.exec(
        "INSERT OR REPLACE INTO wide_revocation (scope, not_before, ends_at) VALUES (?, ?, ?)",
        &[
            wire::encode(&revocation.scope)?.into(),
            revocation.not_before.0.into(),
            revocation.ends_at().0.into(),
        ],
    )
    .map(drop)
}

/// The client of that id, as JSON.
pub fn document(sql: &impl Sql, client_id: &str) -> Result<Option<String>, SqlError> {
    let rows = sql.exec(
        "SELECT document FROM client WHERE client_id = ?",
        &[client_id.into()],
    )?;
    rows.first()
        .map(|row| row.text(0).map(str::to_owned))
        .transpose()
}

/// The client of that id.
pub fn client(sql: &impl Sql, client_id: &str) -> Result<Option<Client>, SqlError> {
    document(sql, client_id)?
        .map(|json| serde_json::from_str(&json).map_err(|_| SqlError::corrupt("client")))
        .transpose()
}

/// How many clients have registered themselves.
pub fn dynamic_clients(sql: &impl Sql) -> Result<u64, SqlError> {
    let rows = sql.exec("SELECT count(*) FROM client WHERE is_dynamic = 1", &[])?;
    rows.first().map_or(Ok(0), |row| row.integer(0))
}

/// Up to `limit` clients behind `after`, by id, with their ids.
pub fn clients(sql: &impl Sql, after: &str, limit: u64) -> Result<Vec<(String, String)>, SqlError> {
    sql.exec(
        "SELECT client_id, document FROM client WHERE client_id > ? ORDER BY client_id LIMIT ?",
        &[after.into(), limit.into()],
    )?
    .iter()
    .map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))
    .collect()
}

/// Inserts or replaces a client; returns it as JSON.
pub fn put_client(sql: &impl Sql, client: &Client) -> Result<String, SqlError> {
    let document = serde_json::to_string(client).map_err(|_| SqlError::corrupt("client"))?;
    sql.exec(
        "INSERT OR REPLACE INTO client (client_id, is_dynamic, document) VALUES (?, ?, ?)",
        &[
            client.client_id.as_str().into(),
            (client.source == Source::Dynamic).into(),
            document.as_str().into(),
        ],
    )?;
    Ok(document)
}

/// Forgets a client.
pub fn delete_client(sql: &impl Sql, client_id: &str) -> Result<(), SqlError> {
    let delete = "DELETE FROM client WHERE client_id = ?";
    sql.exec(delete, &[client_id.into()]).map(drop)
}

/// Every trust, as JSON, by id.
pub fn trusts(sql: &impl Sql) -> Result<Vec<String>, SqlError> {
    sql.exec("SELECT document FROM trust ORDER BY id", &[])?
        .iter()
        .map(|row| row.text(0).map(str::to_owned))
        .collect()
}

/// Whether there is a trust of that id.
pub fn has_trust(sql: &impl Sql, id: &str) -> Result<bool, SqlError> {
    let rows = sql.exec("SELECT 1 FROM trust WHERE id = ?", &[id.into()])?;
    Ok(!rows.is_empty())
}

/// Inserts or replaces a trust.
pub fn put_trust(sql: &impl Sql, id: &str, document: &str) -> Result<(), SqlError> {
    let put = "INSERT OR REPLACE INTO trust (id, document) VALUES (?, ?)";
    sql.exec(put, &[id.into(), document.into()]).map(drop)
}

/// Forgets a trust.
pub fn delete_trust(sql: &impl Sql, id: &str) -> Result<(), SqlError> {
    let delete = "DELETE FROM trust WHERE id = ?";
    sql.exec(delete, &[id.into()]).map(drop)
}

/// Every connection of which something is kept, by id.
pub fn connections(sql: &impl Sql) -> Result<Vec<KeptConnection>, SqlError> {
    sql.exec(
        "SELECT id, document, enabled FROM connection ORDER BY id",
        &[],
    )?
    .iter()
    .map(KeptConnection::try_from)
    .collect()
}

/// What is kept of the connection of that id.
pub fn connection(sql: &impl Sql, id: &str) -> Result<Option<KeptConnection>, SqlError> {
    let select = "SELECT id, document, enabled FROM connection WHERE id = ?";
    let rows = sql.exec(select, &[id.into()])?;
    rows.first().map(KeptConnection::try_from).transpose()
}

/// Inserts or replaces what is kept of a connection.
pub fn put_connection(sql: &impl Sql, kept: &KeptConnection) -> Result<(), SqlError> {
    let put = "INSERT OR REPLACE INTO connection (id, document, enabled) VALUES (?, ?, ?)";
    let values = [
        kept.id.as_str().into(),
        kept.document.as_deref().into(),
        kept.enabled.into(),
    ];
    sql.exec(put, &values).map(drop)
}

impl TryFrom<&Row> for KeptConnection {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        Ok(Self {
            id: row.text(0)?.to_owned(),
            document: row.optional_text(1)?.map(str::to_owned),
            enabled: row.integer(2)? != 0,
        })
    }
}
