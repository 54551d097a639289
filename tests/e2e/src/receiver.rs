//! A client's back channel: takes logout tokens in and answers as it is told to.

use crate::Result;
use crate::server::{Reply, Server};
use crate::wait::until;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Listens until it is dropped.
pub struct Receiver {
    /// Where.
    pub uri: String,
    shared: Arc<Shared>,
    _server: Server,
}

struct Shared {
    status: AtomicU16,
    forms: Mutex<Vec<String>>,
}

impl Receiver {
    /// One that answers every request with this status.
    pub fn answering(status: u16) -> Result<Self> {
        let shared = Arc::new(Shared {
            status: AtomicU16::new(status),
            forms: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        let server = Server::start(move |request| {
            let forms = theirs.forms.lock();
            forms
                .unwrap_or_else(PoisonError::into_inner)
                .push(request.body);
            Reply {
                status: theirs.status.load(Ordering::SeqCst),
                headers: vec![("location", "/elsewhere".to_owned())],
                ..Reply::default()
            }
        })?;
        Ok(Self {
            uri: format!("{}/logout", server.base()),
            shared,
            _server: server,
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
