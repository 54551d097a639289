//! `/v1/clients`, `/v1/trusts` and wide revocations: what an operator says of clients, and what
//! follows from it for people.

use portcullis_e2e::Result;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{App, Tokens, random_text};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const REDIRECT: &str = "http://127.0.0.1:53682/callback";
/// From a commit until no isolate decides by the view from before.
const IN_FORCE: Duration = Duration::from_millis(1250);

fn ask(site: &Site, method: &'static str, path: &str, body: Option<&Value>) -> Result<Response> {
    let url = format!("{}{path}", site.endpoints().service);
    let request = Request::new(method, url).bearer(bearer::ADMIN);
    match body {
        Some(body) => request.json(body),
        None => request,
    }
    .send()
}

fn service_client() -> Value {
    json!({"client_name": "A service", "grant_types": ["client_credentials"]})
}

fn public_client() -> Value {
    json!({
        "client_name": "An application",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
        "first_party": true,
    })
}

/// A new client's id and the answer that brought it.
fn created(site: &Site, metadata: &Value) -> Result<(String, Value)> {
    let answer = ask(site, "POST", "/v1/clients", Some(metadata))?.expect(201)?;
    let client = answer.json()?;
    let id = client["client_id"].as_str().unwrap_or_default().to_owned();
    Ok((id, client))
}

/// The demo application under another client's id.
fn app_of(site: &Site, client_id: &str) -> App {
    App {
        client_id: client_id.to_owned(),
        ..site.app.clone()
    }
}

fn events(api: &Api, action: &str, client_id: &str) -> Result<Vec<String>> {
    let events = api.events(&format!("action={action}"))?;
    let of_client = events
        .iter()
        .filter(|event| event["client_id"] == client_id);
    Ok(of_client
        .filter_map(|event| event["reason"].as_str().map(str::to_owned))
        .collect())
}

#[test]
fn a_client_is_registered_shown_changed_and_removed() -> Result {
    let site = Site::any()?;
    let (id, client) = created(&site, &public_client())?;
    assert!(id.starts_with("cli_"), "{client}");
    assert_eq!(client["source"], "registered");
    assert_eq!(client["grant_types"], json!(["authorization_code"]));
    assert_eq!(client["response_types"], json!(["code"]));
    assert_eq!(client.get("client_secret"), None);

    let path = format!("/v1/clients/{id}");
    let shown = ask(&site, "GET", &path, None)?.expect(200)?.json()?;
    assert_eq!(shown, client);

    let mut changed = public_client();
    changed["client_name"] = "Another name".into();
    let updated = ask(&site, "PUT", &path, Some(&changed))?
        .expect(200)?
        .json()?;
    assert_eq!(updated["client_name"], "Another name");
    assert_eq!(
        updated["client_id_issued_at"],
        client["client_id_issued_at"]
    );

    let gone = ask(&site, "DELETE", &path, None)?.expect(200)?.json()?;
    assert_eq!(
        (&gone["scope"], &gone["id"]),
        (&json!("client"), &json!(id))
    );
    ask(&site, "GET", &path, None)?.expect(404)?.problem()?;
    ask(&site, "DELETE", &path, None)?.expect(404)?.problem()?;
    ask(&site, "PUT", &path, Some(&changed))?
        .expect(404)?
        .problem()?;

    let told = until("three changes in the log", || {
        let told = events(&site.api, "client.changed", &id)?;
        Ok((told.len() == 3).then_some(told))
    })?;
    assert_eq!(told, ["created", "updated", "deleted"]);
    assert_eq!(events(&site.api, "kill", &id)?, ["client_revoked"]);
    Ok(())
}

#[test]
fn a_secret_is_shown_once_and_is_nowhere_afterwards() -> Result {
    let site = Site::any()?;
    let (id, client) = created(&site, &service_client())?;
    let secret = client["client_secret"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(secret.starts_with("pc_cs_"), "no secret");
    let path = format!("/v1/clients/{id}");
    let rotate = json!({"earlier_expire_in": 60});
    let rotated = ask(&site, "POST", &format!("{path}/secrets"), Some(&rotate))?;
    let rotated = rotated.expect(200)?;
    let next = rotated.json()?["client_secret"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(next.starts_with("pc_cs_") && next != secret);
    assert!(!rotated.body.contains(&secret));
    let shown = ask(&site, "GET", &path, None)?.expect(200)?;
    let listed = ask(&site, "GET", "/v1/clients", None)?.expect(200)?;
    let logged = site.api.audit("limit=1000")?.expect(200)?;
    for answer in [&shown, &listed, &logged] {
        for secret in [&secret, &next] {
            let body = secret.trim_start_matches("pc_cs_");
            assert!(!answer.body.contains(body), "a secret was shown again");
        }
        assert!(!answer.body.contains("sha256"), "a digest was shown");
    }
    let secrets = shown.json()?["secrets"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    assert_eq!(secrets.len(), 2);
    assert!(secrets.iter().any(|secret| secret["expires_at"].is_u64()));
    assert!(secrets.iter().any(|secret| secret["expires_at"].is_null()));
    Ok(())
}

#[test]
fn metadata_that_is_not_valid_is_refused_with_its_rfc_7591_error() -> Result {
    let site = Site::any()?;
    for (metadata, error) in [
        (
            json!({"redirect_uris": ["http://a.example/cb"]}),
            "invalid_redirect_uri",
        ),
        (json!({"redirect_uris": []}), "invalid_redirect_uri"),
        (
            json!({"grant_types": ["password"]}),
            "invalid_client_metadata",
        ),
        (json!({"unheard_of": 1}), "invalid_client_metadata"),
        (json!({"secrets": []}), "invalid_client_metadata"),
        (
            json!({"grant_types": ["client_credentials"], "token_endpoint_auth_method": "none"}),
            "invalid_client_metadata",
        ),
    ] {
        let refused = ask(&site, "POST", "/v1/clients", Some(&metadata))?.expect(400)?;
        refused.problem()?;
        assert!(refused.body.contains(error), "{metadata}: {}", refused.body);
    }
    Ok(())
}

#[test]
fn a_client_of_the_configuration_is_shown_and_cannot_be_changed() -> Result {
    let site = Site::any()?;
    let path = "/v1/clients/demo-service";
    let shown = ask(&site, "GET", path, None)?.expect(200)?.json()?;
    assert_eq!(shown["source"], "static");
    let body = service_client();
    ask(&site, "PUT", path, Some(&body))?
        .expect(409)?
        .problem()?;
    ask(&site, "DELETE", path, None)?.expect(409)?.problem()?;
    ask(&site, "POST", &format!("{path}/secrets"), Some(&json!({})))?.expect(409)?;
    let mut same_name = service_client();
    same_name["client_id"] = "demo-service".into();
    ask(&site, "POST", "/v1/clients", Some(&same_name))?.expect(409)?;
    Ok(())
}

#[test]
fn pages_of_clients_are_all_of_them() -> Result {
    let site = Site::any()?;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(created(&site, &service_client())?.0);
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/clients?limit=2{cursor}");
        let page = ask(&site, "GET", &path, None)?.expect(200)?.json()?;
        for client in page["clients"].as_array().into_iter().flatten() {
            found.push(client["client_id"].as_str().unwrap_or_default().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for id in made.iter().map(String::as_str).chain(["demo-app"]) {
        assert_eq!(found.iter().filter(|found| *found == id).count(), 1, "{id}");
    }
    ask(&site, "GET", "/v1/clients?limt=2", None)?.expect(400)?;
    Ok(())
}

#[test]
fn a_removed_client_can_neither_begin_nor_go_on() -> Result {
    let person = Person::new()?;
    let (id, _) = created(&person, &public_client())?;
    let app = app_of(&person, &id);
    let mut browser = Browser::new();
    let attempt = app.attempt()?;
    let code = app.code(&mut browser, person.name, &attempt)?;
    let tokens = Tokens::read(&app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    person.api.expect_active(&tokens)?;
    let other = person.app.log_in(person.name)?;

    let waited = Instant::now();
    ask(&person, "DELETE", &format!("/v1/clients/{id}"), None)?.expect(200)?;
    assert!(waited.elapsed() >= IN_FORCE, "acknowledged too early");
    for verdict in [
        person.api.check_session(&tokens.subject, &tokens.session)?,
        person.api.check_token(&tokens.access)?,
    ] {
        assert_eq!(verdict["verdict"], "denied", "{verdict}");
    }
    let again = app.attempt()?;
    Request::get(again.url.as_str()).send()?.expect(400)?;
    let refused = app.redeem(&code, &attempt.verifier)?.expect(401)?;
    assert_eq!(refused.json()?["error"], "invalid_client");
    // What others have is as it was.
    person.api.expect_active(&other)?;
    Ok(())
}

#[test]
fn a_revoked_client_begins_again_and_nothing_from_before_goes_on() -> Result {
    let person = Person::new()?;
    let (id, _) = created(&person, &public_client())?;
    let app = app_of(&person, &id);
    let tokens = app.log_in(person.name)?;
    let body = json!({ "client_id": id });
    let revoked = person.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(revoked["scope"], "client");
    assert!(revoked["in_force_at"].as_str() > revoked["committed_at"].as_str());
    let verdict = person.api.check_token(&tokens.access)?;
    assert_eq!(verdict["verdict"], "denied", "{verdict}");
    let newer = app.log_in(person.name)?;
    person.api.expect_active(&newer)?;
    Ok(())
}

#[test]
fn a_disabled_client_is_turned_away_until_it_is_enabled() -> Result {
    let person = Person::new()?;
    let (id, _) = created(&person, &public_client())?;
    let app = app_of(&person, &id);
    let tokens = app.log_in(person.name)?;
    let path = format!("/v1/clients/{id}");
    let mut off = public_client();
    off["disabled"] = true.into();
    let answer = ask(&person, "PUT", &path, Some(&off))?
        .expect(200)?
        .json()?;
    assert_eq!(answer["revoked"]["scope"], "client");
    let verdict = person.api.check_token(&tokens.access)?;
    assert_eq!(verdict["verdict"], "denied", "{verdict}");
    Request::get(app.attempt()?.url.as_str())
        .send()?
        .expect(400)?;
    ask(&person, "PUT", &path, Some(&public_client()))?.expect(200)?;
    let newer = app.log_in(person.name)?;
    person.api.expect_active(&newer)?;
    Ok(())
}

#[test]
fn a_wide_revocation_stands_alone_and_cannot_be_tried_dry() -> Result {
    let site = Site::any()?;
    for body in [
        json!({}),
        json!({"client_id": ""}),
        json!({"client_id": "a", "connection": "b"}),
        json!({"client_id": "a", "subject": "demo:alice"}),
        json!({"connection": "a", "dry_run": true}),
    ] {
        site.api.revoke(&body)?.expect(400)?.problem()?;
    }
    // Of what nobody has there is nothing to end, and it is said to be done.
    let body = json!({"connection": random_text()?});
    let revoked = site.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(revoked["scope"], "connection");
    Ok(())
}

#[test]
fn a_revoked_connection_ends_everybody_who_came_through_it_and_lets_them_come_again() -> Result {
    // A stack of its own: it ends everybody on it.
    let stack = Stack::start_with(&Settings::vars(&[]))?;
    let (app, api) = (App::discover(&stack.at)?, Api::new(&stack.at));
    let before = [app.log_in("alice")?, app.log_in("bob")?];
    let revoked = api.revoke(&json!({"connection": "demo"}))?;
    revoked.expect(200)?;
    for tokens in &before {
        api.expect_denied(tokens, "session_ended")?;
        let refreshed = Request::post(&app.token_endpoint)
            .form(&[
                ("grant_type", "refresh_token"),
                ("client_id", "demo-app"),
                (
                    "refresh_token",
                    tokens.answer["refresh_token"].as_str().unwrap_or_default(),
                ),
            ])
            .send()?;
        assert_eq!(refreshed.expect(400)?.json()?["error"], "invalid_grant");
    }
    api.expect_active(&app.log_in("alice")?)
}

#[test]
fn trusts_are_declared_for_clients_that_can_use_them() -> Result {
    let site = Site::any()?;
    let trust = json!({
        "issuer": "https://ci.example",
        "audience": "portcullis",
        "claims": {"repository": "org/app"},
        "client_id": "demo-service",
        "scope": "read",
    });
    let made = ask(&site, "POST", "/v1/trusts", Some(&trust))?
        .expect(201)?
        .json()?;
    let path = format!("/v1/trusts/{}", made["id"].as_str().unwrap_or_default());
    assert_eq!(ask(&site, "GET", &path, None)?.expect(200)?.json()?, made);
    for (field, value) in [
        ("claims", json!({})),
        ("claims", json!({"sub": ["a"]})),
        ("issuer", json!("http://ci.example")),
        ("issuer", json!("https://10.0.0.1")),
        ("client_id", json!("nobody")),
        ("client_id", json!("demo-app")),
        ("scope", json!("read admin")),
        ("unheard_of", json!(1)),
    ] {
        let mut wrong = trust.clone();
        wrong[field] = value;
        ask(&site, "POST", "/v1/trusts", Some(&wrong))?
            .expect(400)?
            .problem()?;
    }
    let mut changed = trust.clone();
    changed["scope"] = "read write".into();
    ask(&site, "PUT", &path, Some(&changed))?.expect(200)?;
    let listed = ask(&site, "GET", "/v1/trusts", None)?.expect(200)?.json()?;
    let listed = listed["trusts"].as_array().cloned().unwrap_or_default();
    assert!(
        listed
            .iter()
            .any(|t| t["id"] == made["id"] && t["scope"] == "read write")
    );
    ask(&site, "DELETE", &path, None)?.expect(204)?;
    ask(&site, "GET", &path, None)?.expect(404)?;
    ask(&site, "DELETE", &path, None)?.expect(404)?;
    Ok(())
}
