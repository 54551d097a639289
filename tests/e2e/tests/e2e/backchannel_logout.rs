//! OIDC Back-Channel Logout 1.0, the sending side: clients hear that a session is over, whatever ended
//! it, in a token that they can verify; and are told again until they confirm.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use portcullis_core::text::from_base64url;
use portcullis_e2e::api::{Api, bearer, session_in_log};
use portcullis_e2e::app::{App, Tokens, claims, header};
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Person;
use portcullis_e2e::receiver::Receiver;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A public client that wants to hear of log-outs at `uri`.
fn listening(at: &Endpoints, api: &Api, uri: &str) -> Result<App> {
    let usual = App::discover(at)?;
    let metadata = json!({
        "client_name": "Listening application",
        "redirect_uris": [usual.redirect_uri.as_str()],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "backchannel_logout_uri": uri,
        "first_party": true,
    });
    let answer = api.post("/v1/clients", bearer::ADMIN, &metadata).send()?;
    let client = answer.expect(201)?.json()?;
    Ok(App {
        client_id: client["client_id"].as_str().unwrap_or_default().to_owned(),
        ..usual
    })
}

/// The claims of a token that one of the published keys has signed.
fn verified(at: &Endpoints, token: &str) -> Result<Value> {
    let url = format!("{}/.well-known/jwks.json", at.service);
    let jwks = Request::get(url).send()?.expect(200)?.json()?;
    let kid = &header(token)?["kid"];
    let keys = jwks["keys"].as_array().into_iter().flatten();
    let key = keys.into_iter().find(|key| key["kid"] == *kid);
    let coordinate = |name: &str| key.and_then(|key| from_base64url(key[name].as_str()?));
    let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else {
        return Err(Failure::new(format!("no key {kid} in {jwks}")));
    };
    let key = VerifyingKey::from_sec1_bytes(&[vec![4], x, y].concat())?;
    let (input, signature) = token.rsplit_once('.').unwrap_or_default();
    let signature = from_base64url(signature).unwrap_or_default();
    key.verify(input.as_bytes(), &Signature::from_slice(&signature)?)?;
    claims(token)
}

#[test]
fn whatever_ends_a_session_its_client_is_told_in_a_token_that_verifies() -> Result {
    let person = Person::new()?;
    let receiver = Receiver::answering(204)?;
    let app = listening(person.endpoints(), &person.api, &receiver.uri)?;
    let log_in = || app.log_in(person.name);
    let [by_admin, by_person, by_all] = [log_in()?, log_in()?, log_in()?];
    // A session of a client that did not ask is nobody's news.
    person.app.log_in(person.name)?;

    person
        .api
        .revoke(&json!({ "subject": by_admin.subject, "session": by_admin.session }))?
        .expect(200)?;
    let logout = format!("{}/logout", person.endpoints().service);
    let hint = by_person.id.as_deref().unwrap_or_default();
    Request::post(logout)
        .form(&[("id_token_hint", hint)])
        .send()?
        .expect(200)?;
    person
        .api
        .revoke(&json!({ "subject": by_all.subject }))?
        .expect(200)?;

    let told = receiver.expect(3)?;
    let mut sessions = BTreeSet::new();
    for token in &told {
        assert_eq!(header(token)?["typ"], "logout+jwt");
        let claims = verified(person.endpoints(), token)?;
        assert_eq!(claims["iss"], person.endpoints().service.as_str());
        assert_eq!(claims["aud"], app.client_id.as_str());
        assert_eq!(claims["sub"], by_all.subject.as_str());
        assert_eq!(claims["events"], json!({ EVENT: {} }));
        assert!(claims.get("nonce").is_none(), "{claims}");
        let life = claims["exp"].as_u64().zip(claims["iat"].as_u64());
        assert!(life.is_some_and(|(exp, iat)| exp > iat && exp - iat <= 120));
        sessions.insert(claims["sid"].as_str().unwrap_or_default().to_owned());
    }
    let ended = [&by_admin, &by_person, &by_all].map(|tokens| tokens.session.clone());
    assert_eq!(sessions, BTreeSet::from(ended));
    let query = format!("subject={}&action=logout.announced", by_all.subject);
    let events = person.api.expect_events(&query, 3)?;
    assert!(events.iter().all(|event| event["outcome"] == "success"));
    assert!(
        events
            .iter()
            .all(|event| event["client_id"] == app.client_id.as_str())
    );
    assert_eq!(receiver.tokens().len(), 3);
    Ok(())
}

#[test]
fn a_client_that_does_not_confirm_is_told_again_and_the_kill_does_not_wait() -> Result {
    let person = Person::new()?;
    // A redirect is no confirmation, and is not followed.
    let receiver = Receiver::answering(302)?;
    let app = listening(person.endpoints(), &person.api, &receiver.uri)?;
    let tokens = app.log_in(person.name)?;
    person
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    person.api.expect_denied(&tokens, "session_ended")?;
    let first = receiver.expect(1)?;
    receiver.answer(200);
    let told = receiver.expect(2)?;
    assert_eq!(told.first(), first.first());
    let jti = |at: usize| claims(told.get(at).map_or("", String::as_str));
    assert_eq!(jti(0)?["sid"], jti(1)?["sid"]);
    assert_ne!(
        jti(0)?["jti"],
        jti(1)?["jti"],
        "one that was seen could not be confirmed"
    );
    let query = format!("subject={}&action=logout.announced", tokens.subject);
    let events = person.api.expect_events(&query, 1)?;
    assert_eq!(
        events[0]["session"],
        session_in_log(&tokens.session)?.as_str()
    );
    Ok(())
}

#[test]
fn an_end_that_was_not_announced_before_a_crash_is_announced_after_it() -> Result {
    let held_back = Settings::vars(&["TEST_DELIVERY_DELAY_MS=60000"]);
    let mut stack = Stack::start_with(&held_back)?;
    let receiver = Receiver::answering(204)?;
    let api = Api::new(&stack.at);
    let app = listening(&stack.at, &api, &receiver.uri)?;
    let tokens: Tokens = app.log_in("alice")?;
    api.revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    stack.kill_hard()?;
    assert_eq!(receiver.tokens(), Vec::<String>::new());
    stack.restart(&Settings::default())?;
    let told = receiver.expect(1)?;
    let claims = verified(&stack.at, told.first().map_or("", String::as_str))?;
    assert_eq!(claims["sid"], tokens.session.as_str());
    let query = format!("subject={}&action=logout.announced", tokens.subject);
    api.expect_events(&query, 1)?;
    Ok(())
}
