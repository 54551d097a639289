//! A gateway's events: gathered, counted, and safe before a denial is told.

use portcullis_e2e::api::Api;
use portcullis_e2e::forge::Forger;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Person;
use portcullis_e2e::stack::Stack;
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
        let events = api.events("action=credential.refused")?;
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
        assert_eq!(event["reason"], "unknown_key", "{event}");
    }
    Ok(())
}
