//! Exit codes, what is on standard error, and where a credential goes.

use crate::fake::{Scripted, TOKEN, json as answer, portcullis, problem};
use serde_json::{Value, json};
use std::io::Read;
use std::net::TcpListener;

const LIST: &str = "connections list";

#[test]
fn a_problem_is_one_line_and_exit_code_1() {
    for (status, title) in [(400, "Bad Request"), (404, "Not Found"), (409, "Conflict")] {
        let (ran, _) = portcullis("connections show okta")
            .answered(problem(status, title, "there is no such connection"))
            .run();
        let line = format!("portcullis: {title}: there is no such connection ({status})\n");
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr), (1, "", line));
    }
}

#[test]
fn with_json_the_problem_is_json_on_standard_error() {
    let (ran, _) = portcullis("connections show okta --json")
        .answered(problem(404, "Not Found", "there is no such connection"))
        .run();
    let told: Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert_eq!(
        told,
        json!({"type": "about:blank", "title": "Not Found", "status": 404,
            "detail": "there is no such connection"})
    );
    assert_eq!(ran.stderr.lines().count(), 1);
}

#[test]
fn a_refused_credential_is_exit_code_4() {
    let html = "content-type: text/html\r\n";
    for refusal in [
        problem(401, "Unauthorized", "the credential is not valid"),
        problem(403, "Forbidden", "the credential does not allow this"),
        (403, html, "<html>".to_owned()),
    ] {
        let (ran, _) = portcullis(LIST).answered(refusal).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert!(!ran.stderr.contains(TOKEN), "{ran:?}");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_exit_code_3() {
    let html = "content-type: text/html\r\n";
    let nonsense: [Scripted; 6] = [
        (200, html, "<html>".to_owned()),
        (404, html, "<html>".to_owned()),
        (502, "", String::new()),
        answer(404, &json!({"error": "another API"})),
        answer(200, &json!({"another": "API"})),
        answer(200, &json!([])),
    ];
    for nonsense in nonsense {
        let (ran, _) = portcullis(LIST).answered(nonsense).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}

#[test]
fn a_service_that_is_not_there_is_exit_code_3() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    for args in [LIST, "revoke okta:alice"] {
        let ran = portcullis(&format!("{args} --url http://{address} --json")).alone();
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
        let told: Value = serde_json::from_str(&ran.stderr).expect("JSON");
        let detail = told["detail"].as_str().expect("a detail");
        assert!(!detail.contains("not known"), "{detail}");
        assert_eq!(told.get("status"), None);
    }
}

#[test]
fn what_came_of_a_change_without_an_answer_is_said_to_be_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let server = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().expect("a caller");
            let read = stream.read(&mut [0; 8 * 1024]).expect("a request");
            assert!(read > 0);
        }
    });
    for (args, doubt) in [(LIST, false), ("revoke okta:alice", true)] {
        let ran = portcullis(&format!("{args} --url http://{address}")).alone();
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
        assert_eq!(ran.stderr.contains("not known"), doubt, "{ran:?}");
    }
    server.join().expect("each asked once");
}

#[test]
fn no_redirect_is_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a port");
    elsewhere.set_nonblocking(true).expect("a listener");
    let address = elsewhere.local_addr().expect("its address");
    let location = format!("location: http://{address}/\r\n");
    let (ran, asked) = portcullis(LIST)
        .answered((302, location.leak(), String::new()))
        .run();
    assert_eq!((ran.code, asked.len()), (3, 1), "{ran:?}");
    assert!(elsewhere.accept().is_err(), "somebody came");
}

#[test]
fn no_proxy_reads_along_on_loopback() {
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("a listener");
    let address = format!("http://{}", proxy.local_addr().expect("its address"));
    let mut run = portcullis(LIST).answered(answer(200, &json!({"connections": []})));
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"] {
        run = run.env(variable, Some(&address));
    }
    let (ran, asked) = run.run();
    assert_eq!((ran.code, asked.len()), (0, 1), "{ran:?}");
    assert!(proxy.accept().is_err(), "somebody came");
}

#[test]
fn a_command_line_that_makes_no_sense_is_exit_code_2() {
    for args in [
        "",
        "connections",
        "connections nothing",
        "connections show",
        "connections show ..",
        "connections list --token dev-admin",
        "connections list --url http://id.example",
        "connections list --token-file /nowhere/at/all",
        "subjects list --limit 0",
        "revoke okta:alice --session a --jti b",
    ] {
        let ran = portcullis(args).alone();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args}: {ran:?}");
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn a_credential_is_needed_and_a_file_goes_before_the_environment() {
    let ran = portcullis(LIST).env("PORTCULLIS_TOKEN", None).alone();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--token-file"), "{ran:?}");
    let ran = portcullis(LIST)
        .env("PORTCULLIS_TOKEN", Some("two words"))
        .alone();
    assert!(ran.code == 2 && !ran.stderr.contains("two"), "{ran:?}");

    let file = std::env::temp_dir().join(format!("portcullis-cli-{}.token", std::process::id()));
    std::fs::write(&file, "of-the-file\n").expect("a file");
    let (ran, asked) = portcullis(&format!("{LIST} --token-file {}", file.display()))
        .answered(answer(200, &json!({"connections": []})))
        .run();
    std::fs::remove_file(&file).expect("the file");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(asked[0].header("authorization"), Some("Bearer of-the-file"));
}

#[test]
fn help_is_exit_code_0_and_shows_no_setting_of_the_caller() {
    let ran = portcullis("--help")
        .env("PORTCULLIS_URL", Some("https://only-here.example"))
        .env("PORTCULLIS_TOKEN", Some("only-here"))
        .alone();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert!(ran.stdout.contains("Exit codes:"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("only-here"), "{}", ran.stdout);
}
