//! A subject without its runtime: load, decide, store, answer.
//!
//! This is all that the object does between two awaits, so the tests run it whole.

use super::store;
use crate::objects::feed_outbox::{self, Ends, Untold};
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, has_schema, migrate};
use portcullis_core::audit::pack::Pack;
use portcullis_core::feed::entries_of;
use portcullis_core::feed::receipt::{AskReceipts, Position, Receipts};
use portcullis_core::feed::shards::Layouts;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::policy::WideRevocation;
use portcullis_core::session::announce::Announcement;
use portcullis_core::session::call::{SubjectCall, SubjectRequest};
use portcullis_core::session::check::{CheckReply, CheckRequest};
use portcullis_core::session::foreign::{
    CheckForeign, ForeignFacts, ForeignStanding, judge_foreign,
};
use portcullis_core::session::overview::Overview;
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
            SubjectRequest::CheckForeign(check) => {
                wire::encode(&self.check_foreign(&check, &call.revoked, now)?)
            }
            SubjectRequest::LookUp(_) => wire::encode(&self.overview(&call.revoked, now)?),
            SubjectRequest::Receipts(ask) => wire::encode(&self.receipts(ask)?),
            SubjectRequest::Provision(command) => run!(command),
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

    /// Whether an identity provider's token is in force, by what storage holds now, and what the directory says of
    /// its holder.
    pub fn check_foreign(
        &self,
        request: &CheckForeign,
        revoked: &[WideRevocation],
        now: UnixMillis,
    ) -> Result<ForeignStanding, SqlError> {
        let facts = if self.exists()? {
            store::foreign_facts(&self.sql, request)?
        } else {
            ForeignFacts {
                subject: None,
                sid_ended: false,
                provisioned: None,
            }
        };
        Ok(judge_foreign(facts, request, revoked, now))
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
            store::load(&self.sql, key, &command.needs(), now)?
        } else {
            State::unseen(key)
        };
        state.under(revoked);
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
        let ended = entries_of(&state.subject, &decision.changes, now);
        self.sql.transaction(|| {
            for change in &decision.changes {
                store::apply(&self.sql, change, now)?;
            }
            store::end(&self.sql, &ended, &decision.changes, now)?;
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

    /// How it is with the subject now.
    pub fn overview(
        &self,
        revoked: &[WideRevocation],
        now: UnixMillis,
    ) -> Result<Overview, SqlError> {
        if !self.exists()? {
            return Ok(Overview::default());
        }
        let live = self.live_sessions(revoked, now)?;
        Ok(Overview::of(store::subject(&self.sql)?.as_ref(), &live))
    }

    /// Announcements that are due, and whose subject's they are. Each counts as attempted and is due
    /// again only later, so that nobody else takes it on and a crash loses none. Those for which it
    /// is too late are given up here.
    pub fn claim(
        &self,
        now: UnixMillis,
        limit: u64,
        new_producer: ProducerId,
    ) -> Result<Option<(SubjectKey, Vec<Announcement>)>, SqlError> {
        if !self.exists()? {
            return Ok(None);
        }
        let due = store::due(&self.sql, now, limit)?;
        let Some(subject) = store::subject(&self.sql)?.filter(|_| !due.is_empty()) else {
            return Ok(None);
        };
        let (late, claimed): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|one| one.is_given_up(now));
        self.sql.transaction(|| {
            for one in &claimed {
                store::postpone(&self.sql, one, one.next_at(now))?;
            }
            for one in &late {
                store::forget(&self.sql, one.id)?;
            }
            let events = late.iter().map(|one| one.given_up(subject.key, now));
            outbox::append(&self.sql, events.collect(), new_producer)
        })?;
        Ok(Some((subject.key, claimed)))
    }

    /// The client has confirmed it. Of several confirmations the first counts.
    pub fn confirm(
        &self,
        subject: SubjectKey,
        announcement: &Announcement,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<(), SqlError> {
        self.sql.transaction(|| {
            let first = store::forget(&self.sql, announcement.id)?;
            let event = first.then(|| announcement.confirmed(subject, now));
            outbox::append(&self.sql, event.into_iter().collect(), new_producer)
        })
    }

    /// When an announcement is due next; `None` if there is none.
    pub fn next_announcement(&self) -> Result<Option<UnixMillis>, SqlError> {
        if self.exists()? {
            store::next_due(&self.sql)
        } else {
            Ok(None)
        }
    }

    /// What became of revocations.
    pub fn receipts(&self, ask: AskReceipts) -> Result<Receipts, SqlError> {
        if self.exists()? {
            feed_outbox::receipts(&self.sql, ask)
        } else {
            Ok(Receipts {
                receipts: Vec::new(),
                settled: true,
            })
        }
    }

    /// Whether something that was ended waits for the feed.
    pub fn has_untold(&self) -> Result<bool, SqlError> {
        Ok(self.exists()? && feed_outbox::has_waiting(&self.sql)?)
    }

    /// Whether an event waits for the lane.
    pub fn has_waiting(&self) -> Result<bool, SqlError> {
        Ok(self.exists()? && outbox::has_waiting(&self.sql)?)
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

impl<S: Sql> Ends for SubjectService<S> {
    fn untold(&self) -> Result<Vec<Untold>, SqlError> {
        if self.exists()? {
            feed_outbox::waiting(&self.sql)
        } else {
            Ok(Vec::new())
        }
    }

    fn shards(&self, layouts: &Layouts) -> Result<Vec<String>, SqlError> {
        let subject = store::subject(&self.sql)?;
        let subject = subject.ok_or_else(|| SqlError::corrupt("subject"))?;
        Ok(layouts.of_subject(subject.key))
    }

    fn told(&self, entries: &[Untold], positions: &[Position]) -> Result<(), SqlError> {
        feed_outbox::acknowledge(&self.sql, entries, positions)
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
