//! `/userinfo` (OIDC Core section 5.3): claims by scope, to a token that is in force.

use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::browser::Browser;
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::Request;
use portcullis_e2e::oauth::{log_in_bound, proof};
use portcullis_e2e::people::{Person, Site};
use serde_json::{Value, json};

fn address(site: &Site) -> String {
    format!("{}/userinfo", site.endpoints().service)
}

fn with_scope(person: &Person, scope: &str) -> Result<Tokens> {
    let attempt = person.app.attempt_with(&[("scope", scope)])?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)
}

fn told(person: &Person, token: &str) -> Result<Value> {
    Request::get(address(person))
        .bearer(token)
        .send()?
        .expect(200)?
        .json()
}

#[test]
fn each_scope_gives_its_claims_and_no_other() -> Result {
    let person = Person::new()?;
    let all = with_scope(&person, "openid profile email")?;
    let claims = told(&person, &all.access)?;
    assert_eq!(claims["sub"], all.subject.as_str());
    assert_eq!(claims["email"], format!("{}@example.com", person.name));
    assert_eq!(claims["email_verified"], true);
    assert!(claims["name"].is_string(), "{claims}");
    // By POST the same (section 5.3.1).
    let posted = Request::post(address(&person)).bearer(&all.access).send()?;
    assert_eq!(posted.expect(200)?.json()?, claims);

    let bare = with_scope(&person, "openid")?;
    assert_eq!(told(&person, &bare.access)?, json!({ "sub": bare.subject }));
    let email = with_scope(&person, "openid email")?;
    assert!(told(&person, &email.access)?.get("name").is_none());
    let profile = with_scope(&person, "openid profile")?;
    assert!(told(&person, &profile.access)?.get("email").is_none());
    Ok(())
}

#[test]
fn without_a_token_in_force_nothing_is_told() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    for request in [
        Request::get(address(&person)),
        Request::get(format!(
            "{}?access_token={}",
            address(&person),
            tokens.access
        )),
        Request::post(address(&person)).form(&[("access_token", &tokens.access)]),
        Request::get(address(&person)).header("authorization", "Basic YTpi"),
    ] {
        let refused = request.send()?.expect(401)?;
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(!challenge.contains("error="), "{challenge}");
    }
    let id_token = tokens.id.clone().unwrap_or_default();
    told(&person, &tokens.access)?;
    person
        .api
        .revoke(&json!({ "subject": tokens.subject, "session": tokens.session }))?
        .expect(200)?;
    for token in ["x", "a.b.c", &id_token, &tokens.access] {
        let refused = Request::get(address(&person))
            .bearer(token)
            .send()?
            .expect(401)?;
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(
            challenge.contains(r#"error="invalid_token""#),
            "{challenge}"
        );
    }
    let query = format!("subject={}&action=check.denied", tokens.subject);
    assert_eq!(
        person.api.expect_events(&query, 1)?[0]["reason"],
        "session_ended"
    );
    Ok(())
}

#[test]
fn a_token_without_the_scope_openid_is_for_other_things() -> Result {
    let person = Person::new()?;
    let tokens = with_scope(&person, "profile")?;
    let refused = Request::get(address(&person))
        .bearer(&tokens.access)
        .send()?;
    let refused = refused.expect(403)?;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.contains(r#"error="insufficient_scope""#),
        "{challenge}"
    );
    assert!(challenge.contains(r#"scope="openid""#), "{challenge}");
    Ok(())
}

#[test]
fn a_bound_token_needs_a_new_proof_of_its_key_for_this_request() -> Result {
    let person = Person::new()?;
    let (key, token_endpoint) = (Forger::new()?, person.app.token_endpoint.clone());
    let tokens = log_in_bound(&person.app, person.name, &key)?;
    let (url, token) = (address(&person), Some(tokens.access.as_str()));
    let ask = |proof: &str| {
        Request::get(&url)
            .header("authorization", format!("DPoP {}", tokens.access))
            .header("dpop", proof)
            .send()
    };
    let good = proof(&key, "GET", &url, token)?;
    assert_eq!(
        ask(&good)?.expect(200)?.json()?["sub"],
        tokens.subject.as_str()
    );

    let bad = [
        good,
        proof(&Forger::new()?, "GET", &url, token)?,
        proof(&key, "POST", &url, token)?,
        proof(&key, "GET", &token_endpoint, token)?,
        proof(&key, "GET", &url, None)?,
        proof(&key, "GET", &url, Some("another"))?,
    ];
    for (which, bad) in bad.iter().enumerate() {
        let refused = ask(bad)?;
        assert_eq!(refused.status, 401, "proof {which}: {refused:?}");
    }
    // Without one, and as a bearer token, it is worth nothing.
    let bare = Request::get(&url).header("authorization", format!("DPoP {}", tokens.access));
    bare.send()?.expect(401)?;
    Request::get(&url)
        .bearer(&tokens.access)
        .send()?
        .expect(401)?;
    Ok(())
}

#[test]
fn an_application_in_a_browser_may_ask() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let preflight = Request::new("OPTIONS", address(&person))
        .header("origin", "https://spa.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization, dpop")
        .send()?
        .expect(204)?;
    let allowed = preflight
        .header("access-control-allow-headers")
        .unwrap_or_default();
    assert!(allowed.contains("authorization"), "{allowed}");
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    let answer = Request::get(address(&person))
        .bearer(&tokens.access)
        .send()?;
    assert_eq!(
        answer.expect(200)?.header("access-control-allow-origin"),
        Some("*")
    );
    Ok(())
}
