//! Tokens that are bound to a key, at the gateway.

use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::oauth::{log_in_bound, proof};
use portcullis_e2e::people::Person;
use serde_json::json;

fn ask(url: &str, tokens: &Tokens, proof: &str) -> Result<Response> {
    Request::get(url)
        .header("authorization", format!("DPoP {}", tokens.access))
        .header("dpop", proof)
        .send()
}

/// The challenge of this scheme, which a refusal must have.
#[track_caller]
fn challenge<'a>(refused: &'a Response, scheme: &str) -> Result<&'a str> {
    refused
        .headers("www-authenticate")
        .flat_map(|value| value.split(", ").map(move |part| (value, part)))
        .find(|(_, part)| part.split(' ').next() == Some(scheme))
        .map(|(value, _)| value)
        .ok_or_else(|| refused.unexpected(&format!("a challenge of the scheme {scheme}")))
}

#[test]
fn a_bound_token_passes_with_a_new_proof_for_each_request_and_neither_reaches_the_origin() -> Result
{
    let person = Person::new()?;
    let key = Forger::new()?;
    let tokens = log_in_bound(&person.app, person.name, &key)?;
    let url = format!("{}/a%20b/c", person.endpoints().gateway);
    let token = Some(tokens.access.as_str());
    for query in ["", "?d=e"] {
        let asked = format!("{url}{query}");
        let seen = ask(&asked, &tokens, &proof(&key, "GET", &url, token)?)?;
        let seen = seen.expect(200)?.json()?;
        assert_eq!(seen["path"], "/a%20b/c");
        assert_eq!(
            seen["headers"]["portcullis-subject"],
            tokens.subject.as_str()
        );
        for gone in ["authorization", "dpop"] {
            assert!(seen["headers"].get(gone).is_none(), "{seen}");
        }
    }
    // It can be ended like any other.
    let revoked = json!({ "subject": tokens.subject });
    person.api.revoke(&revoked)?.expect(200)?;
    let refused = ask(&url, &tokens, &proof(&key, "GET", &url, token)?)?.expect(401)?;
    assert_eq!(refused.problem()?["reason"], "session_ended");
    let challenge = challenge(&refused, "DPoP")?;
    assert!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    Ok(())
}

#[test]
fn a_proof_that_is_used_or_of_another_key_request_or_token_is_refused() -> Result {
    let person = Person::new()?;
    let key = Forger::new()?;
    let tokens = log_in_bound(&person.app, person.name, &key)?;
    let url = format!("{}/reports", person.endpoints().gateway);
    let elsewhere = format!("{}/other", person.endpoints().gateway);
    let origin = format!("{}/reports", person.endpoints().origin);
    let token = Some(tokens.access.as_str());
    let good = proof(&key, "GET", &url, token)?;
    ask(&url, &tokens, &good)?.expect(200)?;

    for (bad, reason) in [
        (good, "proof_replayed"),
        (proof(&key, "POST", &url, token)?, "proof_request"),
        (proof(&key, "GET", &elsewhere, token)?, "proof_request"),
        (proof(&key, "GET", &origin, token)?, "proof_request"),
        (proof(&key, "GET", &url, None)?, "proof_claims"),
        (proof(&key, "GET", &url, Some("another"))?, "proof_binding"),
        ("nonsense".to_owned(), "proof_malformed"),
    ] {
        let refused = ask(&url, &tokens, &bad)?.expect(401)?;
        assert_eq!(refused.problem()?["reason"], reason);
        let challenge = challenge(&refused, "DPoP")?;
        assert!(
            challenge.contains(r#"error="invalid_dpop_proof""#),
            "{challenge}"
        );
        assert!(challenge.contains(r#"algs="ES256 EdDSA""#), "{challenge}");
    }
    // A good proof of a key that the token is not bound to.
    let thief = proof(&Forger::new()?, "GET", &url, token)?;
    let refused = ask(&url, &tokens, &thief)?.expect(401)?;
    assert_eq!(refused.problem()?["reason"], "binding");
    let challenge = challenge(&refused, "DPoP")?;
    assert!(
        challenge.contains(r#"error="invalid_token""#),
        "{challenge}"
    );
    Ok(())
}

#[test]
fn neither_scheme_is_taken_for_the_other() -> Result {
    let person = Person::new()?;
    let key = Forger::new()?;
    let bound = log_in_bound(&person.app, person.name, &key)?;
    let url = format!("{}/reports", person.endpoints().gateway);

    // Downgraded, with a good proof or without; also after the token was seen with its proof.
    ask(
        &url,
        &bound,
        &proof(&key, "GET", &url, Some(&bound.access))?,
    )?
    .expect(200)?;
    let plain = Request::get(&url).bearer(&bound.access);
    let with_proof = plain
        .clone()
        .header("dpop", proof(&key, "GET", &url, Some(&bound.access))?);
    let cookie = Request::get(&url).header("cookie", format!("__Host-portcullis={}", bound.access));
    for request in [plain, with_proof, cookie] {
        let refused = request.send()?.expect(401)?;
        assert_eq!(refused.problem()?["reason"], "proof_required");
        challenge(&refused, "Bearer")?;
        challenge(&refused, "DPoP")?;
    }
    let bare = Request::get(&url).header("authorization", format!("DPoP {}", bound.access));
    let refused = bare.send()?.expect(401)?;
    assert_eq!(refused.problem()?["reason"], "proof_not_one");

    // And a token that is bound to nothing is not made better by a proof.
    let free = person.app.log_in(person.name)?;
    Request::get(&url)
        .bearer(&free.access)
        .send()?
        .expect(200)?;
    let refused = ask(&url, &free, &proof(&key, "GET", &url, Some(&free.access))?)?;
    assert_eq!(refused.expect(401)?.problem()?["reason"], "binding");
    Ok(())
}
