//! Redeeming a code (RFC 6749 sections 4.1.3 and 5.2, RFC 7636 section 4.6).

use portcullis_e2e::app::Tokens;
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::thread;

/// Fails unless the answer is this OAuth error, and is not to be cached.
#[track_caller]
fn expect_error(response: &Response, status: u16, errors: &[&str]) -> Result {
    let error = response.json()?["error"].clone();
    let known = errors.iter().any(|expected| error == *expected);
    if response.status == status && known && response.header("cache-control") == Some("no-store") {
        return Ok(());
    }
    Err(response.unexpected(&format!("{status} with one of {errors:?} and no-store")))
}

#[test]
fn a_code_needs_its_verifier_client_and_redirect_uri() -> Result {
    let person = Person::new()?;
    let wrong: &[(&str, &str, &[&str])] = &[
        ("code_verifier", "", &["invalid_request", "invalid_grant"]),
        (
            "code_verifier",
            "too-short",
            &["invalid_request", "invalid_grant"],
        ),
        (
            "code_verifier",
            "0123456789012345678901234567890123456789012",
            &["invalid_grant"],
        ),
        ("redirect_uri", "", &["invalid_request", "invalid_grant"]),
        (
            "redirect_uri",
            "http://127.0.0.1:53683/callback",
            &["invalid_grant"],
        ),
        ("client_id", "demo-gateway", &["invalid_grant"]),
    ];
    for &(name, value, errors) in wrong {
        let attempt = person.app.attempt()?;
        let code = person
            .app
            .code(&mut Browser::new(), person.name, &attempt)?;
        let response = person
            .app
            .redeem_with(&code, &attempt.verifier, &[(name, value)])?;
        expect_error(&response, 400, errors)
            .map_err(|failure| Failure::new(format!("{name}={value:?}: {failure}")))?;
        assert!(!response.body.contains(&code), "the code is repeated");
    }
    Ok(())
}

#[test]
fn an_unknown_client_is_an_invalid_client() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let response = person
        .app
        .redeem_with(&code, &attempt.verifier, &[("client_id", "nobody")])?;
    expect_error(&response, response.status, &["invalid_client"])?;
    assert!(matches!(response.status, 400 | 401), "{}", response.status);
    Ok(())
}

#[test]
fn what_is_no_code_is_an_invalid_grant() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let mut wrong = vec![
        "x".to_owned(),
        "pc_ac_".to_owned(),
        "é".repeat(50),
        "A".repeat(5000),
    ];
    // Every place of a good code matters: the prefix, the routing, the secret, the checksum.
    for at in [
        0,
        code.len() / 4,
        code.len() / 2,
        code.len() * 3 / 4,
        code.len() - 1,
    ] {
        let mut bent = code.clone().into_bytes();
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        wrong.push(String::from_utf8(bent)?);
    }
    wrong.push(format!("{code}A"));
    wrong.push(code[..code.len() - 1].to_owned());
    for bad in &wrong {
        let response = person.app.redeem(bad, &attempt.verifier)?;
        expect_error(&response, 400, &["invalid_grant"])
            .map_err(|failure| Failure::new(format!("{bad:?}: {failure}")))?;
    }
    // None of them did the good one any harm.
    let tokens = Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    person.api.expect_active(&tokens)
}

#[test]
fn a_request_that_is_not_one_gets_the_error_that_says_so() -> Result {
    let site = Site::any()?;
    let token = &site.app.token_endpoint;
    let app = &site.app;
    let replaced = |name, value| app.redeem_with("x", "y", &[(name, value)]);
    expect_error(&replaced("grant_type", "")?, 400, &["invalid_request"])?;
    expect_error(
        &replaced("grant_type", "password")?,
        400,
        &["unsupported_grant_type"],
    )?;
    expect_error(&replaced("code", "")?, 400, &["invalid_request"])?;
    let twice = [
        ("grant_type", "authorization_code"),
        ("code", "a"),
        ("code", "b"),
    ];
    let with_client = [&twice[..], &[("client_id", "demo-app")]].concat();
    let response = Request::post(token).form(&with_client).send()?;
    expect_error(&response, 400, &["invalid_request"])?;
    let response = Request::post(token)
        .json(&json!({ "grant_type": "authorization_code" }))
        .send()?;
    assert!(matches!(response.status, 400 | 415), "{response:?}");
    let response = Request::get(token).send()?;
    assert_eq!(response.status, 405, "{response:?}");
    let response = Request::post(token)
        .body("application/x-www-form-urlencoded", "x".repeat(70_000))
        .send()?;
    assert_eq!(response.status, 413, "{response:?}");
    Ok(())
}

#[test]
fn a_code_that_comes_twice_ends_the_session_it_gave() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let tokens = Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    person.api.expect_active(&tokens)?;
    let second = person.app.redeem(&code, &attempt.verifier)?;
    expect_error(&second, 400, &["invalid_grant"])?;
    person.api.expect_denied(&tokens, "session_ended")?;
    let query = format!("subject={}&action=kill", tokens.subject);
    let events = person.api.expect_events(&query, 1)?;
    assert_eq!(events[0]["reason"], "code_reused");
    assert_eq!(
        events[0]["actor"],
        json!({ "type": "client", "id": "demo-app" })
    );
    Ok(())
}

#[test]
fn of_one_code_redeemed_by_two_at_once_at_most_one_token_lives() -> Result {
    let person = Person::new()?;
    for _ in 0..5 {
        let attempt = person.app.attempt()?;
        let code = person
            .app
            .code(&mut Browser::new(), person.name, &attempt)?;
        let answers = thread::scope(|scope| {
            let redeem = || person.app.redeem(&code, &attempt.verifier);
            let both = [scope.spawn(redeem), scope.spawn(redeem)];
            both.map(|thread| thread.join().expect("no panic"))
        });
        let mut given = Vec::new();
        for answer in answers {
            let answer = answer?;
            if answer.status == 200 {
                given.push(Tokens::read(&answer)?);
            } else {
                expect_error(&answer, 400, &["invalid_grant"])?;
            }
        }
        assert!(given.len() <= 1, "both were given tokens");
        // Whoever came second was refused, and that ends what the first was given.
        for tokens in given {
            person.api.expect_denied(&tokens, "session_ended")?;
        }
    }
    Ok(())
}

#[test]
fn a_code_from_before_a_kill_is_worth_nothing() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let by_admin = |person: &Person| -> Result<Value> {
        person
            .api
            .revoke(&json!({ "subject": person.claim() }))?
            .expect(200)?
            .json()
    };
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    by_admin(&person)?;
    let answer = person.app.redeem(&code, &attempt.verifier)?;
    expect_error(&answer, 400, &["invalid_grant"])?;

    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    person.scim.set_active(&id, false)?;
    let answer = person.app.redeem(&code, &attempt.verifier)?;
    expect_error(&answer, 400, &["invalid_grant"])?;
    // Not even once they are welcome again.
    person.scim.set_active(&id, true)?;
    let answer = person.app.redeem(&code, &attempt.verifier)?;
    expect_error(&answer, 400, &["invalid_grant"])
}
