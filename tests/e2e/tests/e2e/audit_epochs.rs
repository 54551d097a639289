//! A lane that was restored to an earlier point: it signs nothing, an operator begins a new log, and it signs again.

use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::audit_log::Log;
use portcullis_e2e::cli::{portcullis, portcullis_alone, portcullis_as_admin};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::people::Site;
use portcullis_e2e::scratch::Scratch;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

fn begin(at: &Endpoints, bearer: Option<&str>, body: &Value) -> Result<Response> {
    let mut request = Request::new("POST", format!("{}/v1/audit/epochs", at.service));
    if let Some(bearer) = bearer {
        request = request.bearer(bearer);
    }
    request.json(body).send()
}

/// Puts lines into the log: each look at it is one.
fn look(api: &Api, times: u32) -> Result {
    for _ in 0..times {
        api.audit("limit=1")?.expect(200)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// Whether an object of that name is in the bucket, by what the local runtime notes of it.
fn is_in_bucket(state: &Path, name: &str) -> Result<bool> {
    let mut directories = vec![state.join("r2")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|it| it == "sqlite") {
                let database = Connection::open(&path)?;
                let of = "SELECT count(*) FROM _mf_objects WHERE key = ?";
                let found = database.query_row(of, [name], |row| row.get::<_, u64>(0));
                if found.is_ok_and(|count| count > 0) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

fn archived(stack: &Stack, name: &str) -> Result {
    let state = stack.directory().join("state");
    until(&format!("{name} in the archive"), || {
        Ok(is_in_bucket(&state, name)?.then_some(()))
    })
}

/// A stack whose lane has 300 lines and was restored to that from when it had 60 more; with the last checkpoint that anybody saw.
fn restored() -> Result<(Stack, CheckpointVerifier, Vec<u8>)> {
    let mut stack = Stack::start()?;
    let (api, log) = (Api::new(&stack.at), Log::new(&stack.at));
    look(&api, 300)?;
    log.head_beyond(299)?;
    let key = log.key()?;
    archived(&stack, "lane/0/tile/0/000")?;
    let lane = stack.directory().join("state/do/portcullis-Lane");
    let kept = Scratch::new("lane")?;
    stack.kill_hard()?;
    copy(&lane, &kept.path)?;
    stack.restart(&Settings::default())?;
    look(&api, 60)?;
    log.head_beyond(359)?;
    let last = log.public("checkpoint")?.expect(200)?.bytes;
    stack.kill_hard()?;
    fs::remove_dir_all(&lane)?;
    copy(&kept.path, &lane)?;
    stack.restart(&Settings::default())?;
    Ok((stack, key, last))
}

#[test]
fn a_lane_that_was_restored_signs_under_a_new_name_when_an_operator_begins_a_new_log() -> Result {
    let (stack, old_key, last) = restored()?;
    let at = &stack.at;
    let (api, old) = (Api::new(at), Log::new(at));
    let refused = old.public("checkpoint")?.expect(503)?.problem()?;
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("behind its archive"), "{refused}");
    let origin = old_key.origin().to_string();
    let body = json!({"log": origin, "reason": "a drill"});
    begin(at, None, &body)?.expect(401)?;
    for bearer in [bearer::AUDITOR, bearer::GATEWAY, bearer::SCIM] {
        begin(at, Some(bearer), &body)?.expect(403)?;
    }
    let other = json!({"log": format!("{origin}.7"), "reason": "a drill"});
    let refused = begin(at, Some(bearer::ADMIN), &other)?
        .expect(409)?
        .problem()?;
    assert_eq!(refused["detail"], format!("the lane's log is {origin}"));

    let tried = portcullis_as_admin(at, &["audit", "epoch", "begin", "--dry-run"])?.expect(0)?;
    assert!(
        tried
            .stdout
            .contains(&format!("begin {origin}.1. Nothing was done.")),
        "{tried:?}"
    );
    let begun = ["audit", "epoch", "begin", "--reason", "a drill"];
    portcullis_as_admin(at, &begun)?.expect(2)?;
    old.public("checkpoint")?.expect(503)?;
    let begun = portcullis_as_admin(at, &[&begun[..], &["--yes"]].concat())?.expect(0)?;
    assert!(
        begun.stdout.contains(&format!("Begun: {origin}.1.")),
        "{begun:?}"
    );
    let refused = begin(at, Some(bearer::ADMIN), &body)?
        .expect(409)?
        .problem()?;
    assert_eq!(refused["detail"], format!("the lane's log is {origin}.1"));

    let new = Log::of_epoch(at, 1);
    look(&api, 20)?;
    let head = new.head_beyond(319)?;
    let key = new.key()?;
    assert_eq!(key.origin().as_str(), format!("{origin}.1"));
    assert_ne!(key.key(), old_key.key());
    let lines = new.entries(head.size)?;
    assert_eq!(lines.len() as u64, head.size);
    let said = api.events("action=audit.epoch_began")?;
    let [line] = &*said else {
        return Err(Failure::new(format!("{said:#?}")));
    };
    let old_head = old_key
        .open(&last)
        .map_err(|error| Failure::new(error.to_string()))?;
    assert_eq!(line["detail"]["ended"], origin);
    assert_eq!(line["detail"]["archived_size"], old_head.size);
    assert_eq!(
        (&line["reason"], &line["actor"]["id"]),
        (&json!("a drill"), &json!("admin"))
    );
    expect_old(&old, &old_key, &last)?;
    Log::of_epoch(at, 2)
        .public("checkpoint")?
        .expect(404)?
        .problem()?;
    archived(&stack, "lane/0.1/tile/entries/000")?;
    expect_exports(at, &old_key.to_vkey(), &key.to_vkey())
}

/// Of the old log what was archived is there.
fn expect_old(old: &Log, key: &CheckpointVerifier, last: &[u8]) -> Result {
    assert_eq!(old.public("checkpoint")?.expect(200)?.bytes, last);
    assert_eq!(old.key()?, *key);
    assert_eq!(old.public("tile/0/000")?.expect(200)?.bytes.len(), 256 * 32);
    old.public("tile/entries/000")?.expect(401)?;
    old.as_bearer("tile/entries/000", bearer::AUDITOR)?
        .expect(200)?;
    old.public("tile/0/001.p/10")?.expect(404)?.problem()?;
    old.as_bearer("tile/entries/001.p/10", bearer::AUDITOR)?
        .expect(404)?;
    Ok(())
}

fn expect_exports(at: &Endpoints, old_key: &str, key: &str) -> Result {
    let dir = Scratch::new("epoch")?;
    for (name, how) in [("direct", None), ("service", Some("--by-service"))] {
        let to = dir.path.join(name).display().to_string();
        let args = ["audit", "export", &to, "--key", old_key];
        let ran = portcullis(at, &args)?.expect(2)?;
        assert!(ran.stderr.contains("begun anew"), "{ran:?}");
        let mut args = vec!["audit", "export", &to, "--key", key];
        args.extend(how);
        portcullis(at, &args)?.expect(0)?;
        portcullis_alone(&["audit", "verify", &to, "--key", key])?.expect(0)?;
        portcullis_alone(&["audit", "verify", &to, "--key", old_key])?.expect(1)?;
    }
    Ok(())
}

#[test]
fn no_log_begins_in_place_of_one_that_may_be_signed() -> Result {
    let site = Site::any()?;
    let at = site.endpoints();
    let origin = Log::new(at).key()?.origin().to_string();
    let begin = |body: &Value| begin(at, Some(bearer::ADMIN), body);
    for dry_run in [false, true] {
        let body = json!({"log": origin, "reason": "none", "dry_run": dry_run});
        let refused = begin(&body)?.expect(409)?.problem()?;
        assert!(
            refused["detail"]
                .as_str()
                .is_some_and(|it| it.contains("may be signed")),
            "{refused}"
        );
    }
    for wrong in [
        json!({"log": origin}),
        json!({"log": origin, "reason": ""}),
        json!({"log": origin, "reason": "x".repeat(257)}),
        json!({"log": origin, "reason": "none", "more": 1}),
        json!({"reason": "none"}),
    ] {
        begin(&wrong)?.expect(400)?.problem()?;
    }
    let status = Request::get(format!("{}/v1/audit/status", at.service));
    let status = status.bearer(bearer::AUDITOR).send()?.expect(200)?.json()?;
    assert_eq!(
        (&status["log"], &status["epoch"]),
        (&json!(origin), &json!(0))
    );
    Ok(())
}
