//! What the policy keeps of connections: their documents, and whether each is on.
//!
//! Turning one off, removing it, and changing what says who somebody is all end what rests on it, by
//! the wide revocation of its id, in the same transaction.

use super::service::{PolicyService, document};
use super::store;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::Action;
use portcullis_core::connection::{Connection, NeedsSecret};
use portcullis_core::id::ProducerId;
use portcullis_core::policy::WideScope;
use portcullis_core::policy::call::{
    ConnectionKept, DeleteConnection, EnableConnection, KeptConnection, PutConnection,
};
use portcullis_core::time::UnixMillis;

/// How many connections there may be, with those that were removed: every isolate holds all of them.
pub const MAX_CONNECTIONS: usize = 200;

impl<S: Sql> PolicyService<S> {
    pub(super) fn put_connection(
        &self,
        put: &PutConnection,
        at: (UnixMillis, ProducerId),
    ) -> Result<ConnectionKept, SqlError> {
        let connection: Connection = document(&put.connection, "connection")?;
        self.change(&put.by, at, |change| {
            let kept = store::connection(&self.sql, &connection.id)?;
            // One that was removed is known, and its id stays taken.
            let before = match &kept {
                Some(KeptConnection {
                    document: Some(json),
                    ..
                }) => Some(document::<Connection>(json, "connection")?),
                _ => None,
            };
            if kept.is_some() == put.new || before.is_some() == put.new {
                return Ok(ConnectionKept::Mismatch);
            }
            if put.new && store::connections(&self.sql)?.len() >= MAX_CONNECTIONS {
                return Ok(ConnectionKept::Full);
            }
            if let Some(before) = before.as_ref()
                && !before.knows_the_people_of(&connection)
            {
                return Ok(ConnectionKept::OtherPeople);
            }
            if let Some(other) = self.in_the_way_of(&connection)? {
                return Ok(ConnectionKept::Taken(other));
            }
            let was_enabled = kept.is_none_or(|kept| kept.enabled);
            let connection = match connection.keeps_secret_of(before.as_ref()) {
                Ok(connection) => Connection {
                    enabled: put.enabled.unwrap_or(was_enabled),
                    ..connection
                },
                Err(NeedsSecret) => return Ok(ConnectionKept::NeedsSecret),
            };
            let json = serde_json::to_string(&connection);
            let json = json.map_err(|_| SqlError::corrupt("connection"))?;
            let now_kept = KeptConnection {
                id: connection.id.clone(),
                document: Some(json.clone()),
                enabled: connection.enabled,
            };
            store::put_connection(&self.sql, &now_kept)?;
            let reason = if put.new { "created" } else { "updated" };
            change.note(Action::ConnectionChanged, reason, None);
            if connection.enabled != was_enabled {
                change.note(Action::ConnectionChanged, said(connection.enabled), None);
            }
            // What rests on it may be somebody else's now, or more than they may.
            let ends = (was_enabled && !connection.enabled)
                || before.is_some_and(|before| !before.carries_on_as(&connection));
            let revoked = if ends {
                Some(self.revoke(WideScope::Connection(connection.id), change)?)
            } else {
                None
            };
            Ok(ConnectionKept::Kept(json, revoked))
        })
    }

    pub(super) fn enable_connection(
        &self,
        enable: &EnableConnection,
        at: (UnixMillis, ProducerId),
    ) -> Result<bool, SqlError> {
        self.change(&enable.by, at, |change| {
            let kept = store::connection(&self.sql, &enable.id)?;
            let is_there = kept.as_ref().is_some_and(|kept| kept.document.is_some());
            if !is_there && !enable.is_static {
                return Ok(false);
            }
            let kept = kept.unwrap_or(KeptConnection {
                id: enable.id.clone(),
                document: None,
                enabled: true,
            });
            if kept.enabled != enable.enabled {
                let enabled = enable.enabled;
                store::put_connection(&self.sql, &KeptConnection { enabled, ..kept })?;
                change.note(Action::ConnectionChanged, said(enabled), None);
            }
            // Also of one that is off already: whoever asks wants to be sure.
            if !enable.enabled {
                self.revoke(WideScope::Connection(enable.id.clone()), change)?;
            }
            Ok(true)
        })
    }

    pub(super) fn delete_connection(
        &self,
        delete: &DeleteConnection,
        at: (UnixMillis, ProducerId),
    ) -> Result<bool, SqlError> {
        self.change(&delete.by, at, |change| {
            // Asked again, the answer waits again: the first may have been lost.
            match store::connection(&self.sql, &delete.id)? {
                None => return Ok(false),
                Some(kept) if kept.document.is_none() => return Ok(true),
                Some(_) => {}
            }
            let gone = KeptConnection {
                id: delete.id.clone(),
                document: None,
                enabled: false,
            };
            store::put_connection(&self.sql, &gone)?;
            change.note(Action::ConnectionChanged, "deleted", None);
            self.revoke(WideScope::Connection(delete.id.clone()), change)?;
            Ok(true)
        })
    }

    /// Another connection that would accept the tokens of `connection`, or whose keys are kept at the same
    /// place, which has room for one's.
    fn in_the_way_of(&self, connection: &Connection) -> Result<Option<String>, SqlError> {
        for kept in store::connections(&self.sql)? {
            let Some(json) = kept.document.filter(|_| kept.id != connection.id) else {
                continue;
            };
            let other: Connection = document(&json, "connection")?;
            let same_place =
                connection.api_shield.is_some() && other.api_shield == connection.api_shield;
            if same_place || other.shares_tokens_with(connection) {
                return Ok(Some(kept.id));
            }
        }
        Ok(None)
    }
}

const fn said(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}
