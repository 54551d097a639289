//! A confidential client: how it authenticates, tokens for itself, and token exchange.

use super::{assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stock;
use serde_json::json;

#[test]
fn a_service_gets_a_token_for_itself_by_its_secret_in_either_place() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "service", "credentials", json!({}))?;
    for how in ["basic", "post"] {
        let (tokens, access) = (&seen[how]["tokens"], &seen[how]["access"]);
        assert_eq!(tokens["scope"], "read", "{seen}");
        assert!(tokens.get("refresh_token").is_none(), "{seen}");
        assert!(tokens.get("id_token").is_none(), "{seen}");
        assert_eq!(access["client_id"], "demo-service");
        site.api.expect_active(&Tokens::of(tokens.clone())?)?;
    }
    assert_eq!(
        seen["basic"]["access"]["sub"], seen["post"]["access"]["sub"],
        "a service is one subject"
    );
    Ok(())
}

#[test]
fn whoever_is_not_the_service_is_refused_in_the_same_words() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "service", "impostors", json!({}))?;
    for how in ["wrong", "none", "unknown", "public"] {
        assert_token_error(&seen[how], 401, "invalid_client");
        assert_eq!(seen[how], seen["wrong"], "{seen}");
    }
    // Asked for what it tried: HTTP authentication (RFC 6749 section 5.2).
    for how in ["wrongBasic", "unknownBasic"] {
        assert_eq!(seen[how]["name"], "WWWAuthenticateChallengeError", "{seen}");
        assert_eq!(seen[how]["status"], 401, "{seen}");
        assert_eq!(seen[how], seen["wrongBasic"], "{seen}");
    }
    Ok(())
}

#[test]
fn a_service_gets_no_more_than_it_may_have() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "service", "exceeded", json!({}))?;
    assert_token_error(&seen["scope"], 400, "invalid_scope");
    assert_token_error(&seen["resource"], 400, "invalid_target");
    assert_token_error(&seen["grant"], 400, "unauthorized_client");
    Ok(())
}

#[test]
fn a_service_exchanges_a_persons_token_for_one_that_names_it_as_the_actor() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "service", "exchange")?;
    let before = Tokens::of(seen["person"].clone())?;
    let after = Tokens::of(seen["tokens"].clone())?;
    assert_eq!(
        seen["tokens"]["issued_token_type"],
        "urn:ietf:params:oauth:token-type:access_token"
    );
    assert_eq!(
        (&after.subject, &after.session),
        (&before.subject, &before.session)
    );
    let access = &seen["access"];
    assert_eq!(access["client_id"], "demo-service");
    assert!(access["act"]["sub"].is_string(), "{access}");
    assert_ne!(access["act"]["sub"], access["sub"]);
    assert_token_error(&seen["idToken"], 400, "invalid_request");
    person.api.expect_active(&after)?;
    person
        .api
        .revoke(&json!({ "subject": before.subject }))?
        .expect(200)?;
    person.api.expect_denied(&after, "session_ended")
}
