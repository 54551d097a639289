//! Who sends while all is killed, and what they were told. Each event is known by something in its line that is its own.

use portcullis_core::id::SessionId;
use portcullis_e2e::Result;
use portcullis_e2e::api::{Api, bearer, session_in_log};
use portcullis_e2e::app::{Tokens, random_text};
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::stack::Endpoints;
use portcullis_e2e::wait::now;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Each sends one event a call, from a thread of its own. What has more ways to send is added here and in [`known_by`].
pub const PRODUCERS: [fn(&Producing<'_>); 8] = [
    kills,
    kills,
    denied_checks,
    many_denied_checks,
    denied_requests,
    denied_requests,
    allowed_requests,
    submitted,
];

/// What is acknowledged.
const KINDS: [&str; 5] = ["check", "denied", "kill", "submitted", "unseen"];
/// How many are asked about at once.
const MANY: usize = 20;

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

    /// Whether something of each kind that is ever acknowledged was, since there were so many.
    pub fn has_each_beyond(&self, before: &BTreeMap<String, usize>) -> bool {
        let now = self.by_kind();
        KINDS.iter().all(|kind| now.get(*kind) > before.get(*kind))
    }

    /// How many of each kind were acknowledged.
    pub fn by_kind(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for event in &self.acknowledged {
            let kind = event.split(' ').next().unwrap_or_default();
            *kinds.entry(kind.to_owned()).or_default() += 1;
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
        "check.denied" if event["reason"] == "session_unknown" => {
            Some(format!("unseen {}", said(&event["session"])?))
        }
        "check.denied" => {
            numbered("ray", "check-", "check").or_else(|| numbered("path", "/denied/", "denied"))
        }
        "request.allowed" => numbered("path", "/allowed/", "allowed"),
        "request.denied" => numbered("path", "/submitted/", "submitted"),
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
        let answer = request.header("cf-ray", format!("check-{number}")).send()?;
        Ok(answer.expect(200)?.json()?["reason"] == "session_ended")
    });
}

/// Many of sessions that never were, in one request: their lines fill tiles, and the alarm has something to archive.
fn many_denied_checks(by: &Producing<'_>) {
    let random = || getrandom::u64().expect("random").to_be_bytes();
    let session = |_| {
        let bytes = [random(), random()].concat();
        SessionId::from_bytes(bytes.try_into().expect("16 bytes")).to_string()
    };
    let sessions: Vec<String> = (0..MANY).map(session).collect();
    let in_log = sessions
        .iter()
        .map(|session| session_in_log(session).expect("a session"));
    let events: Vec<String> = in_log.map(|session| format!("unseen {session}")).collect();
    let sent = || by.sent.lock().expect("a lock");
    sent().tried.extend(events.iter().cloned());
    let ask = |session| json!({ "subject": by.alive.subject, "session": session });
    let checks: Vec<Value> = sessions.iter().map(ask).collect();
    let is_denied = |result: &Value| result["reason"] == "session_unknown";
    let asked = || -> Result<bool> {
        let answer = by
            .api
            .check(&json!({ "checks": checks }))?
            .expect(200)?
            .json()?;
        let results = answer["results"].as_array();
        Ok(results.is_some_and(|results| results.len() == MANY && results.iter().all(is_denied)))
    };
    if asked().unwrap_or(false) {
        sent().acknowledged.extend(events);
    }
}

/// The same at a gateway, whose queue loses its answers.
fn denied_requests(by: &Producing<'_>) {
    by.send("denied", |number| {
        let request = Request::get(format!("{}/denied/{number}", by.at.gateway));
        let answer = request.bearer(&by.dead.access).send()?;
        Ok(answer.expect(401)?.json()?["reason"] == "session_ended")
    });
}

/// A producer that is no Worker sends its event, and once more if there is no answer.
fn submitted(by: &Producing<'_>) {
    by.send("submitted", |number| {
        let event = json!({
            "occurred": now().to_rfc3339(), "action": "request.denied", "outcome": "denied",
            "request": {"method": "GET", "host": "there.example", "path": format!("/submitted/{number}")},
        });
        let producer = random_text()?;
        let body = json!({"producer": producer, "first_sequence": 1, "events": [event]});
        let send = || by.api.post("/v1/audit/events", bearer::GATEWAY, &body).send();
        let answer = send().or_else(|_| send())?.expect(200)?.json()?;
        Ok(answer["set_aside"] == json!([]))
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
