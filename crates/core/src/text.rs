//! base64url without padding (RFC 4648 section 5), the text form of every binary value here.

use base64ct::{Base64UrlUnpadded, Encoding};

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
    fn padded_or_foreign_alphabets_are_refused() {
        assert_eq!(from_base64url("_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(from_base64url("/+8"), None);
        assert_eq!(from_base64url("_-8="), None);
    }
}
