//! What there is to find, and what leads to it.

use super::super::group_store::{self, StoredGroup};
use super::super::render::{self, Whole};
use super::super::store::{self, Found, Stored};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::scim::call::Target;
use portcullis_core::scim::filter::Needs;
use portcullis_core::scim::filter::plan::{Index, Lookup};
use portcullis_core::scim::group::GroupId;
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use portcullis_core::scim::user::UserId;
use portcullis_core::text::folded;

/// A type of resources in the store.
pub trait Kind {
    /// What names one.
    type Id: Copy;
    /// One as it is stored.
    type Row;
    /// The attribute that the store keeps them in order of.
    const NAME: &'static str;

    /// Its type.
    fn of() -> &'static ResourceType;
    /// The id as one of any type.
    fn target(id: Self::Id) -> Target;
    /// The id of one.
    fn id(row: &Self::Row) -> Self::Id;
    /// What they are in order of.
    fn folded_name(row: &Self::Row) -> String;
    /// Whether an index has that: it may also lead to nothing.
    fn is_indexed(lookup: &Lookup) -> bool;
    /// The folded names and ids of what an entry of an index leads to, `most` at most.
    fn led_to(
        sql: &impl Sql,
        lookup: &Lookup,
        most: u64,
    ) -> Result<Vec<(String, Self::Id)>, SqlError>;
    /// The one of that id.
    fn read(sql: &impl Sql, id: Self::Id) -> Result<Option<Self::Row>, SqlError>;
    /// Those whose names come after that one, in order.
    fn after(sql: &impl Sql, folded_name: &str, most: u64) -> Result<Vec<Self::Row>, SqlError>;
    /// The ids of a page by name, or backwards.
    fn page(
        sql: &impl Sql,
        is_backwards: bool,
        skip: u64,
        count: u64,
    ) -> Result<Vec<Self::Id>, SqlError>;
    /// How many there are.
    fn count(sql: &impl Sql) -> Result<u64, SqlError>;
    /// Whether there are more than that.
    fn has_more_than(sql: &impl Sql, number: u64) -> Result<bool, SqlError>;
    /// One with what it needs; `None`: that is more than `most`.
    fn whole(
        sql: &impl Sql,
        base: &str,
        row: &Self::Row,
        needs: &Needs,
        most: u64,
    ) -> Result<Option<Whole>, SqlError>;
}

/// Users.
pub struct Users;

impl Kind for Users {
    type Id = UserId;
    type Row = Stored;
    const NAME: &'static str = "userName";

    fn of() -> &'static ResourceType {
        &USER
    }

    fn target(id: UserId) -> Target {
        Target::User(id)
    }

    fn id((record, _): &Stored) -> UserId {
        record.id
    }

    fn folded_name((_, user): &Stored) -> String {
        folded(&user.user_name)
    }

    fn is_indexed(lookup: &Lookup) -> bool {
        !matches!(lookup.index, Index::Email | Index::DisplayName)
    }

    fn led_to(
        sql: &impl Sql,
        lookup: &Lookup,
        most: u64,
    ) -> Result<Vec<(String, UserId)>, SqlError> {
        let by = match lookup.index {
            Index::Id => UserId::from_text(&lookup.value).map(Found::Id),
            Index::UserName => Some(Found::Name(&lookup.value)),
            Index::ExternalId => Some(Found::ExternalId(&lookup.value)),
            Index::Group => {
                let group = GroupId::from_text(&lookup.value);
                let found = group.map(|group| group_store::found_users(sql, group, most));
                return found.unwrap_or_else(|| Ok(Vec::new()));
            }
            // No user has members.
            Index::Member | Index::Email | Index::DisplayName => None,
        };
        by.map_or_else(|| Ok(Vec::new()), |by| store::found_by(sql, by, most))
    }

    fn read(sql: &impl Sql, id: UserId) -> Result<Option<Stored>, SqlError> {
        store::user(sql, id)
    }

    fn after(sql: &impl Sql, folded_name: &str, most: u64) -> Result<Vec<Stored>, SqlError> {
        store::users_after(sql, folded_name, most)
    }

    fn page(
        sql: &impl Sql,
        is_backwards: bool,
        skip: u64,
        count: u64,
    ) -> Result<Vec<UserId>, SqlError> {
        store::user_ids(sql, is_backwards, skip, count)
    }

    fn count(sql: &impl Sql) -> Result<u64, SqlError> {
        store::count_users(sql)
    }

    fn has_more_than(sql: &impl Sql, number: u64) -> Result<bool, SqlError> {
        store::has_more_users_than(sql, number)
    }

    fn whole(
        sql: &impl Sql,
        base: &str,
        row: &Stored,
        needs: &Needs,
        most: u64,
    ) -> Result<Option<Whole>, SqlError> {
        render::whole_user(sql, base, row, needs, most)
    }
}

/// Groups.
pub struct Groups;

impl Kind for Groups {
    type Id = GroupId;
    type Row = StoredGroup;
    const NAME: &'static str = "displayName";

    fn of() -> &'static ResourceType {
        &GROUP
    }

    fn target(id: GroupId) -> Target {
        Target::Group(id)
    }

    fn id((record, _): &StoredGroup) -> GroupId {
        record.id
    }

    fn folded_name((_, group): &StoredGroup) -> String {
        folded(&group.display_name)
    }

    fn is_indexed(_lookup: &Lookup) -> bool {
        true
    }

    fn led_to(
        sql: &impl Sql,
        lookup: &Lookup,
        most: u64,
    ) -> Result<Vec<(String, GroupId)>, SqlError> {
        let by = match lookup.index {
            Index::Id => GroupId::from_text(&lookup.value).map(Found::Id),
            Index::DisplayName => Some(Found::Name(&lookup.value)),
            Index::ExternalId => Some(Found::ExternalId(&lookup.value)),
            Index::Member => {
                let user = UserId::from_text(&lookup.value);
                let found = user.map(|user| group_store::found_groups(sql, user, most));
                return found.unwrap_or_else(|| Ok(Vec::new()));
            }
            // No group has a userName, an address or groups.
            Index::UserName | Index::Email | Index::Group => None,
        };
        by.map_or_else(|| Ok(Vec::new()), |by| group_store::found_by(sql, by, most))
    }

    fn read(sql: &impl Sql, id: GroupId) -> Result<Option<StoredGroup>, SqlError> {
        group_store::group(sql, id)
    }

    fn after(sql: &impl Sql, folded_name: &str, most: u64) -> Result<Vec<StoredGroup>, SqlError> {
        group_store::groups_after(sql, folded_name, most)
    }

    fn page(
        sql: &impl Sql,
        is_backwards: bool,
        skip: u64,
        count: u64,
    ) -> Result<Vec<GroupId>, SqlError> {
        group_store::groups(sql, is_backwards, skip, count)
    }

    fn count(sql: &impl Sql) -> Result<u64, SqlError> {
        group_store::count_groups(sql)
    }

    fn has_more_than(sql: &impl Sql, number: u64) -> Result<bool, SqlError> {
        group_store::has_more_groups_than(sql, number)
    }

    fn whole(
        sql: &impl Sql,
        base: &str,
        row: &StoredGroup,
        needs: &Needs,
        most: u64,
    ) -> Result<Option<Whole>, SqlError> {
        render::whole_group(sql, base, row, needs, most)
    }
}
