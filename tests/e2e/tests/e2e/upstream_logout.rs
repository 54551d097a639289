//! OIDC Back-Channel Logout 1.0, the receiving side: what an identity provider ends is over here when it
//! has its answer, and nobody else's word for it counts.

use portcullis_core::text::base64url;
use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, random_text};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::connection::{CLIENT_ID, Connection, refusal};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::upstream::{Endpoint, Outage};
use portcullis_e2e::wait::{unix_secs, until};
use serde_json::{Value, json};
use url::Url;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn endpoint(connection: &Connection, id: &str) -> String {
    format!("{}/backchannel-logout/{id}", connection.endpoints().service)
}

/// What a logout token of the connection's provider says, with these claims, too, or instead; null takes
/// one away.
fn claims(connection: &Connection, changes: &Value) -> Result<Value> {
    let now = unix_secs();
    let mut claims = json!({
        "iss": connection.upstream.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 120,
        "jti": random_text()?, "events": { EVENT: {} },
    });
    if let (Some(members), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
        members.extend(changes.clone());
        members.retain(|_, value| !value.is_null());
    }
    Ok(claims)
}

fn token(connection: &Connection, changes: &Value) -> Result<String> {
    connection
        .upstream
        .logout_token(&claims(connection, changes)?)
}

fn send(connection: &Connection, token: &str) -> Result<Response> {
    Request::post(endpoint(connection, &connection.id))
        .form(&[("logout_token", token)])
        .send()
}

/// Sends a token that is to be believed.
#[track_caller]
fn logged_out(connection: &Connection, token: &str) -> Result {
    let answer = send(connection, token)?.expect(200)?;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.body, "");
    Ok(())
}

/// Logs in with that session at the provider.
fn log_in_with(connection: &Connection, user: &str, sid: &str) -> Result<Tokens> {
    connection.upstream.claims(user, &json!({ "sid": sid }))?;
    connection.log_in(user)
}

#[test]
fn logging_out_at_the_provider_ends_the_session_here() -> Result {
    let connection = Connection::new()?;
    let told = json!({
        "backchannel_logout_uri": endpoint(&connection, &connection.id),
        "backchannel_logout_session_required": true,
    });
    connection.upstream.change_client(CLIENT_ID, &told)?;
    let (alice, bob) = (connection.log_in("alice")?, connection.log_in("bob")?);

    let delivery = connection.upstream.log_out_everywhere("alice")?;
    assert_eq!(
        (delivery.delivered, delivery.failed),
        (vec![CLIENT_ID.to_owned()], vec![])
    );
    connection.api.expect_denied(&alice, "session_ended")?;
    connection.api.expect_active(&bob)?;
    connection
        .api
        .expect_events(&format!("subject={}&action=kill", alice.subject), 1)?;
    for action in ["kill", "session.logout"] {
        assert_eq!(connection.reasons(action)?, ["upstream_logout"], "{action}");
    }
    connection.api.expect_active(&connection.log_in("alice")?)
}

#[test]
fn the_end_of_one_session_leaves_the_others() -> Result {
    let connection = Connection::new()?;
    let first = log_in_with(&connection, "alice", "s-1")?;
    let second = log_in_with(&connection, "alice", "s-2")?;
    let of_bob = log_in_with(&connection, "bob", "s-3")?;
    logged_out(&connection, &token(&connection, &json!({"sid": "s-1"}))?)?;
    connection.api.expect_denied(&first, "session_ended")?;
    for other in [&second, &of_bob] {
        connection.api.expect_active(other)?;
    }
    let both = json!({"sid": "s-2", "sub": "alice"});
    logged_out(&connection, &token(&connection, &both)?)?;
    connection.api.expect_denied(&second, "session_ended")?;
    connection.api.expect_active(&of_bob)
}

#[test]
fn a_person_logged_out_everywhere_can_come_back_though_the_token_comes_again() -> Result {
    let connection = Connection::new()?;
    let before = [
        log_in_with(&connection, "alice", "s-1")?,
        log_in_with(&connection, "alice", "s-2")?,
    ];
    let everywhere = token(&connection, &json!({"sub": "alice"}))?;
    logged_out(&connection, &everywhere)?;
    for tokens in &before {
        connection.api.expect_denied(tokens, "session_ended")?;
    }
    let after = log_in_with(&connection, "alice", "s-3")?;
    // The provider did not get the answer, or somebody has kept the token.
    logged_out(&connection, &everywhere)?;
    connection.api.expect_active(&after)?;
    logged_out(&connection, &token(&connection, &json!({"sub": "alice"}))?)?;
    connection.api.expect_denied(&after, "session_ended")
}

#[test]
fn whoever_is_identified_by_another_claim_is_found_by_their_sub() -> Result {
    let connection = Connection::with(&json!({"subject_claim": "email"}))?;
    let mut sessions = Vec::new();
    for address in ["old@x.example", "new@x.example"] {
        let email = json!({"email": address, "email_verified": true});
        connection.upstream.claims("alice", &email)?;
        sessions.push(connection.log_in("alice")?);
    }
    assert_ne!(sessions[0].subject, sessions[1].subject);
    logged_out(&connection, &token(&connection, &json!({"sub": "alice"}))?)?;
    for tokens in &sessions {
        connection.api.expect_denied(tokens, "session_ended")?;
    }
    Ok(())
}

#[test]
fn nobody_logs_in_with_a_session_that_has_ended() -> Result {
    let connection = Connection::new()?;
    logged_out(&connection, &token(&connection, &json!({"sid": "s-1"}))?)?;
    connection
        .upstream
        .claims("alice", &json!({"sid": "s-1"}))?;
    assert_eq!(connection.refused_log_in("alice")?, "access_denied");
    assert_eq!(connection.reasons("session.login")?, ["upstream_logout"]);
    log_in_with(&connection, "alice", "s-2")?;
    Ok(())
}

#[test]
fn a_log_in_that_had_set_out_when_its_person_was_logged_out_comes_too_late() -> Result {
    for subject_claim in ["sub", "email"] {
        let settings = json!({"subject_claim": subject_claim, "email_is_verified": true});
        let connection = Connection::with(&settings)?;
        let attempt = connection.attempt()?;
        let mut browser = Browser::new();
        let away = browser.step(&attempt.url)?.expect(302)?;
        let provider = Url::parse(away.header("location").unwrap_or_default())?;
        logged_out(&connection, &token(&connection, &json!({"sub": "alice"}))?)?;
        let landed = browser.go_as("alice", &provider, Some(&connection.app.redirect_uri))?;
        assert_eq!(refusal(landed)?, "access_denied", "{subject_claim}");
        connection.api.expect_active(&connection.log_in("alice")?)?;
    }
    Ok(())
}

#[test]
fn whatever_is_not_to_be_believed_gets_the_same_answer_and_ends_nothing() -> Result {
    let connection = Connection::new()?;
    let alice = log_in_with(&connection, "alice", "s-1")?;
    let good = json!({"sub": "alice", "sid": "s-1"});
    let with = |changes: Value| -> Result<Value> {
        let mut all = good.clone();
        if let (Some(members), Some(changes)) = (all.as_object_mut(), changes.as_object()) {
            members.extend(changes.clone());
        }
        claims(&connection, &all)
    };
    let signed = |changes: Value| connection.upstream.logout_token(&with(changes)?);
    let unsigned = |alg: &str| -> Result<String> {
        let header = json!({"alg": alg, "typ": "logout+jwt"}).to_string();
        let claims = with(json!({}))?.to_string();
        let part = |text: &str| base64url(text.as_bytes());
        Ok(format!("{}.{}.", part(&header), part(&claims)))
    };
    let now = unix_secs();
    let bad = [
        ("malformed", "not.a.token".to_owned()),
        ("algorithm", unsigned("none")?),
        ("algorithm", unsigned("nOnE")?),
        ("algorithm", unsigned("HS256")?),
        (
            "type",
            connection
                .upstream
                .logout_token_of_type(&json!("at+jwt"), &with(json!({}))?)?,
        ),
        ("issuer", signed(json!({"iss": "https://evil.example"}))?),
        ("audience", signed(json!({"aud": "another"}))?),
        ("audience", signed(json!({"aud": null}))?),
        ("expired", signed(json!({"exp": now - 1}))?),
        (
            "expired",
            signed(json!({"iat": now - 600, "exp": now + 600}))?,
        ),
        (
            "not_yet_valid",
            signed(json!({"iat": now + 600, "exp": now + 700}))?,
        ),
        ("claims", signed(json!({"iat": null}))?),
        ("claims", signed(json!({"jti": null}))?),
        ("claims", signed(json!({"events": null}))?),
        ("claims", signed(json!({"events": {EVENT: true}}))?),
        ("claims", signed(json!({"sub": null, "sid": null}))?),
        ("nonce", signed(json!({"nonce": "n"}))?),
    ];
    let mut answers = Vec::new();
    for (why, token) in &bad {
        let answer = send(&connection, token)?.expect(400)?;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{why}");
        answers.push(answer.body);
    }
    let other = Connection::new()?;
    let of_another = send(&connection, &token(&other, &good)?)?.expect(400)?;
    let unknown = Request::post(endpoint(&connection, "nobody"))
        .form(&[("logout_token", &signed(json!({}))?)])
        .send()?
        .expect(400)?;
    let nothing = Request::post(endpoint(&connection, &connection.id))
        .form(&[("token", "x")])
        .send()?
        .expect(400)?;
    answers.extend([of_another.body, unknown.body, nothing.body]);
    for answer in &answers {
        let answer: Value = serde_json::from_str(answer)?;
        assert_eq!(answer, json!({"error": "invalid_request"}));
    }
    connection.api.expect_active(&alice)?;

    // The log has what the provider is not told.
    let path = format!("/backchannel-logout/{}", connection.id);
    let reasons = until("the refusals in the log", || {
        let events = connection.api.events("action=credential.refused")?;
        let ours = events.iter().filter(|one| one["request"]["path"] == *path);
        let mut reasons: Vec<String> = ours
            .filter_map(|event| event["reason"].as_str().map(str::to_owned))
            .collect();
        reasons.sort();
        Ok((reasons.len() >= bad.len() + 2).then_some(reasons))
    })?;
    let expected = bad.iter().map(|(why, _)| *why);
    let mut expected: Vec<String> = expected
        // A key that the other provider has and this one has not.
        .chain(["unknown_key", "missing"])
        .map(|why| format!("logout_token_{why}"))
        .collect();
    expected.sort();
    assert_eq!(reasons, expected);
    Ok(())
}

#[test]
fn a_connection_that_is_off_hears_nothing() -> Result {
    let connection = Connection::new()?;
    let token = token(&connection, &json!({"sub": "alice"}))?;
    connection.about("POST", "/disable", None)?.expect(200)?;
    send(&connection, &token)?.expect(400)?;
    connection.about("POST", "/enable", None)?.expect(200)?;
    logged_out(&connection, &token)
}

#[test]
fn a_token_that_cannot_be_verified_now_may_be_sent_again() -> Result {
    let connection = Connection::new()?;
    let token = token(&connection, &json!({"sub": "alice"}))?;
    let gone = Outage::Status(503);
    connection.upstream.down(&[Endpoint::Metadata], gone)?;
    let later = send(&connection, &token)?.expect(503)?;
    assert!(later.header("retry-after").is_some());
    connection.upstream.down(&[], gone)?;
    // A provider that has just failed is not asked again at once.
    until("the log-out", || {
        let answer = send(&connection, &token)?;
        Ok((answer.status == 200).then_some(()))
    })
}

#[test]
fn a_token_of_any_algorithm_and_from_before_there_was_an_expiry_is_good() -> Result {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let connection = Connection::new()?;
        let claims = claims(&connection, &json!({"sub": "alice", "exp": null}))?;
        let header = json!({"typ": "JWT"});
        let token = connection
            .upstream
            .token_with(algorithm, &claims, &header)?;
        logged_out(&connection, &token)?;
    }
    Ok(())
}

#[test]
fn a_log_out_takes_the_providers_own_tokens_along_though_nobody_logged_in_here() -> Result {
    let connection = Connection::with(&json!({"tokens": {"audiences": ["api://app"]}}))?;
    let now = unix_secs();
    let issued = |sid: Option<&str>| -> Result<String> {
        let mut claims = json!({
            "iss": connection.upstream.issuer, "aud": "api://app", "sub": "alice",
            "iat": now - 5, "exp": now + 600, "jti": random_text()?,
        });
        if let Some(sid) = sid {
            claims["sid"] = json!(sid);
        }
        connection.upstream.token(&claims, &json!({}))
    };
    let (of_first, of_second, of_any) = (issued(Some("s-1"))?, issued(Some("s-2"))?, issued(None)?);
    let said = |token: &str| -> Result<String> {
        let verdict = connection.api.check_token(token)?;
        let said = verdict["reason"].as_str().or(verdict["verdict"].as_str());
        Ok(said.unwrap_or_default().to_owned())
    };
    for token in [&of_first, &of_second, &of_any] {
        assert_eq!(said(token)?, "active");
    }
    let of_session = json!({"sub": "alice", "sid": "s-1"});
    logged_out(&connection, &token(&connection, &of_session)?)?;
    assert_eq!(said(&of_first)?, "session_ended");
    assert_eq!(said(&of_any)?, "session_ended");
    assert_eq!(said(&of_second)?, "active");
    logged_out(&connection, &token(&connection, &json!({"sub": "alice"}))?)?;
    assert_eq!(said(&of_second)?, "issued_before_kill");
    Ok(())
}
