//! Sends commands to subjects, several at a time, until all have committed what they were told.
//!
//! One runner walks at a time, begun by whatever request left something behind, or by the alarm. A request
//! sends by itself what it waits for, and the runner makes room for it meanwhile.

use super::command::Pending;
use super::delivery::{Pace, Walk};
use super::service::DirectoryService;
use crate::objects::call::{CallError, subject_request};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{now, sleep_ms};
use futures::stream::{FuturesUnordered, StreamExt};
use portcullis_core::id::SubjectKey;
use portcullis_core::session::call::SubjectRequest;
use portcullis_core::session::provision::ProvisionReply;
use portcullis_core::session::reactivate::ReactivateReply;
use portcullis_core::session::revoke::RevokeReply;
use portcullis_core::time::UnixMillis;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use worker::{Env, Error, Result, console_error};

/// A runner that has not got on for so long is taken for lost: the runtime may give up on it unseen.
const LOST_AFTER_MS: u64 = 5_000;
/// How long one runs. Then the alarm begins the next.
const RUNS_FOR_MS: u64 = 20_000;

/// What carries commands to subjects, for one instance of a directory.
pub struct Runner {
    env: Env,
    connection: String,
    service: Rc<DirectoryService<DurableSql>>,
    /// Which runner is at it, and when it last got on.
    current: Cell<(u64, Option<UnixMillis>)>,
    in_hand: RefCell<Vec<SubjectKey>>,
    pace: Cell<Pace>,
}

/// Subjects that a request waits for, as long as it is held.
pub struct InHand<'a> {
    all: &'a RefCell<Vec<SubjectKey>>,
    of_request: Vec<SubjectKey>,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut all = self.all.borrow_mut();
        for subject in &self.of_request {
            // Another request may have the same one in hand, too.
            if let Some(at) = all.iter().position(|one| one == subject) {
                all.swap_remove(at);
            }
        }
    }
}

impl Runner {
    /// One that does nothing yet.
    pub fn new(env: Env, connection: String, service: Rc<DirectoryService<DurableSql>>) -> Self {
        Self {
            env,
            connection,
            service,
            current: Cell::new((0, None)),
            in_hand: RefCell::default(),
            pace: Cell::default(),
        }
    }

    /// Notes that a request sends these by itself.
    pub fn takes_in_hand(&self, pending: &[Pending]) -> InHand<'_> {
        let of_request: Vec<SubjectKey> = pending.iter().map(|one| one.subject).collect();
        self.in_hand.borrow_mut().extend(&of_request);
        InHand {
            all: &self.in_hand,
            of_request,
        }
    }

    fn is_in_hand(&self, subject: &SubjectKey) -> bool {
        self.in_hand.borrow().contains(subject)
    }

    /// Whether one is at it that is not lost.
    pub fn is_running(&self) -> bool {
        let got_on = self.current.get().1;
        got_on.is_some_and(|at| now().0.saturating_sub(at.0) < LOST_AFTER_MS)
    }

    /// Sends what may be sent until nothing more may, or for a while, unless another is at it.
    pub async fn run(&self) {
        if self.is_running() {
            return;
        }
        let me = self.current.get().0 + 1;
        let until = UnixMillis(now().0 + RUNS_FOR_MS);
        if let Err(error) = self.walk(me, until).await {
            console_error!("directory: {error}");
        }
        if self.current.get().0 == me {
            self.current.set((me, None));
        }
    }

    async fn walk(&self, me: u64, until: UnixMillis) -> Result<()> {
        self.current.set((me, Some(now())));
        let mut walk = Walk::default();
        let mut sent = FuturesUnordered::new();
        let mut failures = 0u32;
        loop {
            let goes_on = self.current.get().0 == me && now() < until;
            while goes_on && sent.len() < self.at_once() {
                let Some(pending) = walk.next(&self.service, |of| self.is_in_hand(of), now())?
                else {
                    break;
                };
                sent.push(async move {
                    // Whoever asks meanwhile is answered: a row of calls leaves the runtime no time to look.
                    sleep_ms(0).await;
                    let begun = now();
                    let outcome = self.send(&pending).await;
                    let took_ms = now().0.saturating_sub(begun.0);
                    self.pace.set(self.pace.get().after(took_ms));
                    (pending, outcome)
                });
            }
            let Some((pending, outcome)) = sent.next().await else {
                if !(goes_on && walk.leads_on()) {
                    break;
                }
                walk = Walk::default();
                continue;
            };
            match outcome {
                Ok(()) => {
                    self.service.confirm(pending.version, now())?;
                    walk.confirmed(&pending);
                }
                Err(error) => {
                    if failures == 0 {
                        console_error!("directory: {error}");
                    }
                    failures += 1;
                    self.service.failed(pending.version, now())?;
                }
            }
            if self.current.get().0 == me {
                self.current.set((me, Some(now())));
            }
        }
        if failures > 1 {
            console_error!("directory: {failures} commands failed and are tried again");
        }
        Ok(())
    }

    fn at_once(&self) -> usize {
        let pace = self.pace.get();
        pace.at_once(!self.in_hand.borrow().is_empty())
    }

    /// Sends a command to its subject, which has committed it when this is done.
    pub async fn send(&self, pending: &Pending) -> Result<()> {
        for request in self.service.requests(pending, &self.connection)? {
            let sent = self.send_one(pending, request).await;
            sent.map_err(|error| Error::RustError(error.to_string()))?;
        }
        Ok(())
    }

    async fn send_one(
        &self,
        pending: &Pending,
        request: SubjectRequest,
    ) -> std::result::Result<(), CallError> {
        let (env, subject) = (&self.env, pending.subject);
        match request {
            SubjectRequest::Reactivate(_) => {
                subject_request::<ReactivateReply>(env, subject, Vec::new(), request)
                    .await
                    .map(drop)
            }
            SubjectRequest::Provision(_) => {
                subject_request::<ProvisionReply>(env, subject, Vec::new(), request)
                    .await
                    .map(drop)
            }
            _ => subject_request::<RevokeReply>(env, subject, Vec::new(), request)
                .await
                .map(drop),
        }
    }
}
