//! Reading the log: filters, order, and a cursor that stays right while the log grows.
//!
//! A cursor is a place in commit order, and commit order never changes: a page that was read once
//! reads the same again, and what is appended meanwhile comes later. It is not secret and needs no
//! key: it holds a number that is checked like any other input.

use super::event::{Action, Outcome};
use super::line::Line;
use crate::id::SubjectKey;
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use crate::wire;
use serde::{Deserialize, Serialize};

/// Which lines are wanted; an absent field wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Concerning this subject.
    pub subject: Option<SubjectKey>,
    /// Of this action.
    pub action: Option<Action>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
    /// Occurred at or after.
    pub from: Option<UnixMillis>,
    /// Occurred before.
    pub to: Option<UnixMillis>,
}

impl Filter {
    /// Whether a segment whose events occurred in `[first, last]` can hold a wanted line.
    #[must_use]
    pub fn may_match(&self, first: UnixMillis, last: UnixMillis) -> bool {
        self.from.is_none_or(|from| last >= from) && self.to.is_none_or(|to| first < to)
    }

    /// Whether `line` is wanted.
    #[must_use]
    pub fn matches(&self, line: &Line) -> bool {
        let subject = self
            .subject
            .is_none_or(|key| line.subject.as_deref() == Some(key.to_string().as_str()));
        let action = self
            .action
            .is_none_or(|action| line.action == action.as_str());
        let outcome = self
            .outcome
            .is_none_or(|outcome| line.outcome == outcome.as_str());
        let time = || match UnixMillis::from_rfc3339(&line.occurred) {
            Some(at) => self.may_match(at, at),
            None => false,
        };
        subject && action && outcome && ((self.from.is_none() && self.to.is_none()) || time())
    }
}

/// In which order lines are read: by index, never by a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// As committed.
    #[default]
    Oldest,
    /// Latest commit first.
    Newest,
}

/// Where to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The order it was made under; it is valid for no other.
    pub order: Order,
    /// Oldest first: the next index to look at. Newest first: one above it.
    pub index: u64,
}

impl Cursor {
    /// Its text form, opaque to callers.
    #[must_use]
    pub fn to_text(self) -> String {
        wire::encode(&self)
            .map(|bytes| base64url(&bytes))
            .unwrap_or_default()
    }

    /// Reads the text form back.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let cursor: Self = wire::decode(&from_base64url(text)?).ok()?;
        (cursor.index < 1 << 53).then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_round_trip_and_nothing_else_is_one(index in 0u64..(1 << 53), noise: String) {
            for order in [Order::Oldest, Order::Newest] {
                let cursor = Cursor { order, index };
                prop_assert_eq!(Cursor::from_text(&cursor.to_text()), Some(cursor));
            }
            if let Some(cursor) = Cursor::from_text(&noise) {
                prop_assert!(cursor.index < 1 << 53);
            }
        }
    }

    #[test]
    fn time_bounds_are_half_open() {
        let filter = Filter {
            from: Some(UnixMillis(10)),
            to: Some(UnixMillis(20)),
            ..Filter::default()
        };
        let at = |ms| filter.may_match(UnixMillis(ms), UnixMillis(ms));
        assert!(!at(9) && at(10) && at(19) && !at(20));
        assert!(filter.may_match(UnixMillis(0), UnixMillis(100)));
    }
}
