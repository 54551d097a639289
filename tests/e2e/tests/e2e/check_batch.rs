//! `POST /v1/check` with several questions.

use portcullis_e2e::Result;
use portcullis_e2e::api::Api;
use portcullis_e2e::forge::with_bent_signature;
use portcullis_e2e::json::instant;
use portcullis_e2e::people::{Person, Site};
use serde_json::{Value, json};

const SOME_SESSION: &str = "ses_AAECAwQFBgcICQoLDA0ODw";

#[track_caller]
fn results(api: &Api, checks: &Value) -> Result<Vec<Value>> {
    let answer = api.check(&json!({ "checks": checks }))?.expect(200)?;
    let results = answer.json()?["results"].as_array().cloned();
    results.ok_or_else(|| answer.unexpected("results"))
}

#[test]
fn several_questions_are_answered_in_order_each_as_if_it_came_alone() -> Result {
    let person = Person::new()?;
    let live = person.app.log_in(person.name)?;
    let ended = person.app.log_in(person.name)?;
    let revoked = json!({ "subject": ended.subject, "session": ended.session });
    person.api.revoke(&revoked)?.expect(200)?;
    let questions = [
        json!({ "token": live.access, "resource": person.endpoints().gateway }),
        json!({ "token": ended.access }),
        json!({ "token": with_bent_signature(&live.access)? }),
        json!({ "token": live.access, "resource": "https://elsewhere.example" }),
        json!({ "subject": live.subject, "session": live.session }),
        json!({ "subject": person.claim(), "session": SOME_SESSION }),
    ];
    let together = results(&person.api, &json!(questions))?;
    assert_eq!(together.len(), questions.len());
    for (question, mut result) in questions.iter().zip(together) {
        let mut alone = person.api.check(question)?.expect(200)?.json()?;
        for answer in [&mut alone, &mut result] {
            instant(&answer["freshness"], "checked_at")?;
            answer["freshness"]["checked_at"] = json!("some time");
        }
        assert_eq!(result, alone, "{question}");
    }
    Ok(())
}

#[test]
fn a_denial_among_several_is_in_the_log_like_any_other() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    person
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    let question = json!({ "token": tokens.access });
    results(&person.api, &json!([question, question]))?;
    let query = format!("subject={}&action=check.denied", tokens.subject);
    assert_eq!(person.api.events(&query)?.len(), 2);
    Ok(())
}

#[test]
fn what_is_no_question_is_denied_and_fails_no_other() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let good = json!({ "token": tokens.access });
    let wrong = [
        json!(null),
        json!(7),
        json!([]),
        json!({}),
        json!({ "token": 7 }),
        json!({ "token": tokens.access, "more": true }),
        json!({ "subject": "demo:x" }),
        json!({ "subject": "x", "session": SOME_SESSION }),
        json!({ "checks": [good] }),
    ];
    let mut questions = vec![good.clone()];
    questions.extend(wrong);
    questions.push(good);
    let results = results(&person.api, &json!(questions))?;
    assert_eq!(results.len(), questions.len());
    let last = results.len() - 1;
    for (at, result) in results.iter().enumerate() {
        if at == 0 || at == last {
            assert_eq!(result["verdict"], "active", "{result}");
            assert!(result.get("error").is_none(), "{result}");
        } else {
            assert_eq!(result["verdict"], "denied", "{result}");
            assert_eq!(result["reason"], "malformed", "{result}");
            assert!(result["error"].is_string(), "{result}");
        }
    }
    Ok(())
}

#[test]
fn there_are_at_most_a_hundred_and_at_most_256_kb_of_them() -> Result {
    let site = Site::any()?;
    let question = json!({ "subject": "demo:nobody", "session": SOME_SESSION });
    assert_eq!(results(&site.api, &json!([]))?.len(), 0);
    let hundred = vec![question.clone(); 100];
    let answers = results(&site.api, &json!(hundred))?;
    assert_eq!(answers.len(), 100);
    assert!(
        answers
            .iter()
            .all(|answer| answer["reason"] == "session_unknown")
    );
    let more = vec![question; 101];
    site.api
        .check(&json!({ "checks": more }))?
        .expect(400)?
        .problem()?;
    let long = json!({ "token": "x".repeat(2700) });
    // Longer than one question may be, and good.
    assert_eq!(
        results(&site.api, &json!(vec![long.clone(); 90]))?.len(),
        90
    );
    let question = json!({ "checks": vec![long; 100] });
    site.api.check(&question)?.expect(413)?.problem()?;
    // Not one question among several may be the other kind of body.
    let both = json!({ "checks": [], "token": "x" });
    site.api.check(&both)?.expect(400)?.problem()?;
    Ok(())
}
