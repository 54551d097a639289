//! Short names of what can be ended, which nobody outside can foresee.
//!
//! Two things with the same fingerprint cost a strict check. Which those are depends on a secret of the
//! isolate, so nobody can make them be the same, nor fill a bucket of a table.

use portcullis_core::id::SubjectKey;
use portcullis_core::secret::Digest;
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

/// What fingerprints are made with: 16 random bytes.
#[derive(Clone)]
pub struct Seed([u8; 16]);

/// The kind of a thing; equal bytes of two kinds are two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A person or service.
    Subject = 0,
    /// A session of ours.
    Session = 1,
    /// A token of ours.
    Token = 2,
    /// A person and a session at their identity provider.
    UpstreamSession = 3,
    /// A credential's text.
    Text = 4,
}

/// A thing's short name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl Seed {
    /// Of bytes that are random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The fingerprint of the thing of that kind with these bytes.
    #[must_use]
    pub fn fingerprint(&self, kind: Kind, bytes: &[u8]) -> Fingerprint {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.0);
        hasher.write_u8(kind as u8);
        hasher.write(bytes);
        Fingerprint(hasher.finish())
    }

    /// The fingerprint of a person's session at their identity provider.
    #[must_use]
    pub fn upstream_session(&self, subject: &SubjectKey, sid: &Digest) -> Fingerprint {
        let bytes: Vec<u8> = [&subject.as_bytes()[..], &sid.as_bytes()[..]].concat();
        self.fingerprint(Kind::UpstreamSession, &bytes)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_seed_or_thing_has_another_fingerprint() {
        let seed = Seed::from_bytes([1; 16]);
        let of = |kind, bytes: &[u8]| seed.fingerprint(kind, bytes);
        let one = of(Kind::Subject, &[7; 16]);
        assert_eq!(one, of(Kind::Subject, &[7; 16]));
        assert_ne!(one, of(Kind::Session, &[7; 16]));
        assert_ne!(one, of(Kind::Subject, &[8; 16]));
        let other = Seed::from_bytes([2; 16]);
        assert_ne!(one, other.fingerprint(Kind::Subject, &[7; 16]));
        assert!(!format!("{seed:?}").contains('1'));
    }
}
