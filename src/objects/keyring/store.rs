//! The keyring's statements.

use super::call::{Document, DocumentKind, KeepDocument, KeptKey};
use crate::objects::sql::{Row, Sql, SqlError};
use crate::seal::Sealed;
use portcullis_core::connection::sync::SyncState;
use portcullis_core::keyring::Key;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// Applied in order, once each.
pub const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_keyring.sql"),
    include_str!("migrations/0002_lifecycle.sql"),
    include_str!("migrations/0003_documents.sql"),
    include_str!("migrations/0004_syncs.sql"),
];

impl TryFrom<&Row> for KeptKey {
    type Error = SqlError;

    fn try_from(row: &Row) -> Result<Self, SqlError> {
        let created_at = UnixMillis(row.integer(3)?);
        let sealed = row.blob(2)?;
        Ok(Self {
            key: Key {
                kid: row.text(0)?.to_owned(),
                created_at,
                signs_from: row.optional_integer(4)?.map_or(created_at, UnixMillis),
                compromised_at: row.optional_integer(5)?.map(UnixMillis),
            },
            point: row.blob(1)?.to_vec(),
            sealed: (!sealed.is_empty()).then(|| Sealed::from_bytes(sealed)),
        })
    }
}

/// The keys in the order in which they were made.
pub fn keys(sql: &impl Sql) -> Result<Vec<KeptKey>, SqlError> {
    sql.exec(
        "SELECT kid, point, sealed, created_at, signs_from, compromised_at FROM signing_key
         ORDER BY number",
        &[],
    )?
    .iter()
    .map(KeptKey::try_from)
    .collect()
}

/// Keys that the first migration knew, without a name: their number and private half.
pub fn nameless(sql: &impl Sql) -> Result<Vec<(u64, Sealed)>, SqlError> {
    sql.exec(
        "SELECT number, sealed FROM signing_key WHERE kid IS NULL",
        &[],
    )?
    .iter()
    .map(|row| Ok((row.integer(0)?, Sealed::from_bytes(row.blob(1)?))))
    .collect()
}

/// Gives such a key its name.
pub fn name(sql: &impl Sql, number: u64, kid: &str, point: &[u8]) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE signing_key SET kid = ?, point = ? WHERE number = ?",
        &[kid.into(), point.to_vec().into(), number.into()],
    )?;
    Ok(())
}

/// Keeps a new key.
pub fn add(sql: &impl Sql, key: &Key, point: &[u8], sealed: &Sealed) -> Result<(), SqlError> {
    sql.exec(
        "INSERT INTO signing_key (kid, point, sealed, created_at, signs_from)
         VALUES (?, ?, ?, ?, ?)",
        &[
            key.kid.as_str().into(),
            point.to_vec().into(),
            sealed.as_bytes().into(),
            key.created_at.0.into(),
            key.signs_from.0.into(),
        ],
    )?;
    Ok(())
}

/// Has a key sign from another time.
pub fn set_signs_from(sql: &impl Sql, kid: &str, at: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE signing_key SET signs_from = ? WHERE kid = ?",
        &[at.0.into(), kid.into()],
    )?;
    Ok(())
}

/// Notes that a key is compromised, and destroys it.
pub fn set_compromised(sql: &impl Sql, kid: &str, at: UnixMillis) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE signing_key SET compromised_at = ?, sealed = x'' WHERE kid = ?",
        &[at.0.into(), kid.into()],
    )?;
    Ok(())
}

/// Destroys the private half of a key.
pub fn destroy(sql: &impl Sql, kid: &str) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE signing_key SET sealed = x'' WHERE kid = ?",
        &[kid.into()],
    )?;
    Ok(())
}

/// Forgets a key.
pub fn forget(sql: &impl Sql, kid: &str) -> Result<(), SqlError> {
    sql.exec("DELETE FROM signing_key WHERE kid = ?", &[kid.into()])?;
    Ok(())
}

/// Compromised keys of which the policy has not heard, with when they were declared so.
pub fn untold(sql: &impl Sql) -> Result<Vec<String>, SqlError> {
    sql.exec(
        "SELECT kid FROM signing_key WHERE compromised_at IS NOT NULL AND told_policy IS NULL
         ORDER BY number",
        &[],
    )?
    .iter()
    .map(|row| row.text(0).map(str::to_owned))
    .collect()
}

/// The policy has heard of it.
pub fn set_told(sql: &impl Sql, kid: &str) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE signing_key SET told_policy = 1 WHERE kid = ?",
        &[kid.into()],
    )?;
    Ok(())
}

/// The document of that kind and name.
pub fn document(
    sql: &impl Sql,
    kind: DocumentKind,
    name: &str,
) -> Result<Option<Document>, SqlError> {
    let rows = sql.exec(
        "SELECT document, fetched_at FROM kept_document WHERE kind = ? AND name = ?",
        &[kind.number().into(), name.into()],
    )?;
    rows.first()
        .map(|row| {
            Ok(Document {
                document: row.blob(0)?.to_vec(),
                fetched_at: UnixMillis(row.integer(1)?),
            })
        })
        .transpose()
}

/// Keeps a document in place of the one before.
pub fn put_document(
    sql: &impl Sql,
    keep: &KeepDocument,
    used_at: UnixMillis,
) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO kept_document (kind, name, document, fetched_at, used_at)
         VALUES (?, ?, ?, ?, ?)",
        &[
            keep.kind.number().into(),
            keep.name.as_str().into(),
            keep.document.as_slice().into(),
            keep.fetched_at.0.into(),
            used_at.0.into(),
        ],
    )?;
    Ok(())
}

/// A document was asked for.
pub fn set_document_used(
    sql: &impl Sql,
    kind: DocumentKind,
    name: &str,
    at: UnixMillis,
) -> Result<(), SqlError> {
    sql.exec(
        "UPDATE kept_document SET used_at = ? WHERE kind = ? AND name = ?",
        &[at.0.into(), kind.number().into(), name.into()],
    )?;
    Ok(())
}

/// Forgets all documents of a kind but the `most` that were used last.
pub fn forget_documents(sql: &impl Sql, kind: DocumentKind, most: u64) -> Result<(), SqlError> {
    sql.exec(
        "DELETE FROM kept_document WHERE kind = ? AND name IN
         (SELECT name FROM kept_document WHERE kind = ?
          ORDER BY used_at DESC, name LIMIT -1 OFFSET ?)",
        &[kind.number().into(), kind.number().into(), most.into()],
    )?;
    Ok(())
}

/// What is known of a connection's keys at API Shield; of one that never sent any, nothing.
pub fn sync(sql: &impl Sql, connection: &str) -> Result<SyncState, SqlError> {
    let rows = sql.exec(
        "SELECT state FROM jwks_sync WHERE connection = ?",
        &[connection.into()],
    )?;
    match rows.first() {
        Some(row) => Ok(wire::decode(row.blob(0)?)?),
        None => Ok(SyncState::default()),
    }
}

/// Keeps what is known now.
pub fn put_sync(sql: &impl Sql, connection: &str, state: &SyncState) -> Result<(), SqlError> {
    sql.exec(
        "INSERT OR REPLACE INTO jwks_sync (connection, state) VALUES (?, ?)",
        &[connection.into(), wire::encode(state)?.into()],
    )?;
    Ok(())
}
