//! `portcullis gateway check`: faults with their lines, or the routes.

use crate::fake::portcullis;
use serde_json::{Value, json};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/examples/gateway.toml"
);
const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../gateway/gateway.toml");

const WRONG: &str = "[upstreams]\napp = \"https://a.example\"\n\n[[routes]]\npath = \"/*\"\nupstream = \"ap\"\nroles = []\n";

#[test]
fn a_valid_file_is_shown_as_its_routes_and_no_credential_is_needed() {
    let ran = portcullis(&format!("gateway check {SHIPPED}"))
        .env("PORTCULLIS_TOKEN", None)
        .alone();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let mut lines = ran.stdout.lines();
    let head = lines.next().expect("a head");
    assert!(
        head.starts_with("LINE  PATH  UPSTREAM  PUBLIC  CONSISTENCY"),
        "{head}"
    );
    let route = lines.next().expect("a route");
    assert!(route.contains("/*") && route.contains("origin") && route.contains("strict"));
    assert_eq!(lines.next(), None);
}

#[test]
fn the_example_of_the_documentation_is_valid_without_a_remark() {
    let ran = portcullis(&format!("gateway check {EXAMPLE} --json")).alone();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        (&told["valid"], &told["warnings"]),
        (&json!(true), &json!([]))
    );
    assert!(
        told["routes"]
            .as_array()
            .is_some_and(|routes| routes.len() > 5)
    );
}

#[test]
fn each_fault_is_a_line_with_its_place_and_the_exit_code_is_1() {
    let ran = portcullis("gateway check -").stdin(WRONG).alone();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [upstream, key] = lines.as_slice() else {
        panic!("{ran:?}");
    };
    assert_eq!(*upstream, "-:6:12: no upstream is called \"ap\"");
    assert!(
        key.starts_with("-:7:1: unknown key \"roles\"; known here: path, "),
        "{key}"
    );
}

#[test]
fn with_json_the_faults_are_one_object_on_standard_output() {
    let ran = portcullis("gateway check - --json").stdin(WRONG).alone();
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["valid"], json!(false));
    assert_eq!(
        told["errors"][0],
        json!({"line": 6, "column": 12, "message": "no upstream is called \"ap\""})
    );
}

#[test]
fn what_is_perhaps_not_meant_is_a_remark_beside_the_routes() {
    let text = WRONG
        .replace("\"ap\"", "\"app\"")
        .replace("roles = []", "")
        .replace("[upstreams]", "[upstreams]\nspare = \"https://b.example\"");
    let ran = portcullis("gateway check -").stdin(&text).alone();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stderr,
        "-:2:1: no route leads to the upstream \"spare\" (warning)\n"
    );
    assert_eq!(ran.stdout.lines().count(), 2);
}

#[test]
fn a_file_that_cannot_be_read_is_exit_code_2() {
    let ran = portcullis("gateway check /nowhere/gateway.toml").alone();
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
}

#[test]
fn what_a_file_says_does_nothing_to_a_terminal() {
    let text = "[upstreams]\n\"a\\u001b]0;x\" = 1\n[[routes]]\n\"\\u001b[2J\" = 1\n";
    let ran = portcullis("gateway check -").stdin(text).alone();
    assert_eq!(ran.code, 1);
    assert!(
        !ran.stderr.replace('\n', "").contains(char::is_control),
        "{ran:?}"
    );
}
