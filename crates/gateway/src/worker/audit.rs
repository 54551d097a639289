//! Events, on their way to the log by the queue `AUDIT_QUEUE`.
//!
//! The isolate's events that nobody waits for are gathered by [`Packer`], which says who sends them and
//! when. A denial of somebody who is known is sent before the answer, by itself; if the queue does not take
//! it, it goes into the log by the binding `CHECKS`.

use super::checks::{self, CheckError};
use super::http::in_time;
use super::{now, sleep_ms};
use crate::packer::{Next, Packer};
use futures::channel::oneshot;
use portcullis_core::audit::event::Event;
use portcullis_core::id::ProducerId;
use std::cell::RefCell;
use std::fmt;
use worker::js_sys::Uint8Array;
use worker::{Context, Env, Queue, QueueContentType, RawMessageBuilder, console_error};

const BINDING: &str = "AUDIT_QUEUE";

thread_local! {
    static PACKER: RefCell<Option<Packer>> = const { RefCell::new(None) };
}

/// Why an event was not sent.
pub enum AuditError {
    /// There is no such queue.
    Unbound,
    /// There is no randomness to name this producer by.
    NoProducer,
    /// The event has no wire form.
    Malformed,
    /// The queue refused it.
    Refused(worker::Error),
    /// The queue took too long.
    TimedOut,
    /// Neither the queue nor the log itself took it.
    NotRecorded(CheckError),
    /// The runtime ended what sent it.
    GivenUp,
}

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unbound => write!(f, "there is no queue {BINDING}"),
            Self::NoProducer => f.write_str("no randomness"),
            Self::Malformed => f.write_str("the event cannot be encoded"),
            Self::Refused(error) => write!(f, "the queue refused it: {error}"),
            Self::TimedOut => f.write_str("the queue timed out"),
            Self::NotRecorded(error) => write!(f, "nor did the log take it: {error}"),
            Self::GivenUp => f.write_str("it was given up"),
        }
    }
}

/// The way to the log.
#[derive(Clone)]
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

    /// Sends an event by itself; once this is done it is in the queue or in the log.
    ///
    /// It goes on beside the request: a caller who hangs up has been denied all the same.
    pub async fn secure(&self, ctx: &Context, env: &Env, event: Event) -> Result<(), AuditError> {
        let (audit, env) = (self.clone(), env.clone());
        let (done, secured) = oneshot::channel();
        ctx.wait_until(async move {
            // Nobody listens if the request is over.
            let _ = done.send(audit.secured(&env, event).await);
        });
        secured.await.unwrap_or(Err(AuditError::GivenUp))
    }

    async fn secured(&self, env: &Env, event: Event) -> Result<(), AuditError> {
        let sealed = packer(|packer| packer.alone(event))?.map_err(|_| AuditError::Malformed)?;
        let Err(error) = self.send(sealed.bytes()).await else {
            return Ok(());
        };
        console_error!("a denial goes to the log directly: {error}");
        // If the queue has it after all: the same bytes are the same event, and the log takes it once.
        match checks::record(env, sealed.bytes()).await {
            Ok(()) => Ok(()),
            Err(_) => checks::record(env, sealed.bytes())
                .await
                .map_err(AuditError::NotRecorded),
        }
    }

    /// Records the refusal of a credential that proves nobody, counted with others while the answer goes
    /// out.
    pub fn count(&self, ctx: &Context, event: Event) {
        let next = packer(|packer| packer.refused(event, now()));
        if matches!(next, Ok(Next::Nothing)) {
            return;
        }
        let audit = self.clone();
        ctx.wait_until(async move { audit.carry_out(next).await });
    }

    /// Records an event, gathered with others, once the caller's status is known, or when it is clear that
    /// it never will be.
    pub fn gather_with_status(
        &self,
        ctx: &Context,
        event: impl FnOnce(Option<u16>) -> Event + 'static,
    ) -> oneshot::Sender<u16> {
        let (sender, status) = oneshot::channel();
        let audit = self.clone();
        ctx.wait_until(async move {
            let event = event(status.await.ok());
            audit
                .carry_out(packer(|packer| packer.add(event, now())))
                .await;
        });
        sender
    }

    /// Does what the packer says, until it says nothing.
    async fn carry_out(&self, next: Result<Next, AuditError>) {
        let mut sealed = match next {
            Ok(Next::Nothing) => None,
            Ok(Next::Wait(ms)) => {
                sleep_ms(ms).await;
                packer(|packer| packer.due(now())).unwrap_or_default()
            }
            Ok(Next::Send(sealed)) => Some(sealed),
            Err(error) => {
                console_error!("an event could not be recorded: {error}");
                None
            }
        };
        while let Some(pack) = sealed {
            if let Err(error) = self.send_again(pack.bytes()).await {
                console_error!("{} events could not be recorded: {error}", pack.events());
            }
            sealed = packer(|packer| packer.done(&pack, now())).unwrap_or_default();
        }
        match packer(Packer::take_dropped) {
            Ok(0) | Err(_) => {}
            Ok(dropped) => console_error!("{dropped} events were dropped: the queue is too slow"),
        }
    }

    /// Sends, twice if need be: the same bytes again are the same events, and the log takes them once.
    async fn send_again(&self, bytes: &[u8]) -> Result<(), AuditError> {
        match self.send(bytes).await {
            Ok(()) => Ok(()),
            Err(_) => self.send(bytes).await,
        }
    }

    async fn send(&self, bytes: &[u8]) -> Result<(), AuditError> {
        let queue = self.queue.as_ref().ok_or(AuditError::Unbound)?;
        // A copy in the runtime's own memory: ours may move while the queue reads.
        let message = RawMessageBuilder::new(Uint8Array::from(bytes).into())
            .build_with_content_type(QueueContentType::V8);
        let sent = in_time(queue.send_raw(message)).await;
        sent.ok_or(AuditError::TimedOut)?
            .map_err(AuditError::Refused)
    }
}

/// What the isolate's packer says. Nothing in here waits.
fn packer<T>(ask: impl FnOnce(&mut Packer) -> T) -> Result<T, AuditError> {
    PACKER.with_borrow_mut(|cell| {
        if let Some(packer) = cell {
            return Ok(ask(packer));
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| AuditError::NoProducer)?;
        Ok(ask(cell.insert(Packer::new(ProducerId::from_bytes(bytes)))))
    })
}
