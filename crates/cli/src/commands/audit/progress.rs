//! How far something is, on standard error, where a terminal shows it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two showings.
const EVERY: Duration = Duration::from_millis(200);
const WIDTH: u64 = 24;

/// Something that takes a while.
pub struct Progress {
    what: &'static str,
    all: u64,
    begun: Instant,
    begun_at: u64,
    shown: Option<Instant>,
    on: bool,
}

impl Progress {
    /// Begins, with so much done of all; `quiet` shows nothing, and neither does what is no terminal.
    pub fn new(what: &'static str, done: u64, all: u64, quiet: bool) -> Self {
        let on = !quiet && std::io::stderr().is_terminal();
        Self {
            what,
            all,
            begun: Instant::now(),
            begun_at: done,
            shown: None,
            on,
        }
    }

    /// So much is done.
    pub fn at(&mut self, done: u64) {
        if !self.on || self.shown.is_some_and(|shown| shown.elapsed() < EVERY) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = bar(
            self.what,
            done,
            self.all,
            done - self.begun_at.min(done),
            self.begun.elapsed(),
        );
        // It only helps.
        let _ = write!(std::io::stderr().lock(), "\r{line}\u{1b}[K");
    }

    /// Takes away what was shown.
    pub fn end(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\u{1b}[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

fn bar(what: &str, done: u64, all: u64, now: u64, took: Duration) -> String {
    let done = done.min(all);
    let filled = (done * WIDTH).checked_div(all).unwrap_or(WIDTH);
    let percent = (done * 100).checked_div(all).unwrap_or(100);
    let bar: String = (0..WIDTH)
        .map(|at| if at < filled { '#' } else { '.' })
        .collect();
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = now.saturating_mul(1000) / millis;
    format!("{what} [{bar}] {percent:3} %  {done} of {all}, {rate}/s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_how_much_of_what_and_how_fast() {
        assert_eq!(
            bar("verified", 50, 200, 30, Duration::from_millis(500)),
            "verified [######..................]  25 %  50 of 200, 60/s"
        );
        assert!(bar("verified", 0, 0, 0, Duration::ZERO).contains("100 %"));
        assert!(bar("verified", 9, 3, 9, Duration::ZERO).contains("3 of 3"));
    }
}
