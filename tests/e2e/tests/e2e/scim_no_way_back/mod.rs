//! Whoever the directory deactivates is out by every way there is, and stays out until it says otherwise; and what
//! they held then is worth nothing even after that.
//!
//! Everything that somebody can hold or be in the middle of is gathered first. Then the person is deactivated, and
//! everything is presented; the person is reactivated, and it is presented again. Of what can be presented only
//! once there are two, so that one is presented for the first time after the reactivation.
//!
//! Services are not here: no directory provisions them.

mod elsewhere;

use portcullis_e2e::app::{App, Attempt, Tokens, parameter};
use portcullis_e2e::browser::{Browser, Landing, Page};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::json::text;
use portcullis_e2e::oauth::{introspected, refresh, refresh_token};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use url::Url;

const NAME: &str = "alice";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

const GATEWAY: &str = "tests/e2e/tests/e2e/scim_no_way_back/gateway.toml";

/// How a way in was answered: let in, or why not.
type Answer = std::result::Result<(), String>;

/// What somebody holds, and what they are in the middle of.
struct Held {
    /// The usual tokens of a session.
    tokens: Tokens,
    /// A code that waits, and its verifier.
    code: (String, String),
    /// A refresh token that was used a moment ago: within the grace it gets its successor once more.
    used: String,
    /// What a service got for their token.
    exchanged: String,
    /// A browser that the gateway knows.
    at_gateway: Browser,
    /// A browser on its way back from the identity provider, and where it is going.
    coming_back: (Browser, Url),
    /// A browser on its way back to the gateway with a code.
    coming_to_gateway: (Browser, Url),
    /// A browser that shows the question for consent.
    asked: (Browser, Page),
}

/// One way in, by what was held.
type Way = fn(&Site, &mut Held) -> Result<Answer>;

/// One way in anew.
type NewWay = fn(&Site, &mut Fresh) -> Result<Answer>;

/// Every way in by something from before, and what refuses it while the person is out, and afterwards.
const OLD: &[(&str, Way, [&str; 2])] = &[
    ("a code", by_code, ["invalid_grant"; 2]),
    ("a refresh token", by_refresh, ["invalid_grant"; 2]),
    (
        "a refresh token within its grace",
        by_used,
        ["invalid_grant"; 2],
    ),
    ("an exchange", by_exchange, ["invalid_request"; 2]),
    (
        "an exchange of what was exchanged",
        by_second_exchange,
        ["invalid_request"; 2],
    ),
    (
        "the check of a token",
        by_check,
        ["subject_disabled", "session_ended"],
    ),
    (
        "the check of a session",
        by_session,
        ["subject_disabled", "session_ended"],
    ),
    (
        "the check of several",
        by_batch,
        ["subject_disabled", "session_ended"],
    ),
    (
        "the check of what was exchanged",
        by_exchanged,
        ["subject_disabled", "session_ended"],
    ),
    ("a strict route", by_strict, ["401"; 2]),
    ("a bounded route", by_bounded, ["401"; 2]),
    ("introspection", by_introspection, ["inactive"; 2]),
    (
        "introspection of a refresh token",
        by_introspected_refresh,
        ["inactive"; 2],
    ),
    (
        "introspection of what was exchanged",
        by_introspected_exchange,
        ["inactive"; 2],
    ),
    ("userinfo", by_userinfo, ["401"; 2]),
    ("a script with the gateway's cookie", by_cookie, ["401"; 2]),
    ("the callback", by_callback, ["access_denied"; 2]),
    ("the gateway's callback", by_gateway_callback, ["401"; 2]),
    ("consent", by_consent, ["access_denied"; 2]),
];

/// Every way in anew: refused while the person is out, and open again afterwards.
const NEW: &[(&str, NewWay, &str)] = &[
    ("a log-in", by_log_in, "access_denied"),
    (
        "a log-in that nobody sees",
        by_silent_log_in,
        "access_denied",
    ),
    (
        "a request that was pushed before",
        by_pushed,
        "access_denied",
    ),
    ("a page of the gateway's", by_gateway, "no page"),
];

/// What a log-in can begin with.
struct Fresh {
    /// A browser in which the person has a session at the identity provider.
    known_there: Browser,
    /// A request that was pushed (RFC 9126).
    pushed: Attempt,
}

#[test]
fn whoever_is_deactivated_is_out_by_every_way_and_what_they_held_never_counts_again() -> Result {
    let site = Site::at(Arc::new(Stack::start_with(&settings())?))?;
    let user = site.scim.provision(NAME)?;
    let mut fresh = Fresh::new(&site)?;
    let mut presented = Held::new(&site)?;
    let mut kept = Held::new(&site)?;
    // All of it counts; else its refusal would say nothing.
    for tokens in [&presented.tokens, &kept.tokens] {
        site.api.expect_active(tokens)?;
        for path in ["/strict", "/bounded"] {
            at_gateway(&site, path, &tokens.access)?.expect(200)?;
        }
    }

    site.scim.set_active(&user, false)?;
    bounded_knows(&site, &presented)?;
    for (way, present, [reason, _]) in OLD {
        expect_refused(way, present(&site, &mut presented)?, reason)?;
    }
    for (way, present, reason) in NEW {
        expect_refused(way, present(&site, &mut fresh)?, reason)?;
    }
    assert!(site.api.sessions(&claim())?.is_empty());

    site.scim.set_active(&user, true)?;
    for (way, present, [_, reason]) in OLD {
        expect_refused(way, present(&site, &mut kept)?, reason)?;
        // What was refused before is no better for it.
        if let Ok(()) = present(&site, &mut presented)? {
            return Err(Failure::new(format!("{way} counts at the second time")));
        }
    }
    assert!(site.api.sessions(&claim())?.is_empty());

    let mut fresh = Fresh::new(&site)?;
    for (way, present, _) in NEW {
        if let Err(why) = present(&site, &mut fresh)? {
            return Err(Failure::new(format!("{way} is refused: {why}")));
        }
    }
    let again = site.app.log_in(NAME)?;
    site.api.expect_active(&again)?;
    for path in ["/strict", "/bounded"] {
        at_gateway(&site, path, &again.access)?.expect(200)?;
    }
    Ok(())
}

/// A stack whose feed is old enough for new tokens, for one that has just begun knows nothing of them.
fn settings() -> Settings {
    Settings {
        gateway_file: Some(GATEWAY),
        ..Settings::vars(&["TEST_FEED_AGE_MS=600000"])
    }
}

#[track_caller]
fn expect_refused(way: &str, answer: Answer, reason: &str) -> Result {
    match answer {
        Ok(()) => Err(Failure::new(format!("{way} lets them in"))),
        Err(why) if why == reason => Ok(()),
        Err(why) => Err(Failure::new(format!("{way}: {why}, expected {reason}"))),
    }
}

fn claim() -> String {
    format!("demo:{NAME}")
}

/// Waits until the gateway's view has what the feed has: as long as the route says at most.
fn bounded_knows(site: &Site, held: &Held) -> Result {
    thread::sleep(Duration::from_secs(1));
    until("a view without them", || {
        let response = at_gateway(site, "/bounded", &held.tokens.access)?;
        Ok((response.status == 401).then_some(()))
    })
}

fn third_party(site: &Site) -> App {
    App {
        client_id: "demo-third-party".to_owned(),
        ..site.app.clone()
    }
}

fn service_url(site: &Site, path: &str) -> Result<Url> {
    Ok(Url::parse(&format!("{}{path}", site.endpoints().service))?)
}

fn gateway_url(site: &Site, path: &str) -> Result<Url> {
    Ok(Url::parse(&format!("{}{path}", site.endpoints().gateway))?)
}

fn at_gateway(site: &Site, path: &str, token: &str) -> Result<Response> {
    Request::get(gateway_url(site, path)?.as_str())
        .bearer(token)
        .send()
}

fn exchange(site: &Site, token: &str) -> Result<Response> {
    Request::post(&site.app.token_endpoint)
        .form(&[
            ("client_id", "demo-service"),
            ("client_secret", "dev-secret"),
            ("grant_type", EXCHANGE),
            ("subject_token", token),
            ("subject_token_type", ACCESS_TOKEN),
        ])
        .send()
}

impl Held {
    fn new(site: &Site) -> Result<Self> {
        let tokens = site.app.log_in(NAME)?;
        let exchanged = Tokens::read(&exchange(site, &tokens.access)?.expect(200)?)?.access;
        let mut at_gateway = Browser::new();
        let home = gateway_url(site, "/strict")?;
        let page = at_gateway.go_as(NAME, &home, None)?.page()?;
        page.response.expect(200)?;
        let attempt = site.app.attempt()?;
        let mut coming_back = Browser::new();
        let callback = service_url(site, "/callback")?;
        let back = coming_back.go_as(NAME, &attempt.url, Some(&callback))?;
        let mut coming_to_gateway = Browser::new();
        let callback = gateway_url(site, "/.portcullis/callback")?;
        let to_gateway = coming_to_gateway.go_as(NAME, &home, Some(&callback))?;
        let app = third_party(site);
        let mut asked = Browser::new();
        let question = app.authorize(&mut asked, NAME, &app.attempt()?)?.page()?;
        let attempt = site.app.attempt()?;
        let code = site.app.code(&mut Browser::new(), NAME, &attempt)?;
        // Last, for its grace is short.
        let other = site.app.log_in(NAME)?;
        let used = refresh_token(&other).to_owned();
        refresh(site.endpoints(), "demo-app", &used)?.expect(200)?;
        Ok(Self {
            tokens,
            code: (code, attempt.verifier),
            used,
            exchanged,
            at_gateway,
            coming_back: (coming_back, back.app()?),
            coming_to_gateway: (coming_to_gateway, to_gateway.app()?),
            asked: (asked, question),
        })
    }
}

impl Fresh {
    fn new(site: &Site) -> Result<Self> {
        let mut known_there = Browser::new();
        // As far as the provider is concerned they are logged in; here nobody has come back.
        let callback = service_url(site, "/callback")?;
        let attempt = site.app.attempt()?;
        known_there
            .go_as(NAME, &attempt.url, Some(&callback))?
            .app()?;
        let attempt = site.app.attempt()?;
        let fields: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let answer = Request::post(service_url(site, "/par")?.as_str())
            .form(&fields)
            .send()?
            .expect(201)?;
        let mut url = site.app.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("client_id", &site.app.client_id)
            .append_pair("request_uri", text(&answer.json()?, "request_uri")?);
        Ok(Self {
            known_there,
            pushed: Attempt { url, ..attempt },
        })
    }
}

/// The token endpoint's answer.
fn granted(response: &Response) -> Result<Answer> {
    match response.status {
        200 => Ok(Ok(())),
        400 => Ok(Err(text(&response.json()?, "error")?.to_owned())),
        _ => Err(response.unexpected("tokens, or 400")),
    }
}

/// A verdict.
fn judged(verdict: &Value) -> Result<Answer> {
    match verdict["verdict"].as_str() {
        Some("active") => Ok(Ok(())),
        Some("denied") => Ok(Err(text(verdict, "reason")?.to_owned())),
        _ => Err(Failure::new(format!("no verdict: {verdict}"))),
    }
}

/// A status that is 200, or is not.
fn passed(response: &Response) -> Answer {
    match response.status {
        200 => Ok(()),
        status => Err(status.to_string()),
    }
}

/// Where a log-in ended: at the application with a code or an error, or on a page.
fn landed(landing: Landing) -> Answer {
    match landing {
        Landing::App(back) if parameter(&back, "code").is_some() => Ok(()),
        Landing::App(back) => Err(parameter(&back, "error").unwrap_or_default()),
        Landing::Page(page) => Err(format!("{} {}", page.response.status, page.url.path())),
    }
}

/// What is said of a token by introspection.
fn described(site: &Site, token: &str) -> Result<Answer> {
    Ok(
        match introspected(site.endpoints(), token)?["active"].as_bool() {
            Some(false) => Err("inactive".to_owned()),
            _ => Ok(()),
        },
    )
}

/// A page of the gateway's, or none.
fn paged(landing: Landing) -> Result<Answer> {
    let page = landing.page()?;
    Ok(match page.response.status {
        200 => Ok(()),
        400..500 => Err("no page".to_owned()),
        _ => return Err(page.response.unexpected("a page, or that there is none")),
    })
}

fn by_code(site: &Site, held: &mut Held) -> Result<Answer> {
    let (code, verifier) = &held.code;
    granted(&site.app.redeem(code, verifier)?)
}

fn by_refresh(site: &Site, held: &mut Held) -> Result<Answer> {
    let token = refresh_token(&held.tokens);
    granted(&refresh(site.endpoints(), "demo-app", token)?)
}

fn by_used(site: &Site, held: &mut Held) -> Result<Answer> {
    granted(&refresh(site.endpoints(), "demo-app", &held.used)?)
}

fn by_exchange(site: &Site, held: &mut Held) -> Result<Answer> {
    granted(&exchange(site, &held.tokens.access)?)
}

fn by_second_exchange(site: &Site, held: &mut Held) -> Result<Answer> {
    granted(&exchange(site, &held.exchanged)?)
}

fn by_check(site: &Site, held: &mut Held) -> Result<Answer> {
    judged(&site.api.check_token(&held.tokens.access)?)
}

fn by_session(site: &Site, held: &mut Held) -> Result<Answer> {
    let tokens = &held.tokens;
    judged(&site.api.check_session(&tokens.subject, &tokens.session)?)
}

fn by_batch(site: &Site, held: &mut Held) -> Result<Answer> {
    let checks = json!({ "checks": [{ "token": held.tokens.access }] });
    let answer = site.api.check(&checks)?.expect(200)?.json()?;
    judged(&answer["results"][0])
}

fn by_exchanged(site: &Site, held: &mut Held) -> Result<Answer> {
    judged(&site.api.check_token(&held.exchanged)?)
}

fn by_strict(site: &Site, held: &mut Held) -> Result<Answer> {
    Ok(passed(&at_gateway(site, "/strict", &held.tokens.access)?))
}

fn by_bounded(site: &Site, held: &mut Held) -> Result<Answer> {
    Ok(passed(&at_gateway(site, "/bounded", &held.tokens.access)?))
}

fn by_introspection(site: &Site, held: &mut Held) -> Result<Answer> {
    described(site, &held.tokens.access)
}

fn by_introspected_refresh(site: &Site, held: &mut Held) -> Result<Answer> {
    described(site, refresh_token(&held.tokens))
}

fn by_introspected_exchange(site: &Site, held: &mut Held) -> Result<Answer> {
    described(site, &held.exchanged)
}

fn by_userinfo(site: &Site, held: &mut Held) -> Result<Answer> {
    let request = Request::get(service_url(site, "/userinfo")?.as_str());
    Ok(passed(&request.bearer(&held.tokens.access).send()?))
}

fn by_cookie(site: &Site, held: &mut Held) -> Result<Answer> {
    Ok(passed(
        &held.at_gateway.fetch(&gateway_url(site, "/strict")?)?,
    ))
}

fn by_callback(site: &Site, held: &mut Held) -> Result<Answer> {
    let (browser, url) = &mut held.coming_back;
    Ok(landed(browser.go(url, Some(&site.app.redirect_uri))?))
}

/// Wherever it is sent from there, what counts is whether the gateway knows it then.
fn by_gateway_callback(site: &Site, held: &mut Held) -> Result<Answer> {
    let (browser, url) = &mut held.coming_to_gateway;
    browser.step(url)?;
    Ok(passed(&browser.fetch(&gateway_url(site, "/strict")?)?))
}

fn by_consent(site: &Site, held: &mut Held) -> Result<Answer> {
    let (browser, page) = &mut held.asked;
    let answer = browser.answer(page, "allow")?;
    let app = Some(&site.app.redirect_uri);
    Ok(landed(browser.follow(page.url.clone(), answer, app)?))
}

fn by_log_in(site: &Site, _: &mut Fresh) -> Result<Answer> {
    let attempt = site.app.attempt()?;
    Ok(landed(site.app.authorize(
        &mut Browser::new(),
        NAME,
        &attempt,
    )?))
}

fn by_silent_log_in(site: &Site, fresh: &mut Fresh) -> Result<Answer> {
    let attempt = site.app.attempt_with(&[("prompt", "none")])?;
    let app = Some(&site.app.redirect_uri);
    Ok(landed(fresh.known_there.go(&attempt.url, app)?))
}

fn by_pushed(site: &Site, fresh: &mut Fresh) -> Result<Answer> {
    let browser = &mut Browser::new();
    Ok(landed(site.app.authorize(browser, NAME, &fresh.pushed)?))
}

fn by_gateway(site: &Site, fresh: &mut Fresh) -> Result<Answer> {
    let page = gateway_url(site, "/strict")?;
    paged(fresh.known_there.go_as(NAME, &page, None)?)
}
