//! Reading the log: filters, order, and a cursor that stays right while the log grows.
//!
//! A cursor is a place in commit order, and commit order never changes: a page that was read once
//! reads the same again, and what is appended meanwhile comes later. It is not secret and needs no
//! key: it holds a number that is checked like any other input.

use super::event::{Action, Actor, Outcome};
use super::line::{ActorFields, Line};
use crate::id::{LogHash, SubjectKey};
use crate::text::{base64url, from_base64url};
use crate::time::UnixMillis;
use crate::wire;
use serde::{Deserialize, Serialize};

/// Which lines are wanted: those that fit every field; an absent field wants all.
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
    /// Done by this actor, or by this subject in another's stead. How many somebody unproven is does not count.
    pub actor: Option<Actor>,
    /// In this session, by its name in the log.
    pub session: Option<LogHash>,
    /// Through this client.
    pub client_id: Option<String>,
    /// Done by this connection, or with its identity provider's token.
    pub connection: Option<String>,
    /// At this resource.
    pub resource: Option<String>,
    /// From this address, as the log has it.
    pub ip: Option<String>,
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
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        let key = self.subject.map(|key| key.to_string());
        let session = self.session.map(|hash| hash.to_string());
        is(self.action.map(Action::as_str), Some(&line.action))
            && is(self.outcome.map(Outcome::as_str), Some(&line.outcome))
            && is(key.as_deref(), line.subject.as_deref())
            && is(session.as_deref(), line.session.as_deref())
            && is(self.client_id.as_deref(), line.client_id.as_deref())
            && is(self.resource.as_deref(), line.resource.as_deref())
            && is(self.ip.as_deref(), line.ip())
            && self.actor.as_ref().is_none_or(|actor| is_by(line, actor))
            && self.connection.as_ref().is_none_or(|id| is_of(line, id))
            && self.matches_time(line)
    }

    fn matches_time(&self, line: &Line) -> bool {
        (self.from.is_none() && self.to.is_none())
            || UnixMillis::from_rfc3339(&line.occurred).is_some_and(|at| self.may_match(at, at))
    }

    /// Bytes that each wanted line has, so that others need not be read as JSON; what is likely to be rarest. Not of the
    /// address, which may lie sealed in a line.
    #[must_use]
    pub fn needle(&self) -> Option<String> {
        let text = |name: &str, value: &str| {
            let value = serde_json::to_string(value).ok()?;
            Some(format!("{name}{value}"))
        };
        let session = || text("\"session\":", &self.session?.to_string());
        let subject = || text("\"subject\":", &self.subject?.to_string());
        let actor = || match ActorFields::from(self.actor.as_ref()?) {
            // It may be in another's stead, or the actor itself.
            ActorFields { id: Some(id), .. } => text("", &id),
            ActorFields { r#type, .. } => text("\"actor\":{\"type\":", r#type),
        };
        let client = || text("\"client_id\":", self.client_id.as_ref()?);
        let connection = || text("", self.connection.as_ref()?);
        let resource = || text("\"resource\":", self.resource.as_ref()?);
        let action = || text("\"action\":", self.action?.as_str());
        let outcome = || text("\"outcome\":", self.outcome?.as_str());
        let rare = session().or_else(subject).or_else(actor).or_else(client);
        let rare = rare.or_else(connection).or_else(resource);
        rare.or_else(|| match (action(), outcome()) {
            // They stand beside each other.
            (Some(action), Some(outcome)) => Some(format!("{action},{outcome}")),
            (action, outcome) => action.or(outcome),
        })
    }
}

fn is_by(line: &Line, actor: &Actor) -> bool {
    let wanted = ActorFields::from(actor);
    let found = line.actor.as_ref();
    if found
        .is_some_and(|it| it.r#type == wanted.r#type && it.id.as_deref() == wanted.id.as_deref())
    {
        return true;
    }
    let acting = line.credential.iter().flat_map(|it| &it.act);
    matches!(actor, Actor::Subject(_))
        && acting
            .into_iter()
            .any(|id| Some(&**id) == wanted.id.as_deref())
}

fn is_of(line: &Line, connection: &str) -> bool {
    let actor = line.actor.as_ref();
    let by =
        actor.is_some_and(|it| it.r#type == "connection" && it.id.as_deref() == Some(connection));
    let credential = line.credential.as_ref();
    by || credential.and_then(|it| it.connection.as_deref()) == Some(connection)
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
