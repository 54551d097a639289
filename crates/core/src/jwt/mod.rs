//! Signed tokens: reading, verifying and making them.
//!
//! Compact JWS only (RFC 7515 section 3.1). A token passes through three types, and only the step
//! between them makes the next: [`UnverifiedToken`](unverified::UnverifiedToken) is text that parsed,
//! `SignedClaims` has a good signature by a key of the set, and
//! [`VerifiedAccessToken`](access_token::VerifiedAccessToken) or
//! [`VerifiedIdToken`](id_token::VerifiedIdToken) says what it must say to us, now.
//!
//! Two rules close whole classes of attack (RFC 8725):
//! - The algorithm comes from the caller's allow-list and must fit the type of the key. `none` and
//!   the HMAC algorithms have no representation here.
//! - Each kind of token has its own `typ`, and a verifier accepts one kind.
//!
//! Times are whole seconds, as in the claims. What was issued or becomes valid in the future is
//! accepted up to [`CLOCK_SKEW_SECS`]; expiry has no leeway.
//!
//! Out of scope: encrypted tokens, fetching keys (see [`cache`] for when to), revocation.

pub mod access_token;
pub mod actor;
pub mod assertion;
pub mod cache;
pub mod dpop;
pub mod feed;
pub mod foreign;
pub mod id_token;
pub mod jwks;
pub mod logout_token;
pub mod sign;
pub mod unverified;

pub(crate) mod json;
mod times;

use serde::{Deserialize, Serialize};
use std::fmt;

/// How far another machine's clock may be ahead of ours, in seconds.
pub const CLOCK_SKEW_SECS: u64 = 60;

/// A signature algorithm that is accepted somewhere (RFC 7518 section 3.1, RFC 8037 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm of that `alg` value, exactly as registered.
    #[must_use]
    pub fn parse(alg: &str) -> Option<Self> {
        match alg {
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "EdDSA" => Some(Self::EdDsa),
            _ => None,
        }
    }
}

/// Why a token was not accepted. The text form goes into replies and into the log. Append only: the order
/// is the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TokenError {
    /// Not a compact JWS with a JSON object for header and claims, or its header asks for what is
    /// not supported.
    Malformed,
    /// Longer than [`MAX_TOKEN_BYTES`](unverified::MAX_TOKEN_BYTES).
    TooLarge,
    /// The algorithm is not on the caller's list, or does not fit the key that `kid` names.
    Algorithm,
    /// No single key of the set fits. The only reason for which fetching the set again may help.
    UnknownKey,
    /// The signature is not by that key over these bytes.
    Signature,
    /// `typ` names another kind of token.
    Type,
    /// Another `iss`.
    Issuer,
    /// For another `aud`, or through another `azp`.
    Audience,
    /// `exp` has passed, or the token is older than this use allows.
    Expired,
    /// `iat` or `nbf` lies in the future.
    NotYetValid,
    /// A claim that is needed is absent or of the wrong type.
    Claims,
    /// Another `nonce` than was sent.
    Nonce,
    /// The token is bound to a key (`cnf`) and came without proof of it.
    ProofRequired,
    /// A proof and a token that do not belong together: another key or another token, or a token
    /// that is bound to none.
    Binding,
    /// A proof made for another request.
    Request,
    /// It is good for longer than this use allows.
    Lifetime,
}

impl TokenError {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Type => "type",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Claims => "claims",
            Self::Nonce => "nonce",
            Self::ProofRequired => "proof_required",
            Self::Binding => "binding",
            Self::Request => "request",
            Self::Lifetime => "lifetime",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for TokenError {}

/// Keys and tokens for the tests of this module: what an honest issuer sends, to be bent by each.
#[cfg(test)]
pub(crate) mod testing {
    use super::access_token::AccessTokenClaims;
    use super::jwks::KeySet;
    use super::sign::SigningKey;
    use crate::id::{GrantId, SessionId, SubjectKey, TokenId};
    use crate::text::base64url;
    use crate::time::UnixMillis;
    use serde_json::Value;

    pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    pub fn our_key() -> SigningKey {
        SigningKey::from_secret(&[7; 32]).expect("a valid scalar")
    }

    pub fn our_keys() -> KeySet {
        let jwks = serde_json::json!({ "keys": [our_key().public_jwk()] });
        KeySet::parse(jwks.to_string().as_bytes()).expect("a key set")
    }

    /// A token of these very texts, signed by [`our_key`] whatever they say.
    pub fn signed_text(header: &str, claims: &str) -> String {
        use p256::ecdsa::signature::Signer;
        let input = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).expect("a valid scalar");
        let signature: p256::ecdsa::Signature = key.sign(input.as_bytes());
        format!("{input}.{}", base64url(&signature.to_bytes()))
    }

    pub fn signed(header: &Value, claims: &Value) -> String {
        signed_text(&header.to_string(), &claims.to_string())
    }

    /// What one of our access tokens says, issued now.
    pub fn access_token_claims() -> AccessTokenClaims {
        AccessTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes([1; 16]),
            aud: vec!["https://app.example".to_owned()],
            client_id: "app".to_owned(),
            exp: NOW.secs() + 300,
            iat: NOW.secs(),
            jti: TokenId::from_bytes([2; 16]),
            sid: SessionId::from_bytes([3; 16]),
            gid: GrantId::from_bytes([4; 16]),
            generation: 5,
            auth_time: Some(NOW.secs() - 9),
            acr: None,
            scope: Some("openid".to_owned()),
            roles: Vec::new(),
            groups: vec!["staff".to_owned()],
            idp_claims: serde_json::Map::new(),
            cnf: None,
            act: None,
        }
    }

    /// `claims` without `name`.
    pub fn without(claims: &Value, name: &str) -> Value {
        let mut claims = claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    }

    /// `claims` with `name` set to `value`.
    pub fn with(claims: &Value, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = claims.clone();
        claims
            .as_object_mut()
            .expect("an object")
            .insert(name.to_owned(), value.into());
        claims
    }
}
