//! The directory's Durable Object: it makes sure that subjects hear of what changed.

use super::bulk_runner::BulkRunner;
use super::command::{About, Pending, SubjectCommand};
use super::service::DirectoryService;
use crate::objects::call::{answered, received, subject_request};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, new_id, now};
use portcullis_core::id::ProducerId;
use portcullis_core::scim::call::{BulkId, DirectoryCall};
use portcullis_core::session::reactivate::ReactivateReply;
use portcullis_core::session::revoke::RevokeReply;
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
    service: Option<Rc<DirectoryService<DurableSql>>>,
    watch: Rc<Watch>,
    bulks: BulkRunner,
    looked_for_leftovers: Cell<bool>,
}

#[wasm_bindgen]
impl Directory {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let service = config(&env).map(|config| {
            let sql = DurableSql::new(&state);
            Rc::new(DirectoryService::new(sql, config.naming_key))
        });
        Self {
            state,
            env,
            service,
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
        let Some(service) = &self.service else {
            return Err(Error::from("not configured"));
        };
        let producer = ProducerId::from_bytes(new_id()?);
        let answer = service.answer(call, now(), producer)?;
        // What an instance before this one left undone is watched over again.
        let leftovers = !self.looked_for_leftovers.replace(true) && !service.is_settled()?;
        if answer.changed || leftovers {
            self.watch.arm(&self.state).await?;
        }
        if let Some(about) = answer.concerns {
            // The provider hears of a user or a log-out only once the subjects have committed what was
            // decided about them, now or earlier; else it hears 503, and the alarm goes on trying.
            self.command_subjects(service, Some(about)).await?;
        }
        let bytes = match answer.bulk {
            None => answer.bytes,
            Some(bulk) => self.carry_out(service, bulk).await?,
        };
        let (env, service) = (self.env.clone(), Rc::clone(service));
        let watch = Rc::clone(&self.watch);
        self.state.wait_until(async move {
            watch.deliver_once(&env, &*service).await;
        });
        Ok(bytes)
    }

    /// Carries out what is left of a bulk, and has subjects confirm what it means. A crash before the end
    /// leaves the bulk, which the alarm takes up.
    async fn carry_out(
        &self,
        service: &DirectoryService<DurableSql>,
        bulk: BulkId,
    ) -> Result<Vec<u8>> {
        let Some(done) = self.bulks.run(service, bulk).await? else {
            return Err(Error::from("the alarm has finished the bulk"));
        };
        let mut outcome = Ok(());
        for user in done.users {
            self.bulks.is_at(bulk);
            let about = Some(About::User(user));
            outcome = outcome.and(self.command_subjects(service, about).await);
        }
        outcome?;
        service.forget_bulk(bulk)?;
        self.bulks.is_done(bulk);
        Ok(done.bytes)
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        let Some(service) = &self.service else {
            return Ok(());
        };
        for bulk in self.bulks.forsaken(service)? {
            if let Err(error) = self.carry_out(service, bulk).await {
                console_error!("directory: {error}");
            }
        }
        if let Err(error) = self.command_subjects(service, None).await {
            console_error!("directory: {error}");
        }
        deliver(&self.env, &**service).await;
        // Looked at now, after every await: what came meanwhile keeps the alarm.
        if service.is_settled()? {
            self.watch.disarm(&self.state).await;
        }
        Ok(())
    }

    /// Sends pending commands, oldest first, and confirms each that a subject has committed. A
    /// subject that fails keeps its later commands waiting, and nobody else's.
    async fn command_subjects(
        &self,
        service: &DirectoryService<DurableSql>,
        about: Option<About>,
    ) -> Result<()> {
        let connection = self.state.id().name().unwrap_or_default();
        let mut failed = BTreeSet::new();
        let mut outcome = Ok(());
        for command in service.pending(about)? {
            if failed.contains(&command.subject) {
                continue;
            }
            match self.send(&command, &connection).await {
                Ok(()) => service.confirm(command.version)?,
                Err(error) => {
                    failed.insert(command.subject);
                    outcome = Err(error);
                }
            }
        }
        outcome
    }

    async fn send(&self, pending: &Pending, connection: &str) -> Result<()> {
        let request = pending.request(connection);
        let sent = match pending.command {
            SubjectCommand::Disable(_) | SubjectCommand::EndSession(_) | SubjectCommand::EndAll => {
                subject_request::<RevokeReply>(&self.env, pending.subject, Vec::new(), request)
                    .await
                    .map(drop)
            }
            SubjectCommand::Reactivate => {
                subject_request::<ReactivateReply>(&self.env, pending.subject, Vec::new(), request)
                    .await
                    .map(drop)
            }
        };
        sent.map_err(|error| Error::RustError(error.to_string()))
    }
}
