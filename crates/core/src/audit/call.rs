//! What a lane of the log can be asked. Append only: the order is the wire form.

use super::detail::Followed;
use super::event::Event;
use super::log::path::{EntryBundle, HashTile, Place};
use super::log::signing::Refusal;
use super::log::{HASH_SIZE, Hash};
use super::pack::Pack;
use super::query::{Cursor, Filter, Order};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Put packs into the log, each event once for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// When the service got hold of them.
    pub received: UnixMillis,
    /// From any producers.
    pub packs: Vec<Pack>,
}

/// All of the packs' events are in the log, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Events that were not in it before.
    pub new_events: u64,
    /// The index the next event will have.
    pub next_index: u64,
}

/// Read a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// What is wanted.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// From where; `None` begins.
    pub cursor: Option<Cursor>,
    /// The most lines to return.
    pub limit: u32,
    /// Reading is audited: this event enters the log with the page. `None` only while somebody follows the log, whose reading is in it
    /// once a minute.
    pub read: Option<Event>,
    /// What that event says was read before this page.
    pub followed: Option<Followed>,
}

/// A page of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The lines wanted, as they were committed.
    pub lines: Vec<String>,
    /// Where to go on; `None` when there was nothing further at the time.
    pub next: Option<Cursor>,
    /// From where what is committed later can be read.
    pub tail: Cursor,
}

/// What a lane says of its tree, or why it says nothing.
pub type Answer<T> = Result<T, Refusal>;

/// The tree's head, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCheckpoint;

/// The public key of the log's checkpoints, as `name+id+key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLogKey;

/// A hash tile; the answer is `None` if the tree has no such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTile {
    /// Its level.
    pub level: u8,
    /// Which of that level.
    pub number: u64,
    /// How many hashes it has.
    pub width: u64,
}

impl From<HashTile> for GetTile {
    fn from(tile: HashTile) -> Self {
        Self {
            level: tile.level,
            number: tile.place.number(),
            width: tile.place.width(),
        }
    }
}

impl GetTile {
    /// The tile that is meant, if there can be one.
    #[must_use]
    pub fn tile(&self) -> Option<HashTile> {
        let place = Place::new(self.number, self.width)?;
        Some(HashTile {
            level: self.level,
            place,
        })
    }
}

/// An entry bundle; the answer is `None` if the log has no such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetBundle {
    /// Which.
    pub number: u64,
    /// How many entries it has.
    pub width: u64,
    /// Reading is audited: this event enters the log if there is something to read.
    pub read: Event,
}

impl GetBundle {
    /// The bundle that is meant, if there can be one.
    #[must_use]
    pub fn bundle(&self) -> Option<EntryBundle> {
        Place::new(self.number, self.width).map(EntryBundle)
    }
}

/// The proof that a line is in the tree of that size; the answer is `None` if the tree is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetInclusion {
    /// Which line.
    pub index: u64,
    /// In which tree.
    pub size: u64,
}

/// A hash as it travels.
pub type HashBytes = [u8; HASH_SIZE];

/// That a line is in a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inclusion {
    /// The hash of the line.
    pub leaf: HashBytes,
    /// The tree's root.
    pub root: HashBytes,
    /// The path, from the leaf up.
    pub hashes: Vec<HashBytes>,
}

/// The proof that the tree of one size continues that of another; the answer is `None` if there are no such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetConsistency {
    /// The smaller tree, of one line at least.
    pub from: u64,
    /// The larger one.
    pub to: u64,
}

/// That one tree continues another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consistency {
    /// The root of the smaller tree.
    pub from_root: HashBytes,
    /// The root of the larger one.
    pub to_root: HashBytes,
    /// The proof, as RFC 6962 section 2.1.2 has it.
    pub hashes: Vec<HashBytes>,
}

/// Hashes as they travel.
#[must_use]
pub fn travelling(hashes: &[Hash]) -> Vec<HashBytes> {
    hashes.iter().map(|hash| hash.0).collect()
}

crate::object_calls! {
    /// One operation of a lane.
    LaneRequest {
        /// Put packs into the log.
        Append(Append) -> Appended,
        /// Read a page.
        Query(Query) -> Page,
        /// Sign the tree's head.
        Checkpoint(GetCheckpoint) -> Answer<Vec<u8>>,
        /// Read the public key.
        LogKey(GetLogKey) -> Answer<String>,
        /// Read a hash tile.
        Tile(GetTile) -> Answer<Option<Vec<u8>>>,
        /// Read an entry bundle.
        Bundle(GetBundle) -> Answer<Option<Vec<u8>>>,
        /// Prove that a line is there.
        Inclusion(GetInclusion) -> Answer<Option<Inclusion>>,
        /// Prove that nothing was rewritten.
        Consistency(GetConsistency) -> Answer<Option<Consistency>>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::wire::{self, Call};

    #[test]
    fn golden_bytes() {
        let append = Append {
            received: UnixMillis(5),
            packs: vec![],
        };
        assert_eq!(wire::encode(&append.into_request()), Ok(vec![1, 0, 5, 0]));
        let appended = Appended {
            new_events: 1,
            next_index: 2,
        };
        assert_eq!(wire::encode(&appended), Ok(vec![1, 1, 2]));
    }

    #[test]
    fn golden_bytes_of_what_is_asked_about_the_tree() {
        let request = |request: LaneRequest| wire::encode(&request);
        assert_eq!(request(GetCheckpoint.into_request()), Ok(vec![1, 2]));
        assert_eq!(request(GetLogKey.into_request()), Ok(vec![1, 3]));
        let tile = GetTile {
            level: 1,
            number: 300,
            width: 256,
        };
        assert_eq!(
            request(tile.into_request()),
            Ok(vec![1, 4, 1, 0xac, 2, 0x80, 2])
        );
        let read = Event::new(
            UnixMillis(9),
            Action::AuditRead,
            Outcome::Success,
            Actor::Anonymous,
        );
        let event = wire::encode(&read).expect("encodes");
        let bundle = GetBundle {
            number: 3,
            width: 4,
            read,
        };
        let expected = [&[1, 5, 3, 4], event.get(1..).expect("a version")].concat();
        assert_eq!(request(bundle.into_request()), Ok(expected));
        let inclusion = GetInclusion { index: 1, size: 2 };
        assert_eq!(request(inclusion.into_request()), Ok(vec![1, 6, 1, 2]));
        let consistency = GetConsistency { from: 1, to: 2 };
        assert_eq!(request(consistency.into_request()), Ok(vec![1, 7, 1, 2]));
    }

    #[test]
    fn golden_bytes_of_what_is_answered_about_the_tree() {
        let found: Answer<Option<Vec<u8>>> = Ok(Some(vec![7]));
        assert_eq!(wire::encode(&found), Ok(vec![1, 0, 1, 1, 7]));
        let refusals = [
            (Refusal::BeingBuilt, vec![0]),
            (Refusal::Shut, vec![1]),
            (
                Refusal::ArchiveAhead {
                    archived: 2,
                    size: 1,
                },
                vec![2, 2, 1],
            ),
            (Refusal::ArchiveDiffers { archived: 2 }, vec![3, 2]),
            (Refusal::KeyUnusable, vec![4]),
            (Refusal::ArchiveOfAnother, vec![5]),
        ];
        for (refusal, bytes) in refusals {
            let refused: Answer<Option<Vec<u8>>> = Err(refusal);
            assert_eq!(wire::encode(&refused), Ok([vec![1, 1], bytes].concat()));
        }
        let consistency = Consistency {
            from_root: [1; 32],
            to_root: [2; 32],
            hashes: vec![[3; 32]],
        };
        let expected = [&[1][..], &[1; 32], &[2; 32], &[1], &[3; 32]].concat();
        assert_eq!(wire::encode(&consistency), Ok(expected.clone()));
        let inclusion = Inclusion {
            leaf: [1; 32],
            root: [2; 32],
            hashes: vec![[3; 32]],
        };
        assert_eq!(wire::encode(&inclusion), Ok(expected));
    }
}
