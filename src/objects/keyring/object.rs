//! The keyring's Durable Object: no rules, only the runtime's side of them.

use super::call::KeyringRequest;
use super::maker::KeyMaker;
use super::service::KeyringService;
use crate::objects::call::{self, answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, new_id, now};
use portcullis_core::audit::event::Actor;
use portcullis_core::id::ProducerId;
use portcullis_core::policy::WideScope;
use portcullis_core::policy::call::{ChangedBy, RevokeWide};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Error, Result, State, console_error};

/// The deployment's signing keys.
#[wasm_bindgen]
pub struct Keyring {
    state: State,
    env: Env,
    /// `None` while the configuration is invalid: then nothing is answered.
    service: Option<Rc<KeyringService<DurableSql>>>,
    watch: Rc<Watch>,
    looked_for_leftovers: Cell<bool>,
}

#[wasm_bindgen]
impl Keyring {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let service = config(&env).map(|config| {
            let maker = KeyMaker::new(config.sealing_key);
            let sql = DurableSql::new(&state);
            Rc::new(KeyringService::new(sql, maker, config.key_timing))
        });
        Self {
            state,
            env,
            service,
            watch: Rc::default(),
            looked_for_leftovers: Cell::new(false),
        }
    }

    /// A call: [`KeyringRequest`] in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.ring().await?)
    }
}

impl Keyring {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: KeyringRequest = received(message)?;
        let Some(service) = &self.service else {
            return Err(Error::from("not configured"));
        };
        let compromise = matches!(request, KeyringRequest::Compromise(_));
        let producer = ProducerId::from_bytes(new_id()?);
        // No await from here to the commit: what is read is what is decided on.
        let answer = service.answer(request, now(), producer)?;
        // The first call of an instance also sets the schedule's alarm, by way of this one.
        if answer.changed || !self.looked_for_leftovers.replace(true) {
            self.watch.arm(&self.state).await?;
        }
        // The operator hears of a compromise only once the policy has committed it, now or earlier;
        // else they hear 503, and the alarm goes on trying.
        if compromise {
            self.tell_policy(service).await?;
        }
        if answer.changed {
            let (env, service) = (self.env.clone(), Rc::clone(service));
            let watch = Rc::clone(&self.watch);
            self.state.wait_until(async move {
                watch.deliver_once(&env, &*service).await;
            });
        }
        Ok(answer.bytes)
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        let Some(service) = &self.service else {
            return Ok(());
        };
        if let Err(error) = self.tell_policy(service).await {
            console_error!("keyring: {error}");
        }
        service.run_schedule(now(), ProducerId::from_bytes(new_id()?))?;
        deliver(&self.env, &**service).await;
        // Looked at now, after every await: what came meanwhile keeps the alarm.
        let due_at = service.run_schedule(now(), ProducerId::from_bytes(new_id()?))?;
        if service.is_settled()? {
            self.watch.sleep_until(&self.state, due_at).await;
        }
        Ok(())
    }

    /// Has the policy revoke what compromised keys signed, and confirms each once that is committed.
    async fn tell_policy(&self, service: &KeyringService<DurableSql>) -> Result<()> {
        for kid in service.untold()? {
            let revoke = RevokeWide {
                scope: WideScope::Key(kid.clone()),
                by: ChangedBy {
                    actor: Actor::Operator("keyring".to_owned()),
                    request: None,
                },
            };
            call::policy_object(&self.env, revoke)
                .await
                .map_err(|error| Error::RustError(error.to_string()))?;
            service.told(&kid)?;
        }
        Ok(())
    }
}
