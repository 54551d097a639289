//! Which log of a lane: a lane that must not sign any more under the name that it has begins a new log.
//!
//! The logs of a lane are counted in **epochs**, from 0. A log is written `<lane>` in epoch 0, and `<lane>.<epoch>` in a later
//! one: in its name (`<host>/audit/lane/0.2`), in paths (`/audit/lane/0.2/checkpoint`) and in the archive (`lane/0.2/`). There is
//! one spelling.
//!
//! A new log has the lane's lines as they are then, under the same indexes, and another name and key. It contradicts nothing
//! that was signed, as it is another log.

use super::checkpoint::Origin;
use super::signing::Refusal;
use super::{Hash, Head};
use crate::audit::call::HashBytes;
use crate::audit::event::Event;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest reason that an operator gives, in bytes: what a line keeps.
pub const MAX_REASON_BYTES: usize = 256;

/// One of the logs that a lane has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId {
    /// The lane's number.
    pub lane: u32,
    /// How many logs it had before.
    pub epoch: u32,
}

impl LogId {
    /// Reads how it is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok();
        let id = match text.split_once('.') {
            None => Self {
                lane: number(text)?,
                epoch: 0,
            },
            Some((lane, epoch)) => Self {
                lane: number(lane)?,
                epoch: number(epoch)?,
            },
        };
        // One spelling: no signs, no zeroes in front, and nothing behind the lane in epoch 0.
        (id.to_string() == text).then_some(id)
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.lane),
            epoch => write!(f, "{}.{epoch}", self.lane),
        }
    }
}

/// Where a log's name says that it is served, behind the host.
const PATH: &str = "/audit/lane/";

impl Origin {
    /// The name of a log of the service with this base URL; `None` if it has no name for a note.
    #[must_use]
    pub fn of_log(issuer: &str, log: LogId) -> Option<Self> {
        let (_, rest) = issuer.split_once("://")?;
        Self::at(rest.trim_end_matches('/'), log)
    }

    fn at(host: &str, log: LogId) -> Option<Self> {
        Self::parse(&format!("{host}{PATH}{log}"))
    }

    /// The host (with what is before the log's path), and which log it is there; `None` if it is no lane's.
    #[must_use]
    pub fn log(&self) -> Option<(&str, LogId)> {
        let (host, log) = self.as_str().rsplit_once(PATH)?;
        Some((host, LogId::parse(log)?))
    }

    /// The name of another log at the same host.
    #[must_use]
    pub fn of_epoch(&self, epoch: u32) -> Option<Self> {
        let (host, log) = self.log()?;
        Self::at(host, LogId { epoch, ..log })
    }

    /// Whether it is a log of that lane at that service.
    #[must_use]
    pub fn is_of(&self, issuer: &str, lane: u32) -> bool {
        let log = self.log().filter(|(_, log)| log.lane == lane);
        log.is_some_and(|(_, log)| Self::of_log(issuer, log).as_ref() == Some(self))
    }
}

/// End a lane's log, which may not be signed any more, and begin a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeginEpoch {
    /// The name of the log that ends.
    pub log: String,
    /// Only say what would be done.
    pub dry_run: bool,
    /// That it was begun: the first line that the new log has more.
    pub event: Event,
}

/// What became of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Beginning {
    /// The new log is begun, or would be.
    Begun(Begun),
    /// The lane's log is another one.
    NotThat {
        /// Its name.
        log: String,
    },
    /// The log may be signed: there is no reason to end it.
    NoGround,
    /// The lane is not in order by itself: no log can begin of it.
    Refused(Refusal),
    /// The archive has logs of all names that were tried.
    NoName,
}

/// A new log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Its epoch. Of a dry run it is the one that is free at the time.
    pub epoch: u32,
    /// Its name.
    pub log: String,
    /// Its public key, as `name+id+key`; `None` in a dry run.
    pub vkey: Option<String>,
    /// How the log ended that was before.
    pub ended: Ended,
}

/// How a log ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its name.
    pub log: String,
    /// Why it could not be signed any more.
    pub refusal: Refusal,
    /// Its checkpoint that was archived last, as far as one is known.
    pub archived: Option<Archived>,
    /// How many lines the lane has.
    pub lines: u64,
}

/// A head as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Of how many lines.
    pub size: u64,
    /// Its root.
    pub root: HashBytes,
}

impl From<Head> for Archived {
    fn from(head: Head) -> Self {
        Self {
            size: head.size,
            root: head.root.0,
        }
    }
}

impl From<Archived> for Head {
    fn from(archived: Archived) -> Self {
        Self {
            size: archived.size,
            root: Hash(archived.root),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::time::UnixMillis;
    use crate::wire::{self, Call};
    use proptest::prelude::*;

    fn id(lane: u32, epoch: u32) -> LogId {
        LogId { lane, epoch }
    }

    #[test]
    fn the_first_log_of_a_lane_is_named_by_the_lane_alone() {
        assert_eq!(id(0, 0).to_string(), "0");
        assert_eq!(id(0, 3).to_string(), "0.3");
        assert_eq!(LogId::parse("7.12"), Some(id(7, 12)));
    }

    #[test]
    fn what_is_spelt_otherwise_is_no_log() {
        for text in [
            "",
            ".",
            "0.",
            ".1",
            "0.0",
            "00",
            "01",
            "0.01",
            "+0",
            "0.+1",
            "0.1.1",
            "-1",
            " 0",
            "0 ",
            "٠",
            "4294967296",
            "0.4294967296",
            "a",
            "0/1",
        ] {
            assert_eq!(LogId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_says_host_and_log_and_a_later_log_has_the_host() {
        let first = Origin::of_lane("https://id.example/base", 0).expect("an origin");
        assert_eq!(first.log(), Some(("id.example/base", id(0, 0))));
        let later = first.of_epoch(2).expect("an origin");
        assert_eq!(later.as_str(), "id.example/base/audit/lane/0.2");
        assert_eq!(later.of_epoch(0), Some(first.clone()));
        assert!(
            later.is_of("https://id.example/base", 0) && first.is_of("http://id.example/base/", 0)
        );
        assert!(
            !later.is_of("https://id.example", 0) && !later.is_of("https://id.example/base", 1)
        );
        let other = Origin::parse("id.example/other").expect("an origin");
        assert_eq!(other.log(), None);
        assert!(!other.is_of("https://id.example", 0));
    }

    #[test]
    fn golden_bytes() {
        let event = Event::new(
            UnixMillis(9),
            Action::EpochBegan,
            Outcome::Success,
            Actor::Anonymous,
        );
        let said = wire::encode(&event).expect("encodes").split_off(1);
        assert_eq!(said[..2], [9, 29]);
        let asked = BeginEpoch {
            log: "l".into(),
            dry_run: true,
            event,
        };
        let expected = [&[1, 24, 1, b'l', 1][..], &said].concat();
        assert_eq!(wire::encode(&asked.into_request()), Ok(expected));
        let begun = Begun {
            epoch: 300,
            log: "n".into(),
            vkey: Some("k".into()),
            ended: Ended {
                log: "l".into(),
                refusal: Refusal::ArchiveAhead {
                    archived: 2,
                    size: 1,
                },
                archived: Some(Archived {
                    size: 2,
                    root: [7; 32],
                }),
                lines: 1,
            },
        };
        let head = [1, 0, 0xac, 2, 1, b'n', 1, 1, b'k', 1, b'l', 2, 2, 1, 1, 2];
        let expected = [&head[..], &[7; 32], &[1]].concat();
        assert_eq!(wire::encode(&Beginning::Begun(begun)), Ok(expected));
        let log = "l".to_owned();
        for (beginning, bytes) in [
            (Beginning::NotThat { log }, vec![1, 1, 1, b'l']),
            (Beginning::NoGround, vec![1, 2]),
            (Beginning::Refused(Refusal::Shut), vec![1, 3, 1]),
            (Beginning::NoName, vec![1, 4]),
        ] {
            assert_eq!(wire::encode(&beginning), Ok(bytes));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_what_is_read_is_written_the_same(
            lane in any::<u32>(), epoch in any::<u32>(), text in "[0-9.+]{0,12}|.{0,8}",
        ) {
            let log = id(lane, epoch);
            prop_assert_eq!(LogId::parse(&log.to_string()), Some(log));
            if let Some(read) = LogId::parse(&text) {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }
}
