//! Key documents of others, kept beyond the isolate that fetched them.
//!
//! A document replaces another only if it is good: a key set within bounds, with a key that can be used,
//! and not older than what is kept. They are public and change nothing of ours, so nothing is logged of
//! them. How old a document may be to be used is for the isolate that uses it to judge.

use super::call::{GetKeyDocument, KeepKeyDocument, KeyDocument};
use super::store;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::client::uri::MAX_URI_BYTES;
use portcullis_core::jwt::jwks::KeySet;
use portcullis_core::time::UnixMillis;

/// How many documents are kept; of more the one that was unused for longest goes.
pub const MAX_DOCUMENTS: u64 = 100;

/// Keeps a document; says whether it is the one that is kept now.
pub fn keep(sql: &impl Sql, mut keep: KeepKeyDocument, now: UnixMillis) -> Result<bool, SqlError> {
    let good = KeySet::parse(&keep.document).is_ok_and(|keys| !keys.is_empty());
    if !good || keep.jwks_uri.len() > MAX_URI_BYTES {
        return Ok(false);
    }
    // A clock that runs ahead must not make a document last longer.
    keep.fetched_at = keep.fetched_at.min(now);
    sql.transaction(|| {
        let before = store::document(sql, &keep.jwks_uri)?;
        if before.is_some_and(|before| before.fetched_at > keep.fetched_at) {
            return Ok(false);
        }
        store::put_document(sql, &keep, now)?;
        store::forget_documents(sql, MAX_DOCUMENTS)?;
        Ok(true)
    })
}

/// The document that is kept for a place.
pub fn get(
    sql: &impl Sql,
    get: &GetKeyDocument,
    now: UnixMillis,
) -> Result<Option<KeyDocument>, SqlError> {
    let found = store::document(sql, &get.jwks_uri)?;
    if found.is_some() {
        store::set_document_used(sql, &get.jwks_uri, now)?;
    }
    Ok(found)
}
