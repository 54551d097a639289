//! An identity provider that speaks SAML, and that a test can turn against the service
//! (`tests/e2e/upstream/saml.mjs`).
//!
//! Its answers are as they should be, signed by a certificate of its own, until a test says otherwise.
//! Any name is a user whose password it is; nobody has a session there.

use crate::http::Request;
use crate::json::text;
use crate::ports;
use crate::program::Program;
use crate::stack::{checkout, node};
use crate::{Failure, Result};
use serde_json::{Value, json};
use std::process::Command;
use std::thread;
use std::time::Duration;

const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A running provider. Dropped, it is gone with its keys.
pub struct SamlProvider {
    /// Its entity ID, which is no address.
    pub entity_id: String,
    /// The service's entity ID there.
    pub service: String,
    base: String,
    program: Program,
}

impl SamlProvider {
    /// A new provider, which takes requests of `service` and answers them at `acs_url`.
    pub fn start(service: &str, acs_url: &str) -> Result<Self> {
        let mut attempts = 0;
        loop {
            let port = ports::free_run()?;
            let mut provider = Self {
                entity_id: format!("urn:portcullis-e2e:idp:{port}"),
                service: service.to_owned(),
                base: format!("http://127.0.0.1:{port}"),
                program: Program::default(),
            };
            let checkout = checkout()?;
            let mut command = Command::new(node(&checkout)?);
            command
                .arg(checkout.join("tests/e2e/upstream/saml.mjs"))
                .args(["--port", &port.to_string()])
                .args(["--entity-id", &provider.entity_id])
                .args(["--service", service, "--acs", acs_url]);
            let what = "the SAML identity provider";
            attempts += 1;
            match provider.program.start(what, command, START_TIMEOUT) {
                // Somebody took the port between our look and its start.
                Err(_) if attempts < 5 && provider.program.output().contains(ports::TAKEN) => {}
                started => return started.map(|()| provider),
            }
        }
    }

    /// Where it takes requests.
    #[must_use]
    pub fn sso_url(&self) -> String {
        format!("{}/sso", self.base)
    }

    /// The certificate of the key that it signs with.
    #[track_caller]
    pub fn certificate(&self) -> Result<String> {
        text(&self.ask("certificate")?, "certificate").map(str::to_owned)
    }

    /// A new key from now on. Gives back its certificate.
    #[track_caller]
    pub fn rotate(&self) -> Result<String> {
        text(&self.control("rotate", &json!({}))?, "certificate").map(str::to_owned)
    }

    /// What is said of this user besides the usual (`mail`, `email_verified`, and `groups` with `staff`), or
    /// instead: lists of texts by name. Null takes an attribute away.
    #[track_caller]
    pub fn attributes(&self, user: &str, attributes: &Value) -> Result {
        self.control("attributes", &json!({ user: attributes }))
            .map(drop)
    }

    /// Answers are bent in this way and no other from now on; `saml_response.mjs` says which there are.
    #[track_caller]
    pub fn lie(&self, lie: &Value) -> Result {
        self.control("lie", lie).map(drop)
    }

    /// Answers are as they should be from now on.
    #[track_caller]
    pub fn tell_the_truth(&self) -> Result {
        self.lie(&json!({}))
    }

    /// What it was asked, oldest first: `id`, `force_authn`, `is_passive`, `name_id_format`.
    #[track_caller]
    pub fn requests(&self) -> Result<Vec<Value>> {
        let answer = self.ask("requests")?;
        let requests = answer["requests"].as_array();
        requests
            .cloned()
            .ok_or_else(|| Failure::new(format!("no requests in {answer}")))
    }

    #[track_caller]
    fn ask(&self, control: &str) -> Result<Value> {
        let answer = Request::get(format!("{}/control/{control}", self.base)).send()?;
        answer.expect(200)?.json()
    }

    #[track_caller]
    fn control(&self, control: &str, what: &Value) -> Result<Value> {
        let request = Request::post(format!("{}/control/{control}", self.base)).json(what);
        request.send()?.expect(200)?.json()
    }
}

impl Drop for SamlProvider {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} said:\n{}", self.base, self.program.output());
        }
    }
}
