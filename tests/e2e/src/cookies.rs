//! A browser's cookie jar (RFC 6265bis), as far as it decides whether a log-in works.
//!
//! Cookies are kept by host and not by port, as browsers do: service, gateway and identity provider
//! of a local stack share one jar, and their names must not clash. Loopback counts as secure.

use crate::wait::unix_secs;
use chrono::DateTime;
use url::Url;

/// What a browser holds.
#[derive(Clone, Debug, Default)]
pub struct Jar {
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
}

impl Jar {
    /// Takes in one `Set-Cookie` header of a response from `url`, unless its prefix forbids it.
    pub fn store(&mut self, url: &Url, set_cookie: &str) {
        let mut parts = set_cookie.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let attributes = Attributes::parse(parts);
        if !attributes.allow_name(name) {
            return;
        }
        let cookie = Cookie {
            host: url.host_str().unwrap_or_default().to_owned(),
            path: attributes.path.unwrap_or_else(|| directory(url.path())),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        self.cookies.retain(|old| !old.replaced_by(&cookie));
        if !attributes.expired {
            self.cookies.push(cookie);
        }
    }

    /// The `Cookie` header for a request to `url`, if there is anything to send.
    #[must_use]
    pub fn header(&self, url: &Url) -> Option<String> {
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .filter(|cookie| cookie.goes_to(url))
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// The value of a cookie, wherever it is from.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.cookies
            .iter()
            .find(|cookie| cookie.name == name)
            .map(|cookie| cookie.value.as_str())
    }

    /// Forgets every cookie whose name begins like this.
    pub fn forget(&mut self, prefix: &str) {
        self.cookies
            .retain(|cookie| !cookie.name.starts_with(prefix));
    }

    /// Names of all cookies held.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.cookies
            .iter()
            .map(|cookie| cookie.name.as_str())
            .collect()
    }
}

impl Cookie {
    fn replaced_by(&self, new: &Self) -> bool {
        (&self.host, &self.path, &self.name) == (&new.host, &new.path, &new.name)
    }

    fn goes_to(&self, url: &Url) -> bool {
        let path = url.path();
        let below = path.strip_prefix(self.path.as_str()).is_some_and(|rest| {
            rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/')
        });
        url.host_str() == Some(&self.host) && below
    }
}

#[derive(Default)]
struct Attributes {
    path: Option<String>,
    domain: bool,
    secure: bool,
    expired: bool,
}

impl Attributes {
    fn parse<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut attributes = Self::default();
        let mut max_age_seen = false;
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            match name.to_ascii_lowercase().as_str() {
                "path" => attributes.path = Some(value.to_owned()),
                "domain" => attributes.domain = true,
                "secure" => attributes.secure = true,
                "max-age" => {
                    max_age_seen = true; // it wins over Expires
                    attributes.expired = value.parse().is_ok_and(|secs: i64| secs <= 0);
                }
                "expires" if !max_age_seen => {
                    attributes.expired = DateTime::parse_from_rfc2822(value)
                        .is_ok_and(|at| at.timestamp().cast_unsigned() < unix_secs());
                }
                _ => {}
            }
        }
        attributes
    }

    /// RFC 6265bis section 4.1.3: what the prefixes promise.
    fn allow_name(&self, name: &str) -> bool {
        let host_only = self.secure && !self.domain && self.path.as_deref() == Some("/");
        (!name.starts_with("__Host-") || host_only)
            && (!name.starts_with("__Secure-") || self.secure)
    }
}

/// RFC 6265 section 5.1.4: the path of a cookie that names none.
fn directory(path: &str) -> String {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((directory, _)) => directory.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_host_cookie_is_secure_at_the_root_and_of_no_domain_or_it_is_not_kept() {
        let at = url("http://127.0.0.1:1/a/b");
        let mut jar = Jar::default();
        for refused in [
            "__Host-x=1; Path=/",
            "__Host-x=1; Secure",
            "__Host-x=1; Secure; Path=/a",
            "__Host-x=1; Secure; Path=/; Domain=127.0.0.1",
        ] {
            jar.store(&at, refused);
            assert_eq!(jar.header(&at), None, "{refused}");
        }
        jar.store(&at, "__Host-x=1; Secure; Path=/");
        assert_eq!(
            jar.header(&url("http://127.0.0.1:2/")).as_deref(),
            Some("__Host-x=1")
        );
    }

    #[test]
    fn paths_limit_and_expiry_removes() {
        let at = url("http://127.0.0.1:1/a/b");
        let mut jar = Jar::default();
        jar.store(&at, "x=1; path=/a");
        assert_eq!(jar.header(&url("http://127.0.0.1:1/ab")), None);
        assert_eq!(jar.header(&at).as_deref(), Some("x=1"));
        jar.store(&at, "x=; path=/a; expires=Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(jar.header(&at), None);
    }
}
