//! Providers that lie, are mixed up, or are led astray. Each log-in is refused, and the log says why.

use portcullis_e2e::Result;
use portcullis_e2e::app::parameter;
use portcullis_e2e::browser::Browser;
use portcullis_e2e::connection::{Connection, refusal};
use portcullis_e2e::upstream::{Endpoint, Lie};
use portcullis_e2e::wait::unix_secs;
use serde_json::json;
use std::time::Duration;
use url::Url;

/// Lets the provider tell `lie`, and expects the log-in to be refused for `reason`.
fn refused_for(connection: &Connection, lie: Lie, reason: &str) -> Result {
    let before = connection.reasons("credential.refused")?.len();
    connection.upstream.lie(lie)?;
    assert_eq!(
        connection.refused_log_in("alice")?,
        "server_error",
        "{reason}"
    );
    let reasons = connection.reasons("credential.refused")?;
    assert_eq!(reasons.get(before..), Some(&[reason.to_owned()][..]));
    Ok(())
}

#[test]
fn an_id_token_for_another_purpose_is_refused() -> Result {
    let connection = Connection::new()?;
    for (lie, reason) in [
        (
            Lie::claim("iss", json!("https://evil.example")),
            "id_token_issuer",
        ),
        (Lie::claim("aud", json!("another")), "id_token_audience"),
        (
            Lie::claim("aud", json!(["portcullis", "another"])),
            "id_token_audience",
        ),
        (Lie::claim("azp", json!("another")), "id_token_audience"),
        (Lie::claim("nonce", json!("another")), "id_token_nonce"),
        (Lie::claim("nonce", json!(null)), "id_token_nonce"),
        (Lie::claim("sub", json!(null)), "id_token_claims"),
        (
            Lie::claim("exp", json!(unix_secs() - 1)),
            "id_token_expired",
        ),
        (Lie::claim("exp", json!("9999999999")), "id_token_claims"),
        (
            Lie::claim("iat", json!(unix_secs() + 600)),
            "id_token_not_yet_valid",
        ),
        (
            Lie::claim("iat", json!(unix_secs() - 3600)),
            "id_token_expired",
        ),
        (Lie::header(json!({"typ": "logout+jwt"})), "id_token_type"),
    ] {
        refused_for(&connection, lie, reason)?;
    }
    connection.upstream.tell_the_truth()?;
    connection.log_in("alice")?;
    Ok(())
}

#[test]
fn an_id_token_with_another_algorithm_or_key_is_refused() -> Result {
    let connection = Connection::new()?;
    for (lie, reason) in [
        (Lie::unsigned("none"), "id_token_algorithm"),
        (Lie::unsigned("None"), "id_token_algorithm"),
        (Lie::hmac_with_pem(), "id_token_algorithm"),
        (
            Lie::header(json!({"kid": "nobodys"})),
            "id_token_unknown_key",
        ),
        (Lie::header(json!({"crit": ["b64"]})), "id_token_malformed"),
    ] {
        refused_for(&connection, lie, reason)?;
    }
    Ok(())
}

#[test]
fn an_answer_of_one_provider_is_not_taken_for_anothers() -> Result {
    let (honest, attacker) = (Connection::new()?, Connection::new()?);
    // The browser set out for the honest provider and comes back to the attacker's redirect URI.
    let mut browser = Browser::new();
    let attempt = honest.attempt()?;
    let set_out = browser.step(&attempt.url)?.expect(302)?;
    let to_provider = Url::parse(set_out.header("location").unwrap_or_default())?;
    let redirect_uri = parameter(&to_provider, "redirect_uri").unwrap_or_default();
    assert!(redirect_uri.ends_with(&honest.id), "{redirect_uri}");
    let state = parameter(&to_provider, "state").unwrap_or_default();
    let service = &honest.endpoints().service;
    let mixed_up = format!("{service}/callback/{}?code=x&state={state}", attacker.id);
    let landed = browser.go(&Url::parse(&mixed_up)?, Some(&honest.app.redirect_uri))?;
    assert_eq!(refusal(landed)?, "access_denied");
    assert_eq!(
        honest.reasons("credential.refused")?,
        ["connection_mismatch"]
    );
    assert_eq!(attacker.upstream.counts()?.of(Endpoint::Token), 0);
    Ok(())
}

#[test]
fn an_answer_must_say_by_whom_it_is_if_the_provider_promises_to() -> Result {
    let connection = Connection::new()?;
    for (iss, reasons) in [
        ("&iss=https%3A%2F%2Fevil.example", 1),
        // oidc-provider says `authorization_response_iss_parameter_supported`.
        ("", 2),
    ] {
        let mut browser = Browser::new();
        let set_out = browser.step(&connection.attempt()?.url)?.expect(302)?;
        let to_provider = Url::parse(set_out.header("location").unwrap_or_default())?;
        let state = parameter(&to_provider, "state").unwrap_or_default();
        let service = &connection.endpoints().service;
        let back = format!(
            "{service}/callback/{}?code=x&state={state}{iss}",
            connection.id
        );
        let landed = browser.go(&Url::parse(&back)?, Some(&connection.app.redirect_uri))?;
        assert_eq!(refusal(landed)?, "access_denied");
        let expected = vec!["provider_mismatch"; reasons];
        assert_eq!(connection.reasons("credential.refused")?, expected);
    }
    assert_eq!(connection.upstream.counts()?.of(Endpoint::Token), 0);
    Ok(())
}

#[test]
fn metadata_that_leads_elsewhere_is_not_followed() -> Result {
    for lie in [
        json!({"issuer": "https://evil.example"}),
        json!({"jwks_uri": "http://169.254.169.254/latest/meta-data"}),
        json!({"token_endpoint": "https://10.0.0.1/token"}),
        json!({"authorization_endpoint": "https://idp.internal/auth"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
    ] {
        let connection = Connection::new()?;
        connection.upstream.metadata(&lie)?;
        let refused = connection.refused_log_in("alice")?;
        assert_eq!(refused, "temporarily_unavailable", "{lie}");
    }
    Ok(())
}

#[test]
fn redirects_of_a_provider_are_not_followed() -> Result {
    for endpoint in [Endpoint::Metadata, Endpoint::Jwks, Endpoint::Token] {
        let connection = Connection::new()?;
        let other = Connection::new()?;
        connection
            .upstream
            .redirect(endpoint, 307, &other.upstream.issuer)?;
        let refused = connection.refused_log_in("alice")?;
        assert_eq!(refused, "temporarily_unavailable", "{endpoint:?}");
    }
    Ok(())
}

#[test]
fn a_key_document_without_end_is_not_read() -> Result {
    let connection = Connection::new()?;
    connection.upstream.huge_jwks(2_000)?;
    let refused = connection.refused_log_in("alice")?;
    assert_eq!(refused, "temporarily_unavailable");
    Ok(())
}

#[test]
fn a_provider_that_does_not_answer_in_time_is_given_up() -> Result {
    let connection = Connection::new()?;
    connection
        .upstream
        .slow(Endpoint::Token, Duration::from_secs(8))?;
    let refused = connection.refused_log_in("alice")?;
    assert_eq!(refused, "temporarily_unavailable");
    connection.upstream.slow(Endpoint::Token, Duration::ZERO)?;
    connection.log_in("alice")?;
    Ok(())
}
