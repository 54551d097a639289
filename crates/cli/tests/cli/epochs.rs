//! A lane that has begun a new log: beginning it, and taking lines away from it.

use crate::audit::{Dir, export, verify};
use crate::fake::{json as answer, portcullis, problem};
use crate::log::Served;
use serde_json::{Value, json};

fn begun(dry_run: bool) -> Value {
    json!({
        "lane": 0, "epoch": 1, "log": "id.example/audit/lane/0.1", "key": (!dry_run).then_some("k+1+2"), "lines": 700,
        "ended": {
            "log": "id.example/audit/lane/0", "refusal": "the log is behind its archive",
            "checkpoint": {"size": 1000, "root_hash": "AAAA"},
        },
        "dry_run": dry_run,
    })
}

fn status() -> Value {
    json!({"log": "id.example/audit/lane/0", "epoch": 0})
}

#[test]
fn a_log_is_begun_in_place_of_the_one_that_the_service_has() {
    let (ran, asked) = portcullis("audit epoch begin --reason fire --yes")
        .answered(answer(200, &status()))
        .answered(answer(201, &begun(false)))
        .run();
    assert_eq!(ran.code, 0, "{ran:?}");
    for part in [
        "lane/0 (the log is behind its archive)",
        "1000 lines",
        "Begun: id.example/audit/lane/0.1",
        "k+1+2",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {ran:?}");
    }
    assert!(asked[0].line.starts_with("GET /v1/audit/status"));
    assert!(asked[1].line.starts_with("POST /v1/audit/epochs"));
    assert_eq!(
        asked[1].json(),
        json!({"log": "id.example/audit/lane/0", "reason": "fire", "dry_run": false})
    );
    // Which log is to end can be said, too.
    let (ran, asked) =
        portcullis("audit epoch begin --log id.example/audit/lane/0 --dry-run --json")
            .answered(answer(200, &begun(true)))
            .run();
    assert_eq!(
        serde_json::from_str::<Value>(&ran.stdout).ok(),
        Some(begun(true))
    );
    assert_eq!(asked[0].json()["dry_run"], true);
}

#[test]
fn no_log_is_begun_unasked_or_without_a_reason_and_a_refusal_is_told() {
    let args = "audit epoch begin --log x --reason fire";
    let ran = portcullis(args).alone();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--dry-run"), "{ran:?}");
    for wrong in ["", "--yes", "--yes --dry-run --reason fire"] {
        let ran = portcullis(&format!("audit epoch begin {wrong}")).alone();
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
    }
    let why = "the lane's log is id.example/audit/lane/0.1";
    let (ran, _) = portcullis(&format!("{args} --yes"))
        .answered(problem(409, "Conflict", why))
        .run();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains(why), "{ran:?}");
}

#[test]
fn a_later_log_is_exported_from_where_its_name_says() {
    let log = Served::of_epoch(700, 3);
    let dir = Dir::new();
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 0, "{ran:?}");
    let manifest: Value = serde_json::from_slice(&dir.read("manifest.json")).expect("JSON");
    let host = log.url.strip_prefix("http://").expect("a URL");
    assert_eq!(manifest["origin"], format!("{host}/audit/lane/0.3"));
    assert_eq!(
        (&manifest["issuer"], &manifest["lane"]),
        (&json!(log.url), &json!(0))
    );
    let ran = verify(&dir.0, &log.vkey, "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.contains("/audit/lane/0.3 at 700 lines"),
        "{ran:?}"
    );
}

#[test]
fn with_a_key_of_the_log_before_it_is_told_that_the_log_was_begun_anew() {
    let log = Served::of_epoch(20, 1);
    let dir = Dir::new();
    let host = log.url.strip_prefix("http://").expect("a URL");
    let old = Served::key_of(&log.url, 0);
    let args = format!(
        "audit export {} --url {} --key {old}",
        dir.0.display(),
        log.url
    );
    for args in [args.clone(), format!("{args} --by-service")] {
        let ran = portcullis(&args).alone();
        assert_eq!(ran.code, 2, "{ran:?}");
        for part in [
            "begun anew",
            &format!("{host}/audit/lane/0.1 now"),
            "at /audit/lane/0",
        ] {
            assert!(ran.stderr.contains(part), "{part}: {ran:?}");
        }
        assert!(!dir.file("manifest.json").exists());
    }
}
