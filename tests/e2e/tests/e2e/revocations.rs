//! `POST /v1/revocations` as an interface: dry runs, repetitions, and requests that are none.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::Person;
use serde_json::json;
use std::thread;

const SOME_SESSION: &str = "ses_AAECAwQFBgcICQoLDA0ODw";

#[test]
fn a_dry_run_counts_and_changes_nothing() -> Result {
    let person = Person::new()?;
    let first = person.app.log_in(person.name)?;
    let second = person.app.log_in(person.name)?;
    let dry = json!({ "subject": person.claim(), "dry_run": true });
    let answer = person.api.revoke(&dry)?.expect(200)?.json()?;
    assert_eq!(answer["dry_run"], true);
    assert_eq!(answer["sessions"], 2);
    person.api.expect_active(&first)?;
    person.api.expect_active(&second)?;

    let answer = person
        .api
        .revoke(&json!({ "subject": person.claim() }))?
        .expect(200)?
        .json()?;
    assert_eq!(answer["sessions"], 2);
    // Both have had their chance to reach the log.
    let query = format!("subject={}&action=kill", first.subject);
    person.api.expect_events(&query, 1)?;
    Ok(())
}

#[test]
fn a_repetition_under_its_key_is_answered_the_same_and_done_once() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let key = random_text()?;
    let body = json!({ "subject": tokens.subject });
    let first = person.api.revoke_once(&key, &body)?.expect(200)?.json()?;
    assert_eq!(first["sessions"], 1);

    let newer = person.app.log_in(person.name)?;
    let again = person.api.revoke_once(&key, &body)?.expect(200)?.json()?;
    assert_eq!(again, first);
    person.api.expect_active(&newer)?;

    let other = json!({ "subject": tokens.subject, "session": newer.session });
    person
        .api
        .revoke_once(&key, &other)?
        .expect(422)?
        .problem()?;
    person.api.expect_active(&newer)?;

    // Under another key it is another kill.
    let second = person
        .api
        .revoke_once(&random_text()?, &body)?
        .expect(200)?
        .json()?;
    assert_eq!(second["sessions"], 1);
    person.api.expect_denied(&newer, "session_ended")?;
    let query = format!("subject={}&action=kill", tokens.subject);
    person.api.expect_events(&query, 2)?;
    Ok(())
}

#[test]
fn repetitions_at_the_same_time_are_answered_the_same_and_done_once() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let key = random_text()?;
    let body = json!({ "subject": tokens.subject });
    let answers = thread::scope(|scope| {
        let revoke = || person.api.revoke_once(&key, &body)?.expect(200)?.json();
        let calls: Vec<_> = (0..4).map(|_| scope.spawn(revoke)).collect();
        calls
            .into_iter()
            .map(|call| call.join().expect("no panic"))
            .collect::<Result<Vec<_>>>()
    })?;
    assert_eq!(answers[0]["sessions"], 1);
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    let query = format!("subject={}&action=kill", tokens.subject);
    person.api.expect_events(&query, 1)?;
    Ok(())
}

#[test]
fn ending_what_has_ended_changes_nothing_and_says_so() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let body = json!({ "subject": tokens.subject, "session": tokens.session });
    let first = person.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(
        (&first["changed"], &first["sessions"]),
        (&json!(true), &json!(1))
    );
    let second = person.api.revoke(&body)?.expect(200)?.json()?;
    assert_eq!(
        (&second["changed"], &second["sessions"]),
        (&json!(false), &json!(0))
    );
    Ok(())
}

#[test]
fn a_session_that_is_unknown_or_somebody_elses_is_not_found() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let unknown = json!({ "subject": tokens.subject, "session": SOME_SESSION });
    person.api.revoke(&unknown)?.expect(404)?.problem()?;
    let other = format!("demo:{}", random_text()?);
    let foreign = json!({ "subject": other, "session": tokens.session });
    person.api.revoke(&foreign)?.expect(404)?.problem()?;
    person.api.expect_active(&tokens)
}

#[test]
fn a_request_that_is_none_is_a_problem_with_status_400_and_ends_nothing() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let subject = &tokens.subject;
    let wrong = [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"subject":null}"#.to_owned(),
        r#"{"subject":"sub_x"}"#.to_owned(),
        r#"{"subject":"demo:"}"#.to_owned(),
        format!(r#"{{"subject":"{subject}","session":"x"}}"#),
        format!(r#"{{"subject":"{subject}","session":7}}"#),
        format!(r#"{{"subject":"{subject}","jti":"ses_AAECAwQFBgcICQoLDA0ODw"}}"#),
        format!(r#"{{"subject":"{subject}","dry_run":"yes"}}"#),
        // A misspelt member must not turn one session's kill into everybody's.
        format!(r#"{{"subject":"{subject}","sesion":"{}"}}"#, tokens.session),
    ];
    for body in wrong {
        let response = Request::post(format!("{}/v1/revocations", person.endpoints().service))
            .bearer(bearer::ADMIN)
            .body("application/json", body.clone())
            .send()?;
        if response.status != 400 {
            return Err(response.unexpected(&format!("status 400 for {body:?}")));
        }
        response.problem()?;
    }
    let large = json!({ "subject": subject, "comment": "x".repeat(70_000) });
    person.api.revoke(&large)?.expect(413)?.problem()?;
    person.api.expect_active(&tokens)
}
