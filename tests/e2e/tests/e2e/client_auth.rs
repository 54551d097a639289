//! Clients that prove who they are, and what a service gets for itself and on behalf of others (RFC 6749
//! sections 2.3 and 4.4, RFC 8693).

use base64ct::{Base64, Encoding};
use portcullis_e2e::app::{Tokens, audiences, claims};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stack::Stack;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::sync::Arc;

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

fn basic(pair: &str) -> String {
    format!("Basic {}", Base64::encode_string(pair.as_bytes()))
}

fn token(site: &Site, authorization: Option<&str>, fields: &[(&str, &str)]) -> Result<Response> {
    let mut request = Request::post(&site.app.token_endpoint).form(fields);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    request.send()
}

fn as_demo_service(site: &Site, fields: &[(&str, &str)]) -> Result<Response> {
    token(site, Some(&basic("demo-service:dev-secret")), fields)
}

#[track_caller]
fn expect_error(response: &Response, status: u16, error: &str) -> Result {
    if response.status == status && response.json()?["error"] == error {
        return Ok(());
    }
    Err(response.unexpected(&format!("{status} {error}")))
}

#[test]
fn a_service_gets_a_token_for_itself_and_one_kill_ends_them_all() -> Result {
    let site = Site::any()?;
    let grant = [("grant_type", "client_credentials")];
    let one = Tokens::read(&as_demo_service(&site, &grant)?.expect(200)?)?;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "demo-service"),
        ("client_secret", "dev-secret"),
        ("scope", "read"),
    ];
    let two = Tokens::read(&token(&site, None, &form)?.expect(200)?)?;
    assert_eq!(one.answer["scope"], "read write");
    assert_eq!(two.answer["scope"], "read");
    assert_eq!(one.answer.get("refresh_token"), None);
    assert_eq!(one.answer.get("id_token"), None);
    assert_eq!(
        (one.subject.as_str(), one.session.as_str()),
        (two.subject.as_str(), two.session.as_str())
    );
    let claims = claims(&one.access)?;
    assert_eq!(claims["client_id"], "demo-service");
    assert_eq!(claims.get("auth_time"), None);
    site.api.expect_active(&one)?;
    let session = json!({"subject": one.subject, "session": one.session});
    site.api.revoke(&session)?.expect(200)?;
    site.api.expect_denied(&one, "session_ended")?;
    site.api.expect_denied(&two, "session_ended")
}

#[test]
fn a_client_that_is_unknown_or_unproven_gets_one_and_the_same_answer() -> Result {
    let site = Site::any()?;
    let grant = [("grant_type", "client_credentials")];
    let mut answers = Vec::new();
    for pair in [
        "demo-service:wrong",
        "demo-service:",
        "nobody:dev-secret",
        "demo-app:dev-secret",
        "demo-app:",
    ] {
        let refused = token(&site, Some(&basic(pair)), &grant)?;
        expect_error(&refused, 401, "invalid_client")?;
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Basic "), "{pair}: {challenge}");
        answers.push(refused.body.clone());
    }
    answers.dedup();
    assert_eq!(
        answers.len(),
        1,
        "the answers tell clients apart: {answers:?}"
    );
    // A confidential client cannot pass for a public one.
    let silent = [
        ("grant_type", "client_credentials"),
        ("client_id", "demo-service"),
    ];
    expect_error(&token(&site, None, &silent)?, 401, "invalid_client")
}

#[test]
fn a_client_gets_no_grant_scope_or_audience_that_it_was_not_registered_for() -> Result {
    let site = Site::any()?;
    let public = [
        ("grant_type", "client_credentials"),
        ("client_id", "demo-app"),
    ];
    expect_error(&token(&site, None, &public)?, 400, "unauthorized_client")?;
    let wider = [("grant_type", "client_credentials"), ("scope", "admin")];
    expect_error(&as_demo_service(&site, &wider)?, 400, "invalid_scope")?;
    // What is about people is not for services.
    let person = [("grant_type", "client_credentials"), ("scope", "openid")];
    expect_error(&as_demo_service(&site, &person)?, 400, "invalid_scope")?;
    let elsewhere = [
        ("grant_type", "client_credentials"),
        ("resource", "https://elsewhere.example"),
    ];
    expect_error(&as_demo_service(&site, &elsewhere)?, 400, "invalid_target")?;
    let twice = [
        ("grant_type", "client_credentials"),
        ("client_secret", "dev-secret"),
        ("client_id", "demo-service"),
    ];
    expect_error(&as_demo_service(&site, &twice)?, 400, "invalid_request")
}

fn exchange(site: &Site, subject_token: &str) -> Result<Response> {
    as_demo_service(
        site,
        &[
            ("grant_type", EXCHANGE),
            ("subject_token", subject_token),
            ("subject_token_type", ACCESS_TOKEN),
        ],
    )
}

#[test]
fn a_service_acts_on_a_token_that_it_was_sent_and_says_so() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let exchanged = exchange(&person, &tokens.access)?.expect(200)?;
    assert_eq!(exchanged.json()?["issued_token_type"], ACCESS_TOKEN);
    let exchanged = Tokens::read(&exchanged)?;
    assert_eq!(
        (&exchanged.subject, &exchanged.session),
        (&tokens.subject, &tokens.session)
    );
    let said = claims(&exchanged.access)?;
    assert_eq!(said["client_id"], "demo-service");
    assert_eq!(said["act"]["client_id"], "demo-service");
    assert!(said["exp"].as_u64() <= claims(&tokens.access)?["exp"].as_u64());
    assert_eq!(audiences(&said), [person.endpoints().gateway.as_str()]);
    assert_eq!(exchanged.answer.get("refresh_token"), None);
    person.api.expect_active(&exchanged)
}

#[test]
fn the_kill_of_the_person_or_of_the_actor_ends_an_exchanged_token() -> Result {
    // On a stack of its own: the service is one for all tests that share one.
    let site = Site::at(Arc::new(Stack::start()?))?;
    let tokens = site.app.log_in("alice")?;
    let exchanged = Tokens::read(&exchange(&site, &tokens.access)?.expect(200)?)?;
    let actor = claims(&exchanged.access)?["act"].clone();
    let session = json!({"subject": actor["sub"], "session": actor["sid"]});
    site.api.revoke(&session)?.expect(200)?;
    let verdict = site.api.check_token(&exchanged.access)?;
    assert_eq!(verdict["reason"], "actor_denied", "{verdict}");
    site.api.expect_active(&tokens)?;
    let exchanged = Tokens::read(&exchange(&site, &tokens.access)?.expect(200)?)?;
    let session = json!({"subject": tokens.subject, "session": tokens.session});
    site.api.revoke(&session)?.expect(200)?;
    site.api.expect_denied(&exchanged, "session_ended")?;
    expect_error(&exchange(&site, &tokens.access)?, 400, "invalid_request")
}

#[test]
fn only_a_live_access_token_of_ours_is_exchanged() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let id_token = tokens
        .id
        .clone()
        .ok_or_else(|| Failure::new("no ID token"))?;
    for wrong in ["x", &id_token, &format!("{}x", tokens.access)] {
        expect_error(&exchange(&person, wrong)?, 400, "invalid_request")?;
    }
    let of_another_type = [
        ("grant_type", EXCHANGE),
        ("subject_token", tokens.access.as_str()),
        (
            "subject_token_type",
            "urn:ietf:params:oauth:token-type:refresh_token",
        ),
    ];
    expect_error(
        &as_demo_service(&person, &of_another_type)?,
        400,
        "invalid_request",
    )
}
