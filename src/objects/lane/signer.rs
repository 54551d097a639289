//! The key of a log's checkpoints: made once for each log, kept sealed beside it, and never another's.
//!
//! It lives where the tree lives: a log that is lost takes its key along, so that no other tree is ever signed with
//! it. With it the log's name is kept, which stays what it was if the service moves. docs/adr/0017.

use super::log_keys::{self, LogKey};
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::terms::TermKey;
use portcullis_core::secret::derived_key;
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

    /// What seals and opens.
    pub(super) const fn sealing_key(&self) -> &[u8; 32] {
        &self.sealing_key
    }

    /// The log's key; made now if there is none. In a transaction.
    pub fn signer(
        &self,
        sql: &impl Sql,
        now: UnixMillis,
    ) -> Result<Result<CheckpointSigner, Refusal>, SqlError> {
        if let Some(key) = log_keys::current(sql)? {
            return Ok(self.open(&key).ok_or(Refusal::KeyUnusable));
        }
        let (key, signer) = self.make(0)?;
        log_keys::add(sql, &key, now)?;
        Ok(Ok(signer))
    }

    /// The key that the lane's dead letters are sealed under.
    pub fn letter_key(&self) -> [u8; 32] {
        derived_key(&self.sealing_key, "audit letters at rest")
    }

    fn open(&self, key: &LogKey) -> Option<CheckpointSigner> {
        let seed = key.sealed.open(&self.sealing_key, PURPOSE)?;
        let signer =
            CheckpointSigner::from_seed(Origin::parse(&key.origin)?, seed.try_into().ok()?);
        (*signer.verifier().key() == key.public).then_some(signer)
    }

    /// A key for the log of that epoch, which has none.
    pub(super) fn make(&self, epoch: u32) -> Result<(LogKey, CheckpointSigner), SqlError> {
        let failed = |error: Error| SqlError(error.to_string());
        let seed = random().map_err(failed)?;
        let nonce = random().map_err(failed)?;
        let origin = self.origin.of_epoch(epoch);
        let origin = origin.ok_or_else(|| SqlError("no name for a log".to_owned()))?;
        let name = origin.to_string();
        let signer = CheckpointSigner::from_seed(origin, seed);
        let sealed = Sealed::seal(&self.sealing_key, &nonce, PURPOSE, &seed);
        let key = LogKey {
            epoch,
            origin: name,
            public: *signer.verifier().key(),
            sealed: sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))?,
        };
        Ok((key, signer))
    }
}
