//! `portcullis connections`.

use crate::fake::{TOKEN, json as answer, portcullis};
use serde_json::{Value, json};

const SECRET: &str = "s3cret-of-the-client";

fn okta() -> Value {
    json!({
        "id": "okta", "name": "Okta", "enabled": true, "issuer": "https://idp.example",
        "client_id": "x", "has_client_secret": true, "groups_claims": ["groups"],
        "roles": [{"role": "admin", "claim": "groups", "equals": "admins"}],
    })
}

#[test]
fn list_asks_with_the_credential_and_shows_rows() {
    let (ran, asked) = portcullis("connections list")
        .answered(answer(200, &json!({"connections": [okta()]})))
        .run();
    assert_eq!(asked[0].line, "GET /v1/connections");
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(asked[0].header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        (ran.code, ran.stdout.as_str(), ran.stderr.as_str()),
        (
            0,
            "ID    NAME  STATE    ISSUER               CLIENT\n\
             okta  Okta  enabled  https://idp.example  x\n",
            ""
        )
    );
}

#[test]
fn json_is_printed_as_it_came() {
    let body = "{ \"connections\":\t[], \"a\": 1.50 }";
    let header = "content-type: application/json\r\n";
    let (ran, _) = portcullis("--json connections list")
        .answered((200, header, body.to_owned()))
        .run();
    assert_eq!((ran.code, ran.stdout), (0, format!("{body}\n")));
}

#[test]
fn show_has_a_line_for_each_member() {
    let (ran, asked) = portcullis("connections show okta")
        .answered(answer(200, &okta()))
        .run();
    assert_eq!(asked[0].line, "GET /v1/connections/okta");
    assert_eq!(
        ran.stdout,
        "\
id                 okta
name               Okta
enabled            yes
issuer             https://idp.example
client_id          x
has_client_secret  yes
groups_claims      groups
roles              claim=groups equals=admins role=admin
"
    );
}

#[test]
fn create_sends_the_options_and_the_secret_and_shows_no_secret() {
    let args = "connections create okta --issuer https://idp.example --client-id x \
                --client-secret-stdin --email-domain a.example --role admin=groups:admins";
    for json_too in ["", " --json"] {
        let (ran, asked) = portcullis(&format!("{args}{json_too}"))
            .stdin(&format!("{SECRET}\n"))
            .answered(answer(201, &okta()))
            .run();
        assert_eq!(asked[0].line, "POST /v1/connections");
        assert_eq!(asked[0].header("content-type"), Some("application/json"));
        assert_eq!(
            asked[0].json(),
            json!({
                "id": "okta", "issuer": "https://idp.example", "client_id": "x",
                "token_endpoint_auth_method": "client_secret_basic", "client_secret": SECRET,
                "email_domains": ["a.example"],
                "roles": [{"role": "admin", "claim": "groups", "equals": "admins"}],
            })
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
    }
}

#[test]
fn a_document_comes_from_standard_input() {
    let document = json!({"id": "okta", "tokens": {"audiences": ["https://api.example"]}});
    let (ran, asked) = portcullis("connections create --file -")
        .stdin(&document.to_string())
        .answered(answer(201, &okta()))
        .run();
    assert_eq!((ran.code, asked[0].json()), (0, document));
}

#[test]
fn update_replaces_the_document_and_takes_the_secret_from_elsewhere() {
    let file = std::env::temp_dir().join(format!("portcullis-cli-{}.json", std::process::id()));
    std::fs::write(&file, r#"{"name": "Okta 2"}"#).expect("a file");
    let args = format!(
        "connections update okta --client-secret-stdin --file {}",
        file.display()
    );
    let (ran, asked) = portcullis(&args)
        .stdin(SECRET)
        .answered(answer(200, &okta()))
        .run();
    std::fs::remove_file(&file).expect("the file");
    assert_eq!(asked[0].line, "PUT /v1/connections/okta");
    assert_eq!(
        asked[0].json(),
        json!({"name": "Okta 2", "client_secret": SECRET})
    );
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn what_cannot_be_understood_is_not_shown_and_not_sent() {
    for (args, stdin) in [
        ("connections create --file -", format!("\"{SECRET}\"")),
        (
            "connections create --file -",
            format!("{{\"client_secret\": {SECRET}}}"),
        ),
        (
            "connections update okta --file -",
            format!("[\"{SECRET}\"]"),
        ),
        (
            "connections update okta --file - --client-secret-stdin",
            "{}".to_owned(),
        ),
        (
            "connections create okta --issuer https://a --client-id x --client-secret-stdin",
            format!("{SECRET}\n{SECRET}\n"),
        ),
        (
            "connections create okta --issuer https://a --client-id x --client-secret-stdin",
            String::new(),
        ),
    ] {
        let (ran, asked) = portcullis(args).stdin(&stdin).run();
        assert_eq!((ran.code, asked.len()), (2, 0), "{args}: {ran:?}");
        assert!(!format!("{ran:?}").contains(SECRET), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn enable_and_disable_say_what_is_in_force() {
    for (verb, enabled) in [("enable", true), ("disable", false)] {
        let (ran, asked) = portcullis(&format!("connections {verb} okta"))
            .answered(answer(200, &json!({"id": "okta", "enabled": enabled})))
            .run();
        assert_eq!(asked[0].line, format!("POST /v1/connections/okta/{verb}"));
        assert_eq!(ran.stdout, format!("okta is {verb}d, everywhere.\n"));
    }
}

#[test]
fn delete_test_and_sync_ask_for_what_they_say() {
    let revoked = json!({"scope": "connection", "id": "okta", "changed": true});
    let test = json!({"url": "https://id.example/t/1", "expires_at": "2026-11-25T22:25:19.000Z"});
    let sync = json!({"keys": 2, "state": "done"});
    for (args, body, line, shown) in [
        (
            "delete okta",
            &revoked,
            "DELETE /v1/connections/okta",
            "okta is gone, and all that rested on it has ended.\n",
        ),
        (
            "test okta",
            &test,
            "POST /v1/connections/okta/test",
            "Open in a browser, until 2026-11-25T22:25:19Z:\nhttps://id.example/t/1\n",
        ),
        (
            "sync okta",
            &sync,
            "POST /v1/connections/okta/jwks-sync",
            "keys   2\nstate  done\n",
        ),
        (
            "sync okta --show",
            &sync,
            "GET /v1/connections/okta/jwks-sync",
            "keys   2\nstate  done\n",
        ),
    ] {
        let (ran, asked) = portcullis(&format!("connections {args}"))
            .answered(answer(200, body))
            .run();
        assert_eq!(asked[0].line, line);
        assert_eq!((ran.code, ran.stdout.as_str()), (0, shown), "{args}");
    }
}

#[test]
fn an_answer_without_a_body_is_an_answer() {
    let (ran, _) = portcullis("connections delete okta --json")
        .answered((204, "", String::new()))
        .run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
}
