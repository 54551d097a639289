//! A gateway's bounded check alone, in wasm in the same runtime: what it takes of the processor with few and
//! with a million live revocations, and how much memory those take.

use crate::report::Report;
use crate::statistics::median;
use portcullis_e2e::failure::expect_eq;
use portcullis_e2e::http::Request;
use portcullis_e2e::stack::Endpoints;
use portcullis_e2e::{Failure, Result};
use std::time::Instant;

const FEW: u32 = 1000;
const MANY: u32 = 1_000_000;
/// How many checks a measurement makes.
const CHECKS: u32 = 200_000;
/// What a check may take, and what a million live revocations may.
const TARGET_US: f64 = 10.0;
const TARGET_MB: f64 = 24.0;

/// One value per round.
#[derive(Default)]
pub struct Figures {
    few_us: Vec<f64>,
    many_us: Vec<f64>,
    recall_us: Vec<f64>,
    memory_mb: Vec<f64>,
}

impl Figures {
    /// Once each.
    pub fn round(&mut self, at: &Endpoints) -> Result {
        number(at, "view/fill", FEW)?;
        let before = number(at, "memory", 0)?;
        self.few_us.push(micros(at, "view/check")?);
        self.recall_us.push(micros(at, "view/recall")?);
        number(at, "view/fill", MANY)?;
        let grown = number(at, "memory", 0)? - before;
        self.many_us.push(micros(at, "view/check")?);
        // What it was given once, a module keeps: only the first round sees it grow.
        if grown > 0.0 {
            self.memory_mb = vec![grown / 1e6];
        }
        Ok(())
    }

    /// By how much the module grew was seen by those.
    pub fn grown_as(&mut self, first: &Self) {
        self.memory_mb.clone_from(&first.memory_mb);
    }

    pub fn report(&self, report: &mut Report) {
        let note = "a token recalled and judged, 1,000 live revocations";
        let below = |report: &mut Report, metric: &str, values: &[f64], note: &str| {
            report.below(metric, median(values), "us", TARGET_US, note);
        };
        below(report, "bounded_check_1k_us", &self.few_us, note);
        let note = "the same with 1,000,000";
        below(report, "bounded_check_1m_us", &self.many_us, note);
        let note = "of which the token is recalled";
        report.row("recall_us", median(&self.recall_us), "us", note);
        let note = "what the module's memory grew by for 1,000,000";
        report.below("view_1m_mb", median(&self.memory_mb), "MB", TARGET_MB, note);
    }
}

/// How long one of many checks takes, seen from outside: no clock runs in there.
fn micros(at: &Endpoints, path: &str) -> Result<f64> {
    let time = |count: u32| {
        let begun = Instant::now();
        let done = number(at, path, count)?;
        let taken = begun.elapsed();
        expect_eq(path, &done.to_string(), &count.to_string())?;
        Ok::<_, Failure>(taken)
    };
    let way_there = time(0)?;
    let taken = time(CHECKS)?.saturating_sub(way_there);
    Ok(taken.as_secs_f64() * 1e6 / f64::from(CHECKS))
}

fn number(at: &Endpoints, path: &str, count: u32) -> Result<f64> {
    let answer = Request::get(format!("{}/{path}?count={count}", at.wasm)).send()?;
    let answer = answer.expect(200)?;
    match answer.body.parse() {
        Ok(number) => Ok(number),
        Err(_) => Err(answer.unexpected("a number")),
    }
}
