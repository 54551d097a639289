//! Documents of others, kept beyond the isolate that fetched them.
//!
//! A document replaces another only if it is good and not older than what is kept: a key set within bounds
//! with a key that can be used, or metadata of the very issuer. They are public and change nothing of
//! ours, so nothing is logged of them. How old a document may be to be used is for the isolate that uses it
//! to judge, and so is, once more, what it says.

use super::call::{Document, DocumentKind, GetDocument, KeepDocument};
use super::store;
use crate::discovery;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::client::uri::MAX_URI_BYTES;
use portcullis_core::jwt::jwks::{KeySet, MAX_KEY_SET_BYTES};
use portcullis_core::time::UnixMillis;

/// How many documents of a kind are kept; of more the one that was unused for longest goes.
pub const MAX_DOCUMENTS: u64 = 100;

/// Keeps a document; says whether it is the one that is kept now.
pub fn keep(sql: &impl Sql, mut keep: KeepDocument, now: UnixMillis) -> Result<bool, SqlError> {
    if !is_good(&keep) {
        return Ok(false);
    }
    // A clock that runs ahead must not make a document last longer.
    keep.fetched_at = keep.fetched_at.min(now);
    sql.transaction(|| {
        let before = store::document(sql, keep.kind, &keep.name)?;
        if before.is_some_and(|before| before.fetched_at > keep.fetched_at) {
            return Ok(false);
        }
        store::put_document(sql, &keep, now)?;
        store::forget_documents(sql, keep.kind, MAX_DOCUMENTS)?;
        Ok(true)
    })
}

fn is_good(keep: &KeepDocument) -> bool {
    let good = match keep.kind {
        DocumentKind::Keys => KeySet::parse(&keep.document).is_ok_and(|keys| !keys.is_empty()),
        DocumentKind::Metadata => discovery::is_of(&keep.document, &keep.name),
    };
    good && keep.name.len() <= MAX_URI_BYTES && keep.document.len() <= MAX_KEY_SET_BYTES
}

/// The document of that kind and name.
pub fn get(
    sql: &impl Sql,
    get: &GetDocument,
    now: UnixMillis,
) -> Result<Option<Document>, SqlError> {
    let found = store::document(sql, get.kind, &get.name)?;
    if found.is_some() {
        store::set_document_used(sql, get.kind, &get.name, now)?;
    }
    Ok(found)
}
