//! The secret that a provider sends as a bearer token to a connection's SCIM endpoint (RFC 6750), and
//! what an operator makes, sees and removes of them.
//!
//! The text is `pc_scim_`, the base64url of *which connection (16 bytes), secret (32), MAC (16)*, a dot, and
//! eight hex digits of CRC-32, as [`crate::oauth::opaque`] has them. So what is forged, and what is another
//! connection's, is refused before any object is woken. A directory keeps the SHA-256 of the secret alone.
//!
//! Times are milliseconds since the Unix epoch. At most [`MAX_SECRETS`] of a connection are good at a time.

use super::ScimError;
use crate::audit::event::Actor;
use crate::id::ScimSecretId;
use crate::oauth::opaque::{Secret, read, written};
use crate::secret::Digest;
use crate::time::UnixMillis;
use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const SECRET: usize = 32;

/// The most secrets of a connection that are good at a time.
pub const MAX_SECRETS: usize = 5;
/// How long earlier secrets stay good if nothing is said, in seconds: a day to roll out the new one.
pub const DEFAULT_OVERLAP_SECS: u64 = 24 * 3600;
/// The longest overlap, in seconds.
pub const MAX_OVERLAP_SECS: u64 = 90 * 24 * 3600;
/// How coarse it is when a secret was last used, in milliseconds: to note it costs a row each.
pub const USED_WITHIN_MS: u64 = 3_600_000;

/// A secret that the service has made, of one connection or another.
pub struct ScimSecret {
    connection: [u8; 16],
    secret: Secret<SECRET>,
}

impl ScimSecret {
    const PREFIX: &str = "pc_scim_";

    /// A secret of `connection` around random bytes.
    #[must_use]
    pub fn new(connection: &str, random: [u8; SECRET]) -> Self {
        Self {
            connection: which(connection),
            secret: Secret::new(random),
        }
    }

    /// Reads a secret that was made under `routing_key`; `None` for anything else.
    #[must_use]
    pub fn parse(routing_key: &[u8; 32], text: &str) -> Option<Self> {
        let (connection, secret) = read(routing_key, Self::PREFIX, text)?;
        Some(Self { connection, secret })
    }

    /// Whether it was made for that connection.
    #[must_use]
    pub fn is_of(&self, connection: &str) -> bool {
        self.connection == which(connection)
    }

    /// What the connection's directory knows it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.secret.digest()
    }

    /// What operators know it by.
    #[must_use]
    pub fn id(&self) -> ScimSecretId {
        ScimSecretId::of(&self.digest())
    }

    /// What the provider gets, once.
    #[must_use]
    pub fn to_text(&self, routing_key: &[u8; 32]) -> String {
        written(routing_key, Self::PREFIX, &self.connection, &self.secret)
    }
}

/// A connection in a few bytes, whatever its name.
fn which(connection: &str) -> [u8; 16] {
    let mut hash = Hash::new();
    hash.update(b"scim connection\n");
    hash.update(connection.as_bytes());
    let mut half = [0; 16];
    half.copy_from_slice(hash.finalize().split_at(16).0);
    half
}

/// Whether the secret that the frame carries is good: for what is answered without the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock;

/// It is good, or why not.
pub type KnockReply = Result<(), ScimError>;

/// Keep a new secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MakeSecret {
    /// By what it is known.
    pub digest: Digest,
    /// How long the earlier ones stay good, in seconds; 0: they are removed.
    pub overlap_secs: u64,
    /// Who wants it.
    pub by: Actor,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SecretMade {
    /// It is good from now on.
    Made(KeptSecret),
    /// There are [`MAX_SECRETS`], and nothing was changed.
    TooMany,
}

/// Which are good?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListSecrets;

/// Remove one or all of them. Replies with how many there were to remove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveSecrets {
    /// Which; `None`: all, because the connection is no more.
    pub id: Option<ScimSecretId>,
    /// Who wants it.
    pub by: Actor,
}

/// A secret as it is shown: nothing of it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptSecret {
    /// Which.
    pub id: ScimSecretId,
    /// When it was made.
    pub created: UnixMillis,
    /// Until when it is good; `None`: until it is replaced or removed.
    pub good_until: Option<UnixMillis>,
    /// When it was last used, to the hour; `None`: never.
    pub last_used: Option<UnixMillis>,
}

impl KeptSecret {
    /// Until when it is good once another was made `now`: what ends sooner still does.
    #[must_use]
    pub fn ends_after(&self, overlap_secs: u64, now: UnixMillis) -> UnixMillis {
        let end = now.plus_secs(overlap_secs);
        self.good_until.map_or(end, |until| until.min(end))
    }

    /// Whether it is good.
    #[must_use]
    pub fn is_good(&self, now: UnixMillis) -> bool {
        self.good_until.is_none_or(|until| now < until)
    }

    /// What is to be noted of a use now; `None`: that is noted. A clock that goes back notes nothing.
    #[must_use]
    pub fn used(&self, now: UnixMillis) -> Option<UnixMillis> {
        let hour = UnixMillis(now.0 - now.0 % USED_WITHIN_MS);
        self.last_used
            .is_none_or(|last| last < hour)
            .then_some(hour)
    }
}

/// Secrets that a directory has refused. None of them is ever good again, so whoever remembers them need not ask; and
/// forgetting one costs a question.
#[derive(Debug, Default)]
pub struct RefusedSecrets(VecDeque<ScimSecretId>);

/// The most that are remembered.
const MAX_REFUSED: usize = 100;

impl RefusedSecrets {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Whether it was refused.
    #[must_use]
    pub fn has(&self, id: ScimSecretId) -> bool {
        self.0.contains(&id)
    }

    /// It was refused.
    pub fn add(&mut self, id: ScimSecretId) {
        if self.has(id) {
            return;
        }
        if self.0.len() >= MAX_REFUSED {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::opaque::{AuthorizationCode, checksum};
    use crate::wire;
    use proptest::prelude::*;

    const KEY: [u8; 32] = [1; 32];

    fn kept(good_until: Option<u64>, last_used: Option<u64>) -> KeptSecret {
        KeptSecret {
            id: ScimSecretId::from_bytes([7; 16]),
            created: UnixMillis(2),
            good_until: good_until.map(UnixMillis),
            last_used: last_used.map(UnixMillis),
        }
    }

    proptest! {
        #[test]
        fn a_secret_is_read_back_and_no_changed_byte_is(
            random: [u8; SECRET], connection in "[a-z0-9-]{1,32}", at in 0usize..110, with: u8,
        ) {
            let made = ScimSecret::new(&connection, random);
            let text = made.to_text(&KEY);
            let read = ScimSecret::parse(&KEY, &text).expect("reads");
            prop_assert_eq!((read.digest(), read.id()), (made.digest(), made.id()));
            prop_assert!(read.is_of(&connection));
            let longer = format!("{connection}x");
            prop_assert!(!read.is_of(&longer));
            prop_assert!(ScimSecret::parse(&[2; 32], &text).is_none());
            let mut bytes = text.clone().into_bytes();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            if let Some(bent) = String::from_utf8(bytes).ok().filter(|bent| *bent != text) {
                prop_assert!(ScimSecret::parse(&KEY, &bent).is_none());
            }
        }

        #[test]
        fn arbitrary_text_is_no_secret(text: String) {
            prop_assert!(ScimSecret::parse(&KEY, &text).is_none());
        }

        #[test]
        fn a_use_is_noted_once_an_hour_and_no_clock_takes_it_back(
            times in prop::collection::vec(0u64..20 * USED_WITHIN_MS, 1..40),
        ) {
            let mut secret = kept(None, None);
            let mut notes = 0;
            for now in &times {
                if let Some(hour) = secret.used(UnixMillis(*now)) {
                    prop_assert!(secret.last_used.is_none_or(|last| last < hour));
                    secret.last_used = Some(hour);
                    notes += 1;
                }
                let last = secret.last_used.expect("noted");
                prop_assert!(now / USED_WITHIN_MS <= last.0 / USED_WITHIN_MS);
            }
            prop_assert!(notes <= 20);
        }
    }

    #[test]
    fn a_secret_is_of_its_length_and_ends_with_its_checksum() {
        let text = ScimSecret::new("okta", [9; SECRET]).to_text(&KEY);
        assert_eq!(text.len(), 8 + 86 + 9);
        let (body, sum) = text.rsplit_once('.').expect("a checksum");
        assert_eq!(sum, checksum(body));
        assert!(body.starts_with("pc_scim_"));
    }

    #[test]
    fn one_kind_is_not_read_as_another_even_with_a_mended_checksum() {
        let text = ScimSecret::new("okta", [9; SECRET]).to_text(&KEY);
        let (body, _) = text.rsplit_once('.').expect("a checksum");
        let other = body.replacen("pc_scim_", "pc_ac_", 1);
        let other = format!("{other}.{}", checksum(&other));
        assert!(AuthorizationCode::parse(&KEY, &other).is_none());
    }

    #[test]
    fn an_earlier_secret_ends_with_the_overlap_and_never_later_than_before() {
        let now = UnixMillis(5_000);
        for (until, overlap, ends) in [
            (None, 10, 15_000),
            (Some(9_000), 10, 9_000),
            (Some(99_000), 10, 15_000),
            (None, 0, 5_000),
        ] {
            let end = kept(until, None).ends_after(overlap, now);
            assert_eq!(end, UnixMillis(ends));
        }
        assert!(kept(None, None).is_good(now));
        assert!(kept(Some(5_001), None).is_good(now));
        assert!(!kept(Some(5_000), None).is_good(now));
    }

    #[test]
    fn what_was_refused_is_remembered_within_bounds() {
        let id = |number: u8| ScimSecretId::of(&Digest::of(&[number]));
        let mut refused = RefusedSecrets::new();
        for number in 0..=100 {
            refused.add(id(number));
            refused.add(id(number));
            assert!(refused.has(id(number)));
        }
        assert!(!refused.has(id(0)) && refused.has(id(1)) && !refused.has(id(101)));
    }

    #[test]
    fn golden_bytes() {
        let made = SecretMade::Made(kept(Some(3), None));
        let expected = [&[1, 0][..], &[7; 16], &[2, 1, 3, 0]].concat();
        assert_eq!(wire::encode(&made), Ok(expected));
        assert_eq!(wire::encode(&SecretMade::TooMany), Ok(vec![1, 1]));
        let refused: KnockReply = Err(ScimError::SecretRefused);
        assert_eq!(wire::encode(&refused), Ok(vec![1, 1, 16]));
    }
}
