//! The directory's Durable Object: it makes sure that subjects hear of what changed.

use super::service::{DirectoryService, Pending, SubjectCommand};
use crate::objects::call::{answered, received, subject_request};
use crate::objects::delivery::{Alarm, Producer, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::objects::sql::SqlError;
use crate::runtime::{config, new_id, now};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;
use portcullis_core::scim::call::DirectoryCall;
use portcullis_core::scim::user::UserId;
use portcullis_core::session::reactivate::ReactivateReply;
use portcullis_core::session::revoke::RevokeReply;
use std::rc::Rc;
use worker::{
    DurableObject, Env, Error, Request, Response, Result, State, console_error, durable_object,
};

/// A connection's users.
#[durable_object(alarm)]
pub struct Directory {
    state: State,
    env: Env,
    /// `None` while the configuration is invalid: then nothing is answered.
    service: Option<Rc<DirectoryService<DurableSql>>>,
    alarm: Alarm,
}

impl Producer for DirectoryService<DurableSql> {
    fn waiting(&self) -> std::result::Result<Vec<Pack>, SqlError> {
        Self::waiting(self)
    }

    fn acknowledge(&self, packs: &[Pack]) -> std::result::Result<(), SqlError> {
        Self::acknowledge(self, packs)
    }
}

impl DurableObject for Directory {
    fn new(state: State, env: Env) -> Self {
        let service = config(&env).map(|config| {
            let sql = DurableSql::new(&state);
            Rc::new(DirectoryService::new(sql, config.naming_key))
        });
        Self {
            state,
            env,
            service,
            alarm: Alarm::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let call: DirectoryCall = received(&mut request).await?;
        let Some(service) = &self.service else {
            return answered::<&str>(Err("not configured"));
        };
        let producer = ProducerId::from_bytes(new_id()?);
        let answer = match service.answer(call, now(), producer) {
            Ok(answer) => answer,
            Err(error) => return answered(Err(error)),
        };
        if let Some(user) = answer.changed {
            self.alarm.arm(&self.state).await?;
            // The provider hears "done" only once the subject has committed; otherwise it hears
            // that it failed, and the alarm goes on trying.
            if let Err(error) = self.command_subjects(service, Some(user)).await {
                return answered(Err(error));
            }
            let (env, service) = (self.env.clone(), Rc::clone(service));
            self.state.wait_until(async move {
                deliver(&env, &*service).await;
            });
        }
        answered::<&str>(Ok(answer.bytes))
    }

    async fn alarm(&self) -> Result<Response> {
        self.alarm.rang(&self.state).await?;
        if let Some(service) = &self.service {
            let commanded = self.command_subjects(service, None).await;
            if let Err(error) = &commanded {
                console_error!("directory: {error}");
            }
            if deliver(&self.env, &**service).await && commanded.is_ok() {
                self.alarm.disarm(&self.state).await;
            }
        }
        Response::empty()
    }
}

impl Directory {
    /// Sends pending commands, oldest first, and confirms each that a subject has committed.
    async fn command_subjects(
        &self,
        service: &DirectoryService<DurableSql>,
        user: Option<UserId>,
    ) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::RustError(error.to_string());
        let connection = self.state.id().name().unwrap_or_default();
        let pending = service.pending(user).map_err(|error| failed(&error))?;
        for command in pending {
            self.send(&command, &connection).await?;
            service
                .confirm(command.version)
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    async fn send(&self, pending: &Pending, connection: &str) -> Result<()> {
        let request = pending.request(connection);
        let sent = match pending.command {
            SubjectCommand::Disable(_) => {
                subject_request::<RevokeReply>(&self.env, pending.subject, request)
                    .await
                    .map(drop)
            }
            SubjectCommand::Reactivate => {
                subject_request::<ReactivateReply>(&self.env, pending.subject, request)
                    .await
                    .map(drop)
            }
        };
        sent.map_err(|error| Error::RustError(error.to_string()))
    }
}
