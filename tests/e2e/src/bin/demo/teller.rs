//! Tells what happens: lines for people, or one JSON object per step for programs.

use portcullis_e2e::Failure;
use serde_json::{Value, json};
use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Numbers the steps and measures from the beginning.
pub struct Teller {
    json: bool,
    colours: bool,
    begun: Instant,
    steps: usize,
}

impl Teller {
    pub fn new(json: bool) -> Self {
        Self {
            json,
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            begun: Instant::now(),
            steps: 0,
        }
    }

    /// A step that went as it should: what happened, what it took, and what else there is to see.
    pub fn step(&mut self, what: &str, took_ms: f64, facts: &Value) {
        self.steps += 1;
        if self.json {
            let at_ms = self.begun.elapsed().as_secs_f64() * 1000.0;
            say(json!({
                "step": self.steps, "what": what, "ok": true,
                "at_ms": rounded(at_ms), "took_ms": rounded(took_ms), "facts": facts,
            }));
            return;
        }
        let took = self.dim(&format!("{took_ms:>7.1} ms"));
        say(format!(
            "{} {:>2}. {what:<64} {took}",
            self.good("ok"),
            self.steps
        ));
        for (name, value) in facts.as_object().into_iter().flatten() {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            say(format!("       {} {text}", self.dim(&format!("{name}:"))));
        }
    }

    /// Something beside the steps.
    pub fn told(&self, text: &str) {
        if !self.json {
            say(self.dim(text));
        }
    }

    /// A line under the last step.
    pub fn line(&self, text: &str) {
        if !self.json {
            say(format!("       {text}"));
        }
    }

    pub fn failed(&self, failure: &Failure) {
        if self.json {
            let step = self.steps + 1;
            say(json!({ "step": step, "ok": false, "failure": failure.to_string() }));
        } else {
            say(format!(
                "{} {:>2}. {failure}",
                self.bad("failed"),
                self.steps + 1
            ));
        }
    }

    fn good(&self, text: &str) -> String {
        self.painted("32", text)
    }

    fn bad(&self, text: &str) -> String {
        self.painted("31", text)
    }

    fn dim(&self, text: &str) -> String {
        self.painted("2", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Prints a line. That nobody reads on is no failure of a step.
fn say(line: impl Display) {
    drop(writeln!(std::io::stdout(), "{line}"));
}

/// To a tenth: more digits would only say how busy the machine is.
pub fn rounded(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}
