//! The lane's Durable Object: no rules, only the runtime's side of them.

use super::bucket::R2;
use super::service::{LANE, LaneService};
use super::signer::LogKeyMaker;
use crate::objects::call::{answered, received};
use crate::objects::delivery::Watch;
use crate::objects::durable_sql::DurableSql;
use crate::objects::sql::SqlError;
use crate::runtime::{config, now};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::time::UnixMillis;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use worker::js_sys::Uint8Array;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Result, State, console_error};

/// How many groups of the index are stored each time that the alarm rings. It rings every two seconds.
pub const MAX_GROUPS: u32 = 2;

/// One lane of the audit log.
#[wasm_bindgen]
pub struct Lane(Rc<Inner>);

struct Inner {
    state: State,
    env: Env,
    service: LaneService<DurableSql>,
    watch: Watch,
}

#[wasm_bindgen]
impl Lane {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let keys = config(&env).and_then(|config| {
            let origin = Origin::of_lane(&config.issuer, LANE)?;
            Some(LogKeyMaker::new(config.log_key, origin))
        });
        Self(Rc::new(Inner {
            service: LaneService::new(DurableSql::new(&state), keys),
            state,
            env,
            watch: Watch::default(),
        }))
    }

    /// A call: [`LaneRequest`] in, its reply out; a promise of it only if there is something to wait for.
    pub fn call(&self, message: &[u8]) -> std::result::Result<JsValue, JsValue> {
        let request = match received(message) {
            Ok(request) => request,
            Err(error) => return bytes(Err(error)),
        };
        let inner = Rc::clone(&self.0);
        match inner.service.waits(&request) {
            Ok(false) => {}
            Ok(true) => {
                let answered = async move { bytes(inner.answer_from(request).await) };
                return Ok(future_to_promise(answered).into());
            }
            Err(error) => return bytes(Err(error.into())),
        }
        let reply = inner.answer(request);
        let due = inner.due(reply.is_ok());
        let Some(due) = due.filter(|due| !inner.watch.rings_by(*due)) else {
            return bytes(reply);
        };
        let watched = async move {
            let armed = inner.watch.arm_for(&inner.state, due).await;
            bytes(armed.and(reply))
        };
        Ok(future_to_promise(watched).into())
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.0.ring().await?)
    }
}

impl Inner {
    fn answer(&self, request: LaneRequest) -> Result<Vec<u8>> {
        Ok(self.service.answer(request, now())?)
    }

    /// Answers what waits for the archive. But for a checkpoint it may leave something to do.
    async fn answer_from(&self, request: LaneRequest) -> Result<Vec<u8>> {
        let is_checkpoint = matches!(request, LaneRequest::Checkpoint(_));
        let bucket = R2::of(&self.env).map_err(SqlError::from)?;
        let reply = self.service.answer_from(request, &bucket, now()).await;
        if is_checkpoint {
            return Ok(reply?);
        }
        let due = self.due(reply.is_ok());
        if let Some(due) = due.filter(|due| !self.watch.rings_by(*due)) {
            self.watch.arm_for(&self.state, due).await?;
        }
        Ok(reply?)
    }

    /// Whether there is work for the alarm: a tree to build, tiles to archive, a group of the index to store, or lines that
    /// may be too old.
    fn has_work(&self) -> std::result::Result<bool, SqlError> {
        let unarchived = self.service.has_unarchived()?;
        let in_arrears = unarchived || self.service.is_behind() || self.service.is_index_due();
        Ok(in_arrears || self.service.should_prune(now())?)
    }

    /// When the alarm must ring: soon if there is work, or if it is not known what a call has left.
    fn due(&self, is_done: bool) -> Option<UnixMillis> {
        if is_done && !self.has_work().unwrap_or(true) {
            return self.next_work();
        }
        Some(Watch::soon())
    }

    /// When there will be work, if nothing else happens.
    fn next_work(&self) -> Option<UnixMillis> {
        let next = [self.service.next_work(), self.service.looks_at()];
        next.into_iter().flatten().min()
    }

    /// A part of the work that there is; the alarm is set again before, so that a crash in it is survived.
    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        if let Err(error) = self.archive().await {
            console_error!("lane {LANE}: {error}");
        }
        if let Err(error) = self.service.keep_up(now()) {
            console_error!("lane {LANE}: {error}");
        }
        if let Err(error) = self.prune().await {
            console_error!("lane {LANE}: {error}");
        }
        for _ in 0..MAX_GROUPS {
            if let Err(error) = self.service.build_group() {
                console_error!("lane {LANE}: index: {error}");
            }
        }
        // Looked at now, after every await: what came meanwhile keeps the alarm. So does what cannot be looked at.
        if let Ok(false) = self.has_work() {
            match self.next_work() {
                Some(at) => self.watch.sleep_until(&self.state, at).await,
                None => self.watch.disarm(&self.state).await,
            }
        }
        Ok(())
    }

    async fn archive(&self) -> std::result::Result<(), SqlError> {
        let bucket = R2::of(&self.env)?;
        self.service.archive_tiles(&bucket).await
    }

    async fn prune(&self) -> std::result::Result<(), SqlError> {
        let bucket = R2::of(&self.env)?;
        self.service.prune(&bucket, now()).await
    }
}

fn bytes(reply: Result<Vec<u8>>) -> std::result::Result<JsValue, JsValue> {
    answered(reply).map(|bytes| Uint8Array::from(bytes.as_slice()).into())
}
