//! The credential that a request brings, if it brings one.
//!
//! `Authorization: Bearer` (RFC 6750 section 2.1), or else the header in which an access proxy before this
//! gateway asserts who is there (`Cf-Access-Jwt-Assertion`, where that is configured), or else the cookie
//! that logging in has set. The other two ways of RFC 6750, form body and query, end up in logs and are not
//! looked for.
//!
//! Such a proxy asserts what its own cookie says, so its header is as ambient as a cookie.

use crate::cookie;
use crate::inbound::Inbound;
use std::fmt;

/// What there is.
#[derive(Debug, PartialEq, Eq)]
pub enum Credential {
    /// Nothing.
    Absent,
    /// A token.
    Token(Token),
    /// An `Authorization` header of another scheme. `DPoP` is among them for now: to take a bound
    /// token without looking at its proof would undo the binding.
    OtherScheme,
    /// Several, or one that cannot be a token.
    Malformed,
}

/// A token as presented, of which nothing is known yet.
#[derive(PartialEq, Eq)]
pub struct Token {
    text: String,
    /// Whether a browser attached it by itself.
    pub ambient: bool,
}

impl Token {
    /// The text, for verifying.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Credential {
    /// The credential of a request. With both a header and a cookie, the header counts.
    #[must_use]
    pub fn of(inbound: &Inbound, assertion_header: Option<&str>) -> Self {
        if inbound.all("authorization").next().is_none() {
            return match assertion_header.filter(|name| inbound.all(name).next().is_some()) {
                Some(name) => inbound
                    .only(name)
                    .map_or(Self::Malformed, |token| Self::token(token.trim(), true)),
                None => Self::from_cookies(inbound),
            };
        }
        // Several header lines arrive as several values or as one with commas; neither is a token.
        let Some(header) = inbound.only("authorization") else {
            return Self::Malformed;
        };
        match header.trim().split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Self::token(token.trim_start_matches(' '), false)
            }
            None if header.trim().eq_ignore_ascii_case("bearer") => Self::Malformed,
            _ => Self::OtherScheme,
        }
    }

    fn from_cookies(inbound: &Inbound) -> Self {
        let mut values = inbound
            .all("cookie")
            .flat_map(cookie::pairs)
            .filter(|(name, _)| *name == cookie::ACCESS_TOKEN)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (None | Some(""), None) => Self::Absent,
            (Some(token), None) => Self::token(token, true),
            _ => Self::Malformed,
        }
    }

    /// `b64token` (RFC 6750 section 2.1).
    fn token(text: &str, ambient: bool) -> Self {
        let padding = text.trim_end_matches('=');
        let valid = !padding.is_empty()
            && padding
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        if valid {
            Self::Token(Token {
                text: text.to_owned(),
                ambient,
            })
        } else {
            Self::Malformed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inbound::example;
    use proptest::prelude::*;

    fn of(headers: &[(&str, &str)]) -> Credential {
        Credential::of(
            &example("GET", "/", headers),
            Some("cf-access-jwt-assertion"),
        )
    }

    fn token(text: &str, ambient: bool) -> Credential {
        Credential::Token(Token {
            text: text.to_owned(),
            ambient,
        })
    }

    #[test]
    fn bearer_header_then_cookie_then_nothing() {
        let cookie = ("cookie", "a=1; __Host-portcullis=c.c.c");
        assert_eq!(
            of(&[("Authorization", "bEARER  a.b.c")]),
            token("a.b.c", false)
        );
        assert_eq!(
            of(&[("authorization", "Bearer a.b.c"), cookie]),
            token("a.b.c", false)
        );
        assert_eq!(of(&[cookie]), token("c.c.c", true));
        assert_eq!(of(&[("cookie", "a=1")]), Credential::Absent);
        assert_eq!(of(&[("cookie", "__Host-portcullis=")]), Credential::Absent);
        assert_eq!(
            of(&[("cookie", "__Host-portcullis-id=x")]),
            Credential::Absent
        );
        assert_eq!(of(&[]), Credential::Absent);
    }

    #[test]
    fn an_asserted_token_counts_before_the_cookie_and_is_as_ambient() {
        let cookie = ("cookie", "__Host-portcullis=c.c.c");
        let asserted = ("Cf-Access-Jwt-Assertion", "a.s.s");
        assert_eq!(of(&[asserted, cookie]), token("a.s.s", true));
        let bearer = ("authorization", "Bearer b.b.b");
        assert_eq!(of(&[asserted, bearer]), token("b.b.b", false));
        assert_eq!(of(&[asserted, asserted]), Credential::Malformed);
        assert_eq!(
            of(&[("cf-access-jwt-assertion", "")]),
            Credential::Malformed
        );
        // Where none is configured it is a header like any other.
        let inbound = example("GET", "/", &[asserted]);
        assert_eq!(Credential::of(&inbound, None), Credential::Absent);
    }

    #[test]
    fn other_schemes_are_not_taken_for_bearer_nor_for_absence() {
        let cookie = ("cookie", "__Host-portcullis=c");
        for header in ["DPoP a.b.c", "Basic YTpi", "Bearerx a", "token"] {
            assert_eq!(
                of(&[("authorization", header), cookie]),
                Credential::OtherScheme
            );
        }
    }

    #[test]
    fn several_or_malformed_credentials_are_not_guessed_at() {
        for headers in [
            vec![("authorization", "Bearer a"), ("Authorization", "Bearer b")],
            vec![("authorization", "Bearer a, Bearer b")],
            vec![("authorization", "Bearer a b")],
            vec![("authorization", "Bearer")],
            vec![("authorization", "Bearer =")],
            vec![("cookie", "__Host-portcullis=a; __Host-portcullis=b")],
            vec![
                ("cookie", "__Host-portcullis=a"),
                ("cookie", "__Host-portcullis=b"),
            ],
            vec![("cookie", "__Host-portcullis=\"a\"")],
        ] {
            assert_eq!(of(&headers), Credential::Malformed, "{headers:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_token() {
        assert!(!format!("{:?}", of(&[("authorization", "Bearer secret")])).contains("secret"));
    }

    proptest! {
        #[test]
        fn arbitrary_headers_never_panic(authorization: String, cookies: String) {
            of(&[("authorization", &authorization), ("cookie", &cookies)]);
            of(&[("cf-access-jwt-assertion", &authorization)]);
            of(&[("cookie", &cookies)]);
        }
    }
}
