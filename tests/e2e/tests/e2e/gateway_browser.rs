//! The gateway before browsers: sent to log in, remembered by cookie, logged out.

use portcullis_e2e::Result;
use portcullis_e2e::app::{claims, parameter};
use portcullis_e2e::browser::{Browser, Page};
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Person;
use serde_json::json;
use url::Url;

const TOKEN_COOKIE: &str = "__Host-portcullis";

fn gateway_url(person: &Person, path: &str) -> Result<Url> {
    Ok(Url::parse(&format!(
        "{}{path}",
        person.endpoints().gateway
    ))?)
}

/// Opens a page behind the gateway and logs in on the way.
fn open(person: &Person, browser: &mut Browser, path: &str) -> Result<Page> {
    browser
        .go_as(person.name, &gateway_url(person, path)?, None)?
        .page()
}

/// The same in a new browser, with its access token.
fn logged_in(person: &Person) -> Result<(Browser, String)> {
    let mut browser = Browser::new();
    open(person, &mut browser, "/")?.response.expect(200)?;
    let token = browser.jar.get(TOKEN_COOKIE).unwrap_or_default().to_owned();
    Ok((browser, token))
}

#[test]
fn a_browser_logs_in_on_the_way_to_its_page_and_stays_logged_in() -> Result {
    let person = Person::new()?;
    let mut browser = Browser::new();
    let first = browser
        .step(&gateway_url(&person, "/page?q=1")?)?
        .expect(302)?;
    let sent_to = Url::parse(first.header("location").unwrap_or_default())?;
    assert!(
        sent_to
            .as_str()
            .starts_with(&format!("{}/authorize?", person.endpoints().service))
    );
    assert_eq!(
        parameter(&sent_to, "client_id").as_deref(),
        Some("demo-gateway")
    );
    assert_eq!(
        parameter(&sent_to, "code_challenge_method").as_deref(),
        Some("S256")
    );

    let page = open(&person, &mut browser, "/page?q=1")?;
    let seen = page.response.expect(200)?.json()?;
    assert_eq!(page.url, gateway_url(&person, "/page?q=1")?);
    assert_eq!(
        (&seen["path"], &seen["query"]),
        (&json!("/page"), &json!("q=1"))
    );
    assert_eq!(seen["headers"]["portcullis-client"], "demo-gateway");
    let cookies = seen["headers"]["cookie"].as_str().unwrap_or_default();
    assert!(!cookies.contains(TOKEN_COOKIE), "the origin sees {cookies}");

    let again = browser
        .step(&gateway_url(&person, "/other")?)?
        .expect(200)?
        .json()?;
    assert_eq!(again["path"], "/other");
    let script = browser
        .fetch(&gateway_url(&person, "/data")?)?
        .expect(200)?
        .json()?;
    assert_eq!(
        script["headers"]["portcullis-subject"],
        seen["headers"]["portcullis-subject"]
    );
    Ok(())
}

#[test]
fn a_killed_browser_is_sent_to_log_in_again_and_its_scripts_are_told() -> Result {
    let person = Person::new()?;
    let (mut browser, token) = logged_in(&person)?;
    let subject = text(&claims(&token)?, "sub")?.to_owned();
    person
        .api
        .revoke(&json!({ "subject": subject }))?
        .expect(200)?;
    browser
        .fetch(&gateway_url(&person, "/data")?)?
        .expect(401)?;
    browser.step(&gateway_url(&person, "/page")?)?.expect(302)?;
    // A new log-in is welcome: the person was logged out, not shut out.
    open(&person, &mut browser, "/page")?.response.expect(200)?;
    assert_ne!(browser.jar.get(TOKEN_COOKIE), Some(token.as_str()));
    Ok(())
}

#[test]
fn a_deactivated_person_gets_no_page_and_is_not_sent_in_circles() -> Result {
    let person = Person::new()?;
    let id = person.scim.provision(person.name)?;
    let (mut browser, _) = logged_in(&person)?;
    person.scim.set_active(&id, false)?;
    let page = open(&person, &mut browser, "/page")?;
    assert!((400..500).contains(&page.response.status), "{page:?}");
    Ok(())
}

#[test]
fn logging_out_at_the_gateway_ends_the_session() -> Result {
    let person = Person::new()?;
    let (mut browser, token) = logged_in(&person)?;
    let claims = claims(&token)?;
    let (subject, session) = (text(&claims, "sub")?, text(&claims, "sid")?);
    let home = gateway_url(&person, "/")?;
    let logout = gateway_url(&person, "/.portcullis/logout")?;
    let response = browser.submit(&home, &logout, &[])?;
    let landing = browser.follow(logout, response, None)?.page()?;
    landing.response.expect(200)?;
    let verdict = person.api.check_session(subject, session)?;
    assert_eq!(verdict["reason"], "session_ended");
    assert_eq!(
        browser.jar.get(TOKEN_COOKIE),
        None,
        "{:?}",
        browser.jar.names()
    );
    Request::get(home.as_str())
        .bearer(&token)
        .send()?
        .expect(401)?;
    browser.fetch(&home)?.expect(401)?;
    Ok(())
}

#[test]
fn another_sites_page_can_neither_write_nor_log_out() -> Result {
    let person = Person::new()?;
    let (mut browser, _) = logged_in(&person)?;
    let evil = Url::parse("https://evil.example/")?;
    let neighbour = Url::parse(&person.endpoints().origin)?;
    for from in [&evil, &neighbour] {
        for path in ["/transfer", "/.portcullis/logout"] {
            browser
                .submit(from, &gateway_url(&person, path)?, &[("a", "b")])?
                .expect(403)?;
        }
    }
    browser
        .fetch(&gateway_url(&person, "/data")?)?
        .expect(200)?;
    Ok(())
}

#[test]
fn a_log_in_is_finished_only_by_the_browser_that_began_it() -> Result {
    let person = Person::new()?;
    let callback = gateway_url(&person, "/.portcullis/callback")?;
    let mut attacker = Browser::new();
    let url = gateway_url(&person, "/")?;
    let back = attacker.go_as(person.name, &url, Some(&callback))?.app()?;
    let mut victim = Browser::new();
    let response = victim.step(&back)?;
    assert!((400..500).contains(&response.status), "{response:?}");
    assert_eq!(victim.jar.get(TOKEN_COOKIE), None);
    Ok(())
}

#[test]
fn nobody_is_returned_to_another_host() -> Result {
    let person = Person::new()?;
    for path in ["//evil.example/", "/\\evil.example/", "/%2F/evil.example"] {
        let mut browser = Browser::new();
        let start = Url::parse(&format!("{}{path}", person.endpoints().gateway))?;
        let page = browser.go_as(person.name, &start, None)?.page()?;
        assert_eq!(
            page.url.origin(),
            start.origin(),
            "{path} led to {}",
            page.url
        );
    }
    Ok(())
}
