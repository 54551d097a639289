//! What the change of a user means for people's subjects, and for who is known under which value. What it
//! does is decided by [`on_change`]; here that becomes commands.
//!
//! A subject is one user's at a time. Whatever was decided before, after a change nobody can log in as any
//! subject that the user ever stood for, but the present one of an active user.
//!
//! Whose value becomes a user's that had another is killed, unless they are kept out: then that was done
//! when they were put out, and a reactivation revives nothing. So who had the value is out before the new
//! one is let in.

use super::command::{About, SubjectCommand};
use super::registry;
use super::service::{Context, DirectoryService};
use super::store::{self, Stored};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::id::SubjectKey;
use portcullis_core::scim::change::{Effect, Standing, Why, on_change};
use portcullis_core::scim::user::UserId;
use portcullis_core::session::revoke::Cause;
use std::collections::{BTreeMap, BTreeSet};

/// A user as changes see them, and the subject that they stand for.
struct Person {
    standing: Standing,
    subject: Option<SubjectKey>,
}

impl Person {
    /// Whom they may log in as.
    fn present(&self) -> Option<SubjectKey> {
        self.subject.filter(|_| self.standing.active)
    }
}

impl<S: Sql> DirectoryService<S> {
    /// Adds the commands that a change of a user means, and has the registry know of it; the caller holds the
    /// transaction and stores the user.
    pub(super) fn take_effect(
        &self,
        context: &Context,
        id: UserId,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), SqlError> {
        let matching = context.rules.matching;
        let was = before.map(|before| self.person(context, before));
        let is = after.map(|after| self.person(context, after));
        let stood_for = [&was, &is].into_iter().flatten();
        for subject in stood_for.filter_map(|person| person.subject) {
            store::link(&self.sql, id, subject)?;
        }
        let effects = on_change(
            was.as_ref().map(|was| &was.standing),
            is.as_ref().map(|is| &is.standing),
            &matching,
            context.rules.group_changes,
        );
        let present = is.as_ref().and_then(Person::present);
        self.disable_all_but(context, id, present, &effects)?;
        if let Some(subject) = present {
            self.let_in(context, id, subject, was.as_ref(), is.as_ref(), &effects)?;
        }
        self.register(context, was.as_ref(), after, is.as_ref())
    }

    fn person(&self, context: &Context, (_, user): &Stored) -> Person {
        let matching = context.rules.matching;
        let standing = Standing::of(
            &user.to_whole(),
            &matching,
            // Of these the group's change says what it means.
            BTreeSet::new(),
            user.roles(),
        );
        let value = standing.value.as_deref();
        let subject = value.map(|value| self.subject_of(context.connection, matching, value));
        Person { standing, subject }
    }

    /// Every subject that the user ever stood for is kept out, but that one.
    fn disable_all_but(
        &self,
        context: &Context,
        id: UserId,
        present: Option<SubjectKey>,
        effects: &[Effect],
    ) -> Result<(), SqlError> {
        let mut causes = BTreeMap::new();
        let mut usual = Cause::ScimRenamed;
        for effect in effects {
            if let Effect::Disable { value, why } = effect {
                let matching = context.rules.matching;
                let subject = self.subject_of(context.connection, matching, value);
                causes.insert(subject, cause(*why));
                // Of what the user stood for before, if there is any that is not out yet.
                usual = cause(*why);
            }
        }
        for subject in store::linked(&self.sql, id)? {
            if Some(subject) != present && !store::is_held(&self.sql, subject)? {
                let cause = causes.get(&subject).copied().unwrap_or(usual);
                self.command(context, id, subject, SubjectCommand::Disable(cause))?;
            }
        }
        Ok(())
    }

    /// What of the effects is for whom the user may log in as.
    fn let_in(
        &self,
        context: &Context,
        id: UserId,
        subject: SubjectKey,
        was: Option<&Person>,
        is: Option<&Person>,
        effects: &[Effect],
    ) -> Result<(), SqlError> {
        let is_held = store::is_held(&self.sql, subject)?;
        let why = effects.iter().find_map(|effect| match effect {
            Effect::Reauthenticate { why, .. } if !is_held => Some(*why),
            _ => None,
        });
        let present = was.and_then(Person::present);
        let roles = |person: Option<&Person>| person.map(|person| person.standing.roles.clone());
        let is_news = present != Some(subject) || roles(was) != roles(is);
        let provisions = is_news && registry::has_logged_in(&self.sql, subject)?;
        let command = match (provisions, why.map(cause)) {
            (true, Some(cause)) => Some(SubjectCommand::ProvisionAndEnd(cause)),
            (true, None) => Some(SubjectCommand::Provision),
            (false, Some(cause)) => Some(SubjectCommand::End(cause)),
            (false, None) => None,
        };
        if let Some(command) = command {
            self.command(context, id, subject, command)?;
        }
        if is_held {
            self.command(context, id, subject, SubjectCommand::Reactivate)?;
        }
        Ok(())
    }

    fn command(
        &self,
        context: &Context,
        id: UserId,
        subject: SubjectKey,
        command: SubjectCommand,
    ) -> Result<(), SqlError> {
        store::add_pending(&self.sql, About::User(id), subject, command, context.now)
    }

    /// Has the registry say who is provisioned under which value.
    fn register(
        &self,
        context: &Context,
        was: Option<&Person>,
        after: Option<&Stored>,
        is: Option<&Person>,
    ) -> Result<(), SqlError> {
        let old = was.and_then(|was| was.subject);
        let new = is.and_then(|is| is.subject);
        if let Some(old) = old.filter(|_| old != new) {
            registry::unprovision(&self.sql, old)?;
        }
        let value = is.and_then(|is| is.standing.value.as_deref());
        if let (Some(after), Some(subject), Some(value)) = (after, new, value) {
            let key = context.rules.matching.key(value);
            registry::provision(&self.sql, after, subject, value, &key)?;
        }
        Ok(())
    }
}

/// What that is called where something is ended.
pub const fn cause(why: Why) -> Cause {
    match why {
        Why::Deactivated => Cause::ScimDeactivated,
        Why::Deleted => Cause::ScimDeleted,
        Why::Renamed => Cause::ScimRenamed,
        Why::Reassigned => Cause::ScimReassigned,
        Why::GroupLost => Cause::ScimGroupLost,
        Why::RoleLost => Cause::ScimRoleLost,
        Why::GroupsChanged => Cause::ScimGroupsChanged,
    }
}
