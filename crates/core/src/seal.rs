//! XChaCha20-Poly1305, in one place for all that is sealed: what is at rest in an object, and personal fields in the
//! log's lines. Where keys and nonces come from, and what is bound in, is its callers' matter.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// The size of a nonce, in bytes.
pub const NONCE: usize = 24;

/// Encrypts `text`. With one key a nonce is for one text only.
#[must_use]
pub fn encrypt(key: &[u8; 32], nonce: &[u8; NONCE], bound: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let payload = Payload {
        msg: text,
        aad: bound,
    };
    XChaCha20Poly1305::new(key.into())
        .encrypt(&XNonce::from(*nonce), payload)
        .ok()
}

/// The text, if key, nonce and `bound` are those it was encrypted with and nothing was changed.
#[must_use]
pub fn decrypt(
    key: &[u8; 32],
    nonce: &[u8; NONCE],
    bound: &[u8],
    encrypted: &[u8],
) -> Option<Vec<u8>> {
    let payload = Payload {
        msg: encrypted,
        aad: bound,
    };
    XChaCha20Poly1305::new(key.into())
        .decrypt(&XNonce::from(*nonce), payload)
        .ok()
}
