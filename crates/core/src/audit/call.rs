//! What a lane of the log can be asked. Append only: the order is the wire form.

use super::backlog::Backlog;
use super::detail::Followed;
use super::event::Event;
use super::export::source::{GetLines, GetSubtrees, Lines};
use super::letters::{
    DiscardLetter, GetLetter, GetLetters, Keep, Kept, LetterCount, Letters, Reason, ReplayLetter,
    Replayed, ShownLetter,
};
use super::log::epoch::{BeginEpoch, Beginning};
use super::log::path::{EntryBundle, HashTile, Place};
use super::log::signing::Refusal;
use super::log::{HASH_SIZE, Hash};
use super::pack::Pack;
use super::personal::{Disclose, Disclosures, Erase, Erasure, Held, PersonalPage, QueryPersonal};
use super::query::{Cursor, Filter, Order};
use super::retention::{GetRetention, PlaceHold, Placed, ReleaseHold, Retention, SetRetention};
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

/// All of the packs' events are in the log, durably, but for those that were set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Events that were not in it before.
    pub new_events: u64,
    /// The index the next event will have.
    pub next_index: u64,
    /// For each pack the index of its first event, whether it came now or before; `None` if that was set aside.
    pub first_indexes: Vec<Option<u64>>,
    /// What is not in the log, and will not be if it comes again: whoever sent it keeps it.
    pub set_aside: Vec<Aside>,
}

/// An event that the log does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// In which pack of the call it came, from 0.
    pub pack: u32,
    /// Its sequence.
    pub sequence: u64,
    /// Why it is not taken.
    pub why: SetAside,
}

/// Why an event is not taken into the log. Append only: the order is the wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetAside {
    /// The log has an event of that identity which says something else. It keeps what it has.
    Conflict,
    /// It comes so late that nobody can say whether the log has it.
    TooOld,
}

impl From<SetAside> for Reason {
    fn from(why: SetAside) -> Self {
        match why {
            SetAside::Conflict => Self::Conflict,
            SetAside::TooOld => Self::TooOld,
        }
    }
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
    /// The index of the first line that is kept.
    pub pruned_to: u64,
}

/// What a lane says of its tree, or why it says nothing.
pub type Answer<T> = Result<T, Refusal>;

/// The tree's head, signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetCheckpoint {
    /// Of the log of that epoch; `None`: of the one that the lane has. Of one before it is what was archived last.
    pub epoch: Option<u32>,
}

/// The public key of the log's checkpoints, as `name+id+key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLogKey {
    /// Of the log of that epoch; `None`: of the one that the lane has.
    pub epoch: Option<u32>,
}

/// A hash tile; the answer is `None` if the tree has no such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetTile {
    /// The epoch of the log. Of one before, only what was archived can be had.
    pub epoch: u32,
    /// Its level.
    pub level: u8,
    /// Which of that level.
    pub number: u64,
    /// How many hashes it has.
    pub width: u64,
}

impl GetTile {
    /// That tile of the log of that epoch.
    #[must_use]
    pub const fn of(epoch: u32, tile: HashTile) -> Self {
        Self {
            epoch,
            level: tile.level,
            number: tile.place.number(),
            width: tile.place.width(),
        }
    }

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
    /// The epoch of the log. Of one before, only what was archived can be had.
    pub epoch: u32,
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

/// How a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetStatus;

/// How a lane is. Whether it signs, asking for a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// How many lines it has.
    pub size: u64,
    /// How many full tiles of level 0 are archived.
    pub archived_tiles: u64,
    /// Dead letters, by their reasons.
    pub letters: Vec<LetterCount>,
    /// The oldest message last seen of each queue in which messages waited.
    pub backlogs: Vec<Backlog>,
    /// The epoch of its log.
    pub epoch: u32,
    /// The name of its log; `None` before that has a key.
    pub log: Option<String>,
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
        /// Say how long lines are kept.
        Retention(GetRetention) -> Retention,
        /// Have them be kept for some time.
        SetRetention(SetRetention) -> Retention,
        /// Place a legal hold.
        PlaceHold(PlaceHold) -> Placed,
        /// Release a legal hold.
        ReleaseHold(ReleaseHold) -> bool,
        /// Read a page with what is sealed in it.
        QueryPersonal(QueryPersonal) -> PersonalPage,
        /// Disclose keys of lines.
        Disclose(Disclose) -> Disclosures,
        /// Destroy the keys of a person, or of days.
        Erase(Erase) -> Result<Erasure, Held>,
        /// Keep dead letters.
        Keep(Keep) -> Kept,
        /// Read a page of dead letters.
        Letters(GetLetters) -> Letters,
        /// Read a dead letter.
        Letter(GetLetter) -> Option<ShownLetter>,
        /// Take in what is in a dead letter.
        Replay(ReplayLetter) -> Replayed,
        /// Give a dead letter up.
        Discard(DiscardLetter) -> bool,
        /// Note for how long messages wait.
        Backlog(Backlog) -> (),
        /// How the lane is.
        Status(GetStatus) -> LaneStatus,
        /// Read lines for an export.
        Lines(GetLines) -> Answer<Option<Lines>>,
        /// Read the hashes of what an export leaves out.
        Subtrees(GetSubtrees) -> Answer<Option<Vec<HashBytes>>>,
        /// Begin a new log.
        BeginEpoch(BeginEpoch) -> Beginning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::id::{LetterId, LogHash, SubjectKey};
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
            next_index: 300,
            first_indexes: vec![Some(7), None],
            set_aside: vec![
                Aside {
                    pack: 1,
                    sequence: 5,
                    why: SetAside::Conflict,
                },
                Aside {
                    pack: 1,
                    sequence: 6,
                    why: SetAside::TooOld,
                },
            ],
        };
        assert_eq!(
            wire::encode(&appended),
            Ok(vec![1, 1, 0xac, 2, 2, 1, 7, 0, 2, 1, 5, 0, 1, 6, 1])
        );
    }

    #[test]
    fn golden_bytes_of_a_query() {
        let query = Query {
            filter: Filter {
                subject: Some(SubjectKey::from_bytes([1; 16])),
                action: Some(Action::Kill),
                outcome: Some(Outcome::Denied),
                from: Some(UnixMillis(2)),
                to: Some(UnixMillis(3)),
                actor: Some(Actor::Operator("o".into())),
                session: Some(LogHash::from_bytes([4; 16])),
                client_id: Some("c".into()),
                connection: Some("n".into()),
                resource: Some("r".into()),
                ip: Some("i".into()),
            },
            order: Order::Newest,
            cursor: Some(Cursor {
                order: Order::Newest,
                index: 5,
            }),
            limit: 6,
            read: None,
            followed: Some(Followed {
                first_index: 7,
                end_index: 8,
                lines: 9,
            }),
        };
        let mut expected = vec![1, 1, 1];
        expected.extend([1; 16]);
        expected.extend([1, 5, 1, 1, 1, 2, 1, 3, 1, 2, 1, b'o', 1]);
        expected.extend([4; 16]);
        expected.extend([1, 1, b'c', 1, 1, b'n', 1, 1, b'r', 1, 1, b'i']);
        expected.extend([1, 1, 1, 5, 6, 0, 1, 7, 8, 9]);
        assert_eq!(wire::encode(&query.into_request()), Ok(expected));
    }

    #[test]
    fn golden_bytes_of_what_is_asked_about_the_tree() {
        let request = |request: LaneRequest| wire::encode(&request);
        let checkpoint = |epoch| request(GetCheckpoint { epoch }.into_request());
        assert_eq!(checkpoint(None), Ok(vec![1, 2, 0]));
        assert_eq!(checkpoint(Some(3)), Ok(vec![1, 2, 1, 3]));
        let key = |epoch| request(GetLogKey { epoch }.into_request());
        assert_eq!(key(None), Ok(vec![1, 3, 0]));
        assert_eq!(key(Some(3)), Ok(vec![1, 3, 1, 3]));
        let tile = GetTile {
            epoch: 2,
            level: 1,
            number: 300,
            width: 256,
        };
        assert_eq!(
            request(tile.into_request()),
            Ok(vec![1, 4, 2, 1, 0xac, 2, 0x80, 2])
        );
        let read = Event::new(
            UnixMillis(9),
            Action::AuditRead,
            Outcome::Success,
            Actor::Anonymous,
        );
        let event = wire::encode(&read).expect("encodes");
        let bundle = GetBundle {
            epoch: 2,
            number: 3,
            width: 4,
            read,
        };
        let expected = [&[1, 5, 2, 3, 4], event.get(1..).expect("a version")].concat();
        assert_eq!(request(bundle.into_request()), Ok(expected));
        let inclusion = GetInclusion { index: 1, size: 2 };
        assert_eq!(request(inclusion.into_request()), Ok(vec![1, 6, 1, 2]));
        let consistency = GetConsistency { from: 1, to: 2 };
        assert_eq!(request(consistency.into_request()), Ok(vec![1, 7, 1, 2]));
        let lines = GetLines {
            first: 1,
            end: 2,
            max_bytes: 3,
        };
        assert_eq!(request(lines.into_request()), Ok(vec![1, 22, 1, 2, 3]));
        let subtrees = GetSubtrees { first: 1, end: 2 };
        assert_eq!(request(subtrees.into_request()), Ok(vec![1, 23, 1, 2]));
    }

    #[test]
    fn golden_bytes_of_what_is_asked_about_letters_and_status() {
        let request = |request: LaneRequest| wire::encode(&request).expect("encodes");
        let event = Event::new(
            UnixMillis(9),
            Action::DeadLetter,
            Outcome::Success,
            Actor::Anonymous,
        );
        let said = wire::encode(&event).expect("encodes").split_off(1);
        let letter = LetterId::from_bytes([7; 16]);
        let keep = Keep { letters: vec![] };
        assert_eq!(request(keep.into_request()), [1, 15, 0]);
        let read = event.clone();
        let page = GetLetters {
            before: Some(5),
            limit: 3,
            read,
        };
        let expected = [&[1, 16, 1, 5, 3][..], &said].concat();
        assert_eq!(request(page.into_request()), expected);
        let named = |variant: u8| [&[1, variant][..], &[7; 16], &said].concat();
        let read = event.clone();
        assert_eq!(
            request(GetLetter { letter, read }.into_request()),
            named(17)
        );
        let replay = event.clone();
        let replay = ReplayLetter { letter, replay };
        assert_eq!(request(replay.into_request()), named(18));
        let discard = DiscardLetter {
            letter,
            discard: event,
        };
        assert_eq!(request(discard.into_request()), named(19));
        let backlog = Backlog {
            queue: "q".into(),
            sent: UnixMillis(1),
            seen: UnixMillis(2),
        };
        let waits = [1, b'q', 1, 2];
        let expected = [&[1, 20][..], &waits].concat();
        assert_eq!(request(backlog.clone().into_request()), expected);
        assert_eq!(request(GetStatus.into_request()), [1, 21]);
        let status = LaneStatus {
            size: 3,
            archived_tiles: 1,
            letters: vec![LetterCount {
                reason: Reason::Conflict,
                letters: 4,
                bytes: 5,
            }],
            backlogs: vec![backlog],
            epoch: 2,
            log: Some("l".into()),
        };
        let expected = [&[1, 3, 1, 1, 2, 4, 5, 1][..], &waits, &[2, 1, 1, b'l']].concat();
        assert_eq!(wire::encode(&status), Ok(expected));
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
            (Refusal::Pruned { to: 512 }, vec![6, 0x80, 4]),
            (Refusal::NoLog { epoch: 2 }, vec![7, 2]),
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
