//! Log-ins through a connection, and log-outs at its provider.
//!
//! | crash | what is left | who repairs it |
//! |---|---|---|
//! | after a log-in was noted, before its session | a row of the index | nobody: it is harmless and goes in time |
//! | after a log-out was noted, before its subjects have committed it | commands | the provider's retry, or the alarm |
//! | after a subject has committed it, before that is noted | the command | the same: the subject knows it |

use super::command::{About, Pending, SubjectCommand};
use super::service::{Context, DirectoryService};
use super::store::Stored;
use super::{registry, store, upstream};
use crate::objects::outbox;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::id::SubjectKey;
use portcullis_core::registry::{LoggedOut, SeeLogin, SeenLogin, UpstreamLogout};
use portcullis_core::session::call::SubjectRequest;
use portcullis_core::session::provision::{MAX_PROVISIONED, Provisioned};
use portcullis_core::session::revoke::Cause;

impl<S: Sql> DirectoryService<S> {
    /// Notes who is about to log in, so that a log-out finds them, or says that it has come already.
    ///
    /// Whichever of the two comes first, no session survives both: the session begins only after this
    /// has committed, and a log-out that comes later reaches its subject before or after it begins.
    pub(super) fn see_login(
        &self,
        context: &Context,
        login: &SeeLogin,
    ) -> Result<SeenLogin, SqlError> {
        if upstream::has_ended(&self.sql, &login.upstream, login.flow_begun_at)? {
            return Ok(SeenLogin::Ended);
        }
        let matching = context.rules.matching;
        let key = matching.key(&login.value);
        self.sql.transaction(|| {
            upstream::sweep(&self.sql, context.now)?;
            upstream::note(&self.sql, &login.upstream, login.subject, context.now)?;
            registry::see(&self.sql, login, &key, context.now)?;
            let Some(user) = self.user_of(context.connection, login.subject)? else {
                return Ok(SeenLogin::Seen);
            };
            // Newer than whatever was pushed so far, and older than what will be.
            let version = store::take_versions(&self.sql, 1, context.now)?;
            let says = self.what_is_said_of(Some(&user), version)?;
            Ok(SeenLogin::Provisioned(says))
        })
    }

    /// The user who may log in as that subject.
    fn user_of(&self, connection: &str, subject: SubjectKey) -> Result<Option<Stored>, SqlError> {
        let Some(matching) = store::matching(&self.sql)? else {
            return Ok(None);
        };
        let found = store::user_of(&self.sql, subject)?;
        Ok(found.filter(|(_, user)| {
            let whole = user.to_whole();
            let value = matching.value(&whole);
            value.is_some_and(|value| self.subject_of(connection, matching, value) == subject)
        }))
    }

    /// What the directory says of a person's groups and roles now.
    fn what_is_said_of(
        &self,
        user: Option<&Stored>,
        version: u64,
    ) -> Result<Provisioned, SqlError> {
        let Some((record, user)) = user else {
            return Ok(Provisioned {
                version,
                ..Provisioned::default()
            });
        };
        Ok(Provisioned {
            version,
            groups: store::group_names_of(&self.sql, record.id, MAX_PROVISIONED as u64)?,
            roles: user.roles().into_iter().collect(),
        })
    }

    /// What a subject is sent for a command: what it says of groups and roles is how it is now.
    pub fn requests(
        &self,
        pending: &Pending,
        connection: &str,
    ) -> Result<Vec<SubjectRequest>, SqlError> {
        let says = if pending.command.provisions() {
            let user = self.user_of(connection, pending.subject)?;
            Some(self.what_is_said_of(user.as_ref(), pending.version)?)
        } else {
            None
        };
        Ok(pending.requests(connection, says))
    }

    /// Has everybody whom it concerns be told. The answer waits for them, also if it came before.
    pub(super) fn upstream_logout(
        &self,
        context: &Context,
        logout: &UpstreamLogout,
    ) -> Result<LoggedOut, SqlError> {
        if upstream::was_used(&self.sql, &logout.replay)? {
            return Ok(LoggedOut::Replayed);
        }
        let mut subjects = upstream::known(&self.sql, &logout.upstream)?;
        subjects.extend(logout.subject);
        let command = match logout.upstream.sid {
            Some(sid) => SubjectCommand::EndSession(sid),
            None => SubjectCommand::EndAll,
        };
        let event = Event {
            reason: Some(Cause::UpstreamLogout.as_str().to_owned()),
            subject: subjects.first().copied().filter(|_| subjects.len() == 1),
            request: Some(context.request.clone()),
            ..Event::new(
                context.now,
                Action::Logout,
                Outcome::Success,
                Actor::Connection(context.connection.to_owned()),
            )
        };
        self.sql.transaction(|| {
            upstream::sweep(&self.sql, context.now)?;
            upstream::end(&self.sql, logout, context.now)?;
            let about = About::Logout(logout.replay);
            for subject in &subjects {
                store::add_pending(&self.sql, about, *subject, command, context.now)?;
            }
            outbox::append(&self.sql, vec![event], context.new_producer)
        })?;
        Ok(LoggedOut::Told(
            u32::try_from(subjects.len()).unwrap_or(u32::MAX),
        ))
    }
}
