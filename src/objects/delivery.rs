//! Getting outboxes to the lane: at once after a change, and by alarm after anything went wrong.

use super::call;
use super::outbox::Producer;
use crate::runtime::now;
use portcullis_core::audit::call::Append;
use std::cell::Cell;
use std::time::Duration;
use worker::{Env, State, console_error};

/// How long after a change the alarm looks whether everything was delivered.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The object's alarm and its deliveries, as far as this instance knows.
#[derive(Default)]
pub struct Watch {
    armed: Cell<bool>,
    delivering: Cell<bool>,
}

impl Watch {
    /// Makes sure that the alarm will ring. Before a reply goes out, this and the change that it
    /// watches over are durable.
    pub async fn arm(&self, state: &State) -> Result<(), worker::Error> {
        if self.armed.replace(true) {
            return Ok(());
        }
        let set = state.storage().set_alarm(LOOK_AGAIN).await;
        if set.is_err() {
            self.armed.set(false);
        }
        set
    }

    /// The alarm rang: sets it again before any work, so that a crash in the work is survived.
    pub async fn rang(&self, state: &State) -> Result<(), worker::Error> {
        self.armed.set(false);
        self.arm(state).await
    }

    /// Nothing is left to do: the caller has just looked, without an await since. A change that
    /// comes while the alarm is being deleted finds it unarmed and sets it again, behind the
    /// deletion.
    pub async fn disarm(&self, state: &State) {
        self.armed.set(false);
        if let Err(error) = state.storage().delete_alarm().await {
            console_error!("alarm: {error}");
        }
    }

    /// Delivers, unless another request of this instance is at it: that one goes on until nothing
    /// waits, so it takes this one's events along. The alarm does not ask here; it delivers
    /// whatever a stuck request does.
    pub async fn deliver_once(&self, env: &Env, producer: &impl Producer) {
        if !self.delivering.replace(true) {
            let _done = Done(&self.delivering);
            deliver(env, producer).await;
        }
    }
}

/// Clears the flag when a delivery ends, also one that the runtime gave up.
struct Done<'a>(&'a Cell<bool>);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Sends what waits until nothing does; says whether that was reached.
pub async fn deliver(env: &Env, producer: &impl Producer) -> bool {
    loop {
        let packs = match producer.waiting() {
            Ok(packs) if packs.is_empty() => return true,
            Ok(packs) => packs,
            Err(error) => {
                console_error!("outbox: {error}");
                return false;
            }
        };
        let append = Append {
            received: now(),
            packs: packs.clone(),
        };
        // If the answer is lost, the alarm sends the packs again and the lane knows them.
        if let Err(error) = call::lane(env, append).await {
            console_error!("delivery: {error}");
            return false;
        }
        if let Err(error) = producer.acknowledge(&packs) {
            console_error!("outbox: {error}");
            return false;
        }
    }
}
