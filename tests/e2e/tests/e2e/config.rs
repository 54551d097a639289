//! Configuration: valid as a whole or nothing is served, and nothing of a demo outside development.

use portcullis_e2e::api::bearer;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::{Failure, Result};
use serde_json::json;

/// Requests of every kind, in the service's and in the gateway's words.
const ASKED: [(&str, &str); 6] = [
    ("GET", "/healthz"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/authorize"),
    ("POST", "/token"),
    ("POST", "/v1/check"),
    ("GET", "/scim/v2/Users"),
];

const PRODUCTION: [&str; 9] = [
    "MODE=",
    "ISSUER=https://id.example",
    "OIDC_ISSUER=https://idp.example",
    r#"CLIENTS=[{"client_id":"a","redirect_uris":["https://a.example/cb"],"audience":"https://a.example"}]"#,
    "ADMIN_TOKEN=an-admin-token-for-this-test-only-0001",
    "AUDITOR_TOKEN=an-auditor-token-for-this-test-only-1",
    "SCIM_TOKEN=a-scim-token-for-this-test-only-000001",
    "GATEWAY_TOKEN=a-gateway-token-for-this-test-only-01",
    "DEFAULT_AUDIENCE=",
];

/// Fails unless everything is answered 503 without a word of why, and the log has the name.
fn expect_closed(stack: &Stack, base: &str, missing: &str) -> Result {
    for (method, path) in ASKED {
        let request = Request::new(method, format!("{base}{path}")).bearer(bearer::ADMIN);
        let response = request.send()?.expect(503)?;
        response.problem()?;
        if response.body.contains(missing) {
            return Err(response.unexpected(&format!("nothing about {missing}")));
        }
    }
    if stack.output().contains(missing) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "the log does not name {missing}:\n{}",
        stack.output()
    )))
}

#[test]
fn a_service_without_valid_configuration_answers_503_and_names_the_fault_in_its_log_only() -> Result
{
    let mut stack = Stack::start_with(&Settings::vars(&["NAMING_KEY="]))?;
    expect_closed(&stack, &stack.at.service, "NAMING_KEY")?;
    for (var, name) in [
        ("NAMING_KEY=AAAA", "NAMING_KEY"),
        ("MODE=", "ISSUER"), // plain HTTP is for development
        ("MODE=production", "MODE"),
    ] {
        stack.restart(&Settings::vars(&[var]))?;
        expect_closed(&stack, &stack.at.service, name)?;
    }
    // Valid again, it serves again.
    stack.restart(&Settings::default())?;
    Request::get(format!("{}/healthz", stack.at.service))
        .send()?
        .expect(200)?;
    Ok(())
}

#[test]
fn a_gateway_without_valid_configuration_answers_503_and_forwards_nothing() -> Result {
    let settings = Settings {
        gateway_vars: vec!["ORIGIN=".to_owned()],
        ..Settings::default()
    };
    let stack = Stack::start_with(&settings)?;
    expect_closed(&stack, &stack.at.gateway, "ORIGIN")
}

#[test]
fn a_gateway_whose_file_is_invalid_answers_503_and_names_the_line_in_its_log_only() -> Result {
    let stack = Stack::start_with(&Settings {
        gateway_file: Some("tests/e2e/tests/e2e/gateway_file/invalid.toml"),
        ..Settings::default()
    })?;
    let fault = r#"gateway.toml:6:12: no upstream is called "apq""#;
    expect_closed(&stack, &stack.at.gateway, fault)
}

#[test]
fn demo_credentials_clients_and_test_switches_do_not_exist_outside_development() -> Result {
    let mut settings = Settings::vars(&PRODUCTION);
    settings
        .vars
        .push("TEST_DELIVERY_DELAY_MS=3600000".to_owned());
    let stack = Stack::start_with(&settings)?;
    let Endpoints { service, .. } = &stack.at;
    Request::get(format!("{service}/healthz"))
        .send()?
        .expect(200)?;
    let events = format!("{service}/v1/audit/events");
    for demo in [
        bearer::ADMIN,
        bearer::AUDITOR,
        bearer::SCIM,
        bearer::GATEWAY,
    ] {
        Request::get(&events).bearer(demo).send()?.expect(401)?;
        Request::get(format!("{service}/scim/v2/Users"))
            .bearer(demo)
            .send()?
            .expect(401)?;
    }
    for client in ["demo-app", "demo-gateway", "demo-service"] {
        let query = format!(
            "client_id={client}&redirect_uri=http://127.0.0.1:1/callback&response_type=code"
        );
        let response = Request::get(format!("{service}/authorize?{query}"))
            .send()?
            .expect(400)?;
        assert_eq!(response.header("location"), None);
    }
    // What is configured works, and deliveries are not held back.
    let admin = "an-admin-token-for-this-test-only-0001";
    let kill = Request::post(format!("{service}/v1/revocations"))
        .bearer(admin)
        .json(&json!({ "subject": "demo:nobody" }));
    kill.send()?.expect(200)?;
    portcullis_e2e::wait::until("the kill in the log", || {
        let query = format!("{events}?action=kill");
        let page = Request::get(query)
            .bearer(admin)
            .send()?
            .expect(200)?
            .json()?;
        Ok(page["events"]
            .as_array()
            .is_some_and(|events| !events.is_empty())
            .then_some(()))
    })
}

#[test]
fn in_development_only_loopback_is_answered() -> Result {
    let site = Site::any()?;
    let Endpoints {
        service, gateway, ..
    } = site.endpoints();
    for base in [
        format!("{service}/healthz"),
        format!("{gateway}/.portcullis/healthz"),
    ] {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost.evil.example:80",
        ] {
            let response = Request::get(&base).header("host", host).send()?;
            assert!(matches!(response.status, 403 | 421), "{host}: {response:?}");
        }
    }
    let event = Request::get(format!("{service}/v1/audit/events"))
        .bearer(bearer::ADMIN)
        .header("host", "evil.example")
        .send()?;
    assert!(matches!(event.status, 403 | 421), "{event:?}");
    Ok(())
}
