//! A token whose signature nobody has checked yet.
//!
//! What is read here may choose a key, and nothing else: every name says so. The whole text is
//! bounded and parsed at once, so that later steps meet nothing malformed.

use super::{TokenError, json};
use crate::text::from_base64url;
use serde_json::{Map, Value};
use std::fmt;

/// The longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// The longest `kid` that is looked at: it is an index, and is remembered when it is unknown.
pub const MAX_KID_BYTES: usize = 256;

/// A compact JWS that parses, of which nothing is known to be true.
pub struct UnverifiedToken<'a> {
    text: &'a str,
    signing_input: &'a str,
    signature: &'a str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl<'a> UnverifiedToken<'a> {
    /// Takes the text apart.
    ///
    /// A header with a `jwk` is refused rather than ignored: only a forger gains by bringing along
    /// the key to be verified with. So is one with `crit`, as no extension is supported (RFC 7515
    /// section 4.1.11).
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let token = Self::parse_with_any_key(text)?;
        if token.header.contains_key("jwk") {
            return Err(TokenError::Malformed);
        }
        Ok(token)
    }

    /// Takes apart the one kind of token that brings its key along, a `DPoP` proof. Returns the key
    /// apart from it, so that nobody takes it for one that is known.
    pub(super) fn parse_with_key(text: &'a str) -> Result<(Self, Map<String, Value>), TokenError> {
        let mut token = Self::parse_with_any_key(text)?;
        match token.header.remove("jwk") {
            Some(Value::Object(jwk)) => Ok((token, jwk)),
            _ => Err(TokenError::Malformed),
        }
    }

    fn parse_with_any_key(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLarge);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signing_input
            .split_once('.')
            .filter(|(_, claims)| !claims.contains('.'))
            .ok_or(TokenError::Malformed)?;
        let token = Self {
            text,
            signing_input,
            signature,
            header: object(header)?,
            claims: object(claims)?,
        };
        token.checked_header()?;
        Ok(token)
    }

    /// The text it was parsed from.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What the signature is over (RFC 7515 section 5.2 step 8).
    pub(super) fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The bytes of the signature.
    pub(super) fn signature(&self) -> Result<Vec<u8>, TokenError> {
        from_base64url(self.signature).ok_or(TokenError::Malformed)
    }

    /// `alg`, as claimed.
    #[must_use]
    pub fn alg(&self) -> &str {
        text(&self.header, "alg").unwrap_or_default()
    }

    /// `kid`, as claimed.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        text(&self.header, "kid")
    }

    /// `typ`, as claimed.
    #[must_use]
    pub fn typ(&self) -> Option<&str> {
        text(&self.header, "typ")
    }

    /// `iss`, as claimed: it may say whose keys to try, no more.
    #[must_use]
    pub fn unverified_iss(&self) -> Option<&str> {
        text(&self.claims, "iss")
    }

    /// Whether the token claims to be for `audience`.
    #[must_use]
    pub fn has_unverified_aud(&self, audience: &str) -> bool {
        has_audience(&self.claims, audience)
    }

    /// Whether `typ` is the media type `application/{subtype}`, in either form and any case
    /// (RFC 7515 section 4.1.9).
    pub(super) fn is_of_type(&self, subtype: &str) -> bool {
        let typ = self.typ().unwrap_or_default();
        let bare = match typ.split_once('/') {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application") => rest,
            _ => typ,
        };
        bare.eq_ignore_ascii_case(subtype)
    }

    /// The claims, once their signature has been checked.
    pub(super) fn into_claims(self) -> Map<String, Value> {
        self.claims
    }

    fn checked_header(&self) -> Result<(), TokenError> {
        let text_if_present = |name| self.header.get(name).is_none_or(Value::is_string);
        let fits = self.header.get("alg").is_some_and(Value::is_string)
            && text_if_present("kid")
            && text_if_present("typ")
            && self.kid().is_none_or(|kid| kid.len() <= MAX_KID_BYTES)
            && !self.header.contains_key("crit");
        if fits {
            Ok(())
        } else {
            Err(TokenError::Malformed)
        }
    }
}

/// The header only: claims are about people, and the text is a credential.
impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedToken")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

/// Whether `aud`, a string or an array of strings (RFC 7519 section 4.1.3), contains `audience`.
pub(super) fn has_audience(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(only)) => only == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one == audience),
        _ => false,
    }
}

/// Requires that `aud` contains `audience`; one that is neither text nor a list of texts is no
/// claim at all.
pub(super) fn require_audience(
    claims: &Map<String, Value>,
    audience: &str,
) -> Result<(), TokenError> {
    let readable = match claims.get("aud") {
        Some(Value::Array(several)) => several.iter().all(Value::is_string),
        Some(one) => one.is_string(),
        None => true,
    };
    match (readable, has_audience(claims, audience)) {
        (false, _) => Err(TokenError::Claims),
        (true, false) => Err(TokenError::Audience),
        (true, true) => Ok(()),
    }
}

/// The string member `name`.
pub(super) fn text<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    map.get(name).and_then(Value::as_str)
}

fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    from_base64url(part)
        .and_then(|bytes| json::object(&bytes))
        .ok_or(TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{signed, signed_text};
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn refusal(text: &str) -> Option<TokenError> {
        UnverifiedToken::parse(text).err()
    }

    #[test]
    fn what_is_claimed_can_be_read() {
        let header = json!({ "alg": "ES256", "kid": "k", "typ": "application/AT+JWT" });
        let text = signed(&header, &json!({ "iss": "i", "aud": ["a", "b"] }));
        let token = UnverifiedToken::parse(&text).expect("parses");
        assert_eq!((token.alg(), token.kid()), ("ES256", Some("k")));
        assert_eq!(token.unverified_iss(), Some("i"));
        assert!(token.has_unverified_aud("b") && !token.has_unverified_aud("c"));
        assert!(token.is_of_type("at+jwt") && !token.is_of_type("jwt"));
        let shown = format!("{token:?}");
        assert!(!shown.contains(&text) && !shown.contains("iss"), "{shown}");
    }

    #[test]
    fn duplicate_names_are_malformed() {
        let header = r#"{"alg":"none","alg":"ES256"}"#;
        assert_eq!(
            refusal(&signed_text(header, "{}")),
            Some(TokenError::Malformed)
        );
        let claims = r#"{"sub":"alice","sub":"bob"}"#;
        let text = signed_text(r#"{"alg":"ES256"}"#, claims);
        assert_eq!(refusal(&text), Some(TokenError::Malformed));
    }

    #[test]
    fn headers_that_bring_a_key_or_an_extension_are_malformed() {
        for header in [
            json!({ "alg": "ES256", "jwk": { "kty": "EC" } }),
            json!({ "alg": "ES256", "crit": ["exp"] }),
            json!({ "alg": "ES256", "kid": 7 }),
            json!({ "alg": "ES256", "kid": "k".repeat(257) }),
            json!({ "alg": ["none"] }),
            json!({}),
        ] {
            let text = signed(&header, &json!({}));
            assert_eq!(refusal(&text), Some(TokenError::Malformed), "{header}");
        }
    }

    #[test]
    fn length_is_bounded() {
        let text = "a".repeat(MAX_TOKEN_BYTES + 1);
        assert_eq!(refusal(&text), Some(TokenError::TooLarge));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            prop_assert!(refusal(&text).is_some());
        }

        #[test]
        fn arbitrary_parts_never_panic(text in "[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}") {
            let _ = refusal(&text);
        }
    }
}
