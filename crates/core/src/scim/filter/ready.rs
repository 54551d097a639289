//! A filter checked against a schema, and resources tested by it.
//!
//! Texts are compared as the attribute's `caseExact` says, dates as instants. A list matches if one of its
//! values does. What is absent, null, an empty text, list or object is not present (RFC 7643 section 2.5); it
//! equals `null`, differs from everything else, and is in no order with anything.
//!
//! A multi-valued complex attribute without a sub-attribute stands for its `value`s.

use super::super::ScimError;
use super::super::schema::{Attribute, Kind, Place, ResourceType, Returned, Target};
use super::super::value::{get, is_present, truth};
use super::{AttrPath, Comparison, Filter, Literal};
use crate::text::folded;
use chrono::DateTime;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// A filter for resources of one type.
#[derive(Clone, Debug)]
pub struct Ready {
    pub(super) root: Node,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Present(Place),
    Compare(Place, Comparison, Operand),
    Within(Place, Box<Node>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Null,
    Truth(bool),
    Text {
        written: String,
        /// Folded, unless the attribute's case matters.
        compared: String,
    },
    Instant(i64),
}

impl Ready {
    /// Checks `filter`, for resources of that type.
    pub fn new(filter: &Filter, of: &ResourceType) -> Result<Self, ScimError> {
        let place = |path: &AttrPath| match of.resolve(path) {
            Some(Target::Place(place)) => Ok(place),
            _ => Err(unknown(path)),
        };
        node(filter, &place).map(|root| Self { root })
    }

    /// The same where resources of these types are looked for at once: what only another type has is without
    /// value (RFC 7644 section 3.4.2.1).
    pub fn among(
        filter: &Filter,
        of: &ResourceType,
        types: &[&'static ResourceType],
    ) -> Result<Self, ScimError> {
        let place = |path: &AttrPath| place_among(path, of, types).ok_or_else(|| unknown(path));
        node(filter, &place).map(|root| Self { root })
    }

    /// Checks a `filter` for single values of a complex attribute, as paths have them.
    pub fn within(filter: &Filter, attribute: &'static Attribute) -> Result<Self, ScimError> {
        let place = |path: &AttrPath| sub_place(attribute, path);
        node(filter, &place).map(|root| Self { root })
    }

    /// Whether `resource`, or the value of an attribute, is such.
    #[must_use]
    pub fn matches(&self, resource: &Map<String, Value>) -> bool {
        self.root.matches(resource)
    }
}

/// What `path` names in `of`, or else in one of the types.
pub(in super::super) fn place_among(
    path: &AttrPath,
    of: &ResourceType,
    types: &[&'static ResourceType],
) -> Option<Place> {
    let mut places = std::iter::once(of)
        .chain(types.iter().copied())
        .filter_map(|of| match of.resolve(path) {
            Some(Target::Place(place)) => Some(place),
            _ => None,
        });
    places.next()
}

fn unknown(path: &AttrPath) -> ScimError {
    let path = super::super::path::shown(&path.to_string());
    ScimError::FilterRefused(format!("{path} is unknown"))
}

fn sub_place(attribute: &'static Attribute, path: &AttrPath) -> Result<Place, ScimError> {
    let plain = path.urn.is_none() && path.sub.is_none();
    let found = attribute.sub(&path.name).filter(|_| plain);
    Ok(Place {
        extension: None,
        attribute: found.ok_or_else(|| unknown(path))?,
        sub: None,
    })
}

fn node(
    filter: &Filter,
    place: &dyn Fn(&AttrPath) -> Result<Place, ScimError>,
) -> Result<Node, ScimError> {
    let nodes = |of: &[Filter]| -> Result<Vec<Node>, ScimError> {
        of.iter().map(|one| node(one, place)).collect()
    };
    Ok(match filter {
        Filter::All(of) => Node::All(nodes(of)?),
        Filter::Any(of) => Node::Any(nodes(of)?),
        Filter::Not(inner) => Node::Not(Box::new(node(inner, place)?)),
        Filter::Present(path) => Node::Present(readable(place(path)?)?),
        Filter::Compare(path, comparison, literal) => {
            let place = comparable(readable(place(path)?)?)?;
            let operand = operand(place.leaf(), *comparison, literal)?;
            Node::Compare(place, *comparison, operand)
        }
        Filter::Within(path, inner) => {
            let outer = place(path)?;
            if outer.sub.is_some() || outer.attribute.kind != Kind::Complex {
                return Err(refused(&outer, "has no sub-attributes"));
            }
            let inner_place = |path: &AttrPath| sub_place(outer.attribute, path);
            Node::Within(outer, Box::new(node(inner, &inner_place)?))
        }
    })
}

fn refused(place: &Place, why: &str) -> ScimError {
    ScimError::FilterRefused(format!("{} {why}", place.leaf().name))
}

/// Nobody finds out what they may not read by asking whether it is so.
fn readable(place: Place) -> Result<Place, ScimError> {
    if place.attribute.returned == Returned::Never {
        return Err(refused(&place, "cannot be asked for"));
    }
    Ok(place)
}

fn comparable(place: Place) -> Result<Place, ScimError> {
    if place.leaf().kind != Kind::Complex {
        return Ok(place);
    }
    match place.attribute.sub("value") {
        Some(value) => Ok(Place {
            sub: Some(value),
            ..place
        }),
        None => Err(refused(&place, "cannot be compared as a whole")),
    }
}

fn operand(
    attribute: &Attribute,
    comparison: Comparison,
    literal: &Literal,
) -> Result<Operand, ScimError> {
    let refused = |why: &str| {
        let name = attribute.name;
        Err(ScimError::FilterRefused(format!("{name} {why}")))
    };
    if comparison.is_ordering() && matches!(attribute.kind, Kind::Boolean | Kind::Binary) {
        return refused("has no order");
    }
    if comparison.is_partial() && attribute.kind == Kind::Boolean {
        return refused("is no text");
    }
    match (literal, attribute.kind) {
        (Literal::Null, _) if matches!(comparison, Comparison::Eq | Comparison::Ne) => {
            Ok(Operand::Null)
        }
        (Literal::Boolean(value), Kind::Boolean) => Ok(Operand::Truth(*value)),
        (Literal::Text(text), Kind::Boolean) => match truth(&Value::String(text.clone())) {
            Some(value) => Ok(Operand::Truth(value)),
            None => refused("is compared with no truth value"),
        },
        (Literal::Text(text), Kind::DateTime) if !comparison.is_partial() => match instant(text) {
            Some(at) => Ok(Operand::Instant(at)),
            None => refused("is compared with no instant"),
        },
        (Literal::Text(text), Kind::String | Kind::Reference | Kind::Binary | Kind::DateTime) => {
            Ok(Operand::Text {
                written: text.clone(),
                compared: cased(attribute, text),
            })
        }
        _ => refused("is compared with a value of another type"),
    }
}

/// Milliseconds since the epoch, also before it.
fn instant(text: &str) -> Option<i64> {
    let at = DateTime::parse_from_rfc3339(text).ok()?;
    Some(at.timestamp_millis())
}

/// `text` as values of `attribute` are compared.
pub(in super::super) fn cased(attribute: &Attribute, text: &str) -> String {
    if attribute.case_exact || attribute.kind == Kind::DateTime {
        text.to_owned()
    } else {
        folded(text)
    }
}

impl Node {
    fn matches(&self, resource: &Map<String, Value>) -> bool {
        match self {
            Self::All(of) => of.iter().all(|one| one.matches(resource)),
            Self::Any(of) => of.iter().any(|one| one.matches(resource)),
            Self::Not(inner) => !inner.matches(resource),
            Self::Present(place) => values(place, resource).iter().any(|one| is_present(one)),
            Self::Compare(place, comparison, operand) => {
                compare(place, *comparison, operand, resource)
            }
            Self::Within(place, inner) => values(place, resource)
                .into_iter()
                .filter_map(Value::as_object)
                .any(|value| inner.matches(value)),
        }
    }
}

fn compare(
    place: &Place,
    comparison: Comparison,
    operand: &Operand,
    resource: &Map<String, Value>,
) -> bool {
    let mut present = values(place, resource);
    present.retain(|one| is_present(one));
    match (comparison, operand) {
        (Comparison::Eq, Operand::Null) => present.is_empty(),
        (Comparison::Ne, Operand::Null) => !present.is_empty(),
        (Comparison::Ne, _) if present.is_empty() => true,
        _ => present
            .into_iter()
            .any(|value| holds(place.leaf(), value, comparison, operand)),
    }
}

fn holds(attribute: &Attribute, value: &Value, comparison: Comparison, operand: &Operand) -> bool {
    let order = match operand {
        Operand::Null => None,
        Operand::Truth(wanted) => truth(value).map(|value| value.cmp(wanted)),
        Operand::Instant(wanted) => value
            .as_str()
            .and_then(instant)
            .map(|value| value.cmp(wanted)),
        Operand::Text {
            compared: wanted, ..
        } => {
            let Some(value) = value.as_str().map(|value| cased(attribute, value)) else {
                return comparison == Comparison::Ne;
            };
            match comparison {
                Comparison::Co => return value.contains(wanted.as_str()),
                Comparison::Sw => return value.starts_with(wanted.as_str()),
                Comparison::Ew => return value.ends_with(wanted.as_str()),
                _ => Some(value.cmp(wanted)),
            }
        }
    };
    match (comparison, order) {
        (Comparison::Ne, order) => order != Some(Ordering::Equal),
        (_, None) | (Comparison::Co | Comparison::Sw | Comparison::Ew, _) => false,
        (Comparison::Eq, Some(order)) => order.is_eq(),
        (Comparison::Gt, Some(order)) => order.is_gt(),
        (Comparison::Ge, Some(order)) => order.is_ge(),
        (Comparison::Lt, Some(order)) => order.is_lt(),
        (Comparison::Le, Some(order)) => order.is_le(),
    }
}

/// The values at a place: of a list, each.
pub(in super::super) fn values<'r>(
    place: &Place,
    resource: &'r Map<String, Value>,
) -> Vec<&'r Value> {
    let of = match place.extension {
        None => Some(resource),
        Some(schema) => get(resource, schema.id).and_then(Value::as_object),
    };
    let found = of.and_then(|of| get(of, place.attribute.name));
    let each = found.map_or(&[][..], |found| match found {
        Value::Array(list) => list.as_slice(),
        single => std::slice::from_ref(single),
    });
    match place.sub {
        None => each.iter().collect(),
        Some(sub) => each
            .iter()
            .filter_map(|one| get(one.as_object()?, sub.name))
            .collect(),
    }
}
