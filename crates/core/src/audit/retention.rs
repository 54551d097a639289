//! How long lines of the log are kept, and what keeps them longer: pruning a prefix of a lane, as C2SP tlog-tiles
//! ("Pruning") has it.
//!
//! A lane has a *minimum index*: lines below it are gone, hashes and tiles are not. It is a multiple of [`TILE_WIDTH`],
//! and grows while the lines behind it are older than the age, by when they were committed. A legal hold stops it:
//! a prefix cannot be pruned around a line.
//!
//! Out of scope: when a lane looks, and what it removes where.
//!
//! [`TILE_WIDTH`]: super::log::TILE_WIDTH

use super::event::Event;
use super::scrub::scrubbed;
use crate::id::SubjectKey;
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// The shortest time for which lines can be kept, in days: whoever checks the log must be able to keep up.
pub const MIN_DAYS: u32 = 30;
/// The longest, in days: a century.
pub const MAX_DAYS: u32 = 36_525;
/// The most holds at a time.
pub const MAX_HOLDS: u64 = 1000;
/// A day.
pub const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The longest name of a hold, in bytes.
const MAX_NAME_BYTES: usize = 64;
/// Where in a line the time of its commit is found at the latest.
const HEAD_BYTES: usize = 512;

/// How long lines are kept, in milliseconds, of so many days; `None` if that is out of bounds.
#[must_use]
pub fn keep_ms(days: u32) -> Option<u64> {
    let possible = (MIN_DAYS..=MAX_DAYS).contains(&days);
    possible.then(|| u64::from(days) * DAY_MS)
}

/// Whether a hold can be called that: lower-case letters, digits, `-`, `_` and `.`, the first of them a letter or a
/// digit; and nothing that the log would take for a credential.
#[must_use]
pub fn is_hold_name(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let rest = |byte: u8| letter(byte) || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= MAX_NAME_BYTES
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(rest)
        && scrubbed(name.to_owned()) == name
}

/// When a line was committed; `None` if it is no line. Only its beginning is looked at, where no text is that anybody
/// chose.
#[must_use]
pub fn committed_at(line: &[u8]) -> Option<UnixMillis> {
    const NAME: &[u8] = b"\"committed\":\"";
    let head = line.get(..HEAD_BYTES).unwrap_or(line);
    let at = head.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
    let rest = head.get(at..)?;
    let length = rest.iter().position(|byte| *byte == b'"')?;
    UnixMillis::from_rfc3339(std::str::from_utf8(rest.get(..length)?).ok()?)
}

/// A legal hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// What it is called.
    pub name: String,
    /// Of whom; `None`: of everything.
    pub subject: Option<SubjectKey>,
    /// Since when.
    pub placed_at: UnixMillis,
    /// By whom: an operator's role.
    pub placed_by: String,
}

/// How it is with a lane's lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// For how many days lines are kept; `None`: for good.
    pub days: Option<u32>,
    /// What keeps them longer, by name.
    pub holds: Vec<Hold>,
    /// The index of the first line that is kept.
    pub pruned_to: u64,
    /// When the latest of what is gone was committed; `None`: nothing is.
    pub pruned_until: Option<UnixMillis>,
    /// What that index would be if all that may go were gone.
    pub prunable_to: u64,
}

/// How it is with a lane's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRetention;

/// Have lines be kept for that long. The answer is how it is then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRetention {
    /// In days, within bounds; `None`: for good.
    pub days: Option<u32>,
    /// Change nothing, and say how it would be.
    pub dry_run: bool,
    /// Who does so: this event enters the log with the change.
    pub event: Event,
}

/// Place a legal hold. One of that name that is of the same is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceHold {
    /// What it is called: [`is_hold_name`].
    pub name: String,
    /// Of whom; `None`: of everything.
    pub subject: Option<SubjectKey>,
    /// Who does so: this event enters the log with the hold.
    pub event: Event,
}

/// What became of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placed {
    /// It is there, now or since before.
    Placed(Hold),
    /// There is one of that name that is of something else.
    Taken,
    /// There are too many.
    Full,
}

/// Release a legal hold; the answer is whether there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseHold {
    /// What it is called.
    pub name: String,
    /// Who does so: this event enters the log with the release.
    pub event: Event,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::call::LaneRequest;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::audit::line::{Position, render};
    use crate::id::ProducerId;
    use crate::wire::{self, Call};
    use proptest::prelude::*;

    #[test]
    fn an_age_is_a_month_at_least_and_a_century_at_most() {
        assert_eq!(keep_ms(30), Some(2_592_000_000));
        assert_eq!(keep_ms(29), None);
        assert_eq!(keep_ms(0), None);
        assert!(keep_ms(MAX_DAYS).is_some_and(|ms| ms < 1 << 53));
        assert_eq!(keep_ms(MAX_DAYS + 1), None);
    }

    #[test]
    fn names_of_holds_are_plain_and_look_like_no_credential() {
        for name in [
            "a",
            "7",
            "case-2026.11_b",
            "matter-2026-000123-acme-v-initech",
            &"x-y-".repeat(16),
        ] {
            assert!(is_hold_name(name), "{name}");
        }
        let long = "x-y-".repeat(17);
        let token = "ghp_abcdefghijklmnopqrstuvwxyz0123456789";
        for name in ["", ".a", "-a", "A", "a b", "a/b", "ä", &long, token] {
            assert!(!is_hold_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_time_of_a_commit_is_found_whatever_an_event_says(
            at in 0u64..4_000_000_000_000, index in 0u64..(1 << 53), text: String,
        ) {
            let event = Event {
                reason: Some(format!("\"committed\":\"2000-01-01T00:00:00.000Z\"{text}")),
                ..Event::new(UnixMillis(7), Action::Kill, Outcome::Success, Actor::Client(text))
            };
            let position = Position {
                index,
                lane: 0,
                producer: ProducerId::from_bytes([255; 16]),
                sequence: index,
                received: UnixMillis(9),
                committed: UnixMillis(at),
            };
            let line = render(&event, None, None, &position).expect("renders");
            prop_assert_eq!(committed_at(line.as_bytes()), Some(UnixMillis(at)));
        }

        #[test]
        fn a_line_that_is_cut_off_or_empty_has_no_time(length in 0usize..200) {
            let line = b"{\"index\":1,\"lane\":0,\"producer\":\"prd_\",\"committed\":\"2026-01-01T00:00:00.000Z\",\"action\":";
            let end = line.len() - b",\"action\":".len();
            let part = line.get(..length).unwrap_or(line);
            prop_assert_eq!(committed_at(part).is_some(), length >= end);
        }
    }

    #[test]
    fn golden_bytes() {
        let event = Event::new(
            UnixMillis(9),
            Action::RetentionChanged,
            Outcome::Success,
            Actor::Anonymous,
        );
        let encoded = wire::encode(&event).expect("encodes");
        let encoded = encoded.get(1..).expect("a version");
        let request = |request: LaneRequest, before: &[u8]| {
            let expected = [before, encoded].concat();
            assert_eq!(wire::encode(&request), Ok(expected));
        };
        assert_eq!(wire::encode(&GetRetention.into_request()), Ok(vec![1, 8]));
        let set = SetRetention {
            days: Some(30),
            dry_run: true,
            event: event.clone(),
        };
        request(set.into_request(), &[1, 9, 1, 30, 1]);
        let place = PlaceHold {
            name: "a".to_owned(),
            subject: None,
            event: event.clone(),
        };
        request(place.into_request(), &[1, 10, 1, b'a', 0]);
        let release = ReleaseHold {
            name: "a".to_owned(),
            event: event.clone(),
        };
        request(release.into_request(), &[1, 11, 1, b'a']);
        let hold = Hold {
            name: "a".to_owned(),
            subject: Some(SubjectKey::from_bytes([7; 16])),
            placed_at: UnixMillis(5),
            placed_by: "b".to_owned(),
        };
        let of_one = [&[1, b'a', 1][..], &[7; 16], &[5, 1, b'b']].concat();
        let placed = Placed::Placed(hold.clone());
        assert_eq!(wire::encode(&placed), Ok([&[1, 0], &of_one[..]].concat()));
        assert_eq!(wire::encode(&Placed::Taken), Ok(vec![1, 1]));
        assert_eq!(wire::encode(&Placed::Full), Ok(vec![1, 2]));
        let retention = Retention {
            days: Some(40),
            holds: vec![hold],
            pruned_to: 1,
            pruned_until: Some(UnixMillis(2)),
            prunable_to: 3,
        };
        let expected = [&[1, 1, 40, 1], &of_one[..], &[1, 1, 2, 3]].concat();
        assert_eq!(wire::encode(&retention), Ok(expected));
    }
}
