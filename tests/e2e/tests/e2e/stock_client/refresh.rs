//! Refresh tokens: rotation, retries, reuse, scope.

use super::{assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::Person;
use serde_json::Value;
use std::collections::BTreeSet;

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
