//! The lane's Durable Object: no rules, only the runtime's side of them.

use super::service::LaneService;
use crate::objects::call::{answered, received};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{new_id, now};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::id::ProducerId;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Result, State};

/// One lane of the audit log.
#[wasm_bindgen]
pub struct Lane {
    service: LaneService<DurableSql>,
}

#[wasm_bindgen]
impl Lane {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, _env: Env) -> Self {
        Self {
            service: LaneService::new(DurableSql::new(&State::from(state))),
        }
    }

    /// A call: [`LaneRequest`] in, its reply out.
    pub fn call(&self, message: &[u8]) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(message))
    }
}

impl Lane {
    fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: LaneRequest = received(message)?;
        let producer = ProducerId::from_bytes(new_id()?);
        Ok(self.service.answer(request, now(), producer)?)
    }
}
