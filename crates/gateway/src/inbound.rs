//! A request as it came in, free of the runtime's types.

use portcullis_core::audit::event::RequestFacts;
use url::Url;

/// Header names and values; names in any case, a name perhaps several times.
pub type Headers = Vec<(String, String)>;

/// What is looked at of a request before it is let through. The body is not.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// The method, as sent.
    pub method: String,
    /// The whole URL.
    pub url: Url,
    /// The headers.
    pub headers: Headers,
    /// The network that it came from, as the edge knows it.
    pub asn: Option<u32>,
    /// The country that it came from, as the edge knows it.
    pub country: Option<String>,
}

/// Who seems to be asking, for the form of a refusal only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A person's browser going to a page: send it to log in.
    Navigation,
    /// A program: tell it with a status.
    Program,
}

impl Inbound {
    /// The values of a header.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        self.headers
            .iter()
            .filter(move |(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The value of a header, if it is there once.
    #[must_use]
    pub fn only<'s>(&'s self, name: &'s str) -> Option<&'s str> {
        let mut values = self.all(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// The path with the query.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    /// Whether the method only reads (RFC 9110 section 9.2.1).
    #[must_use]
    pub fn is_safe(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// Who seems to be asking. Browsers say so themselves (`Sec-Fetch-Mode`); of others, one that
    /// wants HTML and brings no credential of a program's is taken for a person's.
    #[must_use]
    pub fn asker(&self) -> Asker {
        let may_navigate = matches!(self.method.as_str(), "GET" | "HEAD")
            && self.all("authorization").next().is_none();
        let navigates = match self.only("sec-fetch-mode") {
            Some(mode) => mode == "navigate",
            None => self.all("accept").any(|types| types.contains("text/html")),
        };
        if may_navigate && navigates {
            Asker::Navigation
        } else {
            Asker::Program
        }
    }

    /// The facts for the audit log.
    #[must_use]
    pub fn facts(&self) -> RequestFacts {
        let header = |name| self.only(name).map(str::to_owned);
        let host = self.url.host_str().unwrap_or_default();
        RequestFacts {
            method: self.method.clone(),
            host: match self.url.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            },
            path: self.url.path().to_owned(),
            status: None,
            ip: header("cf-connecting-ip"),
            user_agent: header("user-agent"),
            ray: header("cf-ray"),
            asn: self.asn,
            country: self.country.clone(),
        }
        .bounded()
    }
}

/// A request for the tests of this crate.
#[cfg(test)]
pub(crate) fn example(method: &str, path: &str, headers: &[(&str, &str)]) -> Inbound {
    Inbound {
        method: method.to_owned(),
        url: Url::parse(&format!("https://app.example{path}")).expect("a URL"),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        asn: Some(64_496),
        country: Some("CH".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_navigations_are_sent_to_log_in() {
        const HTML: (&str, &str) = ("Accept", "text/html,*/*;q=0.8");
        const NAVIGATE: (&str, &str) = ("Sec-Fetch-Mode", "navigate");
        for (method, headers, expected) in [
            ("GET", vec![NAVIGATE], Asker::Navigation),
            ("HEAD", vec![HTML], Asker::Navigation),
            ("GET", vec![], Asker::Program),
            ("POST", vec![NAVIGATE, HTML], Asker::Program),
            ("GET", vec![("Accept", "application/json")], Asker::Program),
            (
                "GET",
                vec![HTML, ("authorization", "Bearer x")],
                Asker::Program,
            ),
            (
                "GET",
                vec![HTML, ("sec-fetch-mode", "cors")],
                Asker::Program,
            ),
        ] {
            assert_eq!(
                example(method, "/", &headers).asker(),
                expected,
                "{method} {headers:?}"
            );
        }
    }

    #[test]
    fn facts_hold_no_query() {
        let inbound = example(
            "GET",
            "/a?token=secret",
            &[("CF-Connecting-IP", "192.0.2.1")],
        );
        let facts = inbound.facts();
        assert_eq!(
            (facts.path.as_str(), facts.host.as_str()),
            ("/a", "app.example")
        );
        assert_eq!(facts.ip.as_deref(), Some("192.0.2.1"));
        assert_eq!(
            (facts.asn, facts.country.as_deref()),
            (Some(64_496), Some("CH"))
        );
        assert_eq!(inbound.path_and_query(), "/a?token=secret");
    }
}
