//! What a kill covers, what it leaves, and what comes after it.

use crate::triggers::at_the_gateway;
use portcullis_e2e::Result;
use portcullis_e2e::api::{bearer, token_in_log};
use portcullis_e2e::app::Tokens;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Person;
use serde_json::json;

#[test]
fn a_killed_session_leaves_the_others_and_a_killed_subject_leaves_none() -> Result {
    let person = Person::new()?;
    let first = person.app.log_in(person.name)?;
    let second = person.app.log_in(person.name)?;
    let third = person.app.log_in(person.name)?;
    let one = json!({ "subject": first.subject, "session": first.session });
    person.api.revoke(&one)?.expect(200)?;
    person.api.expect_denied(&first, "session_ended")?;
    person.api.expect_active(&second)?;
    person.api.expect_active(&third)?;

    let all = person
        .api
        .revoke(&json!({ "subject": person.claim() }))?
        .expect(200)?
        .json()?;
    assert_eq!(all["sessions"], 2);
    person.api.expect_denied(&second, "session_ended")?;
    person.api.expect_denied(&third, "session_ended")
}

#[test]
fn a_killed_token_is_dead_and_its_session_is_not() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let body = json!({ "subject": tokens.subject, "jti": tokens.token_id });
    let answer = person.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(answer["scope"], "token");
    assert_eq!(
        person.api.check_token(&tokens.access)?["reason"],
        "token_revoked"
    );
    at_the_gateway(&person, &tokens)?.expect(401)?;
    let session = person.api.check_session(&tokens.subject, &tokens.session)?;
    assert_eq!(session["verdict"], "active", "{session}");
    let query = format!("subject={}&action=kill", tokens.subject);
    let event = &person.api.expect_events(&query, 1)?[0];
    assert_eq!(event["token"], token_in_log(&tokens.token_id)?.as_str());
    Ok(())
}

#[test]
fn a_deactivated_person_cannot_log_in_and_reactivation_revives_nothing() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let old = person.app.log_in(person.name)?;
    person.scim.set_active(&id, false)?;
    assert_eq!(person.app.refused_log_in(person.name)?, "access_denied");

    person.scim.set_active(&id, true)?;
    person.api.expect_denied(&old, "session_ended")?;
    at_the_gateway(&person, &old)?.expect(401)?;
    let new = person.app.log_in(person.name)?;
    person.api.expect_active(&new)?;
    at_the_gateway(&person, &new)?.expect(200)?;
    person.api.expect_denied(&old, "session_ended")?;

    let query = format!("subject={}&action=subject.reactivated", old.subject);
    person.api.expect_events(&query, 1)?;
    let query = format!(
        "subject={}&action=session.login&outcome=denied",
        old.subject
    );
    let refused = person.api.expect_events(&query, 1)?;
    assert_eq!(refused[0]["reason"], "subject_disabled");
    Ok(())
}

#[test]
fn a_user_deleted_and_made_again_gets_nothing_back() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let old = person.app.log_in(person.name)?;
    person.scim.delete(&id)?.expect(204)?;
    let second_id = person.scim.provision(person.name)?;
    assert_ne!(id, second_id);
    person.api.expect_denied(&old, "session_ended")?;
    let new = person.app.log_in(person.name)?;
    person.api.expect_active(&new)?;
    person
        .scim
        .request("GET", &format!("/Users/{id}"))
        .send()?
        .expect(404)?;
    Ok(())
}

#[test]
fn scim_names_reach_whoever_logs_in_under_another_case() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(&person.name.to_uppercase())?;
    let tokens = person.app.log_in(person.name)?;
    person.scim.set_active(&id, false)?;
    person.api.expect_denied(&tokens, "subject_disabled")
}

#[test]
fn deactivating_twice_is_one_kill() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let tokens = person.app.log_in(person.name)?;
    person.scim.set_active(&id, false)?;
    person.scim.set_active(&id, false)?;
    person.api.expect_denied(&tokens, "subject_disabled")?;
    // Something that comes later in the log, so that a second kill would be there by now.
    person.scim.set_active(&id, true)?;
    let reactivated = format!("subject={}&action=subject.reactivated", tokens.subject);
    person.api.expect_events(&reactivated, 1)?;
    let kills = format!("subject={}&action=kill", tokens.subject);
    person.api.expect_events(&kills, 1)?;
    Ok(())
}

#[test]
fn a_person_who_was_never_seen_can_be_shut_out_beforehand() -> Result {
    let person = Person::new()?;
    person.scim.post_user(person.name, false)?.expect(201)?;
    assert_eq!(person.app.refused_log_in(person.name)?, "access_denied");
    assert!(person.api.sessions(&person.claim())?.is_empty());
    Ok(())
}

#[test]
fn a_log_out_ends_its_own_session_only_and_needs_the_services_own_hint() -> Result {
    let person = Person::new()?;
    let stays = person.app.log_in(person.name)?;
    let leaves = person.app.log_in(person.name)?;
    let logout = format!("{}/logout", person.endpoints().service);

    let hint = leaves.id.as_deref().unwrap_or_default();
    let forged = portcullis_e2e::forge::with_claim(hint, "sid", json!(stays.session))?;
    let response = Request::post(&logout)
        .form(&[("id_token_hint", &forged)])
        .send()?;
    assert!((400..500).contains(&response.status), "{response:?}");
    person.api.expect_active(&stays)?;
    person.api.expect_active(&leaves)?;

    let response = Request::post(&logout)
        .form(&[("id_token_hint", hint)])
        .send()?;
    assert!(matches!(response.status, 200 | 302 | 303), "{response:?}");
    person.api.expect_denied(&leaves, "session_ended")?;
    person.api.expect_active(&stays)
}

#[test]
fn a_log_out_leads_to_a_registered_place_or_nowhere() -> Result {
    let person = Person::new()?;
    let log_out = |tokens: &Tokens, uri: &str| {
        Request::post(format!("{}/logout", person.endpoints().service))
            .form(&[
                ("id_token_hint", tokens.id.as_deref().unwrap_or_default()),
                ("client_id", "demo-app"),
                ("post_logout_redirect_uri", uri),
                ("state", "a b&c"),
            ])
            .send()
    };
    for elsewhere in [
        "https://evil.example/",
        // Registered for codes, not for this.
        "http://127.0.0.1:53682/cb",
        "http://127.0.0.1:53682/logged-out/",
    ] {
        let tokens = person.app.log_in(person.name)?;
        let response = log_out(&tokens, elsewhere)?.expect(200)?;
        assert_eq!(response.header("location"), None);
        person.api.expect_denied(&tokens, "session_ended")?;
    }
    let tokens = person.app.log_in(person.name)?;
    let response = log_out(&tokens, "http://127.0.0.1:53682/logged-out")?.expect(302)?;
    assert_eq!(
        response.header("location"),
        Some("http://127.0.0.1:53682/logged-out?state=a+b%26c")
    );
    person.api.expect_denied(&tokens, "session_ended")
}

#[test]
fn a_log_out_that_names_no_session_ends_none_and_leads_nowhere() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let logout = format!("{}/logout", person.endpoints().service);
    let hint = tokens.id.as_deref().unwrap_or_default();
    let uri = (
        "post_logout_redirect_uri",
        "http://127.0.0.1:53682/logged-out",
    );
    let wrong: [&[(&str, &str)]; 3] = [
        &[("client_id", "demo-app"), uri],
        &[("client_id", "demo-gateway"), ("id_token_hint", hint), uri],
        &[
            ("client_id", "demo-app"),
            ("id_token_hint", &tokens.access),
            uri,
        ],
    ];
    for fields in wrong {
        let refused = Request::post(&logout).form(fields).send()?.expect(400)?;
        assert_eq!(refused.header("location"), None);
    }
    person.api.expect_active(&tokens)
}

#[test]
fn kills_and_sessions_are_for_admins() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let body = json!({ "subject": tokens.subject });
    for bearer in [bearer::AUDITOR, bearer::GATEWAY, bearer::SCIM] {
        person
            .api
            .post("/v1/revocations", bearer, &body)
            .send()?
            .expect(403)?;
    }
    // A person's own token is no API credential.
    person
        .api
        .post("/v1/revocations", &tokens.access, &body)
        .send()?
        .expect(401)?;
    person.api.expect_active(&tokens)
}
