//! The service's own API, as gateways, operators and auditors call it.

use crate::app::Tokens;
use crate::http::{Request, Response};
use crate::stack::Endpoints;
use crate::wait::until;
use crate::{Failure, Result};
use portcullis_core::id::{LogHash, SessionId, TokenId};
use serde_json::{Value, json};

/// The demo bearers, each named by its role.
pub mod bearer {
    /// Everything under `/v1`.
    pub const ADMIN: &str = "dev-admin";
    /// The audit log.
    pub const AUDITOR: &str = "dev-auditor";
    /// Checks.
    pub const GATEWAY: &str = "dev-gateway";
    /// Provisioning.
    pub const SCIM: &str = "dev-scim";
}

/// The API of one stack.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
}

impl Api {
    /// The API of the service of these endpoints.
    #[must_use]
    pub fn new(at: &Endpoints) -> Self {
        Self {
            base: at.service.clone(),
        }
    }

    /// `POST /v1/check`, as it comes.
    pub fn check(&self, body: &Value) -> Result<Response> {
        self.post("/v1/check", bearer::GATEWAY, body).send()
    }

    /// What the strict check says of a token.
    #[track_caller]
    pub fn check_token(&self, token: &str) -> Result<Value> {
        self.check(&json!({ "token": token }))?.expect(200)?.json()
    }

    /// What the strict check says of a session.
    #[track_caller]
    pub fn check_session(&self, subject: &str, session: &str) -> Result<Value> {
        let body = json!({ "subject": subject, "session": session });
        self.check(&body)?.expect(200)?.json()
    }

    /// Fails unless both forms of the strict check say active.
    #[track_caller]
    pub fn expect_active(&self, tokens: &Tokens) -> Result {
        for verdict in self.both(tokens)? {
            if verdict["verdict"] != "active" {
                return Err(Failure::new(format!("expected active, got {verdict}")));
            }
        }
        Ok(())
    }

    /// Fails unless both forms of the strict check deny for this reason.
    #[track_caller]
    pub fn expect_denied(&self, tokens: &Tokens, reason: &str) -> Result {
        for verdict in self.both(tokens)? {
            if verdict["verdict"] != "denied" || verdict["reason"] != reason {
                return Err(Failure::new(format!(
                    "expected denied for {reason}, got {verdict}"
                )));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn both(&self, tokens: &Tokens) -> Result<[Value; 2]> {
        Ok([
            self.check_session(&tokens.subject, &tokens.session)?,
            self.check_token(&tokens.access)?,
        ])
    }

    /// `POST /v1/revocations`, as it comes.
    pub fn revoke(&self, body: &Value) -> Result<Response> {
        self.post("/v1/revocations", bearer::ADMIN, body).send()
    }

    /// The same under an `Idempotency-Key`.
    pub fn revoke_once(&self, key: &str, body: &Value) -> Result<Response> {
        self.post("/v1/revocations", bearer::ADMIN, body)
            .header("idempotency-key", key)
            .send()
    }

    /// The live sessions of a subject.
    #[track_caller]
    pub fn sessions(&self, subject: &str) -> Result<Vec<Value>> {
        let url = format!("{}/v1/subjects/{subject}/sessions", self.base);
        let answer = Request::get(url)
            .bearer(bearer::ADMIN)
            .send()?
            .expect(200)?;
        array(&answer, "sessions")
    }

    /// `GET /v1/audit/events` with this query, as it comes.
    pub fn audit(&self, query: &str) -> Result<Response> {
        Request::get(format!("{}/v1/audit/events?{query}", self.base))
            .bearer(bearer::AUDITOR)
            .send()
    }

    /// What is sealed in a line that the query finds.
    #[track_caller]
    pub fn sealed(&self, query: &str, line: &Value) -> Result<Value> {
        let query = format!("{query}&order=newest&limit=1000&personal=true");
        let page = self.audit(&query)?.expect(200)?.json()?;
        Ok(page["personal"][line["index"].to_string()].clone())
    }

    /// Every event that the query finds, oldest first.
    #[track_caller]
    pub fn events(&self, query: &str) -> Result<Vec<Value>> {
        let mut events = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self
                .audit(&format!("{query}&order=oldest&limit=100{cursor}"))?
                .expect(200)?;
            events.extend(array(&page, "events")?);
            match page.json()?["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(events),
            }
        }
    }

    /// Waits until the query finds `count` events, and fails if it ever finds more.
    #[track_caller]
    pub fn expect_events(&self, query: &str, count: usize) -> Result<Vec<Value>> {
        let found = until(&format!("{count} events of `{query}`"), || {
            let events = self.events(query)?;
            Ok((events.len() >= count).then_some(events))
        })?;
        if found.len() == count {
            return Ok(found);
        }
        Err(Failure::new(format!(
            "expected {count} events of `{query}`, got {}: {found:#?}",
            found.len()
        )))
    }

    /// What the log says of a subject, oldest first, without who read it there.
    #[track_caller]
    pub fn story(&self, subject: &str) -> Result<Vec<Value>> {
        let mut events = self.events(&format!("subject={subject}"))?;
        events.retain(|event| event["action"] != "audit.read");
        Ok(events)
    }

    /// Waits until a subject's story is as long as this one, and fails if it is another.
    #[track_caller]
    pub fn expect_story(&self, subject: &str, actions: &[&str]) -> Result<Vec<Value>> {
        let story = until(&format!("{actions:?} in the log"), || {
            let story = self.story(subject)?;
            Ok((story.len() >= actions.len()).then_some(story))
        })?;
        let told: Vec<&str> = story
            .iter()
            .filter_map(|event| event["action"].as_str())
            .collect();
        if told == actions {
            return Ok(story);
        }
        Err(Failure::new(format!(
            "expected {actions:?}, the log has {told:?}"
        )))
    }

    /// A request with a JSON body.
    #[must_use]
    pub fn post(&self, path: &str, bearer: &str, body: &Value) -> Request {
        Request::post(format!("{}{path}", self.base))
            .bearer(bearer)
            .json(body)
    }
}

/// The log's name for a session.
#[track_caller]
pub fn session_in_log(session: &str) -> Result<String> {
    let id: SessionId = session.parse()?;
    Ok(LogHash::of_session(id).to_string())
}

/// The log's name for a token.
#[track_caller]
pub fn token_in_log(token: &str) -> Result<String> {
    let id: TokenId = token.parse()?;
    Ok(LogHash::of_token(id).to_string())
}

#[track_caller]
fn array(response: &Response, name: &str) -> Result<Vec<Value>> {
    match response.json()?[name].as_array() {
        Some(values) => Ok(values.clone()),
        None => Err(response.unexpected(&format!("an array in `{name}`"))),
    }
}
