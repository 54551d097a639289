//! The audit log: how fast events get in, what they cost, how soon a question is answered when there are many, and how fast
//! the log is taken away and verified, by the command line and by the service.
//!
//! Questions are asked of three services side by side, each with ten times the events of the one before, so that rounds are
//! interleaved over the sizes too. Their lanes are filled on the host by the lane's own code, and are asked over HTTP.

mod cost;
mod events;
mod export;
mod ingest;
mod job;
mod lane;
mod plot;
mod query;

use crate::Options;
use crate::report::Report;
use portcullis_e2e::{Failure, Result};
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

pub const NAME: &str = "audit";

/// Events of the largest log: those of the target, and by default.
pub const FULL: u64 = 10_000_000;
pub const USUAL: u64 = 1_000_000;

pub fn measure(options: &Options) -> Result<Report> {
    let preface = format!(
        "medians of {} rounds of {} s, logs of up to {} events",
        options.rounds,
        options.seconds.as_secs_f64(),
        options.events,
    );
    let mut report = Report::new(NAME, preface);
    eprintln!("events are taken in");
    let cpu_us = ingest::measure(options, &mut report)?;
    eprintln!("what they cost is counted");
    cost::measure(&mut report, cpu_us)?;
    eprintln!("an export is written and verified");
    export::measure(options, &mut report)?;
    let (growth, largest) = query::measure(options, &mut report)?;
    plot::draw(&growth)?;
    eprintln!("the service makes exports");
    job::measure(options, &largest, &mut report)?;
    Ok(report)
}

/// An empty folder for what is measured, on a disk; `TMPDIR` says on which.
fn scratch(what: &str) -> Result<PathBuf> {
    let name = format!("portcullis-bench-{what}-{}", std::process::id());
    let directory = std::env::temp_dir().join(name);
    drop(fs::remove_dir_all(&directory));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn failed(error: impl Debug) -> Failure {
    Failure::new(format!("{error:?}"))
}
