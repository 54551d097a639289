//! Resources of any type, read and changed as whoever asks wants to see them.

use super::command::About;
use super::group_store;
use super::render::{self, MAX_LISTED};
use super::search;
use super::service::{Context, DirectoryService};
use super::store::{self, Stored};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{
    ReadReply, ReadResource, SearchReply, Searched, Target, UserChange, Versioned, Write,
    WriteReply, WriteResource, Written,
};
use portcullis_core::scim::query::Asked;
use portcullis_core::scim::resource::render::Projection;
use portcullis_core::scim::resource::version::{Conditions, Version};
use portcullis_core::scim::schema::{GROUP, USER};
use portcullis_core::scim::user::UserId;

/// The user afterwards, nothing if they were deleted, or why not.
type UserChanged = Result<Option<Stored>, ScimError>;

impl<S: Sql> DirectoryService<S> {
    /// GET by id, and what the answer must wait for.
    pub(super) fn read(
        &self,
        context: &Context,
        read: &ReadResource,
    ) -> Result<(ReadReply, Option<About>), SqlError> {
        let concerns = match read.target {
            Target::User(id) => Some(About::User(id)),
            Target::Group(_) => None,
        };
        Ok((self.found(context, read)?, concerns))
    }

    /// A list.
    pub(super) fn list(
        &self,
        context: &Context,
        of: Searched,
        asked: &Asked,
    ) -> Result<SearchReply, SqlError> {
        search::list(&self.sql, context.base, of, asked)
    }

    fn found(&self, context: &Context, read: &ReadResource) -> Result<ReadReply, SqlError> {
        let of = match read.target {
            Target::User(_) => &USER,
            Target::Group(_) => &GROUP,
        };
        let projection = match read.view.projection(of) {
            Ok(projection) => projection,
            Err(error) => return Ok(Err(error)),
        };
        let needs = render::needs_of(of, &projection);
        let (sql, base) = (&self.sql, context.base);
        let found = match read.target {
            Target::User(id) => match store::user(sql, id)? {
                None => None,
                Some(user) => {
                    let whole = render::whole_user(sql, base, &user, &needs, MAX_LISTED)?;
                    Some((user.0.version, whole))
                }
            },
            Target::Group(id) => match group_store::group(sql, id)? {
                None => None,
                Some(group) => {
                    let whole = render::whole_group(sql, base, &group, &needs, MAX_LISTED)?;
                    Some((group.0.version, whole))
                }
            },
        };
        Ok(match found {
            None => Err(ScimError::NotFound),
            Some((_, None)) => Err(render::too_many_listed(of)),
            Some((Version(version), Some(whole))) => Ok(Versioned {
                version,
                resource: Some(render::shown(of, &whole, &projection)),
            }),
        })
    }

    /// POST, PUT, PATCH or DELETE, and what the answer must wait for.
    pub(super) fn write(
        &self,
        context: &Context,
        write: WriteResource,
    ) -> Result<(WriteReply, Option<About>), SqlError> {
        let (if_match, if_none_match) = (&write.if_match, &write.if_none_match);
        let conditions = Conditions::new(if_match.as_deref(), if_none_match.as_deref());
        let of = match write.target {
            Target::User(_) => &USER,
            Target::Group(_) => &GROUP,
        };
        let projection = write.view.as_ref().map(|view| view.projection(of));
        let projection = match projection.transpose() {
            Ok(projection) => projection,
            Err(error) => return Ok((Err(error), None)),
        };
        let (target, change) = (write.target, write.change);
        self.write_to(context, target, change, conditions, projection.as_ref())
    }

    /// The same where it is known what is answered; `None`: the version alone.
    pub(super) fn write_to(
        &self,
        context: &Context,
        target: Target,
        change: Write,
        conditions: Result<Conditions, ScimError>,
        projection: Option<&Projection>,
    ) -> Result<(WriteReply, Option<About>), SqlError> {
        let (sql, base) = (&self.sql, context.base);
        match target {
            Target::User(id) => {
                let (reply, concerns) = self.write_user(context, id, change, conditions)?;
                let reply = answered(context, reply, |user| {
                    let shown = projection
                        .map(|projection| render::changed_user(sql, base, user, projection));
                    Ok((user.0.version, shown.transpose()?))
                })?;
                Ok((reply, concerns.map(About::User)))
            }
            Target::Group(id) => {
                let reply = self.change_group(context, id, &change, conditions)?;
                let reply = answered(context, reply, |group| {
                    let shown = projection
                        .map(|projection| render::changed_group(sql, base, group, projection));
                    Ok((group.0.version, shown.transpose()?))
                })?;
                Ok((reply, None))
            }
        }
    }

    fn write_user(
        &self,
        context: &Context,
        id: UserId,
        change: Write,
        conditions: Result<Conditions, ScimError>,
    ) -> Result<(UserChanged, Option<UserId>), SqlError> {
        let change = match change {
            Write::Create(body) => {
                let (reply, concerns) = self.create(context, id, &body)?;
                return Ok((reply.map(Some), concerns));
            }
            Write::Replace(body) => UserChange::Replace(body),
            Write::Patch(body) => UserChange::Patch(body),
            Write::Delete => UserChange::Delete,
        };
        let reply = self.change(context, id, &change, conditions)?;
        Ok((reply, Some(id)))
    }
}

fn answered<T>(
    context: &Context,
    reply: Result<Option<T>, ScimError>,
    show: impl FnOnce(&T) -> Result<(Version, Option<String>), SqlError>,
) -> Result<WriteReply, SqlError> {
    Ok(match reply {
        Err(error) => Err(error),
        Ok(stored) => {
            let shown = stored.as_ref().map(show).transpose()?;
            let resource =
                shown.map(|(Version(version), resource)| Versioned { version, resource });
            let job = context.job.get();
            Ok(Written { resource, job })
        }
    })
}
