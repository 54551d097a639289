//! Sealing what must be read again: XChaCha20-Poly1305, nonce in front, under a key that only the Worker
//! has. What a seal is for is bound into it, so that nothing sealed for another purpose opens.

use portcullis_core::seal::{NONCE, decrypt, encrypt};
use serde::{Deserialize, Serialize};

/// A secret that cannot be read without the sealing key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// Seals `secret` under a random `nonce`, for that purpose.
    pub fn seal(key: &[u8; 32], nonce: &[u8; NONCE], purpose: &str, secret: &[u8]) -> Option<Self> {
        let sealed = encrypt(key, nonce, purpose.as_bytes(), secret)?;
        Some(Self([nonce.as_slice(), &sealed].concat()))
    }

    /// The secret, if key and purpose are those it was sealed with and nothing was changed.
    pub fn open(&self, key: &[u8; 32], purpose: &str) -> Option<Vec<u8>> {
        let (nonce, sealed) = self.0.split_first_chunk::<NONCE>()?;
        decrypt(key, nonce, purpose.as_bytes(), sealed)
    }

    /// For storing.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes back what was stored; only opening tells whether it is whole.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_key_opens_and_only_what_is_unchanged() {
        let sealed = Sealed::seal(&[1; 32], &[2; 24], "test", &[3; 32]).expect("seals");
        assert_eq!(sealed.open(&[1; 32], "test"), Some(vec![3; 32]));
        assert_eq!(sealed.open(&[9; 32], "test"), None);
        assert_eq!(sealed.open(&[1; 32], "another"), None);
        for at in 0..sealed.as_bytes().len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[at] ^= 1;
            let bent = Sealed::from_bytes(&bytes);
            assert_eq!(bent.open(&[1; 32], "test"), None, "byte {at}");
        }
        assert_eq!(Sealed::from_bytes(&[]).open(&[1; 32], "test"), None);
    }
}
