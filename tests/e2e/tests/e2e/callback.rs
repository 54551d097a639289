//! What the identity provider sends back, and who may bring it.

use portcullis_e2e::app::{Attempt, parameter};
use portcullis_e2e::browser::{Browser, Landing};
use portcullis_e2e::http::Response;
use portcullis_e2e::people::Person;
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use url::Url;

/// Logs in as far as the identity provider's answer, which is not delivered.
fn up_to_the_callback(person: &Person, browser: &mut Browser) -> Result<(Attempt, Url)> {
    let callback = Url::parse(&format!("{}/callback", person.endpoints().service))?;
    let attempt = person.app.attempt()?;
    let back = browser
        .go_as(person.name, &attempt.url, Some(&callback))?
        .app()?;
    Ok((attempt, back))
}

/// Delivers it and expects a refusal on the spot.
fn expect_refused(browser: &mut Browser, back: &Url) -> Result<Response> {
    let response = browser.step(back)?.expect(400)?;
    if response.header("location").is_some() {
        return Err(response.unexpected("no redirect"));
    }
    Ok(response)
}

fn expect_no_session(person: &Person) -> Result {
    let sessions = person.api.sessions(&person.claim())?;
    if sessions.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("a session was begun: {sessions:?}")))
}

#[test]
fn a_callback_in_a_browser_that_did_not_set_out_is_refused() -> Result {
    let person = Person::new()?;
    let (_, back) = up_to_the_callback(&person, &mut Browser::new())?;
    expect_refused(&mut Browser::new(), &back)?;
    expect_no_session(&person)?;

    // Nor does a cookie from another log-in help.
    let mut victim = Browser::new();
    up_to_the_callback(&person, &mut victim)?;
    let (_, back) = up_to_the_callback(&person, &mut Browser::new())?;
    expect_refused(&mut victim, &back)?;
    expect_no_session(&person)
}

#[test]
fn a_callback_counts_once() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, back) = up_to_the_callback(&person, &mut browser)?;
    browser.go(&back, Some(&person.app.redirect_uri))?.app()?;
    expect_refused(&mut browser, &back)?;
    assert_eq!(person.api.sessions(&person.claim())?.len(), 1);
    Ok(())
}

#[test]
fn a_state_that_was_never_given_out_is_refused() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, back) = up_to_the_callback(&person, &mut browser)?;
    for state in ["", "x", "pc_fl_AAAA", &"A".repeat(9000)] {
        let mut bent = back.clone();
        replace_parameter(&mut bent, "state", state);
        expect_refused(&mut browser, &bent)?;
    }
    let mut bare = back.clone();
    bare.set_query(None);
    expect_refused(&mut browser, &bare)?;
    expect_no_session(&person)
}

#[test]
fn an_answer_in_the_name_of_another_provider_is_refused() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, mut back) = up_to_the_callback(&person, &mut browser)?;
    replace_parameter(&mut back, "iss", "https://other.example");
    expect_nothing_gained(&person, &mut browser, &back)
}

#[test]
fn a_code_that_the_provider_did_not_give_is_worth_nothing() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, mut back) = up_to_the_callback(&person, &mut browser)?;
    replace_parameter(&mut back, "code", "made-up");
    expect_nothing_gained(&person, &mut browser, &back)
}

/// Refused on the spot or told to the application: either way nobody is logged in.
fn expect_nothing_gained(person: &Person, browser: &mut Browser, back: &Url) -> Result {
    match browser.go(back, Some(&person.app.redirect_uri))? {
        Landing::App(url) => {
            assert_eq!(parameter(&url, "code"), None, "{url}");
            assert!(parameter(&url, "error").is_some(), "{url}");
        }
        Landing::Page(page) => assert!((400..=502).contains(&page.response.status)),
    }
    expect_no_session(person)
}

#[test]
fn a_refusal_by_the_provider_reaches_the_application() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (attempt, mut back) = up_to_the_callback(&person, &mut browser)?;
    let state = parameter(&back, "state").unwrap_or_default();
    back.query_pairs_mut().clear().extend_pairs([
        ("error", "access_denied"),
        ("state", &state),
        ("iss", person.endpoints().idp.as_str()),
    ]);
    let told = browser.go(&back, Some(&person.app.redirect_uri))?.app()?;
    assert_eq!(parameter(&told, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&told, "state"), Some(attempt.state));
    expect_no_session(&person)
}

#[test]
fn what_the_provider_needs_of_the_person_is_told_and_what_is_between_us_is_not() -> Result {
    let person = Person::new()?;
    for (error, expected) in [
        ("login_required", "login_required"),
        ("interaction_required", "interaction_required"),
        ("consent_required", "consent_required"),
        ("account_selection_required", "account_selection_required"),
        ("unauthorized_client", "server_error"),
        ("no_such_error", "server_error"),
    ] {
        let mut browser = Browser::new();
        let attempt = person.app.attempt()?;
        let at_idp = browser.step(&attempt.url)?.expect(302)?;
        let at_idp = Url::parse(at_idp.header("location").unwrap_or_default())?;
        let mut back = Url::parse(&format!("{}/callback", person.endpoints().service))?;
        back.query_pairs_mut().extend_pairs([
            ("error", error),
            ("state", &parameter(&at_idp, "state").unwrap_or_default()),
            ("iss", person.endpoints().idp.as_str()),
        ]);
        let told = browser.go(&back, Some(&person.app.redirect_uri))?.app()?;
        assert_eq!(parameter(&told, "error").as_deref(), Some(expected));
    }
    Ok(())
}

#[test]
fn a_log_in_that_set_out_before_a_kill_must_begin_again() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let (_, back) = up_to_the_callback(&person, &mut browser)?;
    person
        .api
        .revoke(&json!({ "subject": person.claim() }))?
        .expect(200)?;
    expect_nothing_gained(&person, &mut browser, &back)?;

    let tokens = person.app.log_in_with(&mut browser, person.name)?;
    person.api.expect_active(&tokens)
}

fn replace_parameter(url: &mut Url, name: &str, value: &str) {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(known, _)| known != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .append_pair(name, value);
}
