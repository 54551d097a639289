//! What a test tells the provider, and asks it.

use super::{Lie, Upstream};
use crate::Result;
use crate::http::Request;
use crate::json::text;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where the provider answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// The discovery document.
    Metadata,
    /// The key document.
    Jwks,
    /// Where codes become tokens.
    Token,
    /// Where browsers are sent to log in.
    Authorization,
    /// Who an access token is of.
    Userinfo,
}

impl Endpoint {
    const ALL: [Self; 5] = [
        Self::Metadata,
        Self::Jwks,
        Self::Token,
        Self::Authorization,
        Self::Userinfo,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Jwks => "jwks",
            Self::Token => "token",
            Self::Authorization => "authorization",
            Self::Userinfo => "userinfo",
        }
    }
}

/// How an endpoint is down.
#[derive(Clone, Copy, Debug)]
pub enum Outage {
    /// It answers with this status and a few words of plain text.
    Status(u16),
    /// It hangs up.
    HangsUp,
}

/// A key document that is not the usual one.
#[derive(Clone, Debug)]
pub enum KeyDocument {
    /// This JSON.
    Json(Value),
    /// This text, which need not be JSON.
    Text(String),
    /// The real keys, but where this JSON Pointer says instead of at `/keys`.
    KeysAt(String),
}

/// How often each endpoint was asked since the provider was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts(BTreeMap<Endpoint, u64>);

impl Counts {
    /// How often this one was.
    #[must_use]
    pub fn of(&self, endpoint: Endpoint) -> u64 {
        self.0.get(&endpoint).copied().unwrap_or_default()
    }
}

/// What became of the provider's logout tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The clients that took theirs.
    pub delivered: Vec<String>,
    /// What the provider says of the others.
    pub failed: Vec<String>,
}

impl Upstream {
    /// What is said of this user besides the usual (`sub`, `name`, `preferred_username`, `email`, `email_verified`, and `groups`
    /// with `staff`), or instead. Null takes a claim away. It replaces what was told of them before.
    #[track_caller]
    pub fn claims(&self, user: &str, claims: &Value) -> Result {
        self.tell("claims", &json!({ user: claims }))
    }

    /// Changes the metadata of the client of this id, `redirect_uris` for one: the service's address may be known only once
    /// it runs, and it cannot run without the provider's.
    #[track_caller]
    pub fn change_client(&self, id: &str, metadata: &Value) -> Result {
        let mut change = metadata.clone();
        change["client_id"] = json!(id);
        self.tell("client", &change)
    }

    /// A new key from now on, for the algorithm in use; the old one stays published or does not. Gives back its `kid`.
    #[track_caller]
    pub fn rotate(&self, keep_old: bool) -> Result<String> {
        self.new_key(&json!({ "keep_old": keep_old }))
    }

    /// The same for another algorithm, which every client's ID tokens are signed with from now on.
    #[track_caller]
    pub fn rotate_to(&self, algorithm: &str, keep_old: bool) -> Result<String> {
        self.new_key(&json!({ "alg": algorithm, "keep_old": keep_old }))
    }

    /// A new key under the name of an old one, which it replaces.
    #[track_caller]
    pub fn rotate_as(&self, kid: &str) -> Result<String> {
        self.new_key(&json!({ "kid": kid, "keep_old": false }))
    }

    #[track_caller]
    fn new_key(&self, how: &Value) -> Result<String> {
        text(&self.control("rotate", how)?, "kid").map(str::to_owned)
    }

    /// The keys that are no more in use are published no more.
    #[track_caller]
    pub fn unpublish_old(&self) -> Result {
        self.tell("unpublish", &json!({}))
    }

    /// The public keys that the usual key document has.
    #[track_caller]
    pub fn keys(&self) -> Result<Vec<Value>> {
        let answer = self.ask("keys")?;
        Ok(answer["keys"].as_array().cloned().unwrap_or_default())
    }

    /// ID tokens are bent in this way and no other from now on.
    #[track_caller]
    pub fn lie(&self, lie: Lie) -> Result {
        self.tell("lie", &lie.into_json())
    }

    /// ID tokens are as they should be from now on.
    #[track_caller]
    pub fn tell_the_truth(&self) -> Result {
        self.tell("lie", &json!({}))
    }

    /// The endpoint takes so much longer to answer; zero is the usual.
    #[track_caller]
    pub fn slow(&self, endpoint: Endpoint, delay: Duration) -> Result {
        let ms = u64::try_from(delay.as_millis())?;
        self.tell("slow", &json!({ endpoint.name(): ms }))
    }

    /// These endpoints are down, and no others; none if there are none.
    #[track_caller]
    pub fn down(&self, endpoints: &[Endpoint], outage: Outage) -> Result {
        let paths: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.name()).collect();
        let status = match outage {
            Outage::Status(status) => json!(status),
            Outage::HangsUp => json!("close"),
        };
        self.tell("down", &json!({ "paths": paths, "status": status }))
    }

    /// The endpoint answers with a redirect of this status.
    #[track_caller]
    pub fn redirect(&self, endpoint: Endpoint, status: u16, to: &str) -> Result {
        let redirect = json!({ "path": endpoint.name(), "to": to, "status": status });
        self.tell("redirect", &redirect)
    }

    /// So many keys of nobody's stand before the real ones in the key document, some 450 bytes each.
    #[track_caller]
    pub fn huge_jwks(&self, keys: u32) -> Result {
        self.tell("huge_jwks", &json!({ "keys": keys }))
    }

    /// Another key document.
    #[track_caller]
    pub fn key_document(&self, document: KeyDocument) -> Result {
        let what = match document {
            KeyDocument::Json(document) => json!({ "document": document }),
            KeyDocument::Text(text) => json!({ "text": text }),
            KeyDocument::KeysAt(pointer) => json!({ "pointer": pointer }),
        };
        self.tell("jwks", &what)
    }

    /// The usual key document with these headers besides, or instead.
    #[track_caller]
    pub fn key_headers(&self, headers: &Value) -> Result {
        self.tell("jwks", &json!({ "headers": headers }))
    }

    /// The discovery document says this, too, or instead; null takes a member away.
    #[track_caller]
    pub fn metadata(&self, changes: &Value) -> Result {
        self.tell("metadata", changes)
    }

    /// Everything is as it should be from now on, claims included; keys and clients stay as they are.
    #[track_caller]
    pub fn reset(&self) -> Result {
        self.tell("reset", &json!({}))
    }

    /// A token with exactly these claims, signed with the key in use. Its header has `alg`, `kid`, and what is in `header`;
    /// null takes a parameter away.
    #[track_caller]
    pub fn token(&self, claims: &Value, header: &Value) -> Result<String> {
        self.signed("token", &json!({ "claims": claims, "header": header }))
    }

    /// The same with the key in use for this algorithm, which is made and published if there is none.
    #[track_caller]
    pub fn token_with(&self, algorithm: &str, claims: &Value, header: &Value) -> Result<String> {
        let what = json!({ "claims": claims, "header": header, "alg": algorithm });
        self.signed("token", &what)
    }

    /// A logout token with exactly these claims, of the `typ` that it should have (Back-Channel Logout section 2.4).
    #[track_caller]
    pub fn logout_token(&self, claims: &Value) -> Result<String> {
        self.signed("logout_token", &json!({ "claims": claims }))
    }

    /// The same of another `typ`; of none if that is null.
    #[track_caller]
    pub fn logout_token_of_type(&self, typ: &Value, claims: &Value) -> Result<String> {
        self.signed("logout_token", &json!({ "claims": claims, "typ": typ }))
    }

    #[track_caller]
    fn signed(&self, control: &str, what: &Value) -> Result<String> {
        text(&self.control(control, what)?, "token").map(str::to_owned)
    }

    /// The user logs out everywhere: every session of theirs ends, and each client that takes part gets a logout token of the
    /// library's own making. Returns when all have answered.
    #[track_caller]
    pub fn log_out_everywhere(&self, user: &str) -> Result<Delivery> {
        let outcome = self.control("backchannel", &json!({ "user": user }))?;
        let list = |name: &str| outcome[name].as_array().cloned().unwrap_or_default();
        let shown = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        Ok(Delivery {
            delivered: list("delivered").iter().map(shown).collect(),
            failed: list("failed").iter().map(shown).collect(),
        })
    }

    /// How often each endpoint was asked.
    #[track_caller]
    pub fn counts(&self) -> Result<Counts> {
        let answer = self.ask("counts")?;
        let count = |endpoint: Endpoint| answer[endpoint.name()].as_u64().unwrap_or_default();
        let counts = Endpoint::ALL.map(|endpoint| (endpoint, count(endpoint)));
        Ok(Counts(counts.into()))
    }

    #[track_caller]
    fn ask(&self, control: &str) -> Result<Value> {
        let answer = Request::get(format!("{}/control/{control}", self.issuer)).send()?;
        answer.expect(200)?.json()
    }

    #[track_caller]
    fn control(&self, control: &str, what: &Value) -> Result<Value> {
        let request = Request::post(format!("{}/control/{control}", self.issuer)).json(what);
        request.send()?.expect(200)?.json()
    }

    #[track_caller]
    fn tell(&self, control: &str, what: &Value) -> Result {
        self.control(control, what).map(drop)
    }
}
