//! A closed loop: so many connections, each with one request under way, as fast as they are answered.
//!
//! One thread and raw sockets, so that the generator takes as little as it can of the machine that it
//! shares with what it measures. The first answers of a run are not counted: connections are new.

use crate::statistics::Latencies;
use crate::wire::{find, frame};
use portcullis_e2e::{Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 16;
const WARM_UP: Duration = Duration::from_millis(300);
/// Without an answer for so long, the run has failed.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

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
        let address = url.authority().to_owned();
        let mut request = format!("{method} {} HTTP/1.1\r\nHost: {address}\r\n", url.path());
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        if !body.is_empty() {
            let length = body.len().to_string();
            request.extend(["Content-Length: ", &length, "\r\n"]);
        }
        request.extend(["\r\n", body]);
        Ok(Self {
            address,
            request: request.into_bytes(),
            expected: expected.as_bytes().to_vec(),
        })
    }

    /// Sends for as long as told, and gives back each answer's latency and the answers a second.
    pub fn run(&self, length: Duration) -> Result<(f64, Latencies)> {
        let mut connections = (0..CONNECTIONS)
            .map(|_| Connection::open(self))
            .collect::<Result<Vec<_>>>()?;
        let counted_from = Instant::now() + WARM_UP;
        let end = counted_from + length;
        let mut latencies = Latencies::default();
        while Instant::now() < end {
            for index in readable(&connections)? {
                let Some(connection) = connections.get_mut(index) else {
                    continue;
                };
                if connection.read(self)? {
                    let now = Instant::now();
                    if now >= counted_from && now < end {
                        latencies.push(now - connection.sent);
                    }
                    connection.send(self)?;
                }
            }
        }
        Ok((latencies.per_second(length), latencies))
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    sent: Instant,
}

impl Connection {
    fn open(target: &Target) -> Result<Self> {
        let stream = TcpStream::connect(&target.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut connection = Self {
            stream,
            buffer: Vec::with_capacity(4096),
            sent: Instant::now(),
        };
        connection.send(target)?;
        Ok(connection)
    }

    fn send(&mut self, target: &Target) -> Result {
        self.sent = Instant::now();
        // A request of a few hundred bytes fits into an empty socket buffer at once.
        self.stream.write_all(&target.request)?;
        Ok(())
    }

    /// Reads what is there; whether that completes a right answer.
    fn read(&mut self, target: &Target) -> Result<bool> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => return Err(Failure::new(format!("{} hung up", target.address))),
            Ok(count) => self.buffer.extend(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        let Some(framed) = frame(&self.buffer).map_err(Failure::new)? else {
            return Ok(false);
        };
        if framed.status != 200 || find(framed.body, &target.expected).is_none() {
            return Err(Failure::new(format!(
                "expected 200 with {}, got {} with {}",
                String::from_utf8_lossy(&target.expected),
                framed.status,
                String::from_utf8_lossy(framed.body)
            )));
        }
        self.buffer.drain(..framed.length);
        Ok(true)
    }
}

/// Waits until something can be read, and says on which connections.
fn readable(connections: &[Connection]) -> Result<Vec<usize>> {
    let mut waiting: Vec<PollFd> = connections
        .iter()
        .map(|connection| PollFd::new(&connection.stream, PollFlags::IN))
        .collect();
    if poll(&mut waiting, Some(&PATIENCE))? == 0 {
        return Err(Failure::new("no answer for 10 s"));
    }
    let ready = waiting
        .iter()
        .enumerate()
        .filter(|(_, fd)| !fd.revents().is_empty());
    Ok(ready.map(|(index, _)| index).collect())
}
