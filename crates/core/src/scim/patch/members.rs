//! Members of a group, of which there may be many: an operation becomes a change that names only
//! the members it is about.
//!
//! A `remove` with a `value` removes those and no others, also if it names none: only a `remove` of
//! `members` without filter and value empties a group. Whoever is no member need not be removed, and
//! whoever is one need not be added: both are no errors, because providers repeat themselves.

use super::super::ScimError;
use super::super::filter::plan::{Index, Plan};
use super::super::filter::{Filter, Ready};
use super::super::path::{Path, shown};
use super::super::resource::member_ids;
use super::super::schema::{Attribute, GROUP};
use super::Verb;
use super::apply::invalid;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A change to a group's members.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberChange {
    /// These become members.
    Add(Vec<String>),
    /// These do not stay members.
    Remove(Vec<String>),
    /// Those that this filter finds do not stay members. Of a member it may ask the id, `value`, and
    /// whether it is a user, `type`.
    RemoveSuch(Filter),
    /// These are the members, and nobody else.
    Replace(Vec<String>),
}

/// What became of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberDifference {
    /// Who became one.
    pub added: BTreeSet<String>,
    /// Who is none any more.
    pub removed: BTreeSet<String>,
}

/// What changes make of these members.
#[must_use]
pub fn members_after(before: &BTreeSet<String>, changes: &[MemberChange]) -> BTreeSet<String> {
    let mut members = before.clone();
    for change in changes {
        match change {
            MemberChange::Add(ids) => members.extend(ids.iter().cloned()),
            MemberChange::Remove(ids) => ids.iter().for_each(|id| {
                members.remove(id);
            }),
            MemberChange::RemoveSuch(filter) => {
                let such = Such::new(filter);
                members.retain(|id| !such.finds(id));
            }
            MemberChange::Replace(ids) => members = ids.iter().cloned().collect(),
        }
    }
    members
}

/// What changes come to, whoever the members were: as much of it as can be said without reading them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether nobody stays but those who are named.
    pub is_whole: bool,
    /// Who is a member afterwards, and who is not.
    pub named: BTreeMap<String, bool>,
}

impl Outcome {
    /// Of `changes`, in this order. `members` reads all members, and is asked at most once: for a filter that
    /// names nobody.
    pub fn of<E>(
        changes: &[MemberChange],
        members: impl FnOnce() -> Result<Vec<String>, E>,
    ) -> Result<Self, E> {
        let mut outcome = Self::default();
        let mut read = None;
        let mut members = Some(members);
        for change in changes {
            match change {
                MemberChange::Add(ids) => outcome.name(ids, true),
                MemberChange::Remove(ids) => outcome.name(ids, false),
                MemberChange::Replace(ids) => {
                    outcome.is_whole = true;
                    outcome.named.clear();
                    outcome.name(ids, true);
                }
                MemberChange::RemoveSuch(filter) => {
                    if let Some(members) = members.take_if(|_| !outcome.is_whole) {
                        read = Some(members()?);
                    }
                    let such = Such::new(filter);
                    let others = read.iter().flatten().filter(|_| !outcome.is_whole);
                    let others = others.filter(|id| !outcome.named.contains_key(*id));
                    let found: Vec<String> = others.filter(|id| such.finds(id)).cloned().collect();
                    outcome.name(&found, false);
                    for (id, is_member) in &mut outcome.named {
                        *is_member &= !such.finds(id);
                    }
                }
            }
        }
        Ok(outcome)
    }

    fn name(&mut self, ids: &[String], is_member: bool) {
        let named = ids.iter().map(|id| (id.clone(), is_member));
        self.named.extend(named);
    }
}

/// Who came and who went.
#[must_use]
pub fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> MemberDifference {
    MemberDifference {
        added: after.difference(before).cloned().collect(),
        removed: before.difference(after).cloned().collect(),
    }
}

/// A filter in a [`MemberChange`], made ready.
struct Such(Option<Ready>);

impl Such {
    fn new(filter: &Filter) -> Self {
        let members = GROUP.attribute("members");
        Self(members.and_then(|members| Ready::within(filter, members).ok()))
    }

    /// Whether it finds the member of that id.
    fn finds(&self, id: &str) -> bool {
        let member: Map<String, Value> = [
            ("value".to_owned(), json!(id)),
            ("type".to_owned(), json!("User")),
        ]
        .into_iter()
        .collect();
        self.0.as_ref().is_some_and(|ready| ready.matches(&member))
    }
}

/// What an operation does to members.
pub(super) fn change(
    verb: Verb,
    path: &Path,
    sub: Option<&Attribute>,
    value: &Value,
) -> Result<Option<MemberChange>, ScimError> {
    let mutability = || ScimError::Mutability(shown(&path.to_string()));
    match (verb, &path.filter, sub) {
        // A member is what it is (RFC 7643 section 4.2): it can be added and removed.
        (_, _, Some(_)) | (Verb::Add | Verb::Replace, Some(_), None) => Err(mutability()),
        (Verb::Add, None, None) => Ok(Some(MemberChange::Add(ids(value)?))),
        (Verb::Replace, None, None) => Ok(Some(MemberChange::Replace(ids(value)?))),
        (Verb::Remove, None, None) if value.is_null() => {
            Ok(Some(MemberChange::Replace(Vec::new())))
        }
        (Verb::Remove, None, None) => Ok(Some(MemberChange::Remove(ids(value)?))),
        (Verb::Remove, Some(filter), None) => such(filter, path).map(Some),
    }
}

fn ids(value: &Value) -> Result<Vec<String>, ScimError> {
    if value.is_null() {
        return Ok(Vec::new());
    }
    member_ids(value)
}

fn such(filter: &Filter, path: &Path) -> Result<MemberChange, ScimError> {
    let members = GROUP.attribute("members").ok_or_else(|| invalid(path))?;
    Ready::within(filter, members).map_err(|_| invalid(path))?;
    for_the_store(filter).ok_or_else(|| ScimError::NoTarget(shown(&path.to_string())))
}

/// The ids if the filter names them, so that nobody else need be read.
fn for_the_store(filter: &Filter) -> Option<MemberChange> {
    if asks_for_more(filter) {
        return None;
    }
    let whole = Filter::Within(
        super::super::path::AttrPath::plain("members"),
        Box::new(filter.clone()),
    );
    let plan = Ready::new(&whole, &GROUP).ok()?.plan();
    Some(match plan {
        Plan::Lookups {
            lookups,
            exact: true,
        } if lookups.iter().all(|one| one.index == Index::Member) => {
            MemberChange::Remove(lookups.into_iter().map(|one| one.value).collect())
        }
        _ => MemberChange::RemoveSuch(filter.clone()),
    })
}

/// Whether it asks for what is not kept of a member.
fn asks_for_more(filter: &Filter) -> bool {
    match filter {
        Filter::All(of) | Filter::Any(of) => of.iter().any(asks_for_more),
        Filter::Not(inner) => asks_for_more(inner),
        Filter::Present(path) | Filter::Compare(path, ..) => !["value", "type"]
            .iter()
            .any(|kept| path.name.eq_ignore_ascii_case(kept)),
        Filter::Within(..) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::resource::created;
    use super::super::patched_group;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_group_is_changed_without_its_members_and_they_without_the_others() {
        let group = created(&GROUP, &json!({"displayName": "g"}))
            .expect("a group")
            .attributes;
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let changes = |operations: Value| {
            let patched = patched_group(&group, &json!({"Operations": operations}))?;
            assert_eq!(patched.after, group);
            Ok::<_, ScimError>(patched.members)
        };
        let such = |text: &str| MemberChange::RemoveSuch(Filter::parse(text).expect(text));
        for (operation, expected) in [
            (
                json!({"op": "add", "path": "members", "value": [{"value": "a"}, {"value": "b"}, {"value": "a"}]}),
                MemberChange::Add(ids(&["a", "b"])),
            ),
            (
                json!({"op": "add", "value": {"members": [{"value": "a"}]}}),
                MemberChange::Add(ids(&["a"])),
            ),
            (
                json!({"op": "add", "path": "urn:ietf:params:scim:schemas:core:2.0:Group:members", "value": {"value": "a"}}),
                MemberChange::Add(ids(&["a"])),
            ),
            (
                json!({"op": "replace", "path": "members", "value": [{"value": "a"}]}),
                MemberChange::Replace(ids(&["a"])),
            ),
            (
                json!({"op": "replace", "path": "members", "value": []}),
                MemberChange::Replace(ids(&[])),
            ),
            (
                json!({"op": "remove", "path": "members"}),
                MemberChange::Replace(ids(&[])),
            ),
            (
                json!({"op": "remove", "path": "members[value eq \"a\"]"}),
                MemberChange::Remove(ids(&["a"])),
            ),
            (
                json!({"op": "remove", "path": "members[value eq \"a\" or VALUE eq \"b\"]"}),
                MemberChange::Remove(ids(&["a", "b"])),
            ),
            (
                json!({"op": "remove", "path": "members[value eq \"a\" and type eq \"User\"]"}),
                such("value eq \"a\" and type eq \"User\""),
            ),
            (
                json!({"op": "remove", "path": "members[value sw \"a\"]"}),
                such("value sw \"a\""),
            ),
            (
                json!({"op": "remove", "path": "members[not (value eq \"a\")]"}),
                such("not (value eq \"a\")"),
            ),
        ] {
            assert_eq!(
                changes(json!([operation])),
                Ok(vec![expected]),
                "{operation}"
            );
        }
        for operation in [
            json!({"op": "replace", "path": "members[value eq \"a\"].value", "value": "b"}),
            json!({"op": "replace", "path": "members[value eq \"a\"]", "value": {"value": "b"}}),
            json!({"op": "replace", "path": "members.value", "value": "b"}),
            json!({"op": "remove", "path": "members[value eq \"a\"].value"}),
            json!({"op": "remove", "path": "members[nonsense eq \"a\"]"}),
            json!({"op": "remove", "path": "members[display eq \"a\"]"}),
            json!({"op": "add", "path": "members", "value": [{"value": "g", "type": "Group"}]}),
            json!({"op": "add", "path": "members", "value": [{"display": "x"}]}),
            json!({"op": "add", "path": "members", "value": [1]}),
            json!({"op": "remove", "path": "displayName"}),
        ] {
            assert!(changes(json!([operation])).is_err(), "{operation}");
        }
    }

    #[test]
    fn only_a_filter_that_names_nobody_reads_the_members() {
        let of = |operations: Value| {
            let body = json!({"Operations": operations});
            let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group");
            let changes = patched_group(&group.attributes, &body)?.members;
            let mut has_read = false;
            let outcome = Outcome::of(&changes, || {
                has_read = true;
                Ok::<_, ScimError>(vec!["a".into(), "b".into()])
            });
            outcome.map(|outcome| (has_read, outcome.is_whole))
        };
        let add = json!({"op": "add", "path": "members", "value": [{"value": "a"}]});
        let by_value = json!({"op": "remove", "path": "members", "value": [{"value": "a"}]});
        let by_id = json!({"op": "remove", "path": "members[value eq \"a\"]"});
        let all = json!({"op": "remove", "path": "members"});
        let such = json!({"op": "remove", "path": "members[value sw \"a\"]"});
        assert_eq!(of(json!([add, by_value, by_id])), Ok((false, false)));
        assert_eq!(of(json!([all, add, such])), Ok((false, true)));
        assert_eq!(of(json!([such, such])), Ok((true, false)));
    }

    fn member_change() -> impl Strategy<Value = Value> {
        let id = || "[a-e]";
        let list = || {
            prop::collection::vec(id(), 0..4).prop_map(|ids| {
                let each = ids.into_iter().map(|id| json!({"value": id}));
                each.collect::<Value>()
            })
        };
        prop_oneof![
            list().prop_map(|ids| json!({"op": "add", "path": "members", "value": ids})),
            list().prop_map(|ids| json!({"op": "remove", "path": "members", "value": ids})),
            list().prop_map(|ids| json!({"op": "replace", "path": "members", "value": ids})),
            id().prop_map(
                |id| json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")})
            ),
            id().prop_map(
                |id| json!({"op": "remove", "path": format!("members[value gt \"{id}\"]")})
            ),
        ]
    }

    proptest! {
        #[test]
        fn members_are_what_a_list_of_all_would_be(
            before in prop::collection::btree_set("[a-e]", 0..5),
            operations in prop::collection::vec(member_change(), 1..5),
        ) {
            let group = created(&GROUP, &json!({"displayName": "g"})).expect("a group").attributes;
            let patched = patched_group(&group, &json!({"Operations": operations})).expect("patches");
            let after = members_after(&before, &patched.members);
            let mut expected: Vec<String> = before.iter().cloned().collect();
            for operation in &operations {
                let named: Vec<String> = operation["value"].as_array().into_iter().flatten()
                    .filter_map(|one| one["value"].as_str().map(str::to_owned)).collect();
                match (operation["op"].as_str(), operation["path"].as_str()) {
                    (Some("add"), _) => expected.extend(named),
                    (Some("replace"), _) => expected = named,
                    (_, Some("members")) => expected.retain(|id| !named.contains(id)),
                    (_, Some(path)) => {
                        let id = path.split('"').nth(1).unwrap_or_default().to_owned();
                        let exact = path.contains(" eq ");
                        expected.retain(|one| if exact { *one != id } else { *one <= id });
                    }
                    _ => {}
                }
            }
            let expected: BTreeSet<String> = expected.into_iter().collect();
            prop_assert_eq!(&after, &expected);
            let read = || Ok::<_, ()>(before.iter().cloned().collect());
            let outcome = Outcome::of(&patched.members, read).expect("reads");
            let stays = |id: &&String| !outcome.is_whole && !outcome.named.contains_key(*id);
            let mut by_outcome: BTreeSet<String> = before.iter().filter(stays).cloned().collect();
            by_outcome.extend(outcome.named.iter().filter(|(_, is)| **is).map(|(id, _)| id.clone()));
            prop_assert_eq!(&by_outcome, &after);
            let difference = super::difference(&before, &after);
            let mut redone: BTreeSet<String> = before.difference(&difference.removed).cloned().collect();
            redone.extend(difference.added);
            prop_assert_eq!(redone, after);
        }
    }
}
