//! `DPoP` proofs (RFC 9449): that whoever sends a request has the key that its token is bound to.
//!
//! The checks of section 4.3, by their numbers there; the same numbers are in the code and in the
//! names of the tests.
//!
//! | | what |
//! |---|---|
//! | 1 | there is one `DPoP` header: joined as HTTP joins them, two are no JWT |
//! | 2 | it is one well-formed JWT, of at most [`MAX_PROOF_BYTES`] |
//! | 3 | it has `jti`, `htm`, `htu`, `iat`, and with an access token `ath` (section 4.2) |
//! | 4 | `typ` is `dpop+jwt` |
//! | 5 | `alg` is `ES256` or `EdDSA` |
//! | 6 | it is signed by the key in `jwk` |
//! | 7 | `jwk` has no private part |
//! | 8 | `htm` is the method |
//! | 9 | `htu` is the URL without query and fragment, both normalised as RFC 3986 section 6.2.2 says |
//! | 10 | `nonce`: the service gives none, so that none is needed |
//! | 11 | `iat` is at most [`MAX_PROOF_AGE_SECS`] ago and at most [`CLOCK_SKEW_SECS`] ahead |
//! | 12a | `ath` is the digest of the access token |
//! | 12b | the token is bound to the key: see [`Presentation`](super::access_token::Presentation) |
//!
//! RSA is not accepted: a proof is made for every request with a key made for it, and what RSA would add
//! is only its cost to whoever verifies.
//!
//! That a proof comes once (section 11.1) is for the caller to see: it keeps
//! [`VerifiedProof::replay_digest`] until [`VerifiedProof::expires_at`] and refuses one that it has.

use super::jwks::embedded::EmbeddedKey;
use super::times::numeric_date;
use super::unverified::{UnverifiedToken, text};
use super::{CLOCK_SKEW_SECS, TokenError};
use crate::secret::{Digest, constant_time_eq};
use crate::text::base64url;
use crate::time::UnixMillis;
use hmac_sha256::Hash;
use serde_json::{Map, Value};
use url::Url;

/// The `typ` of a proof (section 4.2).
pub const TYP: &str = "dpop+jwt";
/// The values of `alg` that are accepted, as metadata lists them (section 5.1).
pub const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];
/// The longest proof that is looked at.
pub const MAX_PROOF_BYTES: usize = 4096;
/// How long after it was made a proof is good, in seconds.
pub const MAX_PROOF_AGE_SECS: u64 = 120;
/// The longest `jti`.
pub const MAX_JTI_BYTES: usize = 256;

/// The request that a proof must have been made for.
#[derive(Clone, Copy, Debug)]
pub struct ProofVerifier<'a> {
    /// Its method, as it was sent.
    pub method: &'a str,
    /// Its URL, as the client knows it; query and fragment are ignored.
    pub url: &'a str,
    /// The access token that came with it.
    pub access_token: Option<&'a str>,
}

/// A proof made for one request. Only [`ProofVerifier::verify`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedProof {
    jkt: String,
    replay: Digest,
    made_at: UnixMillis,
    ath: Option<String>,
}

impl VerifiedProof {
    /// The thumbprint of the key that was proven (section 6.1).
    #[must_use]
    pub fn jkt(&self) -> &str {
        &self.jkt
    }

    /// What no other proof has: a digest of the key and `jti`.
    #[must_use]
    pub const fn replay_digest(&self) -> Digest {
        self.replay
    }

    /// When it is refused anyway, so that its digest need not be kept longer.
    #[must_use]
    pub const fn expires_at(&self) -> UnixMillis {
        self.made_at.plus_secs(MAX_PROOF_AGE_SECS)
    }

    /// Whether it was made for a request with this access token.
    #[must_use]
    pub fn is_for(&self, access_token: &str) -> bool {
        let expected = ath(access_token);
        self.ath
            .as_ref()
            .is_some_and(|ath| constant_time_eq(ath.as_bytes(), expected.as_bytes()))
    }
}

impl ProofVerifier<'_> {
    /// Believes the value of a `DPoP` header, or says why not.
    pub fn verify(&self, proof: &str, now: UnixMillis) -> Result<VerifiedProof, TokenError> {
        // 1, 2
        if proof.len() > MAX_PROOF_BYTES {
            return Err(TokenError::TooLarge);
        }
        let (token, jwk) = UnverifiedToken::parse_with_key(proof)?;
        // 4
        if !token.is_of_type(TYP) {
            return Err(TokenError::Type);
        }
        // 5
        if !ALGORITHMS.contains(&token.alg()) {
            return Err(TokenError::Algorithm);
        }
        // 7, then 6
        let key = EmbeddedKey::parse(&jwk).ok_or(TokenError::UnknownKey)?;
        let claims = key.verify(token)?;
        // 3, 11
        let made_at = in_window(&claims, now)?;
        let jti = text(&claims, "jti")
            .filter(|jti| (1..=MAX_JTI_BYTES).contains(&jti.len()))
            .ok_or(TokenError::Claims)?;
        // 8
        if text(&claims, "htm").ok_or(TokenError::Claims)? != self.method {
            return Err(TokenError::Request);
        }
        // 9
        let htu = text(&claims, "htu").ok_or(TokenError::Claims)?;
        if normalized(htu).ok_or(TokenError::Request)?
            != normalized(self.url).ok_or(TokenError::Request)?
        {
            return Err(TokenError::Request);
        }
        let jkt = key.into_thumbprint();
        let proof = VerifiedProof {
            replay: Digest::of(format!("dpop\n{jkt}\n{jti}").as_bytes()),
            jkt,
            made_at,
            ath: self
                .access_token
                .and(text(&claims, "ath"))
                .map(str::to_owned),
        };
        // 12a
        match self.access_token {
            Some(_) if proof.ath.is_none() => Err(TokenError::Claims),
            Some(token) if !proof.is_for(token) => Err(TokenError::Binding),
            _ => Ok(proof),
        }
    }
}

/// `iat` within the window. A proof need not have `exp` or `nbf`, but whoever sets them means it.
fn in_window(claims: &Map<String, Value>, now: UnixMillis) -> Result<UnixMillis, TokenError> {
    let made_at = numeric_date(claims, "iat")?.ok_or(TokenError::Claims)?;
    let not_before = numeric_date(claims, "nbf")?.unwrap_or(made_at).max(made_at);
    let oldest = made_at.plus_secs(MAX_PROOF_AGE_SECS);
    let expires_at = numeric_date(claims, "exp")?.unwrap_or(oldest).min(oldest);
    if now >= expires_at {
        return Err(TokenError::Expired);
    }
    if not_before > now.plus_secs(CLOCK_SKEW_SECS) {
        return Err(TokenError::NotYetValid);
    }
    Ok(made_at)
}

/// `ath` of an access token (section 4.2).
#[must_use]
pub fn ath(access_token: &str) -> String {
    base64url(&Hash::hash(access_token.as_bytes()))
}

/// An http or https URI without query and fragment, in the one form that its equals share (RFC 3986
/// sections 6.2.2 and 6.2.3); `None` if it is no such URI.
fn normalized(uri: &str) -> Option<String> {
    // What a browser's parser forgives is no URI.
    let odd = |c: char| !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '^' | '`');
    if uri.chars().any(odd) {
        return None;
    }
    let (scheme, rest) = uri.split_once("://")?;
    let web = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    if !web || rest.starts_with('/') {
        return None;
    }
    let mut url = Url::parse(uri).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    unescaped(url.as_str())
}

/// The text with every escape in capitals, and none of what needs no escape (RFC 3986 section
/// 6.2.2.2).
fn unescaped(text: &str) -> Option<String> {
    let mut normal = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('%') {
        normal.push_str(plain);
        let (digits, after) = escape.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(char::from(byte));
        } else {
            normal.push('%');
            normal.push_str(&digits.to_ascii_uppercase());
        }
        rest = after;
    }
    normal.push_str(rest);
    Some(normal)
}

#[cfg(test)]
mod tests;
