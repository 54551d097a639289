//! Who sends while all is killed, and what they were told. Each event is known by something in its line that is its own.

use portcullis_e2e::Result;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{Tokens, random_text};
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::stack::Endpoints;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Each sends one event a call, from a thread of its own. What has more ways to send, such as `POST /v1/audit/events`, is added
/// here and in [`known_by`].
pub const PRODUCERS: [fn(&Producing<'_>); 6] = [
    kills,
    kills,
    denied_checks,
    denied_requests,
    denied_requests,
    allowed_requests,
];

/// What they send with.
pub struct Producing<'a> {
    pub at: Endpoints,
    pub api: &'a Api,
    pub alive: &'a Tokens,
    pub dead: &'a Tokens,
    pub sent: &'a Mutex<Sent>,
    pub is_over: &'a AtomicBool,
}

impl Producing<'_> {
    pub fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Sends what is known by a number, which `send` gets; it says whether the answer was an acknowledgement.
    fn send(&self, kind: &str, send: impl FnOnce(u32) -> Result<bool>) {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let event = format!("{kind} {number}");
        let so_far = || self.sent.lock().expect("a lock");
        so_far().tried.insert(event.clone());
        // Whoever is killed before the end of an answer has said nothing.
        if send(number).unwrap_or(false) {
            so_far().acknowledged.insert(event);
        }
    }
}

/// What was sent.
#[derive(Default)]
pub struct Sent {
    pub tried: BTreeSet<String>,
    pub acknowledged: BTreeSet<String>,
    /// Strangers whose kill was asked for, and nobody knows with what success.
    pub strangers: Vec<String>,
}

impl Sent {
    /// An event that was acknowledged and is not among these.
    pub fn missing(&self, said: &BTreeMap<String, usize>) -> Option<&String> {
        let mut acknowledged = self.acknowledged.iter();
        acknowledged.find(|event| !said.contains_key(*event))
    }

    /// How many of each kind were acknowledged.
    pub fn by_kind(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for event in &self.acknowledged {
            *kinds
                .entry(event.split(' ').next().unwrap_or_default())
                .or_default() += 1;
        }
        kinds
    }
}

/// What an event of these producers is known by.
pub fn known_by(event: &Value) -> Option<String> {
    let said = |value: &Value| value.as_str().map(str::to_owned);
    let request = &event["request"];
    let numbered = |name: &str, prefix: &str, kind: &str| {
        let number = said(&request[name])?.strip_prefix(prefix)?.to_owned();
        Some(format!("{kind} {number}"))
    };
    match said(&event["action"])?.as_str() {
        // Of strangers: those with a session are of people whom the test needs.
        "kill" if event["session"].is_null() => Some(format!("kill {}", said(&event["subject"])?)),
        "check.denied" => numbered("user_agent", "check-", "check")
            .or_else(|| numbered("path", "/denied/", "denied")),
        "request.allowed" => numbered("path", "/allowed/", "allowed"),
        _ => None,
    }
}

/// An operator ends somebody who was never seen, and asks again, under the same key, until there is an answer.
fn kills(by: &Producing<'_>) {
    let unknown = by.sent.lock().expect("a lock").strangers.pop();
    let name = unknown.map_or_else(random_text, Ok).expect("a name");
    if kill(by.api, by.sent, &name).is_err() {
        by.sent.lock().expect("a lock").strangers.push(name);
    }
}

/// The kill of that stranger; once it is acknowledged it is known by their key.
pub fn kill(api: &Api, sent: &Mutex<Sent>, name: &str) -> Result {
    let body = json!({ "subject": format!("demo:{name}") });
    let answer = api.revoke_once(name, &body)?.expect(200)?.json()?;
    let event = format!("kill {}", text(&answer, "subject")?);
    let mut sent = sent.lock().expect("a lock");
    sent.tried.insert(event.clone());
    sent.acknowledged.insert(event);
    Ok(())
}

/// Whoever asks the service is told no, and that is in the log before.
fn denied_checks(by: &Producing<'_>) {
    by.send("check", |number| {
        let body = json!({ "token": by.dead.access });
        let request = by.api.post("/v1/check", bearer::GATEWAY, &body);
        let answer = request
            .header("user-agent", format!("check-{number}"))
            .send()?;
        Ok(answer.expect(200)?.json()?["reason"] == "session_ended")
    });
}

/// The same at a gateway, whose queue loses its answers.
fn denied_requests(by: &Producing<'_>) {
    by.send("denied", |number| {
        let request = Request::get(format!("{}/denied/{number}", by.at.gateway));
        let answer = request.bearer(&by.dead.access).send()?;
        Ok(answer.expect(401)?.json()?["reason"] == "session_ended")
    });
}

/// What passes is in the log if nothing happens, and nobody is told: packs come by the queue, twice.
fn allowed_requests(by: &Producing<'_>) {
    by.send("allowed", |number| {
        let request = Request::get(format!("{}/allowed/{number}", by.at.gateway));
        request.bearer(&by.alive.access).send()?.expect(200)?;
        Ok(false)
    });
}
