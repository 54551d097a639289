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
//! | `Portcullis-Assertion` | the same, signed, where the route says so ([`crate::assertion`]) |
//!
//! A route can have headers of its own, which hold claims; none of those passes from outside, on
//! any route. Nor do headers by which some servers take another path or method than they were
//! asked for: those of the request are what its route was found by.
//!
//! A header without a value is left out. In values, everything but visible ASCII, and `%` and `,`,
//! is percent-encoded as UTF-8.

use crate::caller::Caller;
use crate::consistency::Checked;
use crate::cookie;
use crate::inbound::Headers;
use crate::route::claim::Claim;
use std::fmt::Write;

/// Says how fresh the answer to "is it still in force" was.
pub const CHECK: &str = "Portcullis-Check";

/// What holds a credential. Cloudflare Access' token is one whether it is asked for or not.
const CREDENTIALS: [&str; 3] = ["authorization", "cf-access-jwt-assertion", "dpop"];

/// What the names begin with in which the origin is told who is there.
const IDENTITY: &str = "portcullis-";

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
        && !CREDENTIALS.contains(&read.as_str())
        && !read.starts_with(IDENTITY)
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

/// What of the headers of requests ends at this gateway, besides what ends at each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stripping<'a> {
    /// Their names, [as the least careful server reads them](as_servers_read): of one more that
    /// holds a credential, and of all that hold claims, on whatever route.
    pub names: &'a [String],
}

impl Stripping<'_> {
    fn strips(self, name: &str) -> bool {
        let read = as_servers_read(name);
        CREDENTIALS.contains(&read.as_str())
            || read.starts_with(IDENTITY)
            || OVERRIDES.contains(&read.as_str())
            || self.names.contains(&read)
    }
}

/// The inbound headers that may be forwarded: those that say nothing of who is there, hold no
/// credential and ask for nothing else than the request does.
#[must_use]
pub fn stripped(inbound: &[(String, String)], stripping: Stripping<'_>) -> Headers {
    let options = connection_options(inbound);
    inbound
        .iter()
        .filter(|(name, _)| may_pass(name, &options) && !stripping.strips(name))
        .filter_map(|(name, value)| {
            if name.eq_ignore_ascii_case("cookie") {
                cookie::without_ours(value).map(|left| (name.clone(), left))
            } else {
                Some((name.clone(), value.clone()))
            }
        })
        .collect()
}

/// The headers that say who is there, and those of the route's own.
pub fn telling(caller: &Caller, own: &[(String, Claim)]) -> impl Iterator<Item = (String, String)> {
    let own = own
        .iter()
        .map(|(name, claim)| (name.clone(), value_of(claim, caller)));
    identity(caller).chain(own.filter(|(_, value)| !value.is_empty()))
}

/// The headers to answer with: the origin's, and how the request was checked, if it was.
#[must_use]
pub fn returned(from_origin: &[(String, String)], checked: Option<Checked>) -> Headers {
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
    headers.extend(checked.map(|checked| (CHECK.to_owned(), checked.to_string())));
    headers
}

/// What a claim holds, encoded; empty without a value.
fn value_of(claim: &Claim, caller: &Caller) -> String {
    let values: Vec<String> = claim
        .values(caller)
        .iter()
        .map(|one| encoded(one))
        .collect();
    values.join(claim.separator())
}

fn identity(caller: &Caller) -> impl Iterator<Item = (String, String)> {
    [
        ("Portcullis-Subject", Claim::Sub),
        ("Portcullis-Client", Claim::ClientId),
        ("Portcullis-Connection", Claim::Connection),
        ("Portcullis-Scope", Claim::Scope),
        ("Portcullis-Roles", Claim::Roles),
        ("Portcullis-Groups", Claim::Groups),
        ("Portcullis-Auth-Time", Claim::AuthTime),
        ("Portcullis-Acr", Claim::Acr),
    ]
    .into_iter()
    .map(|(name, claim)| (name.to_owned(), value_of(&claim, caller)))
    .filter(|(_, value)| !value.is_empty())
}

/// What the `Connection` header names goes no further either.
fn connection_options(headers: &[(String, String)]) -> Vec<String> {
    headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| value.split(','))
        .map(|option| as_servers_read(option.trim()))
        .collect()
}

fn may_pass(name: &str, connection_options: &[String]) -> bool {
    let name = as_servers_read(name);
    !HOP_BY_HOP.contains(&name.as_str()) && !connection_options.contains(&name)
}

/// A name as the least careful server reads it. In the CGI tradition `-` becomes `_` (RFC 3875
/// section 4.1.18), and some servers make that of every character that is no letter or digit.
#[must_use]
pub fn as_servers_read(name: &str) -> String {
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
    use portcullis_core::time::UnixMillis;
    use proptest::prelude::*;
    use serde_json::json;

    fn forward(inbound: &Headers) -> Headers {
        let stripping = Stripping {
            names: &["x-asserted".to_owned(), "x-user".to_owned()],
        };
        let mut headers = stripped(inbound, stripping);
        headers.extend(telling(&caller::example(), &[]));
        headers
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
            ("x_user", "admin"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Original-URL", "/admin"),
            ("Connection", "keep-alive, X-Hop"),
            ("X-Hop", "1"),
            ("x_hop", "1"),
            ("Transfer_Encoding", "chunked"),
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
            returned(&from_origin, Some(Checked::Strict { at: UnixMillis(5) })),
            owned(&[
                ("Content-Length", "3"),
                ("Set-Cookie", "a=1"),
                ("Portcullis-Check", "strict; at=1970-01-01T00:00:00.005Z"),
            ])
        );
        let public = returned(&from_origin, None);
        assert_eq!(public.len(), 2, "{public:?}");
    }

    #[test]
    fn a_route_can_tell_claims_in_headers_of_its_own() {
        let mut caller = caller::example();
        for (name, value) in [
            ("email", json!("köche@example.com")),
            ("level", json!(3)),
            ("staff", json!(true)),
            ("sites", json!(["a,b", "", 2, null])),
            ("nested", json!([["a"]])),
            ("address", json!({"city": "x"})),
            ("none", json!(null)),
        ] {
            caller.idp_claims.insert(name.to_owned(), value);
        }
        let held = |name: &str, claim: Claim| (format!("X-{name}"), claim);
        let idp = |name: &str| held(name, Claim::IdpClaim(name.to_owned()));
        let own = [
            held("User", Claim::Sub),
            held("Acr", Claim::Acr),
            held("Groups", Claim::Groups),
            idp("email"),
            idp("level"),
            idp("staff"),
            idp("sites"),
            idp("nested"),
            idp("address"),
            idp("none"),
            idp("absent"),
        ];
        let told: Headers = telling(&caller, &own)
            .filter(|(name, _)| name.starts_with("X-"))
            .collect();
        assert_eq!(
            told,
            owned(&[
                ("X-User", "sub_AQEBAQEBAQEBAQEBAQEBAQ"),
                ("X-Groups", "staff,K%C3%B6che%2C%20100%25%0D%0AX:%20y"),
                ("X-email", "k%C3%B6che@example.com"),
                ("X-level", "3"),
                ("X-staff", "true"),
                ("X-sites", "a%2Cb,2"),
            ])
        );
    }

    fn tells(name: &str) -> bool {
        as_servers_read(name).starts_with(IDENTITY)
    }

    fn any_header() -> impl Strategy<Value = (String, String)> {
        let name = prop_oneof![
            "(?i)portcullis[-_][a-z_-]{0,8}",
            "(?i)x[-_]user",
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
                    let named = ["cookie", "x-asserted"]
                        .iter()
                        .chain(&CREDENTIALS)
                        .any(|known| name.eq_ignore_ascii_case(known));
                    named || tells(name) || !value.contains("SECRET")
                })
                .collect();
            let ours: Headers = identity(&caller::example()).collect();
            let out = forward(&inbound);
            for (name, value) in &out {
                let read = as_servers_read(name);
                prop_assert!(!CREDENTIALS.contains(&read.as_str()));
                prop_assert!(!["x-asserted", "x-user"].contains(&read.as_str()));
                let in_cookie = name.eq_ignore_ascii_case("cookie") && value.contains("Bearer");
                prop_assert!(in_cookie || value.contains("DPoP") || !value.contains("SECRET"), "{name}: {value}");
            }
            let seen: Headers = out.into_iter().filter(|(name, _)| tells(name)).collect();
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
