//! The part of Cloudflare's API that JWKS sync writes to: the keys of an API Shield token configuration.
//!
//! ```text
//! PUT /client/v4/zones/{zone_id}/token_validation/config/{config_id}/credentials
//! Authorization: Bearer API_TOKEN
//! {"keys": [...]}
//! ```
//!
//! It takes what the documentation describes and nothing more, so that whatever the service sends besides is noticed: 1
//! to 16 keys with exactly the members of their kind. A good answer has the keys both where the reference of this
//! operation shows them, at the top, and in the `result` that the API's other answers have.
//!
//! Out of scope: every other operation, and what the real service says of a bad request in words and code, which is
//! documented nowhere.

use crate::Result;
use crate::server::{Received, Reply, Server};
use crate::wait::until;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const MOST_KEYS: usize = 16;

/// What to say next, instead of what is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What is true, after all, but late. What came is in force when it is answered.
    Late(Duration),
    /// 403: the API token is not good, or not for this.
    Forbidden,
    /// 400, with an error of the API's shape.
    BadRequest,
    /// 429, with `Retry-After` in seconds.
    TooManyRequests(u32),
    /// 500, and a page instead of JSON.
    BrokenPage,
    /// 200, and `success` is false all the same.
    Unsuccessful,
}

/// Keys that were put, whatever came of it.
#[derive(Clone, Debug)]
pub struct Put {
    /// Where.
    pub zone_id: String,
    /// Where in it.
    pub config_id: String,
    /// Under which API token.
    pub token: Option<String>,
    /// The whole body; null if it was not JSON.
    pub body: Value,
    /// The status it was answered with.
    pub status: u16,
    /// Whether these keys came into force.
    pub in_force: bool,
}

impl Put {
    /// The keys in the body.
    #[must_use]
    pub fn keys(&self) -> &[Value] {
        self.body["keys"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Their `kid`s, in order.
    #[must_use]
    pub fn kids(&self) -> Vec<&str> {
        let kids = self.keys().iter().map(|key| key["kid"].as_str());
        kids.flatten().collect()
    }
}

/// Listens until it is dropped.
pub struct ApiShield {
    /// What stands before `/zones`, `https://api.cloudflare.com/client/v4` elsewhere.
    pub base: String,
    shared: Arc<Mutex<Shared>>,
    _server: Server,
}

#[derive(Default)]
struct Shared {
    token: String,
    next: VecDeque<Answer>,
    puts: Vec<Put>,
    others: Vec<Received>,
}

impl ApiShield {
    /// One that this API token may write to.
    pub fn start(token: &str) -> Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            token: token.to_owned(),
            ..Shared::default()
        }));
        let theirs = Arc::clone(&shared);
        let server = Server::start(move |request| locked(&theirs).receive(request))?;
        Ok(Self {
            base: format!("{}/client/v4", server.base()),
            shared,
            _server: server,
        })
    }

    /// Answers the next requests with these, one each; then with what is true again.
    pub fn answer(&self, answers: &[Answer]) {
        locked(&self.shared).next.extend(answers);
    }

    /// The keys that were put, oldest first.
    #[must_use]
    pub fn puts(&self) -> Vec<Put> {
        locked(&self.shared).puts.clone()
    }

    /// Requests that were for anything else.
    #[must_use]
    pub fn others(&self) -> Vec<Received> {
        locked(&self.shared).others.clone()
    }

    /// The keys in force for a configuration, if any ever were.
    #[must_use]
    pub fn in_force(&self, zone_id: &str, config_id: &str) -> Option<Value> {
        let shared = locked(&self.shared);
        let mut puts = shared.puts.iter().rev();
        let last =
            puts.find(|put| put.in_force && put.zone_id == zone_id && put.config_id == config_id);
        last.map(|put| put.body["keys"].clone())
    }

    /// Waits until keys were put this often.
    #[track_caller]
    pub fn expect(&self, count: usize) -> Result<Vec<Put>> {
        until(&format!("{count} key sets at API Shield"), || {
            let puts = self.puts();
            Ok((puts.len() >= count).then_some(puts))
        })
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn receive(&mut self, request: Received) -> Reply {
        let Some((zone_id, config_id)) = target(&request) else {
            self.others.push(request);
            return refusal(404, 7000, "No route for that URI");
        };
        let token = request.header("authorization").unwrap_or_default();
        let token = token.strip_prefix("Bearer ").map(str::to_owned);
        let body = serde_json::from_str(&request.body).unwrap_or_default();
        let answered = self.reply(token.as_deref(), &body);
        let in_force = answered.is_ok();
        let reply = answered.unwrap_or_else(|refusal| refusal);
        self.puts.push(Put {
            zone_id,
            config_id,
            token,
            body,
            status: reply.status,
            in_force,
        });
        reply
    }

    /// `Ok` if the keys are in force from now on.
    fn reply(&mut self, token: Option<&str>, body: &Value) -> std::result::Result<Reply, Reply> {
        let after = match self.next.pop_front() {
            None => Duration::ZERO,
            Some(Answer::Late(after)) => after,
            Some(Answer::Forbidden) => return Err(refusal(403, 10_000, "Authentication error")),
            Some(Answer::BadRequest) => return Err(refusal(400, 1000, "told to refuse")),
            Some(Answer::Unsuccessful) => return Err(refusal(200, 1000, "told to fail")),
            Some(Answer::TooManyRequests(secs)) => {
                let mut reply = refusal(429, 1000, "told to wait");
                reply.headers.push(("retry-after", secs.to_string()));
                return Err(reply);
            }
            Some(Answer::BrokenPage) => {
                return Err(Reply {
                    status: 500,
                    headers: vec![("content-type", "text/html".to_owned())],
                    body: "<html><h1>500 Internal Server Error</h1></html>".to_owned(),
                    ..Reply::default()
                });
            }
        };
        if token != Some(self.token.as_str()) {
            return Err(refusal(403, 10_000, "Authentication error"));
        }
        if let Some(complaint) = complaint(body) {
            return Err(refusal(400, 1000, &complaint));
        }
        let keys = &body["keys"];
        let answer = json!({
            "success": true, "errors": [], "messages": [], "keys": keys, "result": { "keys": keys },
        });
        let reply = json_reply(200, &answer);
        Ok(Reply { after, ..reply })
    }
}

/// The zone and the configuration that a request is to put the keys of.
fn target(request: &Received) -> Option<(String, String)> {
    let path = request.path.strip_prefix("/client/v4/zones/")?;
    let (zone_id, rest) = path.split_once("/token_validation/config/")?;
    let config_id = rest.strip_suffix("/credentials")?;
    let whole = request.method == "PUT" && !zone_id.contains('/') && !config_id.contains('/');
    whole.then(|| (zone_id.to_owned(), config_id.to_owned()))
}

/// What is wrong with a body.
fn complaint(body: &Value) -> Option<String> {
    let members = body.as_object().filter(|members| members.len() == 1);
    let Some(keys) = members.and_then(|members| members.get("keys")?.as_array()) else {
        return Some("the body is not an object with keys and nothing else".to_owned());
    };
    if !(1..=MOST_KEYS).contains(&keys.len()) {
        return Some(format!("{} keys", keys.len()));
    }
    let wrong = keys.iter().find(|key| !key.as_object().is_some_and(is_key));
    wrong.map(|key| format!("not a key: {key}"))
}

/// Whether it has exactly the members that a key of its algorithm has.
fn is_key(key: &Map<String, Value>) -> bool {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let has = |name: &&str| text(name).is_some_and(|text| !text.is_empty());
    let (kind, curve, rest) = match text("alg") {
        Some("RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512") => {
            ("RSA", None, ["e", "n"].as_slice())
        }
        Some("ES256") => ("EC", Some("P-256"), ["crv", "x", "y"].as_slice()),
        Some("ES384") => ("EC", Some("P-384"), ["crv", "x", "y"].as_slice()),
        _ => return false,
    };
    text("kty") == Some(kind)
        && text("crv") == curve
        && has(&"kid")
        && rest.iter().all(has)
        && key.len() == rest.len() + 3
}

fn refusal(status: u16, code: u32, message: &str) -> Reply {
    json_reply(
        status,
        &json!({
            "success": false,
            "errors": [{ "code": code, "message": message }],
            "messages": [],
            "result": null,
        }),
    )
}

fn json_reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string(),
        ..Reply::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, ApiShield};
    use crate::Result;
    use crate::http::{Request, Response};
    use serde_json::{Value, json};
    use std::time::{Duration, Instant};

    const ZONE: &str = "023e105f4ecef8ad9ca31a8372d0c353";
    const CONFIG: &str = "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7";

    fn put(shield: &ApiShield, token: &str, body: &Value) -> Result<Response> {
        let path = format!("zones/{ZONE}/token_validation/config/{CONFIG}/credentials");
        let request = Request::new("PUT", format!("{}/{path}", shield.base)).bearer(token);
        request.json(body).send()
    }

    fn rsa(kid: &str) -> Value {
        json!({ "alg": "RS256", "kty": "RSA", "kid": kid, "e": "AQAB", "n": "sXch" })
    }

    fn ec() -> Value {
        json!({ "alg": "ES256", "kty": "EC", "crv": "P-256", "kid": "two", "x": "KN53", "y": "lnkk" })
    }

    #[test]
    fn takes_documented_keys_and_has_them_in_force() -> Result {
        let shield = ApiShield::start("secret")?;
        assert_eq!(shield.in_force(ZONE, CONFIG), None);
        let keys = json!([rsa("one"), ec()]);
        let answer = put(&shield, "secret", &json!({ "keys": keys }))?.expect(200)?;
        let answer = answer.json()?;
        assert_eq!(answer["success"], true);
        assert_eq!(answer["keys"], keys);
        assert_eq!(shield.in_force(ZONE, CONFIG), Some(keys));
        let puts = shield.expect(1)?;
        let put = puts.first().map(|put| (put.kids(), put.token.as_deref()));
        assert_eq!(put, Some((vec!["one", "two"], Some("secret"))));
        Ok(())
    }

    #[test]
    fn refuses_anything_but_1_to_16_keys_with_just_their_members() -> Result {
        let shield = ApiShield::start("secret")?;
        let with = |mut key: Value, name: &str, value: Value| {
            key[name] = value;
            json!([key])
        };
        let many: Vec<Value> = (0..17).map(|number| rsa(&number.to_string())).collect();
        for keys in [
            json!([]),
            json!(many),
            with(rsa("one"), "use", json!("sig")),
            with(rsa("one"), "alg", json!("ES256")),
            with(rsa("one"), "kid", Value::Null),
            with(ec(), "crv", json!("P-384")),
            with(ec(), "d", json!("secret")),
            with(ec(), "alg", json!("EdDSA")),
        ] {
            let answer = put(&shield, "secret", &json!({ "keys": keys }))?.expect(400)?;
            assert_eq!(answer.json()?["success"], false);
        }
        let more = json!({ "keys": [ec()], "title": "mine" });
        put(&shield, "secret", &more)?.expect(400)?;
        put(&shield, "other", &json!({ "keys": [ec()] }))?.expect(403)?;
        assert_eq!(shield.in_force(ZONE, CONFIG), None);
        Ok(())
    }

    #[test]
    fn answers_as_told_once_each_and_takes_nothing_meanwhile() -> Result {
        let shield = ApiShield::start("secret")?;
        let body = json!({ "keys": [ec()] });
        shield.answer(&[
            Answer::TooManyRequests(7),
            Answer::BrokenPage,
            Answer::Forbidden,
            Answer::BadRequest,
            Answer::Unsuccessful,
        ]);
        let wait = put(&shield, "secret", &body)?.expect(429)?;
        assert_eq!(wait.header("retry-after"), Some("7"));
        assert!(put(&shield, "secret", &body)?.expect(500)?.json().is_err());
        let forbidden = put(&shield, "secret", &body)?.expect(403)?.json()?;
        assert_eq!(forbidden["errors"][0]["code"], 10_000);
        put(&shield, "secret", &body)?.expect(400)?;
        let failed = put(&shield, "secret", &body)?.expect(200)?.json()?;
        assert_eq!(failed["success"], false);
        assert_eq!(shield.in_force(ZONE, CONFIG), None);
        shield.answer(&[Answer::Late(Duration::from_millis(300))]);
        let asked = Instant::now();
        put(&shield, "secret", &body)?.expect(200)?;
        assert!(asked.elapsed() >= Duration::from_millis(300));
        assert_eq!(shield.puts().len(), 6);
        Ok(())
    }

    #[test]
    fn other_operations_are_noticed() -> Result {
        let shield = ApiShield::start("secret")?;
        Request::get(format!("{}/zones", shield.base))
            .send()?
            .expect(404)?;
        assert_eq!(shield.others().len(), 1);
        assert!(shield.puts().is_empty());
        Ok(())
    }
}
