//! The gateway with a file of its own: routes, who may take them, and what the origin is told.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use portcullis_core::text::from_base64url;
use portcullis_e2e::app::{self, Tokens};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError, Weak};

const FILE: &str = "tests/e2e/tests/e2e/gateway_file/gateway.toml";

/// The stack of these tests.
fn site() -> Result<Site> {
    static SHARED: Mutex<Weak<Stack>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stack) = shared.upgrade() {
        return Site::at(stack);
    }
    let stack = Arc::new(Stack::start_with(&Settings {
        gateway_file: Some(FILE),
        ..Settings::default()
    })?);
    *shared = Arc::downgrade(&stack);
    Site::at(stack)
}

fn to(site: &Site, method: &'static str, path: &str) -> Request {
    Request::new(method, format!("{}{path}", site.endpoints().gateway))
}

fn get(site: &Site, tokens: &Tokens, path: &str) -> Result<Response> {
    to(site, "GET", path).bearer(&tokens.access).send()
}

#[test]
fn on_a_public_route_everybody_is_nobody() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    for request in [
        to(&site, "GET", "/public/a?b"),
        to(&site, "POST", "/public").json(&json!({})),
        to(&site, "GET", "/public/a")
            .bearer(&tokens.access)
            .header("cookie", "a=1; __Host-portcullis=x")
            .header("portcullis-subject", "sub_AAECAwQFBgcICQoLDA0ODw")
            .header("x_user", "sub_AAECAwQFBgcICQoLDA0ODw")
            .header("x-original-url", "/admin"),
    ] {
        let response = request.send()?.expect(200)?;
        assert_eq!(response.header("portcullis-check"), None);
        let seen = response.json()?;
        let names = seen["headers"].as_object().into_iter().flatten();
        for (name, value) in names {
            let telling =
                name.starts_with("portcullis") || name.contains("user") && name != "user-agent";
            assert!(!telling, "{name}: {value}");
            assert!(
                !["authorization", "x-original-url"].contains(&name.as_str()),
                "{name}"
            );
        }
        assert!(!seen.to_string().contains(&tokens.access), "{seen}");
    }
    Ok(())
}

#[test]
fn what_no_route_is_for_is_not_forwarded_whoever_asks() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/publics", 404),
        ("PUT", "/orders", 405),
        ("DELETE", "/orders/", 405),
        // Another spelling of what is guarded is no way around the guard.
        ("GET", "/ADMIN", 400),
        ("GET", "/admin;x/a", 400),
        ("GET", "/%2561dmin", 400),
        ("GET", "//admin", 400),
        ("GET", "/public/..%2fadmin", 400),
        ("GET", "/public/%252e%252e/admin", 400),
        ("GET", "/public/..;/admin", 400),
        ("GET", "/public/x%5c..%5cadmin", 400),
        ("GET", "/public/%00", 400),
        // Read as the URL that it is.
        ("GET", "/public/../admin", 403),
        ("GET", "/public/%2e%2e/admin", 403),
        ("GET", "/%61dmin/", 403),
    ] {
        let response = to(&site, method, path)
            .bearer(&tokens.access)
            .send()?
            .expect(status)?;
        response.problem()?;
        let allowed = (status == 405).then_some("GET, POST");
        assert_eq!(response.header("allow"), allowed, "{method} {path}");
    }
    let (gateway, localhost) = (&site.endpoints().gateway, "localhost");
    let there = Request::get(format!("{gateway}/anything")).header("host", localhost);
    there.bearer(&tokens.access).send()?.expect(200)?;
    Ok(())
}

#[test]
fn who_lacks_what_a_route_requires_is_refused_and_that_is_in_the_log() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("bob")?;
    get(&site, &tokens, "/staff/a")?.expect(200)?;
    get(&site, &tokens, "/orders")?.expect(200)?;

    let no_role = get(&site, &tokens, "/admin/a")?.expect(403)?;
    no_role.problem()?;
    assert_eq!(no_role.header("www-authenticate"), None);

    let post = to(&site, "POST", "/orders").bearer(&tokens.access);
    let no_scope = post.json(&json!({})).send()?.expect(403)?;
    let challenge = no_scope.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with(r#"Bearer error="insufficient_scope""#),
        "{challenge}"
    );
    assert!(
        challenge.contains(r#"scope="profile orders:write""#),
        "{challenge}"
    );

    let query = format!("subject={}&action=request.denied", tokens.subject);
    let denied = site.api.expect_events(&query, 2)?;
    for (path, reason) in [("/admin/a", "role_missing"), ("/orders", "scope_missing")] {
        let event = denied.iter().find(|event| event["reason"] == reason);
        let event = event.ok_or_else(|| Failure::new(format!("no {reason} in {denied:?}")))?;
        assert_eq!(event["outcome"], "denied");
        assert_eq!(event["request"]["path"], path);
        assert_eq!(event["request"]["status"], 403);
    }
    // Without a credential it is not told what would be missing.
    to(&site, "GET", "/admin/a").send()?.expect(401)?;
    let page = to(&site, "GET", "/admin/a").header("accept", "text/html");
    page.send()?.expect(302)?;
    let page = to(&site, "GET", "/metrics").header("accept", "text/html");
    page.send()?.expect(401)?;
    Ok(())
}

#[test]
fn a_route_is_as_sure_as_it_says_and_says_how_it_was() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("carol")?;
    let check = |path: &str| -> Result<String> {
        let response = get(&site, &tokens, path)?.expect(200)?;
        Ok(response
            .header("portcullis-check")
            .unwrap_or_default()
            .to_owned())
    };
    assert_eq!(check("/staff/a")?, "signature-only");
    assert!(check("/orders")?.starts_with("strict; at="));
    let session = json!({ "subject": tokens.subject, "session": tokens.session });
    site.api.revoke(&session)?.expect(200)?;
    get(&site, &tokens, "/orders")?.expect(401)?;
    assert_eq!(check("/staff/a")?, "signature-only");
    Ok(())
}

#[test]
fn claims_become_the_headers_that_the_route_names() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    let spoofed = to(&site, "GET", "/orders").bearer(&tokens.access);
    let seen = spoofed
        .header("x-user", "x")
        .header("X-Client", "x")
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(seen["headers"]["x-user"], tokens.subject.as_str());
    assert_eq!(seen["headers"]["x-client"], "demo-app");
    let seen = get(&site, &tokens, "/metrics")?.expect(200)?.json()?;
    assert_eq!(seen["headers"]["x-user"], Value::Null);
    assert_eq!(
        seen["headers"]["portcullis-subject"],
        tokens.subject.as_str()
    );
    Ok(())
}

#[test]
fn an_origin_can_verify_who_is_there() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("alice")?;
    let assertion = || -> Result<String> {
        let seen = get(&site, &tokens, "/staff/a")?.expect(200)?.json()?;
        let text = seen["headers"]["portcullis-assertion"].as_str();
        Ok(text.unwrap_or_default().to_owned())
    };
    let text = assertion()?;
    assert_eq!(assertion()?, text, "made once for a token");
    let keys = to(&site, "GET", "/.portcullis/jwks.json")
        .send()?
        .expect(200)?
        .json()?;
    let key = &keys["keys"][0];
    let header = app::header(&text)?;
    assert_eq!(header["typ"], "portcullis-assertion+jwt");
    assert_eq!(
        (&header["alg"], &header["kid"]),
        (&json!("ES256"), &key["kid"])
    );
    assert!(is_signed(&text, key), "{text}");

    let claims = app::claims(&text)?;
    let at = site.endpoints();
    assert_eq!(claims["iss"], at.gateway.as_str());
    assert_eq!(claims["aud"], at.origin.as_str());
    assert_eq!(claims["sub"], tokens.subject.as_str());
    assert_eq!(claims["client_id"], "demo-app");
    assert_eq!(
        claims["exp"].as_u64(),
        claims["iat"].as_u64().map(|iat| iat + 60)
    );
    let groups = claims["groups"].as_array().into_iter().flatten();
    assert!(groups.into_iter().any(|group| group == "staff"), "{claims}");

    let elsewhere = get(&site, &tokens, "/orders")?.expect(200)?.json()?;
    assert_eq!(elsewhere["headers"]["portcullis-assertion"], Value::Null);
    Ok(())
}

fn is_signed(text: &str, key: &Value) -> bool {
    let bytes = |text: &str| from_base64url(text).unwrap_or_default();
    let coordinate = |name: &str| bytes(key[name].as_str().unwrap_or_default());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let Some((signed, signature)) = text.rsplit_once('.') else {
        return false;
    };
    match (
        VerifyingKey::from_sec1_bytes(&point),
        Signature::from_slice(&bytes(signature)),
    ) {
        (Ok(key), Ok(signature)) => key.verify(signed.as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

#[test]
fn what_passes_is_recorded_as_the_route_says() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("carol")?;
    get(&site, &tokens, "/metrics")?.expect(200)?;
    get(&site, &tokens, "/payments")?.expect(200)?;
    get(&site, &tokens, "/orders")?.expect(200)?;
    let query = format!("subject={}&action=request.allowed", tokens.subject);
    let of_this_session = |path: &str| -> Result<Vec<Value>> {
        let session = portcullis_e2e::api::session_in_log(&tokens.session)?;
        let mut events = site.api.events(&query)?;
        events.retain(|event| {
            event["session"] == session.as_str() && event["request"]["path"] == path
        });
        Ok(events)
    };
    let last =
        portcullis_e2e::wait::until("the last event", || Ok(of_this_session("/orders")?.pop()))?;
    assert_eq!(last["request"]["status"], 200);
    let waited = portcullis_e2e::wait::until("the event that was waited for", || {
        Ok(of_this_session("/payments")?.pop())
    })?;
    assert_eq!(
        waited["request"].get("status").unwrap_or(&Value::Null),
        &Value::Null
    );
    assert_eq!(of_this_session("/metrics")?, Vec::<Value>::new());
    // What the credential, the route and the edge say, and only the claims that are declared and there.
    assert_eq!(waited.get("claims"), None, "{waited}");
    let sealed = site.api.sealed(&query, &waited)?;
    assert_eq!(sealed["claims"]["scope"], "openid profile");
    assert_eq!(sealed["claims"].get("acr"), None, "{sealed}");
    assert_eq!(waited["resource"], site.endpoints().gateway.as_str());
    assert_eq!(
        waited["credential"]["issuer"],
        site.endpoints().service.as_str()
    );
    assert!(waited["credential"]["kid"].is_string(), "{waited}");
    assert_eq!(waited["policy"], last["policy"]);
    assert!(
        waited["policy"]
            .as_str()
            .is_some_and(|it| it.starts_with("h_")),
        "{waited}"
    );
    let sealed = site.api.sealed(&query, &last)?;
    assert!(
        sealed.is_object() && sealed.get("claims").is_none(),
        "{sealed}"
    );
    Ok(())
}

#[test]
fn what_looks_like_a_credential_in_a_path_is_not_in_the_log() -> Result {
    let site = site()?;
    let tokens = site.app.log_in("carol")?;
    let secret = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    get(&site, &tokens, &format!("/payments/{secret}"))?;
    get(&site, &tokens, &format!("/staff/%65{}", &secret[1..]))?;
    get(&site, &tokens, "/payments")?.expect(200)?;
    let query = format!("subject={}", tokens.subject);
    let session = portcullis_e2e::api::session_in_log(&tokens.session)?;
    let events = portcullis_e2e::wait::until("the event of what passes", || {
        let mut events = site.api.events(&query)?;
        events.retain(|event| event["session"] == session.as_str());
        let is_there = |event: &Value| event["request"]["path"] == "/payments";
        Ok(events.iter().any(is_there).then_some(events))
    })?;
    let log = Value::Array(events).to_string();
    assert!(!log.contains("hbGciOiJFUzI1NiJ9"), "{log}");
    assert!(log.contains("/staff/[redacted:"), "{log}");
    Ok(())
}
