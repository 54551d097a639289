//! An export that the service makes, from the request to the last part in the bucket, and its download: all by one process of
//! the local runtime, which is the lane, the job and the bucket.

use super::lane::Filled;
use crate::Options;
use crate::cpu;
use crate::report::Report;
use crate::statistics::median;
use portcullis_core::audit::export::EVENTS;
use portcullis_e2e::api::bearer;
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::{Failure, Result};
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many lines are exported at most: about 110 MB.
const LINES: u64 = 200_000;
/// How often it is asked whether it is done, and for how long.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_mins(2);

/// What an export came to: megabytes of its lines in a second.
struct Round {
    made: f64,
    by_processor: f64,
    fetched: f64,
}

/// Measures and reports.
pub fn measure(options: &Options, filled: &Filled, report: &mut Report) -> Result {
    let mut rounds = Vec::new();
    for round in 0..=options.rounds {
        match round {
            0 => eprintln!("warming up"),
            round => eprintln!("round {round} of {}", options.rounds),
        }
        let done = export(filled)?;
        if round > 0 {
            rounds.push(done);
        }
    }
    let median_of = |of: fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>());
    report.at_least(
        "export_job_mb_per_s",
        median_of(|round| round.made),
        "MB/s",
        50.0,
        "an export by the service, of its lines: from the request until it is finished",
    );
    report.row(
        "export_job_mb_per_cpu_s",
        median_of(|round| round.by_processor),
        "MB/s",
        "the same for a second of processor time of every process of the stack",
    );
    report.row(
        "export_download_mb_per_s",
        median_of(|round| round.fetched),
        "MB/s",
        "its lines fetched",
    );
    Ok(())
}

/// Has an export made, takes it away, and has it removed.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn export(filled: &Filled) -> Result<Round> {
    let lines = filled.events.min(LINES);
    let group = filled.stack.group();
    let group = group.ok_or_else(|| Failure::new("the stack does not run"))?;
    cpu::come_to_rest(group)?;
    let before = cpu::of_group(group)?;
    let begun = Instant::now();
    let asked = json!({"from": 0, "to": lines});
    let job = request(filled, "POST", "").json(&asked).send()?;
    let job = job.expect(202)?.json()?;
    let id = format!("/{}", text(&job, "id")?);
    let job = finished(filled, &id)?;
    let took = begun.elapsed();
    let cpu = cpu::of_group(group)?.saturating_sub(before);
    expect_eq("lines exported", &job["lines"], &lines.into())?;
    let files = job["files"].as_array();
    let events = files.and_then(|files| files.iter().find(|file| file["name"] == EVENTS));
    let bytes = events.and_then(|file| file["bytes"].as_u64());
    let bytes = bytes.ok_or_else(|| Failure::new(format!("no {EVENTS} in {job}")))?;
    let begun = Instant::now();
    let file = request(filled, "GET", &format!("{id}/files/{EVENTS}"));
    let fetched = file.stream("application/x-ndjson")?.drain()?;
    let download = begun.elapsed();
    expect_eq("bytes fetched", &fetched, &bytes)?;
    request(filled, "DELETE", &id).send()?.expect(204)?;
    let megabytes = bytes as f64 / 1e6;
    Ok(Round {
        made: megabytes / took.as_secs_f64(),
        by_processor: megabytes / cpu.as_secs_f64(),
        fetched: megabytes / download.as_secs_f64(),
    })
}

fn finished(filled: &Filled, id: &str) -> Result<Value> {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        sleep(LOOK);
        let job = request(filled, "GET", id).send()?.expect(200)?.json()?;
        match job["state"].as_str() {
            Some("finished") => return Ok(job),
            Some("waiting" | "running") => {}
            _ => return Err(Failure::new(format!("it is not made: {job}"))),
        }
    }
    Err(Failure::new("the export takes too long"))
}

fn request(filled: &Filled, method: &'static str, path: &str) -> Request {
    let url = format!("{}/v1/audit/exports{path}", filled.stack.at.service);
    Request::new(method, url).bearer(bearer::AUDITOR)
}
