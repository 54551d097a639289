//! People with live tokens, and the ways to end those.

use super::drive::Planned;
use crate::connection::request;
use crate::threads::in_threads;
use portcullis_core::time::UnixMillis;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::history::Micros;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::scim::Scim;
use portcullis_e2e::stack::Endpoints;
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use url::Url;

/// How many people keep a session that nobody ends.
const BYSTANDERS: usize = 16;

/// Who ends something, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// An operator, a session: `POST /v1/revocations`.
    Session,
    /// The application, by its refresh token: `POST /revoke`.
    Grant,
    /// The identity provider deactivates somebody over SCIM.
    Scim,
    /// The person logs out: `POST /logout`.
    LogOut,
    /// An operator, one token.
    Token,
    /// The application, one access token: `POST /revoke`.
    AccessToken,
    /// An operator, everything of somebody.
    Subject,
}

/// Of so many kills, which are how.
const CYCLE: [Trigger; 8] = [
    Trigger::Session,
    Trigger::Scim,
    Trigger::Token,
    Trigger::Grant,
    Trigger::Scim,
    Trigger::AccessToken,
    Trigger::LogOut,
    Trigger::Subject,
];

impl Trigger {
    /// Whether everything of a person ends.
    const fn is_of_everything(self) -> bool {
        matches!(self, Self::Scim | Self::Subject)
    }

    /// Whether one token ends, and its session goes on.
    const fn is_of_a_token(self) -> bool {
        matches!(self, Self::Token | Self::AccessToken)
    }
}

/// Everybody, in their browsers.
pub struct People {
    app: App,
    scim: Scim,
    /// Base URL of the service.
    service: String,
    /// Those of whom everything is ended, with their ids in the directory.
    wholes: Vec<Person>,
    /// Those who keep a session.
    bystanders: Vec<Person>,
}

struct Person {
    name: String,
    browser: Browser,
    user: String,
}

/// Credentials that are live, and what will end some of them.
pub struct Prepared {
    /// The credentials.
    pub credentials: Vec<Tokens>,
    /// The kills, in no hurry.
    pub kills: Vec<Planned>,
}

impl People {
    /// How many people so many kills at a time take.
    pub fn needed(kills: usize) -> usize {
        wholes(kills) + BYSTANDERS
    }

    /// Everybody for so many kills at a time; nobody has logged in yet.
    pub fn new(at: &Endpoints, kills: usize) -> Result<Self> {
        let scim = Scim::new(at);
        let named = |number| Person {
            name: format!("person-{number}"),
            browser: Browser::new(),
            user: String::new(),
        };
        let mut wholes: Vec<Person> = (0..wholes(kills)).map(named).collect();
        in_threads(&mut wholes, |person| {
            person.user = scim.provision(&person.name)?;
            Ok(Vec::<()>::new())
        })?;
        let bystanders = (wholes.len()..Self::needed(kills)).map(named).collect();
        Ok(Self {
            app: App::discover(at)?,
            scim,
            service: at.service.clone(),
            wholes,
            bystanders,
        })
    }

    /// Logs everybody in for so many kills, each of what nobody ends otherwise.
    pub fn prepare(&mut self, kills: usize) -> Result<Prepared> {
        let triggers: Vec<Trigger> = CYCLE.into_iter().cycle().take(kills).collect();
        let sessions = triggers
            .iter()
            .filter(|trigger| !trigger.is_of_everything() && !trigger.is_of_a_token());
        let sessions_each = sessions.count().div_ceil(BYSTANDERS);
        let tokens = triggers.iter().filter(|trigger| trigger.is_of_a_token());
        let tokens_each = tokens.count().div_ceil(BYSTANDERS);
        let app = &self.app;
        let mut wholes =
            in_threads(&mut self.wholes, |person| Ok(vec![log_in(app, person)?]))?.into_iter();
        // Of each the one who stays first, then tokens of that session, then sessions.
        let of_bystanders = in_threads(&mut self.bystanders, |person| {
            let stays = log_in(app, person)?;
            let mut all = vec![stays];
            for _ in 0..tokens_each {
                let last = all.last().ok_or_else(|| Failure::new("no session"))?;
                all.push(refreshed(app, last)?);
            }
            for _ in 0..sessions_each {
                all.push(log_in(app, person)?);
            }
            Ok(vec![all])
        })?;
        let mut credentials = Vec::new();
        let (mut tokens, mut sessions) = (Vec::new(), Vec::new());
        for mut all in of_bystanders {
            let rest = all.split_off(1 + tokens_each);
            credentials.extend(all.drain(..1));
            tokens.extend(all);
            sessions.extend(rest);
        }
        let (mut tokens, mut sessions) = (tokens.into_iter(), sessions.into_iter());
        let mut people = self.wholes.iter();
        let mut kills = Vec::new();
        for trigger in triggers {
            let (ended, user) = if trigger.is_of_everything() {
                (wholes.next(), people.next().map(|person| &person.user))
            } else if trigger.is_of_a_token() {
                (tokens.next(), None)
            } else {
                (sessions.next(), None)
            };
            let ended = ended.ok_or_else(|| Failure::new("too few log-ins"))?;
            let (method, url, credential, body) = self.order(trigger, &ended, user)?;
            kills.push(Planned::new(
                trigger,
                credentials.len(),
                &url,
                written(method, &url, credential, &body),
            ));
            credentials.push(ended);
        }
        Ok(Prepared { credentials, kills })
    }

    /// Lets those in again who were deactivated.
    pub fn reactivate(&mut self) -> Result {
        let scim = &self.scim;
        in_threads(&mut self.wholes, |person| {
            scim.set_active(&person.user, true)?;
            Ok(Vec::<()>::new())
        })
        .map(drop)
    }

    /// When the feed had what a kill ended, by its receipt; waits for that.
    pub fn committed(&self, trigger: Trigger, ended: &Tokens) -> Result<Option<Micros>> {
        let base = &self.service;
        let url = format!("{base}/v1/revocations?subject={}&limit=100", ended.subject);
        until("a kill's receipt with its place in the feed", || {
            let list = Request::get(&url).bearer(bearer::ADMIN).send()?;
            let list = list.expect(200)?.json()?;
            let receipts = list["revocations"].as_array().cloned().unwrap_or_default();
            let its = receipts
                .iter()
                .find(|receipt| is_of(receipt, trigger, ended));
            Ok(match its {
                // It was never carried out.
                None => Some(None),
                Some(receipt) => commit(receipt).map(Some),
            })
        })
    }

    fn order(
        &self,
        trigger: Trigger,
        ended: &Tokens,
        user: Option<&String>,
    ) -> Result<(&'static str, Url, &'static str, Body)> {
        let at = |path: &str| Url::parse(&format!("{}{path}", self.service));
        let subject = &ended.subject;
        let revocations = |body| {
            Ok((
                "POST",
                at("/v1/revocations")?,
                bearer::ADMIN,
                Body::Json(body),
            ))
        };
        let form = |path: &str, fields: &[(&str, &str)]| {
            let body = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            Ok(("POST", at(path)?, "", Body::Form(body)))
        };
        match trigger {
            Trigger::Session => {
                revocations(json!({ "subject": subject, "session": ended.session }))
            }
            Trigger::Token => revocations(json!({ "subject": subject, "jti": ended.token_id })),
            Trigger::Subject => revocations(json!({ "subject": subject })),
            Trigger::Grant => {
                let token = text(&ended.answer, "refresh_token")?;
                form(
                    "/revoke",
                    &[("client_id", &self.app.client_id), ("token", token)],
                )
            }
            Trigger::AccessToken => form(
                "/revoke",
                &[("client_id", &self.app.client_id), ("token", &ended.access)],
            ),
            Trigger::LogOut => {
                let hint = ended.id.as_deref().unwrap_or_default();
                form("/logout", &[("id_token_hint", hint)])
            }
            Trigger::Scim => {
                let user = user.map(String::as_str).unwrap_or_default();
                let body = json!({
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                    "Operations": [{ "op": "replace", "path": "active", "value": false }],
                });
                let url = at(&format!("/scim/v2/Users/{user}"))?;
                Ok(("PATCH", url, bearer::SCIM, Body::Scim(body)))
            }
        }
    }
}

enum Body {
    Json(Value),
    Scim(Value),
    Form(String),
}

fn written(method: &str, url: &Url, credential: &str, body: &Body) -> Vec<u8> {
    let (media_type, body) = match body {
        Body::Json(body) => ("application/json", body.to_string()),
        Body::Scim(body) => ("application/scim+json", body.to_string()),
        Body::Form(body) => ("application/x-www-form-urlencoded", body.clone()),
    };
    let bearer = format!("Bearer {credential}");
    let mut headers = vec![("Content-Type", media_type)];
    if !credential.is_empty() {
        headers.push(("Authorization", &bearer));
    }
    request(method, url, &headers, &body)
}

fn wholes(kills: usize) -> usize {
    let all = CYCLE.iter().cycle().take(kills);
    all.filter(|trigger| trigger.is_of_everything()).count()
}

fn log_in(app: &App, person: &mut Person) -> Result<Tokens> {
    app.log_in_with(&mut person.browser, &person.name)
}

fn refreshed(app: &App, tokens: &Tokens) -> Result<Tokens> {
    let answer = Request::post(&app.token_endpoint)
        .form(&[
            ("grant_type", "refresh_token"),
            ("client_id", &app.client_id),
            ("refresh_token", text(&tokens.answer, "refresh_token")?),
        ])
        .send()?;
    Tokens::read(&answer.expect(200)?)
}

/// Whether a receipt is that of ending this in this way. The newest is looked at first.
fn is_of(receipt: &Value, trigger: Trigger, ended: &Tokens) -> bool {
    if trigger.is_of_everything() {
        let cause = match trigger {
            Trigger::Scim => "scim_deactivated",
            _ => "admin",
        };
        receipt["scope"] == "subject" && receipt["cause"] == cause && is_since(receipt, ended)
    } else if trigger.is_of_a_token() {
        receipt["jti"] == ended.token_id.as_str()
    } else {
        receipt["session"] == ended.session.as_str()
    }
}

/// Whether it was committed after the token was issued: people come again, and are ended again.
fn is_since(receipt: &Value, ended: &Tokens) -> bool {
    let issued = portcullis_e2e::app::claims(&ended.access);
    let issued = issued.ok().and_then(|claims| claims["iat"].as_u64());
    let at = receipt["committed_at"]
        .as_str()
        .and_then(UnixMillis::from_rfc3339);
    at.zip(issued)
        .is_some_and(|(at, issued)| at.0 >= issued * 1000)
}

fn commit(receipt: &Value) -> Option<Micros> {
    let places = receipt["feed"].as_array()?;
    let at =
        |place: &Value| Some(UnixMillis::from_rfc3339(place["committed_at"].as_str()?)?.0 * 1000);
    places.iter().filter_map(at).max()
}
