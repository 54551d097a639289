//! A client's back channel: takes logout tokens in and answers as it is told to.

use crate::Result;
use crate::wait::until;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Listens until it is dropped.
pub struct Receiver {
    /// Where.
    pub uri: String,
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    status: AtomicU16,
    closed: AtomicBool,
    forms: Mutex<Vec<String>>,
}

impl Receiver {
    /// One that answers every request with this status.
    pub fn answering(status: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            status: AtomicU16::new(status),
            closed: AtomicBool::new(false),
            forms: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if theirs.closed.load(Ordering::SeqCst) {
                    return;
                }
                // One that is broken off is no matter: the sender tries again.
                let _ = theirs.serve(stream);
            }
        });
        Ok(Self {
            uri: format!("http://127.0.0.1:{port}/logout"),
            port,
            shared,
        })
    }

    /// From now on another status.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// The logout tokens that came, oldest first.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        let forms = self.shared.forms.lock();
        let forms = forms.unwrap_or_else(PoisonError::into_inner);
        let token = |form: &String| {
            url::form_urlencoded::parse(form.as_bytes())
                .find(|(name, _)| name == "logout_token")
                .map(|(_, value)| value.into_owned())
        };
        forms.iter().filter_map(token).collect()
    }

    /// Waits until this many have come.
    #[track_caller]
    pub fn expect(&self, count: usize) -> Result<Vec<String>> {
        until(&format!("{count} logout tokens"), || {
            let tokens = self.tokens();
            Ok((tokens.len() >= count).then_some(tokens))
        })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is closed.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> Result {
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let form = String::from_utf8_lossy(&body).into_owned();
        let forms = self.forms.lock();
        forms.unwrap_or_else(PoisonError::into_inner).push(form);
        let status = self.status.load(Ordering::SeqCst);
        write!(
            stream,
            "HTTP/1.1 {status} Answer\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        Ok(())
    }
}
