//! How a client comes to be known, and proves who it is by a key; workload identity; back-channel log-out.

use super::{assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::api::Api;
use portcullis_e2e::app::{Tokens, claims};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::stock;
use serde_json::json;

#[test]
fn a_client_is_told_that_a_session_is_over_by_a_logout_token_that_verifies() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "tokens", "backChannel")?;
    let payload = &seen["payload"];
    assert_eq!(payload["sid"], seen["id"]["sid"]);
    let event = "http://schemas.openid.net/event/backchannel-logout";
    assert!(payload["events"][event].is_object(), "{payload}");
    assert!(payload["jti"].is_string() && payload.get("nonce").is_none());
    Ok(())
}

#[test]
fn private_key_jwt_proves_a_client_once_per_assertion() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "registration", "privateKeyJwt", json!({}))?;
    assert_eq!(seen["access"]["client_id"], seen["clientId"]);
    site.api
        .expect_active(&Tokens::of(seen["tokens"].clone())?)?;
    for how in ["replayed", "other", "keyless"] {
        assert_token_error(&seen[how], 401, "invalid_client");
    }
    Ok(())
}

#[test]
fn a_client_that_nobody_knows_registers_itself_where_that_is_allowed_and_not_elsewhere() -> Result {
    let stack = Stack::start_with(&Settings::vars(&["CLIENT_REGISTRATION=dynamic"]))?;
    let user = json!({ "user": "alice" });
    let seen = stock::run(&stack.at, "registration", "dynamic", user)?;
    let tokens = Tokens::of(seen["tokens"].clone())?;
    Api::new(&stack.at).expect_active(&tokens)?;
    let claims = claims(&tokens.access)?;
    assert_eq!(claims["client_id"], seen["clientId"]);

    let closed = Site::any()?;
    let seen = stock::run(closed.endpoints(), "registration", "notAllowed", json!({}))?;
    assert!(
        seen["code"].is_string() || seen["name"].is_string(),
        "{seen}"
    );
    Ok(())
}

#[test]
fn a_client_id_may_be_the_address_of_its_own_description_where_that_is_allowed() -> Result {
    let vars = ["CLIENT_REGISTRATION=metadata-document"];
    let stack = Stack::start_with(&Settings::vars(&vars))?;
    let user = json!({ "user": "alice" });
    let seen = stock::run(&stack.at, "registration", "document", user)?;
    let tokens = Tokens::of(seen["tokens"].clone())?;
    Api::new(&stack.at).expect_active(&tokens)?;
    assert_eq!(claims(&tokens.access)?["client_id"], seen["clientId"]);
    Ok(())
}

#[test]
fn a_workloads_own_token_is_enough_within_a_declared_trust_by_either_grant() -> Result {
    let site = Site::any()?;
    let seen = stock::run(site.endpoints(), "registration", "workload", json!({}))?;
    assert_eq!(seen["tokens"]["scope"], "deploy", "{seen}");
    assert_eq!(seen["access"]["client_id"], seen["clientId"]);
    for how in ["exchanged", "again"] {
        let tokens = Tokens::of(seen[how].clone())?;
        site.api.expect_active(&tokens)?;
        assert_eq!(
            tokens.subject, seen["access"]["sub"],
            "a service is one subject"
        );
    }
    for how in ["otherRef", "otherRepository", "elsewhere"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    assert_token_error(&seen["moreScope"], 400, "invalid_scope");
    Ok(())
}
