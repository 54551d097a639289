//! Tokens bound to a key of the client's.

use super::{assert_token_error, flow};
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::people::Person;

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
