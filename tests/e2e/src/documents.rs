//! Documents that the service fetches: of clients, of issuers of workload tokens.

use crate::Result;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What is at a path, and how often it was asked for.
type Pages = Arc<Mutex<BTreeMap<String, (String, u32)>>>;

/// A web server on loopback that ends with the process.
pub struct Documents {
    port: u16,
    pages: Pages,
}

impl Documents {
    /// An empty one.
    pub fn serve() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let pages = Pages::default();
        let served = Arc::clone(&pages);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                answer(connection, &served).ok();
            }
        });
        Ok(Self { port, pages })
    }

    /// The URL of `path`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Puts a document at `path`, made from its URL, which is returned.
    pub fn put(&self, path: &str, body: impl FnOnce(&str) -> String) -> String {
        let url = self.url(path);
        let page = (body(&url), 0);
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.insert(path.to_owned(), page);
        url
    }

    /// How often `path` was asked for.
    #[must_use]
    pub fn requests(&self, path: &str) -> u32 {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.get(path).map_or(0, |(_, requests)| *requests)
    }
}

/// Answers one request; a page that begins with `redirect` is one.
fn answer(mut connection: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let mut pages = pages.lock().unwrap_or_else(PoisonError::into_inner);
    let page = pages.get_mut(path).map(|(body, requests)| {
        *requests += 1;
        body.clone()
    });
    let (status, header, body) = match page {
        None => ("404 Not Found", String::new(), String::new()),
        Some(page) => match page.strip_prefix("redirect ") {
            Some(to) => ("302 Found", format!("location: {to}\r\n"), String::new()),
            None => ("200 OK", String::new(), page),
        },
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\n{header}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
