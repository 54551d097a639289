//! What a deployment sets, validated once.
//!
//! | variable | meaning |
//! |---|---|
//! | `ISSUER` | the service's issuer URL, the only `iss` that is believed |
//! | `AUDIENCE` | this gateway's public origin, the `aud` that tokens must carry |
//! | `CLIENT_ID` | what this gateway is called at the service |
//! | `ASSERTION_HEADER` | absent, or the header in which an access proxy asserts who is there, such as `Cf-Access-Jwt-Assertion` |
//! | `MODE` | absent for production; `dev` allows `http` on loopback, and only loopback |
//!
//! Where requests go, and who may send them, is in the gateway's file ([`crate::file`]); here is what
//! differs between deployments of the same file. An upstream's variable does, too: the file names
//! it, and [`crate::deployment`] reads it.
//!
//! Absent or invalid settings are told to the log by name. Callers get a 503 that says nothing.

use std::fmt;
use url::{Host, Url};

/// What is set by name; no upstream can be.
const SETTINGS: [&str; 8] = [
    "ISSUER",
    "AUDIENCE",
    "CLIENT_ID",
    "ASSERTION_HEADER",
    "ASSERTION_KEY",
    "MODE",
    "CHECKS",
    "AUDIT_QUEUE",
];

/// Valid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    mode: Mode,
    /// The service's issuer URL, exactly as in `iss`.
    pub issuer: String,
    /// This gateway's public origin, without a trailing slash.
    pub audience: String,
    /// What this gateway is called at the service.
    pub client_id: String,
    /// The header in which an access proxy asserts who is there.
    pub assertion_header: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Production,
    Dev,
}

/// The names of the settings that are absent or invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(Vec<&'static str>);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing or invalid: {}", self.0.join(", "))
    }
}

impl std::error::Error for Invalid {}

impl Config {
    /// Reads and validates the settings.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, Invalid> {
        let mode = match var("MODE").as_deref() {
            None => Some(Mode::Production),
            Some("dev") => Some(Mode::Dev),
            Some(_) => None,
        };
        // An unknown mode is an error of its own; the rest is judged by the stricter rules.
        let rules = mode.unwrap_or(Mode::Production);
        let issuer = var("ISSUER").filter(|text| is_issuer(text, rules));
        let audience = var("AUDIENCE").filter(|text| is_origin(text, rules));
        let client_id = var("CLIENT_ID").filter(|text| is_client_id(text));
        let assertion_header = var("ASSERTION_HEADER");
        let bad_header = assertion_header
            .as_ref()
            .is_some_and(|name| !is_header(name));
        match (mode, issuer, audience, client_id) {
            (Some(mode), Some(issuer), Some(audience), Some(client_id)) if !bad_header => {
                Ok(Self {
                    mode,
                    issuer,
                    audience,
                    client_id,
                    assertion_header,
                })
            }
            (mode, issuer, audience, client_id) => {
                let missing = [
                    ("MODE", mode.is_none()),
                    ("ISSUER", issuer.is_none()),
                    ("AUDIENCE", audience.is_none()),
                    ("CLIENT_ID", client_id.is_none()),
                    ("ASSERTION_HEADER", bad_header),
                ];
                let names = missing.into_iter().filter(|(_, missing)| *missing);
                Err(Invalid(names.map(|(name, _)| name).collect()))
            }
        }
    }

    /// Whether a request to `url` is answered at all: in dev mode, only on loopback, so that a
    /// machine that is reachable by accident serves nobody.
    #[must_use]
    pub fn admits(&self, url: &Url) -> bool {
        self.mode == Mode::Production || is_loopback(url)
    }

    /// Whether requests can be forwarded to `text`: an origin, over https, or on loopback in dev mode.
    #[must_use]
    pub fn is_upstream(&self, text: &str) -> bool {
        is_origin(text, self.mode)
    }

    /// Where the service sends browsers back to.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("{}{}", self.audience, crate::routes::CALLBACK)
    }
}

/// Whether `text` is an origin that every deployment may forward to.
pub(crate) fn is_https_origin(text: &str) -> bool {
    is_origin(text, Mode::Production)
}

/// Whether `name` can be that of a variable with an upstream: none that means something else.
pub(crate) fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    let of_a_name = |it: u8| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_';
    bytes.next().is_some_and(|it| it.is_ascii_uppercase())
        && bytes.all(of_a_name)
        && !SETTINGS.contains(&name)
}

/// An origin and nothing more, in the form that browsers send it.
fn is_origin(text: &str, mode: Mode) -> bool {
    parse(text, mode).is_some_and(|url| url.origin().ascii_serialization() == text)
}

/// A URL without query, fragment or trailing slash (RFC 8414 section 2).
fn is_issuer(text: &str, mode: Mode) -> bool {
    parse(text, mode).is_some_and(|url| {
        let plain = url.query().is_none() && url.fragment().is_none();
        plain && url.as_str().trim_end_matches('/') == text
    })
}

fn is_client_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A header's name (RFC 9110 section 5.1), and none that means something else here.
fn is_header(name: &str) -> bool {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let taken = ["authorization", "cookie", "dpop", "host"];
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(of_a_name)
        && !taken.contains(&name.to_ascii_lowercase().as_str())
}

fn parse(text: &str, mode: Mode) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let secure = url.scheme() == "https";
    let local = mode == Mode::Dev && url.scheme() == "http" && is_loopback(&url);
    let bare = url.username().is_empty() && url.password().is_none();
    ((secure || local) && bare).then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Settings for the tests of this crate.
#[cfg(test)]
pub(crate) fn example() -> Config {
    Config {
        mode: Mode::Production,
        issuer: "https://id.example".to_owned(),
        audience: "https://app.example".to_owned(),
        client_id: "gateway".to_owned(),
        assertion_header: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 3] = [
        ("ISSUER", "https://id.example"),
        ("AUDIENCE", "https://app.example"),
        ("CLIENT_ID", "gateway"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, Invalid> {
        Config::from_vars(|name| {
            let other = changes.iter().rev().find(|(changed, _)| *changed == name);
            other
                .or_else(|| GOOD.iter().find(|(good, _)| *good == name))
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn good_settings_are_read() {
        assert_eq!(read(&[]), Ok(example()));
        let with_path = read(&[("ISSUER", "https://id.example/tenant")]);
        assert_eq!(
            with_path.map(|config| config.issuer).as_deref(),
            Ok("https://id.example/tenant")
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_everything_that_is() {
        let none = Config::from_vars(|_| None);
        let text = none.map_err(|invalid| invalid.to_string());
        assert_eq!(
            text,
            Err("missing or invalid: ISSUER, AUDIENCE, CLIENT_ID".to_owned())
        );
        assert_eq!(read(&[("MODE", "development")]), Err(Invalid(vec!["MODE"])));
        assert_eq!(read(&[("MODE", "")]), Err(Invalid(vec!["MODE"])));
    }

    #[test]
    fn urls_must_be_https_and_canonical() {
        for (name, value) in [
            ("ISSUER", "http://id.example"),
            ("ISSUER", "https://id.example/"),
            ("ISSUER", "https://id.example?x"),
            ("ISSUER", "https://user@id.example"),
            ("ISSUER", "id.example"),
            ("AUDIENCE", "http://app.example"),
            ("AUDIENCE", "https://app.example/"),
            ("AUDIENCE", "https://app.example/path"),
            ("AUDIENCE", "https://APP.example"),
            ("AUDIENCE", "https://app.example:443"),
            ("AUDIENCE", "http://127.0.0.1:8788"),
            ("CLIENT_ID", ""),
            ("CLIENT_ID", "a b"),
            ("ASSERTION_HEADER", ""),
            ("ASSERTION_HEADER", "a b"),
            ("ASSERTION_HEADER", "Cookie"),
        ] {
            assert_eq!(read(&[(name, value)]), Err(Invalid(vec![name])), "{value}");
        }
    }

    #[test]
    fn dev_mode_allows_http_on_loopback_and_answers_nowhere_else() {
        let dev = [("MODE", "dev"), ("AUDIENCE", "http://127.0.0.1:8788")];
        let config = read(&dev).expect("valid");
        assert!(config.is_upstream("http://127.0.0.1:8790"));
        assert!(!config.is_upstream("http://origin.example"));
        assert!(!example().is_upstream("http://127.0.0.1:8790"));
        for (url, admitted) in [
            ("http://127.0.0.1:8788/x", true),
            ("http://localhost:8788/", true),
            ("http://[::1]:8788/", true),
            ("http://localhost.evil.example/", false),
            ("http://192.168.0.7:8788/", false),
            ("https://app.example/", false),
        ] {
            let url = Url::parse(url).expect("a URL");
            assert_eq!(config.admits(&url), admitted, "{url}");
            assert!(example().admits(&url));
        }
        let remote = read(&[("MODE", "dev"), ("AUDIENCE", "http://app.example")]);
        assert_eq!(remote, Err(Invalid(vec!["AUDIENCE"])));
    }
}
