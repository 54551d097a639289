//! A connection's directory without its runtime.
//!
//! A change to a user, its audit event and the commands it means for subjects are stored in one
//! transaction, and so is a log-out at the provider. The commands are then sent until each subject has
//! confirmed; the reply waits for those of the user or log-out it is about.

use super::command::{About, Pending, SubjectCommand};
use super::registry;
use super::search;
use super::store::{self, Stored};
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::registry::LoggedOut;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ChangeReply, ChangeUser, DirectoryCall, DirectoryRequest, FindUser, Found, UserChange,
};
use portcullis_core::scim::resource::render::{Projection, projected};
use portcullis_core::scim::resource::version::Conditions;
use portcullis_core::scim::schema::USER;
use portcullis_core::scim::user::{Record, User, UserId};
use portcullis_core::session::revoke::Cause;
use portcullis_core::text::folded;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;

/// An answer, and whose pending commands it must wait for.
pub struct Answer {
    /// The encoded reply.
    pub bytes: Vec<u8>,
    /// Whether anything was stored that has to be delivered.
    pub changed: bool,
    /// What the answer must wait for the pending commands of: also a user that the request was refused
    /// because of, for a provider takes "exists" and "not found" for done.
    pub concerns: Option<About>,
}

/// A directory over its storage.
pub struct DirectoryService<S> {
    pub(super) sql: S,
    naming_key: [u8; 32],
    migrated: Cell<bool>,
    registered: Cell<bool>,
}

/// What of a call the operations need besides their own fields.
pub(super) struct Context<'a> {
    pub connection: &'a str,
    pub users_url: &'a str,
    pub request: &'a RequestFacts,
    pub now: UnixMillis,
    pub new_producer: ProducerId,
}

impl<S: Sql> DirectoryService<S> {
    /// A directory over `sql`; nothing is read or written yet.
    pub const fn new(sql: S, naming_key: [u8; 32]) -> Self {
        Self {
            sql,
            naming_key,
            migrated: Cell::new(false),
            registered: Cell::new(false),
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

    /// Answers `call`. `new_producer` is 16 random bytes, used with the first event ever.
    pub fn answer(
        &self,
        call: DirectoryCall,
        now: UnixMillis,
        new_producer: ProducerId,
    ) -> Result<Answer, SqlError> {
        self.ready()?;
        let users_url = format!("{}/Users", call.base);
        let context = Context {
            connection: &call.connection,
            users_url: &users_url,
            request: &call.request,
            now,
            new_producer,
        };
        self.register_users(&context)?;
        let (bytes, changed, concerns) = match call.operation {
            DirectoryRequest::Create(create) => {
                let (reply, concerns) = self.create(&context, create.id, &create.body)?;
                (
                    wire::encode(&reply),
                    reply.is_ok(),
                    concerns.map(About::User),
                )
            }
            DirectoryRequest::Get(get) => {
                let reply = store::user(&self.sql, get.id)?
                    .map(|stored| rendered(context.users_url, &stored))
                    .ok_or(ScimError::NotFound);
                (wire::encode(&reply), false, Some(About::User(get.id)))
            }
            DirectoryRequest::Find(find) => {
                (wire::encode(&self.find(&context, &find)?), false, None)
            }
            DirectoryRequest::Patch(patch) => {
                let change = UserChange::Patch(patch.body);
                let reply = self.change(&context, &unconditional(patch.id, change))?;
                let reply = reply.map(Option::unwrap_or_default);
                (
                    wire::encode(&reply),
                    reply.is_ok(),
                    Some(About::User(patch.id)),
                )
            }
            DirectoryRequest::Delete(delete) => {
                let delete = unconditional(delete.id, UserChange::Delete);
                let reply = self.change(&context, &delete)?.map(drop);
                (
                    wire::encode(&reply),
                    reply.is_ok(),
                    Some(About::User(delete.id)),
                )
            }
            DirectoryRequest::Search(search) => {
                let reply = search::users(&self.sql, context.users_url, &search.asked)?;
                (wire::encode(&reply), false, None)
            }
            DirectoryRequest::Change(change) => {
                let reply = self.change(&context, &change)?;
                (
                    wire::encode(&reply),
                    reply.is_ok(),
                    Some(About::User(change.id)),
                )
            }
            DirectoryRequest::SeeLogin(login) => (
                wire::encode(&self.see_login(&context, &login)?),
                false,
                None,
            ),
            DirectoryRequest::UpstreamLogout(logout) => {
                let reply = self.upstream_logout(&context, &logout)?;
                let concerns = Some(About::Logout(logout.replay));
                (wire::encode(&reply), reply != LoggedOut::Replayed, concerns)
            }
            DirectoryRequest::ListPeople(list) => (
                wire::encode(&registry::people(&self.sql, &list)?),
                false,
                None,
            ),
            DirectoryRequest::FindPerson(find) => {
                let found = registry::person(&self.sql, find.subject)?;
                (wire::encode(&found), false, None)
            }
        };
        Ok(Answer {
            bytes: bytes?,
            changed,
            concerns,
        })
    }

    /// Commands not confirmed that an answer about that must wait for, or all.
    pub fn pending(&self, about: Option<About>) -> Result<Vec<Pending>, SqlError> {
        self.ready()?;
        store::pending(&self.sql, about)
    }

    /// Whether nothing waits: no command for a subject, no event for the lane.
    pub fn is_settled(&self) -> Result<bool, SqlError> {
        Ok(self.pending(None)?.is_empty() && self.waiting()?.is_empty())
    }

    /// The subject has committed the command of that version.
    pub fn confirm(&self, version: u64) -> Result<(), SqlError> {
        store::confirm(&self.sql, version)
    }

    fn ready(&self) -> Result<(), SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(())
    }

    /// Puts users from before there was a registry into it, once.
    fn register_users(&self, context: &Context) -> Result<(), SqlError> {
        if self.registered.get() {
            return Ok(());
        }
        let users = registry::unregistered(&self.sql)?;
        if !users.is_empty() {
            self.sql.transaction(|| {
                for id in users {
                    if let Some(stored) = store::user(&self.sql, id)? {
                        let subject = self.subject_of(context, &stored.1);
                        registry::provision(&self.sql, &stored, subject)?;
                    }
                }
                registry::all_registered(&self.sql)
            })?;
        }
        self.registered.set(true);
        Ok(())
    }

    fn create(
        &self,
        context: &Context,
        id: UserId,
        body: &str,
    ) -> Result<(Result<String, ScimError>, Option<UserId>), SqlError> {
        let user = match User::parse(body) {
            Ok(user) => user,
            Err(error) => return Ok((Err(error), None)),
        };
        if let Some((namesake, _)) = store::user_named(&self.sql, &user.user_name)? {
            return Ok((Err(ScimError::Uniqueness), Some(namesake.id)));
        }
        let stored = (Record::new(id, context.now), user);
        self.store_change(context, None, Some(&stored))?;
        Ok((Ok(rendered(context.users_url, &stored)), Some(id)))
    }

    /// A PUT, PATCH or DELETE. What changes nothing of a user leaves its version and its date, and is
    /// carried out all the same: whoever sends something again waits for what it means.
    fn change(&self, context: &Context, request: &ChangeUser) -> Result<ChangeReply, SqlError> {
        let id = request.id;
        let Some(before) = store::user(&self.sql, id)? else {
            return Ok(Err(ScimError::NotFound));
        };
        let (if_match, if_none_match) = (&request.if_match, &request.if_none_match);
        let conditions = Conditions::new(if_match.as_deref(), if_none_match.as_deref());
        if let Err(error) =
            conditions.and_then(|conditions| conditions.check(Some(before.0.version), false))
        {
            return Ok(Err(error));
        }
        let changed = match &request.change {
            UserChange::Replace(body) => before.1.replaced_by(body),
            UserChange::Patch(body) => before.1.patched_by(body),
            UserChange::Delete => {
                self.store_change(context, Some(&before), None)?;
                return Ok(Ok(None));
            }
        };
        let user = match changed {
            Ok(user) => user,
            Err(error) => return Ok(Err(error)),
        };
        let namesake = store::user_named(&self.sql, &user.user_name)?;
        if namesake.is_some_and(|(record, _)| record.id != id) {
            return Ok(Err(ScimError::Uniqueness));
        }
        let record = if user == before.1 {
            before.0
        } else {
            before.0.changed(context.now)
        };
        let after = (record, user);
        self.store_change(context, Some(&before), Some(&after))?;
        Ok(Ok(Some(rendered(context.users_url, &after))))
    }

    fn find(&self, context: &Context, find: &FindUser) -> Result<Found, SqlError> {
        let (total, users) = if let Some(name) = &find.user_name {
            let found = store::user_named(&self.sql, name)?;
            (u64::from(found.is_some()), found.into_iter().collect())
        } else {
            let skip = u64::from(find.start_index.saturating_sub(1));
            let page = store::users(&self.sql, false, skip, u64::from(find.count))?;
            (store::count_users(&self.sql)?, page)
        };
        let resources = users.iter().map(|one| rendered(context.users_url, one));
        Ok(Found {
            total,
            resources: resources.collect(),
        })
    }

    /// Stores a user's change, what it means for subjects, and its event: all or nothing.
    fn store_change(
        &self,
        context: &Context,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), SqlError> {
        let Some((record, named)) = after.or(before) else {
            return Ok(());
        };
        let (id, subject) = (record.id, self.subject_of(context, named));
        let change = Change::between(before, after);
        let event = Event {
            reason: Some(change.as_str().to_owned()),
            subject: Some(subject),
            request: Some(context.request.clone()),
            ..Event::new(
                context.now,
                Action::ScimChanged,
                Outcome::Success,
                Actor::Connection(context.connection.to_owned()),
            )
        };
        self.sql.transaction(|| {
            self.command_subjects(context, id, before, after)?;
            match after {
                Some(after) => store::put_user(&self.sql, after)?,
                None => store::delete_user(&self.sql, id)?,
            }
            self.register(context, before, after)?;
            outbox::append(&self.sql, vec![event], context.new_producer)
        })
    }

    /// Has the registry say who is provisioned under which name.
    fn register(
        &self,
        context: &Context,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), SqlError> {
        let name = |stored: Option<&Stored>| stored.map(|(_, user)| folded(&user.user_name));
        if let Some((_, user)) = before.filter(|_| name(before) != name(after)) {
            registry::unprovision(&self.sql, &user.user_name)?;
        }
        match after {
            Some(after) => {
                registry::provision(&self.sql, after, self.subject_of(context, &after.1))
            }
            None => Ok(()),
        }
    }

    /// Adds the commands that a change means. Every way to end access is a `Disable`.
    fn command_subjects(
        &self,
        context: &Context,
        id: UserId,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), SqlError> {
        if let Some((_, user)) = before {
            store::link(&self.sql, id, self.subject_of(context, user))?;
        }
        let Some((_, user)) = after else {
            return self.disable_all(context, id, None, Cause::ScimDeleted);
        };
        let subject = self.subject_of(context, user);
        store::link(&self.sql, id, subject)?;
        if !user.active {
            return self.disable_all(context, id, None, Cause::ScimDeactivated);
        }
        // Names that this user no longer has must not log in as anyone.
        self.disable_all(context, id, Some(subject), Cause::ScimRenamed)?;
        if store::is_held(&self.sql, subject)? {
            let (about, reactivate) = (About::User(id), SubjectCommand::Reactivate);
            store::add_pending(&self.sql, about, subject, reactivate, context.now)?;
        }
        Ok(())
    }

    fn disable_all(
        &self,
        context: &Context,
        id: UserId,
        except: Option<SubjectKey>,
        cause: Cause,
    ) -> Result<(), SqlError> {
        for subject in store::linked(&self.sql, id)? {
            if Some(subject) != except && !store::is_held(&self.sql, subject)? {
                let (about, disable) = (About::User(id), SubjectCommand::Disable(cause));
                store::add_pending(&self.sql, about, subject, disable, context.now)?;
            }
        }
        Ok(())
    }

    fn subject_of(&self, context: &Context, user: &User) -> SubjectKey {
        SubjectKey::derive_folded(&self.naming_key, context.connection, &user.user_name)
    }
}

impl<S: Sql> Producer for DirectoryService<S> {
    fn waiting(&self) -> Result<Vec<Pack>, SqlError> {
        self.ready()?;
        outbox::waiting(&self.sql)
    }

    fn acknowledge(&self, packs: &[Pack]) -> Result<(), SqlError> {
        outbox::acknowledge(&self.sql, packs)
    }
}

const fn unconditional(id: UserId, change: UserChange) -> ChangeUser {
    ChangeUser {
        id,
        change,
        if_match: None,
        if_none_match: None,
    }
}

/// The resource as it is answered if nothing of it is asked for by name.
pub(super) fn rendered(users_url: &str, (record, user): &Stored) -> String {
    let whole = user.resource(record, users_url);
    serde_json::Value::Object(projected(&USER, &whole, &Projection::default())).to_string()
}

/// What a change is called in the log.
enum Change {
    Created,
    Updated,
    Deactivated,
    Reactivated,
    Deleted,
}

impl Change {
    fn between(before: Option<&Stored>, after: Option<&Stored>) -> Self {
        match (before, after) {
            (None, _) => Self::Created,
            (_, None) => Self::Deleted,
            (Some((_, before)), Some((_, after))) => match (before.active, after.active) {
                (true, false) => Self::Deactivated,
                (false, true) => Self::Reactivated,
                _ => Self::Updated,
            },
        }
    }

    const fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deactivated => "deactivated",
            Self::Reactivated => "reactivated",
            Self::Deleted => "deleted",
        }
    }
}
