//! Nothing that looks like a credential gets into the log: producers scrub what they say, and the log
//! scrubs what it is told.
//!
//! What is taken out is replaced by `[redacted:xxxxxxxx]`, four bytes of its SHA-256: enough to see that two
//! lines had the same, of no use to whoever wants to present it.
//!
//! | what | how it is known |
//! |---|---|
//! | JWTs and other JOSE objects | `eyJ` begins them |
//! | ours | `pc_`; and `ses_`, `jti_`, `gnt_`, the identifiers that tokens carry |
//! | others' | the prefixes by which their vendors let scanners find them |
//! | what `Authorization` holds | the scheme before it |
//! | what is called a secret | a name that ends in `password`, `token` and the like, and `=` or `:` |
//! | what is long and random | 32 hexadecimal digits in one piece; 32 characters that go back and forth between cases and digits |
//!
//! It counts in any percent-encoding, too. A text may lose something harmless so; UUIDs, names of
//! subjects and producers, and the log's own hashes stay.
//!
//! Out of scope: short passwords under no name, which nothing tells from words.

use hmac_sha256::Hash;
use percent_encoding::percent_decode_str;
use std::fmt::Write;
use std::ops::Range;

/// From here on what has no name is long.
const LONG: usize = 32;
/// The shortest secret behind one of [`PREFIXES`].
const MIN_BEHIND_PREFIX: usize = 16;
/// The shortest secret behind a scheme: what follows in prose is a word.
const MIN_BEHIND_SCHEME: usize = 8;
/// How often a text is decoded at most. What is encoded more often is nobody's credential.
const MAX_DECODINGS: usize = 3;

/// How secrets begin.
const PREFIXES: [&str; 23] = [
    "eyJ",
    "pc_",
    "ses_",
    "jti_",
    "gnt_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxa-",
    "xoxb-",
    "xoxp-",
    "xoxs-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "AKIA",
    "ASIA",
    "AIza",
    "npm_",
];

/// Schemes of `Authorization`, in lower case.
const SCHEMES: [&str; 6] = ["bearer", "dpop", "basic", "digest", "token", "negotiate"];

/// What secrets are called, or how their names end, in lower case.
const NAMES: [&str; 20] = [
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "authorization",
    "assertion",
    "credential",
    "credentials",
    "cookie",
    "sessionid",
    "session_id",
    "signature",
    "code_verifier",
];

/// `text` without what looks like a credential. Doing it again changes nothing.
#[must_use]
pub fn scrubbed(text: String) -> String {
    let mut decoded = text.clone();
    for _ in 0..=MAX_DECODINGS {
        if let Some(scrubbed) = without_secrets(&decoded) {
            // Written as it was found out: the encoded text would still hold it.
            return scrubbed;
        }
        if !decoded.contains('%') {
            break;
        }
        decoded = percent_decode_str(&decoded)
            .decode_utf8_lossy()
            .into_owned();
    }
    text
}

/// The text without its secrets; `None` if there are none.
fn without_secrets(text: &str) -> Option<String> {
    let mut scrubbed = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(word) = next_word(text, at) {
        at = word.end;
        let Some(secret) = secret_at(text, &word) else {
            continue;
        };
        scrubbed.push_str(text.get(kept..secret.start)?);
        redact(&mut scrubbed, text.get(secret.clone())?);
        kept = secret.end;
        at = secret.end;
    }
    if kept == 0 {
        return None;
    }
    scrubbed.push_str(text.get(kept..)?);
    Some(scrubbed)
}

fn redact(scrubbed: &mut String, secret: &str) {
    let digest = Hash::hash(secret.as_bytes());
    scrubbed.push_str("[redacted:");
    for byte in digest.iter().take(4) {
        // Writing to a string cannot fail.
        let _ = write!(scrubbed, "{byte:02x}");
    }
    scrubbed.push(']');
}

const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '~' | '+')
}

/// The next run of what credentials are written with.
fn next_word(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = text.get(from..)?;
    let start = from + rest.find(is_of_word)?;
    let word = text.get(start..)?;
    let length = word.find(|c| !is_of_word(c)).unwrap_or(word.len());
    Some(start..start + length)
}

/// Where the secret is that this word is, or that it announces.
fn secret_at(text: &str, word: &Range<usize>) -> Option<Range<usize>> {
    let written = text.get(word.clone())?;
    if let Some(offset) = begins_in(written) {
        return Some(word.start + offset..word.end);
    }
    announced(text, written, word.end)
}

/// Where a secret begins in a word that stands alone.
fn begins_in(word: &str) -> Option<usize> {
    let mut parts = word.split_inclusive(['.', '~', '+']).scan(0, |at, part| {
        let begins = *at;
        *at += part.len();
        Some((begins, part))
    });
    let of_part = |(begins, part): (usize, &str)| {
        let prefixed = prefixed(part, word.len() - begins);
        prefixed
            .or_else(|| is_random(part).then_some(0))
            .map(|offset| begins + offset)
    };
    parts.find_map(of_part)
}

/// Where one of the prefixes stands, at the beginning of something.
fn prefixed(part: &str, length: usize) -> Option<usize> {
    let found = PREFIXES.iter().filter_map(|prefix| {
        let mut places = part.match_indices(prefix).map(|(at, _)| at);
        places.find(|at| {
            let before = at.checked_sub(1).and_then(|at| part.as_bytes().get(at));
            before.is_none_or(|before| !before.is_ascii_alphanumeric())
                && length - at >= prefix.len() + MIN_BEHIND_PREFIX
        })
    });
    found.min()
}

/// Whether it has a long run of hexadecimal digits, or goes back and forth between cases and digits as
/// only chance writes.
fn is_random(part: &str) -> bool {
    let mut hexadecimal = part.split(|c: char| !c.is_ascii_hexdigit());
    if hexadecimal.any(|run| run.len() >= LONG) {
        return true;
    }
    let class = |byte: &u8| match byte {
        b'0'..=b'9' => Some(0),
        b'a'..=b'z' => Some(1),
        b'A'..=b'Z' => Some(2),
        _ => None,
    };
    let pairs = part.as_bytes().iter().zip(part.as_bytes().iter().skip(1));
    let turns = pairs
        .filter(|(one, next)| {
            let (one, next) = (class(one), class(next));
            one.is_some() && next.is_some() && one != next
        })
        .count();
    part.len() >= LONG && 4 * turns >= part.len() && part.contains(|c: char| c.is_ascii_digit())
}

/// Where the secret is that follows a name or a scheme.
fn announced(text: &str, word: &str, end: usize) -> Option<Range<usize>> {
    let lower = word.to_ascii_lowercase();
    let behind = text.get(end..)?;
    if NAMES.iter().any(|name| lower.ends_with(name)) {
        let value = behind.trim_start_matches([' ', '"', '\'']);
        if let Some(value) = value.strip_prefix(['=', ':']) {
            let value = value.trim_start_matches([' ', '"', '\'']);
            let value = without_scheme(value);
            return until_delimiter(text, value, 1);
        }
    }
    if SCHEMES.contains(&lower.as_str()) {
        let value = behind.strip_prefix(' ')?.trim_start_matches(' ');
        let is_prose = value
            .split(|c: char| !is_of_word(c))
            .next()
            .is_none_or(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
        return (!is_prose)
            .then(|| until_delimiter(text, value, MIN_BEHIND_SCHEME))
            .flatten();
    }
    None
}

fn without_scheme(value: &str) -> &str {
    let scheme = SCHEMES.iter().find_map(|scheme| {
        let (first, rest) = value.split_once(' ')?;
        first.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    scheme.map_or(value, |rest| rest.trim_start_matches(' '))
}

/// The place of what `rest`, an end of `text`, begins with, if it is that long and not taken out already.
fn until_delimiter(text: &str, rest: &str, shortest: usize) -> Option<Range<usize>> {
    const DELIMITERS: [char; 13] = [
        ' ', '\t', '\r', '\n', '"', '\'', '&', ';', ',', ')', '}', ']', '[',
    ];
    let length = rest.find(DELIMITERS).unwrap_or(rest.len());
    let start = text.len() - rest.len();
    (length >= shortest).then(|| start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{LogHash, ProducerId, SessionId, SubjectKey, TokenId};
    use crate::oauth::opaque::checksum;
    use crate::text::base64url;
    use proptest::prelude::*;

    fn scrub(text: &str) -> String {
        scrubbed(text.to_owned())
    }

    #[test]
    fn what_is_no_credential_stays() {
        let subject = SubjectKey::from_bytes([0xa5; 16]);
        let producer = ProducerId::from_bytes([0x5a; 16]);
        let hash = LogHash::of_session(SessionId::from_bytes([7; 16]));
        for text in [
            "/v1/orders/550e8400-e29b-41d4-a716-446655440000/lines",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "/docs/My-Report-2024-Final-Version-Number-3.pdf",
            "/api/getUserAccountPreferencesByIdentifierAndRegion",
            "okta:0oa1b2c3d4E5f6G7h8i9",
            "scim_group_lost",
            "a bearer of bad news, and basic manners",
            "/token",
            "/a%20b/%C3%A9",
            "https://login.example/realms/acme",
            "2001:db8::8a2e:370:7334",
            "8f2c1e0d9b7a6c5d-FRA",
            "",
        ] {
            assert_eq!(scrub(text), text);
        }
        for text in [subject.to_string(), producer.to_string(), hash.to_string()] {
            assert_eq!(scrub(&text), text);
        }
    }

    #[test]
    fn every_kind_of_credential_goes() {
        let session = SessionId::from_bytes([9; 16]).to_string();
        let token = TokenId::from_bytes([9; 16]).to_string();
        for (text, secret) in [
            (
                "/cb/eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln/x",
                "eyJzdWIiOiJhIn0",
            ),
            ("curl Authorization: Bearer abcDEF/ghi+123==", "ghi"),
            ("authorization=Basic YWxpY2U6c2VjcmV0", "YWxpY2U6c2VjcmV0"),
            ("DPoP a1b2c3d4e5", "a1b2c3d4e5"),
            ("/login;password=hunter2;x", "hunter2"),
            ("{\"client_secret\": \"s3\"}", "s3"),
            ("X-Api-Key: k", ": k"),
            ("/pc_rt_AAAAAAAAAAAAAAAAAAAA.0123abcd", "0123abcd"),
            ("/hook/xoxb-123456789012-abcdef", "123456789012"),
            ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
            (
                "/r/5d41402abc4b2a76b9719d911017c592.js",
                "5d41402abc4b2a76b9719d911017c592",
            ),
            ("/%65yJhbGciOiJFUzI1NiJ9.e30.x", "hbGciOiJFUzI1NiJ9"),
            ("/password%253Dhunter2", "hunter2"),
            (&format!("/v1/sessions/{session}"), &session),
            (&format!("{token} was refused"), &token),
        ] {
            let scrubbed = scrub(text);
            assert!(!scrubbed.contains(secret), "{text} -> {scrubbed}");
            assert!(scrubbed.contains("[redacted:"), "{text} -> {scrubbed}");
        }
        assert_eq!(
            scrub("/r/5d41402abc4b2a76b9719d911017c592?x"),
            scrub("/r/5d41402abc4b2a76b9719d911017c592?x")
        );
    }

    /// A credential as it is written somewhere.
    fn planted() -> impl Strategy<Value = String> {
        let random = |bytes: usize| prop::collection::vec(any::<u8>(), bytes);
        let written = |bytes: Vec<u8>| base64url(&bytes);
        prop_oneof![
            (random(24), random(40), random(64)).prop_map(move |(header, claims, signature)| {
                format!(
                    "eyJ{}.{}.{}",
                    written(header),
                    written(claims),
                    written(signature)
                )
            }),
            ("(rt|ac|scim)", random(56)).prop_map(move |(kind, bytes)| {
                let body = format!("pc_{kind}_{}", written(bytes));
                format!("{body}.{}", checksum(&body))
            }),
            any::<[u8; 16]>().prop_map(|id| SessionId::from_bytes(id).to_string()),
            random(32).prop_map(|bytes| {
                bytes.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                })
            }),
            random(32)
                .prop_map(written)
                .prop_filter("has digits", |text| text
                    .contains(|c: char| c.is_ascii_digit())),
            random(20)
                .prop_map(move |bytes| format!("Bearer {}", written(bytes)))
                .prop_filter("is no prose", |text| text
                    .contains(|c: char| c.is_ascii_digit())),
            "[a-zA-Z0-9!#$*+/:<>?@^_-]{4,20}".prop_map(|value| format!("password={value}")),
        ]
    }

    proptest! {
        #[test]
        fn planted_credentials_never_get_through(
            before in "[ -~]{0,20}[ /;&(\"]", credential in planted(), behind in "([ /;&)\"][ -~]{0,20})?",
        ) {
            let scrubbed = scrub(&format!("{before}{credential}{behind}"));
            let secret = credential.rsplit([' ', '=']).next().unwrap_or_default();
            if secret.len() > 3 && !before.contains(secret) && !behind.contains(secret) {
                prop_assert!(!scrubbed.contains(secret), "{}", scrubbed);
            }
        }

        #[test]
        fn scrubbing_again_changes_nothing(text in "[ -~é]{0,80}", credential in planted()) {
            for text in [text.clone(), format!("{text} {credential}"), credential] {
                let once = scrub(&text);
                prop_assert_eq!(scrub(&once), once);
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = scrubbed(text);
        }
    }
}
