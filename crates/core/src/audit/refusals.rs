//! Refused credentials, counted: whoever presents nothing that proves anything costs the log two lines a
//! reason and interval, however often they ask.
//!
//! The first refusal for a reason is an event of its own, with its request, and goes at once. Those that
//! follow within [`INTERVAL_MS`] are counted, and the count is one event when the interval is over. Then
//! the next is a first one again.
//!
//! Reasons are of a fixed vocabulary, so that what is kept here is bounded: never text that a caller chose.

use super::event::{Action, Actor, Event, Outcome};
use crate::time::UnixMillis;
use std::collections::BTreeMap;

/// How long refusals for one reason are counted, from the first on.
pub const INTERVAL_MS: u64 = 10_000;

/// What became of a refusal.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is the first for its reason: this is to be recorded.
    First(Box<Event>),
    /// It is the second, and the count is due in this time, which the caller has to see to.
    Counting(u64),
    /// It was counted along.
    Counted,
}

/// The refusals of a moment.
#[derive(Debug, Default)]
pub struct Refusals {
    /// By reason: when the interval ends, and how many came after the first.
    open: BTreeMap<String, (UnixMillis, Tally)>,
    /// Counts whose interval is over, until somebody takes them along.
    over: BTreeMap<String, Tally>,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u32,
    last: UnixMillis,
}

impl Refusals {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            over: BTreeMap::new(),
        }
    }

    /// Counts a refusal, or gives it back as the first of its reason.
    pub fn add(&mut self, event: Event, now: UnixMillis) -> Refused {
        self.close(now);
        let reason = event.reason.clone().unwrap_or_default();
        if let Some((ends, tally)) = self.open.get_mut(&reason) {
            tally.count = tally.count.saturating_add(1);
            tally.last = event.occurred;
            return if tally.count == 1 {
                Refused::Counting(ends.0.saturating_sub(now.0))
            } else {
                Refused::Counted
            };
        }
        let ends = UnixMillis(now.0.saturating_add(INTERVAL_MS));
        let last = event.occurred;
        self.open.insert(reason, (ends, Tally { count: 0, last }));
        Refused::First(Box::new(event))
    }

    /// Whether a count is due, and has been for `ms`.
    #[must_use]
    pub fn are_due(&self, ms: u64, now: UnixMillis) -> bool {
        let due = |(ends, tally): &(UnixMillis, Tally)| {
            tally.count > 0 && now.0 >= ends.0.saturating_add(ms)
        };
        !self.over.is_empty() || self.open.values().any(due)
    }

    /// The counts that are due, each as an event: the caller sees to them now.
    pub fn take_due(&mut self, now: UnixMillis) -> Vec<Event> {
        self.close(now);
        let over = std::mem::take(&mut self.over);
        let event = |(reason, tally): (String, Tally)| Event {
            reason: Some(reason),
            ..Event::new(
                tally.last,
                Action::CredentialRefused,
                Outcome::Denied,
                Actor::Unproven(tally.count),
            )
        };
        over.into_iter().map(event).collect()
    }

    fn close(&mut self, now: UnixMillis) {
        let over = &mut self.over;
        self.open.retain(|reason, (ends, tally)| {
            let ended = now >= *ends;
            if ended && tally.count > 0 {
                let earlier = over.get(reason).map_or(0, |tally| tally.count);
                let count = tally.count.saturating_add(earlier);
                over.insert(reason.clone(), Tally { count, ..*tally });
            }
            !ended
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(reason: &str, at: u64) -> Event {
        Event {
            reason: Some(reason.to_owned()),
            ..Event::new(
                UnixMillis(at),
                Action::CredentialRefused,
                Outcome::Denied,
                Actor::Anonymous,
            )
        }
    }

    fn add(refusals: &mut Refusals, reason: &str, at: u64) -> Refused {
        refusals.add(refusal(reason, at), UnixMillis(at))
    }

    #[test]
    fn the_first_of_a_reason_goes_and_the_rest_of_its_interval_is_one_count() {
        let mut refusals = Refusals::new();
        let first = Refused::First(Box::new(refusal("expired", 5)));
        assert_eq!(add(&mut refusals, "expired", 5), first);
        assert_eq!(
            add(&mut refusals, "expired", 105),
            Refused::Counting(INTERVAL_MS - 100)
        );
        assert_eq!(add(&mut refusals, "expired", 205), Refused::Counted);
        let other = Refused::First(Box::new(refusal("signature", 300)));
        assert_eq!(add(&mut refusals, "signature", 300), other);

        let before = UnixMillis(INTERVAL_MS + 4);
        assert!(!refusals.are_due(0, before));
        assert_eq!(refusals.take_due(before), []);
        let end = UnixMillis(INTERVAL_MS + 5);
        assert!(refusals.are_due(0, end) && !refusals.are_due(1, end));
        let counts = refusals.take_due(end);
        let [count] = counts.as_slice() else {
            panic!("{counts:?}");
        };
        assert_eq!(count.actor, Actor::Unproven(2));
        assert_eq!(count.reason.as_deref(), Some("expired"));
        assert_eq!((count.occurred, &count.request), (UnixMillis(205), &None));
        assert_eq!(refusals.take_due(UnixMillis(1_000_000)), []);
    }

    #[test]
    fn after_its_interval_a_reason_has_a_first_again_and_the_count_is_kept() {
        let mut refusals = Refusals::new();
        for at in [0, 1] {
            add(&mut refusals, "expired", at);
        }
        assert_eq!(
            add(&mut refusals, "expired", INTERVAL_MS),
            Refused::First(Box::new(refusal("expired", INTERVAL_MS)))
        );
        let counts = refusals.take_due(UnixMillis(INTERVAL_MS));
        assert_eq!(counts.len(), 1);
        assert_eq!(
            counts.first().map(|count| count.actor.clone()),
            Some(Actor::Unproven(1))
        );
    }
}
