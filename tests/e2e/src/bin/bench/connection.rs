//! One connection of a load generator, with at most one request under way.
//!
//! Raw sockets, so that the generator takes as little as it can of the machine that it shares with
//! what it measures.

use crate::wire::frame;
use portcullis_e2e::{Failure, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Without an answer for so long, the run has failed.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// A keep-alive connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    sent: Option<Instant>,
}

/// A whole answer.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line and header fields.
    pub head: Vec<u8>,
    /// The body; a chunked one still has its framing.
    pub body: Vec<u8>,
    /// Since its request was sent.
    pub latency: Duration,
}

impl Connection {
    /// To `host:port`.
    pub fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
            sent: None,
        })
    }

    /// Sends one whole request. The last one must have been answered.
    pub fn send(&mut self, request: &[u8]) -> Result {
        self.sent = Some(Instant::now());
        let mut rest = request;
        while !rest.is_empty() {
            match self.stream.write(rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                // A request of a few kilobytes fits into an empty socket buffer at once; this one is longer.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(
                        &mut [PollFd::new(&self.stream, PollFlags::OUT)],
                        Some(&PATIENCE),
                    )?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what is there; the answer, if that completes it.
    pub fn read(&mut self) -> Result<Option<Answer>> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(0) => {
                let since = self.sent.map(|sent| sent.elapsed().as_millis());
                return Err(Failure::new(format!(
                    "the server hung up {} ms after it was asked",
                    since.unwrap_or_default()
                )));
            }
            Ok(count) => self.buffer.extend(bytes.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let Some(framed) = frame(&self.buffer).map_err(Failure::new)? else {
            return Ok(None);
        };
        let sent = self.sent.take();
        let answer = Answer {
            status: framed.status,
            head: framed.head.to_vec(),
            body: framed.body.to_vec(),
            latency: sent.map(|sent| sent.elapsed()).unwrap_or_default(),
        };
        let length = framed.length;
        self.buffer.drain(..length);
        Ok(Some(answer))
    }
}

/// Waits until something can be read, and says on which of the connections with a request under way. A
/// server may close the others.
pub fn readable(connections: &[Connection]) -> Result<Vec<usize>> {
    let ready = readable_within(connections, &PATIENCE)?;
    if ready.is_empty() {
        return Err(Failure::new("no answer for 10 s"));
    }
    Ok(ready)
}

/// The same for so long at most; then there are none.
pub fn readable_within(connections: &[Connection], at_most: &Timespec) -> Result<Vec<usize>> {
    readable_of(connections.iter(), at_most)
}

/// The same of connections that are kept elsewhere, by their place in that order.
pub fn readable_of<'c>(
    connections: impl Iterator<Item = &'c Connection>,
    at_most: &Timespec,
) -> Result<Vec<usize>> {
    let (indices, mut waiting): (Vec<usize>, Vec<PollFd>) = connections
        .enumerate()
        .filter(|(_, connection)| connection.sent.is_some())
        .map(|(index, connection)| (index, PollFd::new(&connection.stream, PollFlags::IN)))
        .unzip();
    poll(&mut waiting, Some(at_most))?;
    let ready = indices.into_iter().zip(&waiting);
    Ok(ready
        .filter(|(_, fd)| !fd.revents().is_empty())
        .map(|(index, _)| index)
        .collect())
}

/// The bytes of a POST of bytes.
pub fn post(url: &url::Url, body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    let mut bytes = request("POST", url, &[("Content-Length", &length)], "");
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes of one request.
pub fn request(method: &str, url: &url::Url, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\n",
        &url[url::Position::BeforePath..url::Position::AfterQuery],
        url.authority()
    );
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() {
        let length = body.len().to_string();
        request.extend(["Content-Length: ", &length, "\r\n"]);
    }
    request.extend(["\r\n", body]);
    request.into_bytes()
}
