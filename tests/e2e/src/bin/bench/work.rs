//! Work that is done once: each request is different, or follows from the answer to the last.

use crate::connection::{Answer, Connection, readable};
use crate::load::CONNECTIONS;
use crate::statistics::Latencies;
use portcullis_e2e::{Failure, Result};
use std::time::{Duration, Instant};

/// How many closed connections are too many.
const HANG_UPS: usize = 1_000;

/// What it took.
pub struct Done {
    /// From the first request sent to the last answer read.
    pub elapsed: Duration,
    /// One per answer.
    pub latencies: Latencies,
    /// How many connections were closed with a request under way.
    pub hung_up: usize,
}

/// Asks `next` for each connection's request, with the answer to its last one, until it has none.
pub fn work_through(
    address: &str,
    next: impl FnMut(usize, Option<&Answer>) -> Result<Option<Vec<u8>>>,
) -> Result<Done> {
    work_through_on(address, CONNECTIONS, next)
}

/// The same on so many connections. A connection that the server has closed is opened again, and asked the same again,
/// up to [`HANG_UPS`] times in all: the latency then counts from the second time, and `hung_up` says how often that was.
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
    let mut hung_up = 0;
    let mut last: Vec<Vec<u8>> = vec![Vec::new(); connections.len()];
    let begun = Instant::now();
    for (index, connection) in connections.iter_mut().enumerate() {
        if let Some(request) = next(index, None)? {
            connection.send(&request)?;
            under_way += 1;
            if let Some(last) = last.get_mut(index) {
                *last = request;
            }
        }
    }
    while under_way > 0 {
        for index in readable(&connections)? {
            let (Some(connection), Some(last)) = (connections.get_mut(index), last.get_mut(index))
            else {
                continue;
            };
            let read = match connection.read() {
                Err(_) if hung_up < HANG_UPS => {
                    hung_up += 1;
                    *connection = Connection::open(address)?;
                    connection.send(last)?;
                    None
                }
                read => read?,
            };
            let Some(answer) = read else {
                continue;
            };
            // What was asked twice may have been done the first time: a conflict is for `next` to judge.
            if !(200..300).contains(&answer.status) && answer.status != 409 {
                return Err(Failure::new(format!(
                    "expected success, got {} with {}",
                    answer.status,
                    String::from_utf8_lossy(&answer.body)
                )));
            }
            latencies.push(answer.latency);
            match next(index, Some(&answer))? {
                Some(request) => {
                    connection.send(&request)?;
                    *last = request;
                }
                None => under_way -= 1,
            }
        }
    }
    Ok(Done {
        elapsed: begun.elapsed(),
        latencies,
        hung_up,
    })
}
