//! Opaque credentials: authorization codes and refresh tokens. The secret of a SCIM endpoint
//! ([`crate::scim::secret`]) has the same form, and more random bytes.
//!
//! Opaque to clients, and routable here before any object is woken. The text is a prefix, the
//! base64url of *route, secret (24 bytes), MAC (16)*, a dot, and eight hex digits of CRC-32 over all that
//! stands before the dot:
//!
//! | kind | prefix | route |
//! |---|---|---|
//! | [`AuthorizationCode`] | `pc_ac_` | subject key (16 bytes) |
//! | [`RefreshToken`] | `pc_rt_` | subject key (16), session id (16) |
//!
//! The MAC is a truncated HMAC-SHA256 over prefix, route and secret: strangers cannot wake objects,
//! and a credential of one kind is none of another. The checksum lets secret scanners tell a real one
//! from a look-alike without asking. Only the SHA-256 of the secret is ever stored.

use crate::id::{SessionId, SubjectKey};
use crate::secret::{Digest, constant_time_eq};
use crate::text::{base64url, from_base64url};
use hmac_sha256::HMAC;

const SECRET: usize = 24;
const MAC: usize = 16;

/// The eight hex digits of CRC-32 (ISO 3309) that end every secret of ours.
#[must_use]
pub fn checksum(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

/// A random secret, or one derived from its predecessor. It has no Debug and no equality.
#[derive(Clone)]
pub(crate) struct Secret<const BYTES: usize = SECRET>([u8; BYTES]);

impl<const BYTES: usize> Secret<BYTES> {
    /// Around random bytes.
    pub(crate) const fn new(random: [u8; BYTES]) -> Self {
        Self(random)
    }

    /// What it is known by.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// The text of `prefix`, `route` and `secret` under `key`.
pub(crate) fn written<const BYTES: usize>(
    key: &[u8; 32],
    prefix: &str,
    route: &[u8],
    secret: &Secret<BYTES>,
) -> String {
    let mut bytes = [route, &secret.0].concat();
    let mac = mac(key, prefix, &bytes);
    bytes.extend_from_slice(&mac);
    let text = format!("{prefix}{}", base64url(&bytes));
    let checksum = checksum(&text);
    format!("{text}.{checksum}")
}

/// Route and secret of a text that [`written`] made under `key` with `prefix`.
pub(crate) fn read<const ROUTE: usize, const BYTES: usize>(
    key: &[u8; 32],
    prefix: &str,
    text: &str,
) -> Option<([u8; ROUTE], Secret<BYTES>)> {
    let (body, sum) = text.rsplit_once('.')?;
    if sum != checksum(body) {
        return None;
    }
    let bytes = from_base64url(body.strip_prefix(prefix)?)?;
    let (signed, tag) = bytes.split_at_checked(ROUTE + BYTES)?;
    if !constant_time_eq(tag, &mac(key, prefix, signed)) {
        return None;
    }
    let (route, secret) = signed.split_at_checked(ROUTE)?;
    Some((route.try_into().ok()?, Secret(secret.try_into().ok()?)))
}

fn mac(key: &[u8; 32], prefix: &str, signed: &[u8]) -> [u8; MAC] {
    let mut mac = HMAC::new(key);
    mac.update(prefix.as_bytes());
    mac.update(signed);
    let mut truncated = [0; MAC];
    truncated.copy_from_slice(mac.finalize().split_at(MAC).0);
    truncated
}

/// An authorization code (RFC 6749 section 1.3.1).
pub struct AuthorizationCode {
    /// Whose object knows it.
    pub subject: SubjectKey,
    /// What that object knows it by.
    pub digest: Digest,
    text: String,
}

impl AuthorizationCode {
    const PREFIX: &str = "pc_ac_";

    /// A code for `subject` around a random `secret`.
    #[must_use]
    pub fn new(routing_key: &[u8; 32], subject: SubjectKey, secret: &[u8; SECRET]) -> Self {
        let secret = Secret(*secret);
        Self {
            subject,
            digest: secret.digest(),
            text: written(routing_key, Self::PREFIX, subject.as_bytes(), &secret),
        }
    }

    /// Reads a code that was made under `routing_key`; `None` for anything else.
    #[must_use]
    pub fn parse(routing_key: &[u8; 32], text: &str) -> Option<Self> {
        let (route, secret) = read::<16, SECRET>(routing_key, Self::PREFIX, text)?;
        Some(Self {
            subject: SubjectKey::from_bytes(route),
            digest: secret.digest(),
            text: text.to_owned(),
        })
    }

    /// What the client gets, once.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

/// The random part of a refresh token that has no session yet.
pub struct RefreshSecret(Secret);

impl RefreshSecret {
    /// Around random bytes.
    #[must_use]
    pub const fn new(random: [u8; SECRET]) -> Self {
        Self(Secret(random))
    }

    /// What the subject's object will know it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }
}

/// A refresh token (RFC 6749 section 1.5).
#[derive(Clone)]
pub struct RefreshToken {
    /// Whose object knows it.
    pub subject: SubjectKey,
    /// The session it keeps going.
    pub session: SessionId,
    secret: Secret,
}

impl RefreshToken {
    const PREFIX: &str = "pc_rt_";

    /// The token around `secret` for `session` of `subject`.
    #[must_use]
    pub fn new(subject: SubjectKey, session: SessionId, secret: RefreshSecret) -> Self {
        Self {
            subject,
            session,
            secret: secret.0,
        }
    }

    /// Reads a token that was made under `routing_key`; `None` for anything else.
    #[must_use]
    pub fn parse(routing_key: &[u8; 32], text: &str) -> Option<Self> {
        let (route, secret) = read::<32, SECRET>(routing_key, Self::PREFIX, text)?;
        let (subject, session) = route.split_at_checked(16)?;
        Some(Self {
            subject: SubjectKey::try_from(subject).ok()?,
            session: SessionId::try_from(session).ok()?,
            secret,
        })
    }

    /// Whether `text` claims to be a refresh token at all.
    #[must_use]
    pub fn has_its_prefix(text: &str) -> bool {
        text.starts_with(Self::PREFIX)
    }

    /// What the subject's object knows it by.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.secret.digest()
    }

    /// The token that follows this one, by a random `salt`. Whoever holds this one and learns the salt
    /// can make it again, so a retry gets the same successor although nobody has kept it; without
    /// either, nothing is known of it.
    #[must_use]
    pub fn successor(&self, salt: &[u8; 24]) -> Self {
        let mut mac = HMAC::new(self.secret.0);
        mac.update(b"refresh token successor 1");
        mac.update(salt);
        let mut secret = [0; SECRET];
        secret.copy_from_slice(mac.finalize().split_at(SECRET).0);
        Self {
            subject: self.subject,
            session: self.session,
            secret: Secret(secret),
        }
    }

    /// What the client gets.
    #[must_use]
    pub fn to_text(&self, routing_key: &[u8; 32]) -> String {
        let route = [
            self.subject.as_bytes().as_slice(),
            self.session.as_bytes().as_slice(),
        ]
        .concat();
        written(routing_key, Self::PREFIX, &route, &self.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUBJECT: SubjectKey = SubjectKey::from_bytes([2; 16]);
    const SESSION: SessionId = SessionId::from_bytes([3; 16]);
    const KEY: [u8; 32] = [1; 32];

    fn refresh(secret: [u8; SECRET]) -> RefreshToken {
        RefreshToken::new(SUBJECT, SESSION, RefreshSecret::new(secret))
    }

    /// `text` with another byte at `at`, if that is still text.
    fn bent(text: &str, at: usize, with: u8) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        let byte = bytes.get_mut(at)?;
        let changed = *byte != with;
        *byte = with;
        String::from_utf8(bytes).ok().filter(|_| changed)
    }

    proptest! {
        #[test]
        fn a_code_is_read_back_and_no_changed_byte_is(secret: [u8; SECRET], at in 0usize..100, with: u8) {
            let code = AuthorizationCode::new(&KEY, SUBJECT, &secret);
            let read = AuthorizationCode::parse(&KEY, code.as_text()).expect("reads");
            prop_assert_eq!((read.subject, read.digest), (code.subject, code.digest));
            prop_assert!(AuthorizationCode::parse(&[3; 32], code.as_text()).is_none());
            if let Some(bent) = bent(code.as_text(), at, with) {
                prop_assert!(AuthorizationCode::parse(&KEY, &bent).is_none());
            }
        }

        #[test]
        fn a_refresh_token_is_read_back_and_no_changed_byte_is(secret: [u8; SECRET], at in 0usize..120, with: u8) {
            let text = refresh(secret).to_text(&KEY);
            let read = RefreshToken::parse(&KEY, &text).expect("reads");
            prop_assert_eq!((read.subject, read.session, read.digest()), (SUBJECT, SESSION, refresh(secret).digest()));
            prop_assert!(RefreshToken::parse(&[3; 32], &text).is_none());
            if let Some(bent) = bent(&text, at, with) {
                prop_assert!(RefreshToken::parse(&KEY, &bent).is_none());
            }
        }

        #[test]
        fn arbitrary_text_is_no_credential(text: String) {
            prop_assert!(AuthorizationCode::parse(&KEY, &text).is_none());
            prop_assert!(RefreshToken::parse(&KEY, &text).is_none());
        }
    }

    #[test]
    fn one_kind_is_not_read_as_another_even_with_a_mended_checksum() {
        let text = refresh([4; SECRET]).to_text(&KEY);
        let (body, _) = text.rsplit_once('.').expect("a checksum");
        let other = body.replacen("pc_rt_", "pc_ac_", 1);
        let other = format!("{other}.{}", checksum(&other));
        assert!(AuthorizationCode::parse(&KEY, &other).is_none());
        assert!(RefreshToken::parse(&KEY, &text).is_some());
    }

    #[test]
    fn the_successor_depends_on_token_and_salt_and_on_nothing_else() {
        let one = |salt| refresh([4; SECRET]).successor(&[salt; 24]).digest();
        assert_eq!(one(1), one(1));
        assert_ne!(one(1), one(2));
        assert_ne!(one(1), refresh([5; SECRET]).successor(&[1; 24]).digest());
        assert_ne!(one(1), refresh([4; SECRET]).digest());
    }

    #[test]
    fn the_checksum_is_the_common_crc_32() {
        assert_eq!(checksum("123456789"), "cbf43926");
    }
}
