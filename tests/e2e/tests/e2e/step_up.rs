//! How new and how strong a log-in must be: relayed to the identity provider, and believed of its ID
//! token only (OIDC Core section 3.1.2.1, RFC 9470).

use portcullis_e2e::Result;
use portcullis_e2e::app::{Tokens, claims, parameter};
use portcullis_e2e::browser::{Browser, Landing};
use portcullis_e2e::people::Person;
use std::thread::sleep;
use std::time::Duration;
use url::Url;

const PASSWORD: &str = "urn:demo:acr:password";
const TWO_FACTORS: &str = "urn:demo:acr:two-factors";
/// Longer than an old log-in may pass for a new one because of clocks.
const PAST_THE_SKEW: Duration = Duration::from_secs(12);

/// Sets out with `replaced`, and takes `removed` out of what the browser carries to the identity
/// provider, as whoever holds the browser can.
fn tampered(
    person: &Person,
    browser: &mut Browser,
    replaced: &[(&str, &str)],
    removed: &[&str],
) -> Result<Landing> {
    let attempt = person.app.attempt_with(replaced)?;
    let response = browser.step(&attempt.url)?.expect(302)?;
    let at_idp = Url::parse(response.header("location").unwrap_or_default())?;
    for name in removed {
        assert!(parameter(&at_idp, name).is_some(), "no {name}: {at_idp}");
    }
    let kept: Vec<(String, String)> = at_idp
        .query_pairs()
        .filter(|(name, _)| !removed.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut bent = at_idp.clone();
    bent.query_pairs_mut().clear().extend_pairs(kept);
    browser.go_as(person.name, &bent, Some(&person.app.redirect_uri))
}

fn error_of(landing: Landing) -> Result<String> {
    let back = landing.app()?;
    assert_eq!(parameter(&back, "code"), None, "{back}");
    Ok(parameter(&back, "error").unwrap_or_default())
}

fn log_in(person: &Person, browser: &mut Browser, replaced: &[(&str, &str)]) -> Result<Tokens> {
    let attempt = person.app.attempt_with(replaced)?;
    let code = person.app.code(browser, person.name, &attempt)?;
    Tokens::read(&person.app.redeem(&code, &attempt.verifier)?.expect(200)?)
}

fn auth_time(tokens: &Tokens) -> Result<u64> {
    Ok(claims(&tokens.access)?["auth_time"].as_u64().unwrap_or(0))
}

#[test]
fn without_a_log_in_at_the_provider_prompt_none_is_login_required() -> Result {
    let person = Person::new()?;
    let attempt = person.app.attempt_with(&[("prompt", "none")])?;
    let landing = Browser::new().go(&attempt.url, Some(&person.app.redirect_uri))?;
    assert_eq!(error_of(landing)?, "login_required");
    Ok(())
}

#[test]
fn with_one_prompt_none_gives_a_code_and_shows_nothing() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    person.app.log_in_with(&mut browser, person.name)?;
    let attempt = person.app.attempt_with(&[("prompt", "none")])?;
    let back = browser.go(&attempt.url, Some(&person.app.redirect_uri))?;
    assert!(parameter(&back.app()?, "code").is_some());
    Ok(())
}

#[test]
fn prompt_login_and_select_account_have_the_provider_ask_again_and_a_hint_fills_the_name_in()
-> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    person.app.log_in_with(&mut browser, person.name)?;
    for prompt in ["login", "select_account", "login select_account"] {
        let asked = [("prompt", prompt), ("login_hint", person.name)];
        let attempt = person.app.attempt_with(&asked)?;
        let page = browser
            .go(&attempt.url, Some(&person.app.redirect_uri))?
            .page()?;
        assert!(
            page.asks_for("password"),
            "{prompt}: {}",
            page.response.body
        );
        let hint = format!("value=\"{}\"", person.name);
        assert!(page.response.body.contains(&hint), "{prompt}");
        log_in(&person, &mut browser, &asked)?;
    }
    Ok(())
}

#[test]
fn an_old_log_in_does_not_pass_for_a_new_one() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let first = log_in(&person, &mut browser, &[("max_age", "1000")])?;
    sleep(PAST_THE_SKEW);

    let login = [("prompt", "login")];
    let landing = tampered(&person, &mut browser, &login, &["prompt", "max_age"])?;
    assert_eq!(error_of(landing)?, "login_required");
    let max_age = [("max_age", "1")];
    let landing = tampered(&person, &mut browser, &max_age, &["max_age"])?;
    assert_eq!(error_of(landing)?, "login_required");
    let query = format!(
        "action=session.login&outcome=denied&subject={}",
        first.subject
    );
    let refused = person.api.expect_events(&query, 2)?;
    assert!(
        refused
            .iter()
            .all(|event| event["reason"] == "login_required")
    );

    // Old enough is old enough, and logging in again is what was asked.
    let same = log_in(&person, &mut browser, &[("max_age", "1000")])?;
    assert_eq!(auth_time(&same)?, auth_time(&first)?);
    let again = log_in(&person, &mut browser, &max_age)?;
    assert!(auth_time(&again)? > auth_time(&first)?);
    Ok(())
}

#[test]
fn a_step_up_asks_for_more_and_the_token_says_so() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let weak = log_in(&person, &mut browser, &[("acr_values", PASSWORD)])?;
    assert_eq!(claims(&weak.access)?["acr"], PASSWORD);
    let stronger = [("acr_values", TWO_FACTORS)];
    let attempt = person.app.attempt_with(&stronger)?;
    let page = browser
        .go(&attempt.url, Some(&person.app.redirect_uri))?
        .page()?;
    assert!(page.asks_for("code"), "{}", page.response.body);
    let strong = log_in(&person, &mut browser, &stronger)?;
    assert_eq!(claims(&strong.access)?["acr"], TWO_FACTORS);
    // Once it is strong it need not be asked again.
    let attempt = person.app.attempt_with(&stronger)?;
    let back = browser.go(&attempt.url, Some(&person.app.redirect_uri))?;
    assert!(parameter(&back.app()?, "code").is_some());
    Ok(())
}

#[test]
fn a_log_in_that_is_too_weak_is_an_unmet_requirement() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let first = log_in(&person, &mut browser, &[])?;
    let unmet = "unmet_authentication_requirements";
    // Whoever holds the browser takes the wish out.
    let asked = [("acr_values", TWO_FACTORS)];
    let landing = tampered(&person, &mut browser, &asked, &["acr_values"])?;
    assert_eq!(error_of(landing)?, unmet);
    // The provider knows no such thing and lets the person in as it can.
    let attempt = person.app.attempt_with(&[("acr_values", "urn:hardware")])?;
    let landing = person.app.authorize(&mut browser, person.name, &attempt)?;
    assert_eq!(error_of(landing)?, unmet);
    let query = format!(
        "action=session.login&outcome=denied&subject={}",
        first.subject
    );
    person.api.expect_events(&query, 2)?;
    Ok(())
}
