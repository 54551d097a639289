//! Waiting for what happens soon but not at once, never longer than a deadline.

use crate::{Failure, Result};
use portcullis_core::time::UnixMillis;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How long anything asynchronous may take before it counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(15);

const PAUSE: Duration = Duration::from_millis(25);

/// Asks again and again until there is an answer.
#[track_caller]
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(format!(
                "waited {} s in vain for {what}",
                PATIENCE.as_secs()
            )));
        }
        sleep(PAUSE);
    }
}

/// As events have it. Those that are too old are not taken.
#[must_use]
pub fn now() -> UnixMillis {
    UnixMillis(unix_secs() * 1000)
}

/// Seconds since the Unix epoch.
#[must_use]
pub fn unix_secs() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
