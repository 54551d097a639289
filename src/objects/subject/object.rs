//! The subject's Durable Object: no rules, only the runtime's side of them.

use super::announce;
use super::service::SubjectService;
use crate::objects::call::{answered, received};
use crate::objects::delivery::{Watch, deliver};
use crate::objects::durable_sql::DurableSql;
use crate::objects::feed_delivery::tell;
use crate::runtime::{in_time, new_id, now};
use portcullis_core::id::ProducerId;
use portcullis_core::session::call::{SubjectCall, SubjectRequest};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;
use worker::js_sys::Uint8Array;
use worker::worker_sys::DurableObjectState;
use worker::{Delay, Env, Error, Result, State};

/// How long a kill waits for the feeds.
const FEED_PATIENCE: Duration = Duration::from_secs(1);

/// One person or service.
#[wasm_bindgen]
pub struct Subject(Rc<Inner>);

struct Inner {
    state: State,
    /// The object's own, if the runtime says it.
    name: Option<String>,
    env: Env,
    service: Rc<SubjectService<DurableSql>>,
    watch: Rc<Watch>,
    looked_for_leftovers: Cell<bool>,
}

#[wasm_bindgen]
impl Subject {
    /// As the runtime makes it.
    #[wasm_bindgen(constructor)]
    pub fn new(state: DurableObjectState, env: Env) -> Self {
        let state = State::from(state);
        let service = Rc::new(SubjectService::new(DurableSql::new(&state)));
        Self(Rc::new(Inner {
            name: state.id().name(),
            state,
            env,
            service,
            watch: Rc::default(),
            looked_for_leftovers: Cell::new(false),
        }))
    }

    /// A call: [`SubjectCall`] in, its reply out; a promise of it only if there is something to wait for.
    pub fn call(&self, message: &[u8]) -> std::result::Result<JsValue, JsValue> {
        let (reply, sends) = match self.0.answer(message) {
            Ok(answered) => answered,
            Err(error) => (Err(error), None),
        };
        let Some(ends) = sends else {
            return bytes(reply);
        };
        let inner = Rc::clone(&self.0);
        let sent = async move {
            let sent = async {
                if ends {
                    inner.tell_feeds().await?;
                }
                inner.send_events(ends).await
            };
            bytes(sent.await.and(reply))
        };
        Ok(future_to_promise(sent).into())
    }

    /// The alarm rings.
    pub async fn alarm(&self) -> std::result::Result<(), JsValue> {
        Ok(self.0.ring().await?)
    }
}

impl Inner {
    /// The reply, and if events are to be sent, whether something may have ended.
    fn answer(&self, message: &[u8]) -> Result<(Result<Vec<u8>>, Option<bool>)> {
        let call: SubjectCall = received(message)?;
        if self
            .name
            .as_ref()
            .is_some_and(|name| *name != call.subject.to_string())
        {
            return Err(Error::from("called for another subject"));
        }
        // No await from here to the commit: what is read is what is decided on.
        let reads = matches!(
            call.request,
            SubjectRequest::Check(_)
                | SubjectRequest::CheckForeign(_)
                | SubjectRequest::ListSessions(_)
                | SubjectRequest::LookUp(_)
                | SubjectRequest::Receipts(_)
        );
        let ends = matches!(call.request, SubjectRequest::Revoke(_));
        let producer = ProducerId::from_bytes(new_id()?);
        let reply = self.service.answer(call, now(), producer);
        let sends = !reads || !self.looked_for_leftovers.replace(true);
        Ok((reply.map_err(Error::from), sends.then_some(ends)))
    }

    async fn ring(&self) -> Result<()> {
        self.watch.rang(&self.state).await?;
        let told = tell(&self.env, &*self.service).await;
        deliver(&self.env, &*self.service).await;
        announce::deliver(&self.env, &self.service).await;
        let delivered = deliver(&self.env, &*self.service).await;
        if told && delivered && !self.service.has_untold()? {
            // Looked at now, after every await: what came meanwhile keeps the alarm.
            match self.service.next_announcement()? {
                None => self.watch.disarm(&self.state).await,
                Some(at) => self.watch.sleep_until(&self.state, at).await,
            }
        }
        Ok(())
    }

    /// Has the feeds know what was just ended before the caller hears of it, if they are quick. If not,
    /// it is under the alarm's watch, and the caller can see in the receipt that it is not there yet.
    async fn tell_feeds(&self) -> Result<()> {
        if self.service.has_untold().is_ok_and(|untold| !untold) {
            return Ok(());
        }
        self.watch.arm(&self.state).await?;
        let told = tell(&self.env, &*self.service);
        in_time(FEED_PATIENCE, told).await;
        Ok(())
    }

    /// Sends what is in the outbox, and tells clients what is due, without making the caller wait,
    /// under the alarm's watch. What ended something goes at once, other events are gathered first.
    async fn send_events(&self, at_once: bool) -> Result<()> {
        let untold = self.service.has_untold();
        let waiting = self.service.has_waiting();
        let next = self.service.next_announcement();
        let at_once = at_once || untold.as_ref().is_ok_and(|untold| *untold);
        if untold.is_ok_and(|untold| !untold)
            && waiting.is_ok_and(|waiting| !waiting)
            && next.is_ok_and(|next| next.is_none_or(|at| now() < at))
        {
            return Ok(());
        }
        self.watch.arm(&self.state).await?;
        let (env, service) = (self.env.clone(), Rc::clone(&self.service));
        let watch = Rc::clone(&self.watch);
        let held_back = crate::runtime::config(&env).map_or(0, |config| config.delivery_delay_ms);
        self.state.wait_until(async move {
            tell(&env, &*service).await;
            if held_back > 0 {
                Delay::from(Duration::from_millis(held_back)).await;
            }
            if !at_once && !watch.gather().await {
                return;
            }
            watch.deliver_once(&env, &*service).await;
            announce::deliver(&env, &service).await;
            watch.deliver_once(&env, &*service).await;
        });
        Ok(())
    }
}

fn bytes(reply: Result<Vec<u8>>) -> std::result::Result<JsValue, JsValue> {
    answered(reply).map(|bytes| Uint8Array::from(bytes.as_slice()).into())
}
