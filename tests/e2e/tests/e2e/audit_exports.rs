//! The service makes exports: begun, waited for, fetched and verified without it; through crashes; and removed.

use crate::audit_export::somebody_killed;
use portcullis_e2e::api::{Api, bearer};
use portcullis_e2e::app::random_text;
use portcullis_e2e::audit_log::Log;
use portcullis_e2e::cli::{portcullis, portcullis_alone};
use portcullis_e2e::http::{Request, Response};
use portcullis_e2e::scratch::Scratch;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::wait::until;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// The exports of one service.
struct Exports<'a>(&'a Endpoints);

impl Exports<'_> {
    fn request(&self, method: &'static str, path: &str) -> Request {
        let url = format!("{}/v1/audit/exports{path}", self.0.service);
        Request::new(method, url).bearer(bearer::AUDITOR)
    }

    fn get(&self, path: &str) -> Result<Response> {
        self.request("GET", path).send()
    }

    /// Begins one; its id.
    #[track_caller]
    fn begin(&self, asked: &Value) -> Result<String> {
        let answer = self.request("POST", "").json(asked).send()?.expect(202)?;
        let job = answer.json()?;
        let id = job["id"].as_str().unwrap_or_default().to_owned();
        let location = format!("/v1/audit/exports/{id}");
        assert_eq!(answer.header("location"), Some(location.as_str()), "{job}");
        Ok(id)
    }

    #[track_caller]
    fn job(&self, id: &str) -> Result<Value> {
        self.get(&format!("/{id}"))?.expect(200)?.json()
    }

    /// Waits until it is over.
    #[track_caller]
    fn over(&self, id: &str) -> Result<Value> {
        until("the export to be over", || {
            let job = self.job(id)?;
            let is_over = matches!(job["state"].as_str(), Some("finished" | "failed"));
            Ok(is_over.then_some(job))
        })
    }

    /// Fetches every file.
    #[track_caller]
    fn fetch(&self, id: &str, job: &Value, dir: &Scratch) -> Result {
        fs::create_dir_all(&dir.path)?;
        for file in job["files"].as_array().into_iter().flatten() {
            let name = file["name"].as_str().unwrap_or_default();
            let answer = self.get(&format!("/{id}/files/{name}"))?.expect(200)?;
            assert_eq!(file["bytes"], answer.bytes.len(), "{name}");
            let length = answer.bytes.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
            let disposition = answer.header("content-disposition").unwrap_or_default();
            assert_eq!(disposition, format!("attachment; filename=\"{name}\""));
            fs::write(dir.path.join(name), &answer.bytes)?;
        }
        Ok(())
    }
}

#[test]
fn a_job_makes_a_folder_that_verifies_offline_and_all_of_it_is_in_the_log() -> Result {
    let (person, _, index) = somebody_killed()?;
    let at = person.endpoints();
    let (exports, dir) = (Exports(at), Scratch::new("exports")?);
    let asked = json!({"from": 0, "to": index + 1, "format": "ocsf"});
    let id = exports.begin(&asked)?;
    let job = exports.over(&id)?;
    assert_eq!(job["state"], "finished", "{job}");
    assert_eq!(job["scanned"], json!({"first": 0, "end": index + 1}));
    assert_eq!(
        job["progress"],
        json!({"done": index + 1, "total": index + 1})
    );
    assert!(job["expires_at"].is_string(), "{job}");
    exports.fetch(&id, &job, &dir)?;
    let key = Log::new(at).key()?.to_vkey();
    let ran = portcullis_alone(&["audit", "verify", &dir.shown(), "--key", &key, "--json"])?;
    let ran = ran.expect(0)?;
    let told: Value = serde_json::from_str(&ran.stdout)?;
    assert_eq!(told["manifest"]["kind"], "whole");
    assert_eq!(told["manifest"]["requested_by"], "auditor");
    assert_eq!(told["lines"], index + 1);
    let listed = exports.get("")?.expect(200)?.json()?;
    let ids: Vec<&str> = listed["exports"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|job| job["id"].as_str())
        .collect();
    assert!(ids.contains(&id.as_str()), "{listed}");
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");

    // A range, what is held already, and what is not there.
    let file = |header: (&str, &str)| {
        let path = format!("/{id}/files/events.ndjson");
        exports
            .request("GET", &path)
            .header(header.0, header.1)
            .send()
    };
    let all = fs::read(dir.path.join("events.ndjson"))?;
    let part = file(("range", "bytes=10-19"))?.expect(206)?;
    assert_eq!(part.bytes, all[10..20]);
    let range = format!("bytes 10-19/{}", all.len());
    assert_eq!(part.header("content-range"), Some(range.as_str()));
    let etag = part.header("etag").unwrap_or_default().to_owned();
    file(("if-none-match", &etag))?.expect(304)?;
    file(("range", "bytes=999999999999-"))?
        .expect(416)?
        .problem()?;

    // Removed, it is gone; and each of this is in the log.
    exports
        .request("DELETE", &format!("/{id}"))
        .send()?
        .expect(204)?;
    exports
        .request("DELETE", &format!("/{id}"))
        .send()?
        .expect(404)?;
    exports.get(&format!("/{id}"))?.expect(404)?.problem()?;
    file(("accept", "*/*"))?.expect(404)?.problem()?;
    let mut reasons = until("the export's removal in the log", || {
        let events = person.api.events("action=audit.exported")?;
        let ours = events
            .iter()
            .filter(|event| event["resource"] == id.as_str());
        let reasons: Vec<String> = ours
            .map(|event| {
                let sealed = person.api.sealed("action=audit.exported", event)?;
                assert_eq!(sealed["claims"]["format"], "ocsf", "{event}");
                assert_eq!(sealed["claims"]["to"], (index + 1).to_string(), "{event}");
                assert_eq!(event["actor"]["id"], "auditor", "{event}");
                Ok(event["reason"].as_str().unwrap_or_default().to_owned())
            })
            .collect::<Result<_>>()?;
        let is_removed = reasons.iter().any(|reason| reason == "removed");
        Ok(is_removed.then_some(reasons))
    })?;
    let downloads = reasons
        .extract_if(.., |reason| reason == "downloaded")
        .count();
    assert_eq!(reasons, ["requested", "finished", "removed"]);
    assert_eq!(downloads, 5 + 1, "each file, and a part of one");
    Ok(())
}

#[test]
fn a_filtered_job_has_what_the_command_line_takes_and_the_command_line_fetches_it() -> Result {
    let (person, subject, index) = somebody_killed()?;
    let at = person.endpoints();
    let key = Log::new(at).key()?.to_vkey();
    let (by_service, by_hand) = (Scratch::new("exports")?, Scratch::new("exports")?);
    let (service, hand) = (by_service.shown(), by_hand.shown());
    let (claim, to) = (person.claim(), (index + 1).to_string());
    let asked = [
        "--key",
        &key,
        "--subject",
        &claim,
        "--to",
        &to,
        "--format",
        "csv",
    ];
    let args = [&["audit", "export", &service, "--by-service"], &asked[..]].concat();
    let ran = portcullis(at, &args)?;
    let ran = ran.expect(0)?;
    assert!(
        ran.stdout.contains("that no other fits is not shown"),
        "{ran:?}"
    );
    portcullis(at, &[&["audit", "export", &hand], &asked[..]].concat())?.expect(0)?;
    for name in ["events.ndjson", "events.csv"] {
        let (made, written) = (
            fs::read_to_string(by_service.path.join(name))?,
            fs::read_to_string(by_hand.path.join(name))?,
        );
        assert_eq!(made, written, "{name}");
        assert!(made.contains(&subject), "{made}");
    }
    let verify = ["audit", "verify", &service, "--key", &key];
    portcullis_alone(&verify)?.expect(0)?;
    assert!(!by_service.path.join("export.job.json").exists());
    // There is an export in it.
    portcullis(at, &args)?.expect(2)?;

    // As if it had been interrupted in the middle of a file.
    let ran = portcullis(at, &["audit", "exports", "list", "--json"])?;
    let ran = ran.expect(0)?;
    let listed: Value = serde_json::from_str(&ran.stdout)?;
    let mut ours = listed["exports"].as_array().into_iter().flatten();
    let job = ours.find(|job| job["filter"]["subject"] == subject.as_str());
    let job = job.ok_or_else(|| Failure::new(format!("it is not listed: {listed}")))?;
    let path = by_service.path.join("events.ndjson");
    let lines = fs::read(&path)?;
    fs::write(&path, &lines[..lines.len() / 2])?;
    fs::remove_file(by_service.path.join("manifest.json"))?;
    let begun = json!({
        "service": format!("{}/", at.service), "key": "a key", "id": job["id"],
        "asked": {"to": to, "filter": {"subject": claim}, "format": "csv"},
    });
    fs::write(by_service.path.join("export.job.json"), begun.to_string())?;
    let ran = portcullis(at, &args)?;
    let ran = ran.expect(0)?;
    assert!(
        ran.stderr.contains("It goes on where it was left"),
        "{ran:?}"
    );
    assert_eq!(fs::read(&path)?, lines);
    portcullis_alone(&verify)?.expect(0)?;
    let id = job["id"].as_str().unwrap_or_default();
    portcullis(at, &["audit", "exports", "show", id])?.expect(0)?;
    portcullis(at, &["audit", "exports", "delete", id])?.expect(0)?;
    portcullis(at, &["audit", "exports", "show", id])?.expect(1)?;
    Ok(())
}

#[test]
fn the_same_request_again_is_the_same_job_and_what_makes_no_sense_is_refused() -> Result {
    let (person, ..) = somebody_killed()?;
    let exports = Exports(person.endpoints());
    let key = random_text()?;
    let ask = |body: &Value| {
        let request = exports
            .request("POST", "")
            .header("idempotency-key", key.as_str());
        request.json(body).send()
    };
    let first = ask(&json!({}))?.expect(202)?.json()?;
    assert_eq!(ask(&json!({}))?.expect(202)?.json()?["id"], first["id"]);
    ask(&json!({"from": 1}))?.expect(422)?.problem()?;
    for wrong in [
        json!({"from": "yesterday"}),
        json!({"from": 2, "to": 1}),
        json!({"format": "parquet"}),
        json!({"filter": {"action": "kills"}}),
        json!({"form": 1}),
    ] {
        let answer = exports.request("POST", "").json(&wrong).send()?;
        answer.expect(400)?.problem()?;
    }
    for unknown in ["/exp_1", "/exp_x", "/job_1", "/exp_1/files/checkpoint"] {
        exports.get(unknown)?.expect(404)?.problem()?;
    }
    let id = first["id"].as_str().unwrap_or_default();
    let job = exports.over(id)?;
    assert_eq!(job["state"], "finished", "{job}");
    for name in ["export.job.json", "..%2F..%2Fcheckpoint", "events.csv"] {
        let path = format!("/{id}/files/{name}");
        exports.get(&path)?.expect(404)?.problem()?;
    }
    Ok(())
}

#[test]
fn an_export_goes_on_through_crashes_of_everything_and_is_whole() -> Result {
    let mut stack = Stack::start()?;
    let api = Api::new(&stack.at);
    // Something to take away: each is a line, and so is each look at it.
    for _ in 0..40 {
        api.audit("limit=1")?.expect(200)?;
    }
    let key = Log::new(&stack.at).key()?.to_vkey();
    let mut caught = 0;
    for pause_ms in [0, 20, 40, 80, 0] {
        let at = stack.at.clone();
        let exports = Exports(&at);
        let id = exports.begin(&json!({"format": "csv"}))?;
        std::thread::sleep(Duration::from_millis(pause_ms));
        if pause_ms > 0 {
            caught += u32::from(exports.job(&id)?["state"] != "finished");
        }
        stack.kill_hard()?;
        stack.restart(&Settings::default())?;
        let job = exports.over(&id)?;
        assert_eq!(job["state"], "finished", "{job}");
        let dir = Scratch::new("exports")?;
        exports.fetch(&id, &job, &dir)?;
        let ran = portcullis_alone(&["audit", "verify", &dir.shown(), "--key", &key])?;
        let ran = ran.expect(0)?;
        assert!(ran.stdout.contains("all that the log has there"), "{ran:?}");
    }
    println!("{caught} of 4 were not finished when everything was killed");
    let told = api.expect_events("action=audit.exported&outcome=denied", 0)?;
    assert_eq!(told, Vec::<Value>::new());
    Ok(())
}
