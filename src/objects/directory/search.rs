//! Finding users (RFC 7644 sections 3.4.2 and 3.4.3).
//!
//! | asked for | costs |
//! |---|---|
//! | `id`, `userName` or `externalId` equal to something, alone or with more conditions | what an index leads to |
//! | all, in no order or by `userName` | the page, and counting |
//! | anything else | a look at every user, of whom there may be [`MAX_LOOKED_AT`] |
//!
//! What would cost more is refused as `tooMany` before any of them is looked at: the object answers nobody
//! else meanwhile. A page is what is there when it is asked for; nothing is held between two pages.

use super::service::rendered;
use super::store::{self, Stored};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::scim::ScimError;
use portcullis_core::scim::call::{Found, MAX_RESULTS, SearchReply};
use portcullis_core::scim::filter::Ready;
use portcullis_core::scim::filter::plan::{Index, Lookup, Plan};
use portcullis_core::scim::query::{Asked, Query};
use portcullis_core::scim::resource::list::SortKey;
use portcullis_core::scim::schema::USER;
use portcullis_core::scim::user::UserId;
use portcullis_core::text::folded;
use std::collections::BTreeMap;

/// The most users that one question has looked at.
pub const MAX_LOOKED_AT: u64 = 5_000;
/// How many of them are held at a time.
const AT_A_TIME: u64 = 250;

/// Answers `asked`.
pub fn users(sql: &impl Sql, users_url: &str, asked: &Asked) -> Result<SearchReply, SqlError> {
    let query = match asked.checked(&USER, MAX_RESULTS) {
        Ok(query) => query,
        Err(error) => return Ok(Err(error)),
    };
    let by_name = match &query.sorting {
        None => Some(false),
        Some(sorting) if sorting.place().leaf().name == "userName" => Some(sorting.is_descending()),
        Some(_) => None,
    };
    if let (None, Some(is_backwards)) = (&query.filter, by_name) {
        return page_of_all(sql, users_url, &query, is_backwards).map(Ok);
    }
    let plan = query.filter.as_ref().map(Ready::plan);
    let lookups = match plan {
        Some(Plan::Lookups { lookups, .. }) if lookups.iter().all(is_indexed) => Some(lookups),
        _ => None,
    };
    let mut hits = Hits::of(&query, users_url);
    match lookups {
        Some(lookups) => {
            let Some(candidates) = candidates(sql, &lookups)? else {
                return Ok(Err(too_many()));
            };
            for candidate in candidates.into_values() {
                let user = match candidate.read {
                    Some(user) => Some(user),
                    None => store::user(sql, candidate.id)?,
                };
                if let Some(user) = user {
                    hits.test(&user);
                }
            }
        }
        None if store::has_more_users_than(sql, MAX_LOOKED_AT)? => return Ok(Err(too_many())),
        None => {
            let mut last = String::new();
            loop {
                let users = store::users_after(sql, &last, AT_A_TIME)?;
                let Some((_, user)) = users.last() else {
                    break;
                };
                last = folded(&user.user_name);
                for user in &users {
                    hits.test(user);
                }
            }
        }
    }
    hits.page(sql).map(Ok)
}

fn too_many() -> ScimError {
    ScimError::TooMany(format!(
        "more than {MAX_LOOKED_AT} users would have to be looked at: ask for an id, a userName or an externalId"
    ))
}

fn page_of_all(
    sql: &impl Sql,
    users_url: &str,
    query: &Query,
    is_backwards: bool,
) -> Result<Found, SqlError> {
    let (skip, count) = (query.page.skipped(), query.page.count);
    let page = store::users(sql, is_backwards, u64::from(skip), u64::from(count))?;
    Ok(Found {
        total: store::count_users(sql)?,
        resources: page.iter().map(|user| rendered(users_url, user)).collect(),
    })
}

const fn is_indexed(lookup: &Lookup) -> bool {
    matches!(
        lookup.index,
        Index::Id | Index::UserName | Index::ExternalId
    )
}

/// Whoever an index leads to. Who may be many is not held, but read when their turn comes.
struct Candidate {
    id: UserId,
    read: Option<Stored>,
}

/// Whoever the entries lead to, once each, by name; `None`: too many.
fn candidates(
    sql: &impl Sql,
    lookups: &[Lookup],
) -> Result<Option<BTreeMap<String, Candidate>>, SqlError> {
    let mut found = BTreeMap::new();
    for lookup in lookups {
        let one = match lookup.index {
            Index::Id => match UserId::from_text(&lookup.value) {
                Some(id) => store::user(sql, id)?,
                None => None,
            },
            Index::UserName => store::user_named(sql, &lookup.value)?,
            _ => None,
        };
        if let Some(user) = one {
            let (name, id) = (folded(&user.1.user_name), user.0.id);
            let read = Some(user);
            found.insert(name, Candidate { id, read });
        }
        if lookup.index == Index::ExternalId {
            let most = MAX_LOOKED_AT + 1;
            for (name, id) in store::ids_of_external_id(sql, &lookup.value, most)? {
                found.entry(name).or_insert(Candidate { id, read: None });
            }
        }
        if u64::try_from(found.len()).unwrap_or(u64::MAX) > MAX_LOOKED_AT {
            return Ok(None);
        }
    }
    Ok(Some(found))
}

/// Who has passed, in the order in which they came.
struct Hits<'q> {
    query: &'q Query,
    users_url: &'q str,
    found: Vec<(Option<SortKey>, UserId)>,
}

impl<'q> Hits<'q> {
    const fn of(query: &'q Query, users_url: &'q str) -> Self {
        Self {
            query,
            users_url,
            found: Vec::new(),
        }
    }

    fn test(&mut self, (record, user): &Stored) {
        let whole = user.resource(record, self.users_url);
        let filter = self.query.filter.as_ref();
        if filter.is_none_or(|filter| filter.matches(&whole)) {
            let key = self.query.sorting.map(|sorting| sorting.key(&whole));
            self.found.push((key, record.id));
        }
    }

    /// The page of those who have passed.
    fn page(mut self, sql: &impl Sql) -> Result<Found, SqlError> {
        if let Some(sorting) = self.query.sorting {
            self.found
                .sort_by(|(one, _), (other, _)| match (one, other) {
                    (Some(one), Some(other)) => sorting.compare(one, other),
                    _ => std::cmp::Ordering::Equal,
                });
        }
        let page = self.query.page;
        let ids = self.found.iter().map(|(_, id)| *id);
        let mut resources = Vec::new();
        for id in ids.skip(page.skipped() as usize).take(page.count as usize) {
            if let Some(user) = store::user(sql, id)? {
                resources.push(rendered(self.users_url, &user));
            }
        }
        Ok(Found {
            total: u64::try_from(self.found.len()).unwrap_or(u64::MAX),
            resources,
        })
    }
}
