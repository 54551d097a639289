//! Authorization requests that are wrong (RFC 6749 sections 3.1.2.4 and 4.1.2.1).

use portcullis_e2e::app::{Tokens, audiences, claims, parameter};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::people::{Person, Site};
use portcullis_e2e::{Failure, Result};
use url::Url;

#[test]
fn an_unknown_client_or_redirect_uri_is_told_to_the_person_and_never_redirected() -> Result {
    let site = Site::any()?;
    let wrong: &[(&str, &str)] = &[
        ("client_id", "nobody"),
        ("client_id", ""),
        ("redirect_uri", ""),
        ("redirect_uri", "https://app.example/callback"),
        ("redirect_uri", "http://127.0.0.1:53682/other"),
        ("redirect_uri", "http://127.0.0.1:53682/callback/"),
        ("redirect_uri", "http://127.0.0.1:53682/callback?more=1"),
        ("redirect_uri", "http://127.0.0.1:53682/callback#part"),
        ("redirect_uri", "http://127.0.0.1:53682/x/../callback"),
        ("redirect_uri", "http://user@127.0.0.1:53682/callback"),
        (
            "redirect_uri",
            "http://127.0.0.1:53682@evil.example/callback",
        ),
        ("redirect_uri", "http://127.0.0.1.evil.example/callback"),
        ("redirect_uri", "https://127.0.0.1:53682/callback"),
        ("redirect_uri", "HTTP://127.0.0.1:53682/callback"),
        ("redirect_uri", "http:\t//127.0.0.1:53682/callback"),
        ("redirect_uri", "javascript:alert(1)//127.0.0.1/callback"),
    ];
    for &(name, value) in wrong {
        let attempt = site.app.attempt_with(&[(name, value)])?;
        let response = Browser::new().step(&attempt.url)?;
        if response.status != 400 || response.header("location").is_some() {
            return Err(response.unexpected(&format!("400 and no redirect for {name}={value:?}")));
        }
        let media_type = response.header("content-type").unwrap_or_default();
        assert!(media_type.starts_with("text/html"), "{media_type}");
        assert!(
            value.len() < 20 || !response.body.contains(value),
            "the page repeats what came: {}",
            response.body
        );
    }
    Ok(())
}

#[test]
fn an_unknown_client_looks_like_a_wrong_redirect_uri() -> Result {
    let site = Site::any()?;
    let page = |name, value| {
        let attempt = site.app.attempt_with(&[(name, value)])?;
        Browser::new().step(&attempt.url)
    };
    let unknown = page("client_id", "nobody")?;
    let wrong = page("redirect_uri", "https://evil.example/callback")?;
    assert_eq!(unknown.status, wrong.status);
    assert_eq!(unknown.body, wrong.body);
    Ok(())
}

#[test]
fn parameters_may_come_in_a_form() -> Result {
    let site = Site::any()?;
    let attempt = site.app.attempt()?;
    let mut endpoint = attempt.url.clone();
    endpoint.set_query(None);
    let fields: Vec<(String, String)> = attempt.url.query_pairs().into_owned().collect();
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let app = Url::parse("https://app.example/")?;
    let response = Browser::new().submit(&app, &endpoint, &fields)?;
    let at_idp = response.header("location").unwrap_or_default();
    assert_eq!(response.status, 302);
    assert!(
        at_idp.starts_with(site.endpoints().idp.as_str()),
        "{at_idp}"
    );
    Ok(())
}

#[test]
fn a_resource_that_the_application_may_have_is_the_audience() -> Result {
    let person = Person::new()?;
    let usual = person.app.log_in(person.name)?;
    let audience = claims(&usual.access)?;
    let audience = audiences(&audience);
    let resource = audience.first().copied().expect("an audience");
    let attempt = person.app.attempt_with(&[("resource", resource)])?;
    let code = person
        .app
        .code(&mut Browser::new(), person.name, &attempt)?;
    let tokens = person.app.redeem(&code, &attempt.verifier)?.expect(200)?;
    let named = claims(&Tokens::read(&tokens)?.access)?;
    assert_eq!(audiences(&named), [resource]);
    Ok(())
}

#[test]
fn a_loopback_redirect_uri_may_have_any_port() -> Result {
    let person = Person::new()?;
    let other = Url::parse("http://127.0.0.1:41234/callback")?;
    let attempt = person
        .app
        .attempt_with(&[("redirect_uri", other.as_str())])?;
    let back = Browser::new()
        .go_as(person.name, &attempt.url, Some(&other))?
        .app()?;
    let code = parameter(&back, "code").expect("a code");
    person
        .app
        .redeem_with(
            &code,
            &attempt.verifier,
            &[("redirect_uri", other.as_str())],
        )?
        .expect(200)?;
    Ok(())
}

#[test]
fn any_other_mistake_goes_back_to_the_application_with_its_state() -> Result {
    let site = Site::any()?;
    let wrong: &[(&str, &str, &str)] = &[
        ("response_type", "token", "unsupported_response_type"),
        ("response_type", "code token", "unsupported_response_type"),
        ("code_challenge", "", "invalid_request"),
        ("code_challenge", "short", "invalid_request"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("code_challenge_method", "s256", "invalid_request"),
        ("response_type", "", "invalid_request"),
        ("response_mode", "fragment", "invalid_request"),
        ("prompt", "none login", "invalid_request"),
        ("prompt", "create", "invalid_request"),
        ("max_age", "-1", "invalid_request"),
        ("dpop_jkt", "short", "invalid_request"),
        ("resource", "https://other.example", "invalid_target"),
        ("resource", "not a URI", "invalid_target"),
        ("request", "e30.e30.", "request_not_supported"),
        (
            "request_uri",
            "https://a.example/r",
            "request_uri_not_supported",
        ),
    ];
    for &(name, value, error) in wrong {
        let attempt = site.app.attempt_with(&[(name, value)])?;
        expect_error_at_app(&site, &attempt.url, &attempt.state, error)
            .map_err(|failure| Failure::new(format!("{name}={value:?}: {failure}")))?;
    }
    Ok(())
}

#[test]
fn a_parameter_that_comes_twice_is_an_invalid_request() -> Result {
    let site = Site::any()?;
    let mut attempt = site.app.attempt()?;
    let evil = "https://evil.example/callback";
    attempt
        .url
        .query_pairs_mut()
        .append_pair("redirect_uri", evil);
    let response = Browser::new().step(&attempt.url)?.expect(400)?;
    assert_eq!(response.header("location"), None);

    let mut attempt = site.app.attempt()?;
    attempt.url.query_pairs_mut().append_pair("scope", "openid");
    expect_error_at_app(&site, &attempt.url, &attempt.state, "invalid_request")?;
    Ok(())
}

#[test]
fn the_browser_is_bound_by_a_cookie_that_scripts_and_other_sites_cannot_use() -> Result {
    let site = Site::any()?;
    let attempt = site.app.attempt()?;
    let response = Browser::new().step(&attempt.url)?;
    let at_idp = response.header("location").unwrap_or_default();
    if response.status != 302 || !at_idp.starts_with(site.endpoints().idp.as_str()) {
        return Err(response.unexpected("a redirect to the identity provider"));
    }
    let at_idp = Url::parse(at_idp)?;
    for needed in ["state", "nonce", "code_challenge"] {
        assert!(
            parameter(&at_idp, needed).is_some(),
            "no {needed}: {at_idp}"
        );
    }
    assert_eq!(
        parameter(&at_idp, "code_challenge_method").as_deref(),
        Some("S256")
    );
    assert_ne!(parameter(&at_idp, "state"), Some(attempt.state));
    let cookies: Vec<&str> = response.headers("set-cookie").collect();
    assert!(!cookies.is_empty());
    for cookie in cookies {
        let lower = cookie.to_ascii_lowercase();
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        for attribute in ["httponly", "secure", "samesite=lax", "path=/"] {
            assert!(lower.contains(attribute), "{attribute}: {cookie}");
        }
    }
    Ok(())
}

fn expect_error_at_app(site: &Site, url: &Url, state: &str, error: &str) -> Result {
    let back = Browser::new()
        .go(url, Some(&site.app.redirect_uri))?
        .app()?;
    let expected = [
        ("error", error),
        ("state", state),
        ("iss", site.endpoints().service.as_str()),
    ];
    for (name, value) in expected {
        if parameter(&back, name).as_deref() != Some(value) {
            return Err(Failure::new(format!("expected {name}={value} in {back}")));
        }
    }
    if parameter(&back, "code").is_some() {
        return Err(Failure::new(format!("a code came along: {back}")));
    }
    Ok(())
}
