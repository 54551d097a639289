//! What of a filter an index can answer.
//!
//! A filter is answered by looking up candidates and testing each, or by testing every resource. This
//! says which: [`Plan::Lookups`] names index entries whose resources are all that can match.

use super::super::schema::Place;
use super::Comparison;
use super::ready::{Node, Operand, Ready};
use std::collections::BTreeSet;

/// The most entries that one filter looks up.
pub const MAX_LOOKUPS: usize = 50;

/// What is indexed. The better, the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Index {
    /// `id`: one resource.
    Id,
    /// `userName`, folded: one user.
    UserName,
    /// `externalId`: hardly more than one.
    ExternalId,
    /// `emails.value`, folded.
    Email,
    /// `displayName`, folded.
    DisplayName,
    /// `members.value`: the groups of a user.
    Member,
    /// `groups.value`: the users of a group.
    Group,
}

/// An entry of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Which index.
    pub index: Index,
    /// The value as it was asked for.
    pub value: String,
    /// The value as the index has it: folded, unless its case matters.
    pub folded: String,
}

/// How to answer a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// From what these entries lead to; a resource may be found by several.
    Lookups {
        /// The entries.
        lookups: Vec<Lookup>,
        /// Whether all that is found matches. If not, each must be tested.
        exact: bool,
    },
    /// By testing every resource.
    Scan,
}

impl Ready {
    /// How to answer it.
    #[must_use]
    pub fn plan(&self) -> Plan {
        match of(&self.root) {
            Some((lookups, exact)) if lookups.len() <= MAX_LOOKUPS => {
                Plan::Lookups { lookups, exact }
            }
            _ => Plan::Scan,
        }
    }
}

type Found = (Vec<Lookup>, bool);

fn of(node: &Node) -> Option<Found> {
    match node {
        Node::Compare(place, Comparison::Eq, operand) => {
            let index = index(place)?;
            lookup(index, operand).map(|one| (vec![one], true))
        }
        Node::All(nodes) => best(nodes.iter().filter_map(of)),
        Node::Any(nodes) => {
            let mut all = Vec::new();
            let mut exact = true;
            for node in nodes {
                let (lookups, is_exact) = of(node)?;
                all.extend(lookups);
                exact &= is_exact;
            }
            Some((all, exact))
        }
        Node::Within(place, inner) => {
            let value = place.attribute.sub("value")?;
            let place = Place {
                sub: Some(value),
                ..*place
            };
            of_value(index(&place)?, inner)
        }
        Node::Not(_) | Node::Present(_) | Node::Compare(..) => None,
    }
}

/// The same in brackets, where `value` is what is indexed.
fn of_value(index: Index, node: &Node) -> Option<Found> {
    match node {
        Node::Compare(place, Comparison::Eq, operand) if place.attribute.name == "value" => {
            lookup(index, operand).map(|one| (vec![one], true))
        }
        Node::All(nodes) => best(nodes.iter().filter_map(|node| of_value(index, node))),
        Node::Any(nodes) => {
            let each: Option<Vec<Found>> = nodes.iter().map(|node| of_value(index, node)).collect();
            let each = each?;
            let exact = each.iter().all(|(_, exact)| *exact);
            let lookups = each.into_iter().flat_map(|(lookups, _)| lookups).collect();
            Some((lookups, exact))
        }
        _ => None,
    }
}

/// The `value`s of which what is in brackets can only find one; `None`: it may find others.
pub(super) fn values_asked(node: &Node) -> Option<BTreeSet<String>> {
    let (lookups, _) = of_value(Index::Member, node)?;
    Some(lookups.into_iter().map(|one| one.value).collect())
}

/// Of conjuncts, the one that leads to the fewest. What it finds must still be tested by the others.
fn best(found: impl Iterator<Item = Found>) -> Option<Found> {
    let cost = |(lookups, _): &Found| {
        let worst = lookups.iter().map(|one| one.index).max();
        (worst, lookups.len())
    };
    let best = found.min_by(|one, other| cost(one).cmp(&cost(other)))?;
    Some((best.0, false))
}

fn index(place: &Place) -> Option<Index> {
    if place.extension.is_some() {
        return None;
    }
    let names = (place.attribute.name, place.sub.map(|sub| sub.name));
    Some(match names {
        ("id", None) => Index::Id,
        ("userName", None) => Index::UserName,
        ("externalId", None) => Index::ExternalId,
        ("emails", Some("value")) => Index::Email,
        ("displayName", None) => Index::DisplayName,
        ("members", Some("value")) => Index::Member,
        ("groups", Some("value")) => Index::Group,
        _ => return None,
    })
}

fn lookup(index: Index, operand: &Operand) -> Option<Lookup> {
    match operand {
        Operand::Text { written, compared } => Some(Lookup {
            index,
            value: written.clone(),
            folded: compared.clone(),
        }),
        _ => None,
    }
}
