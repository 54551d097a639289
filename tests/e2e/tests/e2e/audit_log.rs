//! The log as others can check it: that it is the tree of its lines, that it only grows, and who may have what.

use crate::audit::kill_a_stranger;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use portcullis_core::audit::log::proof::{verify_consistency, verify_inclusion};
use portcullis_core::audit::log::{Hash, Head, leaf_hash};
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::random_text;
use portcullis_e2e::audit_log::{Log, hash, hashes};
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::people::Site;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

fn site_with_a_log() -> Result<(Site, Log)> {
    let site = Site::any()?;
    let log = Log::new(site.endpoints());
    Ok((site, log))
}

/// The root over these lines, reckoned by another implementation.
fn root_of(entries: &[Vec<u8>]) -> Hash {
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for entry in entries {
        tree.push(entry.clone());
    }
    Hash((*tree.root().as_bytes()).into())
}

#[test]
fn the_signed_root_is_that_of_the_lines_that_auditors_get() -> Result {
    let (site, log) = site_with_a_log()?;
    let subject = kill_a_stranger(&site, &random_text()?)?;
    let kill = site.api.expect_story(&subject, &["kill"])?.remove(0);
    let index = kill["index"].as_u64().unwrap_or_default();
    let head = log.head_beyond(index)?;
    let mut entries = log.entries(head.size)?;
    assert_eq!(root_of(&entries), head.root);
    let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    assert_eq!(log.leaves(head.size)?, leaves);
    // The line is the event as a search finds it, with its place in the tree.
    let at = usize::try_from(index)?;
    assert_eq!(serde_json::from_slice::<Value>(&entries[at])?, kill);

    // A flipped bit anywhere is found.
    let last = entries.len() - 1;
    for (entry, byte) in [(at, 0), (at, entries[at].len() - 1), (0, 20), (last, 40)] {
        entries[entry][byte] ^= 1;
        assert_ne!(root_of(&entries), head.root, "byte {byte} of entry {entry}");
        entries[entry][byte] ^= 1;
    }
    assert_eq!(root_of(&entries), head.root);
    Ok(())
}

#[test]
fn a_later_checkpoint_continues_an_earlier_one_and_both_have_their_lines() -> Result {
    let (site, log) = site_with_a_log()?;
    kill_a_stranger(&site, &random_text()?)?;
    let older = log.head_beyond(0)?;
    for _ in 0..3 {
        kill_a_stranger(&site, &random_text()?)?;
    }
    let newer = log.head_beyond(older.size + 2)?;
    let query = format!("consistency?from={}&to={}", older.size, newer.size);
    let answer = log.proof(&query)?.expect(200)?.json()?;
    assert_eq!(hash(&answer, "from_root_hash")?, older.root);
    assert_eq!(hash(&answer, "to_root_hash")?, newer.root);
    let proof = hashes(&answer)?;
    assert!(verify_consistency(&older, &newer, &proof));
    let other = Head {
        root: leaf_hash(b"another history"),
        ..older
    };
    assert!(!verify_consistency(&other, &newer, &proof));

    let entries = log.entries(newer.size)?;
    for (index, head) in [
        (0, &older),
        (older.size - 1, &newer),
        (newer.size - 1, &newer),
    ] {
        let query = format!("inclusion?index={index}&size={}", head.size);
        let answer = log.proof(&query)?.expect(200)?.json()?;
        let leaf = leaf_hash(&entries[usize::try_from(index)?]);
        assert_eq!(hash(&answer, "leaf_hash")?, leaf);
        assert_eq!(hash(&answer, "root_hash")?, head.root);
        let proof = hashes(&answer)?;
        assert!(verify_inclusion(leaf, index, head, &proof));
        assert!(!verify_inclusion(
            leaf_hash(b"another line"),
            index,
            head,
            &proof
        ));
    }
    Ok(())
}

#[test]
fn the_key_is_published_names_the_lane_and_stays() -> Result {
    let (site, log) = site_with_a_log()?;
    let key = log.key()?;
    let (_, host) = site
        .endpoints()
        .service
        .split_once("://")
        .unwrap_or_default();
    assert_eq!(key.origin().as_str(), format!("{host}/audit/lane/0"));
    let url = format!("{}/v1/audit/key", site.endpoints().service);
    let answer = Request::get(url)
        .bearer(bearer::AUDITOR)
        .send()?
        .expect(200)?
        .json()?;
    assert_eq!(text(&answer, "vkey")?, key.to_vkey());
    assert_eq!(text(&answer, "origin")?, key.origin().as_str());
    assert_eq!(answer["lane"], 0);
    Ok(())
}

#[test]
fn lines_are_for_auditors_and_each_bundle_that_is_read_is_in_the_log() -> Result {
    let (site, log) = site_with_a_log()?;
    kill_a_stranger(&site, &random_text()?)?;
    log.head_beyond(0)?;
    let path = "tile/entries/000.p/1";
    log.public(path)?.expect(401)?;
    for (bearer, status) in [
        (bearer::GATEWAY, 403),
        (bearer::SCIM, 403),
        (bearer::ADMIN, 200),
        (bearer::AUDITOR, 200),
    ] {
        log.as_bearer(path, bearer)?.expect(status)?;
    }
    let reads = site.api.events("action=audit.read")?;
    let read = |role: &str| {
        reads.iter().any(|event| {
            event["actor"]["id"] == role
                && event["request"]["path"] == "/audit/lane/0/tile/entries/000.p/1"
        })
    };
    assert!(read("admin") && read("auditor"), "{reads:#?}");
    let bundle = log.as_bearer(path, bearer::AUDITOR)?.expect(200)?;
    assert_eq!(bundle.header("cache-control"), Some("no-store"));
    assert_eq!(
        bundle.header("content-type"),
        Some("application/octet-stream")
    );
    Ok(())
}

#[test]
fn caches_keep_tiles_for_good_a_checkpoint_for_a_moment_and_no_refusal() -> Result {
    let (site, log) = site_with_a_log()?;
    kill_a_stranger(&site, &random_text()?)?;
    log.head_beyond(0)?;
    let tile = log.public("tile/0/000.p/1")?.expect(200)?;
    assert_eq!(
        tile.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        tile.header("cache-control"),
        Some("public, max-age=31536000, immutable")
    );
    assert_eq!(tile.header("access-control-allow-origin"), Some("*"));
    assert_eq!(tile.bytes.len(), 32);
    let checkpoint = log.public("checkpoint")?.expect(200)?;
    assert_eq!(
        checkpoint.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        checkpoint.header("cache-control"),
        Some("public, max-age=1")
    );
    let missing = log.public("tile/0/x999/999")?.expect(404)?;
    assert_eq!(missing.header("cache-control"), Some("no-store"));
    Ok(())
}

#[test]
fn what_is_not_there_is_not_found_and_what_cannot_be_is_refused() -> Result {
    let (site, log) = site_with_a_log()?;
    for path in [
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/7/000",
        "tile/0/x999/x999/999",
        "tile/%65ntries/000.p/1",
        "tile/0/000/../000",
        "tile/0",
        "tile",
        "other",
    ] {
        log.public(path)?.expect(404)?;
    }
    for path in [
        "tile/entries/x999/999",
        "tile/entries/0",
        "tile/entries/000.p/999",
    ] {
        log.as_bearer(path, bearer::AUDITOR)?.expect(404)?;
    }
    let service = &site.endpoints().service;
    for lane in ["1", "00", "-0", "x"] {
        Request::get(format!("{service}/audit/lane/{lane}/checkpoint"))
            .send()?
            .expect(404)?;
    }
    for query in [
        "inclusion",
        "inclusion?index=0",
        "inclusion?index=1&size=1",
        "inclusion?index=-1&size=1",
        "inclusion?index=%2B0&size=1",
        "inclusion?index=0&size=9007199254740992",
        "inclusion?index=0&size=1&more=1",
        "consistency?from=0&to=1",
        "consistency?from=2&to=1",
        "consistency?from=1",
    ] {
        let response = log.proof(query)?;
        if response.status != 400 {
            return Err(response.unexpected(&format!("status 400 for {query}")));
        }
        response.problem()?;
    }
    for query in [
        "inclusion?index=0&size=999999999",
        "consistency?from=1&to=999999999",
    ] {
        log.proof(query)?.expect(404)?.problem()?;
    }
    Ok(())
}

#[test]
fn key_and_tree_outlive_a_restart_of_everything() -> Result {
    let mut stack = Stack::start()?;
    let log = Log::new(&stack.at);
    let api = Api::new(&stack.at);
    for n in 0..20 {
        let body = json!({ "subject": format!("demo:restart-{n}") });
        api.revoke(&body)?.expect(200)?;
    }
    let (key, older) = (log.key()?, log.head_beyond(19)?);
    stack.kill_hard()?;
    stack.restart(&Settings::default())?;
    let log = Log::new(&stack.at);
    assert_eq!(log.key()?, key);
    let newer = log.head()?;
    if newer.size < older.size {
        return Err(Failure::new(format!("{newer:?} after {older:?}")));
    }
    let query = format!("consistency?from={}&to={}", older.size, newer.size);
    let answer = log.proof(&query)?.expect(200)?.json()?;
    assert!(verify_consistency(&older, &newer, &hashes(&answer)?));
    assert_eq!(root_of(&log.entries(newer.size)?), newer.root);
    Ok(())
}

/// Events until the log has so many lines: each look at it is one.
fn grow(stack: &Stack, log: &Log, api: &Api, size: u64) -> Result<Head> {
    let known = log.head()?.size;
    for _ in known..size {
        api.audit("limit=1")?.expect(200)?;
    }
    until(&format!("a checkpoint of {size} lines"), || {
        let head = log.head()?;
        Ok((head.size >= size).then_some(head))
    })
    .map_err(|error| Failure::new(format!("{error}\n{}", stack.output())))
}

#[test]
fn full_tiles_are_archived_and_a_lane_restored_to_an_earlier_point_signs_nothing() -> Result {
    let mut stack = Stack::start()?;
    let log = Log::new(&stack.at);
    let api = Api::new(&stack.at);
    let early = grow(&stack, &log, &api, 5)?;
    let lane = stack.directory().join("state/do/portcullis-Lane");
    let copy = stack.directory().join("earlier");
    stack.kill_hard()?;
    copy_files(&lane, &copy)?;
    stack.restart(&Settings::default())?;

    // What is full goes to the archive without being asked for: a tile and its bundle, beside the checkpoint.
    let later = grow(&stack, &log, &api, 300)?;
    assert!(later.size > early.size);
    let archive = stack.directory().join("state/r2");
    until("a full tile and its bundle in the archive", || {
        Ok((blobs_below(&archive)? >= 3).then_some(()))
    })?;
    let kept = blobs_below(&archive)?;

    // The lane as it was, and the archive as it is.
    stack.kill_hard()?;
    fs::remove_dir_all(&lane)?;
    copy_files(&copy, &lane)?;
    stack.restart(&Settings::default())?;
    for _ in 0..3 {
        api.audit("limit=1")?.expect(200)?;
    }
    let refused = log.public("checkpoint")?.expect(503)?;
    let detail = text(&refused.problem()?, "detail")?.to_owned();
    assert!(detail.contains("behind its archive"), "{detail}");
    assert!(blobs_below(&archive)? >= kept, "something left the archive");

    // It fills a tile of other lines. That is not for this archive, however often the alarm rings.
    let before = blobs_below(&archive)?;
    for _ in 0..300 {
        api.audit("limit=1")?.expect(200)?;
    }
    thread::sleep(Duration::from_secs(5));
    assert_eq!(blobs_below(&archive)?, before);
    let status = Request::get(format!("{}/v1/audit/status", stack.at.service));
    let status = status.bearer(bearer::AUDITOR).send()?.expect(200)?.json()?;
    assert_eq!(status["tiles"], json!({"archived": 0, "waiting": 1}));
    let refused = log.public("checkpoint")?.expect(503)?;
    let detail = text(&refused.problem()?, "detail")?.to_owned();
    let differs = "not the one of its archived checkpoint";
    assert!(detail.contains(differs), "{detail}");
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

/// How many objects the local runtime keeps below a directory.
fn blobs_below(directory: &Path) -> Result<usize> {
    let mut blobs = 0;
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else if directory.ends_with("blobs") {
                blobs += 1;
            }
        }
    }
    Ok(blobs)
}
