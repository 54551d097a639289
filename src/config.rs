//! The deployment's settings: read once, valid as a whole or not at all.
//!
//! An absent `MODE` is production. Demo credentials and demo clients are made here, and only in
//! development mode.

use crate::auth::Role;
use portcullis_core::client::uri::{is_loopback, is_resource};
use portcullis_core::client::{Client, DEFAULT_SCOPE, Origin};
use portcullis_core::connection::Connection;
use portcullis_core::connection::sync::Target;
use portcullis_core::feed::shards::Layouts;
use portcullis_core::keyring::Timing;
use portcullis_core::secret::{Digest, derived_key};
use portcullis_core::text::{base64url, from_base64url};
use portcullis_core::time::UnixMillis;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use std::rc::Rc;
use url::Url;

/// The API that has API Shield, unless the configuration names another.
const API_SHIELD_URL: &str = "https://api.cloudflare.com/client/v4";

/// For how long a gateway may decide by what it knows of a feed unless the deployment says otherwise, in
/// milliseconds: a kill is in force everywhere in about a second.
const DEFAULT_STALENESS_MS: u64 = 1000;
/// The shortest and the longest that a deployment can allow.
const MIN_STALENESS_MS: u64 = 100;
const MAX_STALENESS_MS: u64 = 60_000;

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
    /// Seals secrets that connections have at their providers.
    pub connection_key: [u8; 32],
    /// Seals the keys of the audit log's checkpoints at rest.
    pub log_key: [u8; 32],
    /// The static connection: an identity provider that is there from the first request on. The policy
    /// may have more, and may have turned this one off; [`crate::connections`] knows.
    pub connection: Rc<Connection>,
    /// Our secret there.
    pub connection_secret: String,
    /// Where providers' keys are kept in step.
    pub api_shield: ApiShield,
    /// OAuth clients.
    pub clients: Vec<Rc<Client>>,
    /// The resources (RFC 8707) of clients that bring none; the first is the default audience.
    pub resources: Vec<String>,
    /// How clients come to be known that no operator registered.
    pub registration: Registration,
    /// API credentials by digest.
    pub credentials: Vec<(Digest, Role)>,
    /// How long keys sign, and how long before they are published.
    pub key_timing: Timing,
    /// The feeds of what was ended.
    pub feed: Feed,
    /// Holds back an object's first delivery, so that tests can crash before it. Development only.
    pub delivery_delay_ms: u64,
}

/// API Shield, which checks tokens before they reach a Worker.
pub struct ApiShield {
    /// Its API's base URL, without a trailing slash.
    pub url: String,
    /// The credential for it; `None`: nothing is sent.
    pub token: Option<String>,
}

/// Where what was ended is told, and what readers may make of it.
pub struct Feed {
    /// Into how many feeds it is spread.
    pub layouts: Layouts,
    /// For how long a gateway may decide by what it knows of a feed, in milliseconds.
    pub max_age_ms: u64,
    /// Holds it back, for tests. Development only.
    pub delay_ms: u64,
    /// How old a feed is when it begins, for tests that have no time to wait until tokens are newer
    /// than it. Development only.
    pub age_ms: u64,
}

/// What strangers may bring.
pub struct Registration {
    /// Whether a `client_id` may be the URL of the client's metadata document.
    pub metadata_documents: bool,
    /// Whether clients may register themselves (RFC 7591).
    pub dynamic: bool,
    /// The scopes that such clients can have, separated by spaces.
    pub scope: String,
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
        let registration = registration(&var)?;
        let resources = match var("RESOURCES") {
            Some(list) if !list.is_empty() => serde_json::from_str(&list)
                .ok()
                .filter(|list: &Vec<String>| list.iter().all(|uri| is_resource(uri)))
                .ok_or("RESOURCES")?,
            _ if dev => vec![base_url("DEFAULT_AUDIENCE")?],
            // Strangers bring none, and a token must be for something.
            _ if registration.dynamic || registration.metadata_documents => {
                return Err("RESOURCES");
            }
            _ => Vec::new(),
        };
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
            connection_key: derived_key(&service_key, "connection secrets at rest"),
            log_key: log_key(&service_key),
            connection: static_connection(
                &json!({
                    "id": needed("CONNECTION_ID")?,
                    "issuer": base_url("OIDC_ISSUER")?,
                    "client_id": needed("OIDC_CLIENT_ID")?,
                    // No default: a claim that is not SCIM's `userName` would make every
                    // deactivation miss.
                    "subject_claim": needed("OIDC_SUBJECT_CLAIM")?,
                    // SCIM governs it.
                    "subject_folds_case": true,
                    "jwks_path": var("OIDC_JWKS_PATH")
                        .filter(|path| !path.is_empty())
                        .unwrap_or_else(|| "/keys".to_owned()),
                    "api_shield": api_shield_target(&var)?,
                }),
                dev,
            )?,
            connection_secret: needed("OIDC_CLIENT_SECRET")?,
            api_shield: ApiShield {
                url: match var("API_SHIELD_URL").filter(|url| !url.is_empty()) {
                    Some(_) => base_url("API_SHIELD_URL")?,
                    None => API_SHIELD_URL.to_owned(),
                },
                token: var("API_SHIELD_TOKEN").filter(|token| !token.is_empty()),
            },
            clients: if dev {
                static_clients(demo_clients(&base_url("DEFAULT_AUDIENCE")?), dev)
            } else {
                serde_json::from_str(&needed("CLIENTS")?)
                    .ok()
                    .and_then(|clients| static_clients(clients, dev))
            }
            .ok_or("CLIENTS")?,
            resources,
            registration,
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
            key_timing: key_timing(&var, dev)?,
            feed: feed(&var, dev)?,
            delivery_delay_ms: match var("TEST_DELIVERY_DELAY_MS") {
                Some(delay) if dev => delay.parse().map_err(|_| "TEST_DELIVERY_DELAY_MS")?,
                _ => 0,
            },
        })
    }

    /// The static client of that id; [`crate::policy::client`] knows all others too.
    pub fn client(&self, client_id: &str) -> Option<&Rc<Client>> {
        self.clients
            .iter()
            .find(|client| client.client_id == client_id)
    }
}

fn key_timing(var: impl Fn(&str) -> Option<String>, dev: bool) -> Result<Timing, &'static str> {
    Ok(match var("TEST_KEY_AHEAD_SECS") {
        Some(ahead) if dev => Timing {
            ahead_on_demand_secs: ahead.parse().map_err(|_| "TEST_KEY_AHEAD_SECS")?,
            ..Timing::default()
        },
        _ => Timing::default(),
    })
}

fn feed(var: impl Fn(&str) -> Option<String>, dev: bool) -> Result<Feed, &'static str> {
    let given = |name| var(name).filter(|text| !text.is_empty());
    let of_test = |name| match given(name) {
        Some(ms) if dev => ms.parse().map_err(|_| name),
        _ => Ok(0),
    };
    Ok(Feed {
        layouts: match given("FEED_SHARDS") {
            Some(text) => Layouts::parse(&text).ok_or("FEED_SHARDS")?,
            None => Layouts::default(),
        },
        max_age_ms: match given("MAX_STALENESS_MS").map(|text| text.parse()) {
            Some(Ok(ms @ MIN_STALENESS_MS..=MAX_STALENESS_MS)) => ms,
            Some(_) => return Err("MAX_STALENESS_MS"),
            None => DEFAULT_STALENESS_MS,
        },
        delay_ms: of_test("TEST_FEED_DELAY_MS")?,
        age_ms: of_test("TEST_FEED_AGE_MS")?,
    })
}

/// Where the connection's keys are kept in step, by `API_SHIELD_ZONE_ID` and `API_SHIELD_CONFIG_ID`.
fn api_shield_target(var: impl Fn(&str) -> Option<String>) -> Result<Option<Target>, &'static str> {
    let named = |name| var(name).filter(|id| !id.is_empty());
    let target = match (named("API_SHIELD_ZONE_ID"), named("API_SHIELD_CONFIG_ID")) {
        (Some(zone_id), Some(config_id)) => Target { zone_id, config_id },
        (None, None) => return Ok(None),
        (None, Some(_)) => return Err("API_SHIELD_ZONE_ID"),
        (Some(_), None) => return Err("API_SHIELD_CONFIG_ID"),
    };
    if let Err(why) = target.valid() {
        let zone = why.starts_with("zone_id");
        return Err(if zone {
            "API_SHIELD_ZONE_ID"
        } else {
            "API_SHIELD_CONFIG_ID"
        });
    }
    Ok(Some(target))
}

/// What strangers may bring, by `CLIENT_REGISTRATION` and `CLIENT_REGISTRATION_SCOPE`.
fn registration(var: impl Fn(&str) -> Option<String>) -> Result<Registration, &'static str> {
    let mut registration = Registration {
        metadata_documents: false,
        dynamic: false,
        scope: var("CLIENT_REGISTRATION_SCOPE")
            .filter(|scope| !scope.is_empty())
            .unwrap_or_else(|| DEFAULT_SCOPE.to_owned()),
    };
    let ways = var("CLIENT_REGISTRATION").unwrap_or_default();
    for way in ways.split(',').map(str::trim).filter(|way| !way.is_empty()) {
        match way {
            "metadata-document" => registration.metadata_documents = true,
            "dynamic" => registration.dynamic = true,
            _ => return Err("CLIENT_REGISTRATION"),
        }
    }
    Ok(registration)
}

/// `text` as an https origin with an optional path, or http on loopback in development.
fn base_url(text: &str, dev: bool) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let transport = url.scheme() == "https" || (dev && is_loopback(&url));
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (transport && plain && url.password().is_none()).then(|| text.trim_end_matches('/').to_owned())
}

/// The connection of these settings, if they are valid.
fn static_connection(document: &Value, dev: bool) -> Result<Rc<Connection>, &'static str> {
    let connection = Connection::deserialize(document).map_err(|_| "CONNECTION_ID")?;
    // It stands in subjects, cookies and paths.
    let of_an_id = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if !connection.id.chars().all(of_an_id) {
        return Err("CONNECTION_ID");
    }
    // What else could be wrong has been looked at by name.
    connection.valid_settings(dev).map_err(|_| "OIDC_ISSUER")?;
    Ok(Rc::new(connection))
}

/// The clients that `list` describes, if all of them are valid and no two share an id.
fn static_clients(list: Vec<Map<String, Value>>, dev: bool) -> Option<Vec<Rc<Client>>> {
    let mut clients: Vec<Rc<Client>> = Vec::with_capacity(list.len());
    for metadata in list {
        let client = Origin::Configuration
            .client("", metadata, UnixMillis(0), dev)
            .ok()?;
        if clients.iter().any(|c| c.client_id == client.client_id) {
            return None;
        }
        clients.push(Rc::new(client));
    }
    Some(clients)
}

/// A person's application, the gateway's, a service with a secret, and an application of somebody
/// else's, for which people are asked.
fn demo_clients(audience: &str) -> Vec<Map<String, Value>> {
    let on_loopback = |paths: &[&str]| -> Vec<String> {
        ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .flat_map(|origin| paths.iter().map(move |path| format!("{origin}{path}")))
            .collect()
    };
    // One where people are asked each time, and one where their answer is remembered.
    let mut third_party = on_loopback(&["/callback", "/cb", "/"]);
    third_party.push("https://third-party.example/callback".to_owned());
    let secret = Digest::of(b"dev-secret");
    let clients = json!([
        {
            "client_id": "demo-app",
            "client_name": "Demo application",
            "redirect_uris": on_loopback(&["/callback", "/cb", "/"]),
            "post_logout_redirect_uris": on_loopback(&["/callback", "/logged-out", "/"]),
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access",
            "first_party": true,
        },
        {
            "client_id": "demo-gateway",
            "client_name": "Demo gateway",
            "redirect_uris": on_loopback(&["/.portcullis/callback"]),
            "scope": "openid profile email",
            "first_party": true,
        },
        {
            "client_id": "demo-service",
            "client_name": "Demo service",
            "grant_types": [
                "client_credentials",
                "urn:ietf:params:oauth:grant-type:token-exchange",
            ],
            "token_endpoint_auth_method": "client_secret_basic",
            "secrets": [{"sha256": base64url(secret.as_bytes())}],
            "scope": "read write",
            "introspects": [audience],
        },
        {
            "client_id": "demo-third-party",
            "client_name": "Somebody else's application",
            "redirect_uris": third_party,
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid profile email offline_access",
        },
    ]);
    serde_json::from_value(clients).unwrap_or_default()
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

/// What seals the audit log's keys.
pub fn log_key(service_key: &[u8; 32]) -> [u8; 32] {
    derived_key(service_key, "audit log keys at rest")
}

#[cfg(test)]
pub mod tests {
    use super::*;

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
            r#"[{"client_id":"a","redirect_uris":["https://a/cb"],"audience":"https://x.example"}]"#,
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

    /// A developer's configuration.
    pub fn dev() -> Config {
        let dev = with(&[
            ("MODE", Some("dev")),
            ("DEFAULT_AUDIENCE", Some("http://127.0.0.1:1")),
        ]);
        let Ok(dev) = dev else { panic!("valid") };
        dev
    }

    #[test]
    fn nobody_registers_unless_the_configuration_says_so() {
        let ways = |text| {
            with(&[
                ("CLIENT_REGISTRATION", text),
                ("RESOURCES", Some(r#"["https://r.example"]"#)),
            ])
        };
        for (text, documents, dynamic) in [
            (None, false, false),
            (Some(""), false, false),
            (Some("dynamic"), false, true),
            (Some("metadata-document, dynamic"), true, true),
        ] {
            let Ok(config) = ways(text) else {
                panic!("valid")
            };
            let registration = config.registration;
            assert_eq!(registration.metadata_documents, documents);
            assert_eq!(registration.dynamic, dynamic);
            assert_eq!(registration.scope, "openid profile");
        }
        assert_eq!(ways(Some("all")).err(), Some("CLIENT_REGISTRATION"));
        let nothing_to_reach = with(&[("CLIENT_REGISTRATION", Some("dynamic"))]);
        assert_eq!(nothing_to_reach.err(), Some("RESOURCES"));
    }

    #[test]
    fn keys_are_sent_where_both_ids_say_and_to_an_api_over_https() {
        let zone = (
            "API_SHIELD_ZONE_ID",
            Some("023e105f4ecef8ad9ca31a8372d0c353"),
        );
        let id = (
            "API_SHIELD_CONFIG_ID",
            Some("4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7"),
        );
        let Ok(config) = with(&[zone, id]) else {
            panic!("valid")
        };
        assert!(config.connection.api_shield.is_some());
        assert_eq!(config.api_shield.url, API_SHIELD_URL);
        assert_eq!(config.api_shield.token, None);
        let Ok(config) = with(&[]) else {
            panic!("valid")
        };
        assert_eq!(config.connection.api_shield, None);
        assert_eq!(config.connection.jwks_path, "/keys");
        for (changes, name) in [
            (vec![zone], "API_SHIELD_CONFIG_ID"),
            (vec![id], "API_SHIELD_ZONE_ID"),
            (
                vec![zone, ("API_SHIELD_CONFIG_ID", Some("../.."))],
                "API_SHIELD_CONFIG_ID",
            ),
            (
                vec![id, ("API_SHIELD_ZONE_ID", Some("zone"))],
                "API_SHIELD_ZONE_ID",
            ),
            (
                vec![("API_SHIELD_URL", Some("http://127.0.0.1:1"))],
                "API_SHIELD_URL",
            ),
        ] {
            assert_eq!(with(&changes).err(), Some(name));
        }
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
    fn clients_that_are_not_valid_or_share_an_id_make_no_configuration() {
        let one = r#"{"client_id":"a","redirect_uris":["https://a/cb"]}"#;
        for list in [
            "",
            "{}",
            "[1]",
            r#"[{"client_id":"a"}]"#,
            r#"[{"client_id":"a","redirect_uris":["http://a/cb"]}]"#,
            r#"[{"client_id":"a","redirect_uris":["https://a/cb"],"unheard_of":1}]"#,
            &format!("[{one},{one}]"),
        ] {
            assert_eq!(with(&[("CLIENTS", Some(list))]).err(), Some("CLIENTS"));
        }
        let known = with(&[("CLIENTS", Some(&format!("[{one}]")))]);
        assert!(known.is_ok_and(|config| config.client("a").is_some_and(|c| c.is_public())));
        for list in ["x", r#"["x"]"#, r#"["https://a#f"]"#] {
            assert_eq!(with(&[("RESOURCES", Some(list))]).err(), Some("RESOURCES"));
        }
    }

    #[test]
    fn every_demo_client_is_valid() {
        let dev = dev();
        assert_eq!(dev.clients.len(), 4);
        let service = dev.client("demo-service").expect("known");
        assert!(service.authenticates_with_secret("dev-secret", UnixMillis(0)));
        assert!(service.introspects("http://127.0.0.1:1"));
        assert_eq!(dev.resources, ["http://127.0.0.1:1"]);
    }
}
