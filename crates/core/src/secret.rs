//! Secrets and their digests: what is compared is never what was sent.

use hmac_sha256::{HMAC, Hash};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The SHA-256 of a secret, the only form in which one is kept.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `secret`.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Hash::hash(secret))
    }

    /// Takes back a digest that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// For storing.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Constant-time: how long it takes says nothing of where two digests differ.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Whether two byte strings are the same, in time that depends on their lengths only.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// A key for one purpose, derived from a root key (the expand step of HKDF, RFC 5869 section 2.3).
#[must_use]
pub fn derived_key(root: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut mac = HMAC::new(root);
    mac.update(purpose.as_bytes());
    mac.update([1]);
    mac.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_of_the_whole_and_of_the_length() {
        assert!(constant_time_eq(b"abc", b"abc"));
        assert!(!constant_time_eq(b"abc", b"abd"));
        assert!(!constant_time_eq(b"abc", b"abcd"));
        assert_eq!(Digest::of(b"x"), Digest::of(b"x"));
        assert_ne!(Digest::of(b"x"), Digest::of(b"y"));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Digest::of(b"x")), "Digest(..)");
    }

    #[test]
    fn keys_of_different_purposes_differ() {
        assert_ne!(derived_key(&[1; 32], "a"), derived_key(&[1; 32], "b"));
    }
}
