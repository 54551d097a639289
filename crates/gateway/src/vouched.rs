//! Identity providers' tokens that the service vouched for a moment ago.
//!
//! The service alone knows whose such a token is. What it said is remembered, so that a route that is content
//! with a [`view`](crate::view) of what was revoked need not ask each time: as long as the view clears the
//! token, it has not been ended since.
//!
//! There is more that could have become of it: its connection was turned off or reads its claims in another
//! way, or its provider's keys were replaced. Of that the feed says nothing, so an answer is good for
//! [`GOOD_SECS`] and no longer, whatever the view says.

use crate::caller::Caller;
use crate::view::marks::Marks;
use crate::view::seed::{Fingerprint, Kind, Seed};
use portcullis_core::session::check::CheckReply;
use portcullis_core::session::foreign::ForeignHolder;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;
use std::rc::Rc;

/// How long an answer is good for, in seconds.
pub const GOOD_SECS: u64 = 60;
/// How many are remembered: about two megabytes of them.
const CAPACITY: usize = 1000;
/// The longest token that is.
const MAX_TEXT_BYTES: usize = 4096;

/// A token that was in force when the service was asked.
#[derive(Debug)]
pub struct Vouched {
    text: Box<str>,
    caller: Caller,
    marks: Marks,
    /// When the question was sent, by the gateway's clock.
    asked_at: UnixMillis,
    expires_at: UnixMillis,
}

impl Vouched {
    /// Who holds it.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// What an entry of the feed could name to cover it.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    fn is_good(&self, now: UnixMillis) -> bool {
        let good = self.asked_at..self.asked_at.plus_secs(GOOD_SECS);
        good.contains(&now) && now < self.expires_at
    }
}

/// What is remembered, by the fingerprint of the token's text.
#[derive(Debug, Default)]
pub struct VouchedFor(BTreeMap<Fingerprint, Rc<Vouched>>);

impl VouchedFor {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The token of that text, if the service's answer is still good.
    #[must_use]
    pub fn recall(&self, text: &str, seed: &Seed, now: UnixMillis) -> Option<Rc<Vouched>> {
        let vouched = self.0.get(&seed.fingerprint(Kind::Text, text.as_bytes()))?;
        (*vouched.text == *text && vouched.is_good(now)).then(|| Rc::clone(vouched))
    }

    /// Remembers what the service said of the token of that text when it was asked at `asked_at`; that it
    /// was denied is not remembered, for whoever is let in again may come with it.
    pub fn note(
        &mut self,
        text: &str,
        (holder, reply): (&ForeignHolder, &CheckReply),
        asked_at: UnixMillis,
        seed: &Seed,
    ) {
        let key = seed.fingerprint(Kind::Text, text.as_bytes());
        if !reply.verdict.is_active() || text.len() > MAX_TEXT_BYTES {
            self.0.remove(&key);
            return;
        }
        if self.0.len() >= CAPACITY {
            self.0.retain(|_, vouched| vouched.is_good(asked_at));
        }
        if self.0.len() >= CAPACITY {
            self.0.pop_first();
        }
        let vouched = Vouched {
            text: text.into(),
            caller: Caller::from(holder.clone()),
            marks: Marks::of_foreign(holder, reply.checked_at, seed),
            asked_at,
            expires_at: holder.expires_at,
        };
        self.0.insert(key, Rc::new(vouched));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remembered::testing::{NOW, seed};
    use portcullis_core::id::{LogHash, SubjectKey};
    use portcullis_core::session::check::{DenyReason, Verdict};

    fn holder(expires_at: UnixMillis) -> ForeignHolder {
        ForeignHolder {
            subject: SubjectKey::from_bytes([1; 16]),
            connection: "okta".to_owned(),
            client_id: None,
            scope: None,
            roles: Vec::new(),
            groups: Vec::new(),
            auth_time_secs: None,
            acr: None,
            token: LogHash::from_bytes([2; 16]),
            issued_at: NOW,
            expires_at,
            sid: None,
        }
    }

    fn reply(verdict: Verdict) -> CheckReply {
        CheckReply {
            verdict,
            checked_at: UnixMillis(NOW.0 + 7),
        }
    }

    fn active() -> CheckReply {
        reply(Verdict::Active {
            session_expires_at: NOW,
        })
    }

    #[test]
    fn an_answer_is_good_for_the_same_token_a_minute_and_not_beyond_its_expiry() {
        let mut vouched = VouchedFor::new();
        for (text, expires_in) in [("long", 3600), ("short", 10)] {
            let holder = holder(NOW.plus_secs(expires_in));
            vouched.note(text, (&holder, &active()), NOW, &seed());
        }
        let good = |text, ms| {
            let at = UnixMillis(NOW.0 + ms);
            vouched.recall(text, &seed(), at).is_some()
        };
        assert!(good("long", 0) && good("long", 59_999) && !good("long", 60_000));
        assert!(good("short", 9_999) && !good("short", 10_000));
        assert!(!good("other", 0));
        assert!(
            vouched
                .recall("long", &seed(), UnixMillis(NOW.0 - 1))
                .is_none()
        );
        let known = vouched.recall("long", &seed(), NOW).expect("good");
        assert_eq!(known.marks().vouched_at, UnixMillis(NOW.0 + 7));
        assert_eq!(known.marks().issued_at, NOW);
        assert_eq!(known.caller().connection.as_deref(), Some("okta"));
    }

    #[test]
    fn a_denial_is_not_remembered_and_ends_what_was() {
        let (mut vouched, holder) = (VouchedFor::new(), holder(NOW.plus_secs(60)));
        vouched.note("a", (&holder, &active()), NOW, &seed());
        let denied = reply(Verdict::Denied(DenyReason::IssuedBeforeKill));
        vouched.note("a", (&holder, &denied), NOW, &seed());
        assert!(vouched.recall("a", &seed(), NOW).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut vouched, holder) = (VouchedFor::new(), holder(NOW.plus_secs(60)));
        for index in 0..=CAPACITY {
            vouched.note(&index.to_string(), (&holder, &active()), NOW, &seed());
        }
        assert_eq!(vouched.0.len(), CAPACITY);
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        vouched.note(&long, (&holder, &active()), NOW, &seed());
        assert!(vouched.recall(&long, &seed(), NOW).is_none());
    }
}
