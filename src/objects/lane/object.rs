//! The lane's Durable Object: no rules, only the runtime's side of them.

use super::service::LaneService;
use crate::objects::call::{answered, received};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{new_id, now};
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::id::ProducerId;
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

/// One lane of the audit log.
#[durable_object(fetch)]
pub struct Lane {
    service: LaneService<DurableSql>,
}

impl DurableObject for Lane {
    fn new(state: State, _env: Env) -> Self {
        Self {
            service: LaneService::new(DurableSql::new(&state)),
        }
    }

    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let request: LaneRequest = received(&mut request).await?;
        let producer = ProducerId::from_bytes(new_id()?);
        answered(self.service.answer(request, now(), producer))
    }
}
