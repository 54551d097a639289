//! Sessions over `/v1`: where somebody is logged in, and signing them out of one, the others, all.

use portcullis_e2e::Result;
use portcullis_e2e::api::{bearer, session_in_log};
use portcullis_e2e::app::{Tokens, random_text};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Person;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use url::Url;

const SOME_SESSION: &str = "ses_AAECAwQFBgcICQoLDA0ODw";

/// Three sessions of somebody new.
fn three() -> Result<(Person, [Tokens; 3])> {
    let person = Person::new()?;
    let log_in = || person.app.log_in(person.name);
    let sessions = [log_in()?, log_in()?, log_in()?];
    Ok((person, sessions))
}

fn request(person: &Person, method: &'static str, path: &str) -> Request {
    let service = &person.endpoints().service;
    let url = format!("{service}/v1/subjects/{}{path}", person.claim());
    Request::new(method, url).bearer(bearer::ADMIN)
}

fn sign_out(person: &Person, body: &Value) -> Request {
    request(person, "POST", "/sign-out").json(body)
}

fn live(person: &Person) -> Result<BTreeSet<String>> {
    let sessions = person.api.sessions(&person.claim())?;
    let ids = sessions.iter().filter_map(|item| item["session"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

#[test]
fn a_session_is_listed_with_its_device_and_both_of_its_limits() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let sessions = person.api.sessions(&person.claim())?;
    let [session] = sessions.as_slice() else {
        panic!("{sessions:#?}");
    };
    assert_eq!(session["session"], tokens.session.as_str());
    assert_eq!(session["client_id"], "demo-app");
    let device = session["device"].as_str().unwrap_or_default();
    assert!(device.contains("portcullis-e2e"), "{device}");
    let time = |name: &str| session[name].as_str().unwrap_or_default().to_owned();
    // RFC 3339 in UTC sorts as text.
    assert!(time("begun_at") <= time("last_used_at"), "{session}");
    assert!(time("last_used_at") < time("idle_expires_at"), "{session}");
    assert!(time("idle_expires_at") <= time("expires_at"), "{session}");
    Ok(())
}

#[test]
fn signing_out_of_one_session_ends_that_one() -> Result {
    let (person, [first, second, third]) = three()?;
    let end = |session: &str| request(&person, "DELETE", &format!("/sessions/{session}")).send();
    let answer = end(&second.session)?.expect(200)?.json()?;
    assert_eq!(
        (&answer["scope"], &answer["sessions"]),
        (&json!("session"), &json!(1))
    );
    person.api.expect_denied(&second, "session_ended")?;
    person.api.expect_active(&first)?;
    person.api.expect_active(&third)?;

    let again = end(&second.session)?.expect(200)?.json()?;
    assert_eq!(again["changed"], false);
    end(SOME_SESSION)?.expect(404)?.problem()?;
    end("ses_short")?.expect(400)?.problem()?;
    let kills = person
        .api
        .expect_events(&format!("subject={}&action=kill", first.subject), 1)?;
    assert_eq!(
        kills[0]["session"],
        session_in_log(&second.session)?.as_str()
    );
    assert_eq!(
        kills[0]["actor"],
        json!({ "type": "operator", "id": "admin" })
    );
    Ok(())
}

#[test]
fn signing_out_of_the_others_keeps_the_one_that_is_named() -> Result {
    let (person, [first, second, third]) = three()?;
    // One that is not theirs is a mistake, and ends nothing.
    let mistaken = sign_out(&person, &json!({ "except": SOME_SESSION }));
    mistaken.send()?.expect(404)?.problem()?;
    assert_eq!(live(&person)?.len(), 3);

    let answer = sign_out(&person, &json!({ "except": second.session })).send()?;
    let answer = answer.expect(200)?.json()?;
    assert_eq!(answer["scope"], "other_sessions");
    assert_eq!(answer["sessions"], 2);
    person.api.expect_denied(&first, "session_ended")?;
    person.api.expect_denied(&third, "session_ended")?;
    person.api.expect_active(&second)?;
    assert_eq!(live(&person)?, BTreeSet::from([second.session]));
    Ok(())
}

#[test]
fn signing_out_of_all_is_done_once_per_key_and_leaves_none() -> Result {
    let (person, sessions) = three()?;
    for body in [
        json!(null),
        json!("all"),
        json!({ "except": "ses_short" }),
        json!({ "but": 1 }),
    ] {
        sign_out(&person, &body).send()?.expect(400)?.problem()?;
    }
    let key = random_text()?;
    let all = || sign_out(&person, &json!({ "except": null })).header("idempotency-key", &key);
    let first = all().send()?.expect(200)?.json()?;
    assert_eq!(
        (&first["scope"], &first["sessions"]),
        (&json!("subject"), &json!(3))
    );
    for tokens in &sessions {
        person.api.expect_denied(tokens, "session_ended")?;
    }
    let newer = person.app.log_in(person.name)?;
    assert_eq!(all().send()?.expect(200)?.json()?, first);
    person.api.expect_active(&newer)?;
    // The key was for signing out of all.
    request(&person, "DELETE", &format!("/sessions/{}", newer.session))
        .header("idempotency-key", &key)
        .send()?
        .expect(422)?
        .problem()?;
    person.api.expect_active(&newer)?;
    Ok(())
}

#[test]
fn withdrawing_what_a_client_was_allowed_ends_its_sessions_and_no_other_s() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let at_gateway = Url::parse(&person.endpoints().gateway)?;
    let mut browser = Browser::new();
    browser.go_as(person.name, &at_gateway, None)?.page()?;
    let withdraw = |client: &str| request(&person, "DELETE", &format!("/consents/{client}")).send();

    let answer = withdraw("demo-app")?.expect(200)?.json()?;
    assert_eq!(
        (&answer["scope"], &answer["sessions"]),
        (&json!("client"), &json!(1))
    );
    person.api.expect_denied(&tokens, "session_ended")?;
    browser.step(&at_gateway)?.expect(200)?;

    // The id of a client can be a URL.
    let nothing = withdraw("https:%2F%2Fapp.example%2Fid")?
        .expect(200)?
        .json()?;
    assert_eq!(
        (&nothing["changed"], &nothing["sessions"]),
        (&json!(false), &json!(0))
    );
    let kills = person
        .api
        .expect_events(&format!("subject={}&action=kill", tokens.subject), 1)?;
    assert_eq!(kills[0]["reason"], "consent_withdrawn");
    assert_eq!(kills[0]["client_id"], "demo-app");
    Ok(())
}
