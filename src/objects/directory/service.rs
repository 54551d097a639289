//! A connection's directory without its runtime.
//!
//! A change to a user, its audit event and the commands it means for subjects are stored in one
//! transaction, and so is a log-out at the provider. The commands are then sent until each subject has
//! confirmed; the reply waits for those of the user or log-out it is about.

use super::command::{About, Pending};
use super::jobs;
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
    ChangeReply, ChangeUser, DirectoryCall, DirectoryRequest, UserChange,
};
use portcullis_core::scim::matching::{Matching, MatchingAttribute};
use portcullis_core::scim::resource::render::{Projection, projected};
use portcullis_core::scim::resource::version::Conditions;
use portcullis_core::scim::rules::Rules;
use portcullis_core::scim::schema::USER;
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
    pub users_url: &'a str,
    pub rules: Rules,
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
            rules: call.rules,
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
            });
        }
        if call.operation.goes_by_rules() && !self.goes_by(&context.rules.matching)? {
            return self.refused(&call.operation);
        }
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
            DirectoryRequest::Retired2(_)
            | DirectoryRequest::Retired3(_)
            | DirectoryRequest::Retired4(_) => {
                return Err(SqlError("nothing is asked for by that any more".to_owned()));
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
            DirectoryRequest::Knock(Knock) => {
                let known: KnockReply = Ok(());
                (wire::encode(&known), false, None)
            }
            DirectoryRequest::MakeSecret(make) => {
                let made = self.make_secret(&context, &make)?;
                (wire::encode(&made), made != SecretMade::TooMany, None)
            }
            DirectoryRequest::ListSecrets(ListSecrets) => {
                (wire::encode(&self.secrets(now)?), false, None)
            }
            DirectoryRequest::RemoveSecrets(remove) => {
                let removed = self.remove_secrets(&context, &remove)?;
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
        };
        Ok(Answer {
            bytes: bytes?,
            changed,
            concerns,
            warning: None,
        })
    }

    /// Whether that is the rule that the directory was filled under, if it was.
    fn goes_by(&self, matching: &Matching) -> Result<bool, SqlError> {
        let remembered = store::matching(&self.sql)?;
        Ok(remembered.is_none_or(|remembered| remembered == *matching))
    }

    /// Under another rule everybody would be somebody else: nobody is provisioned, and nobody logs in.
    fn refused(&self, operation: &DirectoryRequest) -> Result<Answer, SqlError> {
        if matches!(operation, DirectoryRequest::SeeLogin(_)) {
            return Err(SqlError(OTHER_MATCHING.to_owned()));
        }
        let reply: Result<(), ScimError> = Err(ScimError::OtherMatching);
        Ok(Answer {
            bytes: wire::encode(&reply)?,
            changed: false,
            concerns: None,
            warning: Some(OTHER_MATCHING),
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

    /// Whether nothing waits: no command for a subject, no event for the lane.
    pub fn is_settled(&self) -> Result<bool, SqlError> {
        self.ready()?;
        Ok(!store::has_pending(&self.sql)? && !outbox::has_waiting(&self.sql)?)
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
                        let subject = self.subject_of(context.connection, &matching, &name);
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
        if let Some(namesake) = store::user_named(&self.sql, &user.user_name)? {
            let concerned = namesake.0.id;
            if !user.active {
                self.deactivate(context, namesake)?;
            }
            return Ok((Err(ScimError::Uniqueness), Some(concerned)));
        }
        if let Some(other) = self.known_by_the_value_of(context, &user)? {
            return Ok((Err(ScimError::Uniqueness), Some(other)));
        }
        let stored = (Record::new(id, context.now), user);
        self.store_change(context, None, Some(&stored))?;
        Ok((Ok(rendered(context.users_url, &stored)), Some(id)))
    }

    /// Whoever says that a user is not active means that they be out, also by a POST of somebody who exists
    /// (ADR 18). Nothing else of the user changes.
    fn deactivate(&self, context: &Context, before: Stored) -> Result<(), SqlError> {
        let (record, user) = &before;
        let record = if user.active {
            record.changed(context.now)
        } else {
            *record
        };
        let user = User {
            active: false,
            ..user.clone()
        };
        self.store_change(context, Some(&before), Some(&(record, user)))
    }

    /// The user who is a person by the value that makes `user` one.
    fn known_by_the_value_of(
        &self,
        context: &Context,
        user: &User,
    ) -> Result<Option<UserId>, SqlError> {
        match matched(&context.rules.matching, user) {
            Some(key) => Ok(store::user_matched(&self.sql, &key)?.map(|(record, _)| record.id)),
            None => Ok(None),
        }
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
        Ok(Ok(Some(rendered(context.users_url, &after))))
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
        let matching = &context.rules.matching;
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
        self.sql.transaction(|| {
            if store::matching(&self.sql)?.is_none() {
                store::set_matching(&self.sql, matching)?;
            }
            self.carry_out(context, id, before, after)?;
            match after {
                Some(after) => {
                    let key = value.map(|value| matching.key(value));
                    store::put_user(&self.sql, after, key.as_deref())?;
                }
                None => store::delete_user(&self.sql, id)?,
            }
            outbox::append(&self.sql, vec![event], context.new_producer)
        })
    }

    /// The subject of the person with that value.
    pub(super) fn subject_of(
        &self,
        connection: &str,
        matching: &Matching,
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
fn matched(matching: &Matching, user: &User) -> Option<String> {
    let whole = user.to_whole();
    matching.value(&whole).map(|value| matching.key(value))
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
