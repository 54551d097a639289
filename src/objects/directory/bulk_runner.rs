//! Has bulks carried out to their ends, with room for everybody else between two operations.

use super::bulk::{FORSAKEN_MS, Step};
use super::command::About;
use super::service::DirectoryService;
use crate::objects::durable_sql::DurableSql;
use crate::runtime::{new_id, now, sleep_ms};
use portcullis_core::id::ProducerId;
use portcullis_core::scim::call::BulkId;
use portcullis_core::scim::user::UserId;
use portcullis_core::time::UnixMillis;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use worker::Result;

/// The bulks that this instance carries out, and when it last went on with each.
#[derive(Default)]
pub struct BulkRunner {
    gone_on_at: RefCell<BTreeMap<BulkId, UnixMillis>>,
}

/// What came of a bulk.
pub struct Finished {
    /// The encoded reply.
    pub bytes: Vec<u8>,
    /// Whose commands the reply must wait for.
    pub users: BTreeSet<UserId>,
}

impl BulkRunner {
    /// Carries out what is left of a bulk; `None`: somebody else has finished it.
    pub async fn run(
        &self,
        service: &DirectoryService<DurableSql>,
        id: BulkId,
    ) -> Result<Option<Finished>> {
        let mut users = BTreeSet::new();
        let Some(mut running) = service.take_up(id)? else {
            return Ok(None);
        };
        loop {
            self.is_at(id);
            let producer = ProducerId::from_bytes(new_id()?);
            match service.go_on(&mut running, now(), producer, new_id()?)? {
                Step::Done(Some(About::User(user))) => {
                    users.insert(user);
                }
                Step::Done(_) => {}
                Step::Finished => break,
                Step::Gone => return Ok(None),
            }
            // A crash here leaves what was done so far, and the alarm goes on. Whoever asks meanwhile is answered.
            sleep_ms(0).await;
        }
        let bytes = running.answer()?;
        Ok(Some(Finished { bytes, users }))
    }

    /// Notes that somebody goes on with a bulk.
    pub fn is_at(&self, id: BulkId) {
        self.gone_on_at.borrow_mut().insert(id, now());
    }

    /// Nobody need go on with it any more.
    pub fn is_done(&self, id: BulkId) {
        self.gone_on_at.borrow_mut().remove(&id);
    }

    /// The bulks that nobody goes on with.
    pub fn forsaken(&self, service: &DirectoryService<DurableSql>) -> Result<Vec<BulkId>> {
        let mut bulks = service.bulks()?;
        let at = self.gone_on_at.borrow();
        let is_forsaken = |id: &BulkId| match at.get(id) {
            None => true,
            Some(at) => at.0.saturating_add(FORSAKEN_MS) <= now().0,
        };
        bulks.retain(is_forsaken);
        Ok(bulks)
    }
}
