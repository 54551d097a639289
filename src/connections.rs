//! The connections as this isolate knows them, by a view of the policy that is fresh enough: the static one
//! and those that operators keep, each on or off. And the secrets that the service has at providers.

use crate::config::Config;
use crate::objects::call;
use crate::policy::{self, Unavailable};
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::connection::Connection;
use portcullis_core::policy::call::{ConnectionsAt, ListConnections};
use portcullis_core::text::{base64url, from_base64url};
use std::cell::RefCell;
use std::rc::Rc;
use worker::{Env, Error};

/// Every connection; those that are off too.
pub type Connections = Rc<Vec<Rc<Connection>>>;

thread_local! {
    static CONNECTIONS: RefCell<Option<(u64, Connections)>> = const { RefCell::new(None) };
}

/// Every connection, the static one first.
pub async fn all(env: &Env, config: &Config) -> Result<Connections, Unavailable> {
    let view = policy::view(env).await?;
    let remembered = CONNECTIONS.with_borrow(|remembered| {
        let (version, connections) = remembered.as_ref()?;
        (*version == view.version).then(|| Rc::clone(connections))
    });
    if let Some(connections) = remembered {
        return Ok(connections);
    }
    let answer = call::policy_object(env, ListConnections).await?;
    let connections = merged(&config.connection, &answer)
        .map_err(|error| Unavailable::because(&error.to_string()))?;
    let connections = Rc::new(connections);
    CONNECTIONS.set(Some((answer.version, Rc::clone(&connections))));
    Ok(connections)
}

/// The connection of that id, if there is one and people may log in through it.
pub async fn enabled(
    env: &Env,
    config: &Config,
    id: &str,
) -> Result<Option<Rc<Connection>>, Unavailable> {
    let found = any(env, config, id).await?;
    Ok(found.filter(|connection| connection.enabled))
}

/// The connection of that id, on or off.
pub async fn any(
    env: &Env,
    config: &Config,
    id: &str,
) -> Result<Option<Rc<Connection>>, Unavailable> {
    let all = all(env, config).await?;
    Ok(all.iter().find(|connection| connection.id == id).cloned())
}

/// The static connection stands over a kept one of its id, and is off if that one is.
fn merged(
    configured: &Connection,
    kept: &ConnectionsAt,
) -> Result<Vec<Rc<Connection>>, serde_json::Error> {
    let is_off = kept
        .connections
        .iter()
        .any(|kept| kept.id == configured.id && !kept.enabled);
    let mut all = vec![Rc::new(Connection {
        enabled: !is_off,
        ..configured.clone()
    })];
    for kept in &kept.connections {
        if let Some(json) = kept.document.as_ref().filter(|_| kept.id != configured.id) {
            let connection: Connection = serde_json::from_str(json)?;
            all.push(Rc::new(Connection {
                enabled: kept.enabled,
                ..connection
            }));
        }
    }
    Ok(all)
}

/// Whether it stands in the configuration.
pub fn is_static(config: &Config, id: &str) -> bool {
    config.connection.id == id
}

/// Where its provider sends browsers back to: another place for each connection, so that an answer of
/// one provider is never taken for another's (RFC 9700 section 4.4.2).
pub fn redirect_uri(config: &Config, connection: &str) -> String {
    if is_static(config, connection) {
        format!("{}/callback", config.issuer)
    } else {
        format!("{}/callback/{connection}", config.issuer)
    }
}

/// Where its provider has browsers post their answers, if it speaks SAML; another place for each
/// connection, too.
pub fn acs_url(config: &Config, connection: &str) -> String {
    format!("{}/saml/{connection}/acs", config.issuer)
}

/// Where its provider reads what it must know of us, if it speaks SAML.
pub fn saml_metadata_url(config: &Config, connection: &str) -> String {
    format!("{}/saml/{connection}/metadata", config.issuer)
}

/// Seals the secret of the connection of that id.
pub fn sealed(config: &Config, id: &str, secret: &str) -> Result<String, Error> {
    let sealed = Sealed::seal(
        &config.connection_key,
        &random()?,
        &purpose(id),
        secret.as_bytes(),
    );
    let sealed = sealed.ok_or_else(|| Error::from("cannot seal"))?;
    Ok(base64url(sealed.as_bytes()))
}

/// The secret that we have at its provider.
pub fn secret(config: &Config, connection: &Connection) -> Result<String, Error> {
    if is_static(config, &connection.id) {
        return Ok(config.connection_secret.clone());
    }
    let sealed = connection.sealed_client_secret.as_deref();
    sealed
        .and_then(from_base64url)
        .and_then(|sealed| {
            Sealed::from_bytes(&sealed).open(&config.connection_key, &purpose(&connection.id))
        })
        .and_then(|secret| String::from_utf8(secret).ok())
        .ok_or_else(|| Error::from("a secret cannot be opened: was SERVICE_KEY changed?"))
}

fn purpose(id: &str) -> String {
    format!("portcullis connection secret 1: {id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::dev;
    use portcullis_core::policy::call::KeptConnection;

    fn kept(id: &str, document: Option<&str>, enabled: bool) -> KeptConnection {
        KeptConnection {
            id: id.to_owned(),
            document: document.map(str::to_owned),
            enabled,
        }
    }

    fn ids(connections: Vec<KeptConnection>) -> Vec<(String, bool)> {
        let kept = ConnectionsAt {
            version: 1,
            connections,
        };
        let all = merged(&dev().connection, &kept).expect("documents");
        let mut ids = all.iter().map(|one| (one.id.clone(), one.enabled));
        ids.by_ref().collect()
    }

    #[test]
    fn what_is_kept_beside_the_document_says_whether_a_connection_is_on() {
        let document = r#"{"id":"b","issuer":"https://b.example","client_id":"c","enabled":true}"#;
        assert_eq!(ids(vec![]), [("okta".to_owned(), true)]);
        let all = ids(vec![
            kept("b", Some(document), false),
            kept("gone", None, false),
            kept("okta", None, false),
        ]);
        assert_eq!(all, [("okta".to_owned(), false), ("b".to_owned(), false)]);
    }

    #[test]
    fn nothing_that_is_kept_stands_in_for_the_configurations_connection() {
        let document = r#"{"id":"okta","issuer":"https://evil.example","client_id":"c"}"#;
        let kept = ConnectionsAt {
            version: 1,
            connections: vec![kept("okta", Some(document), true)],
        };
        let all = merged(&dev().connection, &kept).expect("documents");
        assert_eq!(
            (all.len(), all[0].issuer.as_str()),
            (1, "https://idp.example")
        );
    }

    #[test]
    fn every_connection_has_a_redirect_uri_of_its_own() {
        let config = dev();
        assert_eq!(redirect_uri(&config, "okta"), "https://id.example/callback");
        assert_eq!(redirect_uri(&config, "b"), "https://id.example/callback/b");
        assert_eq!(acs_url(&config, "b"), "https://id.example/saml/b/acs");
    }
}
