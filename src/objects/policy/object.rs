//! The policy's Durable Object: no rules, only the runtime's side of them.

use super::service::PolicyService;
use crate::objects::call::{answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{new_id, now};
use portcullis_core::id::ProducerId;
use portcullis_core::policy::call::PolicyRequest;
use std::cell::Cell;
use std::rc::Rc;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

/// The policy of this deployment; there is one.
#[durable_object(alarm)]
pub struct Policy {
    state: State,
    env: Env,
    service: Rc<PolicyService<DurableSql>>,
    watch: Rc<Watch>,
    looked_for_leftovers: Cell<bool>,
}

impl DurableObject for Policy {
    fn new(state: State, env: Env) -> Self {
        let service = Rc::new(PolicyService::new(DurableSql::new(&state)));
        Self {
            state,
            env,
            service,
            watch: Rc::default(),
            looked_for_leftovers: Cell::new(false),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let request: PolicyRequest = received(&mut request).await?;
        let producer = ProducerId::from_bytes(new_id()?);
        // No await from here to the commit: what is read is what is decided on.
        let answer = match self.service.answer(request, now(), producer) {
            Ok(answer) => answer,
            Err(error) => return answered(Err(error)),
        };
        // What an instance before this one left undone is sent too.
        if answer.changed || !self.looked_for_leftovers.replace(true) {
            self.send_events().await?;
        }
        answered::<&str>(Ok(answer.bytes))
    }

    async fn alarm(&self) -> Result<Response> {
        self.watch.rang(&self.state).await?;
        if deliver(&self.env, &*self.service).await {
            self.watch.disarm(&self.state).await;
        }
        Response::empty()
    }
}

impl Policy {
    /// Sends what is in the outbox without making the caller wait, under the alarm's watch.
    async fn send_events(&self) -> Result<()> {
        if self.service.is_settled()? {
            return Ok(());
        }
        self.watch.arm(&self.state).await?;
        let (env, service) = (self.env.clone(), Rc::clone(&self.service));
        let watch = Rc::clone(&self.watch);
        self.state.wait_until(async move {
            watch.deliver_once(&env, &*service).await;
        });
        Ok(())
    }
}
