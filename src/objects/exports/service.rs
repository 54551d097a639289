//! The exports without their runtime: what can be asked of them. What is done about them is in [`super::work`].

use super::store;
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, migrate};
use crate::runtime::new_id;
use portcullis_core::audit::event::Event;
use portcullis_core::audit::export::call::{
    ExportsRequest, FetchFile, FindExport, NotStarted, Numbered, RemoveExport, StartExport,
};
use portcullis_core::audit::export::job::{ExportId, Job, MAX_UNFINISHED, Phase};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;

/// The exports over their storage.
pub struct ExportsService<S> {
    pub(super) sql: S,
    /// The service's base URL, as manifests have it.
    pub(super) issuer: String,
    pub(super) bounds: Bounds,
    migrated: Cell<bool>,
}

/// How much is done at once.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many bytes of lines are asked for.
    pub lines_bytes: u32,
    /// When it is enough of what was made in a slice, in bytes.
    pub enough_bytes: usize,
    /// How often lines are asked for in a slice: a filter may take few of them.
    pub asked: u32,
    /// How many slices are made before others have their turn.
    pub slices: u32,
}

/// What an isolate has memory for, and a call time.
const BOUNDS: Bounds = Bounds {
    lines_bytes: 4_000_000,
    enough_bytes: 6_000_000,
    asked: 8,
    slices: 16,
};

/// A reply.
pub struct Answer {
    /// In its envelope.
    pub bytes: Vec<u8>,
    /// Whether there may be something to do since.
    pub changed: bool,
}

impl<S: Sql> ExportsService<S> {
    /// The exports over `sql`; nothing is read or written yet.
    pub const fn new(sql: S, issuer: String) -> Self {
        Self {
            sql,
            issuer,
            bounds: BOUNDS,
            migrated: Cell::new(false),
        }
    }

    /// The same in other bounds.
    #[cfg(test)]
    pub fn within(self, bounds: Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// The storage, for tests to break.
    #[cfg(test)]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Another instance over the same storage.
    #[cfg(test)]
    pub fn restarted(self) -> Self {
        Self::new(self.sql, self.issuer).within(self.bounds)
    }

    /// Has the tables there.
    pub fn ready(&self) -> Result<(), SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(())
    }

    /// Answers `request`.
    pub fn answer(&self, request: ExportsRequest, now: UnixMillis) -> Result<Answer, SqlError> {
        self.ready()?;
        let (bytes, changed) = match request {
            ExportsRequest::Start(start) => (wire::encode(&self.start(start, now)?), true),
            ExportsRequest::List(list) => (wire::encode(&store::newest(&self.sql, list)?), false),
            ExportsRequest::Find(find) => (wire::encode(&self.find(find)?), false),
            ExportsRequest::Fetch(fetch) => (wire::encode(&self.fetch(fetch)?), true),
            ExportsRequest::Remove(remove) => (wire::encode(&self.remove(remove, now)?), true),
        };
        let bytes = bytes?;
        Ok(Answer { bytes, changed })
    }

    /// Begins an export, unless the same request has.
    pub fn start(
        &self,
        start: StartExport,
        now: UnixMillis,
    ) -> Result<Result<Numbered, NotStarted>, SqlError> {
        let sql = &self.sql;
        sql.transaction(|| {
            if let Some(idempotency) = &start.idempotency {
                match store::begun(sql, idempotency)? {
                    Some((_, false)) => return Ok(Err(NotStarted::KeyReused)),
                    Some((id, true)) => {
                        let job = store::job(sql, id)?;
                        let job = job.ok_or_else(|| SqlError::corrupt("job"))?;
                        return Ok(Ok((id, job)));
                    }
                    None => {}
                }
            }
            if store::unfinished(sql)? >= MAX_UNFINISHED {
                return Ok(Err(NotStarted::TooMany));
            }
            let id = store::new_id(sql, now)?;
            let job = Job::new(start.asked, start.by, now);
            store::put(sql, id, &job)?;
            if let Some(idempotency) = &start.idempotency {
                store::begins(sql, idempotency, id)?;
            }
            self.tell(job.tells(start.event, id, "requested"))?;
            Ok(Ok((id, job)))
        })
    }

    /// A job that is not being removed.
    pub fn find(&self, find: FindExport) -> Result<Option<Job>, SqlError> {
        let job = store::job(&self.sql, find.id)?;
        Ok(job.filter(|job| job.phase != Phase::Removing))
    }

    /// Of which parts a file is made, and the event that it is taken away; or neither.
    pub fn fetch(&self, fetch: FetchFile) -> Result<Option<Vec<(u64, u64)>>, SqlError> {
        self.sql.transaction(|| {
            let Some(job) = store::job(&self.sql, fetch.id)? else {
                return Ok(None);
            };
            let Phase::Finished(finished) = &job.phase else {
                return Ok(None);
            };
            if !finished.files.iter().any(|file| file.name == fetch.name) {
                return Ok(None);
            }
            let parts = store::parts(&self.sql, fetch.id, &fetch.name)?;
            let mut event = job.tells(fetch.event, fetch.id, "downloaded");
            event.claims.push(("file".to_owned(), fetch.name));
            self.tell(event)?;
            Ok(Some(parts))
        })
    }

    /// Has a job removed; false if there is none.
    pub fn remove(&self, remove: RemoveExport, now: UnixMillis) -> Result<bool, SqlError> {
        let RemoveExport { id, event } = remove;
        self.sql.transaction(|| {
            let Some(job) = self.find(FindExport { id })? else {
                return Ok(false);
            };
            let reason = if job.is_unfinished() {
                "canceled"
            } else {
                "removed"
            };
            let event = Event {
                occurred: now,
                ..job.tells(event, id, reason)
            };
            store::put(&self.sql, id, &job.is_at(Phase::Removing))?;
            store::forget_request(&self.sql, id)?;
            self.tell(event)?;
            Ok(true)
        })
    }

    /// When there is something to do about a job.
    pub fn next_due(&self) -> Result<Option<UnixMillis>, SqlError> {
        self.ready()?;
        store::next_due(&self.sql)
    }

    /// Whether events wait for the lane.
    pub fn has_events(&self) -> Result<bool, SqlError> {
        self.ready()?;
        outbox::has_waiting(&self.sql)
    }

    /// Puts an event into the outbox. In a transaction.
    pub(super) fn tell(&self, event: Event) -> Result<(), SqlError> {
        let id = new_id().map_err(|error| SqlError(error.to_string()))?;
        outbox::append(&self.sql, vec![event], ProducerId::from_bytes(id))
    }

    /// The job, if nobody has changed it since it was this one.
    pub(super) fn is_still(&self, id: ExportId, was: &Job) -> Result<bool, SqlError> {
        Ok(store::job(&self.sql, id)?.as_ref() == Some(was))
    }
}

impl<S: Sql> Producer for ExportsService<S> {
    fn waiting(&self) -> Result<Vec<Pack>, SqlError> {
        self.ready()?;
        outbox::waiting(&self.sql)
    }

    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError> {
        outbox::acknowledge(&self.sql, packs)
    }
}
