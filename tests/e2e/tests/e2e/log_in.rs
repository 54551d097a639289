//! Logging in, from an application's first redirect to what its tokens say.

use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, audiences, claims, header};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::wait::unix_secs;
use serde_json::Value;

/// The published key of that id.
fn published_key(person: &Person, kid: &Value) -> Result<Option<Value>> {
    let url = format!("{}/.well-known/jwks.json", person.endpoints().service);
    let keys = Request::get(url).send()?.expect(200)?.json()?;
    let found = keys["keys"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|key| &key["kid"] == kid);
    Ok(found.cloned())
}

#[test]
fn an_access_token_is_an_rfc_9068_jwt_by_a_published_key() -> Result {
    let person = Person::new()?;
    let before = unix_secs();
    let tokens = person.app.log_in(person.name)?;

    let header = header(&tokens.access)?;
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    let key = published_key(&person, &header["kid"])?.expect("its key is published");
    assert_eq!(key["kty"], "EC");
    assert!(key.get("d").is_none(), "the private key is published");

    let claims = claims(&tokens.access)?;
    assert_eq!(claims["iss"], person.endpoints().service.as_str());
    assert_eq!(audiences(&claims), [person.endpoints().gateway.as_str()]);
    assert_eq!(claims["client_id"], "demo-app");
    assert!(tokens.subject.starts_with("sub_"), "{claims}");
    assert!(tokens.session.starts_with("ses_"), "{claims}");
    assert!(tokens.token_id.starts_with("jti_"), "{claims}");
    let number = |name: &str| claims[name].as_u64().unwrap_or_default();
    assert_eq!(number("exp") - number("iat"), 300);
    assert!(
        (before - 1..=unix_secs() + 1).contains(&number("iat")),
        "{claims}"
    );
    assert!(
        (before - 1..=unix_secs() + 1).contains(&number("auth_time")),
        "{claims}"
    );

    person.api.expect_active(&tokens)
}

#[test]
fn the_token_answer_is_as_rfc_6749_says_and_is_not_to_be_cached() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let response = person.app.redeem(&code, &attempt.verifier)?.expect(200)?;
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let answer = response.json()?;
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(answer["scope"], "openid profile");
    Ok(())
}

#[test]
fn the_id_token_is_for_the_client_and_repeats_its_nonce() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt()?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let tokens = Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    let id_token = tokens.id.expect("an ID token for the scope openid");
    let claims = claims(&id_token)?;
    assert_eq!(claims["iss"], person.endpoints().service.as_str());
    assert_eq!(audiences(&claims), ["demo-app"]);
    assert_eq!(claims["sub"], tokens.subject.as_str());
    assert_eq!(claims["nonce"], attempt.nonce.as_str());
    assert!(claims["exp"].is_u64() && claims["iat"].is_u64(), "{claims}");
    assert_ne!(header(&id_token)?["typ"], "at+jwt");
    Ok(())
}

#[test]
fn without_the_scope_openid_there_is_no_id_token() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt_with(&[("scope", "profile")])?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let tokens = Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    assert_eq!(tokens.id, None);
    Ok(())
}

#[test]
fn the_published_metadata_agrees_with_itself_and_offers_only_what_is_safe() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    for document in ["oauth-authorization-server", "openid-configuration"] {
        let metadata = Request::get(format!("{service}/.well-known/{document}"))
            .send()?
            .expect(200)?
            .json()?;
        assert_eq!(metadata["issuer"], service.as_str(), "{document}");
        for endpoint in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
            let url = metadata[endpoint].as_str().unwrap_or_default();
            assert!(
                url.starts_with(service.as_str()),
                "{document}: {endpoint} is {url}"
            );
        }
        assert_eq!(
            metadata["response_types_supported"],
            serde_json::json!(["code"])
        );
        assert_eq!(
            metadata["code_challenge_methods_supported"],
            serde_json::json!(["S256"])
        );
        assert_eq!(
            metadata["authorization_response_iss_parameter_supported"], true,
            "{document}"
        );
    }
    Ok(())
}

#[test]
fn each_log_in_is_a_session_of_its_own_even_in_one_browser() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let first = person.app.log_in_with(&mut browser, person.name)?;
    let second = person.app.log_in_with(&mut browser, person.name)?;
    assert_eq!(first.subject, second.subject);
    assert_ne!(first.session, second.session);
    assert_ne!(first.token_id, second.token_id);
    let sessions = person.api.sessions(&first.subject)?;
    assert_eq!(sessions.len(), 2, "{sessions:#?}");
    for session in &sessions {
        assert_eq!(session["client_id"], "demo-app");
        assert_eq!(session["connection"], "demo");
        assert!(
            session["device"]
                .as_str()
                .is_some_and(|device| device.contains("Mozilla"))
        );
        for time in ["begun_at", "expires_at"] {
            assert!(session[time].is_string(), "{session}");
        }
    }
    assert_eq!(sessions, person.api.sessions(&person.claim())?);
    Ok(())
}

#[test]
fn two_log_ins_under_way_in_one_browser_both_arrive() -> Result {
    let person = Person::new()?;
    let callback = url::Url::parse(&format!("{}/callback", person.endpoints().service))?;
    let mut browser = Browser::new();
    let one = person.app.attempt()?;
    let other = person.app.attempt()?;
    let one_back = browser
        .go_as(person.name, &one.url, Some(&callback))?
        .app()?;
    let other_back = browser
        .go_as(person.name, &other.url, Some(&callback))?
        .app()?;
    for (attempt, back) in [(other, other_back), (one, one_back)] {
        let arrived = browser.go(&back, Some(&person.app.redirect_uri))?.app()?;
        let code = portcullis_e2e::app::parameter(&arrived, "code").expect("a code");
        person.app.redeem(&code, &attempt.verifier)?.expect(200)?;
    }
    Ok(())
}

#[test]
fn log_in_and_token_are_in_the_log_without_session_or_token_in_clear() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let events = person
        .api
        .expect_story(&tokens.subject, &["session.login", "token.issued"])?;
    let session = portcullis_e2e::api::session_in_log(&tokens.session)?;
    assert_eq!(events[0]["outcome"], "success");
    assert_eq!(events[0]["actor"]["type"], "connection");
    assert_eq!(events[0]["session"], session.as_str());
    assert_eq!(events[1]["session"], session.as_str());
    assert_eq!(
        events[1]["token"],
        portcullis_e2e::api::token_in_log(&tokens.token_id)?.as_str()
    );
    assert_eq!(events[1]["client_id"], "demo-app");
    let log = serde_json::to_string(&events)?;
    for secret in [&tokens.session, &tokens.token_id, &tokens.access] {
        let bare = secret
            .split_once('_')
            .map_or(secret.as_str(), |(_, bare)| bare);
        assert!(!log.contains(bare), "{bare} is in the log: {log}");
    }
    Ok(())
}

#[test]
fn an_application_in_a_browser_may_read_the_metadata_the_keys_and_its_tokens() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    let origin = "https://app.example";
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ] {
        let response = Request::get(format!("{service}{path}"))
            .header("origin", origin)
            .send()?;
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
    }
    for fields in [&[("grant_type", "x")][..], &[]] {
        let request = Request::post(&site.app.token_endpoint).form(fields);
        let response = request.header("origin", origin).send()?.expect(400)?;
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert_eq!(response.header("access-control-allow-credentials"), None);
    }
    // Nothing else is readable by other pages.
    let sessions = format!("{service}/v1/subjects/demo:nobody/sessions");
    let response = Request::get(sessions)
        .bearer("dev-admin")
        .header("origin", origin)
        .send()?;
    assert_eq!(
        response.expect(200)?.header("access-control-allow-origin"),
        None
    );
    Ok(())
}
