//! `POST /revoke` (RFC 7009): what a client gives back is over, and another's is not touched.

use portcullis_e2e::Result;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::oauth::{about, refresh, refresh_token};
use portcullis_e2e::people::{Person, Site};
use serde_json::json;

const DEMO_APP: [(&str, &str); 1] = [("client_id", "demo-app")];

fn give_back(site: &Site, token: &str) -> Result<Response> {
    about(site.endpoints(), "/revoke", &DEMO_APP, token).send()
}

#[test]
fn a_refresh_token_given_back_takes_the_whole_grant_along() -> Result {
    let person = Person::new()?;
    let other = person.app.log_in(person.name)?;
    let tokens = person.app.log_in(person.name)?;
    let answer = give_back(&person, refresh_token(&tokens))?.expect(200)?;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    person.api.expect_denied(&tokens, "session_ended")?;
    let refused = refresh(person.endpoints(), "demo-app", refresh_token(&tokens))?;
    assert_eq!(refused.expect(400)?.json()?["error"], "invalid_grant");
    person.api.expect_active(&other)?;
    // Again: there is nothing left to do.
    give_back(&person, refresh_token(&tokens))?.expect(200)?;
    let query = format!("subject={}&action=kill", tokens.subject);
    let kill = &person.api.expect_events(&query, 1)?[0];
    assert_eq!(kill["reason"], "client_revoked");
    assert_eq!(kill["actor"], json!({ "type": "client", "id": "demo-app" }));
    Ok(())
}

#[test]
fn a_refresh_token_that_was_exchanged_takes_its_successor_along() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let first = refresh_token(&tokens);
    let next = refresh(person.endpoints(), "demo-app", first)?.expect(200)?;
    let next = next.json()?["refresh_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    give_back(&person, first)?.expect(200)?;
    refresh(person.endpoints(), "demo-app", &next)?.expect(400)?;
    person.api.expect_denied(&tokens, "session_ended")
}

#[test]
fn an_access_token_given_back_goes_alone() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    give_back(&person, &tokens.access)?.expect(200)?;
    let verdict = person.api.check_token(&tokens.access)?;
    assert_eq!(verdict["reason"], "token_revoked", "{verdict}");
    refresh(person.endpoints(), "demo-app", refresh_token(&tokens))?.expect(200)?;
    Ok(())
}

#[test]
fn no_client_can_revoke_anothers_token() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let public = [("client_id", "demo-third-party")];
    let confidential = [
        ("client_id", "demo-service"),
        ("client_secret", "dev-secret"),
    ];
    let clients: [&[(&str, &str)]; 2] = [&public, &confidential];
    for client in clients {
        for token in [&tokens.access, refresh_token(&tokens)] {
            let refused = about(person.endpoints(), "/revoke", client, token).send()?;
            assert_eq!(
                refused.expect(400)?.json()?,
                json!({ "error": "invalid_grant" })
            );
        }
    }
    person.api.expect_active(&tokens)?;
    refresh(person.endpoints(), "demo-app", refresh_token(&tokens))?.expect(200)?;
    let query = format!("subject={}&action=credential.refused", tokens.subject);
    for event in person.api.expect_events(&query, 4)? {
        assert_eq!(event["reason"], "issued_to_another_client");
        assert_eq!(event["client_id"], "demo-app");
        assert_eq!(event["actor"]["type"], "client");
    }
    Ok(())
}

#[test]
fn who_has_not_proven_themselves_revokes_nothing() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let wrong: [&[(&str, &str)]; 3] = [
        &[("client_id", "demo-service"), ("client_secret", "wrong")],
        &[("client_id", "nobody")],
        &[("client_id", "demo-app"), ("client_secret", "any")],
    ];
    for client in wrong {
        let refused = about(person.endpoints(), "/revoke", client, &tokens.access).send()?;
        assert_eq!(refused.expect(401)?.json()?["error"], "invalid_client");
    }
    let url = format!("{}/revoke", person.endpoints().service);
    let unnamed = Request::post(&url)
        .form(&[("token", &tokens.access)])
        .send()?;
    assert!((400..500).contains(&unnamed.status), "{unnamed:?}");
    let missing = Request::post(&url).form(&DEMO_APP).send()?.expect(400)?;
    assert_eq!(missing.json()?["error"], "invalid_request");
    person.api.expect_active(&tokens)
}

#[test]
fn what_is_no_token_is_nothing_to_revoke() -> Result {
    let site = Site::any()?;
    for token in ["", "x", "a.b.c", "pc_rt_x", "pc_rt_AAAA.00000000"] {
        give_back(&site, token)?.expect(200)?;
    }
    Ok(())
}
