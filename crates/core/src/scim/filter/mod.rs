//! Filters (RFC 7644 section 3.4.2.2): the whole grammar.
//!
//! A filter goes three ways: as text ([`Filter`]), checked against a schema and made
//! ready ([`Ready`], in [`ready`]), and looked at for what an index can answer ([`plan`]).
//!
//! `not` binds tightest, then `and`, then `or`; operators are read in any case. Beyond the grammar one
//! form is understood that a large provider sends: `emails[type eq "work"].value eq "x"`.
//!
//! Bounds: 4,096 bytes, 20 parentheses or brackets deep, 100 expressions. What is beyond, malformed, unknown to
//! the schema, or compares what cannot be compared, is `invalidFilter`.

mod needs;
mod parse;
pub mod plan;
pub mod ready;

pub use needs::Needs;
pub use parse::{MAX_DEPTH, MAX_FILTER_BYTES, MAX_NODES, parse_within};
pub use ready::Ready;

use super::ScimError;
use super::path::AttrPath;
use std::fmt;

/// A filter as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Each of them holds.
    All(Vec<Filter>),
    /// One of them holds.
    Any(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The attribute has a value.
    Present(AttrPath),
    /// The attribute compares so.
    Compare(AttrPath, Comparison, Literal),
    /// One value of the attribute is such.
    Within(AttrPath, Box<Filter>),
}

/// How an attribute is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Is equal.
    Eq,
    /// Is not equal.
    Ne,
    /// Contains.
    Co,
    /// Starts with.
    Sw,
    /// Ends with.
    Ew,
    /// Is greater.
    Gt,
    /// Is greater or equal.
    Ge,
    /// Is less.
    Lt,
    /// Is less or equal.
    Le,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Eq,
        Self::Ne,
        Self::Co,
        Self::Sw,
        Self::Ew,
        Self::Gt,
        Self::Ge,
        Self::Lt,
        Self::Le,
    ];

    /// As filters spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    /// Whether it is about an order.
    #[must_use]
    pub const fn is_ordering(self) -> bool {
        matches!(self, Self::Gt | Self::Ge | Self::Lt | Self::Le)
    }

    /// Whether it looks into a text.
    #[must_use]
    pub const fn is_partial(self) -> bool {
        matches!(self, Self::Co | Self::Sw | Self::Ew)
    }
}

/// What an attribute is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as it was written. No attribute is one.
    Number(String),
    /// A text.
    Text(String),
}

impl Filter {
    /// Reads a filter.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        parse::parse(text)
    }

    /// All of these; an `All` among them becomes part of it, and one alone is itself.
    #[must_use]
    pub fn all(of: Vec<Self>) -> Self {
        let flat = of.into_iter().flat_map(|one| match one {
            Self::All(inner) => inner,
            other => vec![other],
        });
        single(flat.collect()).unwrap_or_else(Self::All)
    }

    /// Any of these, likewise.
    #[must_use]
    pub fn any(of: Vec<Self>) -> Self {
        let flat = of.into_iter().flat_map(|one| match one {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        single(flat.collect()).unwrap_or_else(Self::Any)
    }
}

fn single(mut of: Vec<Filter>) -> Result<Filter, Vec<Filter>> {
    match of.pop() {
        Some(only) if of.is_empty() => Ok(only),
        Some(last) => {
            of.push(last);
            Err(of)
        }
        None => Err(of),
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::All(of) => joined(to, of, " and ", |one| matches!(one, Self::Any(_))),
            Self::Any(of) => joined(to, of, " or ", |_| false),
            Self::Not(inner) => write!(to, "not ({inner})"),
            Self::Present(path) => write!(to, "{path} pr"),
            Self::Compare(path, comparison, literal) => {
                write!(to, "{path} {} {literal}", comparison.as_str())
            }
            Self::Within(path, inner) => write!(to, "{path}[{inner}]"),
        }
    }
}

fn joined(
    to: &mut fmt::Formatter,
    of: &[Filter],
    word: &str,
    in_parentheses: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (position, one) in of.iter().enumerate() {
        if position > 0 {
            to.write_str(word)?;
        }
        if in_parentheses(one) {
            write!(to, "({one})")?;
        } else {
            write!(to, "{one}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, to: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Null => to.write_str("null"),
            Self::Boolean(value) => write!(to, "{value}"),
            Self::Number(number) => write!(to, "{number}"),
            Self::Text(text) => {
                write!(to, "{}", serde_json::Value::String(text.clone()))
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
