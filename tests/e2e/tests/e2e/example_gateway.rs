//! The documented gateway for other languages, as it stands in the documentation.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::example::ExampleGateway;
use portcullis_e2e::forge::{Forger, with_bent_signature};
use portcullis_e2e::http::Request;
use portcullis_e2e::oauth::log_in_bound;
use portcullis_e2e::people::Person;
use portcullis_e2e::stack::{Endpoints, Stack};
use portcullis_e2e::wait::until;
use serde_json::json;

fn before(at: &Endpoints, service: &str, token: &str) -> Result<ExampleGateway> {
    ExampleGateway::start(&[
        ("SERVICE", service),
        ("GATEWAY_TOKEN", token),
        ("RESOURCE", &at.gateway),
        ("ORIGIN", &at.origin),
    ])
}

#[test]
fn it_lets_through_what_is_in_force_without_the_credential_and_nothing_after_a_kill() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let at = person.endpoints();
    let gateway = before(at, &at.service, bearer::GATEWAY)?;
    let send = || {
        Request::post(format!("{}//a%20b/c?d=e&d=%2F", gateway.base))
            .bearer(&tokens.access)
            .header("dpop", "proof")
            .header("portcullis-subject", "sub_AAECAwQFBgcICQoLDA0ODw")
            .header("portcullis_roles", "admin")
            .header("x-request-id", "7")
            .body("text/plain", "the body")
            .send()
    };
    let seen = send()?.expect(200)?.json()?;
    assert_eq!(seen["method"], "POST");
    assert_eq!(seen["path"], "//a%20b/c");
    assert_eq!(seen["query"], "d=e&d=%2F");
    assert_eq!(seen["body"], "the body");
    let headers = &seen["headers"];
    assert_eq!(headers["portcullis-subject"], tokens.subject.as_str());
    assert_eq!(headers["x-request-id"], "7");
    assert_eq!(headers["content-type"], "text/plain");
    for gone in ["authorization", "dpop", "portcullis_roles"] {
        assert!(headers.get(gone).is_none(), "{gone}: {headers}");
    }
    assert!(!seen.to_string().contains(&tokens.access), "{seen}");

    person
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    let refused = send()?.expect(401)?;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert_eq!(challenge, r#"Bearer error="invalid_token""#);
    refused.json()?;
    Ok(())
}

#[test]
fn it_refuses_what_proves_nothing_is_for_elsewhere_or_is_bound_to_a_key() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let bound = log_in_bound(&person.app, person.name, &Forger::new()?)?;
    let at = person.endpoints();
    let gateway = before(at, &at.service, bearer::GATEWAY)?;
    let get = || Request::get(format!("{}/", gateway.base));
    for request in [
        get(),
        get().header("authorization", "Basic YTpi"),
        get().header("authorization", "Bearer a, Bearer b"),
        get().bearer(&with_bent_signature(&tokens.access)?),
        get().bearer(&bound.access),
        get().header("authorization", format!("DPoP {}", bound.access)),
    ] {
        let refused = request.send()?.expect(401)?;
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
    }
    let elsewhere = ExampleGateway::start(&[
        ("SERVICE", at.service.as_str()),
        ("GATEWAY_TOKEN", bearer::GATEWAY),
        ("RESOURCE", "https://elsewhere.example"),
        ("ORIGIN", at.origin.as_str()),
    ])?;
    Request::get(&elsewhere.base)
        .bearer(&tokens.access)
        .send()?
        .expect(401)?;
    Ok(())
}

#[test]
fn it_answers_503_when_it_cannot_ask() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let at = person.endpoints();
    // The origin is there all the while: nothing of this reaches it.
    let unknown = before(at, &at.service, "not-a-credential-of-ours")?;
    let mistaken = before(at, &at.origin, bearer::GATEWAY)?;
    for gateway in [&unknown, &mistaken] {
        let refused = Request::get(&gateway.base).bearer(&tokens.access).send()?;
        assert_eq!(refused.expect(503)?.header("retry-after"), Some("1"));
        until("what the gateway says of it", || {
            Ok(gateway.output().contains("the check failed").then_some(()))
        })?;
    }
    let mut away = Stack::start()?;
    let gateway = before(at, &away.at.service, bearer::GATEWAY)?;
    let ask = || Request::get(&gateway.base).bearer(&tokens.access).send();
    // Another service's token, as long as that answers.
    ask()?.expect(401)?;
    away.kill_hard()?;
    ask()?.expect(503)?;
    Ok(())
}
