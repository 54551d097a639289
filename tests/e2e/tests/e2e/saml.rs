//! Log-in through a provider that speaks SAML: who gets in, and who does not, whatever is posted.

use portcullis_e2e::app::{Attempt, parameter};
use portcullis_e2e::browser::{Browser, Page};
use portcullis_e2e::connection::{Connection, refusal};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::saml::SamlProvider;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use url::Url;

type Saml = Connection<SamlProvider>;

/// Whoever may not finish a log-in is shown this and sent nowhere.
#[track_caller]
fn expect_refused(response: Response) -> Result<Response> {
    let response = response.expect(400)?;
    if response.header("location").is_some() || !response.body.contains("Log-in is not possible") {
        return Err(response.unexpected("a page that ends the log-in"));
    }
    Ok(response)
}

/// Logs in at the provider, as far as the page that would post its answer.
#[track_caller]
fn answer(saml: &Saml, browser: &mut Browser, user: &str) -> Result<(Attempt, Page)> {
    let attempt = saml.attempt()?;
    let form = browser.go(&attempt.url, None)?.page()?;
    Ok((attempt, log_in_there(browser, &form, user)?))
}

#[track_caller]
fn log_in_there(browser: &mut Browser, form: &Page, user: &str) -> Result<Page> {
    let to = form.form();
    let to = to.ok_or_else(|| form.response.unexpected("a form"))?;
    let fields = [("login", user), ("password", user)];
    let response = browser.submit(&form.url, &to, &fields)?.expect(200)?;
    Ok(Page { url: to, response })
}

/// The value of a field that the page would post.
fn field(page: &Page, name: &str) -> String {
    let fields = page.hidden_fields();
    let found = fields.into_iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value).unwrap_or_default()
}

/// Posts an answer to the connection of that id.
fn post(saml: &Saml, id: &str, response: &str, relay_state: &str) -> Result<Response> {
    let acs = format!("{}/saml/{id}/acs", saml.endpoints().service);
    let fields = [("SAMLResponse", response), ("RelayState", relay_state)];
    Request::post(acs).form(&fields).send()
}

/// Where an answer that was taken sends the browser.
#[track_caller]
fn sent_on(response: Response) -> Result<Url> {
    let response = response.expect(303)?;
    let location = response.header("location").unwrap_or_default();
    Ok(Url::parse(location)?)
}

#[track_caller]
fn expect_no_session(saml: &Saml, who: &str) -> Result {
    let sessions = saml.api.sessions(&saml.claim(who))?;
    if sessions.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("a session was begun: {sessions:?}")))
}

/// Lets the provider tell `lie`, and expects its answer to be refused for `reason` and to end nothing.
#[track_caller]
fn refused_for(saml: &Saml, lie: &Value, reason: &str) -> Result {
    let before = saml.reasons("credential.refused")?.len();
    saml.upstream.lie(lie)?;
    let mut browser = Browser::new();
    let (_, page) = answer(saml, &mut browser, "alice")?;
    let refused = expect_refused(browser.deliver(&page)?)?;
    assert!(!refused.body.contains(reason), "{reason} is shown");
    let reasons = saml.reasons("credential.refused")?;
    assert_eq!(
        reasons.get(before..),
        Some(&[reason.to_owned()][..]),
        "{lie}"
    );
    expect_no_session(saml, "alice")?;
    saml.upstream.tell_the_truth()
}

#[test]
fn attributes_mean_the_groups_roles_and_claims_that_the_connection_says() -> Result {
    let saml = Connection::saml(&json!({
        "name": "Acme",
        "subject_claim": "uid", "email_claim": "mail",
        "groups_claims": ["http://schemas.example/claims/Group"],
        "roles": [{"role": "admin", "claim": "http://schemas.example/claims/Group", "equals": "Admins"}],
        "claims": ["department"],
    }))?;
    let said = json!({
        "uid": ["a.lice"], "department": ["R&D"], "sub": ["root"],
        "http://schemas.example/claims/Group": ["staff", "Admins"],
    });
    saml.upstream.attributes("alice", &said)?;
    let tokens = saml.log_in("alice")?;
    let token = portcullis_e2e::app::claims(&tokens.access)?;
    assert_eq!(token["groups"], json!(["staff", "Admins"]));
    assert_eq!(token["roles"], json!(["admin"]));
    assert_eq!(token["idp_claims"], json!({"department": "R&D"}));
    let context = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
    assert_eq!(token["acr"], context);
    let sessions = saml.api.sessions(&saml.claim("a.lice"))?;
    assert_eq!(sessions[0]["connection"], *saml.id);
    saml.api.expect_active(&tokens)
}

#[test]
fn a_kill_by_the_name_that_the_provider_gave_ends_the_session() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let tokens = saml.log_in("alice")?;
    saml.api.expect_active(&tokens)?;
    let body = json!({"subject": saml.claim("alice")});
    saml.api.revoke(&body)?.expect(200)?;
    saml.api.expect_denied(&tokens, "session_ended")
}

#[test]
fn a_signature_on_the_response_is_as_good_and_a_large_answer_is_read() -> Result {
    let saml = Connection::saml(&json!({
        "roles": [{"role": "last", "claim": "groups", "equals": "group-number-0000999"}],
    }))?;
    let groups: Vec<String> = (0..1000).map(|n| format!("group-number-{n:07}")).collect();
    saml.upstream
        .attributes("alice", &json!({"groups": groups}))?;
    saml.upstream.lie(&json!({"sign": "response"}))?;
    let mut browser = Browser::new();
    let (attempt, page) = answer(&saml, &mut browser, "alice")?;
    assert!(field(&page, "SAMLResponse").len() > 64 * 1024);
    let on = sent_on(browser.deliver(&page)?)?;
    let back = browser.go(&on, Some(&saml.app.redirect_uri))?.app()?;
    assert_eq!(parameter(&back, "state"), Some(attempt.state));
    assert!(parameter(&back, "code").is_some(), "{back}");
    saml.upstream.tell_the_truth()?;
    assert_eq!(saml.log_in_and_read("alice")?["roles"], json!(["last"]));
    Ok(())
}

#[test]
fn an_answer_that_is_not_signed_by_the_provider_is_refused() -> Result {
    let saml = Connection::saml(&json!({}))?;
    for (lie, reason) in [
        (json!({"sign": "nothing"}), "saml_unsigned"),
        (json!({"key": "foreign"}), "saml_signature"),
        (json!({"wrap": "root"}), "saml_assertions"),
        (json!({"name_id": "alice<!-- -->.evil"}), "saml_markup"),
    ] {
        refused_for(&saml, &lie, reason)?;
    }
    expect_no_session(&saml, "root")?;
    saml.log_in("alice")?;
    Ok(())
}

#[test]
fn an_answer_for_another_purpose_is_refused() -> Result {
    let saml = Connection::saml(&json!({}))?;
    for (lie, reason) in [
        (
            json!({"audience": "https://other.example"}),
            "saml_audience",
        ),
        (json!({"issuer": "urn:another"}), "saml_issuer"),
        (
            json!({"in_response_to": "saml_AQEBAQEBAQEBAQEBAQEBAQ"}),
            "saml_in_response_to",
        ),
        (
            json!({"recipient": "https://other.example/acs"}),
            "saml_recipient",
        ),
        (
            json!({"destination": "https://other.example/acs"}),
            "saml_destination",
        ),
        (json!({"expires_in": -1}), "saml_expired"),
        (json!({"authenticated_ago": -600}), "saml_not_yet_valid"),
    ] {
        refused_for(&saml, &lie, reason)?;
    }
    saml.log_in("alice")?;
    Ok(())
}

#[test]
fn an_answer_counts_once() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let mut browser = Browser::new();
    let (_, page) = answer(&saml, &mut browser, "alice")?;
    let on = sent_on(browser.deliver(&page)?)?;
    // Before the browser is back, and after.
    expect_refused(Browser::new().deliver(&page)?)?;
    browser.go(&on, Some(&saml.app.redirect_uri))?.app()?;
    expect_refused(browser.deliver(&page)?)?;
    expect_refused(browser.step(&on)?)?;
    // Nor with the flow of another log-in.
    let (_, other) = answer(&saml, &mut browser, "bob")?;
    let replayed = field(&page, "SAMLResponse");
    expect_refused(post(
        &saml,
        &saml.id,
        &replayed,
        &field(&other, "RelayState"),
    )?)?;
    let reasons = saml.reasons("credential.refused")?;
    assert_eq!(reasons, ["saml_in_response_to"]);
    assert_eq!(saml.api.sessions(&saml.claim("alice"))?.len(), 1);
    // Which is not ended by that.
    let on = sent_on(browser.deliver(&other)?)?;
    browser.go(&on, Some(&saml.app.redirect_uri))?.app()?;
    Ok(())
}

#[test]
fn an_answer_without_a_log_in_that_waits_for_it_is_refused() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let mut browser = Browser::new();
    let (_, page) = answer(&saml, &mut browser, "alice")?;
    let response = field(&page, "SAMLResponse");
    for state in ["", "x", &"A".repeat(43)] {
        expect_refused(post(&saml, &saml.id, &response, state)?)?;
    }
    let state = field(&page, "RelayState");
    for bad in ["", "x", "AAAA"] {
        expect_refused(post(&saml, &saml.id, bad, &state)?)?;
    }
    let acs = format!("{}/saml/{}/acs", saml.endpoints().service, saml.id);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let huge = Request::post(acs).header(form.0, form.1);
    assert_eq!(huge.status_if_it_were(400 * 1024)?, 400);
    // The log-in goes on.
    let on = sent_on(browser.deliver(&page)?)?;
    browser.go(&on, Some(&saml.app.redirect_uri))?.app()?;
    Ok(())
}

#[test]
fn an_answer_of_one_provider_is_not_taken_for_anothers() -> Result {
    let (honest, attacker) = (Connection::saml(&json!({}))?, Connection::saml(&json!({}))?);
    let (_, ours) = answer(&honest, &mut Browser::new(), "alice")?;
    let (_, theirs) = answer(&attacker, &mut Browser::new(), "alice")?;
    let (response, state) = (field(&theirs, "SAMLResponse"), field(&ours, "RelayState"));
    // At the attacker's place with the honest flow, and at the honest place.
    expect_refused(post(&honest, &attacker.id, &response, &state)?)?;
    expect_refused(post(&honest, &honest.id, &response, &state)?)?;
    let reasons = honest.reasons("credential.refused")?;
    let expected = ["connection_mismatch", "saml_in_response_to"];
    assert_eq!(reasons, expected);
    expect_no_session(&honest, "alice")
}

#[test]
fn only_the_browser_that_set_out_and_brought_the_answer_can_go_on() -> Result {
    let saml = Connection::saml(&json!({}))?;
    // Somebody sets out, and has another person, who logs in there, follow the way to the provider.
    let mut attacker = Browser::new();
    let attempt = saml.attempt()?;
    let form = attacker.go(&attempt.url, None)?.page()?;
    let mut victim = Browser::new();
    let page = log_in_there(&mut victim, &form, "alice")?;
    let on = sent_on(victim.deliver(&page)?)?;
    // The victim did not set out here,
    expect_refused(victim.step(&on)?)?;
    // and the attacker does not know what the victim was given.
    for answer in ["", "x"] {
        let mut bent = on.clone();
        let state = parameter(&on, "state").unwrap_or_default();
        bent.query_pairs_mut()
            .clear()
            .append_pair("state", &state)
            .append_pair("answer", answer);
        expect_refused(attacker.step(&bent)?)?;
    }
    expect_no_session(&saml, "alice")?;
    // With it they would have been let in: nothing else was lacking.
    attacker.go(&on, Some(&saml.app.redirect_uri))?.app()?;
    assert_eq!(saml.api.sessions(&saml.claim("alice"))?.len(), 1);
    Ok(())
}

#[test]
fn a_code_is_no_saml_providers_answer_and_an_answer_is_no_code() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let mut browser = Browser::new();
    let (_, page) = answer(&saml, &mut browser, "alice")?;
    let state = field(&page, "RelayState");
    let service = &saml.endpoints().service;
    for query in ["code=x", "error=access_denied", "answer=x"] {
        let callback = format!("{service}/callback/{}?{query}&state={state}", saml.id);
        expect_refused(browser.step(&Url::parse(&callback)?)?)?;
    }
    // The log-in was not ended by that.
    let on = sent_on(browser.deliver(&page)?)?;
    browser.go(&on, Some(&saml.app.redirect_uri))?.app()?;

    let oidc = Connection::new()?;
    let mut browser = Browser::new();
    let set_out = browser.step(&oidc.attempt()?.url)?.expect(302)?;
    let to_provider = Url::parse(set_out.header("location").unwrap_or_default())?;
    let state = parameter(&to_provider, "state").unwrap_or_default();
    let response = field(&page, "SAMLResponse");
    expect_refused(post(&saml, &oidc.id, &response, &state)?)?;
    expect_refused(post(&saml, &saml.id, &response, &state)?)?;
    let callback = format!("{service}/callback/{}?answer=x&state={state}", oidc.id);
    expect_refused(browser.step(&Url::parse(&callback)?)?)?;
    Ok(())
}

#[test]
fn a_log_in_is_as_new_as_asked_and_silent_if_it_must_be() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let address = format!("somebody@{}", saml.domain);
    let landed = |more: (&str, &str)| {
        let attempt = saml.app.attempt_with(&[("login_hint", &address), more])?;
        saml.app.authorize(&mut Browser::new(), "alice", &attempt)
    };
    let last = || -> Result<Value> { Ok(saml.upstream.requests()?.pop().unwrap_or_default()) };
    for (more, force, passive) in [
        (("state", "s"), false, false),
        (("prompt", "login"), true, false),
        (("max_age", "0"), true, false),
        (("prompt", "none"), false, true),
    ] {
        let back = landed(more)?.app()?;
        let asked = last()?;
        assert_eq!(asked["force_authn"], force, "{more:?}");
        assert_eq!(asked["is_passive"], passive, "{more:?}");
        let error = parameter(&back, "error");
        assert_eq!(
            error.as_deref(),
            passive.then_some("login_required"),
            "{more:?}"
        );
    }
    // The assertion says when that was, whatever the provider was asked.
    saml.upstream.lie(&json!({"authenticated_ago": 3600}))?;
    assert_eq!(refusal(landed(("prompt", "login"))?)?, "login_required");
    landed(("state", "s"))?.app()?;
    // And that nobody logged in, without a word on why.
    let denied = "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed";
    saml.upstream.lie(&json!({"status": denied}))?;
    assert_eq!(refusal(landed(("state", "s"))?)?, "access_denied");
    Ok(())
}

#[test]
fn a_provider_changes_its_key_without_an_end_and_its_old_one_counts_no_more() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let tokens = saml.log_in("alice")?;
    let old = saml.upstream.certificate()?;
    let new = saml.upstream.rotate()?;
    let (mut browser, other) = (Browser::new(), json!({"certificates": [old, new]}));
    let (_, page) = answer(&saml, &mut browser, "alice")?;
    expect_refused(browser.deliver(&page)?)?;
    let with = |certificates: &Value| {
        let mut document = saml.saml_document(&json!({}))?;
        document["saml"]["certificates"] = certificates["certificates"].clone();
        saml.about("PUT", "", Some(&document))?.expect(200)
    };
    with(&other)?;
    saml.api.expect_active(&tokens)?;
    // The same answer, which was not believed before.
    sent_on(browser.deliver(&page)?)?;
    let changed = with(&json!({"certificates": [new]}))?.json()?;
    assert_eq!(changed.get("revoked"), None);
    saml.api.expect_active(&tokens)?;
    saml.log_in("alice")?;
    // Another provider is another connection; another kind of name may be somebody else.
    let elsewhere = saml.saml_document(&json!({"issuer": "urn:another"}))?;
    saml.about("PUT", "", Some(&elsewhere))?.expect(409)?;
    saml.api.expect_active(&tokens)?;
    let mut renamed = saml.saml_document(&json!({}))?;
    renamed["saml"]["name_id_format"] =
        "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent".into();
    let renamed = saml.about("PUT", "", Some(&renamed))?.expect(200)?;
    assert_eq!(renamed.json()?["revoked"]["scope"], "connection");
    saml.api.expect_denied(&tokens, "session_ended")
}

#[test]
fn a_connection_that_is_turned_off_takes_no_answer() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let mut browser = Browser::new();
    let (_, page) = answer(&saml, &mut browser, "alice")?;
    saml.about("POST", "/disable", None)?.expect(200)?;
    expect_refused(browser.deliver(&page)?)?;
    let reasons = saml.reasons("credential.refused")?;
    assert_eq!(reasons, ["connection_disabled"]);
    expect_no_session(&saml, "alice")
}

#[test]
fn a_connection_says_what_the_provider_must_know_and_takes_nothing_of_oidc() -> Result {
    let saml = Connection::saml(&json!({}))?;
    let shown = saml.about("GET", "", None)?.expect(200)?.json()?;
    let base = format!("{}/saml/{}", saml.endpoints().service, saml.id);
    assert_eq!(shown["acs_url"], format!("{base}/acs"));
    assert_eq!(shown["metadata_url"], format!("{base}/metadata"));
    assert_eq!(shown["has_client_secret"], false);
    for name in ["redirect_uri", "backchannel_logout_uri", "scope"] {
        assert_eq!(shown.get(name), None, "{name}");
    }
    let kept = saml.about("PUT", "", Some(&shown))?.expect(200)?;
    assert_eq!(kept.json()?, shown);
    let metadata = Request::get(format!("{base}/metadata"))
        .send()?
        .expect(200)?;
    let media_type = metadata.header("content-type");
    assert_eq!(media_type, Some("application/samlmetadata+xml"));
    for part in [
        format!("entityID=\"{}\"", saml.upstream.service),
        format!("Location=\"{base}/acs\""),
        "WantAssertionsSigned=\"true\"".to_owned(),
    ] {
        assert!(metadata.body.contains(&part), "{part}: {}", metadata.body);
    }
    let oidc = format!("{}/saml/demo/metadata", saml.endpoints().service);
    Request::get(oidc).send()?.expect(404)?;
    saml.about("GET", "/jwks-sync", None)?.expect(404)?;
    for (changes, part) in [
        (json!({"tokens": {"audiences": ["a"]}}), "tokens"),
        (
            json!({"token_endpoint": "https://a.example/t"}),
            "token_endpoint",
        ),
        (json!({"saml": null}), "issuer"),
        (
            json!({"saml": {"sso_url": "http://a.example", "certificates": []}}),
            "sso_url",
        ),
    ] {
        let document = saml.saml_document(&changes)?;
        let refused = saml.about("PUT", "", Some(&document))?.expect(400)?;
        assert!(refused.body.contains(part), "{changes}: {}", refused.body);
    }
    Ok(())
}

#[test]
fn a_test_shows_what_the_assertion_says_or_what_is_wrong_with_it() -> Result {
    let saml = Connection::saml(&json!({"enabled": false}))?;
    let tested = || -> Result<Page> {
        let link = saml.about("POST", "/test", None)?.expect(200)?.json()?;
        let url = Url::parse(link["url"].as_str().unwrap_or_default())?;
        Browser::new().go_as("alice", &url, None)?.page()
    };
    let said = json!({"evil": ["<script>x</script>"]});
    saml.upstream.attributes("alice", &said)?;
    let page = tested()?;
    let subject = format!("{}:alice", saml.id);
    for part in [
        "The connection works",
        &subject,
        "staff",
        "&lt;script&gt;",
        "is off",
    ] {
        let html = &page.response.body;
        assert!(html.contains(part), "{part}: {html}");
    }
    saml.upstream.lie(&json!({"audience": "urn:another"}))?;
    let page = tested()?;
    let html = &page.response.body;
    assert!(
        html.contains("does not work") && html.contains("audience"),
        "{html}"
    );
    expect_no_session(&saml, "alice")?;
    let events = saml.api.events("action=connection.tested")?;
    let ours = events
        .iter()
        .filter(|event| event["actor"]["id"] == *saml.id);
    let outcomes: Vec<&Value> = ours.map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["success", "denied"]);
    Ok(())
}
