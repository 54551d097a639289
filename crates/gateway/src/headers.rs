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
//! | `Portcullis-Connection` | the connection, for an identity provider's own token |
//! | `Portcullis-Scope` | what was granted, space separated |
//! | `Portcullis-Roles`, `Portcullis-Groups` | comma separated |
//! | `Portcullis-Auth-Time` | when the person logged in, in seconds since 1970 |
//! | `Portcullis-Acr` | how |
//!
//! A header without a value is left out. In values, everything but visible ASCII, and `%` and `,`,
//! is percent-encoded as UTF-8.

use crate::caller::Caller;
use crate::cookie;
use crate::inbound::Headers;
use portcullis_core::time::UnixMillis;
use std::fmt::Write;

/// Says how fresh the answer to "is it still in force" was.
pub const CHECK: &str = "Portcullis-Check";

/// A token by Cloudflare Access, which is a credential whether it is asked for or not.
const ACCESS_ASSERTION: &str = "cf-access-jwt-assertion";

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

/// Of a browser's or the edge's making, and believed by servers.
const TAKEN: [&str; 6] = [
    "cf-connecting-ip",
    "cf-ray",
    "content-type",
    "cookie",
    "origin",
    "set-cookie",
];

/// Whether a claim can be told to the origin in a header of that name.
#[must_use]
pub fn can_hold_a_claim(name: &str) -> bool {
    let read = as_servers_read(name);
    let of_a_name = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
    let free = !HOP_BY_HOP.contains(&read.as_str()) && !TAKEN.contains(&read.as_str());
    let well_formed = name.starts_with(|it: char| it.is_ascii_alphabetic());
    well_formed
        && name.len() <= 64
        && name.bytes().all(of_a_name)
        && free
        && !is_credential(name, None)
        && !is_identity(name)
        && !OVERRIDES.contains(&read.as_str())
}

/// Whether some server takes the two names for one.
#[must_use]
pub fn are_alike(a: &str, b: &str) -> bool {
    as_servers_read(a) == as_servers_read(b)
}

/// With these, servers take another path or method than they were asked for: not the one whose
/// route was asked.
const OVERRIDES: [&str; 5] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// The headers to forward: the inbound ones without credentials, and who is there. `assertion_header` is
/// one more that holds a credential.
#[must_use]
pub fn forwarded(
    inbound: &[(String, String)],
    caller: &Caller,
    assertion_header: Option<&str>,
) -> Headers {
    let options = connection_options(inbound);
    let mut headers: Headers = inbound
        .iter()
        .filter(|(name, _)| may_pass(name, &options))
        .filter(|(name, _)| !is_credential(name, assertion_header) && !is_identity(name))
        .filter_map(|(name, value)| {
            if name.eq_ignore_ascii_case("cookie") {
                cookie::without_ours(value).map(|left| (name.clone(), left))
            } else {
                Some((name.clone(), value.clone()))
            }
        })
        .collect();
    headers.extend(identity(caller));
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

fn identity(caller: &Caller) -> impl Iterator<Item = (String, String)> {
    let text = |text: &Option<String>| encoded(text.as_deref().unwrap_or_default());
    let scopes = caller.scope.as_deref().unwrap_or_default();
    let auth_time = caller.auth_time_secs.map(|secs| secs.to_string());
    [
        ("Portcullis-Subject", caller.subject.to_string()),
        ("Portcullis-Client", text(&caller.client_id)),
        ("Portcullis-Connection", text(&caller.connection)),
        ("Portcullis-Scope", list(scopes.split(' '), " ")),
        ("Portcullis-Roles", list(texts(&caller.roles), ",")),
        ("Portcullis-Groups", list(texts(&caller.groups), ",")),
        ("Portcullis-Auth-Time", auth_time.unwrap_or_default()),
        ("Portcullis-Acr", text(&caller.acr)),
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

fn is_credential(name: &str, assertion_header: Option<&str>) -> bool {
    let name = as_servers_read(name);
    let asserted = assertion_header.is_some_and(|header| as_servers_read(header) == name);
    ["authorization", "dpop", ACCESS_ASSERTION].contains(&name.as_str()) || asserted
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
    use crate::caller;
    use proptest::prelude::*;

    fn forward(inbound: &Headers) -> Headers {
        forwarded(inbound, &caller::example(), Some("X-Asserted"))
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
            ("x_asserted", "t"),
            ("Cf-Access-Jwt-Assertion", "t"),
            ("Cookie", "a=1; __Host-portcullis=t; CF_Authorization=t"),
            ("PORTCULLIS-Subject", "sub_admin"),
            ("portcullis_roles", "admin"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("Host", "app.example"),
            ("Upgrade", "websocket"),
        ]);
        assert_eq!(
            forward(&inbound),
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
            "(?i)authorization|dpop|cookie|connection|host|x-asserted|cf-access-jwt-assertion",
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
                    let named = ["authorization", "dpop", "cookie", "x-asserted", ACCESS_ASSERTION]
                        .iter()
                        .any(|known| name.eq_ignore_ascii_case(known));
                    named || is_identity(name) || !value.contains("SECRET")
                })
                .collect();
            let ours: Headers = identity(&caller::example()).collect();
            let out = forward(&inbound);
            for (name, value) in &out {
                prop_assert!(!is_credential(name, Some("X-Asserted")));
                let in_cookie = name.eq_ignore_ascii_case("cookie") && value.contains("Bearer");
                prop_assert!(in_cookie || value.contains("DPoP") || !value.contains("SECRET"), "{name}: {value}");
            }
            let seen: Headers = out.into_iter().filter(|(name, _)| is_identity(name)).collect();
            prop_assert_eq!(seen, ours);
        }

        #[test]
        fn identity_values_are_safe_in_a_header(groups: Vec<String>, acr: String) {
            let caller = Caller { groups: groups.clone(), acr: Some(acr), ..caller::example() };
            for (name, value) in identity(&caller) {
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
                if name == "Portcullis-Groups" {
                    let named = groups.iter().filter(|group| !group.is_empty()).count();
                    prop_assert_eq!(value.split(',').count(), named);
                }
            }
        }
    }
}
