//! Userinfo, introspection, revocation.

use super::{assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::Person;
use serde_json::json;

#[test]
fn userinfo_says_what_the_scopes_allow_and_a_bound_token_needs_its_proof() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "tokens", "userinfo")?;
    assert_eq!(seen["openid"], json!({ "sub": seen["sub"] }));
    assert!(seen["profile"]["name"].is_string(), "{seen}");
    assert!(seen["profile"].get("email").is_none(), "{seen}");
    assert!(seen["email"]["email"].is_string(), "{seen}");
    assert_eq!(seen["bound"]["sub"], seen["sub"]);
    for how in ["downgraded", "garbage"] {
        assert_eq!(seen[how]["name"], "WWWAuthenticateChallengeError", "{seen}");
        assert_eq!(seen[how]["status"], 401, "{seen}");
    }
    Ok(())
}

#[test]
fn introspection_tells_the_resource_server_and_says_inactive_once_it_is_revoked() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "tokens", "introspection")?;
    let tokens = Tokens::of(seen["tokens"].clone())?;
    assert_eq!(seen["before"]["active"], true, "{seen}");
    assert_eq!(seen["before"]["sub"], tokens.subject.as_str());
    assert_eq!(seen["before"]["client_id"], "demo-app");
    for how in ["notItsBusiness", "after", "garbage"] {
        assert_eq!(seen[how], json!({ "active": false }), "{how}");
    }
    assert_token_error(&seen["public"], 401, "invalid_client");
    Ok(())
}

#[test]
fn a_refresh_token_that_is_given_back_takes_its_session_along_and_nobody_elses() -> Result {
    let person = Person::new()?;
    let seen = flow(&person, "tokens", "revocation")?;
    person
        .api
        .expect_denied(&Tokens::of(seen["ended"].clone())?, "session_ended")?;
    person
        .api
        .expect_active(&Tokens::of(seen["kept"].clone())?)?;
    assert_token_error(&seen["foreign"], 400, "invalid_grant");
    assert_token_error(&seen["refreshed"], 400, "invalid_grant");
    assert_eq!(seen["garbage"], true);
    Ok(())
}
