//! The identity provider that tests turn against the service, by itself: it does what it is told, and is a good one
//! where it was told nothing.

use p256::ecdsa::signature::Verifier;
use p256::ecdsa::{Signature, VerifyingKey};
use portcullis_core::text::{base64url, from_base64url};
use portcullis_e2e::app::{claims, header};
use portcullis_e2e::browser::Browser;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::receiver::Receiver;
use portcullis_e2e::stack::Endpoints;
use portcullis_e2e::stock;
use portcullis_e2e::upstream::{Client, Endpoint, KeyDocument, Lie, Outage, Upstream};
use portcullis_e2e::wait::unix_secs;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use url::Url;

/// Served by nobody: the test is the application. The same that the stock client uses.
const REDIRECT_URI: &str = "http://127.0.0.1:53682/callback";

fn client() -> Result<Client> {
    Client::new("app", REDIRECT_URI)
}

fn one() -> Result<Upstream> {
    Upstream::start(&[client()?])
}

/// Logs in with the provider's form and gives back the answer of its token endpoint.
fn log_in_with(browser: &mut Browser, upstream: &Upstream, user: &str) -> Result<Response> {
    let verifier = "a".repeat(43);
    let challenge = base64url(&hmac_sha256::Hash::hash(verifier.as_bytes()));
    let query = [
        ("client_id", "app"),
        ("response_type", "code"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile email"),
        ("nonce", "nonce-1"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params(&format!("{}/auth", upstream.issuer), query)?;
    let back = browser.go_as(user, &url, Some(&Url::parse(REDIRECT_URI)?))?;
    let back = back.app()?;
    let code = back.query_pairs().find(|(name, _)| name == "code");
    let (_, code) = code.ok_or_else(|| Failure::new(format!("no code in {back}")))?;
    let client = upstream.clients.first();
    let secret = client.and_then(|client| client.secret.as_deref());
    let credentials = format!("app:{}", secret.unwrap_or_default());
    Request::post(format!("{}/token", upstream.issuer))
        .header("authorization", format!("Basic {}", base64(&credentials)))
        .form(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", &verifier),
        ])
        .send()
}

fn base64(text: &str) -> String {
    use base64ct::{Base64, Encoding};
    Base64::encode_string(text.as_bytes())
}

fn id_token(upstream: &Upstream, user: &str) -> Result<String> {
    let answer = log_in_with(&mut Browser::new(), upstream, user)?;
    let answer = answer.expect(200)?.json()?;
    let token = answer["id_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| Failure::new(format!("no ID token in {answer}")))
}

/// Whether an ES256 token is signed by the published key that its header names.
fn is_signed(upstream: &Upstream, token: &str) -> Result<bool> {
    let kid = header(token)?["kid"].clone();
    let published = upstream.keys()?;
    let Some(key) = published.iter().find(|key| key["kid"] == kid) else {
        return Ok(false);
    };
    let coordinate = |name: &str| from_base64url(key[name].as_str().unwrap_or_default());
    let point = [
        vec![4],
        coordinate("x").unwrap_or_default(),
        coordinate("y").unwrap_or_default(),
    ];
    let key = VerifyingKey::from_sec1_bytes(&point.concat())?;
    let (input, signature) = token.rsplit_once('.').unwrap_or_default();
    let signature = from_base64url(signature).unwrap_or_default();
    let signature = Signature::from_slice(&signature);
    Ok(signature.is_ok_and(|signature| key.verify(input.as_bytes(), &signature).is_ok()))
}

fn get(upstream: &Upstream, path: &str) -> Result<Response> {
    Request::get(format!("{}{path}", upstream.issuer)).send()
}

#[test]
fn a_stock_client_logs_in_under_every_algorithm() -> Result {
    let algorithms = ["RS256", "PS256", "ES256", "EdDSA"];
    let clients = algorithms.map(|alg| Client::new(alg, REDIRECT_URI).map(|c| c.signed_with(alg)));
    let clients: Vec<Client> = clients.into_iter().collect::<Result<_>>()?;
    let upstream = Upstream::start(&clients)?;
    upstream.claims("dave", &json!({ "email": null, "department": "sales" }))?;
    let described = |client: &Client| json!({ "id": client.id, "secret": client.secret, "algorithm": client.id });
    let clients: Vec<Value> = clients.iter().map(described).collect();
    let input = json!({ "clients": clients, "user": "dave" });
    let seen = stock::run(&Endpoints::at(upstream.port()), "upstream", "logIns", input)?;
    for (number, algorithm) in algorithms.into_iter().enumerate() {
        let seen = &seen[number];
        assert_eq!(seen["header"]["alg"], algorithm);
        assert_eq!(seen["claims"]["sub"], "dave");
        assert_eq!(seen["claims"]["department"], "sales");
        assert_eq!(seen["claims"].get("email"), None);
    }
    Ok(())
}

#[test]
fn a_stock_client_refuses_every_lie_and_believes_the_truth_after_it() -> Result {
    let upstream = one()?;
    let hour_ago = unix_secs() - 3600;
    let lies = [
        Lie::claim("iss", json!("https://other.example")),
        Lie::claim("nonce", json!("another")),
        Lie::claim("nonce", Value::Null),
        Lie::claim("aud", json!("another")),
        Lie::claim("azp", json!("another")).and_claim("aud", json!(["app", "another"])),
        Lie::claim("exp", json!(hour_ago)),
        Lie::claim("sub", Value::Null),
        Lie::unsigned("none"),
        Lie::hmac_with_pem(),
        Lie::hmac_with_jwk(),
        Lie::hmac_with_client_secret(),
        Lie::algorithm("RS256"),
        Lie::foreign_key(),
        Lie::bent_signature(),
        Lie::missing_signature(),
        Lie::header(json!({ "kid": "unheard-of" })),
        Lie::no_token(),
        Lie::token("no.token.this"),
    ];
    let lies: Vec<Value> = lies.into_iter().map(Lie::into_json).collect();
    let client = upstream.clients.first().and_then(|app| app.secret.clone());
    let client = json!({ "id": "app", "secret": client, "algorithm": "ES256" });
    let input = json!({ "client": client, "lies": lies, "user": "erin" });
    let seen = stock::run(&Endpoints::at(upstream.port()), "upstream", "lies", input)?;
    let refused = seen["refused"].as_array().cloned().unwrap_or_default();
    assert_eq!(refused.len(), lies.len());
    for (lie, refusal) in lies.iter().zip(&refused) {
        let by_the_client = refusal["code"].as_str().unwrap_or_default();
        assert!(by_the_client.starts_with("OAUTH_"), "{lie}: {refusal}");
    }
    assert_eq!(seen["truth"]["claims"]["sub"], "erin");
    Ok(())
}

#[test]
fn a_client_with_a_key_instead_of_a_secret_gets_in() -> Result {
    let app = client()?.authenticated_by_key("http://127.0.0.1:9/keys", "ES256");
    let upstream = Upstream::start(&[app])?;
    let input = json!({ "client": { "id": "app", "algorithm": "ES256" }, "user": "frank" });
    let at = Endpoints::at(upstream.port());
    let seen = stock::run(&at, "upstream", "privateKeyJwt", input)?;
    assert_eq!(seen["claims"]["sub"], "frank");
    Ok(())
}

#[test]
fn claims_have_any_shape() -> Result {
    let upstream = one()?;
    let usual = claims(&id_token(&upstream, "grace")?)?;
    assert_eq!(usual["email"], "grace@example.com");
    assert_eq!(usual["groups"], json!(["staff"]));
    let many: Vec<String> = (0..200).map(|number| format!("group-{number}")).collect();
    let shapes = [
        json!({ "groups": "admins" }),
        json!({ "groups": [{ "org": "acme", "level": "owner" }] }),
        json!({ "realm_access": { "roles": ["admin"] } }),
        json!({ "https://acme.example/roles": ["admin"] }),
        json!({ "groups": many }),
    ];
    for shape in shapes {
        upstream.claims("grace", &shape)?;
        let token = id_token(&upstream, "grace")?;
        assert!(is_signed(&upstream, &token)?);
        let said = claims(&token)?;
        let (name, value) = shape
            .as_object()
            .and_then(|shape| shape.iter().next())
            .unzip();
        assert_eq!(name.and_then(|name| said.get(name)), value);
        assert_eq!(said["nonce"], "nonce-1");
    }
    upstream.claims("grace", &json!({ "groups": null }))?;
    assert_eq!(claims(&id_token(&upstream, "grace")?)?.get("groups"), None);
    let another = claims(&id_token(&upstream, "heidi")?)?;
    assert_eq!(another["groups"], json!(["staff"]), "of nobody else");
    Ok(())
}

#[test]
fn keys_change_with_or_without_the_old_ones() -> Result {
    let upstream = one()?;
    let published = |upstream: &Upstream| -> Result<Vec<Value>> {
        let document = get(upstream, "/jwks")?.expect(200)?.json()?;
        let keys = document["keys"].as_array().cloned().unwrap_or_default();
        assert!(keys.iter().all(|key| key.get("d").is_none()));
        Ok(keys.iter().map(|key| key["kid"].clone()).collect())
    };
    let first = header(&id_token(&upstream, "ivan")?)?["kid"].clone();
    let second = upstream.rotate(true)?;
    assert_eq!(published(&upstream)?, [json!(second), first]);
    let token = id_token(&upstream, "ivan")?;
    assert_eq!(header(&token)?["kid"], second.as_str());
    assert!(is_signed(&upstream, &token)?);
    upstream.unpublish_old()?;
    assert_eq!(published(&upstream)?, [json!(second)]);

    let third = upstream.rotate(false)?;
    assert_eq!(published(&upstream)?, [json!(third)]);
    assert!(!is_signed(&upstream, &token)?);
    upstream.rotate_as(&third)?;
    assert_eq!(published(&upstream)?, [json!(third)]);
    assert!(is_signed(&upstream, &id_token(&upstream, "ivan")?)?);

    let other = upstream.rotate_to("PS256", true)?;
    assert_eq!(published(&upstream)?, [json!(other), json!(third)]);
    assert_eq!(header(&id_token(&upstream, "ivan")?)?["alg"], "PS256");
    Ok(())
}

#[test]
fn lies_are_as_told_and_as_often() -> Result {
    let upstream = one()?;
    upstream.lie(Lie::claim("iss", json!("https://other.example")).times(1))?;
    let lied = id_token(&upstream, "judy")?;
    assert_eq!(claims(&lied)?["iss"], "https://other.example");
    assert!(is_signed(&upstream, &lied)?, "by the real key");
    let true_again = id_token(&upstream, "judy")?;
    assert_eq!(claims(&true_again)?["iss"], upstream.issuer.as_str());

    upstream.lie(Lie::unsigned("nOnE"))?;
    let unsigned = id_token(&upstream, "judy")?;
    assert_eq!(header(&unsigned)?["alg"], "nOnE");
    assert!(unsigned.ends_with('.'));
    upstream.lie(Lie::hmac_with_jwk())?;
    let confused = id_token(&upstream, "judy")?;
    let (input, tag) = confused.rsplit_once('.').unwrap_or_default();
    // The document's own bytes are the secret, in the order in which they stand there.
    let document = get(&upstream, "/jwks")?.body;
    let inner = document
        .trim_start_matches("{\"keys\":[")
        .trim_end_matches("]}");
    let expected = hmac_sha256::HMAC::mac(input.as_bytes(), inner.as_bytes());
    assert_eq!(tag, base64url(&expected));

    for lie in [
        Lie::foreign_key(),
        Lie::bent_signature(),
        Lie::missing_signature(),
    ] {
        upstream.lie(lie)?;
        let token = id_token(&upstream, "judy")?;
        assert_eq!(header(&token)?["alg"], "ES256");
        assert!(!is_signed(&upstream, &token)?);
    }
    upstream.lie(Lie::header(
        json!({ "kid": null, "jku": "https://evil.example" }),
    ))?;
    let header = header(&id_token(&upstream, "judy")?)?;
    assert_eq!(
        (header.get("kid"), header["jku"].as_str()),
        (None, Some("https://evil.example"))
    );
    upstream.tell_the_truth()?;
    assert!(is_signed(&upstream, &id_token(&upstream, "judy")?)?);
    Ok(())
}

#[test]
fn endpoints_fail_as_told_and_are_counted() -> Result {
    let upstream = one()?;
    upstream.down(&[Endpoint::Jwks], Outage::Status(502))?;
    get(&upstream, "/jwks")?.expect(502)?;
    upstream.down(&[Endpoint::Metadata], Outage::HangsUp)?;
    assert!(get(&upstream, "/.well-known/openid-configuration").is_err());
    get(&upstream, "/jwks")?.expect(200)?;
    upstream.redirect(Endpoint::Jwks, 307, "http://127.0.0.1:9/keys")?;
    let moved = get(&upstream, "/jwks")?.expect(307)?;
    assert_eq!(moved.header("location"), Some("http://127.0.0.1:9/keys"));
    upstream.reset()?;

    upstream.slow(Endpoint::Jwks, Duration::from_millis(300))?;
    let asked = Instant::now();
    get(&upstream, "/jwks")?.expect(200)?;
    assert!(asked.elapsed() >= Duration::from_millis(300));
    upstream.slow(Endpoint::Jwks, Duration::ZERO)?;

    let counts = upstream.counts()?;
    assert_eq!(counts.of(Endpoint::Jwks), 4);
    assert_eq!(counts.of(Endpoint::Metadata), 1);
    assert_eq!(counts.of(Endpoint::Token), 0);
    id_token(&upstream, "ken")?;
    assert_eq!(upstream.counts()?.of(Endpoint::Token), 1);
    Ok(())
}

#[test]
fn documents_say_what_they_are_told_to() -> Result {
    let upstream = one()?;
    let real = upstream.keys()?;
    upstream.huge_jwks(500)?;
    let huge = get(&upstream, "/jwks")?.expect(200)?;
    let keys = huge.json()?["keys"].as_array().cloned().unwrap_or_default();
    assert_eq!((keys.len(), keys.last()), (501, real.first()));
    assert!(huge.body.len() > 200_000);
    upstream.huge_jwks(0)?;

    upstream.key_document(KeyDocument::Text("<html>".to_owned()))?;
    assert_eq!(get(&upstream, "/jwks")?.expect(200)?.body, "<html>");
    upstream.key_document(KeyDocument::Json(json!({ "keys": [] })))?;
    assert_eq!(get(&upstream, "/jwks")?.json()?, json!({ "keys": [] }));
    upstream.key_document(KeyDocument::KeysAt("/data/0~1certs".to_owned()))?;
    assert_eq!(
        get(&upstream, "/jwks")?.json()?,
        json!({ "data": { "0/certs": real } })
    );
    upstream.key_headers(&json!({ "cache-control": "max-age=5" }))?;
    let cached = get(&upstream, "/jwks")?;
    assert_eq!(cached.header("cache-control"), Some("max-age=5"));
    assert_eq!(cached.json()?, json!({ "keys": real }));

    let changes = json!({ "issuer": "https://other.example", "jwks_uri": null });
    upstream.metadata(&changes)?;
    let path = "/.well-known/openid-configuration";
    let bent = get(&upstream, path)?.expect(200)?.json()?;
    assert_eq!(bent["issuer"], "https://other.example");
    assert_eq!(bent.get("jwks_uri"), None);
    upstream.reset()?;
    let usual = get(&upstream, path)?.json()?;
    assert_eq!(usual["issuer"], upstream.issuer.as_str());
    assert_eq!(usual["jwks_uri"], format!("{}/jwks", upstream.issuer));
    Ok(())
}

#[test]
fn signs_any_claims_as_any_provider_would() -> Result {
    let upstream = one()?;
    let said = json!({ "iss": upstream.issuer, "cid": "0oa1", "scp": ["read"], "uid": 7 });
    let token = upstream.token(&said, &json!({}))?;
    assert_eq!(claims(&token)?, said);
    assert_eq!(header(&token)?.get("typ"), None);
    assert!(is_signed(&upstream, &token)?);
    let parameters = json!({ "typ": "at+jwt", "kid": null });
    let token = upstream.token_with("RS256", &said, &parameters)?;
    assert_eq!(header(&token)?, json!({ "alg": "RS256", "typ": "at+jwt" }));

    let token = upstream.logout_token(&said)?;
    assert_eq!(header(&token)?["typ"], "logout+jwt");
    assert_eq!(claims(&token)?, said);
    assert!(is_signed(&upstream, &token)?);
    let token = upstream.logout_token_of_type(&Value::Null, &said)?;
    assert_eq!(header(&token)?.get("typ"), None);
    Ok(())
}

#[test]
fn logging_out_tells_the_client_which_session_ended() -> Result {
    let receiver = Receiver::answering(200)?;
    let upstream = Upstream::start(&[client()?.told_of_logouts(&receiver.uri)])?;
    let mut browser = Browser::new();
    let answer = log_in_with(&mut browser, &upstream, "liam")?.json()?;
    let logged_in = claims(answer["id_token"].as_str().unwrap_or_default())?;

    let delivery = upstream.log_out_everywhere("liam")?;
    assert_eq!(
        (delivery.delivered, delivery.failed),
        (vec!["app".to_owned()], vec![])
    );
    let tokens = receiver.expect(1)?;
    let token = tokens.first().map(String::as_str).unwrap_or_default();
    assert!(is_signed(&upstream, token)?);
    let told = claims(token)?;
    assert!(told["sid"].is_string());
    assert_eq!(
        (&told["sid"], &told["sub"]),
        (&logged_in["sid"], &logged_in["sub"])
    );
    assert!(told["events"]["http://schemas.openid.net/event/backchannel-logout"].is_object());

    // The session is gone: the same browser is asked again, and gets another.
    let again = log_in_with(&mut browser, &upstream, "liam")?.json()?;
    let again = claims(again["id_token"].as_str().unwrap_or_default())?;
    assert_ne!(again["sid"], logged_in["sid"]);
    receiver.answer(400);
    let delivery = upstream.log_out_everywhere("liam")?;
    assert_eq!((delivery.delivered.len(), delivery.failed.len()), (0, 1));
    Ok(())
}

#[test]
fn started_again_it_has_the_same_keys_clients_and_claims() -> Result {
    let mut upstream = one()?;
    upstream.rotate(true)?;
    upstream.claims("mallory", &json!({ "groups": "admins" }))?;
    upstream.change_client("app", &json!({ "client_name": "Renamed" }))?;
    let token = id_token(&upstream, "mallory")?;
    let keys = upstream.keys()?;
    assert_eq!(keys.len(), 2);
    upstream.kill()?;
    assert!(get(&upstream, "/jwks").is_err());
    upstream.restart()?;
    assert_eq!(upstream.keys()?, keys);
    assert!(is_signed(&upstream, &token)?);
    assert_eq!(
        claims(&id_token(&upstream, "mallory")?)?["groups"],
        "admins"
    );
    Ok(())
}

#[test]
fn what_it_cannot_do_it_says_and_stays_as_it_was() -> Result {
    let upstream = one()?;
    assert!(upstream.rotate_to("HS256", true).is_err());
    assert!(
        upstream
            .change_client("app", &json!({ "redirect_uris": "no list" }))
            .is_err()
    );
    assert!(upstream.change_client("nobody", &json!({})).is_err());
    assert_eq!(upstream.keys()?.len(), 1);
    assert!(is_signed(&upstream, &id_token(&upstream, "niaj")?)?);
    Ok(())
}
