//! A closed loop: so many connections, each with one request under way, as fast as they are answered.
//!
//! One thread. The first answers of a run are not counted: connections are new.

use crate::connection::{Answer, Connection, readable, request};
use crate::statistics::Latencies;
use crate::wire::find;
use portcullis_e2e::{Failure, Result};
use std::time::{Duration, Instant};

/// How many connections every closed loop uses.
pub const CONNECTIONS: usize = 16;
/// What is not counted at the beginning of a run.
pub const WARM_UP: Duration = Duration::from_millis(300);

/// What to send, and how to know a right answer.
pub struct Target {
    /// `host:port`.
    address: String,
    /// One whole request.
    request: Vec<u8>,
    /// What the body of a right answer contains.
    expected: Vec<u8>,
}

impl Target {
    /// `method` to `url` with these headers and this body.
    pub fn new(
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
        expected: &str,
    ) -> Result<Self> {
        let url = url::Url::parse(url)?;
        Ok(Self {
            address: url.authority().to_owned(),
            request: request(method, &url, headers, body),
            expected: expected.as_bytes().to_vec(),
        })
    }

    /// Sends for as long as told, and gives back each answer's latency and the answers a second.
    pub fn run(&self, length: Duration) -> Result<(f64, Latencies)> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let mut connection = self.connect()?;
            connection.send(&self.request)?;
            connections.push(connection);
        }
        let counted_from = Instant::now() + WARM_UP;
        let end = counted_from + length;
        let mut latencies = Latencies::default();
        while Instant::now() < end {
            for index in readable(&connections)? {
                let Some(connection) = connections.get_mut(index) else {
                    continue;
                };
                if let Some(answer) = connection.read()? {
                    self.expect(&answer)?;
                    let now = Instant::now();
                    if now >= counted_from && now < end {
                        latencies.push(answer.latency);
                    }
                    connection.send(&self.request)?;
                }
            }
        }
        Ok((latencies.per_second(length), latencies))
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A new connection to it.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(&self.address)
    }

    /// What to send.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Fails unless that is the right answer.
    pub fn expect(&self, answer: &Answer) -> Result {
        if answer.status == 200 && find(&answer.body, &self.expected).is_some() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "expected 200 with {}, got {} with {}",
            String::from_utf8_lossy(&self.expected),
            answer.status,
            String::from_utf8_lossy(&answer.body)
        )))
    }
}
