//! Bulk requests (RFC 7644 section 3.7): what came is stored first, and each operation is carried out in one
//! transaction with how far that brings it. Between two operations whoever else asks is answered.
//!
//! | crash | what is left | who goes on |
//! |---|---|---|
//! | before it is stored | nothing | the caller, who had no answer |
//! | before, in or after an operation | those before it, with the progress that says so | the object's alarm |
//! | after the last, before subjects have confirmed | commands, and the bulk | the same |
//!
//! Two that are carried out at once take turns by operations, each from a row of its own. Whoever goes on with one
//! begins with what is stored, so it does no harm if two do: the object's alarm takes a bulk up that nobody has gone
//! on with for [`FORSAKEN_MS`], for a request may be given up in the middle without a trace.

use super::command::About;
use super::service::{Answer, Context, DirectoryService};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::RequestFacts;
use portcullis_core::id::ProducerId;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::bulk::{Bulk, Done, LIMITS, Method, Progress, Work};
use portcullis_core::scim::call::{BulkId, BulkReply, RunBulk, Target, Write};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::resource::version::Version;
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::schema::USER;
use portcullis_core::scim::user::UserId;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use serde::{Deserialize, Serialize};
use std::cell::Cell;

/// The most bulks that are carried out at once: each takes memory.
pub const MAX_AT_ONCE: u64 = 5;
/// How long nobody has gone on with a bulk when the alarm does.
pub const FORSAKEN_MS: u64 = 5000;

/// What an operation needs besides itself, as the request had it. Stored: append only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The connection.
    pub connection: String,
    /// The base URL of resources.
    pub base: String,
    /// What changes go by.
    pub rules: Rules,
    /// The HTTP request, for the log.
    pub request: RequestFacts,
}

/// A bulk that is being carried out.
pub struct Running {
    id: BulkId,
    bulk: Bulk,
    frame: Frame,
    progress: Progress,
}

impl Running {
    /// The answer, when all is done.
    pub fn answer(&self) -> Result<Vec<u8>, SqlError> {
        let response = self.bulk.response(&self.progress, &self.frame.base);
        let reply: BulkReply = Ok(response.to_string());
        Ok(wire::encode(&reply)?)
    }
}

/// What became of a bulk when it was gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An operation was carried out, or refused: the answer must wait for that, if for anything.
    Done(Option<About>),
    /// All have been.
    Finished,
    /// Somebody else has finished and forgotten it.
    Gone,
}

impl<S: Sql> DirectoryService<S> {
    /// Begins a bulk; whoever has the answer goes on with it, and makes another of what comes of that.
    pub(super) fn answer_bulk(&self, context: &Context, run: &RunBulk) -> Result<Answer, SqlError> {
        let frame = Frame {
            connection: context.connection.to_owned(),
            base: context.base.to_owned(),
            rules: context.rules,
            request: context.request.clone(),
        };
        let begun = self.begin_bulk(&frame, run.id, &run.body, context.now)?;
        Ok(Answer {
            changed: begun.is_ok(),
            concerns: None,
            warning: None,
            bulk: begun.is_ok().then_some(run.id),
            bytes: wire::encode(&begun.map(|()| String::new()))?,
        })
    }

    /// Stores a request, if it can be carried out at all.
    fn begin_bulk(
        &self,
        frame: &Frame,
        id: BulkId,
        body: &str,
        now: UnixMillis,
    ) -> Result<Result<(), ScimError>, SqlError> {
        if let Err(error) = Bulk::parse(body, LIMITS) {
            return Ok(Err(error));
        }
        let others = self.sql.exec("SELECT count(*) FROM bulk", &[])?;
        if others.first().map_or(Ok(0), |row| row.integer(0))? >= MAX_AT_ONCE {
            return Ok(Err(ScimError::Busy));
        }
        self.sql.transaction(|| {
            self.sql.exec(
                "INSERT INTO bulk (id, begun, frame, body) VALUES (?, ?, ?, ?)",
                &[
                    id.as_bytes().into(),
                    now.0.into(),
                    wire::encode(frame)?.into(),
                    body.into(),
                ],
            )?;
            self.put_progress(id, &Progress::default())
        })?;
        Ok(Ok(()))
    }

    /// The bulks that are not finished, oldest first.
    pub fn bulks(&self) -> Result<Vec<BulkId>, SqlError> {
        self.ready()?;
        let all = "SELECT id FROM bulk ORDER BY begun, id";
        let rows = self.sql.exec(all, &[])?;
        rows.iter()
            .map(|row| row.bytes(0).map(BulkId::from_bytes))
            .collect()
    }

    /// Takes a bulk up where it is; `None`: there is none of that id.
    pub fn take_up(&self, id: BulkId) -> Result<Option<Running>, SqlError> {
        self.ready()?;
        let stored = "SELECT frame, body, progress FROM bulk JOIN bulk_progress ON bulk = id \
             WHERE id = ?";
        let rows = self.sql.exec(stored, &[id.as_bytes().into()])?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        // It could be read when it was stored.
        let bulk = Bulk::parse(row.text(1)?, LIMITS).map_err(|_| SqlError::corrupt("bulk"))?;
        Ok(Some(Running {
            id,
            bulk,
            frame: wire::decode(row.blob(0)?)?,
            progress: wire::decode(row.blob(2)?)?,
        }))
    }

    /// Carries the next operation out. `new_id` is 16 random bytes, for what it may make.
    pub fn go_on(
        &self,
        running: &mut Running,
        now: UnixMillis,
        new_producer: ProducerId,
        new_id: [u8; 16],
    ) -> Result<Step, SqlError> {
        let stored = "SELECT done, progress FROM bulk_progress WHERE bulk = ?";
        let rows = self.sql.exec(stored, &[running.id.as_bytes().into()])?;
        let Some(row) = rows.first() else {
            return Ok(Step::Gone);
        };
        // Somebody else has gone on, or what was last done was not stored.
        if row.integer(0)? != running.progress.position() as u64 {
            running.progress = wire::decode(row.blob(1)?)?;
        }
        let Some(work) = running.bulk.next(&mut running.progress) else {
            return Ok(Step::Finished);
        };
        let context = Context {
            connection: &running.frame.connection,
            rules: running.frame.rules,
            job: Cell::new(None),
            base: &running.frame.base,
            is_in_transaction: true,
            request: &running.frame.request,
            now,
            new_producer,
        };
        let (bulk, progress) = (&running.bulk, &mut running.progress);
        let id = running.id;
        let concerns = self.sql.transaction(|| {
            let (done, concerns) = self.carry_out_work(&context, &work, new_id)?;
            bulk.record(progress, done);
            self.put_progress(id, progress)?;
            Ok(concerns)
        })?;
        Ok(Step::Done(concerns))
    }

    fn carry_out_work(
        &self,
        context: &Context,
        work: &Work,
        new_id: [u8; 16],
    ) -> Result<(Result<Done, ScimError>, Option<About>), SqlError> {
        let body = || work.data.to_string();
        let change = match work.method {
            Method::Post => Write::Create(body()),
            Method::Put => Write::Replace(body()),
            Method::Patch => Write::Patch(body()),
            Method::Delete => Write::Delete,
        };
        let is_user = work.of.name == USER.name;
        let target = match (&work.id, is_user) {
            (None, true) => Some(Target::User(UserId::from_bytes(new_id))),
            (None, false) => Some(Target::Group(GroupId::from_bytes(new_id))),
            (Some(id), true) => UserId::from_text(id).map(Target::User),
            (Some(id), false) => GroupId::from_text(id).map(Target::Group),
        };
        let Some(target) = target else {
            return Ok((Err(ScimError::NotFound), None));
        };
        let conditions = Ok(work.conditions.clone());
        let (reply, concerns) = self.write_to(context, target, change, conditions, None)?;
        let done = reply.map(|written| Done {
            id: target.id_text(),
            version: written.resource.map(|resource| Version(resource.version)),
        });
        Ok((done, concerns))
    }

    /// A bulk is finished, and what it meant is confirmed.
    pub fn forget_bulk(&self, id: BulkId) -> Result<(), SqlError> {
        self.sql.transaction(|| {
            for statement in [
                "DELETE FROM bulk WHERE id = ?",
                "DELETE FROM bulk_progress WHERE bulk = ?",
            ] {
                self.sql.exec(statement, &[id.as_bytes().into()])?;
            }
            Ok(())
        })
    }

    fn put_progress(&self, id: BulkId, progress: &Progress) -> Result<(), SqlError> {
        let done = progress.position() as u64;
        self.sql
            .exec(
                "INSERT OR REPLACE INTO bulk_progress (bulk, done, progress) VALUES (?, ?, ?)",
                &[
                    id.as_bytes().into(),
                    done.into(),
                    wire::encode(progress)?.into(),
                ],
            )
            .map(drop)
    }
}
