//! The audit log: searched, followed, taken away and verified, and every way to bend what was taken away.

use crate::fake::{Ran, Run, json as answer, portcullis, problem};
use crate::log::Served;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that is gone when the test is over.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("portcullis-cli-{}-{number}.export", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.file(name)).expect(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.0)
            .expect("a folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn export(log: &Served, dir: &Dir, args: &str) -> Ran {
    let args = format!(
        "audit export {} --url {} --key {} {args}",
        dir.0.display(),
        log.url,
        log.vkey
    );
    portcullis(&args).alone()
}

/// Without a credential and without a service.
pub fn verify(dir: &Path, vkey: &str, args: &str) -> Ran {
    verifying(&format!("{} --key {vkey} {args}", dir.display())).alone()
}

fn verifying(args: &str) -> Run {
    portcullis(&format!("audit verify {args} --url http://127.0.0.1:1"))
        .env("PORTCULLIS_TOKEN", None)
}

#[test]
fn a_whole_log_is_exported_and_verified_without_the_service() {
    let log = Served::of(700);
    let dir = Dir::new();
    let ran = export(&log, &dir, "--by tester");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.stdout.starts_with("700 lines, index 0 to 699,"),
        "{ran:?}"
    );
    assert_eq!(
        dir.names(),
        [
            "checkpoint",
            "events.ndjson",
            "manifest.json",
            "proofs.json"
        ]
    );
    assert_eq!(
        dir.read("events.ndjson"),
        (log.lines.join("\n") + "\n").into_bytes()
    );
    let ran = verify(&dir.0, &log.vkey, "");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stdout.contains("all that the log has there"), "{ran:?}");
    assert!(ran.stdout.contains("at 700 lines with root"), "{ran:?}");
    assert!(ran.stdout.contains("for tester"), "{ran:?}");
}

#[test]
fn a_part_is_by_index_or_by_the_time_of_the_commit() {
    let log = Served::of(700);
    for (range, first, last) in [
        ("--from 250 --to 530", 250, 529),
        (
            "--from 1970-01-01T00:04:10Z --to 1970-01-01T01:08:50+01:00",
            250,
            529,
        ),
        (
            "--from 1970-01-01T00:04:09.001Z --to 1970-01-01T00:08:49.001Z",
            250,
            529,
        ),
        ("--to 1970-01-01T00:00:01Z", 0, 0),
        ("--from 512", 512, 699),
    ] {
        let dir = Dir::new();
        let ran = export(&log, &dir, &format!("{range} --json"));
        assert_eq!(ran.code, 0, "{ran:?}");
        let manifest: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        assert_eq!(manifest["first_index"], first, "{range}");
        assert_eq!(manifest["last_index"], last, "{range}");
        let ran = verify(&dir.0, &log.vkey, "");
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let dir = Dir::new();
    for wrong in [
        "--from 701",
        "--from 5 --to 4",
        "--from yesterday",
        "--action nothing",
    ] {
        let ran = export(&log, &dir, wrong);
        assert_eq!(ran.code, 2, "{wrong}: {ran:?}");
    }
}

#[test]
fn a_filtered_export_shows_that_each_line_is_the_logs() {
    let log = Served::of(700);
    let dir = Dir::new();
    let ran = export(&log, &dir, "--action kill --from 10 --to 600");
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = verify(&dir.0, &log.vkey, "--json");
    assert_eq!(ran.code, 0, "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((&told["good"], &told["lines"]), (&json!(true), &json!(196)));
    assert_eq!(told["manifest"]["kind"], "filtered");
    assert_eq!(
        told["manifest"]["scanned"],
        json!([{"first": 10, "end": 600}])
    );
    let ran = verify(&dir.0, &log.vkey, "");
    assert!(
        ran.stdout.contains("that no other fits is not shown"),
        "{ran:?}"
    );
}

#[test]
fn what_was_interrupted_goes_on_and_is_the_same() {
    let log = Served::of(3000);
    let (dir, at_once) = (Dir::new(), Dir::new());
    log.lose("tile/entries/009", true);
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(dir.file("export.partial.json").exists());
    let ran = verify(&dir.0, &log.vkey, "");
    assert_eq!(ran.code, 2, "{ran:?}");
    // Something else is not mixed with it.
    let ran = export(&log, &dir, "--from 7");
    assert_eq!(ran.code, 2, "{ran:?}");
    log.lose("tile/entries/009", false);
    // What a crash may leave behind what is known to be written.
    let events = [dir.read("events.ndjson"), b"{\"index\":20".to_vec()].concat();
    fs::write(dir.file("events.ndjson"), events).expect("writes");
    log.asked();
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = log.asked();
    assert!(!asked.contains(&"tile/entries/007".to_owned()), "{asked:?}");
    assert!(asked.contains(&"tile/entries/009".to_owned()), "{asked:?}");
    assert_eq!(export(&log, &at_once, "").code, 0);
    for name in ["events.ndjson", "proofs.json", "checkpoint"] {
        assert_eq!(dir.read(name), at_once.read(name), "{name}");
    }
    assert_eq!(dir.names(), at_once.names());
    assert_eq!(verify(&dir.0, &log.vkey, "").code, 0);
    // What is finished is not written over.
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn whatever_is_bent_is_told_with_its_place() {
    let log = Served::of(300);
    let dir = Dir::new();
    let args = "--from 20 --to 280 --format csv --format ocsf --format parquet";
    let ran = export(&log, &dir, args);
    assert_eq!(ran.code, 0, "{ran:?}");
    let byte: usize = log.lines[20..25].iter().map(|line| line.len() + 1).sum();
    let bent = |name: &str, bend: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let good = dir.read(name);
        let mut bytes = good.clone();
        bend(&mut bytes);
        assert_ne!(bytes, good, "{name}");
        fs::write(dir.file(name), bytes).expect("writes");
        let ran = verify(&dir.0, &log.vkey, "");
        fs::write(dir.file(name), good).expect("writes");
        assert_eq!(ran.code, 1, "{name}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{expected}: {ran:?}");
        assert!(ran.stdout.contains("rests on"), "{ran:?}");
    };
    let line = |at: usize| format!("{}\n", log.lines[at]).into_bytes();
    let (start, end) = (byte, byte + line(25).len());
    let place = format!("events.ndjson:6 (index 25, byte {byte}): ");
    bent(
        "events.ndjson",
        &|bytes| bytes[start + 40] ^= 1,
        &format!("{place}the line is not the one"),
    );
    bent(
        "events.ndjson",
        &|bytes| drop(bytes.drain(start..end)),
        &format!("{place}the line is missing"),
    );
    bent(
        "events.ndjson",
        &|bytes| {
            bytes.splice(start..start, line(24));
        },
        "the line does not belong here",
    );
    bent(
        "events.ndjson",
        &|bytes| {
            bytes.splice(start..end, line(26));
        },
        "it says index 26",
    );
    bent(
        "events.ndjson",
        &|bytes| bytes.truncate(end),
        "and 254 lines are missing",
    );
    bent(
        "events.ndjson",
        &|bytes| bytes.truncate(end - 1),
        "does not end with a line feed",
    );
    bent("proofs.json", &|bytes| bytes.truncate(200), "proofs.json:");
    bent(
        "proofs.json",
        &|bytes| bytes[20] ^= 1,
        "proofs.json:1 (byte 0): it does not begin",
    );
    bent(
        "checkpoint",
        &|bytes| bytes[5] ^= 1,
        "no checkpoint of 127.0.0.1",
    );
    bent(
        "manifest.json",
        &|bytes| bytes[5] ^= 1,
        "manifest.json: it was changed",
    );
    bent("events.csv", &|bytes| bytes[700] ^= 1, "events.csv:");
    bent(
        "events.ocsf.ndjson",
        &|bytes| bytes.extend(b"{}"),
        "events.ocsf.ndjson:261",
    );
    bent(
        "events.parquet",
        &|bytes| bytes[100] ^= 1,
        "events.parquet: its SHA-256",
    );
    let ran = verify(&dir.0, &log.vkey, "");
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn with_json_the_faults_are_on_standard_output() {
    let log = Served::of(40);
    let dir = Dir::new();
    assert_eq!(export(&log, &dir, "").code, 0);
    let text = String::from_utf8(dir.read("events.ndjson")).expect("text");
    let bent = text.replace("\"/11\"", "\"/12\"");
    fs::write(dir.file("events.ndjson"), bent).expect("writes");
    let ran = verify(&dir.0, &log.vkey, "--json");
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(told["good"], false);
    assert_eq!(told["checkpoint"]["size"], 40);
    let fault = &told["faults"][0];
    assert_eq!(
        (&fault["file"], &fault["line"], &fault["index"]),
        (&json!("events.ndjson"), &json!(12), &json!(11))
    );
}

#[test]
fn what_cannot_be_read_is_exit_code_2_and_another_key_is_1() {
    let log = Served::of(5);
    let dir = Dir::new();
    assert_eq!(export(&log, &dir, "").code, 0);
    let shown = dir.0.display().to_string();
    for args in [
        shown.clone(),
        format!("{shown} --key nothing"),
        format!("{shown} --key-file /nowhere/at/all"),
        format!("/nowhere/at/all --key {}", log.vkey),
    ] {
        let ran = verifying(&args).alone();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args}: {ran:?}");
    }
    let other = Served::of(5);
    let ran = verify(&dir.0, &other.vkey, "");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("It rests on nothing"), "{ran:?}");
    fs::remove_file(dir.file("proofs.json")).expect("a file");
    assert_eq!(verify(&dir.0, &log.vkey, "").code, 2);
}

#[test]
fn a_service_whose_lines_are_not_those_of_its_tree_is_not_believed() {
    let log = Served::of(300);
    let dir = Dir::new();
    // A key that is not the log's.
    let other = Served::of(5);
    let args = format!(
        "audit export {} --url {} --key {}",
        dir.0.display(),
        log.url,
        other.vkey
    );
    let ran = portcullis(&args).alone();
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("the service's log is"), "{ran:?}");
    // One of its name that is not its key.
    let args = format!(
        "audit export {} --url {} --key {}",
        dir.0.display(),
        log.url,
        Served::key_of(&log.url, 0)
    );
    let ran = portcullis(&args).alone();
    assert_eq!(ran.code, 3, "{ran:?}");
    // A checkpoint without the tiles that it needs.
    log.lose("tile/0/001.p/44", true);
    let ran = export(&log, &dir, "");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(!dir.file("manifest.json").exists());
}

#[test]
fn the_other_formats_are_of_the_same_lines() {
    let log = Served::of(30);
    let dir = Dir::new();
    assert_eq!(
        export(
            &log,
            &dir,
            "--format csv --format ocsf --format parquet --format ndjson"
        )
        .code,
        0
    );
    let csv = String::from_utf8(dir.read("events.csv")).expect("text");
    assert_eq!(csv.matches("\r\n").count(), 31);
    assert!(
        csv.starts_with("index,lane,") && csv.contains(",'=1+1,"),
        "{csv}"
    );
    let ocsf = String::from_utf8(dir.read("events.ocsf.ndjson")).expect("text");
    let events: Vec<Value> = ocsf
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!((events.len(), &events[4]["class_uid"]), (30, &json!(6003)));
    assert_eq!(events[4]["raw_data"], log.lines[4].as_str());
    let parquet = dir.read("events.parquet");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
}

#[test]
fn a_query_prints_lines_as_they_are_and_pages_to_the_end() {
    let line =
        |index: u64, action: &str| json!({"index": index, "action": action, "outcome": "success"});
    let first = json!({"events": [line(1, "kill")], "next": "c1", "tail": "t"});
    let last = json!({"events": [line(2, "kill")], "next": null, "tail": "t"});
    let (ran, asked) = portcullis("audit query --action kill --newest --all --json")
        .answered(answer(200, &first))
        .answered(answer(200, &last))
        .run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!("{}\n{}\n", line(1, "kill"), line(2, "kill"))
    );
    assert_eq!(
        asked[0].line,
        "GET /v1/audit/events?action=kill&order=newest"
    );
    assert_eq!(
        asked[1].line,
        "GET /v1/audit/events?action=kill&order=newest&cursor=c1"
    );
    let (ran, _) = portcullis("audit query")
        .answered(answer(200, &first))
        .run();
    assert!(ran.stdout.starts_with("INDEX  ACTION  OUTCOME"), "{ran:?}");
    assert!(ran.stderr.contains("--all"), "{ran:?}");
}

#[test]
fn a_tail_goes_on_from_its_cursor_and_past_a_service_that_is_away() {
    let line =
        |index: u64, action: &str| json!({"index": index, "action": action, "outcome": "success"});
    let before = json!({"events": [line(2, "kill"), line(1, "kill")], "next": null, "tail": "t1"});
    let after =
        json!({"events": [line(3, "audit.read"), line(4, "kill")], "next": "t2", "tail": "t2"});
    let (ran, asked) = portcullis("audit tail --json --lines 2 --for 30")
        .answered(answer(200, &before))
        .answered(problem(503, "Unavailable", "later"))
        .answered(answer(200, &after))
        .answered(problem(403, "Forbidden", "no more"))
        .run();
    assert_eq!(ran.code, 4, "{ran:?}");
    let expected = [line(1, "kill"), line(2, "kill"), line(4, "kill")];
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), expected);
    assert_eq!(asked[0].line, "GET /v1/audit/events?order=newest&limit=2");
    assert_eq!(asked[1].line, "GET /v1/audit/events?cursor=t1");
    assert_eq!(asked[2].line, "GET /v1/audit/events?cursor=t1");
    assert_eq!(asked[3].line, "GET /v1/audit/events?cursor=t2");
}
