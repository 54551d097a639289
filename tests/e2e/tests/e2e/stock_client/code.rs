//! Discovery, the authorization code flow, log-out, and their refusals.

use super::{assert_authorization_error, assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, audiences};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stock;
use serde_json::json;

#[test]
fn a_client_that_knows_the_issuer_alone_finds_everything_by_either_well_known_document() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "code", "discovery", json!({}))?;
    for algorithm in ["oidc", "oauth2"] {
        let metadata = &seen[algorithm];
        assert_eq!(metadata["issuer"], site.endpoints().service.as_str());
        assert_eq!(metadata["pkce"], true, "{metadata}");
        for endpoint in [
            "authorization_endpoint",
            "token_endpoint",
            "jwks_uri",
            "end_session_endpoint",
        ] {
            assert!(metadata[endpoint].is_string(), "{endpoint}: {metadata}");
        }
    }
    Ok(())
}

#[test]
fn code_with_pkce_state_nonce_and_iss_gives_tokens_that_stock_libraries_verify() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "code", "code")?;
    let tokens = Tokens::of(seen["tokens"].clone())?;
    assert_eq!(seen["id"]["sub"], tokens.subject.as_str());
    assert_eq!(seen["id"]["sid"], tokens.session.as_str());
    assert_eq!(seen["access"]["sub"], tokens.subject.as_str());
    assert_eq!(seen["access"]["client_id"], "demo-app");
    assert_eq!(
        audiences(&seen["access"]),
        [person.endpoints().gateway.as_str()]
    );
    person.api.expect_active(&tokens)
}

#[test]
fn an_answer_without_iss_or_in_anothers_name_is_refused_by_the_client() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "code", "iss")?;
    for how in ["missing", "foreign"] {
        assert_eq!(seen[how]["code"], "OAUTH_INVALID_RESPONSE", "{seen}");
    }
    Ok(())
}

#[test]
fn a_misused_code_is_an_invalid_grant_and_a_second_use_ends_the_first() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "code", "misused")?;
    for how in ["twice", "verifier", "redirect"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    let tokens = Tokens::of(seen["tokens"].clone())?;
    person.api.expect_denied(&tokens, "session_ended")
}

#[test]
fn a_request_that_cannot_be_answered_comes_back_with_its_error_or_stays_with_us() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "code", "refused")?;
    assert_authorization_error(&seen["responseType"], "unsupported_response_type");
    assert_authorization_error(&seen["plain"], "invalid_request");
    for how in ["redirect", "client"] {
        assert_eq!(seen[how]["page"]["status"], 400, "{seen}");
        let at = format!("{}/authorize", person.endpoints().service);
        assert_eq!(seen[how]["page"]["at"], at, "{seen}");
    }
    Ok(())
}

#[test]
fn somebody_who_is_deactivated_comes_back_with_access_denied() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    person.scim.set_active(&id, false)?.expect(200)?;
    assert_authorization_error(&flow(&person, "code", "denied")?, "access_denied");
    Ok(())
}

#[test]
fn a_client_that_is_not_registered_is_an_invalid_client() -> Result {
    let person = Person::new()?;
    assert_token_error(&flow(&person, "code", "stranger")?, 401, "invalid_client");
    Ok(())
}

#[test]
fn a_log_out_at_the_metadatas_endpoint_ends_the_session_and_comes_back_with_its_state() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "code", "logout")?;
    assert_eq!(seen["returned"], true, "{seen}");
    let tokens = Tokens::of(seen["tokens"].clone())?;
    person.api.expect_denied(&tokens, "session_ended")
}
