//! Tokens that an identity provider issued itself, where its connection accepts them: at the check and at
//! the gateway, under the same kill.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::connection::Connection;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::wait::unix_secs;
use serde_json::{Value, json};

/// A connection that accepts tokens for `api://app`.
fn accepting() -> Result<Connection> {
    Connection::with(&json!({
        "roles": [{"role": "admin", "claim": "groups", "equals": "admins"}],
        "tokens": {"audiences": ["api://app"], "max_age_secs": 3600},
    }))
}

/// What a token of alice's says, issued a minute ago.
fn claims(connection: &Connection) -> Value {
    let now = unix_secs();
    json!({
        "iss": connection.upstream.issuer, "sub": "alice", "aud": "api://app", "iat": now - 60,
        "exp": now + 600, "jti": "t-1", "azp": "cli", "scp": ["read", "write"], "groups": ["admins"],
    })
}

fn token(connection: &Connection, changes: &Value) -> Result<String> {
    let mut claims = claims(connection);
    if let (Some(members), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
        members.extend(changes.clone());
        members.retain(|_, value| !value.is_null());
    }
    connection.upstream.token(&claims, &json!({}))
}

fn at_gateway(connection: &Connection, method: &'static str) -> Request {
    Request::new(method, format!("{}/x", connection.endpoints().gateway))
}

fn denied_for(connection: &Connection, token: &str) -> Result<String> {
    let verdict = connection.api.check_token(token)?;
    assert_eq!(verdict["verdict"], "denied", "{verdict}");
    let through = at_gateway(connection, "GET").bearer(token).send()?;
    assert_eq!(through.status, 401, "{}", through.body);
    Ok(verdict["reason"].as_str().unwrap_or_default().to_owned())
}

fn passes(connection: &Connection, token: &str) -> Result<Response> {
    at_gateway(connection, "GET")
        .bearer(token)
        .send()?
        .expect(200)
}

#[test]
fn a_providers_token_passes_with_what_its_connection_makes_of_it_and_without_itself() -> Result {
    let connection = accepting()?;
    let token = token(&connection, &json!({}))?;
    let verdict = connection.api.check_token(&token)?;
    assert_eq!(verdict["verdict"], "active", "{verdict}");
    assert_eq!(verdict["connection"], *connection.id);
    assert_eq!(verdict["roles"], json!(["admin"]));
    let seen = passes(&connection, &token)?.json()?;
    let headers = &seen["headers"];
    assert_eq!(headers["portcullis-subject"], verdict["subject"]);
    assert_eq!(headers["portcullis-connection"], *connection.id);
    assert_eq!(headers["portcullis-roles"], "admin");
    let client = format!("{}:cli", connection.id);
    assert_eq!(headers["portcullis-client"], client.as_str());
    assert_eq!(headers["portcullis-scope"], "read write");
    assert!(!seen.to_string().contains(&token));
    // Who logs in there is the same person.
    let logged_in = connection.log_in("alice")?;
    assert_eq!(verdict["subject"], *logged_in.subject);
    let story = format!("subject={}&action=request.allowed", logged_in.subject);
    let events = connection.api.expect_events(&story, 1)?;
    assert!(events[0]["token"].is_string() && events[0].get("session").is_none());
    Ok(())
}

#[test]
fn the_same_kill_covers_a_providers_token() -> Result {
    let connection = accepting()?;
    let token = token(&connection, &json!({}))?;
    passes(&connection, &token)?;
    let kill = json!({"subject": connection.claim("alice")});
    connection.api.revoke(&kill)?.expect(200)?;
    assert_eq!(denied_for(&connection, &token)?, "issued_before_kill");
    let subject = connection.api.check_token(&token)?["subject"].clone();
    let subject = subject.as_str().unwrap_or_default();
    let denials = format!("subject={subject}&action=check.denied");
    // Two checks and the gateway.
    connection.api.expect_events(&denials, 3)?;
    Ok(())
}

#[test]
fn a_connection_that_is_turned_off_takes_its_providers_tokens_along() -> Result {
    let connection = accepting()?;
    let token = token(&connection, &json!({}))?;
    passes(&connection, &token)?;
    connection.about("POST", "/disable", None)?.expect(200)?;
    assert_eq!(denied_for(&connection, &token)?, "token_issuer");
    // On again, those from before do not come back.
    connection.about("POST", "/enable", None)?.expect(200)?;
    assert_eq!(denied_for(&connection, &token)?, "connection_revoked");
    Ok(())
}

#[test]
fn what_the_connection_does_not_accept_is_refused() -> Result {
    let connection = accepting()?;
    let now = unix_secs();
    for (changes, reason) in [
        (json!({"iss": "https://evil.example"}), "token_issuer"),
        (json!({"iss": null}), "token_type"),
        (json!({"aud": "another"}), "token_audience"),
        (json!({"iat": null}), "token_claims"),
        (json!({"exp": null}), "token_claims"),
        (json!({"exp": "9999999999"}), "token_claims"),
        (json!({"exp": now - 1}), "token_expired"),
        (json!({"exp": now + 7200}), "token_lifetime"),
        (json!({"nbf": now + 600}), "token_not_yet_valid"),
        (json!({"cnf": {"jkt": "x"}}), "token_proof_required"),
        (json!({"events": {}}), "token_type"),
        (json!({"sub": 7}), "token_claims"),
    ] {
        let token = token(&connection, &changes)?;
        assert_eq!(denied_for(&connection, &token)?, reason, "{changes}");
    }
    let logout = connection.upstream.logout_token(&claims(&connection))?;
    assert_eq!(denied_for(&connection, &logout)?, "token_type");
    let good = token(&connection, &json!({}))?;
    let bent = format!("{}x", &good[..good.len() - 1]);
    let reason = denied_for(&connection, &bent)?;
    assert!(["token_signature", "token_malformed"].contains(&reason.as_str()));
    passes(&connection, &good)?;
    Ok(())
}

#[test]
fn an_algorithm_that_the_connection_does_not_name_is_refused() -> Result {
    let connection = Connection::with(&json!({
        "tokens": {"audiences": ["api://app"], "algorithms": ["RS256"]},
    }))?;
    let es256 = token(&connection, &json!({}))?;
    assert_eq!(denied_for(&connection, &es256)?, "token_algorithm");
    let claims = claims(&connection);
    let rs256 = connection
        .upstream
        .token_with("RS256", &claims, &json!({}))?;
    passes(&connection, &rs256)?;
    Ok(())
}

#[test]
fn a_token_counts_where_the_connection_says_and_nowhere_else() -> Result {
    let connection = Connection::with(&json!({
        "tokens": {"audiences": ["api://app"], "resources": ["https://elsewhere.example"]},
    }))?;
    let token = token(&connection, &json!({}))?;
    let through = at_gateway(&connection, "GET").bearer(&token).send()?;
    assert_eq!(through.status, 401);
    let check = |resource: &str| {
        let body = json!({"token": token, "resource": resource});
        connection.api.check(&body)?.expect(200)?.json()
    };
    assert_eq!(check("https://elsewhere.example")?["verdict"], "active");
    assert_eq!(check("https://other.example")?["reason"], "token_audience");
    Ok(())
}

#[test]
fn without_tokens_in_its_document_a_connection_accepts_none() -> Result {
    let connection = Connection::new()?;
    let token = token(&connection, &json!({}))?;
    assert_eq!(denied_for(&connection, &token)?, "token_issuer");
    Ok(())
}

#[test]
fn an_access_proxys_assertion_is_taken_from_its_header_and_stripped() -> Result {
    let connection = Connection::with(&json!({
        "subject_claim": "email", "email_is_verified": true,
        "tokens": {"audiences": ["32eafc7626e737e6fba6a1e6b8d1a2c3"]},
    }))?;
    let now = unix_secs();
    // As Cloudflare Access makes them.
    let said = json!({
        "aud": ["32eafc7626e737e6fba6a1e6b8d1a2c3"], "email": "alice@acme.example", "exp": now + 600,
        "iat": now - 60, "nbf": now - 60, "iss": connection.upstream.issuer, "type": "app",
        "identity_nonce": "n", "sub": "7335d417-61da-459d-899c-0a01c76a2f94", "country": "NL",
    });
    let token = connection.upstream.token(&said, &json!({"typ": null}))?;
    let asserted = |method| {
        let request = at_gateway(&connection, method);
        request.header("cf-access-jwt-assertion", &token)
    };
    let seen = asserted("GET").send()?.expect(200)?;
    assert!(!seen.body.contains(&token), "{}", seen.body);
    let connection_seen = &seen.json()?["headers"]["portcullis-connection"];
    assert_eq!(*connection_seen, *connection.id);
    // It is what a cookie of the proxy's says, so another site's page may not write with it.
    let forged = asserted("POST").header("origin", "https://evil.example");
    assert_eq!(forged.send()?.status, 403);
    let kill = json!({"subject": connection.claim("alice@acme.example")});
    connection.api.revoke(&kill)?.expect(200)?;
    assert_eq!(asserted("GET").send()?.status, 401);
    // A person's browser is not sent round in circles: logging in would not change what is asserted.
    let browser = asserted("GET").header("sec-fetch-mode", "navigate");
    assert_eq!(browser.send()?.status, 401);
    Ok(())
}

#[test]
fn who_may_check_may_not_ask_without_a_credential() -> Result {
    let connection = accepting()?;
    let token = token(&connection, &json!({}))?;
    let url = format!("{}/v1/check", connection.endpoints().service);
    let body = json!({"token": token});
    for credential in [bearer::AUDITOR, bearer::SCIM, &token] {
        let refused = Request::post(&url).bearer(credential).json(&body).send()?;
        assert!([401, 403].contains(&refused.status), "{}", refused.status);
    }
    Ok(())
}
