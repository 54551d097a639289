//! The key of a log's checkpoints: made once, kept sealed beside the log, and never another's.
//!
//! It lives where the tree lives: a log that is lost takes its key along, so that no other tree is ever signed with
//! it. With it the log's name is kept, which stays what it was if the service moves. docs/adr/0017.

use super::store::{self, LogKey};
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::terms::TermKey;
use portcullis_core::time::UnixMillis;
use worker::Error;

/// What its seal is for.
const PURPOSE: &str = "portcullis audit log key 1";

/// Makes a log's key, and opens it.
pub struct LogKeyMaker {
    sealing_key: [u8; 32],
    origin: Origin,
}

impl LogKeyMaker {
    /// Seals under this key; a log that has no key yet gets that name.
    pub const fn new(sealing_key: [u8; 32], origin: Origin) -> Self {
        Self {
            sealing_key,
            origin,
        }
    }

    /// The key of the lane's terms.
    pub fn term_key(&self) -> TermKey {
        TermKey::derive(&self.sealing_key)
    }

    /// The log's key; made now if there is none. In a transaction.
    pub fn signer(
        &self,
        sql: &impl Sql,
        now: UnixMillis,
    ) -> Result<Result<CheckpointSigner, Refusal>, SqlError> {
        match store::log_key(sql)? {
            Some(key) => Ok(self.open(&key).ok_or(Refusal::KeyUnusable)),
            None => self.make(sql, now).map(Ok),
        }
    }

    fn open(&self, key: &LogKey) -> Option<CheckpointSigner> {
        let seed = key.sealed.open(&self.sealing_key, PURPOSE)?;
        let signer =
            CheckpointSigner::from_seed(Origin::parse(&key.origin)?, seed.try_into().ok()?);
        (*signer.verifier().key() == key.public).then_some(signer)
    }

    fn make(&self, sql: &impl Sql, now: UnixMillis) -> Result<CheckpointSigner, SqlError> {
        let failed = |error: Error| SqlError(error.to_string());
        let seed = random().map_err(failed)?;
        let nonce = random().map_err(failed)?;
        let signer = CheckpointSigner::from_seed(self.origin.clone(), seed);
        let sealed = Sealed::seal(&self.sealing_key, &nonce, PURPOSE, &seed);
        let key = LogKey {
            origin: self.origin.to_string(),
            public: *signer.verifier().key(),
            sealed: sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))?,
        };
        store::add_log_key(sql, &key, now)?;
        Ok(signer)
    }
}
