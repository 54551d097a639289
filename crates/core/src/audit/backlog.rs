//! How long messages wait in a queue: when to say so, and when to try again one that cannot be taken now.
//!
//! A queue deletes what is older than it keeps ([`RETENTION_MS`] unless the queue is told otherwise), so a backlog must be
//! loud long before. Ages are the service's clock minus the time at which the queue got the message.

use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// How long a queue keeps messages unless it is told otherwise.
pub const RETENTION_MS: u64 = 4 * 24 * HOUR;
/// How old a message is that is late.
pub const LATE_MS: u64 = 10 * MINUTE;
/// How old a message is that the lane is told of.
const NOTED_MS: u64 = MINUTE;
/// How often an isolate tells it.
const TOLD_EVERY_MS: u64 = 30 * SECOND;
/// For how long what was seen says something of the present.
pub const SEEN_FOR_MS: u64 = 15 * MINUTE;
/// The longest wait between two tries.
const LONGEST_DELAY_SECS: u64 = 6 * 60 * 60;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As usual.
    Usual,
    /// The log is late: somebody should look.
    Late,
    /// Half of what the queue keeps by default is over: somebody must act, or events will be lost.
    Endangered,
}

impl Level {
    /// The level of a message of that age.
    #[must_use]
    pub const fn of(age_ms: u64) -> Self {
        if age_ms >= RETENTION_MS / 2 {
            Self::Endangered
        } else if age_ms > LATE_MS {
            Self::Late
        } else {
            Self::Usual
        }
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Late => "late",
            Self::Endangered => "endangered",
        }
    }
}

/// The oldest message of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Of which queue.
    pub queue: String,
    /// When the queue got it.
    pub sent: UnixMillis,
    /// When it was seen.
    pub seen: UnixMillis,
}

impl Backlog {
    /// How old it was then, in milliseconds; by a clock that went back it was new.
    #[must_use]
    pub const fn age_ms(&self) -> u64 {
        self.seen.0.saturating_sub(self.sent.0)
    }

    /// How bad it was then.
    #[must_use]
    pub const fn level(&self) -> Level {
        Level::of(self.age_ms())
    }

    /// How bad it is now, as far as is known: nothing that was seen long ago.
    #[must_use]
    pub const fn level_at(&self, now: UnixMillis) -> Level {
        if now.0.saturating_sub(self.seen.0) > SEEN_FOR_MS {
            Level::Usual
        } else {
            self.level()
        }
    }

    /// Whether the lane should be told, if this is what it was told last: that messages wait, now and then, and once
    /// that they do not any more. As usual nothing is told, which costs nothing.
    #[must_use]
    pub fn is_to_be_told(&self, told: Option<&Self>) -> bool {
        let waits = self.age_ms() >= NOTED_MS;
        match told.filter(|told| told.queue == self.queue) {
            Some(told) if told.age_ms() >= NOTED_MS => {
                !waits || self.seen.0.saturating_sub(told.seen.0) >= TOLD_EVERY_MS
            }
            None | Some(_) => waits,
        }
    }
}

/// Whether a message of that age is given up as undeliverable when the lane fails at it and is there for others: it has been
/// tried a hundred times from the first queue, and for a day since.
#[must_use]
pub const fn is_undeliverable(age_ms: u64) -> bool {
    age_ms >= 24 * HOUR
}

/// In how many seconds a message of that age is tried again that has been in the first queue for most of an hour: soon at
/// first, and later ever more seldom. It is tried so often that a queue that keeps messages for 14 days, the most there
/// is, has not used up its hundred tries then.
#[must_use]
pub fn retry_delay_secs(age_ms: u64) -> u32 {
    let quarter = age_ms / SECOND / 4;
    u32::try_from(quarter.clamp(60, LONGEST_DELAY_SECS)).unwrap_or(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: u64, seen: u64) -> Backlog {
        Backlog {
            queue: "q".into(),
            sent: UnixMillis(sent),
            seen: UnixMillis(seen),
        }
    }

    #[test]
    fn hours_of_backlog_are_an_alert_long_before_retention_deletes() {
        assert_eq!(Level::of(0), Level::Usual);
        assert_eq!(Level::of(10 * MINUTE), Level::Usual);
        assert_eq!(Level::of(10 * MINUTE + 1), Level::Late);
        assert_eq!(Level::of(3 * HOUR), Level::Late);
        assert_eq!(Level::of(48 * HOUR), Level::Endangered);
        // From the first alert to the loss it is days.
        const { assert!(RETENTION_MS - LATE_MS > 95 * HOUR) };
        for hour in 1..96 {
            assert!(Level::of(hour * HOUR) > Level::Usual, "{hour}");
        }
    }

    #[test]
    fn a_message_whose_lane_is_away_is_tried_until_the_longest_retention_is_over() {
        let fortnight = 14 * 24 * HOUR;
        let (mut age, mut tries) = (0, 0);
        while age < fortnight {
            age += u64::from(retry_delay_secs(age)) * SECOND;
            tries += 1;
        }
        assert!(tries <= 100, "{tries} tries");
        // And while it is new it does not wait for long after the lane is back.
        assert!(retry_delay_secs(HOUR) <= 15 * 60);
        assert_eq!(retry_delay_secs(0), 60);
        // The platform's longest delay is twelve hours.
        assert_eq!(u64::from(retry_delay_secs(u64::MAX)), LONGEST_DELAY_SECS);
    }

    #[test]
    fn the_lane_is_told_of_what_waits_and_once_that_it_does_not() {
        let quick = seen(0, 10);
        assert!(!quick.is_to_be_told(None));
        let slow = seen(0, NOTED_MS);
        assert!(slow.is_to_be_told(None));
        let soon = seen(0, NOTED_MS + 1);
        assert!(!soon.is_to_be_told(Some(&slow)));
        let later = seen(0, NOTED_MS + TOLD_EVERY_MS);
        assert!(later.is_to_be_told(Some(&slow)));
        let over = seen(NOTED_MS, NOTED_MS + 1);
        assert!(over.is_to_be_told(Some(&slow)));
        assert!(!over.is_to_be_told(Some(&over)));
        let other = Backlog {
            queue: "other".into(),
            ..soon
        };
        assert!(other.is_to_be_told(Some(&slow)));
    }

    #[test]
    fn what_was_seen_long_ago_is_no_alert() {
        let late = seen(0, 20 * MINUTE);
        assert_eq!(late.level_at(UnixMillis(21 * MINUTE)), Level::Late);
        assert_eq!(late.level_at(UnixMillis(36 * MINUTE)), Level::Usual);
        assert_eq!(seen(5, 0).age_ms(), 0);
    }
}
