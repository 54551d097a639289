//! The lane's Durable Object: no rules, only the runtime's side of them.

use super::service::{LANE, LaneService};
use super::signer::LogKeyMaker;
use crate::objects::call::{answered, received};
use crate::objects::delivery::Watch;
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, new_id, now};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::id::ProducerId;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use worker::js_sys::Uint8Array;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Result, State};

/// One lane of the audit log.
#[wasm_bindgen]
pub struct Lane(Rc<Inner>);

struct Inner {
    state: State,
    service: LaneService<DurableSql>,
    watch: Watch,
}

#[wasm_bindgen]
impl Lane {
    /// As the runtime makes it.
    #[expect(clippy::needless_pass_by_value, reason = "the runtime gives it away")]
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
            watch: Watch::default(),
        }))
    }

    /// A call: [`LaneRequest`] in, its reply out; a promise of it only if there is something to wait for.
    pub fn call(&self, message: &[u8]) -> std::result::Result<JsValue, JsValue> {
        let reply = self.0.answer(message);
        if !self.0.service.is_behind() {
            return bytes(reply);
        }
        let inner = Rc::clone(&self.0);
        let watched = async move {
            let armed = inner.watch.arm(&inner.state).await;
            bytes(armed.and(reply))
        };
        Ok(future_to_promise(watched).into())
    }

    /// The alarm rings: the tree over older lines is built further.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.0.ring().await?)
    }
}

impl Inner {
    fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: LaneRequest = received(message)?;
        let producer = ProducerId::from_bytes(new_id()?);
        Ok(self.service.answer(request, now(), producer)?)
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        self.service.ready()?;
        if !self.service.is_behind() {
            self.watch.disarm(&self.state).await;
        }
        Ok(())
    }
}

fn bytes(reply: Result<Vec<u8>>) -> std::result::Result<JsValue, JsValue> {
    answered(reply).map(|bytes| Uint8Array::from(bytes.as_slice()).into())
}
