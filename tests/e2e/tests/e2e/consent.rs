//! The question for consent: who is asked, what an answer does, and whose answers count.

use portcullis_e2e::app::{App, Attempt, Tokens, parameter};
use portcullis_e2e::browser::{Browser, Landing, Page};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Person;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use url::Url;

/// An application for which people are asked.
fn third_party(person: &Person) -> App {
    App {
        client_id: "demo-third-party".to_owned(),
        ..person.app.clone()
    }
}

/// The same application where no other program can take its place.
fn on_the_web(person: &Person) -> Result<App> {
    Ok(App {
        redirect_uri: Url::parse("https://third-party.example/callback")?,
        ..third_party(person)
    })
}

/// Logs in as far as the question.
fn question(
    person: &Person,
    browser: &mut Browser,
    replaced: &[(&str, &str)],
) -> Result<(App, Attempt, Page)> {
    question_of(third_party(person), person, browser, replaced)
}

/// The same for that application.
fn question_of(
    app: App,
    person: &Person,
    browser: &mut Browser,
    replaced: &[(&str, &str)],
) -> Result<(App, Attempt, Page)> {
    let attempt = app.attempt_with(replaced)?;
    let page = app.authorize(browser, person.name, &attempt)?.page()?;
    if page.url.path() != "/consent" || page.response.status != 200 {
        return Err(page.response.unexpected("the question for consent"));
    }
    Ok((app, attempt, page))
}

/// Follows an answer to the application.
fn told(browser: &mut Browser, app: &App, page: &Page, answer: Response) -> Result<Url> {
    assert_eq!(answer.status, 303, "{}", answer.body);
    browser
        .follow(page.url.clone(), answer, Some(&app.redirect_uri))?
        .app()
}

#[test]
fn allowing_lets_the_application_in_and_is_remembered_for_that_scope() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let app = on_the_web(&person)?;
    let (app, attempt, page) = question_of(app, &person, &mut browser, &[])?;
    for said in ["Somebody else", "See your name", "third-party.example"] {
        assert!(page.response.body.contains(said), "{said}");
    }
    let answer = browser.answer(&page, "allow")?;
    let back = told(&mut browser, &app, &page, answer)?;
    assert_eq!(parameter(&back, "state"), Some(attempt.state));
    let code = parameter(&back, "code").expect("a code");
    let tokens = Tokens::read(&app.redeem(&code, &attempt.verifier)?.expect(200)?)?;
    person.api.expect_active(&tokens)?;
    let query = format!("action=consent.answered&subject={}", tokens.subject);
    let logged = person.api.expect_events(&query, 1)?;
    assert_eq!(logged[0]["outcome"], "success");
    assert_eq!(logged[0]["client_id"], "demo-third-party");

    // The same again is not asked, less is not asked, more is.
    app.log_in_with(&mut browser, person.name)?;
    let less = app.attempt_with(&[("scope", "openid")])?;
    app.code(&mut browser, person.name, &less)?;
    for replaced in [("scope", "openid profile email"), ("prompt", "consent")] {
        question_of(app.clone(), &person, &mut browser, &[replaced])?;
    }
    Ok(())
}

#[test]
fn an_application_on_loopback_is_asked_for_each_time() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (app, _, page) = question(&person, &mut browser, &[])?;
    assert!(page.response.body.contains("127.0.0.1:53682"));
    let answer = browser.answer(&page, "allow")?;
    let back = told(&mut browser, &app, &page, answer)?;
    assert!(parameter(&back, "code").is_some(), "{back}");
    question(&person, &mut browser, &[])?;
    let silent = app.attempt_with(&[("prompt", "none")])?;
    let back = browser.go(&silent.url, Some(&app.redirect_uri))?.app()?;
    let error = parameter(&back, "error");
    assert_eq!(error.as_deref(), Some("consent_required"), "{back}");
    Ok(())
}

#[test]
fn the_services_own_application_asks_only_when_it_says_so() -> Result {
    let person = Person::new()?;
    person.app.log_in(person.name)?;
    let attempt = person.app.attempt_with(&[("prompt", "consent")])?;
    let landing = person
        .app
        .authorize(&mut Browser::new(), person.name, &attempt)?;
    assert_eq!(landing.page()?.url.path(), "/consent");
    Ok(())
}

#[test]
fn denying_tells_the_application_and_is_not_remembered() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (app, attempt, page) = question(&person, &mut browser, &[])?;
    let answer = browser.answer(&page, "deny")?;
    let back = told(&mut browser, &app, &page, answer)?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&back, "state"), Some(attempt.state));
    assert!(parameter(&back, "iss").is_some() && parameter(&back, "code").is_none());
    assert!(person.api.sessions(&person.claim())?.is_empty());
    let query = format!(
        "action=consent.answered&outcome=denied&subject={}",
        person.claim()
    );
    person.api.expect_events(&query, 1)?;
    question(&person, &mut browser, &[])?;
    Ok(())
}

#[test]
fn who_must_not_be_asked_and_has_not_allowed_it_is_consent_required() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    person.app.log_in_with(&mut browser, person.name)?;
    let app = third_party(&person);
    let attempt = app.attempt_with(&[("prompt", "none")])?;
    let back = browser.go(&attempt.url, Some(&app.redirect_uri))?.app()?;
    let error = parameter(&back, "error");
    assert_eq!(error.as_deref(), Some("consent_required"), "{back}");
    Ok(())
}

#[test]
fn an_answer_counts_once_and_reloading_the_question_is_harmless() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, _, page) = question(&person, &mut browser, &[])?;
    let again = browser.step(&page.url)?.expect(200)?;
    assert_eq!(again.body, page.response.body);
    // As two clicks send it: both with the cookie of before the first answer.
    let mut other = browser.clone();
    assert_eq!(browser.answer(&page, "allow")?.status, 303);
    expect_nothing_to_answer(&other.answer(&page, "allow")?)?;
    expect_nothing_to_answer(&other.answer(&page, "deny")?)?;
    expect_nothing_to_answer(&other.step(&page.url)?)?;
    assert_eq!(person.api.sessions(&person.claim())?.len(), 1);
    Ok(())
}

#[test]
fn an_answer_from_anywhere_else_does_not_count_and_the_question_stands() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (app, _, page) = question(&person, &mut browser, &[])?;
    let form = page.form().expect("a form");
    let hidden = page.hidden_fields();
    let with_token = |token: Option<&str>| -> Vec<(String, String)> {
        let fields = hidden.iter().filter(|(name, _)| name != "token").cloned();
        let token = token.map(|token| ("token".to_owned(), token.to_owned()));
        let answer = ("answer".to_owned(), "allow".to_owned());
        fields.chain(token).chain([answer]).collect()
    };
    let token = hidden.iter().find(|(name, _)| name == "token");
    let token = token.map(|(_, value)| value.as_str()).expect("a token");

    // Without the value that only our page has, or with one that was made up.
    for token in [None, Some(""), Some("made-up"), Some(&token[1..])] {
        let fields = with_token(token);
        let fields: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let response = browser.submit(&page.url, &form, &fields)?.expect(403)?;
        assert_eq!(response.header("location"), None);
    }
    // With everything right, but from another site's page, or from a frame without origin.
    let fields = with_token(Some(token));
    let fields: Vec<_> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let elsewhere = Url::parse("https://evil.example/")?;
    browser.submit(&elsewhere, &form, &fields)?.expect(403)?;
    let cookies = browser.jar.header(&form).expect("cookies");
    for (name, value) in [("origin", "null"), ("sec-fetch-site", "cross-site")] {
        Request::post(form.as_str())
            .form(&fields)
            .header("cookie", cookies.clone())
            .header(name, value)
            .send()?
            .expect(403)?;
    }
    // Without the cookie, or with that of another log-in.
    expect_nothing_to_answer(&Browser::new().submit(&page.url, &form, &fields)?)?;
    let mut stranger = Browser::new();
    question(&person, &mut stranger, &[])?;
    expect_nothing_to_answer(&stranger.submit(&page.url, &form, &fields)?)?;
    // With no answer in it.
    let no_answer: Vec<_> = fields.iter().filter(|f| f.0 != "answer").copied().collect();
    expect_nothing_to_answer(&browser.submit(&page.url, &form, &no_answer)?)?;

    assert!(person.api.sessions(&person.claim())?.is_empty());
    let answer = browser.answer(&page, "allow")?;
    let back = told(&mut browser, &app, &page, answer)?;
    assert!(parameter(&back, "code").is_some(), "{back}");
    Ok(())
}

#[test]
fn a_kill_while_the_question_stands_is_before_the_answer() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (app, _, page) = question(&person, &mut browser, &[])?;
    let kill = json!({ "subject": person.claim() });
    person.api.revoke(&kill)?.expect(200)?;
    let answer = browser.answer(&page, "allow")?;
    let back = told(&mut browser, &app, &page, answer)?;
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    assert!(person.api.sessions(&person.claim())?.is_empty());
    Ok(())
}

#[test]
fn the_page_lets_nothing_in_and_needs_no_script() -> Result {
    let person = Person::new()?;
    let (_, _, page) = question(&person, &mut Browser::new(), &[])?;
    let header = |name| page.response.header(name).unwrap_or_default().to_owned();
    let policy = header("content-security-policy");
    for directive in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:*",
        "style-src 'sha256-",
    ] {
        assert!(policy.contains(directive), "{directive}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-content-type-options"), "nosniff");
    let html = &page.response.body;
    for needed in ["<html lang=\"en\">", "<title>", "<h1>", "name=\"viewport\""] {
        assert!(html.contains(needed), "{needed}");
    }
    assert!(!html.contains("<script"));
    // A form of ours is posted with the origin of ours: no-referrer would make it null.
    assert_eq!(header("referrer-policy"), "same-origin");
    Ok(())
}

fn expect_nothing_to_answer(response: &Response) -> Result {
    if response.status == 400 && response.header("location").is_none() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "expected that there is nothing to answer, got {} {}",
        response.status, response.body
    )))
}

#[test]
fn a_deactivated_person_who_allows_gets_nothing() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (app, _, page) = question(&person, &mut browser, &[])?;
    let user = person.scim.provision(person.name)?;
    person.scim.set_active(&user, false)?.expect(200)?;
    let answer = browser.answer(&page, "allow")?;
    let landing = browser.follow(page.url.clone(), answer, Some(&app.redirect_uri))?;
    let Landing::App(back) = landing else {
        return Err(Failure::new("nobody was told"));
    };
    assert_eq!(parameter(&back, "error").as_deref(), Some("access_denied"));
    Ok(())
}
