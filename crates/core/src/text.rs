//! base64url without padding (RFC 4648 section 5), the text form of every binary value here; and
//! base64 as XML has it.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// `bytes` as unpadded base64url.
#[must_use]
pub fn base64url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// The bytes of an unpadded base64url text, or `None` if it is not exactly one.
#[must_use]
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// The bytes of a padded base64 text (RFC 4648 section 4) that may be broken into lines, or `None`.
#[must_use]
pub fn from_base64_wrapped(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n'))
        .collect();
    Base64::decode_vec(&text).ok()
}

/// `text` cut to at most `max_bytes`, at a character boundary.
///
/// For what enters the log from outside: a bound keeps a caller from choosing our row sizes.
#[must_use]
pub fn truncated(text: &str, max_bytes: usize) -> String {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_respects_character_boundaries() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("", 3), "");
    }

    #[test]
    fn base64_may_be_wrapped_and_must_be_padded() {
        assert_eq!(from_base64_wrapped("/+8="), Some(vec![0xff, 0xef]));
        assert_eq!(from_base64_wrapped(" /+\r\n8=\n"), Some(vec![0xff, 0xef]));
        for text in ["/+8", "_-8=", "/+8=\u{a0}", "/+9="] {
            assert_eq!(from_base64_wrapped(text), None, "{text}");
        }
    }

    #[test]
    fn padded_or_foreign_alphabets_are_refused() {
        assert_eq!(from_base64url("_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(from_base64url("/+8"), None);
        assert_eq!(from_base64url("_-8="), None);
    }
}
