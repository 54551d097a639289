//! What must hold of a lane whatever happens, and counting it anew.

use super::World;
use crate::objects::host_sql::HostSql;
use crate::objects::lane::archive_tests::{CHECKPOINT, FakeArchive};
use crate::objects::lane::store;
use crate::objects::lane::tests::event;
use crate::objects::lane::tree_tests::{Lane, verifier};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use portcullis_core::audit::call::{GetConsistency, GetTile};
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::proof::verify_consistency;
use portcullis_core::audit::log::{Hash, Head};
use portcullis_core::id::ProducerId;
use sha2::Sha256;
use std::collections::{BTreeMap, BTreeSet};

/// A producer's event.
pub type Identity = (ProducerId, u64);

/// The log as it was seen from outside, and what was said of it.
#[derive(Default)]
pub struct Model {
    /// Every line, in order, and which event it is.
    pub lines: Vec<Vec<u8>>,
    /// The same, one behind the other.
    bytes: Vec<u8>,
    found: BTreeMap<Identity, u64>,
    /// Lines of the lane's own, by action.
    own: BTreeMap<String, u64>,
    /// The root of each size, by another implementation.
    roots: Vec<Hash>,
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
    /// What producers sent, and what they were told is in.
    pub sent: BTreeSet<Identity>,
    pub accepted: BTreeSet<Identity>,
    /// How many events were sent that were in the log already.
    pub again: u64,
    /// How often was asked to read, and how often there was an answer.
    pub reads_asked: u64,
    pub reads_done: u64,
    verifier: Option<CheckpointVerifier>,
    note: Vec<u8>,
    pub heads: Vec<Head>,
    /// How many of them were proven each to continue the one before.
    proven: usize,
}

impl Model {
    /// Takes in the lines that came; none of them was there before.
    pub fn look(&mut self, lane: &Lane) {
        // The first look may be before the first call that succeeded.
        lane.ready().expect("opens");
        self.verifier.get_or_insert_with(|| verifier(lane));
        if self.roots.is_empty() {
            self.roots.push(self.root());
        }
        let sql = lane.sql();
        let size = store::next_index(sql).expect("reads");
        for line in stored(sql, self.lines.len() as u64, size) {
            self.take(line);
        }
        assert_eq!(self.lines.len() as u64, size, "lines went away");
    }

    fn take(&mut self, line: Vec<u8>) {
        let index = self.lines.len() as u64;
        let value: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(value["index"], index, "{value}");
        let producer: ProducerId = value["producer"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a producer");
        let sequence = value["sequence"].as_u64().expect("a sequence");
        let before = self.found.insert((producer, sequence), index);
        assert_eq!(before, None, "twice in the log: {value}");
        let action = value["action"].as_str().expect("an action");
        if action == "kill" {
            let said = event(producer.as_bytes()[0], sequence);
            let subject = said.subject.map(|subject| subject.to_string());
            assert_eq!(value["subject"].as_str(), subject.as_deref(), "{value}");
            assert_eq!(value["occurred"], said.occurred.to_rfc3339(), "{value}");
        } else {
            *self.own.entry(action.to_owned()).or_default() += 1;
        }
        self.bytes.extend_from_slice(&line);
        self.bytes.push(b'\n');
        self.tree.push(line.clone());
        self.roots.push(self.root());
        self.lines.push(line);
    }

    fn root(&self) -> Hash {
        Hash((*self.tree.root().as_bytes()).into())
    }

    /// How many of these are in the log.
    pub fn has(&self, identities: &BTreeSet<Identity>) -> usize {
        identities
            .iter()
            .filter(|identity| self.found.contains_key(identity))
            .count()
    }

    /// Somebody got this checkpoint.
    pub fn got(&mut self, note: &[u8]) {
        if note == self.note {
            return;
        }
        let verifier = self.verifier.as_ref().expect("the log's key");
        let head = verifier.open(note).expect("a checkpoint of this log");
        let last = self.heads.last().map_or(0, |head| head.size);
        assert!(head.size >= last, "{} after {last}", head.size);
        self.note = note.to_vec();
        self.heads.push(head);
    }

    /// Looks at everything again.
    pub fn recount(&mut self, lane: &Lane, archive: &FakeArchive) {
        let sql = lane.sql();
        let size = self.lines.len() as u64;
        assert_eq!(store::next_index(sql), Ok(size));
        let mut bytes = Vec::new();
        for segment in store::segments(sql, 0, size).expect("reads") {
            bytes.extend_from_slice(&segment.lines);
        }
        assert!(bytes == self.bytes, "a line was changed");
        // Nothing lost, nothing twice, nothing invented.
        let missing = self.accepted.iter().find(|it| !self.found.contains_key(it));
        assert_eq!(missing, None, "accepted, and not in the log");
        let kills = self.sent.iter().filter(|it| self.found.contains_key(it));
        let own: u64 = self.own.values().sum();
        assert_eq!(kills.count() as u64 + own, size, "in the log, and not sent");
        let reads = self.own.get("audit.read").copied().unwrap_or_default();
        assert!((self.reads_done..=self.reads_asked).contains(&reads));
        // The tree of the lines, and each checkpoint one of it.
        let head = lane.whole().expect("answers").expect("a tree");
        let root = *self.roots.last().expect("a root");
        assert_eq!((head.size, head.root), (size, root));
        for head in &self.heads {
            let at = usize::try_from(head.size).expect("small");
            assert_eq!(self.roots.get(at), Some(&head.root), "{head:?}");
        }
        if let [.., before, last] = &self.heads[..]
            && self.heads.len() > self.proven
        {
            expect_consistent(lane, before, last);
        }
        self.proven = self.heads.len();
        self.expect_archived(lane, archive);
    }

    /// All in the archive is what the lane would serve, and what it notes as archived is there.
    fn expect_archived(&self, lane: &Lane, archive: &FakeArchive) {
        let noted = store::archived_tiles(lane.sql()).expect("reads");
        let mut served = 0;
        for number in 0..self.lines.len() as u64 / 256 {
            let place = Place::new(number, 256).expect("a place");
            let tile = HashTile { level: 0, place };
            let hashes = || lane.tile(GetTile::of(0, tile)).expect("answers");
            let entries = || lane.entries(EntryBundle(place)).expect("entries");
            let found = archive.bytes(&format!("lane/0/{tile}"));
            assert!(found.is_some() || number >= noted, "{tile} is missing");
            served += usize::from(found.is_some());
            if let Some(found) = found {
                assert!(Ok(Some(found)) == hashes(), "{tile} is another");
            }
            let found = archive.bytes(&format!("lane/0/{}", EntryBundle(place)));
            assert!(found.is_some() || number >= noted, "{number} is missing");
            served += usize::from(found.is_some());
            assert!(found.is_none_or(|found| found == entries()), "{number}");
        }
        let checkpoint = archive.bytes(CHECKPOINT);
        assert!(checkpoint.is_some() || self.heads.is_empty());
        let names = archive.names().len() - usize::from(checkpoint.is_some());
        assert_eq!(names, served, "{:?}", archive.names());
    }

    /// When nothing waits: no event is missing that was sent to the end, and each checkpoint has its proof.
    pub fn finish(&self, lane: &Lane, archive: &FakeArchive) {
        let last = self.heads.last().expect("a checkpoint");
        assert_eq!(last.size, self.lines.len() as u64);
        for head in &self.heads {
            expect_consistent(lane, head, last);
        }
        assert_eq!(self.accepted, self.sent);
        assert_eq!(archive.names().len(), 1 + self.lines.len() / 256 * 2);
    }
}

/// The lines of that range as they are stored.
fn stored(sql: &HostSql, first: u64, end: u64) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for segment in store::segments(sql, first, end).expect("reads") {
        for (index, entry) in (segment.first_index..).zip(segment.entries()) {
            if index >= first {
                lines.push(entry.to_vec());
            }
        }
    }
    lines
}

fn expect_consistent(lane: &Lane, before: &Head, last: &Head) {
    if before.size == 0 {
        return;
    }
    let asked = GetConsistency {
        from: before.size,
        to: last.size,
    };
    let proof = lane.consistency(asked).expect("answers").expect("a tree");
    let hashes = proof.expect("a proof").hashes.into_iter().map(Hash);
    let hashes: Vec<Hash> = hashes.collect();
    assert!(verify_consistency(before, last, &hashes), "{before:?}");
}

/// What happened in all rounds.
#[derive(Debug, Default)]
pub struct Counts {
    pub lines: u64,
    pub again: u64,
    pub failures: u64,
    pub deaths: u64,
    pub checkpoints: u64,
    pub tiles: u64,
}

impl Counts {
    pub fn add(&mut self, world: &World) {
        let lines = world.model.lines.len() as u64;
        self.lines += lines;
        self.again += world.model.again;
        self.failures += world.failures;
        self.deaths += world.deaths;
        self.checkpoints += world.model.heads.len() as u64;
        self.tiles += lines / 256;
    }
}
