//! From the sending of a deactivation to the first strict denial: somebody who is logged in is deactivated, and as
//! soon as that is acknowledged the service is asked about their session.

use super::directory::{Directory, name};
use crate::connection::{Answer, Connection, readable, request};
use crate::report::Report;
use crate::statistics::percentile;
use crate::threads::in_threads;
use crate::wire::find;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::{App, Tokens};
use portcullis_e2e::{Failure, Result};
use serde_json::json;
use std::thread::sleep;
use std::time::{Duration, Instant};
use url::Url;

/// How long after the last one the next is deactivated.
const PACE: Duration = Duration::from_millis(100);
/// What p99 should not exceed, in milliseconds.
const TARGET_MS: f64 = 50.0;

/// Somebody who is logged in.
pub struct Person {
    /// Their number among the users.
    pub number: usize,
    pub tokens: Tokens,
}

/// Who was deactivated, in milliseconds.
#[derive(Default)]
pub struct Denials {
    acknowledged: Vec<f64>,
    denied: Vec<f64>,
}

/// Logs in the people of those numbers.
pub fn log_in(directory: &Directory, numbers: std::ops::Range<usize>) -> Result<Vec<Person>> {
    let app = App::discover(&directory.stack.at)?;
    let mut numbers: Vec<usize> = numbers.collect();
    in_threads(&mut numbers, |number| {
        let tokens = app.log_in(&name(*number))?;
        Ok(vec![Person {
            number: *number,
            tokens,
        }])
    })
}

/// The strict check of somebody's session.
pub fn check(directory: &Directory, person: &Person) -> Result<Vec<u8>> {
    let url = Url::parse(&format!("{}/v1/check", directory.stack.at.service))?;
    let bearer = format!("Bearer {}", bearer::GATEWAY);
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "application/json"),
    ];
    let tokens = &person.tokens;
    let body = json!({ "subject": tokens.subject, "session": tokens.session }).to_string();
    Ok(request("POST", &url, &headers, &body))
}

/// Whether that is a denial, and not an acceptance.
pub fn is_denied(answer: &Answer) -> Result<bool> {
    let says = |verdict: &[u8]| find(&answer.body, verdict).is_some();
    match (answer.status, says(b"\"denied\""), says(b"\"active\"")) {
        (200, true, false) => Ok(true),
        (200, false, true) => Ok(false),
        _ => Err(Failure::new(format!(
            "expected a verdict, got {} with {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        ))),
    }
}

impl Denials {
    /// Deactivates each of them, at an even pace.
    pub fn round(&mut self, directory: &Directory, people: &[Person]) -> Result {
        let url = directory.at("")?;
        let mut provider = [Connection::open(url.authority())?];
        let mut gateway = [Connection::open(url.authority())?];
        let mut due = Instant::now();
        for person in people {
            let check = check(directory, person)?;
            if is_denied(&asked(&mut gateway, &check)?)? {
                return Err(Failure::new("somebody is out before their time"));
            }
            sleep(due.saturating_duration_since(Instant::now()));
            due = Instant::now() + PACE;
            let begun = Instant::now();
            let deactivate = directory.patch(person.number, "active", &false.into())?;
            let answer = asked(&mut provider, &deactivate)?;
            if answer.status != 200 {
                return Err(Failure::new(format!(
                    "expected 200, got {} with {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                )));
            }
            self.acknowledged.push(ms(begun.elapsed()));
            if !is_denied(&asked(&mut gateway, &check)?)? {
                return Err(Failure::new("somebody is in who was deactivated"));
            }
            self.denied.push(ms(begun.elapsed()));
        }
        Ok(())
    }

    pub fn report(&self, report: &mut Report) {
        let (acknowledged, denied) = (&self.acknowledged, &self.denied);
        let note = "somebody who is logged in: from the request to its acknowledgement";
        report.row(
            "acknowledged_p50_ms",
            percentile(acknowledged, 50),
            "ms",
            note,
        );
        report.row(
            "acknowledged_p99_ms",
            percentile(acknowledged, 99),
            "ms",
            "",
        );
        let note =
            "from the request to the first strict denial, asked for after the acknowledgement";
        report.row("denied_p50_ms", percentile(denied, 50), "ms", note);
        let p99 = percentile(denied, 99);
        report.at_most("denied_p99_ms", p99, "ms", TARGET_MS, "");
    }
}

/// Asks on the only connection and waits for the answer.
pub fn asked(connection: &mut [Connection; 1], request: &[u8]) -> Result<Answer> {
    let [only] = connection;
    only.send(request)?;
    loop {
        readable(connection)?;
        let [only] = connection;
        if let Some(answer) = only.read()? {
            return Ok(answer);
        }
    }
}

fn ms(length: Duration) -> f64 {
    length.as_secs_f64() * 1000.0
}
