//! A small HTTP server in threads, for what the service sends requests to.

use crate::Result;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its method.
    pub method: String,
    /// Its path, with the query.
    pub path: String,
    /// Its body; bytes that are no UTF-8 are replaced.
    pub body: String,
    headers: Vec<(String, String)>,
}

impl Received {
    /// The first header of that name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let of_that_name = |(known, _): &&(String, String)| known == name;
        let header = self.headers.iter().find(of_that_name);
        header.map(|(_, value)| value.as_str())
    }
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
    /// How long to keep the asker waiting first.
    pub(crate) after: Duration,
}

/// Listens until it is dropped, each connection in a thread of its own.
pub(crate) struct Server {
    port: u16,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Answers every request with what `handle` says.
    pub(crate) fn start(
        handle: impl Fn(Received) -> Reply + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let closed = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&closed);
        let handle = Arc::new(handle);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let handle = Arc::clone(&handle);
                // One that is broken off is no matter: the sender tries again.
                thread::spawn(move || serve(stream, &*handle));
            }
        });
        Ok(Self { port, closed })
    }

    /// Its address, without a path.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is closed.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, handle: &dyn Fn(Received) -> Reply) -> Result {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let reply = handle(read(BufReader::new(stream.try_clone()?))?);
    thread::sleep(reply.after);
    write!(stream, "HTTP/1.1 {} Answer\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    let length = reply.body.len();
    write!(
        stream,
        "content-length: {length}\r\nconnection: close\r\n\r\n{}",
        reply.body
    )?;
    Ok(())
}

fn read(mut reader: impl BufRead) -> Result<Received> {
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_owned();
    let (method, path) = (word(), word());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let received = Received {
        method,
        path,
        body: String::new(),
        headers,
    };
    let mut body = Vec::new();
    if received
        .header("transfer-encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
    {
        read_chunks(&mut reader, &mut body)?;
    } else {
        let length = received.header("content-length").unwrap_or("0").parse()?;
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    Ok(Received {
        body: String::from_utf8_lossy(&body).into_owned(),
        ..received
    })
}

/// The chunked coding (RFC 9112 section 7.1) without trailers, which nobody here sends.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result {
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim_end(), 16)?;
        let from = body.len();
        body.resize(from + size, 0);
        reader.read_exact(body.get_mut(from..).unwrap_or_default())?;
        let mut end = String::new();
        reader.read_line(&mut end)?;
        if size == 0 {
            return Ok(());
        }
    }
}
