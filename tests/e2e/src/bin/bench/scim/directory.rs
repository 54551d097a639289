//! A service with users in its directory, and what an identity provider asks of it.

use crate::connection::{Answer, request};
use crate::cpu;
use crate::load::CONNECTIONS;
use crate::wire::find;
use crate::work::{Done, work_through, work_through_on};
use portcullis_e2e::api::bearer;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};
use url::Url;

/// How many requests of an identity provider are under way at once.
pub const AT_ONCE: usize = 8;
/// What is put off is done by then.
const SETTLED: Duration = Duration::from_millis(500);
/// Coprime to every number of users, so that its multiples reach everybody before anybody twice.
const STRIDE: usize = 7_919;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A stack and whom it knows.
pub struct Directory {
    pub stack: Stack,
    /// Base URL of the endpoint.
    base: String,
    /// Of each user, by number.
    ids: Vec<String>,
    /// How many things were asked so far: each is about another user.
    asked: usize,
    /// Everybody below it who is no person was deactivated.
    next_out: usize,
}

/// What is asked for in the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PATCH of an attribute.
    Patch,
    /// A PATCH that deactivates somebody who is active.
    Deactivate,
    /// GET with a filter.
    ByUserName,
    ByExternalId,
    ByAddress,
}

/// What one measurement came to.
pub struct Measured {
    pub done: Done,
    /// Processor time of every process of the stack.
    pub cpu: Duration,
}

/// What user number `number` is called; the first of them can log in.
pub fn name(number: usize) -> String {
    format!("person-{number}")
}

impl Directory {
    /// A service that knows `users`, of whom the first `people` can log in.
    pub fn start(users: usize, people: usize) -> Result<Self> {
        let stack = Stack::start_with(&Settings {
            limit: Some(0), // none
            people: Some(u16::try_from(people)?),
            in_memory: true,
            ..Settings::default()
        })?;
        let mut directory = Self {
            base: format!("{}/scim/v2", stack.at.service),
            stack,
            ids: Vec::new(),
            asked: 0,
            next_out: people,
        };
        directory.seed(users)?;
        Ok(directory)
    }

    /// Provisions so many users, one by one.
    fn seed(&mut self, users: usize) -> Result {
        let url = self.at("/Users")?;
        let mut ids = vec![String::new(); users];
        let mut next = 0..users;
        let mut under_way = [0; CONNECTIONS];
        let done = work_through(url.authority(), |connection, answer| {
            let number = under_way.get_mut(connection);
            let number = number.ok_or_else(|| Failure::new("one more connection"))?;
            if answer.is_some_and(|answer| answer.status == 409) {
                // It was asked twice, and done the first time.
                return self.find("userName", &name(*number)).map(Some);
            }
            if let (Some(answer), Some(id)) = (answer, ids.get_mut(*number)) {
                *id = id_in(answer)?;
            }
            Ok(next.next().map(|user| {
                *number = user;
                written("POST", &url, Some(&user_body(user)))
            }))
        })?;
        if done.hung_up > 0 {
            eprintln!("connections closed in the middle: {}", done.hung_up);
        }
        self.ids = ids;
        Ok(())
    }

    /// How many users there are.
    pub const fn users(&self) -> usize {
        self.ids.len()
    }

    /// The id of user number `number`.
    pub fn id(&self, number: usize) -> &str {
        self.ids.get(number).map_or("", String::as_str)
    }

    /// Has as much done of a kind as there is time for.
    pub fn run(&mut self, kind: Kind, length: Duration) -> Result<Measured> {
        let group = self.group()?;
        let address = self.at("")?.authority().to_owned();
        let mut expected = vec![String::new(); AT_ONCE];
        cpu::come_to_rest(group)?;
        let before = cpu::of_group(group)?;
        let end = Instant::now() + length;
        let done = work_through_on(&address, AT_ONCE, |connection, answer| {
            let expected = expected.get_mut(connection);
            let expected = expected.ok_or_else(|| Failure::new("one more connection"))?;
            if let Some(answer) = answer {
                contains(answer, expected)?;
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            let (request, answered) = self.next(kind)?;
            *expected = answered;
            Ok(Some(request))
        })?;
        sleep(SETTLED);
        let cpu = cpu::of_group(group)?.saturating_sub(before);
        Ok(Measured { done, cpu })
    }

    /// Whether the service answers that at all with so many users.
    pub fn answers(&mut self, kind: Kind) -> Result<bool> {
        let address = self.at("")?.authority().to_owned();
        let (request, _) = self.next(kind)?;
        let mut request = Some(request);
        let asked = work_through_on(&address, 1, |_, _| Ok(request.take()));
        match asked {
            Ok(_) => Ok(true),
            Err(failure) if failure.to_string().contains("tooMany") => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// The next request of a kind, and what its answer contains.
    fn next(&mut self, kind: Kind) -> Result<(Vec<u8>, String)> {
        self.asked += 1;
        let asked = self.asked;
        let user = (asked * STRIDE) % self.users();
        let found = format!("\"userName\":\"{}\"", name(user));
        Ok(match kind {
            Kind::Patch => {
                let title = format!("Title {asked}");
                let answered = format!("\"title\":\"{title}\"");
                (self.patch(user, "title", &title.into())?, answered)
            }
            Kind::Deactivate => {
                let user = self.next_out;
                self.next_out += 1;
                if user >= self.users() {
                    return Err(Failure::new("nobody is left to deactivate"));
                }
                let deactivated = r#""active":false"#.to_owned();
                (self.patch(user, "active", &false.into())?, deactivated)
            }
            Kind::ByUserName => (self.find("userName", &name(user))?, found),
            Kind::ByExternalId => (self.find("externalId", &external_id(user))?, found),
            Kind::ByAddress => (self.find("emails.value", &email(user))?, found),
        })
    }

    /// The request that replaces an attribute of a user.
    pub fn patch(&self, user: usize, attribute: &str, value: &Value) -> Result<Vec<u8>> {
        let url = self.at(&format!("/Users/{}", self.id(user)))?;
        let operation = json!({ "op": "replace", "path": attribute, "value": value });
        let body = json!({ "schemas": [PATCH_OP], "Operations": [operation] });
        Ok(written("PATCH", &url, Some(&body)))
    }

    fn find(&self, attribute: &str, value: &str) -> Result<Vec<u8>> {
        let mut url = self.at("/Users")?;
        let filter = format!("{attribute} eq \"{value}\"");
        url.query_pairs_mut().append_pair("filter", &filter);
        Ok(written("GET", &url, None))
    }

    /// Below the endpoint.
    pub fn at(&self, path: &str) -> Result<Url> {
        Ok(Url::parse(&format!("{}{path}", self.base))?)
    }

    /// The stack's process group.
    pub fn group(&self) -> Result<u32> {
        let group = self.stack.group();
        group.ok_or_else(|| Failure::new("the stack does not run"))
    }
}

/// A request with the identity provider's credential.
pub fn written(method: &str, url: &Url, body: Option<&Value>) -> Vec<u8> {
    let bearer = format!("Bearer {}", bearer::SCIM);
    let body = body.map(Value::to_string).unwrap_or_default();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/scim+json"),
    ];
    request(method, url, &headers, &body)
}

/// The id of the resource in an answer.
pub fn id_in(answer: &Answer) -> Result<String> {
    const NAME: &[u8] = b"\"id\":\"";
    let rest = find(&answer.body, NAME).and_then(|at| answer.body.get(at + NAME.len()..));
    let id = rest
        .and_then(|rest| rest.split(|byte| *byte == b'"').next())
        .and_then(|id| std::str::from_utf8(id).ok());
    id.map(str::to_owned)
        .ok_or_else(|| Failure::new("an answer without an id"))
}

fn contains(answer: &Answer, expected: &str) -> Result {
    if find(&answer.body, expected.as_bytes()).is_some() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "expected {expected}, got {}",
        String::from_utf8_lossy(&answer.body)
    )))
}

fn external_id(number: usize) -> String {
    format!("00u{number}")
}

fn email(number: usize) -> String {
    format!("{}@acme.example", name(number))
}

/// As much as providers usually send.
fn user_body(number: usize) -> Value {
    let name = name(number);
    json!({
        "schemas": [USER, ENTERPRISE],
        "userName": name,
        "externalId": external_id(number),
        "active": true,
        "displayName": format!("Person {number}"),
        "name": { "givenName": "Person", "familyName": format!("Number {number}") },
        "emails": [{ "value": email(number), "type": "work", "primary": true }],
        "title": "Title",
        ENTERPRISE: { "department": "Tour Operations", "employeeNumber": number.to_string() },
    })
}
