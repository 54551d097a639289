//! The credential that a request brings, if it brings one.
//!
//! `Authorization: Bearer` (RFC 6750 section 2.1) or `DPoP` (RFC 9449 section 7.1), or else the header in which an access proxy before this
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
    /// An `Authorization` header of another scheme.
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
    /// How it was presented, which decides whether it needs a proof.
    pub scheme: Scheme,
}

/// The two ways to present a token. Neither is taken for the other: a bound token that passed as a bearer
/// token would not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has it may use it.
    Bearer,
    /// It is bound to a key, and a proof of that comes along.
    Dpop,
}

impl Scheme {
    /// The scheme of an `Authorization` header.
    fn parse(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("bearer") {
            Some(Self::Bearer)
        } else if name.eq_ignore_ascii_case("dpop") {
            Some(Self::Dpop)
        } else {
            None
        }
    }

    /// In which scheme to answer a request: the one that it used.
    #[must_use]
    pub fn of(inbound: &Inbound) -> Self {
        let header = inbound.only("authorization").unwrap_or_default().trim();
        let (name, _) = header.split_once(' ').unwrap_or((header, ""));
        Self::parse(name).unwrap_or(Self::Bearer)
    }
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
                    .map_or(Self::Malformed, |token| Self::ambient(token.trim())),
                None => Self::from_cookies(inbound),
            };
        }
        // Several header lines arrive as several values or as one with commas; neither is a token.
        let Some(header) = inbound.only("authorization") else {
            return Self::Malformed;
        };
        let header = header.trim();
        let (name, token) = header.split_once(' ').unwrap_or((header, ""));
        match Scheme::parse(name) {
            Some(scheme) => Self::token(token.trim_start_matches(' '), false, scheme),
            None => Self::OtherScheme,
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
            (Some(token), None) => Self::ambient(token),
            _ => Self::Malformed,
        }
    }

    /// A browser proves no key.
    fn ambient(text: &str) -> Self {
        Self::token(text, true, Scheme::Bearer)
    }

    /// `b64token` (RFC 6750 section 2.1), `token68` (RFC 9449 section 7.1): the same.
    fn token(text: &str, ambient: bool, scheme: Scheme) -> Self {
        let padding = text.trim_end_matches('=');
        let valid = !padding.is_empty()
            && padding
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        if valid {
            Self::Token(Token {
                text: text.to_owned(),
                ambient,
                scheme,
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
            scheme: Scheme::Bearer,
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
        for header in ["DPoPx a.b.c", "Basic YTpi", "Bearerx a", "token"] {
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
            vec![("authorization", "DPoP")],
            vec![("authorization", "DPoP a, Bearer a")],
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
    fn a_token_of_either_scheme_is_of_that_one() {
        for (header, scheme) in [
            ("Bearer a.b.c", Scheme::Bearer),
            ("DPoP a.b.c", Scheme::Dpop),
            ("dpop  a.b.c", Scheme::Dpop),
        ] {
            let inbound = example("GET", "/", &[("authorization", header)]);
            assert_eq!(Scheme::of(&inbound), scheme);
            let Credential::Token(token) = Credential::of(&inbound, None) else {
                panic!("{header}");
            };
            assert_eq!((token.text(), token.ambient), ("a.b.c", false));
            assert_eq!(token.scheme, scheme);
        }
        // With a proof or without, what a browser attaches is a bearer token.
        let cookie = [("cookie", "__Host-portcullis=c.c.c"), ("dpop", "p")];
        assert_eq!(of(&cookie), token("c.c.c", true));
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
