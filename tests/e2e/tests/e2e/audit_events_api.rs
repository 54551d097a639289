//! `POST /v1/audit/events`: events of producers that are no Workers.

use portcullis_e2e::Result;
use portcullis_e2e::api::{bearer, session_in_log};
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Response;
use portcullis_e2e::json::text;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::wait::{now, until};
use serde_json::{Value, json};

const PATH: &str = "/v1/audit/events";

fn denial(subject: &str) -> Value {
    json!({
        "occurred": now().to_rfc3339(), "action": "request.denied", "outcome": "denied",
        "reason": "role_missing", "subject": subject,
        "request": {"method": "GET", "host": "billing.example", "path": "/invoices", "status": 403},
    })
}

fn body(producer: &str, first_sequence: u64, events: &[Value]) -> Value {
    json!({"producer": producer, "first_sequence": first_sequence, "events": events})
}

fn send(site: &Site, bearer: &str, body: &Value) -> Result<Response> {
    site.api.post(PATH, bearer, body).send()
}

#[test]
fn events_are_in_the_log_when_they_are_answered_and_the_same_body_adds_nothing() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let producer = random_text()?;
    let mut first = denial(&tokens.subject);
    first["session"] = json!(tokens.session);
    let events = [first, denial(&person.claim())];
    let asked = body(&producer, 1, &events);
    let send = |asked: &Value| -> Result<Value> {
        let sent = person.api.post(PATH, bearer::GATEWAY, asked).send()?;
        sent.expect(200)?.json()
    };
    let answer = send(&asked)?;
    assert_eq!(answer["new_events"], 2);
    assert_eq!(answer["duplicates"], 0);
    assert_eq!(answer["set_aside"], json!([]));
    let query = format!("subject={}&action=request.denied", tokens.subject);
    let logged = person.api.events(&query)?;
    assert_eq!(logged.len(), 2);
    for (event, sequence) in logged.iter().zip(1..) {
        assert_eq!(event["sequence"], sequence);
        assert_eq!(event["reason"], "role_missing");
        assert_eq!(event["request"]["path"], "/invoices");
        let by = json!({"type": "subject", "id": tokens.subject});
        assert_eq!(event["actor"], by);
    }
    assert_eq!(logged[0]["session"], session_in_log(&tokens.session)?);
    assert_eq!(logged[0]["producer"], logged[1]["producer"]);

    let again = send(&asked)?;
    assert_eq!(
        (&again["new_events"], &again["duplicates"]),
        (&json!(0), &json!(2))
    );
    // What overlaps adds the rest.
    let more = [denial(&tokens.subject), denial(&tokens.subject)];
    let overlapping = send(&body(&producer, 3, &more))?;
    assert_eq!(overlapping["new_events"], 2);
    assert_eq!(person.api.events(&query)?.len(), 4);
    Ok(())
}

#[test]
fn the_same_name_of_another_role_is_another_producer() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let asked = body(&random_text()?, 1, &[denial(&tokens.subject)]);
    for role in [bearer::GATEWAY, bearer::ADMIN] {
        let sent = person.api.post(PATH, role, &asked).send()?;
        assert_eq!(sent.expect(200)?.json()?["new_events"], 1);
    }
    let query = format!("subject={}&action=request.denied", tokens.subject);
    let logged = person.api.events(&query)?;
    assert_eq!(logged.len(), 2);
    assert_ne!(logged[0]["producer"], logged[1]["producer"]);
    Ok(())
}

#[test]
fn an_event_that_is_wrong_is_named_with_its_field_and_nothing_is_taken() -> Result {
    let site = Site::any()?;
    let producer = random_text()?;
    let somebody = format!("demo:{}", random_text()?);
    let wrong = |name: &str, value: Value| {
        let mut event = denial(&somebody);
        event[name] = value;
        event
    };
    let long = "x".repeat(257);
    for (name, value, field) in [
        ("action", json!("kill"), "action"),
        ("reason", json!(long), "reason"),
        ("occurred", json!("yesterday"), "occurred"),
        ("subject", json!("nobody"), "subject"),
        ("subject", json!("unknown:alice"), "subject"),
        (
            "request",
            json!({"method": "GET", "host": "h", "path": "/a?token=b"}),
            "request.path",
        ),
        ("actor", json!({"type": "operator", "id": "admin"}), "actor"),
    ] {
        let events = [denial(&somebody), wrong(name, value)];
        let answer = send(&site, bearer::GATEWAY, &body(&producer, 1, &events))?;
        let answer = answer.expect(400)?;
        let problem = answer.problem()?;
        assert_eq!(problem["event"], 1, "{problem}");
        assert_eq!(problem["field"], field, "{problem}");
        let detail = text(&problem, "detail")?;
        assert!(
            detail.starts_with(&format!("events[1].{field} ")),
            "{detail}"
        );
    }
    let query = format!("subject={somebody}&action=request.denied");
    assert_eq!(site.api.events(&query)?, Vec::<Value>::new());
    Ok(())
}

#[test]
fn more_than_may_come_at_once_is_refused() -> Result {
    let site = Site::any()?;
    let producer = random_text()?;
    let event =
        json!({"occurred": now().to_rfc3339(), "action": "check.denied", "outcome": "denied"});
    let many = vec![event.clone(); 1001];
    send(&site, bearer::GATEWAY, &body(&producer, 1, &many))?
        .expect(400)?
        .problem()?;
    let mut large = event;
    large["reason"] = json!("x".repeat(1_000_000));
    let large = body(&producer, 1, &[large]);
    // Whoever is refused before all is sent may hear of a connection that is closed instead.
    let refused = until(
        "a refusal",
        || Ok(send(&site, bearer::GATEWAY, &large).ok()),
    )?;
    refused.expect(413)?.problem()?;
    Ok(())
}

#[test]
fn a_thousand_events_are_taken_at_once() -> Result {
    let site = Site::any()?;
    let event =
        json!({"occurred": now().to_rfc3339(), "action": "check.denied", "outcome": "denied"});
    let asked = body(&random_text()?, 1, &vec![event; 1000]);
    let answer = send(&site, bearer::GATEWAY, &asked)?.expect(200)?.json()?;
    assert_eq!(answer["new_events"], 1000);
    Ok(())
}
