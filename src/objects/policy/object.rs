//! The policy's Durable Object: no rules, only the runtime's side of them.

use super::service::PolicyService;
use crate::objects::call::{answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::objects::feed_delivery::tell;
use crate::runtime::{new_id, now};
use portcullis_core::id::ProducerId;
use portcullis_core::policy::call::PolicyRequest;
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Result, State};

/// The policy of this deployment; there is one.
#[wasm_bindgen]
pub struct Policy {
    state: State,
    env: Env,
    service: Rc<PolicyService<DurableSql>>,
    watch: Rc<Watch>,
    looked_for_leftovers: Cell<bool>,
}

#[wasm_bindgen]
impl Policy {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let service = Rc::new(PolicyService::new(DurableSql::new(&state)));
        Self {
            state,
            env,
            service,
            watch: Rc::default(),
            looked_for_leftovers: Cell::new(false),
        }
    }

    /// A call: [`PolicyRequest`] in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.ring().await?)
    }
}

impl Policy {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: PolicyRequest = received(message)?;
        let producer = ProducerId::from_bytes(new_id()?);
        // No await from here to the commit: what is read is what is decided on.
        let answer = self.service.answer(request, now(), producer)?;
        // What an instance before this one left undone is sent too.
        if answer.changed || !self.looked_for_leftovers.replace(true) {
            self.send_events().await?;
        }
        Ok(answer.bytes)
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        tell(&self.env, &*self.service).await;
        deliver(&self.env, &*self.service).await;
        // Looked at now, after every await: what came meanwhile keeps the alarm.
        if self.service.is_settled()? {
            self.watch.disarm(&self.state).await;
        }
        Ok(())
    }

    /// Sends what is in the outbox without making the caller wait, under the alarm's watch.
    async fn send_events(&self) -> Result<()> {
        if self.service.is_settled()? {
            return Ok(());
        }
        self.watch.arm(&self.state).await?;
        let (env, service) = (self.env.clone(), Rc::clone(&self.service));
        let watch = Rc::clone(&self.watch);
        self.state.wait_until(async move {
            tell(&env, &*service).await;
            watch.deliver_once(&env, &*service).await;
        });
        Ok(())
    }
}
