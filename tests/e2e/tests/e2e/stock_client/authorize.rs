//! Consent, step-up, resources, and requests that are pushed.

use super::{assert_authorization_error, assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, audiences};
use portcullis_e2e::people::Person;
use serde_json::json;

#[test]
fn an_application_of_somebody_elses_is_asked_about_once_per_scope() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "authorize", "consent")?;
    assert_authorization_error(&seen["denied"], "access_denied");
    // Denied, allowed, remembered, asked about what is new, and asked because it wants so.
    assert_eq!(seen["asked"], json!([true, true, false, true, true]));
    person
        .api
        .expect_active(&Tokens::of(seen["allowed"].clone())?)?;
    for tokens in seen["live"].as_array().into_iter().flatten() {
        person.api.expect_active(&Tokens::of(tokens.clone())?)?;
    }
    Ok(())
}

#[test]
fn max_age_and_acr_values_are_met_as_the_client_verifies_them() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "authorize", "stepUp")?;
    assert!(seen["maxAge"]["auth_time"].is_u64(), "{seen}");
    assert_eq!(seen["acr"]["acr"], "urn:demo:acr:two-factors", "{seen}");
    Ok(())
}

#[test]
fn prompt_none_without_a_log_in_is_login_required() -> Result {
    let person = Person::new()?;
    assert_authorization_error(&flow(&person, "authorize", "silent")?, "login_required");
    Ok(())
}

#[test]
fn a_token_is_for_the_resource_that_was_asked_for_and_no_other_can_be() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "authorize", "resource")?;
    let gateway = person.endpoints().gateway.as_str();
    assert_eq!(audiences(&seen["access"]), [gateway]);
    assert_authorization_error(&seen["elsewhere"], "invalid_target");
    Ok(())
}

#[test]
fn a_request_is_pushed_first_and_its_name_is_good_for_once() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "authorize", "pushed")?;
    assert_eq!(seen["parameters"], json!(["client_id", "request_uri"]));
    person
        .api
        .expect_active(&Tokens::of(seen["tokens"].clone())?)?;
    assert_eq!(seen["twice"]["page"]["status"], 400, "{seen}");
    assert_token_error(&seen["refused"], 400, "invalid_request");
    Ok(())
}

#[test]
fn a_code_that_was_pushed_with_a_proof_is_worth_nothing_to_another_key() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "authorize", "pushedBound")?;
    for how in ["thief", "bearer"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    assert_eq!(seen["owner"]["token_type"], "dpop", "{seen}");
    Ok(())
}
