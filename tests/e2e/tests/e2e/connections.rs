//! Connections: what an operator says of identity providers, and what follows from it for people.

use portcullis_e2e::Result;
use portcullis_e2e::app::parameter;
use portcullis_e2e::browser::{Browser, Page};
use portcullis_e2e::connection::{Connection, refusal};
use portcullis_e2e::http::Request;
use portcullis_e2e::upstream::{Endpoint, Lie};
use serde_json::{Value, json};
use url::Url;

/// What the page of a log-in that nobody may finish says.
const NOT_POSSIBLE: &str = "Log-in is not possible";

fn url_of(connection: &Connection, path: &str) -> Result<Url> {
    Ok(Url::parse(&format!(
        "{}{path}",
        connection.endpoints().service
    ))?)
}

#[test]
fn a_connection_is_made_shown_changed_and_removed_and_its_id_stays_taken() -> Result {
    let connection = Connection::with(&json!({"name": "Acme", "claims": ["department"]}))?;
    let shown = connection.about("GET", "", None)?.expect(200)?;
    assert!(!shown.body.contains("sealed"), "{}", shown.body);
    let secret = connection.upstream.clients[0].secret.clone();
    assert!(!shown.body.contains(&secret.unwrap_or_default()));
    let shown = shown.json()?;
    assert_eq!(shown["has_client_secret"], true);
    let callback = format!(
        "{}/callback/{}",
        connection.endpoints().service,
        connection.id
    );
    assert_eq!(shown["redirect_uri"], callback);

    // What was shown can be sent back, without the secret.
    let same = connection.about("PUT", "", Some(&shown))?.expect(200)?;
    assert_eq!(same.json()?, shown);
    connection.log_in("alice")?;
    let listed = connection
        .admin("GET", "/v1/connections", None)?
        .expect(200)?;
    let listed = listed.json()?;
    let ids = listed["connections"].as_array().expect("a list");
    assert!(
        ids.iter()
            .any(|one| one["id"] == "demo" && one["static"] == true)
    );
    assert!(ids.contains(&shown));

    let taken = connection.document(&json!({}));
    let again = connection.admin("POST", "/v1/connections", Some(&taken))?;
    again.expect(409)?;
    connection.about("DELETE", "", None)?.expect(204)?;
    connection.about("DELETE", "", None)?.expect(204)?;
    connection.about("GET", "", None)?.expect(404)?;
    let again = connection.admin("POST", "/v1/connections", Some(&taken))?;
    again.expect(409)?;
    Ok(())
}

#[test]
fn what_is_no_connection_is_refused_with_the_reason() -> Result {
    let connection = Connection::new()?;
    for (changes, part) in [
        (json!({"id": "Up"}), "id"),
        (
            json!({"id": "new", "issuer": "http://idp.example"}),
            "issuer",
        ),
        (json!({"id": "new", "issuer": "https://10.0.0.1"}), "issuer"),
        (json!({"id": "new", "client_secret": null}), "client_secret"),
        (json!({"id": "new", "sealed_client_secret": "x"}), "sealed"),
        (json!({"id": "new", "subject_clam": "x"}), "subject_clam"),
        (
            json!({"id": "new", "jwks_uri": "https://a.example/k"}),
            "together",
        ),
    ] {
        let document = connection.document(&changes);
        let refused = connection.admin("POST", "/v1/connections", Some(&document))?;
        let refused = refused.expect(400)?;
        assert!(refused.body.contains(part), "{changes}: {}", refused.body);
    }
    let demo = json!({"issuer": "https://a.example", "client_id": "c"});
    let configured = connection.admin("PUT", "/v1/connections/demo", Some(&demo))?;
    configured.expect(409)?;
    Ok(())
}

#[test]
fn a_secret_is_not_sent_where_a_change_points() -> Result {
    let connection = Connection::new()?;
    let elsewhere = json!({"client_secret": null, "client_id": "another"});
    let document = connection.document(&elsewhere);
    let refused = connection.about("PUT", "", Some(&document))?.expect(400)?;
    assert!(refused.body.contains("client_secret"), "{}", refused.body);
    Ok(())
}

#[test]
fn claims_mean_the_groups_roles_and_custom_claims_that_the_connection_says() -> Result {
    let connection = Connection::with(&json!({
        "subject_claim": "preferred_username",
        "groups_claims": ["groups", "/realm_access/roles"],
        "roles": [
            {"role": "admin", "claim": "https://acme.example/roles", "equals": "Admin"},
            {"role": "owner", "claim": "memberships", "where": {"org": "acme", "level": "owner"}},
            {"role": "nobody", "claim": "memberships", "where": {"org": "acme", "level": "x"}},
        ],
        "claims": ["department", "/address/country"],
    }))?;
    let said = json!({
        "groups": "staff", "realm_access": {"roles": ["dev", "ops"]},
        "https://acme.example/roles": ["User", "Admin"],
        "memberships": [{"org": "other", "level": "owner"}, {"org": "acme", "level": "owner"}],
        "department": "R&D", "address": {"country": "NL"},
    });
    connection.upstream.claims("alice", &said)?;
    let token = connection.log_in_and_read("alice")?;
    assert_eq!(token["groups"], json!(["staff", "dev", "ops"]));
    assert_eq!(token["roles"], json!(["admin", "owner"]));
    let kept = json!({"department": "R&D", "/address/country": "NL"});
    assert_eq!(token["idp_claims"], kept);
    let sessions = connection.api.sessions(&connection.claim("alice"))?;
    assert_eq!(sessions[0]["connection"], *connection.id);
    Ok(())
}

#[test]
fn who_is_identified_by_an_address_must_have_it_verified() -> Result {
    let connection = Connection::with(&json!({"subject_claim": "email"}))?;
    let unverified = json!({"email": "bob@x.example", "email_verified": false});
    connection.upstream.claims("alice", &unverified)?;
    assert_eq!(connection.refused_log_in("alice")?, "access_denied");
    let reasons = connection.reasons("credential.refused")?;
    assert_eq!(reasons, ["id_token_email_not_verified"]);
    connection
        .upstream
        .claims("alice", &json!({"email_verified": "true"}))?;
    connection.log_in("alice")?;
    Ok(())
}

#[test]
fn who_lacks_a_required_claim_is_not_let_in() -> Result {
    let connection = Connection::with(&json!({"requires": {"hd": "acme.example"}}))?;
    connection
        .upstream
        .claims("alice", &json!({"hd": "evil.example"}))?;
    assert_eq!(connection.refused_log_in("alice")?, "access_denied");
    connection
        .upstream
        .claims("alice", &json!({"hd": "acme.example"}))?;
    connection.log_in("alice")?;
    Ok(())
}

#[test]
fn the_same_value_at_two_providers_is_two_people() -> Result {
    let (one, other) = (Connection::new()?, Connection::new()?);
    let (at_one, at_other) = (one.log_in("alice")?, other.log_in("alice")?);
    assert_ne!(at_one.subject, at_other.subject);
    let body = json!({"subject": one.claim("alice")});
    one.api.revoke(&body)?.expect(200)?;
    one.api.expect_denied(&at_one, "session_ended")?;
    one.api.expect_active(&at_other)
}

#[test]
fn every_way_of_proving_who_we_are_works() -> Result {
    for method in ["client_secret_post", "none"] {
        let connection = Connection::to(
            |client| client.with("token_endpoint_auth_method", json!(method)),
            &json!({"token_endpoint_auth_method": method}),
        )?;
        connection.log_in("alice")?;
    }
    let keyed = Connection::new()?;
    let jwks_uri = format!("{}/.well-known/jwks.json", keyed.endpoints().service);
    let by_key = json!({
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks_uri": jwks_uri,
    });
    let id = portcullis_e2e::connection::CLIENT_ID;
    keyed.upstream.change_client(id, &by_key)?;
    let method = json!({"token_endpoint_auth_method": "private_key_jwt", "client_secret": null});
    let changed = keyed.about("PUT", "", Some(&keyed.document(&method)))?;
    assert_eq!(changed.expect(200)?.json()?["has_client_secret"], false);
    keyed.log_in("alice")?;
    Ok(())
}

#[test]
fn a_provider_without_discovery_is_reached_by_its_endpoints() -> Result {
    let connection = Connection::new()?;
    let metadata = format!(
        "{}/.well-known/openid-configuration",
        connection.upstream.issuer
    );
    let metadata = Request::get(metadata).send()?.expect(200)?.json()?;
    let endpoints = json!({
        "authorization_endpoint": metadata["authorization_endpoint"],
        "token_endpoint": metadata["token_endpoint"],
        "jwks_uri": metadata["jwks_uri"],
    });
    let document = connection.document(&endpoints);
    connection.about("PUT", "", Some(&document))?.expect(200)?;
    let before = connection.upstream.counts()?.of(Endpoint::Metadata);
    connection.log_in("alice")?;
    let after = connection.upstream.counts()?.of(Endpoint::Metadata);
    assert_eq!(after, before, "it was asked for its metadata");
    Ok(())
}

#[test]
fn a_connection_that_is_turned_off_ends_everything_and_lets_nobody_in() -> Result {
    let connection = Connection::new()?;
    let tokens = connection.log_in("alice")?;
    // One who is at the provider right now.
    let attempt = connection.attempt()?;
    let mut browser = Browser::new();
    let form = browser.go(&attempt.url, None)?.page()?;

    let off = connection.about("POST", "/disable", None)?.expect(200)?;
    let expected = json!({"id": connection.id, "enabled": false});
    assert_eq!(off.json()?, expected);
    connection.api.expect_denied(&tokens, "session_ended")?;
    let action = form.form().expect("a form");
    let fields = [("login", "alice"), ("password", "alice")];
    let sent = browser.submit(&form.url, &action, &fields)?;
    let landed = browser.follow(action, sent, Some(&connection.app.redirect_uri))?;
    assert_eq!(refusal(landed)?, "access_denied");
    assert_eq!(
        connection.reasons("credential.refused")?,
        ["connection_disabled"]
    );
    // Its domain leads nowhere: others are asked, and it is not among what there is.
    let asked = Browser::new().go(&connection.attempt()?.url, None)?;
    match asked {
        portcullis_e2e::browser::Landing::Page(page) => {
            assert!(!page.response.body.contains(&connection.id), "{}", page.url);
        }
        portcullis_e2e::browser::Landing::App(url) => panic!("sent to {url}"),
    }

    connection.about("POST", "/enable", None)?.expect(200)?;
    connection.api.expect_denied(&tokens, "session_ended")?;
    let again = connection.log_in("alice")?;
    connection.api.expect_active(&again)
}

#[test]
fn a_change_of_what_people_may_ends_what_there_was_and_another_name_does_not() -> Result {
    let connection = Connection::new()?;
    let tokens = connection.log_in("alice")?;
    let renamed = connection.document(&json!({"name": "Other", "client_secret": null}));
    connection.about("PUT", "", Some(&renamed))?.expect(200)?;
    connection.api.expect_active(&tokens)?;
    let other = connection.document(&json!({"subject_claim": "email"}));
    let refused = connection.about("PUT", "", Some(&other))?.expect(409)?;
    assert!(
        refused.body.contains("another connection"),
        "{}",
        refused.body
    );
    connection.api.expect_active(&tokens)?;
    let narrower = connection.document(&json!({"requires": {"hd": "acme.example"}}));
    let changed = connection.about("PUT", "", Some(&narrower))?.expect(200)?;
    assert_eq!(changed.json()?["revoked"]["scope"], "connection");
    connection.api.expect_denied(&tokens, "session_ended")
}

/// The question which provider somebody has.
fn question(connection: &Connection, browser: &mut Browser) -> Result<(Page, String)> {
    // With one more there is a choice, whatever other tests do.
    let attempt = connection.app.attempt()?;
    let page = browser.go(&attempt.url, None)?.page()?;
    assert_eq!(page.url.path(), "/choose", "{}", page.url);
    Ok((page, attempt.state))
}

/// Posts an answer to the question.
fn choose(browser: &mut Browser, page: &Page, answer: (&str, &str)) -> Result<Page> {
    let hidden = page.hidden_fields();
    let mut fields: Vec<(&str, &str)> = hidden
        .iter()
        .take(2)
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    fields.push(answer);
    let to = page.form().expect("a form");
    let answered = browser.submit(&page.url, &to, &fields)?;
    browser.follow(to, answered, None)?.page()
}

#[test]
fn people_choose_among_several_by_name_or_by_address() -> Result {
    let connection = Connection::with(&json!({"name": "Acme & <Sons>"}))?;
    let mut browser = Browser::new();
    let (page, _) = question(&connection, &mut browser)?;
    assert!(page.response.body.contains("Acme &amp; &lt;Sons&gt;"));
    let at_provider = choose(&mut browser, &page, ("connection", &connection.id))?;
    assert!(
        at_provider
            .url
            .as_str()
            .starts_with(&connection.upstream.issuer)
    );
    // A choice counts once.
    let gone = choose(&mut browser, &page, ("connection", &connection.id))?;
    assert!(gone.response.body.contains(NOT_POSSIBLE));

    let mut browser = Browser::new();
    let (page, _) = question(&connection, &mut browser)?;
    let again = choose(&mut browser, &page, ("address", "x@nowhere.example"))?;
    assert!(again.response.body.contains("role=\"alert\""));
    let address = format!("Alice@{}", connection.domain.to_uppercase());
    let at_provider = choose(&mut browser, &again, ("address", &address))?;
    assert!(
        at_provider
            .url
            .as_str()
            .starts_with(&connection.upstream.issuer)
    );
    Ok(())
}

#[test]
fn a_choice_is_the_browsers_that_was_asked_and_comes_from_our_page() -> Result {
    let connection = Connection::new()?;
    let mut browser = Browser::new();
    let (page, _) = question(&connection, &mut browser)?;
    let elsewhere = choose(&mut Browser::new(), &page, ("connection", &connection.id))?;
    assert!(elsewhere.response.body.contains(NOT_POSSIBLE));
    let to = page.form().expect("a form");
    let flow = parameter(&page.url, "flow").expect("a flow");
    let forged = [("flow", flow.as_str()), ("connection", &connection.id)];
    let refused = browser.submit(&page.url, &to, &forged)?;
    assert_eq!(refused.status, 400);
    let evil = Url::parse("https://evil.example/")?;
    let hidden = page.hidden_fields();
    let token = hidden.iter().find(|(name, _)| name == "token");
    let token = token.map(|(_, value)| value.clone()).unwrap_or_default();
    let fields = [
        ("flow", flow.as_str()),
        ("token", &token),
        ("connection", &connection.id),
    ];
    assert_eq!(browser.submit(&evil, &to, &fields)?.status, 400);
    // The question stands.
    choose(&mut browser, &page, ("connection", &connection.id))?;
    Ok(())
}

#[test]
fn nothing_is_asked_where_nothing_may_be_shown() -> Result {
    let connection = Connection::new()?;
    let quiet = |browser: &mut Browser| -> Result<Url> {
        let attempt = connection.app.attempt_with(&[("prompt", "none")])?;
        let app = Some(&connection.app.redirect_uri);
        browser.go(&attempt.url, app)?.app()
    };
    let mut browser = Browser::new();
    let refused = quiet(&mut browser)?;
    assert_eq!(
        parameter(&refused, "error").as_deref(),
        Some("interaction_required")
    );
    // A browser that has logged in goes where it was.
    let attempt = connection.attempt()?;
    connection.app.code(&mut browser, "alice", &attempt)?;
    let back = quiet(&mut browser)?;
    assert!(parameter(&back, "code").is_some(), "{back}");
    Ok(())
}

/// Through the log-in of a test, to the page at its end.
fn tested(connection: &Connection, browser: &mut Browser) -> Result<Page> {
    let link = connection
        .about("POST", "/test", None)?
        .expect(200)?
        .json()?;
    let url = Url::parse(link["url"].as_str().unwrap_or_default())?;
    browser.go_as("alice", &url, None)?.page()
}

#[test]
fn a_test_shows_what_was_received_and_what_it_means_and_begins_no_session() -> Result {
    let connection = Connection::with(&json!({
        "enabled": false,
        "roles": [{"role": "admin", "claim": "groups", "equals": "admins"}],
    }))?;
    let said = json!({"groups": ["admins"], "evil": "<script>x</script>"});
    connection.upstream.claims("alice", &said)?;
    let page = tested(&connection, &mut Browser::new())?;
    let html = &page.response.body;
    for part in [
        "The connection works",
        "No session was begun",
        &format!("{}:alice", connection.id),
        "admin",
        "&lt;script&gt;",
        "is off",
    ] {
        assert!(html.contains(part), "{part}: {html}");
    }
    assert!(!html.contains("<script>"));
    assert!(
        connection
            .api
            .sessions(&connection.claim("alice"))?
            .is_empty()
    );
    let tests = connection.api.events("action=connection.tested")?;
    let ours = tests
        .iter()
        .filter(|test| test["actor"]["id"] == *connection.id);
    let outcomes: Vec<&Value> = ours.map(|test| &test["outcome"]).collect();
    assert_eq!(outcomes, ["success"]);
    Ok(())
}

#[test]
fn a_test_that_fails_says_what_is_wrong_and_its_link_counts_once() -> Result {
    let connection = Connection::new()?;
    connection
        .upstream
        .lie(Lie::claim("aud", json!("another")))?;
    let page = tested(&connection, &mut Browser::new())?;
    assert!(page.response.body.contains("ID token: audience"));

    let link = connection
        .about("POST", "/test", None)?
        .expect(200)?
        .json()?;
    let url = Url::parse(link["url"].as_str().unwrap_or_default())?;
    let mut browser = Browser::new();
    let first = browser.step(&url)?.expect(302)?;
    assert_eq!(Browser::new().step(&url)?.status, 400);
    // Nor is its end another browser's, and it is no log-in's.
    let to_provider = Url::parse(first.header("location").unwrap_or_default())?;
    let state = parameter(&to_provider, "state").unwrap_or_default();
    let callback = url_of(
        &connection,
        &format!("/callback/{}?code=x&state={state}", connection.id),
    )?;
    assert_eq!(Browser::new().step(&callback)?.status, 400);
    Ok(())
}
