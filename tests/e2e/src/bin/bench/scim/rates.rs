//! What was measured of one kind of request, a value per round.

use super::directory::Measured;
use crate::report::Report;
use crate::statistics::median;

/// One value per round.
#[derive(Default)]
pub struct Rates {
    per_second: Vec<f64>,
    p50_ms: Vec<f64>,
    p95_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
}

/// What is aimed at.
#[derive(Clone, Copy, Default)]
pub struct Aim {
    pub per_second: Option<f64>,
    pub p95_ms: Option<f64>,
}

impl Rates {
    pub fn push(&mut self, measured: Measured) {
        let Measured { done, cpu } = measured;
        let mut latencies = done.latencies;
        self.per_second.push(latencies.per_second(done.elapsed));
        self.p50_ms.push(latencies.percentile(50));
        self.p95_ms.push(latencies.percentile(95));
        self.p99_ms.push(latencies.percentile(99));
        self.cpu_ms.push(1000.0 / latencies.per_second(cpu));
    }

    pub fn report(&self, report: &mut Report, prefix: &str, note: &str, aim: Aim) {
        let metric = |name: &str| format!("{prefix}_{name}");
        let rate = median(&self.per_second);
        match aim.per_second {
            Some(least) => report.at_least(&metric("per_s"), rate, "1/s", least, note),
            None => report.row(metric("per_s"), rate, "1/s", note),
        }
        report.row(metric("p50_ms"), median(&self.p50_ms), "ms", "");
        let p95 = median(&self.p95_ms);
        match aim.p95_ms {
            Some(most) => report.at_most(&metric("p95_ms"), p95, "ms", most, ""),
            None => report.row(metric("p95_ms"), p95, "ms", ""),
        }
        report.row(metric("p99_ms"), median(&self.p99_ms), "ms", "");
        let note = "the stack's processor time for one, what is put off included";
        report.row(metric("cpu_ms"), median(&self.cpu_ms), "ms", note);
    }

    /// Whether there is a value at all.
    pub const fn is_measured(&self) -> bool {
        !self.per_second.is_empty()
    }

    /// The same with fewer users.
    pub fn report_growth(&self, report: &mut Report, prefix: &str, users: usize) {
        let metric = |name: &str| format!("{prefix}_{users}_{name}");
        let note = format!("with {users} users");
        report.row(metric("per_s"), median(&self.per_second), "1/s", &note);
        report.row(metric("p95_ms"), median(&self.p95_ms), "ms", "");
        report.row(metric("cpu_ms"), median(&self.cpu_ms), "ms", "");
    }

    /// How many times as many a second as there, within each round.
    pub fn median_ratio(&self, other: &Self) -> f64 {
        let rounds = self.per_second.iter().zip(&other.per_second);
        let ratios: Vec<f64> = rounds.map(|(one, other)| one / other).collect();
        median(&ratios)
    }
}
