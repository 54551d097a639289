//! The gateway before programs: what passes, what is stripped, what is added.

use portcullis_e2e::Result;
use portcullis_e2e::api::{session_in_log, token_in_log};
use portcullis_e2e::app::Tokens;
use portcullis_e2e::http::Request;
use portcullis_e2e::people::{Person, Site};
use serde_json::{Value, json};

fn to(site: &Site, method: &'static str, path: &str) -> Request {
    Request::new(method, format!("{}{path}", site.endpoints().gateway))
}

fn seen_by_the_origin(request: Request) -> Result<Value> {
    request.send()?.expect(200)?.json()
}

#[test]
fn method_path_query_and_body_reach_the_origin_as_they_were() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    for method in ["POST", "PUT", "PATCH"] {
        let request = to(&person, method, "/a%20b/c;d?e=f&e=%2F&g")
            .bearer(&tokens.access)
            .body("text/plain", "the body");
        let seen = seen_by_the_origin(request)?;
        assert_eq!(seen["method"], method);
        assert_eq!(seen["path"], "/a%20b/c;d");
        assert_eq!(seen["query"], "e=f&e=%2F&g");
        assert_eq!(seen["body"], "the body");
        assert_eq!(seen["headers"]["content-type"], "text/plain");
    }
    for method in ["GET", "DELETE"] {
        let seen = seen_by_the_origin(to(&person, method, "/").bearer(&tokens.access))?;
        assert_eq!(seen["method"], method);
        assert_eq!(seen["body"], "");
    }
    Ok(())
}

#[test]
fn the_origin_is_told_who_is_there_and_given_no_credential() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let request = to(&person, "GET", "/")
        .bearer(&tokens.access)
        .header(
            "cookie",
            "theme=dark; __Host-portcullis=x; __Host-portcullis-id=y; lang=en",
        )
        .header("dpop", "proof")
        .header("x-request-id", "7");
    let seen = seen_by_the_origin(request)?;
    let headers = &seen["headers"];
    assert_eq!(headers["portcullis-subject"], tokens.subject.as_str());
    assert_eq!(headers["portcullis-client"], "demo-app");
    assert_eq!(headers["portcullis-scope"], "openid profile");
    assert!(headers["portcullis-auth-time"].is_string(), "{headers}");
    let groups = headers["portcullis-groups"].as_str().unwrap_or_default();
    assert!(groups.split(',').any(|group| group == "staff"), "{headers}");
    assert_eq!(headers["cookie"], "theme=dark; lang=en");
    assert_eq!(headers["x-request-id"], "7");
    for gone in ["authorization", "dpop"] {
        assert!(headers.get(gone).is_none(), "{gone}: {headers}");
    }
    assert!(!seen.to_string().contains(&tokens.access), "{seen}");
    Ok(())
}

#[test]
fn nobody_can_say_who_they_are_in_headers() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let request = to(&person, "GET", "/")
        .bearer(&tokens.access)
        .header("portcullis-subject", "sub_AAECAwQFBgcICQoLDA0ODw")
        .header("Portcullis-Roles", "admin")
        .header("portcullis_roles", "admin")
        .header("PORTCULLIS-ANYTHING", "x");
    let seen = seen_by_the_origin(request)?;
    assert_eq!(
        seen["headers"]["portcullis-subject"],
        tokens.subject.as_str()
    );
    for spoofed in [
        "portcullis-roles",
        "portcullis_roles",
        "portcullis-anything",
    ] {
        assert!(seen["headers"].get(spoofed).is_none(), "{spoofed}: {seen}");
    }
    Ok(())
}

#[test]
fn without_a_credential_a_program_is_asked_for_one() -> Result {
    let site = Site::any()?;
    for request in [
        to(&site, "GET", "/"),
        to(&site, "POST", "/").json(&json!({})),
        to(&site, "GET", "/?access_token=x"),
        to(&site, "GET", "/").header("authorization", "Basic YTpi"),
    ] {
        let response = request.send()?.expect(401)?;
        let challenge = response.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{challenge}");
        assert!(!challenge.contains("error="), "{challenge}");
        response.problem()?;
    }
    Ok(())
}

#[test]
fn a_client_that_knows_a_url_behind_the_gateway_alone_finds_the_issuer() -> Result {
    let site = Site::any()?;
    let (gateway, service) = (&site.endpoints().gateway, &site.endpoints().service);
    let refused = to(&site, "POST", "/mcp").send()?.expect(401)?;
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    let location = challenge
        .split_once("resource_metadata=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default();
    assert!(location.starts_with(gateway.as_str()), "{challenge}");

    // As the challenge says, and where a client looks that was given a URL with a path.
    for url in [location.to_owned(), format!("{location}/mcp")] {
        let answer = Request::get(url)
            .header("origin", "https://inspector.example")
            .send()?
            .expect(200)?;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        let document = answer.json()?;
        assert_eq!(document["resource"], gateway.as_str());
        assert_eq!(document["authorization_servers"], json!([service]));
        assert_eq!(document["bearer_methods_supported"], json!(["header"]));
    }
    let preflight = Request::new("OPTIONS", location)
        .header("origin", "https://inspector.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "mcp-protocol-version")
        .send()?
        .expect(204)?;
    assert_eq!(preflight.header("access-control-allow-headers"), Some("*"));
    Request::new("PUT", location).send()?.expect(405)?;

    let issuer = format!("{service}/.well-known/oauth-authorization-server");
    let metadata = Request::get(issuer).send()?.expect(200)?.json()?;
    assert_eq!(metadata["issuer"], service.as_str());
    Ok(())
}

#[test]
fn the_gateways_own_paths_never_reach_the_origin() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let healthy = to(&person, "GET", "/.portcullis/healthz")
        .send()?
        .expect(200)?;
    assert_eq!(healthy.json()?["status"], "ok");
    for (method, path, status) in [
        ("GET", "/.portcullis/", 404),
        ("GET", "/.portcullis/admin", 404),
        ("GET", "/.portcullis/logout", 405),
        ("POST", "/.portcullis/callback", 405),
    ] {
        to(&person, method, path)
            .bearer(&tokens.access)
            .send()?
            .expect(status)?;
    }
    Ok(())
}

#[test]
fn what_passes_and_what_is_denied_is_in_the_log_with_its_request() -> Result {
    let person = Person::new()?;
    let tokens = person.app.log_in(person.name)?;
    let get = |path: &str| to(&person, "GET", path).bearer(&tokens.access).send();
    get("/reports?secret=in-the-query")?.expect(200)?;
    person
        .api
        .revoke(&json!({ "subject": tokens.subject }))?
        .expect(200)?;
    get("/later")?.expect(401)?;

    let subject = &tokens.subject;
    let allowed = &person
        .api
        .expect_events(&format!("subject={subject}&action=request.allowed"), 1)?[0];
    let denied = &person
        .api
        .expect_events(&format!("subject={subject}&action=check.denied"), 1)?[0];
    assert_eq!(allowed["outcome"], "success");
    assert_eq!(denied["outcome"], "denied");
    assert_eq!(denied["reason"], "session_ended");
    for (event, path, status) in [(allowed, "/reports", 200), (denied, "/later", 401)] {
        assert_matches(event, &tokens, path, status)?;
    }
    assert!(!allowed.to_string().contains("in-the-query"), "{allowed}");
    Ok(())
}

fn assert_matches(event: &Value, tokens: &Tokens, path: &str, status: u16) -> Result {
    assert_eq!(
        event["actor"],
        json!({ "type": "subject", "id": tokens.subject })
    );
    assert_eq!(event["session"], session_in_log(&tokens.session)?.as_str());
    assert_eq!(event["token"], token_in_log(&tokens.token_id)?.as_str());
    assert_eq!(event["client_id"], "demo-app");
    assert_eq!(event["request"]["method"], "GET");
    assert_eq!(event["request"]["path"], path);
    assert_eq!(event["request"]["status"], status);
    Ok(())
}
