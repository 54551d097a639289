//! Groups over SCIM: a change, its members and its event are stored in one transaction, with what it means for
//! subjects ([`DirectoryService::group_changes`]).
//!
//! Of members only those are read whom a change may make one or not: who is named, and everybody only where all
//! others go. What changes nothing leaves the version, and is no event.

use super::group_store::{self, StoredGroup};
use super::search::MAX_LOOKED_AT;
use super::service::{Context, DirectoryService};
use super::store::Found;
use crate::objects::outbox;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome as EventOutcome};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::Write;
use portcullis_core::scim::change::GroupChange;
use portcullis_core::scim::group::{Group, GroupId};
use portcullis_core::scim::patch::MemberChange;
use portcullis_core::scim::patch::members::{MemberDifference, Outcome};
use portcullis_core::scim::resource::version::Conditions;
use portcullis_core::scim::user::{Record, UserId};

/// The group afterwards, nothing if it was deleted, or why not.
type GroupReply = Result<Option<StoredGroup>, ScimError>;

/// Who comes and who goes.
#[derive(Default)]
struct Members {
    added: Vec<UserId>,
    removed: Vec<UserId>,
}

impl<S: Sql> DirectoryService<S> {
    /// A POST, PUT, PATCH or DELETE.
    pub(super) fn change_group(
        &self,
        context: &Context,
        id: GroupId,
        change: &Write,
        conditions: Result<Conditions, ScimError>,
    ) -> Result<GroupReply, SqlError> {
        if let Write::Create(body) = change {
            return self.create_group(context, id, body);
        }
        let Some(before) = group_store::group(&self.sql, id)? else {
            return Ok(Err(ScimError::NotFound));
        };
        if let Err(error) = conditions.and_then(|all| all.check(Some(before.0.version), false)) {
            return Ok(Err(error));
        }
        match change {
            Write::Delete => self.delete_group(context, id).map(|()| Ok(None)),
            Write::Patch(body) => {
                let patched = before.1.patched_by(body);
                self.update_group(context, before, patched)
            }
            Write::Create(body) | Write::Replace(body) => {
                let replaced = before.1.replaced_by(body);
                self.update_group(context, before, replaced)
            }
        }
    }

    fn update_group(
        &self,
        context: &Context,
        before: StoredGroup,
        changed: Result<(Group, Vec<MemberChange>), ScimError>,
    ) -> Result<GroupReply, SqlError> {
        let id = before.0.id;
        let (group, of_members) = match changed {
            Ok(both) => both,
            Err(error) => return Ok(Err(error)),
        };
        if self.is_name_taken(&group, id)? {
            return Ok(Err(taken()));
        }
        match self.members_after(id, &of_members)? {
            Ok(members) => self.store_group(context, before, group, &members).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }

    fn create_group(
        &self,
        context: &Context,
        id: GroupId,
        body: &str,
    ) -> Result<GroupReply, SqlError> {
        let (group, ids) = match Group::parse(body) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        if self.is_name_taken(&group, id)? {
            return Ok(Err(taken()));
        }
        let members = match self.members_after(id, &[MemberChange::Add(ids)])? {
            Ok(members) => members,
            Err(error) => return Ok(Err(error)),
        };
        let stored = (Record::new(id, context.now), group);
        self.atomically(context, || {
            if !members.added.is_empty() {
                let change = GroupChange::Members(members.difference());
                self.group_changes(context, id, &change)?;
            }
            group_store::put_group(&self.sql, &stored)?;
            group_store::add_members(&self.sql, id, &members.added)?;
            self.note_group(context, "group_created")
        })?;
        Ok(Ok(Some(stored)))
    }

    fn delete_group(&self, context: &Context, id: GroupId) -> Result<(), SqlError> {
        self.atomically(context, || {
            self.group_changes(context, id, &GroupChange::Deleted)?;
            group_store::delete_group(&self.sql, id)?;
            self.note_group(context, "group_deleted")
        })
    }

    /// Stores what a PUT or PATCH has made of a group.
    fn store_group(
        &self,
        context: &Context,
        (record, before): StoredGroup,
        group: Group,
        members: &Members,
    ) -> Result<Option<StoredGroup>, SqlError> {
        let is_renamed = group.display_name != before.display_name;
        if group == before && members.are_the_same() {
            return Ok(Some((record, before)));
        }
        let reason = match (is_renamed, members.are_the_same()) {
            (true, _) => "group_renamed",
            (false, false) => "group_members_changed",
            (false, true) => "group_updated",
        };
        let id = record.id;
        let stored = (record.changed(context.now), group);
        self.atomically(context, || {
            let change = match (is_renamed, members.are_the_same()) {
                (true, _) => Some(GroupChange::Renamed(members.difference())),
                (false, false) => Some(GroupChange::Members(members.difference())),
                (false, true) => None,
            };
            if let Some(change) = change {
                self.group_changes(context, id, &change)?;
            }
            group_store::put_group(&self.sql, &stored)?;
            group_store::remove_members(&self.sql, id, &members.removed)?;
            group_store::add_members(&self.sql, id, &members.added)?;
            self.note_group(context, reason)
        })?;
        Ok(Some(stored))
    }

    /// Who comes and who goes by these changes. Whoever is to be a member must be a user; whoever is not, need
    /// not be.
    fn members_after(
        &self,
        id: GroupId,
        changes: &[MemberChange],
    ) -> Result<Result<Members, ScimError>, SqlError> {
        let mut read = 0;
        let outcome = Outcome::of(changes, || {
            let most = MAX_LOOKED_AT.saturating_add(1);
            let all = group_store::member_ids(&self.sql, id, most)?;
            read = all.len() as u64;
            Ok::<_, SqlError>(all.into_iter().map(UserId::to_text).collect())
        })?;
        if read > MAX_LOOKED_AT {
            return Ok(Err(ScimError::TooMany(format!(
                "more than {MAX_LOOKED_AT} members would have to be looked at: name them"
            ))));
        }
        let mut stay = Vec::new();
        let mut go = Vec::new();
        for (text, is_member) in &outcome.named {
            match (UserId::from_text(text), is_member) {
                (Some(id), true) => stay.push(id),
                (Some(id), false) => go.push(id),
                (None, true) => return Ok(Err(no_user())),
                (None, false) => {}
            }
        }
        if !group_store::are_users(&self.sql, &stay)? {
            return Ok(Err(no_user()));
        }
        Ok(Ok(Members {
            added: group_store::who_is_no_member(&self.sql, id, &stay)?,
            removed: if outcome.is_whole {
                group_store::other_members(&self.sql, id, &stay)?
            } else {
                group_store::who_is_member(&self.sql, id, &go)?
            },
        }))
    }

    fn is_name_taken(&self, group: &Group, by_another_than: GroupId) -> Result<bool, SqlError> {
        let by = Found::Name(&group.display_name);
        let namesakes = group_store::found_by(&self.sql, by, 1)?;
        Ok(namesakes.iter().any(|(_, id)| *id != by_another_than))
    }

    fn note_group(&self, context: &Context, reason: &str) -> Result<(), SqlError> {
        let event = Event {
            reason: Some(reason.to_owned()),
            request: Some(context.request.clone()),
            ..Event::new(
                context.now,
                Action::ScimChanged,
                EventOutcome::Success,
                Actor::Connection(context.connection.to_owned()),
            )
        };
        outbox::append(&self.sql, vec![event], context.new_producer)
    }
}

impl Members {
    const fn are_the_same(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }

    fn difference(&self) -> MemberDifference {
        let texts = |ids: &[UserId]| ids.iter().map(|id| id.to_text()).collect();
        MemberDifference {
            added: texts(&self.added),
            removed: texts(&self.removed),
        }
    }
}

fn taken() -> ScimError {
    ScimError::Taken("displayName".to_owned())
}

fn no_user() -> ScimError {
    ScimError::InvalidValue("members.value (no user of this directory)".to_owned())
}
