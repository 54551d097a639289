//! What a change of a group means for its members' subjects.

use super::service::{Context, DirectoryService};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::scim::change::GroupChange;
use portcullis_core::scim::group::GroupId;

/// A job that carries out what a change of a group means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId(pub u64);

impl<S: Sql> DirectoryService<S> {
    /// Notes what is to be done for `change`; the caller holds the transaction, and has not changed a row of
    /// the group or its members yet.
    #[expect(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "nothing acts on groups yet"
    )]
    pub(super) fn group_changes(
        &self,
        _context: &Context,
        _group: GroupId,
        _change: &GroupChange,
    ) -> Result<Option<JobId>, SqlError> {
        Ok(None)
    }
}
