//! One deployment: the gateway's file, and what differs between deployments of it.
//!
//! | variable | meaning |
//! |---|---|
//! | those of [`crate::config`] | |
//! | what the file calls the `var` of an upstream | that upstream's origin; before the file's `url` |
//! | `ASSERTION_KEY` (secret) | 32 bytes, base64url: the private scalar of the ES256 key that signs assertions; required once a route asks for them |
//!
//! All of it is valid or nothing is served. What is wrong is told to the log; no value is.

use crate::config::Config;
use crate::file;
use crate::headers::{self, Stripping};
use crate::route::Route;
use crate::route::table::{Table, Upstream};
use portcullis_core::id::LogHash;
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::text::from_base64url;
use url::Url;

/// The secret with the key that signs assertions.
const ASSERTION_KEY: &str = "ASSERTION_KEY";

/// Valid settings and a valid file that go together.
pub struct Deployment {
    /// What is set for this deployment alone.
    pub config: Config,
    /// The routes. Each upstream has its origin.
    pub table: Table,
    /// What signs assertions; there if a route asks for them.
    pub assertion_key: Option<SigningKey>,
    /// How old a view of the revocations may become, in milliseconds, before no route is content with it.
    pub freshest_view_ms: Option<u64>,
    /// What the log calls the file.
    pub policy: LogHash,
    stripped: Vec<String>,
}

impl Deployment {
    /// Reads and validates it all; otherwise says everything that is wrong.
    pub fn of(file: &str, var: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<String>> {
        let config = Config::from_vars(&var);
        let declared = file::read(file);
        let (config, mut table) = match (config, declared) {
            (Ok(config), Ok(declared)) => (config, declared.table),
            (config, declared) => {
                let settings = config.err().map(|invalid| invalid.to_string());
                let file = declared.err().unwrap_or_default();
                let file = file.into_iter().map(|it| format!("gateway.toml:{it}"));
                return Err(settings.into_iter().chain(file).collect());
            }
        };
        let mut wrong = Vec::new();
        for upstream in &mut table.upstreams {
            upstream.origin = origin(upstream, &config, &var);
            if upstream.origin.is_none() {
                let var = upstream.var.as_deref().unwrap_or_default();
                wrong.push(format!("missing or invalid: {var}"));
            }
        }
        let assertion_key = var(ASSERTION_KEY).map(|text| key(&text));
        if let Some(None) = assertion_key {
            wrong.push(format!("missing or invalid: {ASSERTION_KEY}"));
        }
        for route in &table.routes {
            let faults = faults(route, &config, assertion_key.is_some());
            wrong.extend(faults.map(|fault| format!("gateway.toml:{}: {fault}", route.line)));
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        let asserted = config.assertion_header.as_deref();
        let stripped = table.claim_headers().chain(asserted);
        Ok(Self {
            policy: LogHash::of_policy(file),
            stripped: stripped.map(headers::as_servers_read).collect(),
            assertion_key: assertion_key.flatten(),
            config,
            freshest_view_ms: table.freshest_view_ms(),
            table,
        })
    }

    /// Where the requests of a route go.
    #[must_use]
    pub fn origin(&self, route: &Route) -> Option<&str> {
        let upstream = self.table.upstreams.get(route.upstream)?;
        upstream.origin.as_deref()
    }

    /// What of requests' headers goes no further.
    #[must_use]
    pub fn stripping(&self) -> Stripping<'_> {
        Stripping {
            names: &self.stripped,
        }
    }
}

/// Where requests to an upstream go: what its variable says, or else the file.
fn origin(
    upstream: &Upstream,
    config: &Config,
    var: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    match upstream.var.as_deref().and_then(var) {
        Some(set) => Some(set).filter(|set| config.is_upstream(set)),
        None => upstream.origin.clone(),
    }
}

fn key(text: &str) -> Option<SigningKey> {
    let secret: [u8; 32] = from_base64url(text)?.try_into().ok()?;
    SigningKey::from_secret(&secret).ok()
}

/// What a route says that this deployment cannot do.
fn faults(route: &Route, config: &Config, has_key: bool) -> impl Iterator<Item = String> {
    let guard = route.guard();
    let home = Url::parse(&config.audience).ok();
    let home = home.as_ref().and_then(Url::host_str);
    let elsewhere = |host: &String| home != Some(host);
    let no_way_back = guard.is_some_and(|guard| guard.browser_login)
        && route.host.as_ref().is_some_and(elsewhere);
    let no_key = guard.is_some_and(|guard| guard.assertion) && !has_key;
    let asserted = config.assertion_header.as_deref().is_some_and(|asserted| {
        let alike = |(name, _): &(String, _)| headers::are_alike(name, asserted);
        guard.is_some_and(|guard| guard.headers.iter().any(alike))
    });
    let faults = [
        (
            no_way_back,
            "browsers that log in come back to the host of AUDIENCE: browser_login cannot be had \
             on another"
                .to_owned(),
        ),
        (
            no_key,
            format!("assertions are to be signed, and there is no {ASSERTION_KEY}"),
        ),
        (
            asserted,
            "the header of ASSERTION_HEADER cannot hold a claim".to_owned(),
        ),
    ];
    faults
        .into_iter()
        .filter(|(is, _)| *is)
        .map(|(_, fault)| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"[upstreams]
fixed = "https://fixed.example"
moved = { url = "https://moved.example", var = "MOVED" }
given = { var = "ORIGIN" }
[[routes]]
path = "/fixed/*"
upstream = "fixed"
headers = { X-User = "sub" }
[[routes]]
path = "/moved/*"
upstream = "moved"
[[routes]]
path = "/*"
upstream = "given"
"#;
    const VARS: [(&str, &str); 5] = [
        ("ISSUER", "https://id.example"),
        ("AUDIENCE", "https://app.example"),
        ("CLIENT_ID", "gateway"),
        ("ORIGIN", "https://origin.example"),
        ("ASSERTION_HEADER", "X-Asserted"),
    ];

    fn deployed(file: &str, changes: &[(&str, &str)]) -> Result<Deployment, Vec<String>> {
        Deployment::of(file, |name| {
            let mut set = changes.iter().rev().chain(&VARS);
            let found = set.find(|(known, _)| *known == name);
            found
                .filter(|(_, value)| !value.is_empty())
                .map(|(_, value)| (*value).to_owned())
        })
    }

    fn wrong(file: &str, changes: &[(&str, &str)]) -> Vec<String> {
        deployed(file, changes).err().unwrap_or_default()
    }

    #[test]
    fn a_variable_goes_before_the_file_where_the_file_names_it() {
        let origins = |changes: &[(&str, &str)]| -> Vec<Option<String>> {
            let deployment = deployed(FILE, changes).unwrap_or_else(|wrong| panic!("{wrong:?}"));
            let routes = deployment.table.routes.iter();
            routes
                .map(|route| deployment.origin(route).map(str::to_owned))
                .collect()
        };
        let urls = |urls: [&str; 3]| urls.map(|url| Some(url.to_owned())).to_vec();
        assert_eq!(
            origins(&[]),
            urls([
                "https://fixed.example",
                "https://moved.example",
                "https://origin.example"
            ])
        );
        assert_eq!(
            origins(&[
                ("MOVED", "https://b.example"),
                ("FIXED", "https://c.example")
            ]),
            urls([
                "https://fixed.example",
                "https://b.example",
                "https://origin.example"
            ])
        );
    }

    #[test]
    fn what_is_wrong_is_all_told_and_no_value_is() {
        assert_eq!(
            wrong("x", &[("ISSUER", "http://secret"), ("CLIENT_ID", "")]).len(),
            2
        );
        assert_eq!(
            wrong(
                FILE,
                &[
                    ("ORIGIN", ""),
                    ("MOVED", "http://secret"),
                    ("ASSERTION_KEY", "secret")
                ]
            ),
            [
                "missing or invalid: ORIGIN",
                "missing or invalid: MOVED",
                "missing or invalid: ASSERTION_KEY"
            ]
        );
        assert_eq!(
            wrong("[upstreams]\n", &[]),
            ["gateway.toml:1:1: \"routes\" is missing"]
        );
    }

    #[test]
    fn an_assertion_needs_a_key() {
        let file = FILE.replace("headers = {", "assertion = true\nheaders = {");
        let key = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc";
        assert_eq!(
            wrong(&file, &[]),
            ["gateway.toml:5: assertions are to be signed, and there is no ASSERTION_KEY"]
        );
        let signs = |deployment: Deployment| deployment.assertion_key.is_some();
        assert_eq!(
            deployed(&file, &[("ASSERTION_KEY", key)]).map(signs),
            Ok(true)
        );
        for bad in ["AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ä"] {
            let told = wrong(&file, &[("ASSERTION_KEY", bad)]);
            assert_eq!(told, ["missing or invalid: ASSERTION_KEY"], "{bad}");
        }
    }

    #[test]
    fn browsers_log_in_on_the_host_that_they_come_back_to() {
        let on = |host: &str| {
            let route = format!("browser_login = true\nhost = \"{host}\"\nheaders = {{");
            wrong(&FILE.replace("headers = {", &route), &[])
        };
        assert_eq!(on("app.example"), Vec::<String>::new());
        assert_eq!(on("other.example").len(), 1);
    }

    #[test]
    fn a_header_that_a_proxy_asserts_in_holds_no_claim() {
        assert_eq!(
            wrong(FILE, &[("ASSERTION_HEADER", "x-user")]),
            ["gateway.toml:5: the header of ASSERTION_HEADER cannot hold a claim"]
        );
    }

    #[test]
    fn a_header_that_holds_a_claim_anywhere_comes_from_outside_nowhere() {
        let deployment = deployed(FILE, &[]).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let inbound = ["x_user", "X-Asserted"].map(|name| (name.to_owned(), "x".to_owned()));
        assert!(headers::stripped(&inbound, deployment.stripping()).is_empty());
    }
}
