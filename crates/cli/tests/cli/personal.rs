//! What is personal in the audit log: shown, taken along, verified, erased.

use crate::audit::{Dir, export, verify};
use crate::fake::{json as answer, portcullis, problem};
use crate::log::Served;
use serde_json::{Value, json};
use std::fs;

#[test]
fn what_is_sealed_is_asked_for_and_shown_beside_its_line() {
    let line = json!({"index": 7, "action": "kill", "sealed": "AQ"});
    let closed = json!({"index": 8, "action": "kill", "sealed": "AQ"});
    let page = json!({
        "events": [line, closed], "next": null, "tail": "t",
        "personal": {"7": {"ip": "192.0.2.1"}, "8": null},
    });
    let ask = |args: &str| {
        let run = portcullis(&format!("audit query {args}")).answered(answer(200, &page));
        let (ran, asked) = run.run();
        assert_eq!(ran.code, 0, "{ran:?}");
        (ran.stdout, asked[0].line.clone())
    };
    let (shown, asked) = ask("--personal");
    assert_eq!(asked, "GET /v1/audit/events?personal=true");
    assert!(
        shown.contains("SEALED") && shown.contains("192.0.2.1"),
        "{shown}"
    );
    assert!(shown.contains("(cannot be opened)"), "{shown}");
    let (shown, _) = ask("--personal --json");
    let objects: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(
        objects[0],
        json!({"event": line, "personal": {"ip": "192.0.2.1"}})
    );
    assert_eq!(objects[1], json!({"event": closed, "personal": null}));
    let (shown, asked) = ask("");
    assert_eq!(asked, "GET /v1/audit/events");
    assert!(!shown.contains("192.0.2.1"), "{shown}");
}

#[test]
fn following_shows_what_is_sealed_if_it_is_asked_for() {
    let page = json!({
        "events": [{"index": 7, "action": "kill", "sealed": "AQ"}], "next": null, "tail": "t",
        "personal": {"7": {"ip": "192.0.2.1"}},
    });
    let run = portcullis("audit tail --personal --for 0").answered(answer(200, &page));
    let (ran, asked) = run.run();
    assert!(asked[0].line.ends_with("&personal=true"), "{asked:?}");
    assert!(ran.stdout.contains("192.0.2.1"), "{ran:?}");
}

#[test]
fn an_erasure_is_asked_for_twice_and_a_question_is_not() {
    let erasure = |dry_run: bool| {
        json!({
            "subject": "sub_1", "unattributed_before": null, "dry_run": dry_run, "erased": !dry_run, "keys": 1,
            "since": "2026-11-01T10:00:00.000Z", "lines": {"count": 7, "at_least": true},
            "erased_at": null, "complete_at": null,
        })
    };
    // Nobody is there to ask: the service hears of nothing.
    let ran = portcullis("audit erase okta:alice")
        .stdin("erase\n")
        .alone();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
    for args in [
        "",
        "okta:alice --unattributed-before 2026-01-01",
        "a:b --yes --dry-run",
    ] {
        let ran = portcullis(&format!("audit erase {args}")).alone();
        assert_eq!(ran.code, 2, "{args}: {ran:?}");
    }
    let run = portcullis("audit erase okta:alice --dry-run");
    let (ran, asked) = run.answered(answer(200, &erasure(true))).run();
    assert_eq!(asked[0].line, "POST /v1/audit/erasures");
    assert_eq!(
        asked[0].json(),
        json!({"subject": "okta:alice", "dry_run": true})
    );
    assert!(ran.stdout.contains("Nothing was done."), "{ran:?}");
    let run = portcullis("audit erase okta:alice --yes --reason asked");
    let (ran, asked) = run.answered(answer(200, &erasure(false))).run();
    let expected = json!({"subject": "okta:alice", "reason": "asked", "dry_run": false});
    assert_eq!(asked[0].json(), expected);
    assert!(
        ran.stdout.starts_with("Erased what is sealed of sub_1"),
        "{ran:?}"
    );
    let run = portcullis("audit erase --unattributed-before 2026-01-01 --yes");
    let held = problem(409, "Conflict", "the legal hold case-1 forbids it");
    let (ran, asked) = run.answered(held).run();
    let expected = json!({"unattributed_before": "2026-01-01", "dry_run": false});
    assert_eq!(asked[0].json(), expected);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("case-1"), "{ran:?}");
}

#[test]
fn what_opens_the_lines_of_an_export_goes_along_and_is_verified() {
    let log = Served::of(700);
    let dir = Dir::new();
    let ran = export(&log, &dir, "--from 90 --to 420 --personal --format csv");
    assert_eq!(ran.code, 0, "{ran:?}");
    let disclosed = String::from_utf8(dir.read("disclosures.ndjson")).expect("UTF-8");
    let indexes: Vec<u64> = disclosed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|line| line["index"].as_u64().expect("an index"))
        .collect();
    let expected: Vec<u64> = (90..420).filter(|index| index % 5 != 0).collect();
    assert_eq!(indexes, expected);
    let manifest = String::from_utf8(dir.read("manifest.json")).expect("UTF-8");
    assert!(manifest.contains("disclosures.ndjson"), "{manifest}");
    let ran = verify(&dir.0, &log.vkey, "--json");
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["opened"], expected.len());
    // Nothing that was sealed is in any other file in clear.
    for name in ["events.ndjson", "events.csv"] {
        let text = String::from_utf8(dir.read(name)).expect("UTF-8");
        assert!(!text.contains("user_agent\":"), "{name}");
    }

    // Another line's key in place of one's own, also if the manifest is made to agree.
    let mut keys: Vec<&str> = disclosed.lines().collect();
    let other = keys[4].replace("\"index\":96", "\"index\":97");
    assert_ne!(other, keys[4]);
    keys[5] = &other;
    fs::write(dir.file("disclosures.ndjson"), keys.join("\n") + "\n").expect("writes");
    let ran = verify(&dir.0, &log.vkey, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let told = "disclosures.ndjson:6 (index 97, byte ";
    assert!(ran.stderr.contains(told), "{ran:?}");
    assert!(
        ran.stderr.contains("the key does not open its line"),
        "{ran:?}"
    );
    assert!(ran.stderr.contains("SHA-256"), "{ran:?}");
}

#[test]
fn of_a_filtered_export_the_keys_of_its_lines_go_along_and_no_other() {
    let log = Served::of(300);
    let dir = Dir::new();
    let ran = export(&log, &dir, "--action kill --personal");
    assert_eq!(ran.code, 0, "{ran:?}");
    let disclosed = String::from_utf8(dir.read("disclosures.ndjson")).expect("UTF-8");
    let expected = (0..300).filter(|index| index % 3 == 0 && index % 5 != 0);
    assert_eq!(disclosed.lines().count(), expected.count());
    assert_eq!(verify(&dir.0, &log.vkey, "").code, 0);
}
