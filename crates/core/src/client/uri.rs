//! URIs that clients bring: where browsers are sent, and what the service itself asks.
//!
//! The two are judged differently. A browser may be sent to an application on its own machine (RFC
//! 8252 section 7); the service must not be made to ask its own network, so what it fetches is
//! https at a public name.

use url::{Host, Url};

/// The longest URI that is taken.
pub const MAX_URI_BYTES: usize = 512;

/// Whether `uri` may be registered for browsers to be sent to: https, plain HTTP on a loopback
/// address, or a private-use scheme with a dot (RFC 8252 section 7.1); no fragment (RFC 6749
/// section 3.1.2), no user, and written as a parser would write it.
#[must_use]
pub fn is_redirect_uri(uri: &str) -> bool {
    let Some(url) = canonical(uri) else {
        return false;
    };
    match url.scheme() {
        "https" => url.has_host(),
        "http" => is_loopback(&url),
        scheme => scheme.contains('.'),
    }
}

/// Whether `uri` is one of `registered`: exactly, or but for the port on a loopback address (RFC
/// 8252 section 7.3).
#[must_use]
pub fn is_among(registered: &[String], uri: &str) -> bool {
    registered.iter().any(|registered| {
        registered == uri
            || match (Url::parse(registered), Url::parse(uri)) {
                (Ok(mut registered), Ok(asked)) if is_loopback(&registered) => {
                    // As text, so that nothing a parser forgives counts as equal.
                    asked.as_str() == uri
                        && asked.fragment().is_none()
                        && registered.set_port(asked.port()).is_ok()
                        && registered == asked
                }
                _ => false,
            }
    })
}

/// Whether `url` is plain HTTP on this very machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

/// Whether the service may fetch `uri`, which a client brought: https at a public name and the
/// usual port. In development also plain HTTP on loopback.
///
/// A name can still lead into a private network; on the platform that runs this there is none to
/// be led into.
#[must_use]
pub fn is_fetchable(uri: &str, dev: bool) -> bool {
    let Some(url) = canonical(uri) else {
        return false;
    };
    if dev && is_loopback(&url) {
        return true;
    }
    let Some(Host::Domain(name)) = url.host() else {
        return false;
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let private = ["localhost", "local", "internal", "lan", "home", "corp"];
    let top = name.rsplit('.').next().unwrap_or_default();
    url.scheme() == "https"
        && url.port().is_none()
        && name.contains('.')
        && !private.contains(&top)
        && !name.ends_with(".home.arpa")
}

/// Whether `uri` names a resource (RFC 8707 section 2): absolute, no fragment.
#[must_use]
pub fn is_resource(uri: &str) -> bool {
    canonical(uri).is_some()
}

/// The one of `registered` that `asked` names: exactly, or but for the slash after a bare origin,
/// which stock clients add (RFC 3986 section 6.2.3). Tokens carry it as registered.
#[must_use]
pub fn as_registered<'r>(registered: &'r [String], asked: &str) -> Option<&'r str> {
    let exact = registered.iter().find(|registered| *registered == asked);
    let found = exact.or_else(|| registered.iter().find(|one| same_resource(one, asked)));
    found.map(String::as_str)
}

/// Whether two URIs name one resource: equal as text, but for the slash after a bare origin.
#[must_use]
pub fn same_resource(one: &str, other: &str) -> bool {
    // A parser adds a slash to a bare origin and to nothing else.
    let slashed = |short: &str, long: &str| {
        long.strip_suffix('/') == Some(short)
            && Url::parse(short).is_ok_and(|url| url.as_str() == long)
    };
    one == other || slashed(one, other) || slashed(other, one)
}

/// The URL in `uri`, if that is short, without fragment or user, and no more than what is meant:
/// a parser forgives spaces, backslashes and dots that another reads differently, and characters
/// that no URI has (RFC 3986 section 2).
fn canonical(uri: &str) -> Option<Url> {
    let of_a_uri = |c: u8| c.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&c);
    if uri.len() > MAX_URI_BYTES || !uri.bytes().all(of_a_uri) {
        return None;
    }
    let url = Url::parse(uri).ok()?;
    let as_written = url.as_str() == uri || url.as_str().strip_suffix('/') == Some(uri);
    let plain = url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    (as_written && plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn https_loopback_and_schemes_with_a_dot_may_be_redirected_to() {
        for good in [
            "https://a.example/cb",
            "https://a.example",
            "https://a.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://localhost:4711/",
            "http://[::1]/cb",
            "com.example.app:/callback",
        ] {
            assert!(is_redirect_uri(good), "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://a.example/cb",
            "https://a.example/cb#f",
            "https://user@a.example/cb",
            "https://user:pw@a.example/cb",
            "https://@a.example/cb",
            "https://a.example/x/../cb",
            "https:\\\\a.example\\cb",
            " https://a.example/cb",
            "https://a.example/c b",
            "https://a.example/cb\n",
            "HTTPS://a.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/cb",
            "x.:/&\\:",
            "com.example.app:/c|b",
        ] {
            assert!(!is_redirect_uri(bad), "{bad}");
        }
        let long = format!("https://a.example/{}", "x".repeat(MAX_URI_BYTES));
        assert!(!is_redirect_uri(&long));
    }

    #[test]
    fn redirects_match_exactly_but_for_a_loopback_port() {
        let registered = ["https://a.example/cb".into(), "http://127.0.0.1/cb".into()];
        for good in [
            "https://a.example/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:4711/cb",
        ] {
            assert!(is_among(&registered, good), "{good}");
        }
        for bad in [
            "https://a.example:8443/cb",
            "https://a.example/cb?x=1",
            "https://a.example/CB",
            "HTTPS://a.example/cb",
            "http://127.0.0.1:4711/other",
            "http://127.0.0.1:4711/cb#f",
            "http://127.0.0.1:4711/cb/../cb",
            "http://user@127.0.0.1:4711/cb",
            "http://127.0.0.1:4711@evil.example/cb",
            "http://127.0.0.2/cb",
            "http://127.1/cb",
            "http://127.0.0.1\t/cb",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!is_among(&registered, bad), "{bad}");
        }
    }

    #[test]
    fn the_service_fetches_from_public_names_only() {
        for good in ["https://a.example/jwks", "https://app.a.example/c.json?v=1"] {
            assert!(is_fetchable(good, false), "{good}");
        }
        for bad in [
            "http://a.example/jwks",
            "https://a.example:8443/jwks",
            "https://127.0.0.1/jwks",
            "https://10.0.0.1/jwks",
            "https://169.254.169.254/latest",
            "https://2130706433/jwks",
            "https://0x7f.1/jwks",
            "https://[::1]/jwks",
            "https://[fd00::1]/jwks",
            "https://localhost/jwks",
            "https://localhost./jwks",
            "https://a.localhost/jwks",
            "https://metadata.google.internal/x",
            "https://metadata.google.internal./x",
            "https://printer.local/x",
            "https://intranet/x",
            "https://nas.home.arpa/x",
            "https://user@a.example/x",
            "ftp://a.example/x",
            "com.example.app:/x",
        ] {
            assert!(!is_fetchable(bad, false), "{bad}");
        }
        assert!(is_fetchable("http://127.0.0.1:8790/client.json", true));
        assert!(!is_fetchable("http://127.0.0.1:8790/client.json", false));
        assert!(!is_fetchable("https://10.0.0.1/jwks", true));
    }

    #[test]
    fn a_resource_is_found_with_and_without_the_slash_after_its_origin() {
        let registered = [
            "https://a.example".to_owned(),
            "https://b.example/".to_owned(),
            "https://c.example/mcp".to_owned(),
        ];
        for (asked, found) in [
            ("https://a.example", "https://a.example"),
            ("https://a.example/", "https://a.example"),
            ("https://b.example", "https://b.example/"),
            ("https://b.example/", "https://b.example/"),
            ("https://c.example/mcp", "https://c.example/mcp"),
        ] {
            assert_eq!(as_registered(&registered, asked), Some(found), "{asked}");
        }
        for bad in [
            "https://a.example//",
            "https://a.example/x",
            "https://a.example?",
            "https://a.example/#",
            "https://a.example:443/",
            "https://A.example/",
            "https://a.example.",
            "https://c.example/mcp/",
            "https://c.example/",
            "https://a.exampl",
            "/",
            "",
        ] {
            assert_eq!(as_registered(&registered, bad), None, "{bad}");
        }
        let both = [
            "https://a.example".to_owned(),
            "https://a.example/".to_owned(),
        ];
        assert_eq!(as_registered(&both, &both[1]), Some("https://a.example/"));
    }

    proptest! {
        #[test]
        fn no_other_origin_or_path_is_ever_allowed(uri: String) {
            if is_among(&["http://127.0.0.1/cb".into()], &uri) {
                prop_assert!(uri.starts_with("http://127.0.0.1") && uri.ends_with("/cb"));
            }
        }

        #[test]
        fn what_may_be_registered_is_allowed_as_registered(uri in "(https|http|com\\.a)://?[a-z0-9.@:#/%\\[\\]]{0,20}") {
            if is_redirect_uri(&uri) {
                prop_assert!(is_among(std::slice::from_ref(&uri), &uri));
                prop_assert!(!uri.contains('#'));
            }
        }
    }
}
