//! The deployment's settings: read once, valid as a whole or not at all.
//!
//! An absent `MODE` is production. Demo credentials and demo clients are made here, and only in
//! development mode.

use crate::auth::Role;
use portcullis_core::secret::{Digest, derived_key};
use portcullis_core::text::from_base64url;
use serde::Deserialize;
use url::{Host, Url};

/// Everything that is decided outside the code.
pub struct Config {
    /// Whether this is a developer's machine: loopback only, demo credentials.
    pub dev: bool,
    /// The `iss` of our tokens and the base of our URLs, without a trailing slash.
    pub issuer: String,
    /// Names objects. Never rotates, authorises nothing.
    pub naming_key: [u8; 32],
    /// MACs the routing segments of codes.
    pub routing_key: [u8; 32],
    /// Seals the signing keys at rest.
    pub sealing_key: [u8; 32],
    /// The identity provider.
    pub connection: Connection,
    /// OAuth clients.
    pub clients: Vec<Client>,
    /// API credentials by digest.
    pub credentials: Vec<(Digest, Role)>,
    /// Holds back an object's first delivery, so that tests can crash before it. Development only.
    pub delivery_delay_ms: u64,
}

/// The identity provider through which people log in and which provisions them.
pub struct Connection {
    /// Its name in subject keys and events.
    pub id: String,
    /// Its issuer URL.
    pub issuer: String,
    /// What we are called there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: String,
    /// The verified claim that identifies a person, equal to SCIM's `userName`.
    pub subject_claim: String,
}

/// A registered OAuth client; all are public and use PKCE so far.
#[derive(Clone, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "`client_id` is the term of RFC 6749"
)]
pub struct Client {
    /// `client_id`.
    pub client_id: String,
    /// Exact redirect URIs; one on a loopback address matches with any port (RFC 8252 section 7.3).
    pub redirect_uris: Vec<String>,
    /// The `aud` of its access tokens.
    pub audience: String,
}

impl Client {
    /// Whether a code may be sent to `uri`.
    pub fn allows_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| {
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
}

/// Whether `url` is plain HTTP on this very machine.
pub fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

impl Config {
    /// Reads settings by name; the error is the name of the one that is missing or wrong.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        let dev = match var("MODE").as_deref() {
            None => false,
            Some("dev") => true,
            Some(_) => return Err("MODE"),
        };
        let needed = |name: &'static str| var(name).filter(|v| !v.is_empty()).ok_or(name);
        let base_url =
            |name: &'static str| needed(name).and_then(|text| base_url(&text, dev).ok_or(name));
        let key = |name: &'static str| {
            let bytes = from_base64url(&needed(name)?).ok_or(name)?;
            <[u8; 32]>::try_from(bytes).map_err(|_| name)
        };
        let service_key = key("SERVICE_KEY")?;
        Ok(Self {
            dev,
            // At the root: the routes are, and so is where RFC 8414 looks for the metadata.
            issuer: base_url("ISSUER").and_then(|issuer| match Url::parse(&issuer) {
                Ok(url) if url.path() == "/" => Ok(issuer),
                _ => Err("ISSUER"),
            })?,
            naming_key: key("NAMING_KEY")?,
            routing_key: derived_key(&service_key, "routing segments"),
            sealing_key: derived_key(&service_key, "signing keys at rest"),
            connection: Connection {
                id: needed("CONNECTION_ID").and_then(|id| {
                    if id.contains(':') {
                        Err("CONNECTION_ID")
                    } else {
                        Ok(id)
                    }
                })?,
                issuer: base_url("OIDC_ISSUER")?,
                client_id: needed("OIDC_CLIENT_ID")?,
                client_secret: needed("OIDC_CLIENT_SECRET")?,
                // No default: a claim that is not SCIM's `userName` would make every
                // deactivation miss.
                subject_claim: needed("OIDC_SUBJECT_CLAIM")?,
            },
            clients: if dev {
                demo_clients(&base_url("DEFAULT_AUDIENCE")?)
            } else {
                serde_json::from_str(&needed("CLIENTS")?).map_err(|_| "CLIENTS")?
            },
            credentials: if dev {
                demo_credentials()
            } else {
                let token = |name: &'static str, role| -> Result<_, &'static str> {
                    let token = needed(name).and_then(|token| {
                        // Too short to be anything but guessable.
                        if token.len() < 32 {
                            Err(name)
                        } else {
                            Ok(token)
                        }
                    })?;
                    Ok((Digest::of(token.as_bytes()), role))
                };
                vec![
                    token("ADMIN_TOKEN", Role::Admin)?,
                    token("AUDITOR_TOKEN", Role::Auditor)?,
                    token("SCIM_TOKEN", Role::Scim)?,
                    token("GATEWAY_TOKEN", Role::Gateway)?,
                ]
            },
            delivery_delay_ms: match var("TEST_DELIVERY_DELAY_MS") {
                Some(delay) if dev => delay.parse().map_err(|_| "TEST_DELIVERY_DELAY_MS")?,
                _ => 0,
            },
        })
    }

    /// The client of that id.
    pub fn client(&self, client_id: &str) -> Option<&Client> {
        self.clients
            .iter()
            .find(|client| client.client_id == client_id)
    }
}

/// `text` as an https origin with an optional path, or http on loopback in development.
fn base_url(text: &str, dev: bool) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let transport = url.scheme() == "https" || (dev && is_loopback(&url));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (transport && plain && url.password().is_none()).then(|| text.trim_end_matches('/').to_owned())
}

fn demo_clients(audience: &str) -> Vec<Client> {
    let client = |client_id: &str, paths: &[&str]| Client {
        client_id: client_id.to_owned(),
        redirect_uris: ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .flat_map(|origin| paths.iter().map(move |path| format!("{origin}{path}")))
            .collect(),
        audience: audience.to_owned(),
    };
    vec![
        client("demo-app", &["/callback", "/cb", "/"]),
        client("demo-gateway", &["/.portcullis/callback"]),
    ]
}

fn demo_credentials() -> Vec<(Digest, Role)> {
    [
        ("dev-admin", Role::Admin),
        ("dev-auditor", Role::Auditor),
        ("dev-scim", Role::Scim),
        ("dev-gateway", Role::Gateway),
    ]
    .map(|(token, role)| (Digest::of(token.as_bytes()), role))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: [(&str, &str); 13] = [
        ("OIDC_SUBJECT_CLAIM", "preferred_username"),
        ("ISSUER", "https://id.example"),
        ("NAMING_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("SERVICE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        ("CONNECTION_ID", "okta"),
        ("OIDC_ISSUER", "https://idp.example"),
        ("OIDC_CLIENT_ID", "c"),
        ("OIDC_CLIENT_SECRET", "s"),
        (
            "CLIENTS",
            r#"[{"client_id":"a","redirect_uris":["https://a/cb"],"audience":"x"}]"#,
        ),
        ("ADMIN_TOKEN", "admin-admin-admin-admin-admin-admin"),
        ("AUDITOR_TOKEN", "auditor-auditor-auditor-auditor-"),
        ("SCIM_TOKEN", "scim-scim-scim-scim-scim-scim-scim"),
        ("GATEWAY_TOKEN", "gateway-gateway-gateway-gateway-"),
    ];

    fn with(changes: &[(&str, Option<&str>)]) -> Result<Config, &'static str> {
        Config::read(|name| {
            match changes.iter().find(|(changed, _)| *changed == name) {
                Some((_, value)) => *value,
                None => SETTINGS.iter().find(|(n, _)| *n == name).map(|(_, v)| *v),
            }
            .map(str::to_owned)
        })
    }

    #[test]
    fn production_names_the_first_setting_that_is_missing() {
        assert!(with(&[]).is_ok());
        for (name, _) in SETTINGS {
            assert_eq!(with(&[(name, None)]).err(), Some(name));
            assert_eq!(with(&[(name, Some(""))]).err(), Some(name));
        }
    }

    #[test]
    fn production_refuses_plain_http_weak_secrets_and_unknown_modes() {
        for (name, value) in [
            ("ISSUER", "http://127.0.0.1:8787"),
            ("ISSUER", "https://id.example/path"),
            ("OIDC_ISSUER", "http://idp.example"),
            ("ADMIN_TOKEN", "dev-admin"),
            ("NAMING_KEY", "AAAA"),
            ("MODE", "production"),
            ("CONNECTION_ID", "a:b"),
        ] {
            assert_eq!(with(&[(name, Some(value))]).err(), Some(name));
        }
    }

    #[test]
    fn demo_credentials_and_clients_exist_in_development_only() {
        let knows = |config: &Config| {
            let digest = Digest::of(b"dev-admin");
            config.credentials.iter().any(|(known, _)| *known == digest)
                || config.client("demo-app").is_some()
        };
        let Ok(production) = with(&[]) else {
            panic!("valid")
        };
        assert!(!knows(&production));
        let dev = with(&[
            ("MODE", Some("dev")),
            ("DEFAULT_AUDIENCE", Some("http://127.0.0.1:1")),
        ]);
        assert!(dev.is_ok_and(|dev| knows(&dev)));
    }

    #[test]
    fn redirects_match_exactly_but_for_a_loopback_port() {
        let client = Client {
            client_id: "a".into(),
            redirect_uris: vec!["https://a.example/cb".into(), "http://127.0.0.1/cb".into()],
            audience: "x".into(),
        };
        for good in [
            "https://a.example/cb",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:4711/cb",
        ] {
            assert!(client.allows_redirect_to(good), "{good}");
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
            assert!(!client.allows_redirect_to(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_other_origin_or_path_is_ever_allowed(uri: String) {
            let client = Client {
                client_id: "a".into(),
                redirect_uris: vec!["http://127.0.0.1/cb".into()],
                audience: "x".into(),
            };
            if client.allows_redirect_to(&uri) {
                prop_assert!(uri.starts_with("http://127.0.0.1") && uri.ends_with("/cb"));
            }
        }
    }
}
