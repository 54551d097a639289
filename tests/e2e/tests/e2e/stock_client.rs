//! Each flow as a stock client meets it: npm `openid-client`, with all of its checks on, and
//! nothing of ours in between. The scripts are in `tests/e2e/clients`.

use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, audiences};
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::stock;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Runs a flow of `group` as `person`.
#[track_caller]
fn flow(person: &Person, group: &str, flow: &str) -> Result<Value> {
    let input = json!({ "user": person.name });
    stock::run(person.endpoints(), group, flow, input)
}

/// Fails unless the token endpoint refused with this status and error code (RFC 6749 section 5.2).
#[track_caller]
fn assert_token_error(seen: &Value, status: u16, error: &str) {
    assert_eq!(seen["name"], "ResponseBodyError", "{seen}");
    assert_eq!(seen["status"], status, "{seen}");
    assert_eq!(seen["error"], error, "{seen}");
}

/// Fails unless the browser brought this error back (RFC 6749 section 4.1.2.1).
#[track_caller]
fn assert_authorization_error(seen: &Value, error: &str) {
    assert_eq!(seen["name"], "AuthorizationResponseError", "{seen}");
    assert_eq!(seen["error"], error, "{seen}");
}

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

#[test]
fn refresh_rotates_and_each_answer_is_of_the_same_session() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "refresh", "rotate")?;
    let answers = seen["tokens"].as_array().cloned().unwrap_or_default();
    let refresh: BTreeSet<_> = answers
        .iter()
        .map(|it| it["refresh_token"].as_str())
        .collect();
    assert_eq!(refresh.len(), 3, "each is another: {seen}");
    let tokens: Vec<Tokens> = answers.into_iter().map(Tokens::of).collect::<Result<_>>()?;
    let sessions: BTreeSet<_> = tokens.iter().map(|it| &it.session).collect();
    assert_eq!(sessions.len(), 1, "{seen}");
    assert_eq!(seen["access"]["sid"], seen["id"]["sid"]);
    assert_eq!(person.api.sessions(&tokens[0].subject)?.len(), 1);
    tokens
        .iter()
        .try_for_each(|tokens| person.api.expect_active(tokens))
}

#[test]
fn a_refresh_whose_answer_was_lost_gets_the_same_successor_again() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "refresh", "retry")?;
    let successors: BTreeSet<_> = seen["successors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(Value::as_str)
        .collect();
    assert_eq!(successors.len(), 1, "{seen}");
    person.api.expect_active(&Tokens::of(seen["last"].clone())?)
}

#[test]
fn a_refresh_token_from_before_its_used_successor_ends_the_family() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "refresh", "reuse")?;
    for how in ["reused", "latest"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    person
        .api
        .expect_denied(&Tokens::of(seen["tokens"].clone())?, "session_ended")
}

#[test]
fn a_refresh_may_ask_for_less_and_not_for_more() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "refresh", "scope")?;
    assert_token_error(&seen["more"], 400, "invalid_scope");
    assert_eq!(seen["less"]["scope"], "openid", "{seen}");
    person.api.expect_active(&Tokens::of(seen["less"].clone())?)
}

#[test]
fn a_refresh_token_that_is_made_up_or_another_clients_is_an_invalid_grant() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "refresh", "foreign")?;
    for how in ["made", "anothers"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    Ok(())
}

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

#[test]
fn what_is_bound_to_a_clients_key_is_worth_nothing_without_it() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "dpop", "bound")?;
    for (tokens, access) in [0, 1].map(|at| (&seen["tokens"][at], &seen["access"][at])) {
        assert_eq!(tokens["token_type"], "dpop", "{seen}");
        assert_eq!(access["cnf"]["jkt"], seen["thumbprint"], "{seen}");
    }
    for how in ["bearer", "thief"] {
        assert_token_error(&seen[how], 400, "invalid_grant");
    }
    // Neither attempt cost the owner anything.
    let last = Tokens::of(seen["third"].clone())?;
    let session = person.api.check_session(&last.subject, &last.session)?;
    assert_eq!(session["verdict"], "active", "{session}");
    Ok(())
}
