//! A gateway's events: gathered, counted, and safe before a denial is told.

use portcullis_e2e::api::Api;
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Person;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::collections::BTreeSet;
use std::thread;

#[test]
fn what_passes_at_the_same_time_is_in_the_log_once_each() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let gateway = &person.endpoints().gateway;
    thread::scope(|scope| {
        let requests: Vec<_> = (0..4)
            .map(|thread| {
                let access = &tokens.access;
                scope.spawn(move || -> Result {
                    for request in 0..10 {
                        Request::get(format!("{gateway}/{thread}/{request}"))
                            .bearer(access)
                            .send()?
                            .expect(200)?;
                    }
                    Ok(())
                })
            })
            .collect();
        requests.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| Failure::new("a thread panicked"))?
        })
    })?;
    let query = format!("subject={}&action=request.allowed", tokens.subject);
    let events = person.api.expect_events(&query, 40)?;
    let paths: BTreeSet<_> = events
        .iter()
        .map(|event| event["request"]["path"].to_string())
        .collect();
    assert_eq!(paths.len(), 40, "{events:#?}");
    let known = |event: &&serde_json::Value| event["request"]["status"] == 200;
    assert_eq!(events.iter().filter(known).count(), 40, "{events:#?}");
    Ok(())
}

#[test]
fn refused_credentials_are_an_event_and_a_count_however_many_come() -> Result {
    const MANY: u64 = 30;
    let stack = Stack::start()?;
    let api = Api::new(&stack.at);
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "nobody" });
    let claims = json!({ "iss": stack.at.service, "aud": stack.at.gateway });
    let token = Forger::new()?.sign(&header, &claims);
    for path in 0..MANY {
        Request::get(format!("{}/{path}", stack.at.gateway))
            .bearer(&token)
            .send()?
            .expect(401)?;
    }
    let events = until("the first refusal and the count of the others", || {
        let mut events = api.events("action=credential.refused")?;
        events.retain(|event| event["reason"] == "unknown_key");
        let counted = events.iter().any(|event| event["count"].is_u64());
        Ok(counted.then_some(events))
    })?;
    // If that took longer than an interval, there are more of both; together they are as many as came.
    let stands_for: u64 = events
        .iter()
        .map(|event| event["count"].as_u64().unwrap_or(1))
        .sum();
    assert!(stands_for <= MANY, "{events:#?}");
    assert!(events.len() < 8, "{events:#?}");
    let first = &events[0];
    assert_eq!(first["request"]["path"], "/0");
    for event in &events {
        assert_eq!(event["actor"], json!({ "type": "anonymous" }));
    }
    Ok(())
}

/// Somebody whose session is over, at a gateway whose queue fails in this way.
fn denied_while_the_queue(fault: &'static str) -> Result<(Stack, Tokens, Response)> {
    let stack = Stack::start_with(&Settings {
        gateway_queue: Some(fault),
        ..Settings::default()
    })?;
    let tokens = App::discover(&stack.at)?.log_in("alice")?;
    let ask = || {
        Request::get(format!("{}/reports", stack.at.gateway))
            .bearer(&tokens.access)
            .send()
    };
    // What nobody waits for does not need the queue.
    ask()?.expect(200)?;
    let revoked = json!({ "subject": tokens.subject });
    Api::new(&stack.at).revoke(&revoked)?.expect(200)?;
    let answer = ask()?;
    Ok((stack, tokens, answer))
}

#[test]
fn a_denial_is_in_the_log_though_the_queue_refuses_it() -> Result {
    let (stack, tokens, answer) = denied_while_the_queue("refuses")?;
    answer.expect(401)?;
    // It was there before the answer was.
    let query = format!("subject={}&action=check.denied", tokens.subject);
    let events = Api::new(&stack.at).events(&query)?;
    let [event] = events.as_slice() else {
        return Err(Failure::new(format!("one denial expected: {events:#?}")));
    };
    assert_eq!(event["reason"], "session_ended");
    assert_eq!(event["request"]["path"], "/reports");
    assert_eq!(event["request"]["status"], 401);
    Ok(())
}

#[test]
fn a_denial_that_the_queue_took_without_saying_so_is_in_the_log_once() -> Result {
    let (stack, tokens, answer) = denied_while_the_queue("loses")?;
    answer.expect(401)?;
    let api = Api::new(&stack.at);
    let of = |action: &str| format!("subject={}&action={action}", tokens.subject);
    // By way of the queue too, and that pack was sent twice: the denial's came with or before the next.
    api.expect_events(&of("request.allowed"), 1)?;
    let later = App::discover(&stack.at)?.log_in("bob")?;
    Request::get(format!("{}/later", stack.at.gateway))
        .bearer(&later.access)
        .send()?
        .expect(200)?;
    let query = format!("subject={}&action=request.allowed", later.subject);
    api.expect_events(&query, 1)?;
    api.expect_events(&of("check.denied"), 1)?;
    api.expect_events(&of("request.allowed"), 1)?;
    Ok(())
}

#[test]
fn a_denial_that_nobody_takes_is_answered_503() -> Result {
    let (stack, tokens, answer) = denied_while_the_queue("nothing")?;
    answer.expect(503)?.problem()?;
    let query = format!("subject={}&action=check.denied", tokens.subject);
    assert_eq!(
        Api::new(&stack.at).events(&query)?,
        Vec::<serde_json::Value>::new()
    );
    assert!(stack.output().contains("a denial could not be recorded"));
    Ok(())
}
