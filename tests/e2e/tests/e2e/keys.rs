//! Signing keys in use: rotated while people work, and withdrawn when one is not ours alone any more.
//!
//! Both have a stack of their own: they concern everybody on it. Keys are published ahead by
//! seconds there instead of minutes (`TEST_KEY_AHEAD_SECS`, development only), yet by longer than the
//! gateway waits before it looks for an unknown key again.

use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::{App, header};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const AHEAD: &str = "TEST_KEY_AHEAD_SECS=12";

fn post(at: &Endpoints, path: &str) -> Request {
    Request::post(format!("{}/v1/keys/{path}", at.service)).bearer(bearer::ADMIN)
}

fn keys(at: &Endpoints) -> Result<Vec<Value>> {
    let list = Request::get(format!("{}/v1/keys", at.service))
        .bearer(bearer::ADMIN)
        .send()?
        .expect(200)?
        .json()?;
    let keys = list["keys"].as_array().cloned();
    keys.ok_or_else(|| Failure::new(format!("no keys: {list}")))
}

/// The kids of keys in one of these states.
fn kids(at: &Endpoints, states: &[&str]) -> Result<BTreeSet<String>> {
    let in_one = |key: &&Value| states.iter().any(|state| key["state"] == *state);
    let kid = |key: &Value| key["kid"].as_str().unwrap_or_default().to_owned();
    Ok(keys(at)?.iter().filter(in_one).map(kid).collect())
}

fn published(at: &Endpoints) -> Result<BTreeSet<String>> {
    let url = format!("{}/.well-known/jwks.json", at.service);
    let set = Request::get(url).send()?.expect(200)?.json()?;
    let listed = set["keys"].as_array().into_iter().flatten();
    Ok(listed
        .map(|key| {
            assert!(key.get("d").is_none(), "a private key is published");
            key["kid"].as_str().unwrap_or_default().to_owned()
        })
        .collect())
}

fn at_gateway(at: &Endpoints, token: &str) -> Result<Response> {
    Request::get(format!("{}/", at.gateway))
        .bearer(token)
        .send()
}

fn kid(token: &str) -> Result<String> {
    let kid = header(token)?["kid"].as_str().map(str::to_owned);
    kid.ok_or_else(|| Failure::new("a token without kid"))
}

#[test]
fn the_list_shows_one_signing_key_and_the_published_set_agrees() -> Result {
    let site = Site::any()?;
    let at = site.endpoints();
    assert_eq!(kids(at, &["signing"])?.len(), 1);
    let listed = kids(at, &["next", "signing", "retiring"])?;
    assert_eq!(published(at)?, listed);
    for key in keys(at)? {
        let members: BTreeSet<_> = key
            .as_object()
            .into_iter()
            .flat_map(|it| it.keys())
            .collect();
        let expected = [
            "compromised_at",
            "created_at",
            "kid",
            "retires_at",
            "signs_from",
            "state",
            "superseded_at",
        ];
        assert!(members.into_iter().eq(expected.iter()), "{key}");
    }
    Ok(())
}

#[test]
fn what_is_no_request_or_names_no_key_changes_nothing() -> Result {
    let site = Site::any()?;
    let at = site.endpoints();
    let before = keys(at)?;
    let somebody = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/compromise";
    for path in ["rotate", somebody] {
        for body in ["", "not json", "[]", r#"{"kid":"x"}"#] {
            let request = post(at, path).body("application/json", body);
            request.send()?.expect(400)?.problem()?;
        }
    }
    let unknown = post(at, somebody).json(&json!({})).send()?;
    unknown.expect(404)?.problem()?;
    assert_eq!(keys(at)?, before);
    Ok(())
}

#[test]
fn a_rotation_under_use_refuses_nobody() -> Result {
    let stack = Stack::start_with(&Settings::vars(&[AHEAD]))?;
    let at = &stack.at;
    let (app, api) = (App::discover(at)?, Api::new(at));
    let old = app.log_in("alice")?;
    let old_kid = kid(&old.access)?;
    at_gateway(at, &old.access)?.expect(200)?;

    let rotation = post(at, "rotate")
        .json(&json!({}))
        .send()?
        .expect(200)?
        .json()?;
    let next = rotation["kid"].as_str().unwrap_or_default().to_owned();
    assert_eq!(rotation["changed"], true, "{rotation}");
    assert_eq!(kids(at, &["next"])?, BTreeSet::from([next.clone()]));
    let both = BTreeSet::from([old_kid.clone(), next.clone()]);
    assert_eq!(published(at)?, both);
    let again = post(at, "rotate")
        .json(&json!({}))
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(
        (&again["kid"], &again["changed"]),
        (&json!(next), &json!(false))
    );

    let mut signed_by = Vec::new();
    let newest = until("a token by the next key", || {
        let tokens = app.log_in("bob")?;
        for token in [&old.access, &tokens.access] {
            let verdict = api.check_token(token)?;
            assert_eq!(verdict["verdict"], "active", "{verdict}");
            at_gateway(at, token)?.expect(200)?;
        }
        signed_by.push(kid(&tokens.access)?);
        Ok((signed_by.last() == Some(&next)).then_some(tokens))
    })?;
    assert_eq!(
        signed_by.first(),
        Some(&old_kid),
        "it signed before its time"
    );
    assert_eq!(kids(at, &["signing"])?, BTreeSet::from([next.clone()]));
    assert_eq!(kids(at, &["retiring"])?, BTreeSet::from([old_kid]));
    assert_eq!(published(at)?, both);
    api.expect_active(&newest)?;

    // A hint of before still ends its session.
    let hint = old.id.as_deref().unwrap_or_default();
    Request::post(format!("{}/logout", at.service))
        .form(&[("id_token_hint", hint)])
        .send()?
        .expect(200)?;
    api.expect_denied(&old, "session_ended")?;
    api.expect_events("action=key.rotated", 1)?;
    Ok(())
}

#[test]
fn what_a_compromised_key_signed_counts_for_nothing_once_that_is_acknowledged() -> Result {
    let mut stack = Stack::start_with(&Settings::vars(&[AHEAD]))?;
    let at = stack.at.clone();
    let (app, api) = (App::discover(&at)?, Api::new(&at));
    let old = app.log_in("alice")?;
    let old_kid = kid(&old.access)?;
    at_gateway(&at, &old.access)?.expect(200)?;

    let path = format!("{old_kid}/compromise");
    let answer = post(&at, &path)
        .json(&json!({}))
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(answer["changed"], true, "{answer}");
    expect_dead(&at, &api, &old.access)?;
    // The gateway still has the key, and asks.
    assert!(matches!(at_gateway(&at, &old.access)?.status, 401 | 403));
    let hint = old.id.as_deref().unwrap_or_default();
    Request::post(format!("{}/logout", at.service))
        .form(&[("id_token_hint", hint)])
        .send()?
        .expect(400)?;

    let fresh = kids(&at, &["signing"])?;
    assert_eq!(published(&at)?, fresh);
    assert_eq!(kids(&at, &["compromised"])?, BTreeSet::from([old_kid]));
    let new = app.log_in("alice")?;
    assert_eq!(BTreeSet::from([kid(&new.access)?]), fresh);
    api.expect_active(&new)?;
    until("the gateway knows the fresh key", || {
        Ok((at_gateway(&at, &new.access)?.status == 200).then_some(()))
    })?;

    let again = post(&at, &path)
        .json(&json!({}))
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(again["compromised_at"], answer["compromised_at"]);
    api.expect_events("action=key.compromised", 1)?;

    stack.kill_hard()?;
    stack.restart(&Settings::vars(&[AHEAD]))?;
    expect_dead(&at, &api, &old.access)?;
    api.expect_active(&new)
}

fn expect_dead(at: &Endpoints, api: &Api, token: &str) -> Result {
    let verdict = api.check_token(token)?;
    assert_eq!(verdict["verdict"], "denied", "{verdict}");
    assert_ne!(at_gateway(at, token)?.status, 200);
    Ok(())
}
