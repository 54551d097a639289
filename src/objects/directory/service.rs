//! A connection's directory without its runtime.
//!
//! A change to a user, its audit event and the commands it means for subjects are stored in one
//! transaction, and so is a log-out at the provider. The commands are then sent until each subject has
//! confirmed; the reply waits for those of the user or log-out it is about.

use super::command::{About, Pending};
use super::group_store;
use super::jobs;
use super::registry;
use super::render;
use super::store::{self, Stored};
use crate::objects::outbox::{self, Producer};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome, RequestFacts};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::{ProducerId, SubjectKey};
use portcullis_core::registry::LoggedOut;
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    BulkId, ChangeReply, DirectoryCall, DirectoryRequest, Searched, UserChange,
};
use portcullis_core::scim::job::JobId;
use portcullis_core::scim::matching::{Matching, MatchingAttribute};
use portcullis_core::scim::resource::render::Projection;
use portcullis_core::scim::resource::version::Conditions;
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::secret::{Knock, KnockReply, ListSecrets, SecretMade};
use portcullis_core::scim::user::{Record, User, UserId};
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
    /// What an operator has to know.
    pub warning: Option<&'static str>,
    /// What is to be carried out before the answer, which is made of what comes of it.
    pub bulk: Option<BulkId>,
}

/// The connection has another rule than its users were provisioned under.
const OTHER_MATCHING: &str =
    "the connection matches users and log-ins by another rule than this directory was filled under";

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
    pub rules: Rules,
    /// The job that came of it, if one did.
    pub job: Cell<Option<JobId>>,
    pub base: &'a str,
    /// Whether the caller holds a transaction, in which what is changed is stored.
    pub is_in_transaction: bool,
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
        let context = Context {
            connection: &call.connection,
            rules: call.rules,
            job: Cell::new(None),
            base: &call.base,
            is_in_transaction: false,
            request: &call.request,
            now,
            new_producer,
        };
        self.register_users(&context)?;
        if let Some(secret) = &call.secret
            && !self.knows_secret(secret, now)?
        {
            return Ok(Answer {
                bytes: wire::encode(&Err::<(), _>(ScimError::SecretRefused))?,
                changed: false,
                concerns: None,
                warning: None,
                bulk: None,
            });
        }
        if call.operation.goes_by_rules() && !self.goes_by(context.rules.matching)? {
            return Self::refused(&call.operation);
        }
        self.carry_out(&context, call.operation)
    }

    /// Does what is asked by whoever may.
    fn carry_out(
        &self,
        context: &Context,
        operation: DirectoryRequest,
    ) -> Result<Answer, SqlError> {
        let (bytes, changed, concerns) = match operation {
            DirectoryRequest::Create(create) => {
                let (reply, concerns) = self.create(context, create.id, &create.body)?;
                let reply = self.answered(context, reply)?;
                let concerns = concerns.map(About::User);
                (wire::encode(&reply), reply.is_ok(), concerns)
            }
            DirectoryRequest::Get(get) => {
                let found = store::user(&self.sql, get.id)?;
                let reply = self.answered(context, found.ok_or(ScimError::NotFound))?;
                (wire::encode(&reply), false, Some(About::User(get.id)))
            }
            DirectoryRequest::Retired2(_)
            | DirectoryRequest::Retired3(_)
            | DirectoryRequest::Retired4(_) => {
                return Err(SqlError("nothing is asked for by that any more".to_owned()));
            }
            DirectoryRequest::Search(search) => {
                let reply = self.list(context, Searched::Users, &search.asked)?;
                (wire::encode(&reply), false, None)
            }
            DirectoryRequest::Change(change) => {
                let (if_match, if_none_match) = (&change.if_match, &change.if_none_match);
                let conditions = Conditions::new(if_match.as_deref(), if_none_match.as_deref());
                let reply = self.change(context, change.id, &change.change, conditions)?;
                let reply = self.answered_if_there(context, reply)?;
                (
                    wire::encode(&reply),
                    reply.is_ok(),
                    Some(About::User(change.id)),
                )
            }
            DirectoryRequest::SeeLogin(login) => {
                (wire::encode(&self.see_login(context, &login)?), false, None)
            }
            DirectoryRequest::UpstreamLogout(logout) => {
                let reply = self.upstream_logout(context, &logout)?;
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
            DirectoryRequest::Knock(Knock) => {
                let known: KnockReply = Ok(());
                (wire::encode(&known), false, None)
            }
            DirectoryRequest::MakeSecret(keep) => {
                let made = self.make_secret(context, &keep)?;
                (wire::encode(&made), made != SecretMade::TooMany, None)
            }
            DirectoryRequest::ListSecrets(ListSecrets) => {
                (wire::encode(&self.secrets(context.now)?), false, None)
            }
            DirectoryRequest::RemoveSecrets(remove) => {
                let removed = self.remove_secrets(context, &remove)?;
                (wire::encode(&removed), removed > 0, None)
            }
            DirectoryRequest::ListJobs(list) => {
                (wire::encode(&jobs::jobs(&self.sql, list)?), false, None)
            }
            DirectoryRequest::FindJob(find) => {
                (wire::encode(&jobs::job(&self.sql, find.id)?), false, None)
            }
            DirectoryRequest::CountSeats(_) => {
                (wire::encode(&registry::seats(&self.sql)?), false, None)
            }
            DirectoryRequest::Bulk(run) => return self.answer_bulk(context, &run),
            DirectoryRequest::Read(read) => {
                let (reply, concerns) = self.read(context, &read)?;
                (wire::encode(&reply), false, concerns)
            }
            DirectoryRequest::Write(write) => {
                let (reply, concerns) = self.write(context, write)?;
                (wire::encode(&reply), reply.is_ok(), concerns)
            }
            DirectoryRequest::List(list) => {
                let reply = self.list(context, list.of, &list.asked)?;
                (wire::encode(&reply), false, None)
            }
        };
        Ok(Answer {
            bytes: bytes?,
            changed,
            concerns,
            warning: None,
            bulk: None,
        })
    }

    /// Whether that is the rule that the directory was filled under, if it was.
    fn goes_by(&self, matching: Matching) -> Result<bool, SqlError> {
        let remembered = store::matching(&self.sql)?;
        Ok(remembered.is_none_or(|remembered| remembered == matching))
    }

    /// Under another rule everybody would be somebody else: nobody is provisioned, and nobody logs in.
    fn refused(operation: &DirectoryRequest) -> Result<Answer, SqlError> {
        if matches!(operation, DirectoryRequest::SeeLogin(_)) {
            return Err(SqlError(OTHER_MATCHING.to_owned()));
        }
        let reply: Result<(), ScimError> = Err(ScimError::OtherMatching);
        Ok(Answer {
            bytes: wire::encode(&reply)?,
            changed: false,
            concerns: None,
            warning: Some(OTHER_MATCHING),
            bulk: None,
        })
    }

    /// Commands not confirmed that an answer about that must wait for; of tests, or all.
    pub fn pending(&self, about: Option<About>) -> Result<Vec<Pending>, SqlError> {
        self.ready()?;
        match about {
            Some(about) => store::pending(&self.sql, about),
            None => store::due_after(&self.sql, 0, UnixMillis((1 << 53) - 1), (1 << 53) - 1),
        }
    }

    /// Whether nothing waits: no command for a subject, no event for the lane, no bulk.
    pub fn is_settled(&self) -> Result<bool, SqlError> {
        self.ready()?;
        let is_told = !store::has_pending(&self.sql)? && !outbox::has_waiting(&self.sql)?;
        Ok(is_told && self.bulks()?.is_empty())
    }

    pub(super) fn ready(&self) -> Result<(), SqlError> {
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
                        // At that time people were known by their userName, in any case.
                        let name = stored.1.user_name.clone();
                        let matching = Matching {
                            attribute: MatchingAttribute::UserName,
                            folds_case: true,
                        };
                        let subject = self.subject_of(context.connection, matching, &name);
                        let key = matching.key(&name);
                        registry::provision(&self.sql, &stored, subject, &name, &key)?;
                    }
                }
                registry::all_registered(&self.sql)
            })?;
        }
        self.registered.set(true);
        Ok(())
    }

    /// Runs `body` whole or not at all: in a transaction, unless the caller holds one.
    pub(super) fn atomically<T>(
        &self,
        context: &Context,
        body: impl FnOnce() -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        if context.is_in_transaction {
            body()
        } else {
            self.sql.transaction(body)
        }
    }

    /// A POST: the user, or why not, and whose commands the answer must wait for.
    pub(super) fn create(
        &self,
        context: &Context,
        id: UserId,
        body: &str,
    ) -> Result<(Result<Stored, ScimError>, Option<UserId>), SqlError> {
        let user = match User::parse(body) {
            Ok(user) => user,
            Err(error) => return Ok((Err(error), None)),
        };
        if let Some(namesake) = store::user_named(&self.sql, &user.user_name)? {
            let concerned = namesake.0.id;
            if !user.active {
                self.deactivate(context, &namesake)?;
            }
            return Ok((Err(ScimError::Uniqueness), Some(concerned)));
        }
        if let Some(other) = self.known_by_the_value_of(context, &user)? {
            return Ok((Err(ScimError::Uniqueness), Some(other)));
        }
        let stored = (Record::new(id, context.now), user);
        self.store_change(context, None, Some(&stored))?;
        Ok((Ok(stored), Some(id)))
    }

    /// Whoever says that a user is not active means that they be out, also by a POST of somebody who exists
    /// (ADR 18). Nothing else of the user changes.
    fn deactivate(&self, context: &Context, before: &Stored) -> Result<(), SqlError> {
        let (record, user) = before;
        let record = if user.active {
            record.changed(context.now)
        } else {
            *record
        };
        let user = User {
            active: false,
            ..user.clone()
        };
        self.store_change(context, Some(before), Some(&(record, user)))
    }

    /// The user who is a person by the value that makes `user` one.
    fn known_by_the_value_of(
        &self,
        context: &Context,
        user: &User,
    ) -> Result<Option<UserId>, SqlError> {
        match matched(context.rules.matching, user) {
            Some(key) => Ok(store::user_matched(&self.sql, &key)?.map(|(record, _)| record.id)),
            None => Ok(None),
        }
    }

    /// A PUT, PATCH or DELETE. What changes nothing of a user leaves its version and its date, and is
    /// carried out all the same: whoever sends something again waits for what it means.
    pub(super) fn change(
        &self,
        context: &Context,
        id: UserId,
        change: &UserChange,
        conditions: Result<Conditions, ScimError>,
    ) -> Result<Result<Option<Stored>, ScimError>, SqlError> {
        let Some(before) = store::user(&self.sql, id)? else {
            return Ok(Err(ScimError::NotFound));
        };
        if let Err(error) =
            conditions.and_then(|conditions| conditions.check(Some(before.0.version), false))
        {
            return Ok(Err(error));
        }
        let changed = match change {
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
        let namesake = namesake.map(|(record, _)| record.id);
        let same = self.known_by_the_value_of(context, &user)?;
        if [namesake, same].into_iter().flatten().any(|one| one != id) {
            return Ok(Err(ScimError::Uniqueness));
        }
        let record = if user == before.1 {
            before.0
        } else {
            before.0.changed(context.now)
        };
        let after = (record, user);
        self.store_change(context, Some(&before), Some(&after))?;
        Ok(Ok(Some(after)))
    }

    /// The user as they are answered if nothing of them is asked for by name.
    fn rendered(&self, context: &Context, stored: &Stored) -> Result<String, SqlError> {
        render::changed_user(&self.sql, context.base, stored, &Projection::default())
    }

    fn answered(
        &self,
        context: &Context,
        reply: Result<Stored, ScimError>,
    ) -> Result<Result<String, ScimError>, SqlError> {
        reply
            .map(|stored| self.rendered(context, &stored))
            .map_or_else(|error| Ok(Err(error)), |shown| shown.map(Ok))
    }

    fn answered_if_there(
        &self,
        context: &Context,
        reply: Result<Option<Stored>, ScimError>,
    ) -> Result<ChangeReply, SqlError> {
        match reply {
            Ok(Some(stored)) => Ok(Ok(Some(self.rendered(context, &stored)?))),
            Ok(None) => Ok(Ok(None)),
            Err(error) => Ok(Err(error)),
        }
    }

    /// Stores a user's change, what it means for subjects, and its event: all or nothing.
    fn store_change(
        &self,
        context: &Context,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) -> Result<(), SqlError> {
        let Some((record, user)) = after.or(before) else {
            return Ok(());
        };
        let id = record.id;
        let matching = context.rules.matching;
        let whole = user.to_whole();
        let value = matching.value(&whole);
        let subject = value.map(|value| self.subject_of(context.connection, matching, value));
        let change = Change::between(before, after);
        let event = Event {
            reason: Some(change.as_str().to_owned()),
            subject,
            request: Some(context.request.clone()),
            ..Event::new(
                context.now,
                Action::ScimChanged,
                Outcome::Success,
                Actor::Connection(context.connection.to_owned()),
            )
        };
        self.atomically(context, || {
            if store::matching(&self.sql)?.is_none() {
                store::set_matching(&self.sql, matching)?;
            }
            self.take_effect(context, id, before, after)?;
            if let Some(after) = after {
                let key = value.map(|value| matching.key(value));
                store::put_user(&self.sql, after, key.as_deref())?;
            } else {
                group_store::leave_all(&self.sql, id, context.now)?;
                store::delete_user(&self.sql, id)?;
            }
            outbox::append(&self.sql, vec![event], context.new_producer)
        })
    }

    /// The subject of the person with that value.
    pub(super) fn subject_of(
        &self,
        connection: &str,
        matching: Matching,
        value: &str,
    ) -> SubjectKey {
        if matching.folds_case {
            SubjectKey::derive_folded(&self.naming_key, connection, value)
        } else {
            SubjectKey::derive(&self.naming_key, connection, value)
        }
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

/// What of a user is compared, to see who they are; `None`: nobody.
fn matched(matching: Matching, user: &User) -> Option<String> {
    let whole = user.to_whole();
    matching.value(&whole).map(|value| matching.key(value))
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
