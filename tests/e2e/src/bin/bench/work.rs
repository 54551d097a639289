//! Work that is done once: each request is different, or follows from the answer to the last.

use crate::connection::{Answer, Connection, readable};
use crate::load::CONNECTIONS;
use crate::statistics::Latencies;
use portcullis_e2e::{Failure, Result};
use std::time::{Duration, Instant};

/// What it took.
pub struct Done {
    /// From the first request sent to the last answer read.
    pub elapsed: Duration,
    /// One per answer.
    pub latencies: Latencies,
}

/// Asks `next` for each connection's request, with the answer to its last one, until it has none.
pub fn work_through(
    address: &str,
    next: impl FnMut(usize, Option<&Answer>) -> Result<Option<Vec<u8>>>,
) -> Result<Done> {
    work_through_on(address, CONNECTIONS, next)
}

/// The same on so many connections.
pub fn work_through_on(
    address: &str,
    connections: usize,
    mut next: impl FnMut(usize, Option<&Answer>) -> Result<Option<Vec<u8>>>,
) -> Result<Done> {
    let mut connections = (0..connections)
        .map(|_| Connection::open(address))
        .collect::<Result<Vec<_>>>()?;
    let mut latencies = Latencies::default();
    let mut under_way = 0;
    let begun = Instant::now();
    for (index, connection) in connections.iter_mut().enumerate() {
        if let Some(request) = next(index, None)? {
            connection.send(&request)?;
            under_way += 1;
        }
    }
    while under_way > 0 {
        for index in readable(&connections)? {
            let Some(connection) = connections.get_mut(index) else {
                continue;
            };
            let Some(answer) = connection.read()? else {
                continue;
            };
            if !(200..300).contains(&answer.status) {
                return Err(Failure::new(format!(
                    "expected success, got {} with {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                )));
            }
            latencies.push(answer.latency);
            match next(index, Some(&answer))? {
                Some(request) => connection.send(&request)?,
                None => under_way -= 1,
            }
        }
    }
    Ok(Done {
        elapsed: begun.elapsed(),
        latencies,
    })
}
