//! How long the log is kept: who may say so, what holds stop, and what of it is proven when some is gone.

use portcullis_core::audit::log::leaf_hash;
use portcullis_core::audit::log::proof::{verify_consistency, verify_inclusion};
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::random_text;
use portcullis_e2e::audit_log::{Log, hashes};
use portcullis_e2e::cli::{portcullis, portcullis_alone};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn url(at: &Endpoints, path: &str) -> String {
    format!("{}/v1/audit/{path}", at.service)
}

fn get(at: &Endpoints) -> Result<Value> {
    let request = Request::get(url(at, "retention")).bearer(bearer::AUDITOR);
    request.send()?.expect(200)?.json()
}

fn put(at: &Endpoints, path: &str, body: &Value) -> Result<Response> {
    let request = Request::new("PUT", url(at, path)).bearer(bearer::ADMIN);
    request.json(body).send()
}

fn release(at: &Endpoints, name: &str) -> Result<Response> {
    let request = Request::new("DELETE", url(at, &format!("holds/{name}")));
    request.bearer(bearer::ADMIN).send()
}

#[test]
fn admins_place_and_release_holds_and_auditors_see_them() -> Result {
    let site = Site::any()?;
    let at = site.endpoints();
    // A longer one would be random enough for a credential.
    let random = random_text()?.to_lowercase();
    let name: String = random
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(8)
        .collect();
    let path = format!("holds/{name}");
    let placed = put(at, &path, &json!({"subject": "demo:alice"}))?.expect(200)?;
    let placed = placed.json()?;
    assert_eq!(placed["placed_by"], "admin");
    let subject = placed["subject"].as_str().unwrap_or_default().to_owned();
    assert!(subject.starts_with("sub_"), "{placed}");
    // Again it is the same; of something else it is not.
    let again = put(at, &path, &json!({"subject": "demo:alice"}))?;
    assert_eq!(again.expect(200)?.json()?, placed);
    put(at, &path, &json!({}))?.expect(409)?.problem()?;
    let holds = get(at)?["holds"].clone();
    let found = holds
        .as_array()
        .is_some_and(|holds| holds.contains(&placed));
    assert!(found, "{holds}");
    release(at, &name)?.expect(204)?;
    release(at, &name)?.expect(404)?.problem()?;
    let query = format!("action=audit.retention_changed&subject={subject}");
    let events = site.api.events(&query)?;
    let reasons: Vec<&str> = events
        .iter()
        .filter(|event| event["detail"]["hold"] == name.as_str())
        .filter_map(|event| event["reason"].as_str())
        .collect();
    assert_eq!(reasons, ["hold_placed", "hold_released"], "{events:#?}");
    for wrong in [
        ".a",
        "A",
        "a%20b",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    ] {
        let placed = put(at, &format!("holds/{wrong}"), &json!({}))?;
        placed.expect(400)?.problem()?;
    }
    for wrong in [
        json!({"subject": 7}),
        json!({"who": "demo:alice"}),
        json!([]),
    ] {
        put(at, &path, &wrong)?.expect(400)?.problem()?;
    }
    Ok(())
}

#[test]
fn an_age_is_said_within_bounds_and_tried_without_changing_anything() -> Result {
    let site = Site::any()?;
    let at = site.endpoints();
    let before = get(at)?;
    for wrong in [
        json!({}),
        json!({"days": 29}),
        json!({"days": 1_000_000}),
        json!({"days": "400"}),
        json!({"days": 400, "more": 1}),
    ] {
        put(at, "retention", &wrong)?.expect(400)?.problem()?;
    }
    let tried = put(at, "retention", &json!({"days": 400, "dry_run": true}))?;
    let tried = tried.expect(200)?.json()?;
    assert_eq!(
        (&tried["days"], &tried["dry_run"]),
        (&json!(400), &json!(true))
    );
    assert_eq!(
        (&tried["prunable"], &tried["pruned_to"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(get(at)?["days"], before["days"]);
    for bearer in [bearer::GATEWAY, bearer::SCIM] {
        let request = Request::get(url(at, "retention")).bearer(bearer);
        request.send()?.expect(403)?;
    }
    let request = Request::new("PUT", url(at, "retention")).bearer(bearer::AUDITOR);
    request.json(&json!({"days": null})).send()?.expect(403)?;
    Ok(())
}

/// Has time have passed: of lines that are to be kept for a month, each is too old at once.
fn age(stack: &Stack) -> Result {
    let lane = stack.directory().join("state/do/portcullis-Lane");
    let mut aged = 0;
    for entry in fs::read_dir(&lane)? {
        let path = entry?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "sqlite")
        {
            continue;
        }
        let database = Connection::open(&path)?;
        // The runtime may keep databases of its own beside.
        aged += database
            .execute("UPDATE retention SET keep_ms = 1", [])
            .unwrap_or(0);
    }
    if aged == 1 {
        return Ok(());
    }
    Err(Failure::new(format!("{aged} lanes in {}", lane.display())))
}

fn look(api: &Api) -> Result<Value> {
    api.audit("limit=1")?.expect(200)?.json()
}

/// How many of the first two bundles are in the bucket, by what the local runtime notes of its objects.
fn in_bucket(state: &Path) -> Result<u64> {
    let mut count = 0;
    let mut directories = vec![state.join("r2")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "sqlite")
            {
                let database = Connection::open(&path)?;
                let of = "SELECT count(*) FROM _mf_objects \
                    WHERE key IN ('lane/0/tile/entries/000', 'lane/0/tile/entries/001')";
                count += database
                    .query_row(of, [], |row| row.get::<_, u64>(0))
                    .unwrap_or(0);
            }
        }
    }
    Ok(count)
}

#[test]
fn what_is_too_old_goes_but_not_under_a_hold_and_the_rest_is_proven_as_before() -> Result {
    let mut stack = Stack::start()?;
    let log = Log::new(&stack.at);
    let api = Api::new(&stack.at);
    for _ in 0..600 {
        look(&api)?;
    }
    let older = log.head_beyond(599)?;
    let entries = log.entries(older.size)?;
    let leaves = log.leaves(older.size)?;
    put(&stack.at, "retention", &json!({"days": 30}))?.expect(200)?;
    put(&stack.at, "holds/case-1", &json!({}))?.expect(200)?;
    let state = stack.directory().join("state");
    until("two bundles in the archive", || {
        Ok((in_bucket(&state)? == 2).then_some(()))
    })?;
    stack.kill_hard()?;
    age(&stack)?;
    stack.restart(&Settings::default())?;

    // Under the hold nothing goes.
    for _ in 0..5 {
        look(&api)?;
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    let held = get(&stack.at)?;
    assert_eq!(
        (&held["pruned_to"], &held["prunable"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(log.entries(older.size)?, entries);
    release(&stack.at, "case-1")?.expect(204)?;
    let gone = until("lines to go", || {
        let gone = look(&api)?["pruned_to"].as_u64().unwrap_or_default();
        Ok((gone >= 512).then_some(gone))
    })
    .map_err(|error| Failure::new(format!("{error}\n{}", stack.output())))?;
    until("their bundles to go", || {
        Ok((in_bucket(&state)? == 0).then_some(()))
    })?;

    // Lines are gone and say so; hashes and proofs are as before.
    for path in [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/001.p/7",
    ] {
        let refused = log.as_bearer(path, bearer::AUDITOR)?.expect(410)?;
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        refused.problem()?;
    }
    assert_eq!(log.leaves(older.size)?, leaves);
    let newer = log.head_beyond(older.size)?;
    let query = format!("consistency?from={}&to={}", older.size, newer.size);
    let proof = log.proof(&query)?.expect(200)?.json()?;
    assert!(verify_consistency(&older, &newer, &hashes(&proof)?));
    let query = format!("inclusion?index=3&size={}", newer.size);
    let proof = log.proof(&query)?.expect(200)?.json()?;
    assert!(verify_inclusion(
        leaf_hash(&entries[3]),
        3,
        &newer,
        &hashes(&proof)?
    ));
    let events = api.events("action=audit.pruned")?;
    let mut end = json!(0);
    for event in &events {
        assert_eq!(event["detail"]["first_index"], end, "{events:#?}");
        end = event["detail"]["end_index"].clone();
    }
    assert!(end.as_u64() >= Some(512), "{events:#?}");
    let first = api.audit("limit=1")?.expect(200)?.json()?;
    assert_eq!(first["events"][0]["index"], first["pruned_to"]);

    // An auditor takes the rest away.
    let dir = stack.directory().join("export");
    let dir = dir.display().to_string();
    let key = log.key()?.to_vkey();
    let export = ["audit", "export", &dir, "--key", &key];
    let ran = portcullis(&stack.at, &export)?;
    assert!(
        ran.code == Some(2) && ran.stderr.contains("are gone by their age"),
        "{ran:?}"
    );
    let ran = portcullis(&stack.at, &[&export[..], &["--kept"]].concat())?;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = portcullis_alone(&["audit", "verify", &dir, "--key", &key])?;
    assert_eq!(ran.code, Some(0), "{ran:?}");

    // All of it outlives a restart.
    stack.kill_hard()?;
    stack.restart(&Settings::default())?;
    let last = log.head()?;
    assert!(last.size >= newer.size);
    assert!(get(&stack.at)?["pruned_to"].as_u64() >= Some(gone));
    Ok(())
}
