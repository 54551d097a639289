//! Log-ins through a connection, and log-outs at its provider.
//!
//! | crash | what is left | who repairs it |
//! |---|---|---|
//! | after a log-in was noted, before its session | a row of the index | nobody: it is harmless and goes in time |
//! | after a log-out was noted, before its subjects have committed it | commands | the provider's retry, or the alarm |
//! | after a subject has committed it, before that is noted | the command | the same: the subject knows it |

use super::command::{About, SubjectCommand};
use super::service::{Context, DirectoryService};
use super::{registry, store, upstream};
use crate::objects::outbox;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::registry::{LoggedOut, SeeLogin, SeenLogin, UpstreamLogout};
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
        self.sql.transaction(|| {
            upstream::sweep(&self.sql, context.now)?;
            upstream::note(&self.sql, &login.upstream, login.subject, context.now)?;
            registry::see(&self.sql, login, context.now)
        })?;
        Ok(SeenLogin::Seen)
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
