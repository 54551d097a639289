//! Events, on their way to the log by the queue `AUDIT_QUEUE`.
//!
//! Each goes in a pack of its own, as soon as it is there: an isolate may end at any time, and what
//! waits in it is gone. An isolate is one producer. Its sequence counts what it tried to send, so
//! that an event which the queue never took shows in the log as a gap.

use futures::channel::oneshot;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use worker::js_sys::Uint8Array;
use worker::{Context, Env, Queue, QueueContentType, RawMessageBuilder, console_error};

const BINDING: &str = "AUDIT_QUEUE";

thread_local! {
    static PRODUCER: OnceCell<ProducerId> = const { OnceCell::new() };
    static LAST_SEQUENCE: Cell<u64> = const { Cell::new(0) };
}

/// Why an event was not sent.
pub enum AuditError {
    /// There is no such queue.
    Unbound,
    /// There is no randomness to name this producer by.
    NoProducer,
    /// The event has no wire form.
    Malformed,
    /// The queue refused it, twice.
    Refused(worker::Error),
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound => write!(f, "there is no queue {BINDING}"),
            Self::NoProducer => f.write_str("no randomness"),
            Self::Malformed => f.write_str("the event cannot be encoded"),
            Self::Refused(error) => write!(f, "the queue refused it: {error}"),
        }
    }
}

/// The way to the log.
pub struct Audit {
    queue: Option<Queue>,
}

impl Audit {
    /// The way that this Worker is bound to.
    pub fn of(env: &Env) -> Self {
        Self {
            queue: env.queue(BINDING).ok(),
        }
    }

    /// Sends an event; once this is done the queue has it.
    pub fn send(&self, event: Event) -> impl Future<Output = Result<(), AuditError>> + use<> {
        let queue = self.queue.clone();
        async move {
            let queue = queue.ok_or(AuditError::Unbound)?;
            let pack = Pack {
                producer: producer()?,
                first_sequence: next_sequence(),
                events: vec![event],
            };
            let bytes = pack.encode().map_err(|_| AuditError::Malformed)?;
            // The same pack again is the same event: the log takes it once.
            match enqueue(&queue, &bytes).await {
                Ok(()) => Ok(()),
                Err(_) => enqueue(&queue, &bytes).await.map_err(AuditError::Refused),
            }
        }
    }

    /// Sends an event while the answer goes out.
    pub fn off_the_path(&self, ctx: &Context, event: Event) {
        let sent = self.send(event);
        ctx.wait_until(async move { log_failure(sent.await) });
    }

    /// Sends an event once the caller's status is known, or when it is clear that it never will be.
    pub fn off_the_path_with_status(
        &self,
        ctx: &Context,
        event: impl FnOnce(Option<u16>) -> Event + 'static,
    ) -> oneshot::Sender<u16> {
        let (sender, status) = oneshot::channel();
        let audit = Self {
            queue: self.queue.clone(),
        };
        ctx.wait_until(async move {
            let event = event(status.await.ok());
            log_failure(audit.send(event).await);
        });
        sender
    }
}

async fn enqueue(queue: &Queue, bytes: &[u8]) -> worker::Result<()> {
    // A copy in the runtime's own memory: ours may move while the queue reads.
    let message = RawMessageBuilder::new(Uint8Array::from(bytes).into())
        .build_with_content_type(QueueContentType::V8);
    queue.send_raw(message).await
}

fn producer() -> Result<ProducerId, AuditError> {
    PRODUCER.with(|cell| {
        if let Some(producer) = cell.get() {
            return Ok(*producer);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| AuditError::NoProducer)?;
        Ok(*cell.get_or_init(|| ProducerId::from_bytes(bytes)))
    })
}

fn next_sequence() -> u64 {
    LAST_SEQUENCE.with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
}

fn log_failure(sent: Result<(), AuditError>) {
    if let Err(error) = sent {
        console_error!("an event could not be recorded: {error}");
    }
}
