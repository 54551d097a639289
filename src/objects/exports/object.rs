//! The exports' Durable Object: no rules, only the runtime's side of them. Its alarm does the work.

use super::bucket::R2;
use super::service::ExportsService;
use super::work::Source;
use crate::objects::call::{self, answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, now};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::wire::Call;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Error, Result, State, console_error};

/// How long a ring of the alarm goes on working before the next one does.
const A_RING_MS: u64 = 10_000;

/// Exports of the audit log.
#[wasm_bindgen]
pub struct Exports {
    state: State,
    env: Env,
    /// `None` while the configuration is invalid: then nothing is answered.
    service: Option<ExportsService<DurableSql>>,
    watch: Watch,
}

#[wasm_bindgen]
impl Exports {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let service = config(&env)
            .map(|config| ExportsService::new(DurableSql::new(&state), config.issuer.clone()));
        Self {
            state,
            env,
            service,
            watch: Watch::default(),
        }
    }

    /// A call: `ExportsRequest` in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.ring().await?)
    }
}

struct Lane<'a>(&'a Env);

impl Source for Lane<'_> {
    async fn ask<C: Call<Request = LaneRequest>>(
        &self,
        call: C,
    ) -> std::result::Result<C::Reply, String> {
        let reply = call::lane(self.0, call).await;
        reply.map_err(|error| error.to_string())
    }
}

impl Exports {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request = received(message)?;
        let service = self.service.as_ref();
        let service = service.ok_or_else(|| Error::from("not configured"))?;
        let answer = service.answer(request, now())?;
        if answer.changed {
            self.watch.ring_at(&self.state, now()).await?;
        }
        Ok(answer.bytes)
    }

    /// A part of the work that there is; the alarm is set again before, so that a crash in it is survived.
    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        let Some(service) = &self.service else {
            return Ok(());
        };
        deliver(&self.env, service).await;
        let bucket = R2::of(&self.env)?;
        let began = now();
        let is_more = loop {
            match service.work(&Lane(&self.env), &bucket, now()).await {
                Ok(true) if now().0.saturating_sub(began.0) < A_RING_MS => {}
                Ok(is_more) => break is_more,
                Err(error) => {
                    console_error!("exports: {error}");
                    return Ok(());
                }
            }
        };
        deliver(&self.env, service).await;
        if is_more {
            return self.watch.ring_at(&self.state, now()).await;
        }
        // Looked at now, after every await: what came meanwhile keeps the alarm. So does what cannot be looked at.
        match (service.has_events()?, service.next_due()?) {
            (true, _) => {}
            (false, None) => self.watch.disarm(&self.state).await,
            (false, Some(due)) => self.watch.sleep_until(&self.state, due).await,
        }
        Ok(())
    }
}
