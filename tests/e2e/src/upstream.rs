//! An identity provider that a test can turn against the service (`tests/e2e/upstream`).
//!
//! It is the real protocol from a certified library until a test says otherwise: then it tells
//! other claims, changes its keys, lies in its tokens, is slow, or is gone. Any name is a user whose
//! password it is, so that [`Browser::go_as`](crate::browser::Browser::go_as) logs in there.

mod control;
mod lie;

pub use control::{Counts, Delivery, Endpoint, KeyDocument, Outage};
pub use lie::Lie;

use crate::ports;
use crate::program::Program;
use crate::stack::{checkout, fresh_directory, node};
use crate::{Failure, Result};
use portcullis_core::text::base64url;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A client that the provider knows, in the terms of OpenID Connect Dynamic Client Registration.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, unless it authenticates with a key.
    pub secret: Option<String>,
    metadata: Map<String, Value>,
}

impl Client {
    /// A client of this id with a new secret, which it sends as `client_secret_basic`, and whose people come back to
    /// `redirect_uri`. Its ID tokens are signed with ES256.
    pub fn new(id: &str, redirect_uri: &str) -> Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| Failure::new(error.to_string()))?;
        let client = Self {
            id: id.to_owned(),
            secret: Some(base64url(&secret)),
            metadata: Map::new(),
        };
        Ok(client
            .with("redirect_uris", json!([redirect_uri]))
            .with("token_endpoint_auth_method", json!("client_secret_basic"))
            .signed_with("ES256"))
    }

    /// One more member of its metadata, or another value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.metadata.insert(name.to_owned(), value);
        self
    }

    /// Whose ID tokens are signed with RS256, PS256, ES256 or `EdDSA`.
    #[must_use]
    pub fn signed_with(self, algorithm: &str) -> Self {
        self.with("id_token_signed_response_alg", json!(algorithm))
    }

    /// Which authenticates with a key from its own key document instead of a secret.
    #[must_use]
    pub fn authenticated_by_key(mut self, jwks_uri: &str, algorithm: &str) -> Self {
        self.secret = None;
        self.with("token_endpoint_auth_method", json!("private_key_jwt"))
            .with("token_endpoint_auth_signing_alg", json!(algorithm))
            .with("jwks_uri", json!(jwks_uri))
    }

    /// Which is told when a session ends, by session as well as by user.
    #[must_use]
    pub fn told_of_logouts(self, uri: &str) -> Self {
        self.with("backchannel_logout_uri", json!(uri))
            .with("backchannel_logout_session_required", json!(true))
    }

    fn registration(&self) -> Value {
        let mut registration = self.metadata.clone();
        registration.insert("client_id".to_owned(), json!(self.id));
        if let Some(secret) = &self.secret {
            registration.insert("client_secret".to_owned(), json!(secret));
        }
        registration.into()
    }
}

/// A running provider. Dropped, it is gone with its keys.
pub struct Upstream {
    /// Its issuer, which is also where it answers.
    pub issuer: String,
    /// The clients that it knew when it was started.
    pub clients: Vec<Client>,
    port: u16,
    directory: PathBuf,
    program: Program,
}

impl Upstream {
    /// A new provider with keys of its own, which knows these clients; returns when it answers.
    pub fn start(clients: &[Client]) -> Result<Self> {
        let mut attempts = 0;
        loop {
            let port = ports::free_run()?;
            let mut upstream = Self {
                issuer: format!("http://127.0.0.1:{port}"),
                clients: clients.to_vec(),
                port,
                directory: fresh_directory()?,
                program: Program::default(),
            };
            attempts += 1;
            match upstream.restart() {
                // Somebody took the port between our look and its start.
                Err(_) if attempts < 5 && upstream.output().contains(ports::TAKEN) => {}
                started => return started.map(|()| upstream),
            }
        }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once. Nothing answers at its issuer until it is started again.
    pub fn kill(&mut self) -> Result {
        self.program.kill()
    }

    /// Starts it again on the same port: with the same keys, clients and claims, but without anybody's session, and with
    /// everything else as it should be.
    pub fn restart(&mut self) -> Result {
        let checkout = checkout()?;
        let clients: Vec<Value> = self.clients.iter().map(Client::registration).collect();
        let mut command = Command::new(node(&checkout)?);
        command
            .arg(checkout.join("tests/e2e/upstream/idp.mjs"))
            .args(["--port", &self.port.to_string()])
            .arg("--state")
            .arg(self.directory.join("state.json"))
            .args(["--clients", &Value::from(clients).to_string()]);
        self.program
            .start("the identity provider", command, START_TIMEOUT)
    }

    /// What it has written since it was last started.
    #[must_use]
    pub fn output(&self) -> String {
        self.program.output()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} said:\n{}", self.issuer, self.output());
        }
        // Nobody is left to tell.
        drop(self.kill());
        drop(fs::remove_dir_all(&self.directory));
    }
}
