//! Tokens that are malformed, forged, or for somebody else: at the check and at the gateway.
//!
//! Times are tried with forged signatures here; what a good signature over bad times is worth is
//! shown by the tests of `crates/core/src/jwt`, where the clock is an argument.

use portcullis_core::text::from_base64url;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{App, Tokens, audiences, claims, header, random_text};
use portcullis_e2e::forge::{Forger, hmac_with, unsigned, with_bent_signature, with_claim};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Person;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::unix_secs;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};

/// What is wrong with a token, the token, and the reasons that fit.
type Case = (&'static str, String, &'static [&'static str]);

/// Cases that are no `b64token` and so not even a bearer credential (RFC 6750 sections 2.1 and 3.1).
const NO_BEARER_SYNTAX: [&str; 2] = ["empty", "padded"];
const MALFORMED: &[&str] = &["token_malformed", "token_too_large"];
const FORGED: &[&str] = &["token_signature"];
const ALGORITHM: &[&str] = &["token_algorithm", "token_malformed"];

fn cases(person: &Person, good: &Tokens) -> Result<Vec<Case>> {
    let forger = Forger::new()?;
    let claims = claims(&good.access)?;
    let head = header(&good.access)?;
    let head_with = |name: &str, value: Value| {
        let mut changed = head.clone();
        changed[name] = value;
        changed
    };
    let forged_with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        forger.sign(&head, &changed)
    };
    let [first, second, third] = parts(&good.access)?;
    let id_token = good.id.clone().unwrap_or_default();
    let now = unix_secs();
    let mut cases: Vec<Case> = vec![
        ("empty", String::new(), MALFORMED),
        ("a word", "token".to_owned(), MALFORMED),
        ("dots", "..".to_owned(), MALFORMED),
        ("two parts", format!("{first}.{second}"), MALFORMED),
        ("four parts", format!("{}.x", good.access), MALFORMED),
        ("padded", format!("{first}=.{second}.{third}"), MALFORMED),
        (
            "too long",
            format!("{first}.{second}.{}", "A".repeat(20_000)),
            MALFORMED,
        ),
        (
            "no signature",
            format!("{first}.{second}."),
            &["token_signature", "token_malformed"],
        ),
        ("alg none", unsigned(&claims), ALGORITHM),
        (
            "alg none, signed",
            forger.sign(&head_with("alg", json!("none")), &claims),
            ALGORITHM,
        ),
        (
            "alg of another key type",
            forger.sign(&head_with("alg", json!("RS256")), &claims),
            ALGORITHM,
        ),
        ("signed by another key", forger.sign(&head, &claims), FORGED),
        ("bent signature", with_bent_signature(&good.access)?, FORGED),
        (
            "later expiry",
            with_claim(&good.access, "exp", json!(now + 9999))?,
            FORGED,
        ),
        (
            "another session",
            with_claim(&good.access, "sid", json!("ses_AAECAwQFBgcICQoLDA0ODw"))?,
            FORGED,
        ),
        (
            "forged, expired",
            forged_with("exp", json!(now - 60)),
            FORGED,
        ),
        (
            "forged, from the future",
            forged_with("iat", json!(now + 3600)),
            FORGED,
        ),
        (
            "unknown kid",
            forger.sign(&head_with("kid", json!("nobody")), &claims),
            &["token_unknown_key"],
        ),
        (
            "brings its own key",
            forger.sign(&head_with("jwk", forger.jwk()), &claims),
            &["token_signature", "token_malformed"],
        ),
        (
            "asks for an unknown extension",
            forger.sign(&head_with("crit", json!(["x"])), &claims),
            &["token_malformed"],
        ),
        ("an ID token", id_token, &["token_type"]),
    ];
    for public in public_key_bytes(person, &head["kid"])? {
        cases.push((
            "HMAC with the public key",
            hmac_with(&public, &head["kid"], &claims),
            ALGORITHM,
        ));
    }
    Ok(cases)
}

fn parts(token: &str) -> Result<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    parts
        .try_into()
        .map_err(|_| Failure::new("not three parts"))
}

/// The published key in the forms that a careless verifier might use as an HMAC key.
fn public_key_bytes(person: &Person, kid: &Value) -> Result<Vec<Vec<u8>>> {
    let url = format!("{}/.well-known/jwks.json", person.endpoints().service);
    let published = Request::get(url).send()?.expect(200)?.json()?;
    let keys = published["keys"].as_array().cloned().unwrap_or_default();
    let key = keys
        .iter()
        .find(|key| &key["kid"] == kid)
        .ok_or_else(|| Failure::new("the key is not published"))?;
    let coordinate = |name: &str| {
        key[name]
            .as_str()
            .and_then(from_base64url)
            .unwrap_or_default()
    };
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    Ok(vec![point, key.to_string().into_bytes()])
}

fn at_the_gateway(person: &Person, token: &str) -> Result<Response> {
    Request::get(format!("{}/hello", person.endpoints().gateway))
        .bearer(token)
        .send()
}

#[test]
fn the_check_denies_every_bad_token_with_its_reason_and_nothing_changes() -> Result {
    let person = Person::new()?;
    let good = person.app.log_in(person.name)?;
    for (what, token, reasons) in cases(&person, &good)? {
        let response = person.api.check(&json!({ "token": token }))?.expect(200)?;
        let answer = response.json()?;
        let reason = answer["reason"].as_str().unwrap_or_default();
        if answer["verdict"] != "denied" || !reasons.contains(&reason) {
            return Err(response.unexpected(&format!("{what}: denied, one of {reasons:?}")));
        }
        assert!(
            !response.body.contains(&token) || token.len() < 8,
            "{what}: it is repeated"
        );
    }
    person.api.expect_active(&good)?;
    assert_eq!(person.api.sessions(&good.subject)?.len(), 1);
    Ok(())
}

#[test]
fn the_gateway_refuses_every_bad_token_and_asks_for_a_bearer() -> Result {
    let person = Person::new()?;
    let good = person.app.log_in(person.name)?;
    for (what, token, _) in cases(&person, &good)? {
        let response = at_the_gateway(&person, &token)?;
        let challenge = response.header("www-authenticate").unwrap_or_default();
        let expected = if NO_BEARER_SYNTAX.contains(&what) {
            (400, "error=\"invalid_request\"")
        } else {
            (401, "error=\"invalid_token\"")
        };
        if response.status != expected.0 || !challenge.contains(expected.1) {
            return Err(response.unexpected(&format!("{what}: {expected:?} in the challenge")));
        }
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(
            !response.body.contains(&token) || token.len() < 8,
            "{what}: it is repeated"
        );
    }
    at_the_gateway(&person, &good.access)?.expect(200)?;
    Ok(())
}

#[test]
fn a_refused_credential_is_in_the_log_and_what_was_presented_is_not() -> Result {
    let stack = Stack::start()?;
    let (api, app) = (Api::new(&stack.at), App::discover(&stack.at)?);
    let service = &stack.at.service;
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "nobody" });
    let claims =
        json!({ "iss": service, "aud": stack.at.gateway, "sub": "sub_AAECAwQFBgcICQoLDA0ODw" });
    let token = Forger::new()?.sign(&header, &claims);

    let at_gateway = format!("{}/hello?secret=in-the-query", stack.at.gateway);
    Request::get(at_gateway)
        .bearer(&token)
        .send()?
        .expect(401)?;
    api.check_token(&token)?;
    let unknown = "pc_not_a_bearer_of_ours";
    Request::get(format!("{service}/v1/audit/events"))
        .bearer(unknown)
        .send()?
        .expect(401)?;
    Request::get(format!("{service}/v1/audit/events"))
        .bearer(bearer::SCIM)
        .send()?
        .expect(403)?;
    app.redeem("pc_not_a_code_of_ours", &random_text()?)?
        .expect(400)?;
    let logout = Request::post(format!("{service}/logout"));
    logout
        .form(&[("id_token_hint", &token)])
        .send()?
        .expect(400)?;

    let events = api.expect_events("action=credential.refused", 6)?;
    for event in &events {
        assert_eq!(event["outcome"], "denied", "{event}");
        assert!(event["reason"].is_string(), "{event}");
        assert!(event["request"]["path"].is_string(), "{event}");
        assert!(
            event["subject"].is_null(),
            "whom a forged token names is nobody: {event}"
        );
    }
    let anonymous = events
        .iter()
        .filter(|event| event["actor"]["type"] == "anonymous");
    // All but the check, which a gateway of ours has asked for.
    assert_eq!(anonymous.count(), 5, "{events:#?}");

    let log = serde_json::to_string(&api.events("")?)?;
    let [_, payload, signature] = parts(&token)?;
    for secret in [
        payload,
        signature,
        unknown,
        "pc_not_a_code",
        "in-the-query",
        bearer::SCIM,
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    Ok(())
}

#[test]
fn a_good_token_for_another_audience_does_not_pass_the_gateway() -> Result {
    let stack = Stack::start_with(&Settings::vars(&["DEFAULT_AUDIENCE=https://other.example"]))?;
    let tokens = App::discover(&stack.at)?.log_in("alice")?;
    assert_eq!(
        audiences(&claims(&tokens.access)?),
        ["https://other.example"]
    );
    let response = Request::get(format!("{}/hello", stack.at.gateway))
        .bearer(&tokens.access)
        .send()?
        .expect(401)?;
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("invalid_token"), "{challenge}");
    Ok(())
}

#[test]
fn a_good_token_of_another_issuer_is_worth_nothing_here() -> Result {
    let person = Person::new()?;
    let elsewhere = Stack::start()?;
    let foreign = App::discover(&elsewhere.at)?.log_in("alice")?;
    let answer = person.api.check_token(&foreign.access)?;
    assert_eq!(answer["verdict"], "denied", "{answer}");
    at_the_gateway(&person, &foreign.access)?.expect(401)?;
    Ok(())
}
