//! Refresh tokens on the wire: rotation, the grace for a lost answer, reuse, and kills that race
//! (RFC 6749 section 6, RFC 9700 section 4.14).

use portcullis_e2e::app::Tokens;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Person;
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

fn refresh_with(person: &Person, token: &str, more: &[(&str, &str)]) -> Result<Response> {
    let mut fields = vec![
        ("grant_type", "refresh_token"),
        ("client_id", "demo-app"),
        ("refresh_token", token),
    ];
    fields.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
    fields.extend(more);
    Request::post(&person.app.token_endpoint)
        .form(&fields)
        .send()
}

fn refresh(person: &Person, token: &str) -> Result<Response> {
    refresh_with(person, token, &[])
}

#[track_caller]
fn refresh_token(tokens: &Tokens) -> Result<String> {
    let token = tokens.answer["refresh_token"].as_str();
    let token =
        token.ok_or_else(|| Failure::new(format!("no refresh token: {}", tokens.answer)))?;
    Ok(token.to_owned())
}

#[track_caller]
fn refreshed(person: &Person, token: &str) -> Result<Tokens> {
    Tokens::read(&refresh(person, token)?.expect(200)?)
}

#[track_caller]
fn expect_invalid_grant(response: &Response) -> Result {
    if response.status == 400 && response.json()?["error"] == "invalid_grant" {
        return Ok(());
    }
    Err(response.unexpected("400 with invalid_grant"))
}

#[test]
fn a_refresh_gives_a_new_pair_for_the_same_session() -> Result {
    let person = Person::new()?;
    let first = person.app.log_in(person.name)?;
    let token = refresh_token(&first)?;
    assert!(token.starts_with("pc_rt_"), "no prefix for secret scanners");
    let second = refreshed(&person, &token)?;
    assert_eq!(second.session, first.session);
    assert_ne!(second.token_id, first.token_id);
    assert_ne!(refresh_token(&second)?, token);
    assert!(second.id.is_some(), "openid was granted");
    person.api.expect_active(&second)?;
    let narrowed = refresh_with(&person, &refresh_token(&second)?, &[("scope", "openid")])?;
    assert_eq!(narrowed.expect(200)?.json()?["scope"], "openid");
    Ok(())
}

#[test]
fn a_wider_scope_or_another_audience_is_refused_and_the_token_stays_good() -> Result {
    let person = Person::new()?;
    let token = refresh_token(&person.app.log_in(person.name)?)?;
    for (name, value, error) in [
        ("scope", "openid email", "invalid_scope"),
        ("resource", "https://elsewhere.example", "invalid_target"),
    ] {
        let refused = refresh_with(&person, &token, &[(name, value)])?;
        assert_eq!(refused.status, 400);
        assert_eq!(refused.json()?["error"], error);
    }
    refreshed(&person, &token).map(drop)
}

#[test]
fn two_refreshes_at_once_get_the_same_successor() -> Result {
    let person = Person::new()?;
    let token = refresh_token(&person.app.log_in(person.name)?)?;
    for _ in 0..3 {
        let token = refresh_token(&person.app.log_in(person.name)?)?;
        let answers = thread::scope(|scope| {
            let ask = || refreshed(&person, &token);
            let threads = [scope.spawn(ask), scope.spawn(ask), scope.spawn(ask)];
            threads.map(|thread| thread.join().expect("no panic"))
        });
        let mut successors = Vec::new();
        for answer in answers {
            successors.push(refresh_token(&answer?)?);
        }
        successors.dedup();
        assert_eq!(successors.len(), 1, "a family has forked");
    }
    refreshed(&person, &token).map(drop)
}

#[test]
fn a_used_refresh_token_ends_the_session_and_is_in_the_log() -> Result {
    let person = Person::new()?;
    let first = person.app.log_in(person.name)?;
    let second = refreshed(&person, &refresh_token(&first)?)?;
    let third = refreshed(&person, &refresh_token(&second)?)?;
    // The thief comes late, or the owner does: nobody can tell.
    expect_invalid_grant(&refresh(&person, &refresh_token(&first)?)?)?;
    for tokens in [&first, &second, &third] {
        person.api.expect_denied(tokens, "session_ended")?;
    }
    expect_invalid_grant(&refresh(&person, &refresh_token(&third)?)?)?;
    let query = format!("subject={}&action=kill", first.subject);
    let kills = person.api.expect_events(&query, 1)?;
    assert_eq!(kills[0]["reason"], "refresh_reused");
    Ok(())
}

#[test]
fn another_client_gets_nothing_for_a_refresh_token_and_ends_nothing() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let token = refresh_token(&tokens)?;
    let stolen = refresh_with(&person, &token, &[("client_id", "demo-third-party")])?;
    expect_invalid_grant(&stolen)?;
    person.api.expect_active(&tokens)?;
    refreshed(&person, &token).map(drop)
}

#[test]
fn what_is_no_refresh_token_is_an_invalid_grant() -> Result {
    let person = Person::new()?;
    let token = refresh_token(&person.app.log_in(person.name)?)?;
    let bent = token.replacen('A', "B", 1);
    let code_like = token.replacen("pc_rt_", "pc_ac_", 1);
    for wrong in ["x", "pc_rt_", &format!("{token}0"), &code_like, &bent] {
        if *wrong != token {
            expect_invalid_grant(&refresh(&person, wrong)?)?;
        }
    }
    refreshed(&person, &token).map(drop)
}

#[test]
fn no_refresh_after_any_kill() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let log_in = || -> Result<(Tokens, String)> {
        let tokens = person.app.log_in(person.name)?;
        let refresh = refresh_token(&tokens)?;
        Ok((tokens, refresh))
    };
    let (tokens, token) = log_in()?;
    let session = json!({"subject": tokens.subject, "session": tokens.session});
    person.api.revoke(&session)?.expect(200)?;
    expect_invalid_grant(&refresh(&person, &token)?)?;
    let (tokens, token) = log_in()?;
    person
        .api
        .revoke(&json!({"subject": tokens.subject}))?
        .expect(200)?;
    expect_invalid_grant(&refresh(&person, &token)?)?;
    let (_, token) = log_in()?;
    person.scim.set_active(&id, false)?;
    expect_invalid_grant(&refresh(&person, &token)?)?;
    person.scim.set_active(&id, true)?;
    expect_invalid_grant(&refresh(&person, &token)?)
}

#[test]
fn no_refresh_that_races_a_kill_leaves_a_survivor() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    for _ in 0..3 {
        let first = person.app.log_in(person.name)?;
        let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
        let given = thread::scope(|scope| -> Result<Vec<Tokens>> {
            let chain = scope.spawn(|| {
                let mut given = vec![first.clone()];
                while !stop.load(Ordering::Relaxed) {
                    let last = given.last().and_then(|tokens| refresh_token(tokens).ok());
                    let Some(next) = last.and_then(|token| refreshed(&person, &token).ok()) else {
                        break;
                    };
                    given.push(next);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                given
            });
            until("some refreshes", || {
                Ok((count.load(Ordering::Relaxed) > 3).then_some(()))
            })?;
            let killed = person.scim.set_active(&id, false);
            thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::Relaxed);
            let given = chain.join().expect("no panic");
            killed.map(|_| given)
        })?;
        for tokens in &given {
            person.api.expect_denied(tokens, "subject_disabled")?;
        }
        person.scim.set_active(&id, true)?;
        for tokens in &given {
            person.api.expect_denied(tokens, "session_ended")?;
            expect_invalid_grant(&refresh(&person, &refresh_token(tokens)?)?)?;
        }
    }
    Ok(())
}
