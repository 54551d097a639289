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
use worker::{Env, Error, console_error};

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
        (*version >= view.version).then(|| Rc::clone(connections))
    });
    if let Some(connections) = remembered {
        return Ok(connections);
    }
    let answer = call::policy_object(env, ListConnections).await?;
    CONNECTIONS.with_borrow_mut(|remembered| {
        let before = remembered
            .as_ref()
            .map(|(_, connections)| Rc::clone(connections));
        let before = before.unwrap_or_default();
        let connections = Rc::new(merged(&config.connection, &answer, &before));
        *remembered = Some((answer.version, Rc::clone(&connections)));
        Ok(connections)
    })
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

/// The static connection stands over a kept one of its id, and is off if that one is. What is as it was
/// `before` is the very same, because what was found out under it goes on. One that cannot be read is
/// left out: it lets nobody in, and keeps nobody else out.
fn merged(
    configured: &Connection,
    kept: &ConnectionsAt,
    before: &[Rc<Connection>],
) -> Vec<Rc<Connection>> {
    let is_off = kept
        .connections
        .iter()
        .any(|kept| kept.id == configured.id && !kept.enabled);
    let configured = Connection {
        enabled: !is_off,
        ..configured.clone()
    };
    let others = kept.connections.iter().filter_map(|kept| {
        let json = kept
            .document
            .as_ref()
            .filter(|_| kept.id != configured.id)?;
        match serde_json::from_str::<Connection>(json) {
            Ok(connection) => Some(Connection {
                enabled: kept.enabled,
                ..connection
            }),
            Err(error) => {
                console_error!("connection {} is left out: {error}", kept.id);
                None
            }
        }
    });
    let others: Vec<Connection> = others.collect();
    let all = std::iter::once(configured).chain(others);
    all.map(|connection| {
        let same = before.iter().find(|before| ***before == connection);
        same.cloned().unwrap_or_else(|| Rc::new(connection))
    })
    .collect()
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

/// Where its provider provisions people over SCIM.
pub fn scim_url(config: &Config, connection: &str) -> String {
    if is_static(config, connection) {
        format!("{}/scim/v2", config.issuer)
    } else {
        own_scim_url(config, connection)
    }
}

/// Where every connection's provider does, that of the configuration's too.
pub fn own_scim_url(config: &Config, connection: &str) -> String {
    format!("{}/scim/{connection}/v2", config.issuer)
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
        let all = merged(&dev().connection, &kept, &[]);
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
    fn what_has_not_changed_is_the_very_same() {
        let document = r#"{"id":"b","issuer":"https://b.example","client_id":"c"}"#;
        let at = |enabled| ConnectionsAt {
            version: 1,
            connections: vec![kept("b", Some(document), enabled)],
        };
        let configured = dev().connection;
        let before = merged(&configured, &at(true), &[]);
        let same = merged(&configured, &at(true), &before);
        assert!(before.iter().zip(&same).all(|(a, b)| Rc::ptr_eq(a, b)));
        let off = merged(&configured, &at(false), &before);
        assert!(Rc::ptr_eq(&before[0], &off[0]) && !Rc::ptr_eq(&before[1], &off[1]));
    }

    #[test]
    fn nothing_that_is_kept_stands_in_for_the_configurations_connection() {
        let document = r#"{"id":"okta","issuer":"https://evil.example","client_id":"c"}"#;
        let kept = ConnectionsAt {
            version: 1,
            connections: vec![kept("okta", Some(document), true)],
        };
        let all = merged(&dev().connection, &kept, &[]);
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

    #[test]
    fn every_connection_has_a_scim_endpoint_of_its_own() {
        let config = dev();
        assert_eq!(scim_url(&config, "okta"), "https://id.example/scim/v2");
        assert_eq!(scim_url(&config, "b"), "https://id.example/scim/b/v2");
        let own = own_scim_url(&config, "okta");
        assert_eq!(own, "https://id.example/scim/okta/v2");
    }
}
