//! OAuth: opaque credentials, PKCE, and the state of a log-in on its way through the identity
//! provider.

pub mod opaque;

use crate::secret::Digest;
use crate::session::login::ClientRequest;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use hmac_sha256::Hash;
use serde::{Deserialize, Serialize};

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
