//! `POST /v1/check`: what is asked, and what is answered.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::random_text;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::instant;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::wait::unix_secs;
use serde_json::json;

const SOME_SESSION: &str = "ses_AAECAwQFBgcICQoLDA0ODw";

#[test]
fn every_form_of_the_question_gets_the_same_answer() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let before = unix_secs();
    let forms = [
        json!({ "token": tokens.access }),
        json!({ "subject": tokens.subject, "session": tokens.session }),
        json!({ "subject": person.claim(), "session": tokens.session }),
        json!({ "subject": tokens.subject, "session": tokens.session, "jti": tokens.token_id }),
    ];
    for form in forms {
        let answer = person.api.check(&form)?.expect(200)?.json()?;
        assert_eq!(answer["verdict"], "active", "{form}: {answer}");
        assert!(answer["reason"].is_null(), "{answer}");
        assert_eq!(answer["subject"], tokens.subject.as_str());
        assert_eq!(answer["session"], tokens.session.as_str());
        assert_eq!(answer["freshness"]["mode"], "strict");
        let at = instant(&answer["freshness"], "checked_at")?;
        assert!(
            (before - 1..=unix_secs() + 1).contains(&at.secs()),
            "{answer}"
        );
        assert!(instant(&answer, "session_expires_at")? > at, "{answer}");
    }
    Ok(())
}

#[test]
fn an_admin_may_ask_too() -> Result {
    let site = Site::any()?;
    let body = json!({ "subject": "demo:nobody", "session": SOME_SESSION });
    site.api
        .post("/v1/check", bearer::ADMIN, &body)
        .send()?
        .expect(200)?;
    Ok(())
}

#[test]
fn the_unknown_is_denied_and_asking_does_not_make_it_known() -> Result {
    let site = Site::any()?;
    let unknown = format!("demo:{}", random_text()?);
    for _ in 0..2 {
        let answer = site.api.check_session(&unknown, SOME_SESSION)?;
        assert_eq!(answer["verdict"], "denied");
        assert_eq!(answer["reason"], "session_unknown");
    }
    assert!(site.api.sessions(&unknown)?.is_empty());
    Ok(())
}

#[test]
fn a_session_is_good_for_its_own_subject_only() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let other = format!("demo:{}", random_text()?);
    let answer = person.api.check_session(&other, &tokens.session)?;
    assert_eq!(answer["reason"], "session_unknown");
    person.api.expect_active(&tokens)
}

#[test]
fn a_question_that_is_none_is_a_problem_with_status_400() -> Result {
    let site = Site::any()?;
    let wrong = [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"token":7}"#,
        r#"{"token":null}"#,
        r#"{"subject":"demo:x"}"#,
        r#"{"session":"ses_AAECAwQFBgcICQoLDA0ODw"}"#,
        r#"{"subject":"demo:x","session":"ses_"}"#,
        r#"{"subject":"demo:x","session":"sub_AAECAwQFBgcICQoLDA0ODw"}"#,
        r#"{"subject":"x","session":"ses_AAECAwQFBgcICQoLDA0ODw"}"#,
        r#"{"subject":"","session":"ses_AAECAwQFBgcICQoLDA0ODw"}"#,
        r#"{"subject":"demo:x","session":"ses_AAECAwQFBgcICQoLDA0ODw","jti":"x"}"#,
        "\u{0}\u{1}",
    ];
    for body in wrong {
        let response = Request::post(format!("{}/v1/check", site.endpoints().service))
            .bearer(bearer::GATEWAY)
            .body("application/json", body)
            .send()?;
        if response.status != 400 {
            return Err(response.unexpected(&format!("status 400 for {body:?}")));
        }
        response.problem()?;
    }
    Ok(())
}

#[test]
fn a_question_over_64_kb_is_refused() -> Result {
    let site = Site::any()?;
    let question = json!({ "token": "x".repeat(66_000) });
    site.api.check(&question)?.expect(413)?.problem()?;
    // Whoever says how much it will be is told before they have sent it.
    let url = format!("{}/v1/check", site.endpoints().service);
    let question = Request::post(url).bearer(bearer::GATEWAY);
    let status = question
        .header("content-type", "application/json")
        .status_if_it_were(500_000)?;
    assert_eq!(status, 413);
    Ok(())
}
