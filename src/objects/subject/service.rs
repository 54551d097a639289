//! A subject without its runtime: load, decide, store, answer.
//!
//! This is all that the object does between two awaits, so the tests run it whole.

use super::store;
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, has_schema, migrate};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::policy::WideRevocation;
use portcullis_core::session::call::{SubjectCall, SubjectRequest};
use portcullis_core::session::check::{CheckReply, CheckRequest};
use portcullis_core::session::{CheckFacts, Command, Session, State, judge};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;

/// One subject over its storage.
pub struct SubjectService<S> {
    sql: S,
    migrated: Cell<bool>,
}

impl<S: Sql> SubjectService<S> {
    /// A subject over `sql`; nothing is read or written yet.
    pub const fn new(sql: S) -> Self {
        Self {
            sql,
            migrated: Cell::new(false),
        }
    }

    /// The storage, for tests to break.
    #[cfg(test)]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// The storage alone, as a restart leaves it.
    #[cfg(test)]
    pub fn into_sql(self) -> S {
        self.sql
    }

    /// Answers `call`. `new_producer` is 16 random bytes, used if this is the first event the subject
    /// ever logs.
    pub fn answer(
        &self,
        call: SubjectCall,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Vec<u8>, SqlError> {
        macro_rules! run {
            ($command:expr) => {
                wire::encode(&self.run(call.subject, &call.revoked, $command, now, new_producer)?)
            };
        }
        let reply = match call.request {
            SubjectRequest::Check(check) => {
                wire::encode(&self.check(&check, &call.revoked, now)?)
            }
            SubjectRequest::ListSessions(_) => {
                wire::encode(&self.live_sessions(&call.revoked, now)?)
            }
            SubjectRequest::Login(command) => run!(command),
            SubjectRequest::Redeem(command) => run!(command),
            SubjectRequest::Revoke(command) => run!(command),
            SubjectRequest::Reactivate(command) => run!(command),
            SubjectRequest::Refresh(command) => run!(command),
            SubjectRequest::IssueToService(command) => run!(command),
            SubjectRequest::Exchange(command) => run!(command),
            SubjectRequest::Describe(command) => run!(command),
            SubjectRequest::DescribeRefresh(command) => run!(command),
            SubjectRequest::UseOnce(command) => run!(command),
            SubjectRequest::AskConsent(command) => run!(command),
            SubjectRequest::ForgetConsent(command) => run!(command),
        };
        Ok(reply?)
    }

    /// Whether a credential is in force, by what storage holds now.
    pub fn check(
        &self,
        request: &CheckRequest,
        revoked: &[WideRevocation],
        now: UnixMillis,
    ) -> Result<CheckReply, SqlError> {
        let facts = if self.exists()? {
            let mut facts = store::check_facts(&self.sql, request)?;
            if let Some(session) = &mut facts.session {
                session.end_if_covered(revoked);
            }
            facts
        } else {
            CheckFacts {
                subject: None,
                session: None,
                token_revoked: false,
            }
        };
        Ok(CheckReply {
            verdict: judge(&facts, request, now),
            checked_at: now,
        })
    }

    /// Decides `command` and stores what it comes to, all of it or nothing.
    pub fn run<C: Command>(
        &self,
        key: SubjectKey,
        revoked: &[WideRevocation],
        command: C,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<C::Reply, SqlError> {
        let mut state = if self.exists()? {
            store::load(&self.sql, key, &command.needs())?
        } else {
            State::unseen(key)
        };
        for session in &mut state.sessions {
            session.end_if_covered(revoked);
        }
        let decision = command.decide(&state, now);
        if decision.changes.is_empty() && decision.events.is_empty() {
            return Ok(decision.reply);
        }
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        // A crash before the commit leaves nothing of it, one after it leaves the events in the
        // outbox with the change they tell of.
        self.sql.transaction(|| {
            for change in &decision.changes {
                store::apply(&self.sql, change, now)?;
            }
            outbox::append(&self.sql, decision.events, new_producer)
        })?;
        Ok(decision.reply)
    }

    /// Sessions that are in force.
    pub fn live_sessions(
        &self,
        revoked: &[WideRevocation],
        now: UnixMillis,
    ) -> Result<Vec<Session>, SqlError> {
        if !self.exists()? {
            return Ok(Vec::new());
        }
        let mut sessions = store::sessions(&self.sql)?;
        sessions.retain_mut(|session| {
            session.end_if_covered(revoked);
            session.is_live(now)
        });
        Ok(sessions)
    }

    fn exists(&self) -> Result<bool, SqlError> {
        // Only that it exists is worth remembering.
        if !self.migrated.get() && has_schema(&self.sql)? {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(self.migrated.get())
    }
}

impl<S: Sql> Producer for SubjectService<S> {
    fn waiting(&self) -> Result<Vec<Pack>, SqlError> {
        if self.exists()? {
            outbox::waiting(&self.sql)
        } else {
            Ok(Vec::new())
        }
    }

    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError> {
        outbox::acknowledge(&self.sql, packs)
    }
}
