//! A connection of a test's own, and the identity provider behind it.
//!
//! Where there are several connections people are asked which is theirs, so these tests have a stack
//! apart from others': they share it, each with a connection, a provider and a domain of its own.

use crate::api::bearer;
use crate::app::{Attempt, Tokens, claims, random_text};
use crate::browser::{Browser, Landing};
use crate::http::{Request, Response};
use crate::people::Site;
use crate::saml::SamlProvider;
use crate::upstream::{Client, Upstream};
use crate::{Failure, Result};
use serde_json::{Value, json};
use std::ops::Deref;

/// What we are called at the providers.
pub const CLIENT_ID: &str = "portcullis";

/// A connection, its provider, and the stack that it is of.
pub struct Connection<P = Upstream> {
    /// Its id.
    pub id: String,
    /// Whose addresses lead to it.
    pub domain: String,
    /// The provider.
    pub upstream: P,
    site: Site,
}

impl Connection {
    /// A connection of the usual settings.
    #[track_caller]
    pub fn new() -> Result<Self> {
        Self::with(&json!({}))
    }

    /// One with these settings, too, or instead; null takes one away.
    #[track_caller]
    pub fn with(settings: &Value) -> Result<Self> {
        Self::to(|client| client, settings)
    }

    /// One whose provider knows us as `client` makes it.
    #[track_caller]
    pub fn to(client: impl FnOnce(Client) -> Client, settings: &Value) -> Result<Self> {
        Self::at(Site::of_connections()?, client, settings)
    }

    /// The same at a stack of the caller's choice.
    #[track_caller]
    pub fn at(site: Site, client: impl FnOnce(Client) -> Client, settings: &Value) -> Result<Self> {
        let id = new_id()?;
        let redirect_uri = format!("{}/callback/{id}", site.endpoints().service);
        let client = client(Client::new(CLIENT_ID, &redirect_uri)?);
        let connection = Self {
            domain: format!("{id}.example"),
            upstream: Upstream::start(&[client])?,
            id,
            site,
        };
        let document = connection.document(settings);
        connection
            .admin("POST", "/v1/connections", Some(&document))?
            .expect(201)?;
        Ok(connection)
    }

    /// The document that makes it, with these settings.
    #[must_use]
    pub fn document(&self, settings: &Value) -> Value {
        let secret = self.upstream.clients.first();
        let secret = secret.and_then(|client| client.secret.clone());
        let mut document = json!({
            "id": self.id,
            "issuer": self.upstream.issuer,
            "client_id": CLIENT_ID,
            "client_secret": secret,
            "email_domains": [self.domain],
        });
        change(&mut document, settings);
        document
    }
}

impl Connection<SamlProvider> {
    /// A connection to a SAML provider, with these settings, too, or instead; null takes one away.
    #[track_caller]
    pub fn saml(settings: &Value) -> Result<Self> {
        let (site, id) = (Site::of_connections()?, new_id()?);
        let service = &site.endpoints().service;
        let entity_id = format!("{service}/saml/{id}");
        let upstream = SamlProvider::start(&entity_id, &format!("{entity_id}/acs"))?;
        let connection = Self {
            domain: format!("{id}.example"),
            upstream,
            id,
            site,
        };
        let document = connection.saml_document(settings)?;
        connection
            .admin("POST", "/v1/connections", Some(&document))?
            .expect(201)?;
        Ok(connection)
    }

    /// The document that makes it, by the key that the provider has now, with these settings.
    #[track_caller]
    pub fn saml_document(&self, settings: &Value) -> Result<Value> {
        let mut document = json!({
            "id": self.id,
            "issuer": self.upstream.entity_id,
            "client_id": self.upstream.service,
            "email_domains": [self.domain],
            "saml": {
                "sso_url": self.upstream.sso_url(),
                "certificates": [self.upstream.certificate()?],
            },
        });
        change(&mut document, settings);
        Ok(document)
    }
}

impl<P> Connection<P> {
    /// An operator's request.
    pub fn admin(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let url = format!("{}{path}", self.site.endpoints().service);
        let request = Request::new(method, url).bearer(bearer::ADMIN);
        match body {
            Some(body) => request.json(body).send(),
            None => request.send(),
        }
    }

    /// An operator's request about this connection; `path` is what follows its id.
    pub fn about(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        self.admin(method, &format!("/v1/connections/{}{path}", self.id), body)
    }

    /// How the API names somebody without their key.
    #[must_use]
    pub fn claim(&self, value: &str) -> String {
        format!("{}:{value}", self.id)
    }

    /// An authorization request of somebody whose address leads here.
    pub fn attempt(&self) -> Result<Attempt> {
        let address = format!("somebody@{}", self.domain);
        self.site.app.attempt_with(&[("login_hint", &address)])
    }

    /// The whole log-in, from an unused browser to tokens.
    #[track_caller]
    pub fn log_in(&self, user: &str) -> Result<Tokens> {
        let attempt = self.attempt()?;
        let code = self.site.app.code(&mut Browser::new(), user, &attempt)?;
        let redeemed = self.site.app.redeem(&code, &attempt.verifier)?;
        Tokens::read(&redeemed.expect(200)?)
    }

    /// What an access token says after a log-in.
    #[track_caller]
    pub fn log_in_and_read(&self, user: &str) -> Result<Value> {
        claims(&self.log_in(user)?.access)
    }

    /// Tries to log in and gives back the error that the application is sent.
    #[track_caller]
    pub fn refused_log_in(&self, user: &str) -> Result<String> {
        let attempt = self.attempt()?;
        let landed = self
            .site
            .app
            .authorize(&mut Browser::new(), user, &attempt)?;
        refusal(landed)
    }

    /// The reasons of what the log has of this connection and of that kind, oldest first.
    #[track_caller]
    pub fn reasons(&self, action: &str) -> Result<Vec<String>> {
        let events = self.site.api.events(&format!("action={action}"))?;
        let ours = events
            .iter()
            .filter(|event| event["actor"]["id"] == *self.id);
        Ok(ours
            .filter_map(|event| event["reason"].as_str().map(str::to_owned))
            .collect())
    }
}

/// Gives `document` these members, too, or instead; null takes one away.
fn change(document: &mut Value, settings: &Value) {
    if let (Some(members), Some(changes)) = (document.as_object_mut(), settings.as_object()) {
        members.extend(changes.clone());
        members.retain(|_, value| !value.is_null());
    }
}

impl<P> Deref for Connection<P> {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// The error that an application was sent.
#[track_caller]
pub fn refusal(landed: Landing) -> Result<String> {
    let back = landed.app()?;
    crate::app::parameter(&back, "error")
        .ok_or_else(|| Failure::new(format!("no error came back: {back}")))
}

/// An id that nobody else uses.
fn new_id() -> Result<String> {
    let text = random_text()?.to_lowercase().replace(['_', '-'], "x");
    Ok(format!("c{}", text.get(..12).unwrap_or(&text)))
}
