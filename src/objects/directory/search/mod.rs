//! Finding resources (RFC 7644 sections 3.4.2 and 3.4.3): users, groups, or both.
//!
//! | asked for | costs |
//! |---|---|
//! | `id`, the name or `externalId` equal to something, the groups of a user or the users of a group, alone or with more conditions | what an index leads to |
//! | all, in no order or by name | the page, and counting |
//! | anything else | a look at every resource, of which there may be [`MAX_LOOKED_AT`] of a type |
//!
//! What would cost more is refused as `tooMany` before any of them is looked at: the object answers nobody
//! else meanwhile. A page is what is there when it is asked for; nothing is held between two pages.
//!
//! Members, and groups of users, are read only where the filter, the order or the answer needs them, of all
//! together [`MAX_LISTED`] at most for a question. A page that would have more ends before its `count`.

mod kinds;

use super::render::{self, MAX_LISTED, Whole};
use super::{group_store, store};
use crate::objects::sql::{Sql, SqlError};
use kinds::{Groups, Kind, Users};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{Found, MAX_RESULTS, SearchReply, Searched, Target};
use portcullis_core::scim::filter::plan::Plan;
use portcullis_core::scim::filter::{Needs, Ready};
use portcullis_core::scim::query::{Asked, Query};
use portcullis_core::scim::resource::list::{SortKey, Sorting};
use portcullis_core::scim::schema::{GROUP, ResourceType, USER};
use std::collections::BTreeMap;

/// The most resources of a type that one question has looked at.
pub const MAX_LOOKED_AT: u64 = 5_000;
/// How many of them are held at a time.
const AT_A_TIME: u64 = 250;

/// Why something is not answered: it is refused, or storage failed.
enum Stop {
    Refused(ScimError),
    Failed(SqlError),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Failed(error)
    }
}

impl From<ScimError> for Stop {
    fn from(error: ScimError) -> Self {
        Self::Refused(error)
    }
}

/// Answers `asked`.
pub fn list(
    sql: &impl Sql,
    base: &str,
    of: Searched,
    asked: &Asked,
) -> Result<SearchReply, SqlError> {
    match answer(sql, base, of, asked) {
        Ok(found) => Ok(Ok(found)),
        Err(Stop::Refused(error)) => Ok(Err(error)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn answer(sql: &impl Sql, base: &str, of: Searched, asked: &Asked) -> Result<Found, Stop> {
    let mut queries = asked.checked_of(of.types(), MAX_RESULTS)?.into_iter();
    let (users, groups) = match of {
        Searched::Users => (queries.next(), None),
        Searched::Groups => (None, queries.next()),
        Searched::All => (queries.next(), queries.next()),
    };
    let mut hits = Hits::default();
    let (total, page) = match (&users, &groups) {
        (Some(users), None) if is_whole::<Users>(users) => whole_list::<Users>(sql, users)?,
        (None, Some(groups)) if is_whole::<Groups>(groups) => whole_list::<Groups>(sql, groups)?,
        (Some(users), Some(groups)) if users.filter.is_none() && users.sorting.is_none() => {
            whole_lists(sql, users, groups)?
        }
        _ => {
            if let Some(query) = &users {
                hits.collect::<Users>(sql, base, query)?;
            }
            if let Some(query) = &groups {
                hits.collect::<Groups>(sql, base, query)?;
            }
            let total = hits.found.len() as u64;
            let query = users.as_ref().or(groups.as_ref());
            (total, query.map_or_else(Vec::new, |query| hits.page(query)))
        }
    };
    let resources = shown(sql, base, &page, [users.as_ref(), groups.as_ref()])?;
    Ok(Found { total, resources })
}

/// Whether that asks for all, in an order that the store has.
fn is_whole<K: Kind>(query: &Query) -> bool {
    let by = query.sorting.as_ref().map(Sorting::place);
    query.filter.is_none()
        && by.is_none_or(|by| by.leaf().name == K::NAME && by.extension.is_none())
}

fn whole_list<K: Kind>(sql: &impl Sql, query: &Query) -> Result<(u64, Vec<Target>), SqlError> {
    let is_backwards = query.sorting.is_some_and(|sorting| sorting.is_descending());
    let (skip, count) = (query.page.skipped(), query.page.count);
    let page = K::page(sql, is_backwards, u64::from(skip), u64::from(count))?;
    let page = page.into_iter().map(K::target).collect();
    Ok((K::count(sql)?, page))
}

/// All users, and then all groups.
fn whole_lists(
    sql: &impl Sql,
    users: &Query,
    groups: &Query,
) -> Result<(u64, Vec<Target>), SqlError> {
    let (number, mut page) = whole_list::<Users>(sql, users)?;
    let left = u64::from(groups.page.count).saturating_sub(page.len() as u64);
    let skip = u64::from(groups.page.skipped()).saturating_sub(number);
    let more = Groups::page(sql, false, skip, left)?;
    page.extend(more.into_iter().map(Groups::target));
    Ok((number.saturating_add(Groups::count(sql)?), page))
}

/// What is answered of a page.
fn shown(
    sql: &impl Sql,
    base: &str,
    page: &[Target],
    queries: [Option<&Query>; 2],
) -> Result<Vec<String>, Stop> {
    let [users, groups] = queries;
    let mut shown = Vec::with_capacity(page.len());
    let mut left = MAX_LISTED;
    for target in page {
        let (of, query): (&'static ResourceType, _) = match target {
            Target::User(_) => (&USER, users),
            Target::Group(_) => (&GROUP, groups),
        };
        let Some(Query { projection, .. }) = query else {
            continue;
        };
        let needs = render::needs_of(of, projection);
        let whole = match target {
            Target::User(id) => match store::user(sql, *id)? {
                Some(user) => render::whole_user(sql, base, &user, &needs, left)?,
                None => continue,
            },
            Target::Group(id) => match group_store::group(sql, *id)? {
                Some(group) => render::whole_group(sql, base, &group, &needs, left)?,
                None => continue,
            },
        };
        match whole {
            Some(whole) => {
                left = left.saturating_sub(whole.listed);
                shown.push(render::shown(of, &whole, projection));
            }
            // Who asks for the next page gets it there.
            None if !shown.is_empty() => break,
            None => return Err(render::too_many_listed(of).into()),
        }
    }
    Ok(shown)
}

/// What has passed, in the order in which it came.
#[derive(Default)]
struct Hits {
    found: Vec<(Option<SortKey>, Target)>,
    /// How many members, or groups of users, were looked at.
    listed: u64,
}

impl Hits {
    fn collect<K: Kind>(&mut self, sql: &impl Sql, base: &str, query: &Query) -> Result<(), Stop> {
        let needs = needs::<K>(query);
        match query.filter.as_ref().map(Ready::plan) {
            Some(Plan::Lookups { lookups, exact }) if lookups.iter().all(K::is_indexed) => {
                let mut found = BTreeMap::new();
                for lookup in &lookups {
                    found.extend(K::led_to(sql, lookup, MAX_LOOKED_AT + 1)?);
                    if found.len() as u64 > MAX_LOOKED_AT {
                        return Err(too_many::<K>().into());
                    }
                }
                let is_known = exact && query.sorting.is_none();
                for id in found.into_values() {
                    if is_known {
                        self.found.push((None, K::target(id)));
                    } else if let Some(row) = K::read(sql, id)? {
                        self.test::<K>(sql, base, query, &needs, &row)?;
                    }
                }
            }
            _ if K::has_more_than(sql, MAX_LOOKED_AT)? => return Err(too_many::<K>().into()),
            _ => {
                let mut last = String::new();
                loop {
                    let rows = K::after(sql, &last, AT_A_TIME)?;
                    let Some(row) = rows.last() else {
                        break;
                    };
                    last = K::folded_name(row);
                    for row in &rows {
                        self.test::<K>(sql, base, query, &needs, row)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn test<K: Kind>(
        &mut self,
        sql: &impl Sql,
        base: &str,
        query: &Query,
        needs: &Needs,
        row: &K::Row,
    ) -> Result<(), Stop> {
        let left = MAX_LISTED.saturating_sub(self.listed);
        let Some(Whole { resource, listed }) = K::whole(sql, base, row, needs, left)? else {
            return Err(render::too_many_listed(K::of()).into());
        };
        self.listed = self.listed.saturating_add(listed);
        let filter = query.filter.as_ref();
        if filter.is_none_or(|filter| filter.matches(&resource)) {
            let key = query.sorting.map(|sorting| sorting.key(&resource));
            self.found.push((key, K::target(K::id(row))));
        }
        Ok(())
    }

    /// The page of what has passed.
    fn page(&mut self, query: &Query) -> Vec<Target> {
        if let Some(sorting) = query.sorting {
            self.found
                .sort_by(|(one, _), (other, _)| match (one, other) {
                    (Some(one), Some(other)) => sorting.compare(one, other),
                    _ => std::cmp::Ordering::Equal,
                });
        }
        let (skip, count) = (query.page.skipped(), query.page.count);
        let found = self.found.iter().map(|(_, target)| *target);
        found.skip(skip as usize).take(count as usize).collect()
    }
}

/// What the filter and the order must see of what is kept apart.
fn needs<K: Kind>(query: &Query) -> Needs {
    let Some(attribute) = render::apart(K::of()).and_then(|name| K::of().attribute(name)) else {
        return Needs::Nothing;
    };
    let filter = query.filter.as_ref();
    let by_filter = filter.map_or(Needs::Nothing, |filter| filter.needs(attribute));
    match query.sorting {
        Some(sorting) if sorting.place().attribute.name == attribute.name => Needs::All,
        _ => by_filter,
    }
}

fn too_many<K: Kind>() -> ScimError {
    ScimError::TooMany(format!(
        "more than {MAX_LOOKED_AT} resources would have to be looked at: ask for an id, a {} or an externalId",
        K::NAME
    ))
}
