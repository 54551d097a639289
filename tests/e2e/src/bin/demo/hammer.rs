//! Requests without pause, to see what passes across a kill.

use portcullis_e2e::http::Request;
use portcullis_e2e::{Failure, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Instant;

const THREADS: usize = 2;

/// A hammer at work.
pub struct Hammer {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Vec<Blow>>>>,
}

/// One request.
struct Blow {
    begun: Instant,
    answered: Instant,
    status: u16,
}

/// What came of all of them, seen from the moment the kill was acknowledged.
pub struct Outcome {
    /// Requests sent.
    pub sent: usize,
    /// Of those, passed.
    pub passed: usize,
    /// Begun after the acknowledgement.
    pub begun_after: usize,
    /// Begun after the acknowledgement, and passed: must be none.
    pub passed_after: usize,
    /// From the acknowledgement to the first refusal of a request begun after it, in milliseconds.
    pub first_denial_ms: f64,
}

impl Hammer {
    /// Begins to send GET requests to `url` with `bearer`.
    pub fn start(url: &str, bearer: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS).map(|_| {
            let (stop, url, bearer) = (Arc::clone(&stop), url.to_owned(), bearer.to_owned());
            spawn(move || swing(&stop, &url, &bearer))
        });
        Self {
            threads: threads.collect(),
            stop,
        }
    }

    /// Ends it, and judges by when the kill was acknowledged.
    pub fn stop(self, acknowledged: Instant) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let mut blows = Vec::new();
        for thread in self.threads {
            let swung = thread.join().map_err(|_| Failure::new("a hammer broke"))?;
            blows.extend(swung?);
        }
        let unexpected = blows.iter().find(|blow| !matches!(blow.status, 200 | 401));
        if let Some(blow) = unexpected {
            return Err(Failure::new(format!(
                "expected 200 or 401 under load, got {}",
                blow.status
            )));
        }
        let passed = |blow: &&Blow| blow.status == 200;
        let after = |blow: &&Blow| blow.begun >= acknowledged;
        let first_denial = blows
            .iter()
            .filter(after)
            .filter(|blow| blow.status == 401)
            .map(|blow| blow.answered)
            .min()
            .ok_or_else(|| Failure::new("no request was sent after the acknowledgement"))?;
        Ok(Outcome {
            sent: blows.len(),
            passed: blows.iter().filter(passed).count(),
            begun_after: blows.iter().filter(after).count(),
            passed_after: blows.iter().filter(after).filter(passed).count(),
            first_denial_ms: (first_denial - acknowledged).as_secs_f64() * 1000.0,
        })
    }
}

fn swing(stop: &AtomicBool, url: &str, bearer: &str) -> Result<Vec<Blow>> {
    let mut blows = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let status = Request::get(url).bearer(bearer).send()?.status;
        blows.push(Blow {
            begun,
            answered: Instant::now(),
            status,
        });
    }
    Ok(blows)
}
