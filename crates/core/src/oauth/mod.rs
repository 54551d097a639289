//! OAuth: authorization requests, their way through the identity provider, opaque credentials, PKCE.

pub mod authorize;
pub mod flow;
pub mod opaque;
pub mod relay;

use crate::text::{base64url, from_base64url};
use hmac_sha256::Hash;

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

#[cfg(test)]
pub(crate) mod testing {
    //! A client and its usual request.

    use super::authorize::{AuthorizationRequest, Parameters, Via};
    use crate::client::{Client, Origin};
    use crate::time::UnixMillis;
    use serde_json::json;

    /// RFC 7636 appendix B.
    pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    pub const USUAL: [(&str, &str); 5] = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", "https://a.example/cb"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];

    pub fn client() -> Client {
        let metadata = json!({
            "client_id": "app",
            "redirect_uris": ["https://a.example/cb"],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access",
            "resources": ["https://api.example"],
        });
        let metadata = metadata.as_object().expect("an object").clone();
        Origin::Configuration
            .client("", metadata, UnixMillis(0), false)
            .expect("valid")
    }

    /// The usual parameters with some replaced or added.
    pub fn parameters(changes: &[(&str, &str)]) -> Parameters {
        let kept = USUAL
            .iter()
            .filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
        Parameters::read(kept.chain(changes).copied())
    }

    pub fn request(changes: &[(&str, &str)]) -> AuthorizationRequest {
        parameters(changes)
            .judge(&client(), &[], Via::Browser)
            .expect("valid")
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
