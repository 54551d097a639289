//! `POST /introspect` (RFC 7662): who may ask, and what they are told.

use portcullis_e2e::Result;
use portcullis_e2e::api::{bearer, token_in_log};
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::Request;
use portcullis_e2e::oauth::{DEMO_SERVICE, about, introspected, refresh_token};
use portcullis_e2e::people::{Person, Site};
use serde_json::{Value, json};

fn inactive() -> Value {
    json!({ "active": false })
}

#[test]
fn a_resource_server_is_told_what_a_token_for_it_stands_for() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let answer = about(
        person.endpoints(),
        "/introspect",
        &DEMO_SERVICE,
        &tokens.access,
    )
    .send()?
    .expect(200)?;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let said = answer.json()?;
    assert_eq!(said["active"], true);
    for (name, value) in [
        ("sub", tokens.subject.as_str()),
        ("sid", &tokens.session),
        ("jti", &tokens.token_id),
        ("client_id", "demo-app"),
        ("token_type", "Bearer"),
        ("scope", "openid profile"),
        ("iss", &person.endpoints().service),
    ] {
        assert_eq!(said[name], value, "{said}");
    }
    assert_eq!(said["aud"], json!([person.endpoints().gateway]));
    assert!(said["exp"].as_u64() > said["iat"].as_u64(), "{said}");
    assert!(said["auth_time"].is_u64(), "{said}");
    assert!(said.get("username").is_none() && said.get("email").is_none());
    Ok(())
}

#[test]
fn what_is_ended_is_inactive_from_the_acknowledgement_on_and_nothing_more_is_said() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    assert_eq!(
        introspected(person.endpoints(), &tokens.access)?["active"],
        true
    );
    person
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    assert_eq!(
        introspected(person.endpoints(), &tokens.access)?,
        inactive()
    );
    let query = format!("subject={}&action=check.denied", tokens.subject);
    let denied = &person.api.expect_events(&query, 1)?[0];
    assert_eq!(denied["reason"], "session_ended");
    assert_eq!(
        denied["actor"],
        json!({ "type": "client", "id": "demo-service" })
    );
    assert_eq!(denied["token"], token_in_log(&tokens.token_id)?.as_str());
    Ok(())
}

#[test]
fn a_client_that_is_neither_audience_nor_owner_is_told_nothing() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    // The resource server of another audience, registered like the one that may know.
    let metadata = json!({
        "client_name": "Another resource server",
        "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "client_secret_basic",
        "introspects": ["https://elsewhere.example"],
        "scope": "read",
    });
    let created = person.api.post("/v1/clients", bearer::ADMIN, &metadata);
    let created = created.send()?.expect(201)?.json()?;
    let text = |name: &str| created[name].as_str().unwrap_or_default();
    let client = [
        ("client_id", text("client_id")),
        ("client_secret", text("client_secret")),
    ];
    for token in [&tokens.access, refresh_token(&tokens)] {
        let told = about(person.endpoints(), "/introspect", &client, token).send()?;
        assert_eq!(told.expect(200)?.json()?, inactive());
    }
    person.api.expect_active(&tokens)?;
    let query = format!("subject={}&action=credential.refused", tokens.subject);
    let refused = &person.api.expect_events(&query, 1)?[0];
    assert_eq!(refused["reason"], "not_its_audience");
    let asker = json!({ "type": "client", "id": text("client_id") });
    assert_eq!(refused["actor"], asker);
    Ok(())
}

#[test]
fn nobody_asks_without_proving_that_they_are_a_confidential_client() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let wrong: [&[(&str, &str)]; 4] = [
        &[("client_id", "demo-service"), ("client_secret", "wrong")],
        &[("client_id", "demo-service")],
        &[("client_id", "nobody"), ("client_secret", "dev-secret")],
        // Its own token, but anybody could say that they are this client.
        &[("client_id", "demo-app")],
    ];
    for client in wrong {
        let refused = about(person.endpoints(), "/introspect", client, &tokens.access);
        let refused = refused.send()?.expect(401)?.json()?;
        assert_eq!(refused, json!({ "error": "invalid_client" }), "{client:?}");
    }
    let url = format!("{}/introspect", person.endpoints().service);
    let unnamed = Request::post(&url).form(&[("token", &tokens.access)]);
    assert!((400..500).contains(&unnamed.send()?.status));
    let bearer = Request::post(&url).form(&[("token", &tokens.access)]);
    let bearer = bearer.bearer(&tokens.access).send()?;
    assert!((400..500).contains(&bearer.status), "{bearer:?}");
    let missing = Request::post(&url)
        .form(&DEMO_SERVICE)
        .send()?
        .expect(400)?;
    assert_eq!(missing.json()?["error"], "invalid_request");
    Ok(())
}

#[test]
fn what_is_no_token_of_ours_is_inactive() -> Result {
    let site = Site::any()?;
    let forged = Forger::new()?.sign(
        &json!({ "alg": "ES256", "typ": "at+jwt", "kid": "x" }),
        &json!({ "iss": site.endpoints().service, "active": true }),
    );
    for token in [
        "",
        "x",
        "a.b.c",
        "pc_rt_x",
        "pc_ac_x",
        "pc_rt_AAAA.00000000",
        &forged,
    ] {
        for hint in ["access_token", "refresh_token", "saml"] {
            let mut client = DEMO_SERVICE.to_vec();
            client.push(("token_type_hint", hint));
            let said = about(site.endpoints(), "/introspect", &client, token).send()?;
            assert_eq!(said.expect(200)?.json()?, inactive(), "{token} {hint}");
        }
    }
    Ok(())
}

#[test]
fn a_refresh_token_is_its_own_client_s_business_only() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let refresh = refresh_token(&tokens);
    assert!(refresh.starts_with("pc_rt_"), "{}", tokens.answer);
    assert_eq!(introspected(person.endpoints(), refresh)?, inactive());
    Ok(())
}
