//! OAuth: authorization codes and the state of a log-in on its way through the identity provider.

use crate::id::SubjectKey;
use crate::secret::{Digest, constant_time_eq};
use crate::session::login::ClientRequest;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use hmac_sha256::{HMAC, Hash};
use serde::{Deserialize, Serialize};

/// The code's prefix, by which secret scanners know it.
const CODE_PREFIX: &str = "pc_ac_";
const KEY: usize = 16;
const SECRET: usize = 24;
const MAC: usize = 16;

/// An authorization code: opaque to clients, and routable here before any object is woken.
///
/// `pc_ac_` and the base64url of subject key (16 bytes), secret (24) and a truncated HMAC-SHA256 of
/// both (16). The MAC keeps strangers from waking objects; the secret, of which only the SHA-256 is
/// stored, is what makes the code worth something.
pub struct AuthorizationCode {
    /// Whose object knows it.
    pub subject: SubjectKey,
    /// What that object knows it by.
    pub digest: Digest,
    text: String,
}

impl AuthorizationCode {
    /// A code for `subject` around a random `secret`.
    #[must_use]
    pub fn new(routing_key: &[u8; 32], subject: SubjectKey, secret: &[u8; SECRET]) -> Self {
        let mut bytes = subject.as_bytes().to_vec();
        bytes.extend_from_slice(secret);
        let mac = HMAC::mac(&bytes, routing_key);
        bytes.extend_from_slice(mac.split_at(MAC).0);
        Self {
            subject,
            digest: Digest::of(secret),
            text: format!("{CODE_PREFIX}{}", base64url(&bytes)),
        }
    }

    /// Reads a code that was made under `routing_key`; `None` for anything else.
    #[must_use]
    pub fn parse(routing_key: &[u8; 32], text: &str) -> Option<Self> {
        let bytes = from_base64url(text.strip_prefix(CODE_PREFIX)?)?;
        let (signed, mac) = bytes.split_at_checked(KEY + SECRET)?;
        let expected = HMAC::mac(signed, routing_key);
        if !constant_time_eq(mac, expected.split_at(MAC).0) {
            return None;
        }
        let (key, secret) = signed.split_at_checked(KEY)?;
        Some(Self {
            subject: SubjectKey::try_from(key).ok()?,
            digest: Digest::of(secret),
            text: text.to_owned(),
        })
    }

    /// What the client gets, once.
    #[must_use]
    pub fn as_text(&self) -> &str {
        &self.text
    }
}

/// The S256 challenge of a PKCE verifier (RFC 7636 section 4.2); `None` if it is no verifier
/// (section 4.1: 43 to 128 unreserved characters).
#[must_use]
pub fn s256_challenge(verifier: &str) -> Option<String> {
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    ((43..=128).contains(&verifier.len()) && verifier.chars().all(unreserved))
        .then(|| base64url(&Hash::hash(verifier.as_bytes())))
}

/// Whether `challenge` can be an S256 challenge: the base64url of 32 bytes.
#[must_use]
pub fn is_s256_challenge(challenge: &str) -> bool {
    from_base64url(challenge).is_some_and(|bytes| bytes.len() == 32)
}

/// A log-in that has left for the identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// What the client asked for.
    pub client: ClientRequest,
    /// The client's own `state`.
    pub client_state: Option<String>,
    /// When the browser set out.
    pub begun_at: UnixMillis,
    /// Of the cookie that the browser must bring back: a stranger's browser cannot finish it.
    pub browser: Digest,
    /// The `nonce` that the ID token must repeat.
    pub nonce: String,
    /// The PKCE verifier for the identity provider.
    pub code_verifier: String,
}

/// Keep a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginFlow {
    /// The flow.
    pub flow: Flow,
}

/// Take a flow back. It is gone afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeFlow {
    /// Of the cookie that the browser brought.
    pub browser: Digest,
}

crate::object_calls! {
    /// One operation of a flow's object.
    FlowRequest {
        /// Keep it.
        Begin(BeginFlow) -> (),
        /// Take it back, once, by the browser that began it.
        Take(TakeFlow) -> Option<Flow>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_code_is_read_back_and_no_changed_byte_is(secret: [u8; SECRET], at in 6usize..80, with: u8) {
            let code = AuthorizationCode::new(&[1; 32], SubjectKey::from_bytes([2; 16]), &secret);
            let read = AuthorizationCode::parse(&[1; 32], code.as_text()).unwrap();
            prop_assert_eq!((read.subject, read.digest), (code.subject, code.digest));
            prop_assert!(AuthorizationCode::parse(&[3; 32], code.as_text()).is_none());
            let mut bytes = code.as_text().as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(at) {
                let changed = *byte != with;
                *byte = with;
                if let (true, Ok(text)) = (changed, std::str::from_utf8(&bytes)) {
                    prop_assert!(AuthorizationCode::parse(&[1; 32], text).is_none());
                }
            }
        }

        #[test]
        fn arbitrary_text_is_no_code(text: String) {
            prop_assert!(AuthorizationCode::parse(&[1; 32], &text).is_none());
        }
    }

    #[test]
    fn the_challenge_of_rfc_7636_appendix_b() {
        assert_eq!(
            s256_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").as_deref(),
            Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")
        );
        assert_eq!(s256_challenge("short"), None);
        assert_eq!(s256_challenge(&"ü".repeat(50)), None);
    }
}
