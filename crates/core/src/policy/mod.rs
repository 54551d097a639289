//! Policy: what holds for everyone at once. Wide revocations, and whom the service trusts.
//!
//! A [wide revocation](WideRevocation) ends everything of a client, of a connection, or by a key,
//! without knowing whose sessions those are. It lives in one object. Whoever decides something holds
//! a [view](PolicyView) of it that is at most [`VIEW_MAX_AGE_MS`] old, counted from when it was asked
//! for, and refuses to decide without one. So a wide revocation is in force everywhere
//! [`IN_FORCE_AFTER_MS`] after its commit, and is acknowledged no earlier.
//!
//! Until then a session may still begin under the view from before. It is covered too: what a
//! revocation covers is what began up to the moment it is in force.
//!
//! An entry is kept as long as anything that it covers could last ([`KEPT_SECS`]).

pub mod call;
pub mod trust;

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How old a view may be, in milliseconds, when something is decided by it.
pub const VIEW_MAX_AGE_MS: u64 = 1000;
/// What is added for a decision on its way, in milliseconds.
pub const MARGIN_MS: u64 = 250;
/// From the commit of a wide revocation until nobody decides without it, in milliseconds.
pub const IN_FORCE_AFTER_MS: u64 = VIEW_MAX_AGE_MS + MARGIN_MS;
/// How long a wide revocation is kept, in seconds: a session lasts less.
pub const KEPT_SECS: u64 = 31 * 24 * 60 * 60;

/// What a wide revocation covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum WideScope {
    /// Everything given to the client of that `client_id`.
    Client(String),
    /// Everything that rests on a log-in through that connection.
    Connection(String),
    /// Everything signed by the key of that `kid`, whenever it says that it was: whoever has the key
    /// can write any date.
    Key(String),
}

impl WideScope {
    /// The stable name of the kind, as in events and answers.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Connection(_) => "connection",
            Self::Key(_) => "key",
        }
    }

    /// The client, connection or key.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Client(id) | Self::Connection(id) | Self::Key(id) => id,
        }
    }
}

/// Everything in `scope` that began at `not_before` or earlier is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WideRevocation {
    /// What.
    pub scope: WideScope,
    /// Up to when. The moment the revocation is in force, a little after it was made.
    pub not_before: UnixMillis,
}

impl WideRevocation {
    /// The revocation of `scope` that is committed at `now`.
    #[must_use]
    pub const fn committed(scope: WideScope, now: UnixMillis) -> Self {
        let not_before = UnixMillis(now.0.saturating_add(IN_FORCE_AFTER_MS));
        Self { scope, not_before }
    }

    /// When it can be forgotten.
    #[must_use]
    pub const fn ends_at(&self) -> UnixMillis {
        self.not_before.plus_secs(KEPT_SECS)
    }
}

/// Whether one of `revoked` ends a session of `client_id` that began at `begun_at` through
/// `connection`.
#[must_use]
pub fn covers_session(
    revoked: &[WideRevocation],
    client_id: &str,
    connection: &str,
    begun_at: UnixMillis,
) -> bool {
    revoked.iter().any(|wide| {
        let concerned = match &wide.scope {
            WideScope::Client(id) => id == client_id,
            WideScope::Connection(id) => id == connection,
            WideScope::Key(_) => false,
        };
        concerned && begun_at <= wide.not_before
    })
}

/// The policy as of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Grows with every change, also of a client or a trust.
    pub version: u64,
    /// The wide revocations.
    pub revoked: Vec<WideRevocation>,
}

impl PolicyView {
    /// Whether a session is over by a wide revocation.
    #[must_use]
    pub fn covers_session(&self, client_id: &str, connection: &str, begun_at: UnixMillis) -> bool {
        covers_session(&self.revoked, client_id, connection, begun_at)
    }

    /// Whether nothing signed by the key of that `kid` counts any more.
    #[must_use]
    pub fn covers_key(&self, kid: &str) -> bool {
        self.revoked
            .iter()
            .any(|wide| matches!(&wide.scope, WideScope::Key(id) if id == kid))
    }

    /// Whether a session of `client_id` that begins at `now` would be over as it begins.
    #[must_use]
    pub fn holds_back(&self, client_id: &str, now: UnixMillis) -> bool {
        self.revoked.iter().any(|wide| {
            matches!(&wide.scope, WideScope::Client(id) if id == client_id)
                && now <= wide.not_before
        })
    }

    /// The wide revocations that can concern a subject's sessions: of `client_id`, or of every
    /// client if it is not known which; never those of keys.
    #[must_use]
    pub fn that_may_cover(&self, client_id: Option<&str>) -> Vec<WideRevocation> {
        let concerned = |wide: &&WideRevocation| match &wide.scope {
            WideScope::Client(id) => client_id.is_none_or(|client_id| id == client_id),
            WideScope::Connection(_) => true,
            WideScope::Key(_) => false,
        };
        self.revoked.iter().filter(concerned).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AT: UnixMillis = UnixMillis(10_000);

    fn view(scopes: Vec<WideScope>) -> PolicyView {
        let revoked = scopes
            .into_iter()
            .map(|scope| WideRevocation::committed(scope, AT));
        PolicyView {
            version: 1,
            revoked: revoked.collect(),
        }
    }

    #[test]
    fn what_began_before_a_revocation_was_in_force_is_over_and_what_began_later_is_not() {
        for scope in [
            WideScope::Client("c".into()),
            WideScope::Connection("demo".into()),
        ] {
            let view = view(vec![scope]);
            for (begun, over) in [(0, true), (10_000, true), (11_250, true), (11_251, false)] {
                let begun = UnixMillis(begun);
                assert_eq!(view.covers_session("c", "demo", begun), over, "{begun:?}");
                assert!(!view.covers_session("other", "local", begun));
            }
        }
    }

    #[test]
    fn a_client_is_held_back_until_its_revocation_is_in_force() {
        let view = view(vec![WideScope::Client("c".into())]);
        assert!(view.holds_back("c", UnixMillis(11_250)));
        assert!(!view.holds_back("c", UnixMillis(11_251)));
        assert!(!view.holds_back("d", AT));
    }

    #[test]
    fn a_key_is_covered_for_good_and_is_no_matter_of_sessions() {
        let view = view(vec![WideScope::Key("k".into())]);
        assert!(view.covers_key("k") && !view.covers_key("l"));
        assert!(!view.covers_session("k", "k", UnixMillis(0)));
        assert_eq!(view.that_may_cover(None), []);
    }

    fn scope() -> impl Strategy<Value = WideScope> {
        prop_oneof![
            "[ab]".prop_map(WideScope::Client),
            "[ab]".prop_map(WideScope::Connection),
            "[ab]".prop_map(WideScope::Key),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_to_a_subject_decides_as_the_whole_would(
            scopes in prop::collection::vec(scope(), 0..6),
            client in "[ab]", connection in "[ab]", begun in 9_000u64..13_000,
        ) {
            let view = view(scopes);
            let begun = UnixMillis(begun);
            let whole = view.covers_session(&client, &connection, begun);
            for known in [None, Some(client.as_str())] {
                let sent = view.that_may_cover(known);
                prop_assert_eq!(covers_session(&sent, &client, &connection, begun), whole);
            }
        }
    }
}
