//! What is being done and how long it has taken, on stderr; stdout belongs to what is being run.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Announces `what`, does it, and says how long it took.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    eprintln!("== {what}");
    let started = Instant::now();
    let result = work();
    let verdict = if result.is_ok() { "done" } else { "FAILED" };
    eprintln!("== {what}: {verdict} in {}", seconds(started.elapsed()));
    result
}

pub fn note(text: &str) {
    eprintln!("   {text}");
}

fn seconds(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0..60 => format!("{:.1} s", elapsed.as_secs_f64()),
        long => format!("{} min {:02} s", long / 60, long % 60),
    }
}
