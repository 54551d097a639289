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

/// What stands at the end of a text of which something was cut.
pub const CUT: &str = "[cut]";

/// `text` if it has at most `max_bytes`, and otherwise as much of its beginning as leaves room for [`CUT`].
///
/// For what enters the log: whoever reads a line sees that something is missing.
#[must_use]
pub fn cut(text: String, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text;
    }
    truncated(&text, max_bytes.saturating_sub(CUT.len())) + CUT
}

/// `text` in lower case, for comparing what is the same in any case.
///
/// Three signs are left as they are though Unicode has lower case for them: the signs for Kelvin,
/// Angstrom and Ohm would become the letters that they look like, and a name with one would be
/// somebody else's.
#[must_use]
pub fn folded(text: &str) -> String {
    const SIGNS: [char; 3] = ['\u{212a}', '\u{212b}', '\u{2126}'];
    if !text.contains(SIGNS) {
        return text.to_lowercase();
    }
    let each = text.chars().map(|c| match c {
        sign if SIGNS.contains(&sign) => sign.to_string(),
        letter => letter.to_lowercase().collect(),
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_fold_and_what_only_looks_like_them_does_not() {
        assert_eq!(folded("AliÇE"), "aliçe");
        for (sign, letter) in [
            ("\u{212a}", "k"),
            ("\u{212b}", "\u{e5}"),
            ("\u{2126}", "\u{3c9}"),
        ] {
            for (before, behind) in [("", ""), ("A", ""), ("", "B"), ("A", "B")] {
                let text = format!("{before}{sign}{behind}");
                assert_ne!(
                    folded(&text),
                    folded(&format!("{before}{letter}{behind}")),
                    "{text}"
                );
                assert_eq!(
                    folded(&text),
                    format!("{}{sign}{}", before.to_lowercase(), behind.to_lowercase())
                );
            }
        }
        assert_ne!(folded("\u{430}lice"), folded("alice"));
    }

    #[test]
    fn truncation_respects_character_boundaries() {
        assert_eq!(truncated("aé", 2), "a");
        assert_eq!(truncated("aé", 3), "aé");
        assert_eq!(truncated("", 3), "");
    }

    #[test]
    fn what_was_cut_says_so_and_is_not_cut_again() {
        assert_eq!(cut("a".repeat(9), 9), "a".repeat(9));
        assert_eq!(cut("aaaé".to_owned() + "bbbbbb", 9), "aaa[cut]");
        let once = cut("a".repeat(99), 9);
        assert_eq!(once, "aaaa[cut]");
        assert_eq!(cut(once.clone(), 9), once);
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
