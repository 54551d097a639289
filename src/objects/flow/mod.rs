//! A flow's object: one pushed request, or one log-in on its way through the identity provider and
//! past the person's consent, before there is a session.
//!
//! Each stage is kept once and taken once, by the browser or the client that it is for. When a
//! stage's time is over the alarm erases everything.

use super::call::{answered, received};
use super::durable_sql::DurableSql;
use super::sql::{Sql, SqlError, has_schema, migrate};
use crate::runtime::now;
use portcullis_core::oauth::flow::saml::SamlAnswer;
use portcullis_core::oauth::flow::{FlowRequest, Keep, Stage};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Result, State};

const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_flow.sql"),
    include_str!("migrations/0002_stages.sql"),
    include_str!("migrations/0003_connections.sql"),
];

/// A flow over its storage.
struct FlowService<S> {
    sql: S,
}

impl<S: Sql> FlowService<S> {
    fn answer(
        &self,
        request: FlowRequest,
        now: UnixMillis,
    ) -> std::result::Result<Vec<u8>, SqlError> {
        Ok(match request {
            FlowRequest::Keep(keep) => wire::encode(&self.keep(&keep, now)?)?,
            FlowRequest::TakePushed(take) => {
                let pushed = self.take(now, |stage| match stage {
                    Stage::Pushed(pushed) if pushed.client.client_id == take.client_id => {
                        Some(pushed)
                    }
                    _ => None,
                });
                wire::encode(&pushed?)?
            }
            FlowRequest::TakeAway(take) => {
                let away = self.take(now, |stage| match stage {
                    Stage::Away(away) if away.browser == take.browser => Some(away),
                    _ => None,
                });
                wire::encode(&away?)?
            }
            FlowRequest::ShowAsked(show) => {
                let asked = match self.stored(now)? {
                    Some(Stage::Asked(asked)) if asked.browser == show.browser => Some(*asked),
                    _ => None,
                };
                wire::encode(&asked)?
            }
            FlowRequest::TakeAsked(take) => {
                let asked = self.take(now, |stage| match stage {
                    Stage::Asked(asked) if asked.browser == take.browser => Some(*asked),
                    _ => None,
                });
                wire::encode(&asked?)?
            }
            FlowRequest::ShowChoosing(show) => {
                let choosing = match self.stored(now)? {
                    Some(Stage::Choosing(one)) if one.browser == show.browser => Some(one),
                    _ => None,
                };
                wire::encode(&choosing)?
            }
            FlowRequest::TakeChoosing(take) => {
                let choosing = self.take(now, |stage| match stage {
                    Stage::Choosing(one) if one.browser == take.browser => Some(one),
                    _ => None,
                });
                wire::encode(&choosing?)?
            }
            FlowRequest::TakeToTest(_) => {
                let to_test = self.take(now, |stage| match stage {
                    Stage::ToTest(connection) => Some(connection),
                    _ => None,
                });
                wire::encode(&to_test?)?
            }
            FlowRequest::TakeTesting(take) => {
                let testing = self.take(now, |stage| match stage {
                    Stage::Testing(one) if one.browser == take.browser => Some(one),
                    _ => None,
                });
                wire::encode(&testing?)?
            }
            FlowRequest::ShowSamlAwaited(_) => {
                let awaited = match self.stored(now)? {
                    Some(Stage::Saml(away)) => away.awaited(),
                    _ => None,
                };
                wire::encode(&awaited)?
            }
            FlowRequest::AnswerSaml(keep) => wire::encode(&self.keep_answer(keep.answer, now)?)?,
            FlowRequest::TakeSaml(take) => {
                let away = self.take(now, |stage| match stage {
                    Stage::Saml(away) if away.is_brought_by(&take) => Some(*away),
                    _ => None,
                });
                wire::encode(&away?)?
            }
        })
    }

    fn keep(&self, keep: &Keep, now: UnixMillis) -> std::result::Result<(), SqlError> {
        migrate(&self.sql, MIGRATIONS)?;
        let values = [
            now.plus_secs(keep.ttl_secs).0.into(),
            wire::encode(&keep.stage)?.into(),
        ];
        // Never over another: an id is used for one flow.
        self.sql.exec(
            "INSERT INTO flow (id, expires_at, flow) VALUES (1, ?, ?)",
            &values,
        )?;
        Ok(())
    }

    /// Keeps a SAML provider's answer with the flow that waits for one; whether there is such a flow. Its time
    /// goes on as it was.
    fn keep_answer(
        &self,
        answer: SamlAnswer,
        now: UnixMillis,
    ) -> std::result::Result<bool, SqlError> {
        let answered = match self.stored(now)? {
            Some(Stage::Saml(away)) => away.answered(answer),
            _ => None,
        };
        let Some(answered) = answered else {
            return Ok(false);
        };
        let stage = wire::encode(&Stage::Saml(Box::new(answered)))?;
        self.sql.exec("UPDATE flow SET flow = ?", &[stage.into()])?;
        Ok(true)
    }

    /// What `rightful` makes of the stage that is stored. If it makes something, the stage is gone.
    fn take<T>(
        &self,
        now: UnixMillis,
        rightful: impl FnOnce(Stage) -> Option<T>,
    ) -> std::result::Result<Option<T>, SqlError> {
        let taken = self.stored(now)?.and_then(rightful);
        if taken.is_some() {
            self.sql.exec("DELETE FROM flow", &[])?;
        }
        Ok(taken)
    }

    fn stored(&self, now: UnixMillis) -> std::result::Result<Option<Stage>, SqlError> {
        if !has_schema(&self.sql)? {
            return Ok(None);
        }
        migrate(&self.sql, MIGRATIONS)?;
        self.sql
            .exec(
                "SELECT flow FROM flow WHERE expires_at > ?",
                &[now.0.into()],
            )?
            .first()
            .map(|row| Ok(wire::decode(row.blob(0)?)?))
            .transpose()
    }
}

/// One log-in or authorization request.
#[wasm_bindgen]
pub struct Flow {
    state: State,
    service: FlowService<DurableSql>,
}

#[wasm_bindgen]
impl Flow {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, _env: Env) -> Self {
        let state = State::from(state);
        let sql = DurableSql::new(&state);
        Self {
            state,
            service: FlowService { sql },
        }
    }

    /// A call: [`FlowRequest`] in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.state.storage().delete_all().await?)
    }
}

impl Flow {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: FlowRequest = received(message)?;
        let kept_secs = match &request {
            FlowRequest::Keep(keep) => Some(keep.ttl_secs),
            _ => None,
        };
        let reply = self.service.answer(request, now());
        if let Some(secs) = kept_secs.filter(|_| reply.is_ok()) {
            let erase = Duration::from_secs(secs);
            self.state.storage().set_alarm(erase).await?;
        }
        Ok(reply?)
    }
}

#[cfg(test)]
mod tests;
