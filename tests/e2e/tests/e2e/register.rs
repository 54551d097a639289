//! Clients that no operator registered: by registering themselves (RFC 7591), and by the metadata
//! document at their `client_id`. And the rate limit of the first.

use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::App;
use portcullis_e2e::documents::Documents;
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use serde_json::{Value, json};

const REDIRECT: &str = "http://127.0.0.1:53682/callback";
const OPEN: &str = "CLIENT_REGISTRATION=metadata-document,dynamic";

fn register(service: &str, metadata: &Value) -> Result<Response> {
    Request::post(format!("{service}/register"))
        .json(metadata)
        .send()
}

fn metadata(service: &str) -> Result<Value> {
    let url = format!("{service}/.well-known/oauth-authorization-server");
    Request::get(url).send()?.expect(200)?.json()
}

/// How a browser that comes for this client is answered: 302 to the identity provider, or 400.
fn arrival(stack: &Stack, client_id: &str) -> Result<u16> {
    let app = App {
        client_id: client_id.to_owned(),
        ..App::discover(&stack.at)?
    };
    Ok(Request::get(app.attempt()?.url.as_str()).send()?.status)
}

#[test]
fn strangers_are_no_clients_unless_the_deployment_says_so() -> Result {
    let site = Site::any()?;
    let service = &site.endpoints().service;
    let body = json!({"redirect_uris": [REDIRECT]});
    register(service, &body)?.expect(404)?;
    let metadata = metadata(service)?;
    assert_eq!(metadata.get("registration_endpoint"), None);
    assert_eq!(metadata["client_id_metadata_document_supported"], false);
    let documents = Documents::serve()?;
    let id = documents.put("/client.json", document);
    let attempt = App {
        client_id: id,
        ..site.app.clone()
    }
    .attempt()?;
    Request::get(attempt.url.as_str()).send()?.expect(400)?;
    assert_eq!(documents.requests("/client.json"), 0, "it was asked for");
    Ok(())
}

#[test]
fn a_client_registers_itself_and_gets_nothing_that_only_an_operator_gives() -> Result {
    let stack = Stack::start_with(&Settings::vars(&[OPEN]))?;
    let service = &stack.at.service;
    let endpoint = format!("{service}/register");
    assert_eq!(metadata(service)?["registration_endpoint"], endpoint);

    let public = json!({
        "client_name": "A stranger",
        "redirect_uris": [REDIRECT],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid admin",
        "first_party": true,
        "introspects": [stack.at.gateway],
        "client_id": "demo-app",
        "software_statement": "ignored",
    });
    let answer = register(service, &public)?.expect(201)?;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let client = answer.json()?;
    let id = client["client_id"].as_str().unwrap_or_default();
    assert!(id.starts_with("cli_"), "{client}");
    assert_eq!(client["scope"], "openid");
    assert_eq!(client["redirect_uris"], json!([REDIRECT]));
    assert!(client["client_id_issued_at"].is_u64());
    assert_eq!(client.get("client_secret"), None);
    assert_eq!(arrival(&stack, id)?, 302);
    let url = format!("{service}/v1/clients/{id}");
    let kept = Request::get(url)
        .bearer(bearer::ADMIN)
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(kept["source"], "dynamic");
    assert_eq!(kept["first_party"], false);
    assert_eq!(kept.get("introspects"), None);

    let confidential = register(service, &json!({"redirect_uris": [REDIRECT]}))?.expect(201)?;
    let confidential = confidential.json()?;
    assert_eq!(
        confidential["token_endpoint_auth_method"],
        "client_secret_basic"
    );
    let secret = confidential["client_secret"].as_str().unwrap_or_default();
    assert!(secret.starts_with("pc_cs_"), "{confidential}");
    assert_eq!(confidential["client_secret_expires_at"], 0);

    for (wrong, error) in [
        (json!({}), "invalid_redirect_uri"),
        (
            json!({"redirect_uris": ["javascript:alert(1)"]}),
            "invalid_redirect_uri",
        ),
        (
            json!({"redirect_uris": [REDIRECT], "grant_types": ["implicit"]}),
            "invalid_client_metadata",
        ),
        (
            json!({"redirect_uris": [REDIRECT], "jwks_uri": "https://10.0.0.1/"}),
            "invalid_client_metadata",
        ),
        (json!([]), "invalid_client_metadata"),
    ] {
        let refused = register(service, &wrong)?.expect(400)?;
        assert_eq!(refused.json()?["error"], error, "{wrong}");
    }
    let preflight = Request::new("OPTIONS", endpoint).send()?.expect(204)?;
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("GET, POST")
    );
    Ok(())
}

#[test]
fn a_client_is_what_the_document_at_its_id_says_and_no_other_document_counts() -> Result {
    let stack = Stack::start_with(&Settings::vars(&[OPEN]))?;
    let documents = Documents::serve()?;
    assert_eq!(
        metadata(&stack.at.service)?["client_id_metadata_document_supported"],
        true
    );
    let good = documents.put("/client.json", document);
    assert_eq!(arrival(&stack, &good)?, 302);
    assert_eq!(arrival(&stack, &good)?, 302);
    assert_eq!(documents.requests("/client.json"), 1, "it is remembered");

    for (path, body) in [
        ("/other.json", document(&good)),
        (
            "/no-id.json",
            json!({"redirect_uris": [REDIRECT]}).to_string(),
        ),
        ("/text", "not json".to_owned()),
    ] {
        let id = documents.put(path, |_| body.clone());
        assert_eq!(arrival(&stack, &id)?, 400, "{path}");
        assert_eq!(arrival(&stack, &id)?, 400, "{path}");
        assert_eq!(
            documents.requests(path),
            1,
            "{path}: the miss is remembered"
        );
    }
    let secret = documents.put("/secret.json", |id| {
        json!({"client_id": id, "redirect_uris": [REDIRECT],
            "token_endpoint_auth_method": "client_secret_basic"})
        .to_string()
    });
    assert_eq!(arrival(&stack, &secret)?, 400);
    let elsewhere = documents.put("/elsewhere.json", |id| {
        json!({"client_id": id, "redirect_uris": ["https://a.example/cb"]}).to_string()
    });
    assert_eq!(arrival(&stack, &elsewhere)?, 400);
    let large = documents.put("/large.json", |id| {
        json!({"client_id": id, "redirect_uris": [REDIRECT], "filler": "x".repeat(20_000)})
            .to_string()
    });
    assert_eq!(arrival(&stack, &large)?, 400);
    let moved = documents.put("/moved.json", |_| format!("redirect {good}"));
    assert_eq!(arrival(&stack, &moved)?, 400);
    assert_eq!(arrival(&stack, &documents.url("/missing.json"))?, 400);
    Ok(())
}

#[test]
fn an_operator_turns_a_document_away() -> Result {
    let stack = Stack::start_with(&Settings::vars(&[OPEN]))?;
    let documents = Documents::serve()?;
    let id = documents.put("/client.json", document);
    assert_eq!(arrival(&stack, &id)?, 302);
    let off = json!({"client_id": id, "redirect_uris": [REDIRECT], "disabled": true});
    let answer = Request::post(format!("{}/v1/clients", stack.at.service))
        .bearer(bearer::ADMIN)
        .json(&off)
        .send()?
        .expect(201)?;
    assert_eq!(answer.json()?["revoked"]["scope"], "client");
    assert_eq!(arrival(&stack, &id)?, 400);
    Ok(())
}

#[test]
fn who_registers_too_often_has_to_wait() -> Result {
    let stack = Stack::start_with(&Settings {
        limit: Some(3),
        ..Settings::vars(&[OPEN])
    })?;
    let from = |address: &str| {
        Request::post(format!("{}/register", stack.at.service))
            .header("cf-connecting-ip", address)
            .json(&json!({"redirect_uris": [REDIRECT]}))
            .send()
    };
    // A minute can begin in between: then some are let through twice, but never this many.
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let answer = from("192.0.2.1")?;
        if answer.status == 429 {
            assert_eq!(answer.header("retry-after"), Some("60"));
            assert_eq!(answer.json()?["error"], "temporarily_unavailable");
        }
        statuses.push(answer.status);
    }
    assert!(
        statuses.contains(&201) && statuses.contains(&429),
        "{statuses:?}"
    );
    from("192.0.2.2")?.expect(201)?;
    Ok(())
}

#[test]
fn who_comes_to_authorize_or_pushes_too_often_has_to_wait() -> Result {
    let stack = Stack::start_with(&Settings {
        limit: Some(3),
        ..Settings::default()
    })?;
    let attempt = App::discover(&stack.at)?.attempt()?;
    let par = format!("{}/par", stack.at.service);
    let requests = [
        ("192.0.2.1", Request::get(attempt.url.as_str())),
        ("192.0.2.2", Request::post(attempt.url.as_str()).form(&[])),
        ("192.0.2.3", Request::post(par).form(&[])),
    ];
    for (address, request) in requests {
        let mut statuses = Vec::new();
        for _ in 0..8 {
            let request = request.clone().header("cf-connecting-ip", address);
            let answer = request.send()?;
            if answer.status == 429 {
                assert_eq!(answer.header("retry-after"), Some("60"));
            }
            statuses.push(answer.status);
        }
        assert!(
            statuses[0] != 429 && statuses.contains(&429),
            "{address}: {statuses:?}"
        );
    }
    Ok(())
}

/// A document that says what a client must say.
fn document(id: &str) -> String {
    json!({"client_id": id, "client_name": "A stranger", "redirect_uris": [REDIRECT]}).to_string()
}
