//! Identity providers' keys: rotations fail no request, outages are survived for a while, inventions cause no
//! storm, and API Shield is kept in step.

use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::api_shield::{Answer, ApiShield};
use portcullis_e2e::connection::{CLIENT_ID, Connection};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::upstream::{Client, Endpoint, KeyDocument, Outage, Upstream};
use portcullis_e2e::wait::unix_secs;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::thread;

const ZONE: &str = "0123456789abcdef0123456789abcdef";
const CONFIG: &str = "4a7ee8d3-dd63-4ceb-9d5f-c27831854ce7";

fn accepting() -> Value {
    json!({"tokens": {"audiences": ["api://app"]}})
}

/// A new token of somebody's.
fn token(upstream: &Upstream, user: &str, header: &Value) -> Result<String> {
    let now = unix_secs();
    let claims = json!({
        "iss": upstream.issuer, "sub": user, "aud": "api://app", "iat": now, "exp": now + 600,
    });
    upstream.token(&claims, header)
}

/// How many of so many checks at a time say active, each of a token of its own.
fn active_at_once(api: &Api, upstream: &Upstream, count: usize) -> Result<usize> {
    let tokens = (0..count).map(|n| token(upstream, &format!("u{n}"), &json!({})));
    let tokens = tokens.collect::<Result<Vec<_>>>()?;
    let checks: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let api = api.clone();
            thread::spawn(move || api.check_token(&token).map_err(|error| error.to_string()))
        })
        .collect();
    let mut active = 0;
    for check in checks {
        let verdict = check.join().map_err(|_| Failure::new("a check panicked"))?;
        let verdict = verdict.map_err(Failure::new)?;
        active += usize::from(verdict["verdict"] == "active");
    }
    Ok(active)
}

#[test]
fn a_rotation_under_load_fails_no_request() -> Result {
    let connection = Connection::with(&accepting())?;
    assert_eq!(active_at_once(&connection.api, &connection.upstream, 5)?, 5);
    let before = connection.upstream.counts()?.of(Endpoint::Jwks);
    for keep_old in [true, false, true] {
        connection.upstream.rotate(keep_old)?;
        // The new key signs at once, and nobody has seen it.
        assert_eq!(
            active_at_once(&connection.api, &connection.upstream, 30)?,
            30
        );
        connection.log_in("alice")?;
    }
    let fetches = connection.upstream.counts()?.of(Endpoint::Jwks) - before;
    assert!(
        (3..=6).contains(&fetches),
        "{fetches} fetches for three rotations"
    );
    Ok(())
}

#[test]
fn a_key_that_was_taken_back_verifies_nothing_that_comes_after_it_is_known() -> Result {
    let connection = Connection::with(&accepting())?;
    let old = token(&connection.upstream, "alice", &json!({}))?;
    assert_eq!(connection.api.check_token(&old)?["verdict"], "active");
    connection.upstream.rotate(false)?;
    // A token by the new key has the document fetched.
    assert_eq!(active_at_once(&connection.api, &connection.upstream, 1)?, 1);
    let verdict = connection.api.check_token(&old)?;
    assert_eq!(verdict["reason"], "token_unknown_key", "{verdict}");
    Ok(())
}

#[test]
fn invented_keys_cause_no_storm_and_keep_nobody_out() -> Result {
    let connection = Connection::with(&accepting())?;
    assert_eq!(active_at_once(&connection.api, &connection.upstream, 1)?, 1);
    let before = connection.upstream.counts()?.of(Endpoint::Jwks);
    for n in 0..20 {
        let kid = json!({"kid": format!("invented-{n}")});
        let invented = token(&connection.upstream, "mallory", &kid)?;
        let api = connection.api.clone();
        thread::spawn(move || {
            api.check_token(&invented)
                .map_err(|error| error.to_string())
        });
    }
    assert_eq!(
        active_at_once(&connection.api, &connection.upstream, 10)?,
        10
    );
    let fetches = connection.upstream.counts()?.of(Endpoint::Jwks) - before;
    assert!(fetches <= 6, "{fetches} fetches for twenty invented keys");
    Ok(())
}

#[test]
fn an_empty_or_broken_key_document_replaces_no_keys() -> Result {
    let connection = Connection::with(&accepting())?;
    let good = token(&connection.upstream, "alice", &json!({}))?;
    assert_eq!(connection.api.check_token(&good)?["verdict"], "active");
    for document in [
        KeyDocument::Json(json!({"keys": []})),
        KeyDocument::Json(json!({})),
        KeyDocument::Text("<html>".to_owned()),
    ] {
        connection.upstream.key_document(document)?;
        // It is looked at, for a key that nobody has.
        let kid = json!({"kid": format!("k{}", unix_secs())});
        let invented = token(&connection.upstream, "mallory", &kid)?;
        let refused = connection.api.check(&json!({"token": invented}))?;
        assert!(!refused.body.contains("active"), "{}", refused.body);
        assert_eq!(connection.api.check_token(&good)?["verdict"], "active");
        assert_eq!(active_at_once(&connection.api, &connection.upstream, 3)?, 3);
    }
    Ok(())
}

/// A stack of its own with a connection, so that it can be restarted and the schedule fired.
struct Own {
    stack: Stack,
    settings: Settings,
    upstream: Upstream,
}

impl Own {
    fn with(mut vars: Vec<String>, connection: &Value) -> Result<Self> {
        vars.push("MODE=dev".to_owned());
        let settings = Settings {
            vars,
            crons: true,
            ..Settings::default()
        };
        let stack = Stack::start_with(&settings)?;
        let callback = format!("{}/callback/up", stack.at.service);
        let client = Client::new(CLIENT_ID, &callback)?;
        let upstream = Upstream::start(std::slice::from_ref(&client))?;
        let mut document = json!({
            "id": "up", "issuer": upstream.issuer, "client_id": CLIENT_ID, "client_secret": client.secret,
        });
        let members = document.as_object_mut().expect("an object");
        members.extend(connection.as_object().cloned().unwrap_or_default());
        let own = Self {
            stack,
            settings,
            upstream,
        };
        own.admin("POST", "/v1/connections", Some(&document))?
            .expect(201)?;
        Ok(own)
    }

    fn admin(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Response> {
        let request = Request::new(method, format!("{}{path}", self.stack.at.service));
        let request = request.bearer(bearer::ADMIN);
        match body {
            Some(body) => request.json(body).send(),
            None => request.send(),
        }
    }

    fn fire_schedule(&self) -> Result {
        Request::get(&self.stack.at.crons).send()?.expect(200)?;
        Ok(())
    }

    fn sync(&self) -> Result<Value> {
        self.admin("GET", "/v1/connections/up/jwks-sync", None)?
            .expect(200)?
            .json()
    }
}

#[test]
fn keys_outlive_the_isolate_while_their_provider_is_down() -> Result {
    let mut own = Own::with(vec![], &accepting())?;
    let good = token(&own.upstream, "alice", &json!({}))?;
    let api = Api::new(&own.stack.at);
    assert_eq!(api.check_token(&good)?["verdict"], "active");
    own.upstream.kill()?;
    own.stack.restart(&own.settings)?;
    assert_eq!(api.check_token(&good)?["verdict"], "active");
    own.upstream.restart()?;
    own.upstream
        .down(&[Endpoint::Jwks, Endpoint::Metadata], Outage::Status(503))?;
    own.stack.restart(&own.settings)?;
    assert_eq!(api.check_token(&good)?["verdict"], "active");
    Ok(())
}

fn shielded() -> Value {
    json!({"api_shield": {"zone_id": ZONE, "config_id": CONFIG}})
}

fn vars(api: &ApiShield) -> Vec<String> {
    vec![
        format!("API_SHIELD_URL={}", api.base),
        "API_SHIELD_TOKEN=the-token".to_owned(),
    ]
}

#[test]
fn the_schedule_sends_a_providers_keys_once_and_again_when_they_change() -> Result {
    let api = ApiShield::start("the-token")?;
    let own = Own::with(vars(&api), &shielded())?;
    let before = own.sync()?;
    assert_eq!(
        (&before["sent"], &before["in_step"]),
        (&Value::Null, &json!(false))
    );
    own.fire_schedule()?;
    let puts = api.expect(1)?;
    assert_eq!(
        (puts[0].zone_id.as_str(), puts[0].config_id.as_str()),
        (ZONE, CONFIG)
    );
    assert_eq!(puts[0].token.as_deref(), Some("the-token"));
    assert!(puts[0].in_force, "{:?}", puts[0]);
    own.fire_schedule()?;
    let shown = own.sync()?;
    assert_eq!(shown["in_step"], true, "{shown}");
    assert_eq!(api.puts().len(), 1, "an unchanged set was sent");

    own.upstream.rotate(true)?;
    assert_eq!(own.sync()?["in_step"], false);
    own.fire_schedule()?;
    let puts = api.expect(2)?;
    assert_eq!(puts[1].kids().len(), puts[0].kids().len() + 1);
    assert_eq!(own.sync()?["in_step"], true);
    let events = Api::new(&own.stack.at).events("action=keys.synced")?;
    assert_eq!(events.len(), 2, "{events:#?}");
    Ok(())
}

#[test]
fn keys_at_another_place_of_the_document_are_found_there() -> Result {
    let api = ApiShield::start("the-token")?;
    let own = Own::with(
        vars(&api),
        &json!({
            "jwks_path": "/public_keys/current",
            "api_shield": {"zone_id": ZONE, "config_id": CONFIG},
        }),
    )?;
    let there = KeyDocument::KeysAt("/public_keys/current".to_owned());
    own.upstream.key_document(there)?;
    own.fire_schedule()?;
    assert!(api.expect(1)?[0].in_force);
    Ok(())
}

#[test]
fn a_broken_provider_never_takes_good_keys_out_of_force() -> Result {
    let api = ApiShield::start("the-token")?;
    let own = Own::with(vars(&api), &shielded())?;
    own.fire_schedule()?;
    let good = api.expect(1)?[0].body["keys"].clone();
    for document in [
        KeyDocument::Json(json!({"keys": []})),
        KeyDocument::Json(json!({"keys": [{"kty": "oct", "k": "AAAA", "kid": "x"}]})),
        KeyDocument::Text("<html>".to_owned()),
    ] {
        own.upstream.key_document(document)?;
        let forced = own.admin("POST", "/v1/connections/up/jwks-sync", Some(&json!({})))?;
        assert_eq!(forced.status, 502, "{}", forced.body);
        let shown = own.sync()?;
        assert!(shown["failures"].as_u64() >= Some(1), "{shown}");
    }
    assert_eq!(api.puts().len(), 1);
    assert_eq!(api.in_force(ZONE, CONFIG), Some(good));
    own.upstream.reset()?;
    let mended = own.admin("POST", "/v1/connections/up/jwks-sync", Some(&json!({})))?;
    assert_eq!(mended.expect(200)?.json()?["outcome"], "unchanged");
    assert_eq!(own.sync()?["failures"], 0);
    Ok(())
}

#[test]
fn what_the_api_says_is_told_and_the_schedule_waits() -> Result {
    let api = ApiShield::start("the-token")?;
    let own = Own::with(vars(&api), &shielded())?;
    for (answer, error) in [
        (Answer::Forbidden, "api_unauthorized"),
        (Answer::BadRequest, "api_refused"),
        (Answer::TooManyRequests(120), "api_limited"),
        (Answer::BrokenPage, "api_failed"),
        (Answer::Unsuccessful, "api_failed"),
    ] {
        api.answer(&[answer]);
        let failed = own.admin("POST", "/v1/connections/up/jwks-sync", Some(&json!({})))?;
        assert_eq!(failed.status, 502, "{answer:?}: {}", failed.body);
        let shown = own.sync()?;
        assert_eq!(shown["failure"]["error"], error, "{answer:?}: {shown}");
        assert!(shown["next_attempt_at"].is_string(), "{shown}");
    }
    let puts = api.puts().len();
    own.fire_schedule()?;
    assert_eq!(api.puts().len(), puts, "the schedule did not wait");
    let forced = own.admin("POST", "/v1/connections/up/jwks-sync", Some(&json!({})))?;
    assert_eq!(forced.expect(200)?.json()?["outcome"], "sent");
    assert!(!own.sync()?.to_string().contains("the-token"));
    Ok(())
}
