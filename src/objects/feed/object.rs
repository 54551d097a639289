//! The feed's Durable Object: no rules, only the runtime's side of them, and the readers that wait.

use super::service::FeedService;
use crate::objects::call::{self, answered, received};
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{config, in_time, new_id, now};
use futures::channel::oneshot;
use portcullis_core::feed::Incarnation;
use portcullis_core::feed::call::{FeedRequest, Read};
use portcullis_core::id::IncarnationId;
use portcullis_core::policy::call::GetView;
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use worker::worker_sys::DurableObjectState;
use worker::{Env, Error, Result, State};

/// The most readers that wait at a time; one more is answered at once.
const MAX_WAITING: usize = 1000;
/// The longest that a reader waits.
const MAX_WAIT_MS: u64 = 30_000;

/// One feed.
#[wasm_bindgen]
pub struct Feed {
    env: Env,
    service: FeedService<DurableSql>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

#[wasm_bindgen]
impl Feed {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        Self {
            env,
            service: FeedService::new(DurableSql::new(&State::from(state))),
            waiting: RefCell::default(),
        }
    }

    /// A call: [`FeedRequest`] in, its reply out.
    pub async fn call(&self, message: Vec<u8>) -> std::result::Result<Vec<u8>, JsValue> {
        answered(self.answer(&message).await)
    }
}

impl Feed {
    async fn answer(&self, message: &[u8]) -> Result<Vec<u8>> {
        let request: FeedRequest = received(message)?;
        if !self.service.has_begun()? {
            self.begin().await?;
        }
        if let FeedRequest::Read(read) = &request {
            self.wait_for_news(read).await?;
        }
        let answer = self.service.answer(request, now())?;
        if answer.news {
            // Who waits reads what is durable: the output gate holds this object's answers until then.
            for reader in self.waiting.take() {
                let _ = reader.send(());
            }
        }
        Ok(answer.bytes)
    }

    /// Begins with the wide revocations that there are. One that is made meanwhile comes by itself.
    async fn begin(&self) -> Result<()> {
        let age_ms = config(&self.env).map_or(0, |config| config.feed.age_ms);
        let new_life = Incarnation {
            id: IncarnationId::from_bytes(new_id()?),
            began_at: UnixMillis(now().0.saturating_sub(age_ms)),
        };
        let view = call::policy_object(&self.env, GetView { known: None }).await;
        let view = view.map_err(|error| Error::from(error.to_string()))?;
        let revoked = view.map(|view| view.revoked).unwrap_or_default();
        Ok(self.service.begin(new_life, &revoked, now())?)
    }

    /// Waits as long as the reader wants to while there is nothing for it.
    async fn wait_for_news(&self, read: &Read) -> Result<()> {
        if read.wait_ms == 0 || self.service.sequence()? > read.after {
            return Ok(());
        }
        let news = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.retain(|reader| !reader.is_canceled());
            if waiting.len() >= MAX_WAITING {
                return Ok(());
            }
            let (sender, news) = oneshot::channel();
            waiting.push(sender);
            news
        };
        in_time(Duration::from_millis(read.wait_ms.min(MAX_WAIT_MS)), news).await;
        Ok(())
    }
}
