//! What a million events cost at list price: every row, object request, queue operation and archived object of the same
//! commits is counted, by the lane's own code on the host.

use super::events::{A_PACK, Gateways};
use super::{failed, scratch};
use crate::report::Report;
use portcullis::host::HostLane;
use portcullis_core::time::UnixMillis;
use portcullis_e2e::Result;
use std::fs;

const ISSUER: &str = "https://id.example";
const SERVICE_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// How many events are counted.
const EVENTS: u64 = 200_000;
/// So many commits are between two alarms: two seconds of 10,000 events each.
const COMMITS_AN_ALARM: u64 = 200;
/// Rows that an alarm is: it is set, set again when it rings, and deleted.
const ROWS_AN_ALARM: u64 = 3;
/// Operations of a queue for 64 KB of a message: written, read, deleted.
const QUEUE_OPERATIONS: u64 = 3;
const QUEUE_UNIT: usize = 64 * 1024;
/// How long an object runs for a million events at 10,000 a second, in GB-seconds.
const GB_SECONDS: f64 = 100.0 * 0.128;

/// US dollars, for one of each.
const ROW_WRITTEN: f64 = 1.00e-6;
const OBJECT_REQUEST: f64 = 0.15e-6;
const GB_SECOND: f64 = 12.50e-6;
const QUEUE_OPERATION: f64 = 0.40e-6;
const CLASS_A: f64 = 4.50e-6;
const WORKER_REQUEST: f64 = 0.30e-6;
const CPU_MS: f64 = 0.02e-6;
/// For a GB and a month: in an object, and in R2.
const OBJECT_GB_MONTH: f64 = 0.20;
const R2_GB_MONTH: f64 = 0.015;

/// Counts, and reports. `cpu_us` is the processor time of an event.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn measure(report: &mut Report, cpu_us: f64) -> Result {
    let directory = scratch("cost")?;
    let file = directory.join("lane.sqlite");
    let lane = HostLane::open(&file, ISSUER, SERVICE_KEY).map_err(failed)?;
    let mut gateways = Gateways::new(1);
    let (mut queue, mut commits, mut alarms) = (0, 0, 0);
    while commits * A_PACK < EVENTS {
        let at = UnixMillis(1_790_000_000_000 + commits * 10);
        let pack = gateways.pack(|_| at);
        let bytes = pack.encode().map_err(failed)?.len();
        queue += bytes.div_ceil(QUEUE_UNIT) as u64 * QUEUE_OPERATIONS;
        lane.append(vec![pack], at).map_err(failed)?;
        commits += 1;
        if commits.is_multiple_of(COMMITS_AN_ALARM) {
            lane.ring(at).map_err(failed)?;
            alarms += 1;
        }
    }
    let written = lane.written();
    drop(lane);
    let stored = fs::metadata(&file)?.len() as f64;
    fs::remove_dir_all(&directory)?;

    let million = |count: u64| count as f64 / EVENTS as f64 * 1e6;
    let rows = written.rows + alarms * ROWS_AN_ALARM;
    // Each alarm finds a checkpoint that somebody asked for since the last.
    let objects = written.objects + alarms;
    let parts = [
        (
            "rows",
            million(rows) * ROW_WRITTEN,
            "rows written in the lane, alarms among them",
        ),
        (
            "objects",
            million(commits + alarms) * OBJECT_REQUEST + GB_SECONDS * GB_SECOND,
            "requests of the lane, and its time at 10,000 events a second",
        ),
        (
            "queue",
            million(queue) * QUEUE_OPERATION,
            "operations of the queue",
        ),
        (
            "archive",
            million(objects) * CLASS_A,
            "writes to R2: tiles, bundles, checkpoints",
        ),
        (
            "worker",
            million(commits) * WORKER_REQUEST + cpu_us * 1000.0 * CPU_MS,
            "invocations of the consumer, and processor time",
        ),
    ];
    report.at_most(
        "rows_per_event",
        rows as f64 / EVENTS as f64,
        "",
        0.05,
        "rows written for an event, at 100 events a commit, with alarms",
    );
    let cost = parts.iter().map(|(_, cost, _)| cost).sum();
    report.at_most(
        "million_events_usd",
        cost,
        "USD",
        0.50,
        "a million events, the sum of what follows",
    );
    for (name, cost, note) in parts {
        report.row(format!("million_events_{name}_usd"), cost, "USD", note);
    }
    let gb = stored / EVENTS as f64 * 1e6 / 1e9;
    let note = "to keep a million events for a month, in the lane and in R2";
    let month = gb * (OBJECT_GB_MONTH + R2_GB_MONTH);
    report.row("million_events_month_usd", month, "USD", note);
    Ok(())
}
