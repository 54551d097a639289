//! The signing keys. They are made here, once, and are sealed wherever they are at rest or on the
//! way; the Worker opens them in memory (see [`crate::keys`]).

pub mod seal;

use super::call::{answered, received};
use super::durable_sql::DurableSql;
use super::sql::{Sql, SqlError, migrate};
use crate::runtime::{config, now, random};
use portcullis_core::jwt::sign::SigningKey;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use seal::Sealed;
use serde::{Deserialize, Serialize};
use worker::{DurableObject, Env, Error, Request, Response, Result, State, durable_object};

const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_keyring.sql")];

/// Get the keys, the one that signs first; a keyring without keys makes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetKeys;

portcullis_core::object_calls! {
    /// One operation of the keyring.
    KeyringRequest {
        /// Get the keys.
        Get(GetKeys) -> Vec<Sealed>,
    }
}

/// The keyring over its storage.
struct KeyringService<S> {
    sql: S,
}

impl<S: Sql> KeyringService<S> {
    /// The keys; `fresh` becomes the first if there is none, in the same transaction.
    fn keys(&self, fresh: &Sealed, now: UnixMillis) -> std::result::Result<Vec<Sealed>, SqlError> {
        migrate(&self.sql, MIGRATIONS)?;
        self.sql.transaction(|| {
            let keys = self.stored()?;
            if !keys.is_empty() {
                return Ok(keys);
            }
            self.sql.exec(
                "INSERT INTO signing_key (number, sealed, created_at) VALUES (1, ?, ?)",
                &[fresh.as_bytes().into(), now.0.into()],
            )?;
            self.stored()
        })
    }

    fn stored(&self) -> std::result::Result<Vec<Sealed>, SqlError> {
        self.sql
            .exec("SELECT sealed FROM signing_key ORDER BY number DESC", &[])?
            .iter()
            .map(|row| row.blob(0).map(Sealed::from_bytes))
            .collect()
    }
}

/// The deployment's signing keys.
#[durable_object(fetch)]
pub struct Keyring {
    env: Env,
    service: KeyringService<DurableSql>,
}

impl DurableObject for Keyring {
    fn new(state: State, env: Env) -> Self {
        let sql = DurableSql::new(&state);
        Self {
            env,
            service: KeyringService { sql },
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let KeyringRequest::Get(GetKeys) = received(&mut request).await?;
        let fresh = self.fresh_key()?;
        let keys = self
            .service
            .keys(&fresh, now())
            .map_err(|error| error.to_string());
        answered(keys.and_then(|keys| wire::encode(&keys).map_err(|error| error.to_string())))
    }
}

impl Keyring {
    fn fresh_key(&self) -> Result<Sealed> {
        let config = config(&self.env).ok_or_else(|| Error::from("not configured"))?;
        let secret = random()?;
        // One random value in 2^32 is no key: the caller then asks again.
        SigningKey::from_secret(&secret).map_err(|error| Error::RustError(error.to_string()))?;
        Sealed::seal(&config.sealing_key, &random()?, &secret)
            .ok_or_else(|| Error::from("cannot seal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::host_sql::HostSql;

    #[test]
    fn the_first_key_stays_whatever_others_are_offered() {
        let keyring = KeyringService {
            sql: HostSql::new(),
        };
        let key = |byte| Sealed::seal(&[1; 32], &[2; 24], &[byte; 32]).expect("seals");
        let first = keyring.keys(&key(3), UnixMillis(1)).expect("stores");
        let second = keyring.keys(&key(4), UnixMillis(2)).expect("stores");
        assert_eq!(first, [key(3)]);
        assert_eq!(second, first);
    }
}
