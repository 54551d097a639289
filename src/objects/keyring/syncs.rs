//! Connections' keys at API Shield: the rules are core's ([`portcullis_core::connection::sync`]); here they
//! are read, decided on and stored in one transaction, with the audit event of what is worth one.

use super::call::{BeginSync, EndSync};
use super::store;
use crate::objects::outbox;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::{Action, Event, Outcome};
use portcullis_core::connection::sync::{Begun, News, SyncState};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;

/// Whether a run may begin.
pub fn begin(sql: &impl Sql, call: &BeginSync, now: UnixMillis) -> Result<Begun, SqlError> {
    sql.transaction(|| {
        let mut state = store::sync(sql, &call.connection)?;
        let begun = state.begin(call.forced, now);
        if matches!(begun, Begun::Run { .. }) {
            store::put_sync(sql, &call.connection, &state)?;
        }
        Ok(begun)
    })
}

/// A run has ended; says what is known now, and whether that was worth an event.
pub fn end(
    sql: &impl Sql,
    end: EndSync,
    now: UnixMillis,
    new_producer: ProducerId,
) -> Result<(SyncState, bool), SqlError> {
    sql.transaction(|| {
        let mut state = store::sync(sql, &end.connection)?;
        let news = state.end(end.run, end.ended, now);
        store::put_sync(sql, &end.connection, &state)?;
        let (outcome, reason) = match news {
            Some(News::Sent) => (Outcome::Success, "sent"),
            Some(News::Failed(error)) => (Outcome::Denied, error.as_str()),
            None => return Ok((state, false)),
        };
        let event = Event {
            reason: Some(reason.to_owned()),
            request: end.by.request,
            ..Event::new(now, Action::KeysSynced, outcome, end.by.actor)
        };
        outbox::append(sql, vec![event], new_producer)?;
        Ok((state, true))
    })
}
