//! The directory's Durable Object: it makes sure that subjects hear of what changed.

use super::bulk_runner::BulkRunner;
use super::command::About;
use super::runner::Runner;
use super::service::DirectoryService;
use crate::objects::call::{answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, new_id, now};
use futures::future::join;
use portcullis_core::id::ProducerId;
use portcullis_core::scim::call::{BulkId, DirectoryCall};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Error, Result, State, console_error};

/// Whom a connection's provider knows.
#[wasm_bindgen]
pub struct Directory {
    state: State,
    env: Env,
    /// `None` while the configuration is invalid: then nothing is answered.
    parts: Option<Parts>,
    watch: Rc<Watch>,
    bulks: BulkRunner,
    looked_for_leftovers: Cell<bool>,
}

struct Parts {
    service: Rc<DirectoryService<DurableSql>>,
    runner: Rc<Runner>,
}

#[wasm_bindgen]
impl Directory {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let parts = config(&env).map(|config| {
            let sql = DurableSql::new(&state);
            let service = Rc::new(DirectoryService::new(sql, config.naming_key));
            let connection = state.id().name().unwrap_or_default();
            let runner = Runner::new(env.clone(), connection, Rc::clone(&service));
            let runner = Rc::new(runner);
            Parts { service, runner }
        });
        Self {
            state,
            env,
            parts,
            watch: Rc::default(),
            bulks: BulkRunner::default(),
            looked_for_leftovers: Cell::new(false),
        }
    }

    /// A call: [`DirectoryCall`] in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.ring().await?)
    }
}

impl Directory {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let call: DirectoryCall = received(message)?;
        let Some(Parts { service, runner }) = &self.parts else {
            return Err(Error::from("not configured"));
        };
        let producer = ProducerId::from_bytes(new_id()?);
        let answer = service.answer(call, now(), producer)?;
        if let Some(warning) = answer.warning {
            console_error!("directory: {warning}");
        }
        // What an instance before this one left undone is watched over again.
        let leftovers = !self.looked_for_leftovers.replace(true) && !service.is_settled()?;
        let changed = answer.changed || leftovers;
        if changed {
            self.watch.arm(&self.state).await?;
        }
        if let Some(about) = answer.concerns {
            // The provider hears of a user or a log-out only once the subjects have committed what was
            // decided about them, now or earlier; else it hears 503, and the alarm goes on trying.
            command_subjects(service, runner, about).await?;
        }
        let bytes = match answer.bulk {
            None => answer.bytes,
            Some(bulk) => self.carry_out(service, runner, bulk).await?,
        };
        let (env, watch) = (self.env.clone(), Rc::clone(&self.watch));
        let (service, runner) = (Rc::clone(service), Rc::clone(runner));
        self.state.wait_until(async move {
            let runs = async {
                if changed {
                    runner.run().await;
                }
            };
            join(runs, watch.deliver_once(&env, &*service)).await;
        });
        Ok(bytes)
    }

    /// Carries out what is left of a bulk, and has subjects confirm what it means. A crash before the end
    /// leaves the bulk, which the alarm takes up.
    async fn carry_out(
        &self,
        service: &DirectoryService<DurableSql>,
        runner: &Runner,
        bulk: BulkId,
    ) -> Result<Vec<u8>> {
        let Some(done) = self.bulks.run(service, bulk).await? else {
            return Err(Error::from("the alarm has finished the bulk"));
        };
        let mut outcome = Ok(());
        for user in done.users {
            self.bulks.is_at(bulk);
            let confirmed = command_subjects(service, runner, About::User(user)).await;
            outcome = outcome.and(confirmed);
        }
        outcome?;
        service.forget_bulk(bulk)?;
        self.bulks.is_done(bulk);
        Ok(done.bytes)
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        let Some(Parts { service, runner }) = &self.parts else {
            return Ok(());
        };
        for bulk in self.bulks.forsaken(service)? {
            if let Err(error) = self.carry_out(service, runner, bulk).await {
                console_error!("directory: {error}");
            }
        }
        join(runner.run(), deliver(&self.env, &**service)).await;
        // Looked at now, after every await: what came meanwhile keeps the alarm.
        if service.is_settled()? {
            self.watch.disarm(&self.state).await;
        } else if let (false, Some(due)) = (runner.is_running(), service.next_due()?) {
            self.watch.sleep_until(&self.state, due).await;
        }
        Ok(())
    }
}

/// Sends what is pending about that, oldest first, and confirms each that a subject has committed. A
/// subject that fails keeps its later commands waiting, and nobody else's.
async fn command_subjects(
    service: &DirectoryService<DurableSql>,
    runner: &Runner,
    about: About,
) -> Result<()> {
    let pending = service.pending(Some(about))?;
    if pending.is_empty() {
        return Ok(());
    }
    let _in_hand = runner.takes_in_hand(&pending);
    let mut failed = BTreeSet::new();
    let mut outcome = Ok(());
    for command in pending {
        if failed.contains(&command.subject) {
            continue;
        }
        match runner.send(&command).await {
            Ok(()) => service.confirm(command.version, now())?,
            Err(error) => {
                service.failed(command.version, now())?;
                failed.insert(command.subject);
                outcome = Err(error);
            }
        }
    }
    outcome
}
