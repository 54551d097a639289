//! What of a request's headers the origin sees, and what of the origin's the caller sees.
//!
//! The origin believes `Portcullis-*`, so nothing of that name passes from outside, nor anything a
//! server might read as that name. Credentials end here: an origin that is broken into, or that
//! logs its requests, holds none.
//!
//! | header | value |
//! |---|---|
//! | `Portcullis-Subject` | the subject key |
//! | `Portcullis-Client` | the OAuth client |
//! | `Portcullis-Scope` | what was granted, space separated |
//! | `Portcullis-Roles`, `Portcullis-Groups` | comma separated |
//! | `Portcullis-Auth-Time` | when the person logged in, in seconds since 1970 |
//! | `Portcullis-Acr` | how |
//!
//! A header without a value is left out. In values, everything but visible ASCII, and `%` and `,`,
//! is percent-encoded as UTF-8.

use crate::cookie;
use crate::inbound::Headers;
use portcullis_core::jwt::access_token::AccessTokenClaims;
use portcullis_core::time::UnixMillis;
use std::fmt::Write;

/// Says how fresh the answer to "is it still in force" was.
pub const CHECK: &str = "Portcullis-Check";

/// Meaningful for one connection only (RFC 9110 section 7.6.1), or written anew by the runtime.
const HOP_BY_HOP: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The headers to forward: the inbound ones without credentials, and who is there.
#[must_use]
pub fn forwarded(inbound: &[(String, String)], claims: &AccessTokenClaims) -> Headers {
    let options = connection_options(inbound);
    let mut headers: Headers = inbound
        .iter()
        .filter(|(name, _)| may_pass(name, &options))
        .filter(|(name, _)| !is_credential(name) && !is_identity(name))
        .filter_map(|(name, value)| {
            if name.eq_ignore_ascii_case("cookie") {
                cookie::without_ours(value).map(|left| (name.clone(), left))
            } else {
                Some((name.clone(), value.clone()))
            }
        })
        .collect();
    headers.extend(identity(claims));
    headers
}

/// The headers to answer with: the origin's, and how the request was checked.
#[must_use]
pub fn returned(from_origin: &[(String, String)], checked_at: UnixMillis) -> Headers {
    let options = connection_options(from_origin);
    let mut headers: Headers = from_origin
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length") || may_pass(name, &options))
        .filter(|(name, _)| !name.eq_ignore_ascii_case(CHECK))
        .filter(|(name, value)| {
            !name.eq_ignore_ascii_case("set-cookie") || !cookie::sets_ours(value)
        })
        .cloned()
        .collect();
    let stamp = format!("strict; at={}", checked_at.to_rfc3339());
    headers.push((CHECK.to_owned(), stamp));
    headers
}

fn identity(claims: &AccessTokenClaims) -> impl Iterator<Item = (String, String)> {
    let scopes = claims.scope.as_deref().unwrap_or_default();
    [
        ("Portcullis-Subject", claims.sub.to_string()),
        ("Portcullis-Client", encoded(&claims.client_id)),
        ("Portcullis-Scope", list(scopes.split(' '), " ")),
        ("Portcullis-Roles", list(texts(&claims.roles), ",")),
        ("Portcullis-Groups", list(texts(&claims.groups), ",")),
        (
            "Portcullis-Auth-Time",
            claims
                .auth_time
                .map(|secs| secs.to_string())
                .unwrap_or_default(),
        ),
        (
            "Portcullis-Acr",
            encoded(claims.acr.as_deref().unwrap_or_default()),
        ),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (name.to_owned(), value))
}

/// What the `Connection` header names goes no further either.
fn connection_options(headers: &[(String, String)]) -> Vec<String> {
    headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
        .collect()
}

fn may_pass(name: &str, connection_options: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    !HOP_BY_HOP.contains(&name.as_str()) && !connection_options.contains(&name)
}

fn is_credential(name: &str) -> bool {
    ["authorization", "dpop"].contains(&as_servers_read(name).as_str())
}

fn is_identity(name: &str) -> bool {
    as_servers_read(name).starts_with("portcullis-")
}

/// A name as the least careful server reads it. In the CGI tradition `-` becomes `_` (RFC 3875
/// section 4.1.18), and some servers make that of every character that is no letter or digit.
fn as_servers_read(name: &str) -> String {
    name.chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect()
}

fn texts(list: &[String]) -> impl Iterator<Item = &str> {
    list.iter().map(String::as_str)
}

fn list<'t>(items: impl Iterator<Item = &'t str>, separator: &str) -> String {
    let items: Vec<String> = items.filter(|item| !item.is_empty()).map(encoded).collect();
    items.join(separator)
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_graphic() && !matches!(byte, b'%' | b',') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_core::id::{GrantId, SessionId, SubjectKey, TokenId};
    use proptest::prelude::*;

    fn claims() -> AccessTokenClaims {
        AccessTokenClaims {
            iss: "https://id.example".to_owned(),
            sub: SubjectKey::from_bytes([1; 16]),
            aud: vec!["https://app.example".to_owned()],
            client_id: "gateway".to_owned(),
            exp: 2,
            iat: 1,
            jti: TokenId::from_bytes([2; 16]),
            sid: SessionId::from_bytes([3; 16]),
            gid: GrantId::from_bytes([4; 16]),
            generation: 0,
            auth_time: Some(1),
            acr: None,
            scope: Some("openid profile".to_owned()),
            roles: Vec::new(),
            groups: vec!["staff".to_owned(), "Köche, 100%\r\nX: y".to_owned()],
            idp_claims: serde_json::Map::new(),
            cnf: None,
            act: None,
        }
    }

    fn owned(headers: &[(&str, &str)]) -> Headers {
        headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn the_origin_sees_who_is_there_and_no_credential() {
        let inbound = owned(&[
            ("Accept", "*/*"),
            ("Authorization", "Bearer t"),
            ("DPoP", "p"),
            ("Cookie", "a=1; __Host-portcullis=t"),
            ("PORTCULLIS-Subject", "sub_admin"),
            ("portcullis_roles", "admin"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Host", "app.example"),
            ("Upgrade", "websocket"),
        ]);
        assert_eq!(
            forwarded(&inbound, &claims()),
            owned(&[
                ("Accept", "*/*"),
                ("Cookie", "a=1"),
                ("Portcullis-Subject", "sub_AQEBAQEBAQEBAQEBAQEBAQ"),
                ("Portcullis-Client", "gateway"),
                ("Portcullis-Scope", "openid profile"),
                (
                    "Portcullis-Groups",
                    "staff,K%C3%B6che%2C%20100%25%0D%0AX:%20y"
                ),
                ("Portcullis-Auth-Time", "1"),
            ])
        );
    }

    #[test]
    fn the_caller_sees_the_check_and_the_origin_s_own_cookies() {
        let from_origin = owned(&[
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Set-Cookie", "a=1"),
            ("set-cookie", "__Host-portcullis=forged; Path=/"),
            ("portcullis-check", "strict; at=never"),
        ]);
        assert_eq!(
            returned(&from_origin, UnixMillis(5)),
            owned(&[
                ("Content-Length", "3"),
                ("Set-Cookie", "a=1"),
                ("Portcullis-Check", "strict; at=1970-01-01T00:00:00.005Z"),
            ])
        );
    }

    fn any_header() -> impl Strategy<Value = (String, String)> {
        let name = prop_oneof![
            "(?i)portcullis[-_][a-z_-]{0,8}",
            "(?i)authorization|dpop|cookie|connection|host",
            "[A-Za-z-]{1,12}",
        ];
        let value = prop_oneof![
            "(?i)(a=1; )?__Host-portcullis(-id)?=SECRET(, b=2)?",
            "(Bearer|DPoP) SECRET",
            "[ -~]{0,20}",
        ];
        (name, value)
    }

    proptest! {
        #[test]
        fn no_identity_from_outside_and_no_credential_survives(
            inbound in prop::collection::vec(any_header(), 0..12),
        ) {
            // A token in a header of another name is the caller's own doing.
            let inbound: Headers = inbound
                .into_iter()
                .filter(|(name, value)| {
                    let named = ["authorization", "dpop", "cookie"]
                        .iter()
                        .any(|known| name.eq_ignore_ascii_case(known));
                    named || is_identity(name) || !value.contains("SECRET")
                })
                .collect();
            let claims = claims();
            let ours: Headers = identity(&claims).collect();
            let out = forwarded(&inbound, &claims);
            for (name, value) in &out {
                prop_assert!(!is_credential(name));
                let in_cookie = name.eq_ignore_ascii_case("cookie") && value.contains("Bearer");
                prop_assert!(in_cookie || value.contains("DPoP") || !value.contains("SECRET"), "{name}: {value}");
            }
            let seen: Headers = out.into_iter().filter(|(name, _)| is_identity(name)).collect();
            prop_assert_eq!(seen, ours);
        }

        #[test]
        fn identity_values_are_safe_in_a_header(groups: Vec<String>, acr: String) {
            let claims = AccessTokenClaims { groups: groups.clone(), acr: Some(acr), ..claims() };
            for (name, value) in identity(&claims) {
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                if name == "Portcullis-Groups" {
                    let named = groups.iter().filter(|group| !group.is_empty()).count();
                    prop_assert_eq!(value.split(',').count(), named);
                }
            }
        }
    }
}
