//! What a filter must see of a list that the store keeps apart and that may be long: a group's `members`, a
//! user's `groups`.

use super::super::schema::{Attribute, Place};
use super::Comparison;
use super::plan::values_asked;
use super::ready::{Node, Operand, Ready};
use std::collections::BTreeSet;

/// What of the list decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    #[default]
    Nothing,
    /// Which of these `value`s are in it.
    These(BTreeSet<String>),
    /// All of it.
    All,
}

impl Needs {
    /// What both need.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Nothing, needs) | (needs, Self::Nothing) => needs,
            (Self::These(mut these), Self::These(others)) => {
                these.extend(others);
                Self::These(these)
            }
        }
    }
}

impl Ready {
    /// What it must see of that attribute. If it sees no more, it finds the same.
    #[must_use]
    pub fn needs(&self, attribute: &'static Attribute) -> Needs {
        of(&self.root, attribute)
    }
}

fn of(node: &Node, attribute: &'static Attribute) -> Needs {
    match node {
        Node::All(nodes) | Node::Any(nodes) => nodes
            .iter()
            .map(|node| of(node, attribute))
            .fold(Needs::Nothing, Needs::and),
        Node::Not(inner) => of(inner, attribute),
        Node::Present(place) | Node::Compare(place, ..) | Node::Within(place, _)
            if !is_of(place, attribute) =>
        {
            Needs::Nothing
        }
        Node::Compare(place, Comparison::Eq, Operand::Text { written, .. })
            if place.leaf().name == "value" =>
        {
            Needs::These([written.clone()].into())
        }
        Node::Within(_, inner) => values_asked(inner).map_or(Needs::All, Needs::These),
        Node::Present(_) | Node::Compare(..) => Needs::All,
    }
}

fn is_of(place: &Place, attribute: &'static Attribute) -> bool {
    place.extension.is_none() && std::ptr::eq(place.attribute, attribute)
}
