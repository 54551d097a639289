//! Pushed authorization requests (RFC 9126).

use portcullis_e2e::app::{App, Attempt, challenge, parameter, random_text};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::{Failure, Result};
use url::Url;

/// Pushes the parameters that a browser would have carried.
fn push(site: &Site, attempt: &Attempt) -> Result<Response> {
    let fields: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Request::post(format!("{}/par", site.endpoints().service))
        .form(&fields)
        .send()
}

/// The address that a browser is sent to instead.
fn pushed(app: &App, response: &Response) -> Result<Url> {
    let answer = response.json()?;
    let mut url = app.authorization_endpoint.clone();
    url.query_pairs_mut()
        .append_pair("client_id", &app.client_id)
        .append_pair("request_uri", text(&answer, "request_uri")?);
    Ok(url)
}

#[test]
fn a_pushed_request_is_as_good_as_one_that_the_browser_brings_and_is_used_once() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let answer = push(&person, &attempt)?.expect(201)?;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let answered = answer.json()?;
    let request_uri = text(&answered, "request_uri")?;
    assert!(request_uri.starts_with("urn:ietf:params:oauth:request_uri:"));
    assert_eq!(answered["expires_in"], 60);
    let url = pushed(&person.app, &answer)?;
    let named = Attempt {
        url: url.clone(),
        ..attempt
    };
    let code = person.app.code(&mut Browser::new(), person.name, &named)?;
    person.app.redeem(&code, &named.verifier)?.expect(200)?;

    expect_refused(&url)
}

#[test]
fn what_the_browser_brings_besides_does_not_change_a_pushed_request() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let mut url = pushed(&person.app, &push(&person, &attempt)?.expect(201)?)?;
    url.query_pairs_mut()
        .append_pair("redirect_uri", "https://evil.example/callback")
        .append_pair("state", "another")
        .append_pair("code_challenge", &challenge(&random_text()?));
    let named = Attempt { url, ..attempt };
    let code = person.app.code(&mut Browser::new(), person.name, &named)?;
    person.app.redeem(&code, &named.verifier)?.expect(200)?;
    Ok(())
}

#[test]
fn a_pushed_request_is_good_for_its_client_only() -> Result {
    let site = Site::any()?;
    let attempt = site.app.attempt()?;
    let url = pushed(&site.app, &push(&site, &attempt)?.expect(201)?)?;
    let stolen = Url::parse(&url.as_str().replace("demo-app", "demo-third-party"))?;
    expect_refused(&stolen)?;
    // The rightful client still has it.
    let response = Browser::new().step(&url)?;
    assert_eq!(response.status, 302, "{}", response.body);
    Ok(())
}

#[test]
fn a_request_uri_that_was_never_given_out_leads_nowhere() -> Result {
    let site = Site::any()?;
    for uri in [
        "urn:ietf:params:oauth:request_uri:",
        "urn:ietf:params:oauth:request_uri:x",
        "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "https://client.example/request.jwt",
    ] {
        let mut url = site.app.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", "demo-app")
            .append_pair("request_uri", uri);
        expect_refused(&url)?;
    }
    // Where the client is known to be asking, it is told.
    let attempt = site.app.attempt_with(&[(
        "request_uri",
        "urn:ietf:params:oauth:request_uri:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    )])?;
    let back = Browser::new()
        .go(&attempt.url, Some(&site.app.redirect_uri))?
        .app()?;
    let error = parameter(&back, "error");
    assert_eq!(error.as_deref(), Some("invalid_request_uri"));
    Ok(())
}

#[test]
fn a_wrong_request_is_refused_when_it_is_pushed() -> Result {
    let site = Site::any()?;
    let wrong: &[(&str, &str, u16, &str)] = &[
        ("client_id", "nobody", 401, "invalid_client"),
        ("client_id", "", 400, "invalid_request"),
        ("client_id", "demo-service", 401, "invalid_client"),
        ("client_secret", "wrong", 401, "invalid_client"),
        (
            "redirect_uri",
            "https://evil.example/",
            400,
            "invalid_request",
        ),
        ("redirect_uri", "", 400, "invalid_request"),
        ("response_type", "token", 400, "unsupported_response_type"),
        ("code_challenge_method", "plain", 400, "invalid_request"),
        ("prompt", "none login", 400, "invalid_request"),
        ("resource", "https://other.example", 400, "invalid_target"),
        ("request", "e30.e30.", 400, "request_not_supported"),
        (
            "request_uri",
            "urn:ietf:params:oauth:request_uri:x",
            400,
            "invalid_request",
        ),
    ];
    for &(name, value, status, error) in wrong {
        let attempt = site.app.attempt_with(&[(name, value)])?;
        let response = push(&site, &attempt)?;
        let told = response.json()?;
        if response.status != status || told["error"] != error {
            return Err(Failure::new(format!(
                "{name}={value:?}: expected {status} {error}, got {} {told}",
                response.status
            )));
        }
    }
    let url = format!("{}/par", site.endpoints().service);
    Request::post(url)
        .body("application/json", "{}")
        .send()?
        .expect(400)?;
    Ok(())
}

#[test]
fn the_metadata_says_where_to_push() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    let address = format!("{service}/.well-known/oauth-authorization-server");
    let metadata = Request::get(address).send()?.expect(200)?.json()?;
    let endpoint = &metadata["pushed_authorization_request_endpoint"];
    assert_eq!(endpoint, &format!("{service}/par"));
    assert_eq!(metadata["require_pushed_authorization_requests"], false);
    assert_eq!(metadata["request_uri_parameter_supported"], false);
    Ok(())
}

/// A page for the person, and no redirect.
fn expect_refused(url: &Url) -> Result {
    let response = Browser::new().step(url)?.expect(400)?;
    assert_eq!(response.header("location"), None);
    Ok(())
}
