//! Getting outboxes to the lane: at once after a change, and by alarm after anything went wrong.

use super::call;
use super::outbox::Producer;
use crate::letters;
use crate::runtime::now;
use portcullis_core::audit::call::Append;
use portcullis_core::time::UnixMillis;
use std::cell::Cell;
use std::time::Duration;
use worker::{Delay, Env, State, console_error};

/// How long after a change the alarm looks whether everything was delivered.
const LOOK_AGAIN_MS: u64 = 2000;
/// How long events that nobody waits for are gathered. Half of what a refresh costs is the delivery of
/// its one event.
const GATHER: Duration = Duration::from_millis(250);

/// The object's alarm and its deliveries, as far as this instance knows.
#[derive(Default)]
pub struct Watch {
    /// When the alarm will ring, if this instance has set it.
    rings_at: Cell<Option<UnixMillis>>,
    gathering: Cell<bool>,
    delivering: Cell<bool>,
}

impl Watch {
    /// Makes sure that the alarm will ring soon. Before a reply goes out, this and the change that it
    /// watches over are durable.
    pub async fn arm(&self, state: &State) -> Result<(), worker::Error> {
        self.arm_for(state, Self::soon()).await
    }

    /// The same for work that is due at `due`. Whoever arms knows of all the work that there is, so that an alarm which
    /// an earlier instance has set may be replaced.
    pub async fn arm_for(&self, state: &State, due: UnixMillis) -> Result<(), worker::Error> {
        if self.rings_by(due) {
            return Ok(());
        }
        self.set(state, due).await
    }

    /// Whether this instance knows that the alarm will have rung by `due`.
    pub fn rings_by(&self, due: UnixMillis) -> bool {
        self.rings_at.get().is_some_and(|at| at <= due)
    }

    /// When an alarm rings for what should be done already.
    pub fn soon() -> UnixMillis {
        UnixMillis(now().0 + LOOK_AGAIN_MS)
    }

    /// The alarm rang: sets it again before any work, so that a crash in the work is survived.
    pub async fn rang(&self, state: &State) -> Result<(), worker::Error> {
        self.rings_at.set(None);
        self.arm(state).await
    }

    /// Nothing is left to do: the caller has just looked, without an await since. A change that
    /// comes while the alarm is being deleted finds it unarmed and sets it again, behind the
    /// deletion.
    pub async fn disarm(&self, state: &State) {
        self.rings_at.set(None);
        if let Err(error) = state.storage().delete_alarm().await {
            console_error!("alarm: {error}");
        }
    }

    /// Nothing is left to do before `at`: the caller has just looked, without an await since. Never
    /// sooner than the alarm would ring anyway: what is due and cannot be done must not keep an
    /// object busy. A change that comes meanwhile finds the alarm too far away and sets it again,
    /// behind this.
    pub async fn sleep_until(&self, state: &State, at: UnixMillis) {
        let at = at.max(UnixMillis(now().0 + LOOK_AGAIN_MS));
        if let Err(error) = self.set(state, at).await {
            console_error!("alarm: {error}");
        }
    }

    /// Has the alarm ring at `at`, or at once if that was.
    pub async fn ring_at(&self, state: &State, at: UnixMillis) -> Result<(), worker::Error> {
        if self.rings_at.get().is_some_and(|set| set <= at) {
            return Ok(());
        }
        self.set(state, at).await
    }

    async fn set(&self, state: &State, at: UnixMillis) -> Result<(), worker::Error> {
        self.rings_at.set(Some(at));
        let from_now = Duration::from_millis(at.0.saturating_sub(now().0));
        let set = state.storage().set_alarm(from_now).await;
        if set.is_err() {
            self.rings_at.set(None);
        }
        set
    }

    /// Waits a little, so that the next request's events go along; says whether to go on. `false` at
    /// once if another request is gathering: it takes this one's along.
    pub async fn gather(&self) -> bool {
        if self.gathering.replace(true) {
            return false;
        }
        let _done = Done(&self.gathering);
        Delay::from(GATHER).await;
        true
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

/// Clears a flag when what it stands for ends, also if the runtime gave it up.
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
        let delivered = match call::lane(env, append).await {
            Ok(appended) => letters::keep_set_aside(env, &packs, &appended.set_aside).await,
            Err(error) => Err(error),
        };
        if let Err(error) = delivered {
            console_error!("delivery: {error}");
            return false;
        }
        if let Err(error) = producer.acknowledge(&packs) {
            console_error!("outbox: {error}");
            return false;
        }
    }
}
