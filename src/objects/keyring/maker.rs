//! Making signing keys, and opening sealed ones.

use crate::objects::sql::SqlError;
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::jwt::sign::SigningKey;
use worker::Error;

/// What their seals are for.
pub(super) const PURPOSE: &str = "portcullis signing key 1";

/// Makes keys and seals them.
pub struct KeyMaker {
    sealing_key: [u8; 32],
}

/// A key that was just made.
pub struct FreshKey {
    /// Its name.
    pub kid: String,
    /// The public half.
    pub point: Vec<u8>,
    /// The private half.
    pub sealed: Sealed,
}

impl KeyMaker {
    /// Seals under this key.
    pub const fn new(sealing_key: [u8; 32]) -> Self {
        Self { sealing_key }
    }

    /// A new random key.
    pub fn fresh(&self) -> Result<FreshKey, SqlError> {
        let failed = |error: Error| SqlError(error.to_string());
        let secret = random().map_err(failed)?;
        // One random value in 2^32 is no key: the caller then asks again.
        let key = SigningKey::from_secret(&secret).map_err(|error| SqlError(error.to_string()))?;
        let nonce = random().map_err(failed)?;
        let sealed = Sealed::seal(&self.sealing_key, &nonce, PURPOSE, &secret);
        Ok(FreshKey {
            kid: key.kid().to_owned(),
            point: key.public_point().to_vec(),
            sealed: sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))?,
        })
    }

    /// The key in a seal.
    pub fn open(&self, sealed: &Sealed) -> Result<SigningKey, SqlError> {
        let unusable =
            || SqlError("a signing key cannot be opened: was SERVICE_KEY changed?".to_owned());
        opened(&self.sealing_key, sealed).ok_or_else(unusable)
    }
}

/// The key in a seal, if it was sealed under that key.
pub fn opened(sealing_key: &[u8; 32], sealed: &Sealed) -> Option<SigningKey> {
    let secret = sealed.open(sealing_key, PURPOSE)?;
    SigningKey::from_secret(&secret.try_into().ok()?).ok()
}
