//! Events into one lane: by the binding that gateways have, and by their queue.
//!
//! Packs come to the runtime over HTTP, to a Worker that hands them over as a gateway does (`bench/audit.mjs`). What is counted is in
//! the log: by the binding, when it is answered; by the queue, when the log's newest line says so. State is in memory, as in the
//! measurement of SCIM: each pack by the binding is a commit of its own, and waits for a disk that others use.

use super::events::{A_PACK, Gateways};
use super::failed;
use super::lane::last_index;
use crate::Options;
use crate::connection::post;
use crate::cpu;
use crate::report::Report;
use crate::statistics::median;
use crate::work::work_through_on;
use portcullis_core::time::UnixMillis;
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::{Failure, Result};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use url::Url;

/// How many packs are under way at once.
const AT_ONCE: usize = 8;
/// So many packs go to the queue for each second of a round: twice what the target asks for.
const QUEUED_A_SECOND: f64 = 200.0;
/// How long the log may take for what the queue has.
const PATIENCE: Duration = Duration::from_mins(2);

struct Lane {
    stack: Stack,
    gateways: Gateways,
    /// How many events were handed over.
    sent: u64,
    /// How many lines there were besides, and how often it was asked.
    others: u64,
}

/// What a round came to.
struct Round {
    per_second: f64,
    cpu_us: f64,
}

/// Measures, reports, and says how much processor time an event takes by the queue, in microseconds.
pub fn measure(options: &Options, report: &mut Report) -> Result<f64> {
    let stack = Stack::start_with(&Settings {
        bench: true,
        in_memory: true,
        ..Settings::default()
    })?;
    let others = last_index(&stack.at.service)?.map_or(0, |index| index + 1) + 1;
    let mut lane = Lane {
        stack,
        gateways: Gateways::new(3),
        sent: 0,
        others,
    };
    let (mut recorded, mut queued) = (Vec::new(), Vec::new());
    for round in 0..=options.rounds {
        match round {
            0 => eprintln!("warming up"),
            round => eprintln!("round {round} of {}", options.rounds),
        }
        let by_binding = lane.record(options.seconds)?;
        let by_queue = lane.queue(options.seconds)?;
        if round > 0 {
            recorded.push(by_binding);
            queued.push(by_queue);
        }
    }
    let median_of = |rounds: &[Round], of: fn(&Round) -> f64| {
        median(&rounds.iter().map(of).collect::<Vec<_>>())
    };
    report.at_least(
        "ingest_per_s",
        median_of(&recorded, |round| round.per_second),
        "1/s",
        10_000.0,
        "events into one lane by the binding, 100 a pack and a commit, from 20 gateways",
    );
    report.row(
        "ingest_queue_per_s",
        median_of(&queued, |round| round.per_second),
        "1/s",
        "the same by the local queue, from the first pack sent to the last in the log",
    );
    for (name, rounds) in [("ingest", &recorded), ("ingest_queue", &queued)] {
        let cpu = median_of(rounds, |round| round.cpu_us);
        let note = "processor time of an event: of every process of the stack";
        report.row(format!("{name}_cpu_us"), cpu, "us", note);
    }
    Ok(median_of(&queued, |round| round.cpu_us))
}

impl Lane {
    fn record(&mut self, length: Duration) -> Result<Round> {
        let end = Instant::now() + length;
        self.round("/record", |_| Instant::now() < end)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand"
    )]
    fn queue(&mut self, length: Duration) -> Result<Round> {
        let packs = (length.as_secs_f64() * QUEUED_A_SECOND) as u64;
        self.round("/queue", |sent| sent < packs)
    }

    /// Sends packs as long as `goes_on` says, and waits until all are in the log.
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    fn round(&mut self, path: &str, goes_on: impl Fn(u64) -> bool) -> Result<Round> {
        let group = self.stack.group();
        let group = group.ok_or_else(|| Failure::new("the stack does not run"))?;
        cpu::come_to_rest(group)?;
        let before = cpu::of_group(group)?;
        let url = Url::parse(&format!("{}{path}", self.stack.at.packs))?;
        let begun = Instant::now();
        let mut packs = 0;
        work_through_on(url.authority(), AT_ONCE, |_, _| {
            if !goes_on(packs) {
                return Ok(None);
            }
            packs += 1;
            let now = now();
            let pack = self.gateways.pack(|_| now).encode().map_err(failed)?;
            Ok(Some(post(&url, &pack)))
        })?;
        let events = packs * A_PACK;
        self.sent += events;
        let sent = begun.elapsed();
        // By the binding it is a recount: what was answered is there.
        let in_log = self.all_in(begun)?;
        let elapsed = if path == "/queue" { in_log } else { sent };
        let cpu = cpu::of_group(group)?.saturating_sub(before);
        Ok(Round {
            per_second: events as f64 / elapsed.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / events as f64,
        })
    }

    /// Waits until the log has all that was sent, and says how long that took since `begun`.
    fn all_in(&mut self, begun: Instant) -> Result<Duration> {
        let since = Instant::now();
        loop {
            let lines = last_index(&self.stack.at.service)?.map_or(0, |index| index + 1);
            let expected = self.sent + self.others;
            self.others += 1; // that was asked
            if lines >= expected {
                expect_eq("lines in the log", &lines, &expected)?;
                return Ok(begun.elapsed());
            }
            if since.elapsed() > PATIENCE {
                return Err(Failure::new(format!(
                    "{lines} lines of {expected} are in the log"
                )));
            }
            sleep(Duration::from_millis(20));
        }
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or_default())
}
