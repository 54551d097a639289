//! A lane and its archive: through failures of both kinds, restarts, and restores to an earlier point.

use super::archive::{Archive, ArchiveError, Archived, CHECKPOINT_MS};
use super::store;
use super::tests::{NOW, append, pack};
use super::tree_tests::{Lane, add, entries, lane, lane_of, ours, reckoned, verifier};
use crate::objects::host_sql::Fault;
use crate::objects::sql::SqlError;
use futures::FutureExt;
use futures::task::noop_waker_ref;
use portcullis_core::audit::call::GetConsistency;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::proof::verify_consistency;
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Hash, Head, bundle, hashes_from_bytes, leaf_hash};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A bucket in memory, with a failure on demand: of the n-th call from now, which was done or was not.
#[derive(Default)]
pub struct FakeArchive {
    objects: RefCell<BTreeMap<String, Archived>>,
    versions: Cell<u32>,
    planned: Cell<Option<(u32, Fault)>>,
    writes: Cell<u32>,
}

impl FakeArchive {
    pub fn fail_nth(&self, nth: u32, fault: Fault) {
        self.planned.set(Some((nth, fault)));
    }

    /// No more failures; says whether one was still waiting.
    pub fn heal(&self) -> bool {
        self.planned.take().is_some()
    }

    fn fault_due(&self) -> Option<Fault> {
        match self.planned.get()? {
            (0, fault) => {
                self.planned.set(None);
                Some(fault)
            }
            (nth, fault) => {
                self.planned.set(Some((nth - 1, fault)));
                None
            }
        }
    }

    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let objects = self.objects.borrow();
        objects.get(name).map(|archived| archived.bytes.clone())
    }

    pub fn names(&self) -> Vec<String> {
        self.objects.borrow().keys().cloned().collect()
    }
}

fn injected() -> ArchiveError {
    ArchiveError("injected".to_owned())
}

impl Archive for FakeArchive {
    async fn read(&self, name: &str) -> Result<Option<Archived>, ArchiveError> {
        match self.fault_due() {
            Some(_) => Err(injected()),
            None => Ok(self.objects.borrow().get(name).cloned()),
        }
    }

    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        over: Option<&str>,
    ) -> Result<Option<String>, ArchiveError> {
        let fault = self.fault_due();
        if fault == Some(Fault::NotPersisted) {
            return Err(injected());
        }
        let mut objects = self.objects.borrow_mut();
        let there = objects.get(name).map(|archived| archived.version.as_str());
        let done = (there == over).then(|| {
            self.versions.set(self.versions.get() + 1);
            self.writes.set(self.writes.get() + 1);
            self.versions.get().to_string()
        });
        if let Some(version) = &done {
            let archived = Archived {
                bytes: bytes.to_vec(),
                version: version.clone(),
            };
            objects.insert(name.to_owned(), archived);
        }
        match fault {
            Some(_) => Err(injected()),
            None => Ok(done),
        }
    }

    async fn remove(&self, names: &[String]) -> Result<(), ArchiveError> {
        let fault = self.fault_due();
        if fault == Some(Fault::NotPersisted) {
            return Err(injected());
        }
        let mut objects = self.objects.borrow_mut();
        for name in names {
            objects.remove(name);
        }
        fault.map_or(Ok(()), |_| Err(injected()))
    }
}

/// An archive that answers later: once before it does what is asked, and once after.
pub struct Slow<'a>(pub &'a FakeArchive);

impl Archive for Slow<'_> {
    async fn read(&self, name: &str) -> Result<Option<Archived>, ArchiveError> {
        futures::pending!();
        let read = self.0.read(name).await;
        futures::pending!();
        read
    }

    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        over: Option<&str>,
    ) -> Result<Option<String>, ArchiveError> {
        futures::pending!();
        let put = self.0.put(name, bytes, over).await;
        futures::pending!();
        put
    }

    async fn remove(&self, names: &[String]) -> Result<(), ArchiveError> {
        futures::pending!();
        let removed = self.0.remove(names).await;
        futures::pending!();
        removed
    }
}

/// What comes of it within so many polls.
pub fn polled<T>(mut future: Pin<&mut impl Future<Output = T>>, polls: u64) -> Option<T> {
    let mut context = Context::from_waker(noop_waker_ref());
    for _ in 0..polls {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
    }
    None
}

pub const CHECKPOINT: &str = "lane/0/checkpoint";

pub fn at(step: u64) -> UnixMillis {
    UnixMillis(NOW.0 + step * CHECKPOINT_MS)
}

pub fn sign(
    lane: &Lane,
    archive: &FakeArchive,
    step: u64,
) -> Result<Result<Head, Refusal>, SqlError> {
    let signed = lane.checkpoint(archive, at(step)).now_or_never();
    let note = signed.expect("the archive answers at once")?;
    Ok(note.map(|note| verifier(lane).open(&note).expect("a checkpoint")))
}

pub fn archive_tiles(lane: &Lane, archive: &FakeArchive) -> Result<(), SqlError> {
    let archived = lane.archive_tiles(archive).now_or_never();
    archived.expect("the archive answers at once")
}

/// When an object was put, as against others.
pub fn version(archive: &FakeArchive, name: &str) -> u64 {
    let objects = archive.objects.borrow();
    let archived = objects.get(name).expect("an object");
    archived.version.parse().expect("a number")
}

/// What is archived of the lane's tiles, found to be the tree's.
fn expect_archived(lane: &Lane, archive: &FakeArchive, tiles: u64) {
    let lines = entries(lane);
    for number in 0..tiles {
        let place = Place::new(number, 256).expect("a place");
        let range = usize::try_from(place.first()).expect("small")
            ..usize::try_from(place.end()).expect("small");
        let found = archive.bytes(&format!("lane/0/{}", EntryBundle(place)));
        let found = found.expect("a bundle");
        assert_eq!(
            bundle::decode(&found).expect("a bundle"),
            lines[range.clone()]
        );
        let tile = archive.bytes(&format!("lane/0/{}", HashTile { level: 0, place }));
        let leaves: Vec<Hash> = lines[range].iter().map(|line| leaf_hash(line)).collect();
        assert_eq!(hashes_from_bytes(&tile.expect("a tile")), Some(leaves));
    }
}

#[test]
fn full_tiles_and_bundles_are_archived_once_and_partial_ones_are_not() {
    let (lane, archive) = (lane_of(700, 50), FakeArchive::default());
    assert_eq!(lane.has_unarchived(), Ok(true));
    archive_tiles(&lane, &archive).expect("archives");
    assert_eq!(
        archive.names(),
        [
            "lane/0/tile/0/000",
            "lane/0/tile/0/001",
            "lane/0/tile/entries/000",
            "lane/0/tile/entries/001"
        ]
    );
    expect_archived(&lane, &archive, 2);
    assert_eq!(lane.has_unarchived(), Ok(false));
    let writes = archive.writes.get();
    let lane = lane.restarted(Some(ours()));
    archive_tiles(&lane, &archive).expect("archives");
    assert_eq!(archive.writes.get(), writes);
}

#[test]
fn a_full_tile_of_a_higher_level_is_archived_with_the_last_below_it() {
    let (lane, archive) = (lane_of(65_536, 4000), FakeArchive::default());
    let mut rounds = 0u32;
    while lane.has_unarchived().expect("reads") {
        archive_tiles(&lane, &archive).expect("archives");
        rounds += 1;
    }
    assert!(rounds > 1, "all at once");
    let tile = archive.bytes("lane/0/tile/1/000").expect("a tile");
    assert_eq!(tile.len(), 256 * 32);
    assert_eq!(archive.names().len(), 256 * 2 + 1);
}

#[test]
fn every_call_of_the_archive_and_of_storage_fails_both_ways_and_nothing_is_missing() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for (of_archive, nth) in [true, false]
            .into_iter()
            .flat_map(|of| (0..40).map(move |n| (of, n)))
        {
            let (mut lane, archive) = (lane_of(800, 100), FakeArchive::default());
            if of_archive {
                archive.fail_nth(nth, fault);
            } else {
                lane.sql().fail_nth(nth, fault);
            }
            // The alarm goes on until nothing waits, and now and then the object dies.
            for round in 0.. {
                let done = archive_tiles(&lane, &archive);
                if round == 1 {
                    lane = lane.restarted(Some(ours()));
                }
                if done.is_ok() && lane.has_unarchived() == Ok(false) {
                    break;
                }
                assert!(round < 5, "never done: {done:?}");
            }
            archive.heal();
            lane.sql().heal();
            assert_eq!(archive.names().len(), 6);
            expect_archived(&lane, &archive, 3);
        }
    }
}

#[test]
fn a_tile_that_is_there_already_and_another_is_not_replaced_and_ends_the_signing() {
    let (lane, archive) = (lane_of(600, 100), FakeArchive::default());
    let planted = b"another log's".to_vec();
    let name = "lane/0/tile/entries/001";
    let put = archive.put(name, &planted, None).now_or_never();
    assert_eq!(put, Some(Ok(Some("1".to_owned()))));
    assert!(archive_tiles(&lane, &archive).is_err());
    assert_eq!(archive.bytes(name), Some(planted));
    let differs = Refusal::ArchiveDiffers { archived: 512 };
    assert_eq!(sign(&lane, &archive, 1), Ok(Err(differs)));
    // What was before it is there, and the alarm has nothing left to try.
    expect_archived(&lane, &archive, 1);
    assert_eq!(lane.has_unarchived(), Ok(false));
}

#[test]
fn no_checkpoint_is_given_out_that_is_not_archived() {
    let (lane, archive) = (lane_of(5, 5), FakeArchive::default());
    archive.fail_nth(1, Fault::NotPersisted);
    assert!(sign(&lane, &archive, 1).is_err());
    assert_eq!(archive.bytes(CHECKPOINT), None);
    let first = sign(&lane, &archive, 2).expect("answers").expect("signs");
    add(&lane, 6, 5, 5);
    // It could not be archived: the one before is given out.
    archive.fail_nth(0, Fault::NotPersisted);
    assert_eq!(sign(&lane, &archive, 3), Ok(Ok(first)));
    // It was archived, and nobody heard.
    archive.fail_nth(1, Fault::PersistedButReportedFailed);
    assert_eq!(sign(&lane, &archive, 4), Ok(Ok(first)));
    let writes = archive.writes.get();
    let second = sign(&lane, &archive, 5).expect("answers").expect("signs");
    assert_eq!((second.size, archive.writes.get()), (10, writes));
}

#[test]
fn checkpoints_are_signed_no_more_often_than_the_archive_takes_them() {
    let (lane, archive) = (lane(), FakeArchive::default());
    for n in 0..50 {
        add(&lane, 1 + n, 1, 1);
        let now = UnixMillis(NOW.0 + n * CHECKPOINT_MS / 10);
        let signed = lane.checkpoint(&archive, now).now_or_never();
        assert!(matches!(signed, Some(Ok(Ok(_)))));
    }
    assert_eq!(archive.writes.get(), 5);
    // Nothing new: nothing is written, and next to nothing read.
    let last = sign(&lane, &archive, 100).expect("answers").expect("signs");
    let (writes, calls) = (archive.writes.get(), lane.sql().calls());
    let again = lane.checkpoint(&archive, at(200)).now_or_never();
    let again = again.expect("at once").expect("answers").expect("signs");
    assert_eq!(verifier(&lane).open(&again), Ok(last));
    assert_eq!(archive.writes.get(), writes);
    assert!(lane.sql().calls() <= calls + 4, "{}", lane.sql().calls());
}

#[test]
fn a_lane_that_was_restored_to_an_earlier_point_signs_nothing_any_more() {
    let archive = FakeArchive::default();
    let later = lane_of(20, 5);
    sign(&later, &archive, 1).expect("answers").expect("signs");
    add(&later, 21, 10, 5);
    sign(&later, &archive, 2).expect("answers").expect("signs");
    // The same lane as it was before: without its last segments.
    let back = "DELETE FROM segment WHERE first_index >= 20";
    crate::objects::sql::Sql::exec(later.sql(), back, &[]).expect("restores");
    let restored = later.restarted(Some(ours()));
    let ahead = Refusal::ArchiveAhead {
        archived: 30,
        size: 20,
    };
    assert_eq!(sign(&restored, &archive, 3), Ok(Err(ahead)));
    // It takes lines, and even when it has as many again it does not sign them.
    let other = pack(2, 1, 20);
    restored.append(append(vec![other]), NOW).expect("appends");
    let differs = Refusal::ArchiveDiffers { archived: 30 };
    assert_eq!(sign(&restored, &archive, 4), Ok(Err(differs)));
    let restored = restored.restarted(Some(ours()));
    assert_eq!(sign(&restored, &archive, 5), Ok(Err(differs)));
}

#[test]
fn a_lane_that_lost_its_storage_does_not_sign_in_its_own_name() {
    let archive = FakeArchive::default();
    sign(&lane_of(20, 5), &archive, 1)
        .expect("answers")
        .expect("signs");
    let lost = lane_of(40, 5);
    assert_eq!(sign(&lost, &archive, 2), Ok(Err(Refusal::ArchiveOfAnother)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Commits, checkpoints, the alarm and restarts, in any order, with a failure before each: every checkpoint that
    /// was given out is of one log, and what is archived is that log's.
    #[test]
    fn whatever_fails_all_checkpoints_are_of_one_log_and_so_is_the_archive(
        steps in prop::collection::vec((0u8..4, 1u64..300, 0u32..12, any::<bool>(), any::<bool>()), 1..20),
    ) {
        let (mut lane, archive) = (lane(), FakeArchive::default());
        let mut heads: Vec<Head> = Vec::new();
        let mut next = 1;
        for (step, (what, events, nth, persisted, of_archive)) in (1u64..).zip(steps) {
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            if of_archive {
                archive.fail_nth(nth % 4, fault);
            } else {
                lane.sql().fail_nth(nth, fault);
            }
            match what {
                0 => {
                    if lane.append(append(vec![pack(1, next, events)]), NOW).is_ok() {
                        next += events;
                    }
                }
                1 => {
                    let signed = lane.checkpoint(&archive, at(step)).now_or_never();
                    if let Some(Ok(signed)) = signed {
                        lane.sql().heal();
                        let note = signed.expect("nothing was restored");
                        heads.push(verifier(&lane).open(&note).expect("a checkpoint"));
                    }
                }
                2 => drop(archive_tiles(&lane, &archive)),
                _ => lane = lane.restarted(Some(ours())),
            }
            archive.heal();
            lane.sql().heal();
        }
        while lane.has_unarchived().expect("reads") {
            archive_tiles(&lane, &archive).expect("archives");
        }
        let last = sign(&lane, &archive, 1000).expect("answers").expect("signs");
        for head in heads.iter().filter(|head| head.size > 0) {
            let asked = GetConsistency { from: head.size, to: last.size };
            let proof = lane.consistency(asked).expect("answers").expect("a tree").expect("a proof");
            let hashes: Vec<Hash> = proof.hashes.into_iter().map(Hash).collect();
            prop_assert!(verify_consistency(head, &last, &hashes));
        }
        let size = usize::try_from(last.size).expect("small");
        prop_assert_eq!(reckoned(&entries(&lane)[..size]), last);
        expect_archived(&lane, &archive, last.size / 256);
        prop_assert_eq!(store::archived_tiles(lane.sql()), Ok(last.size / 256));
    }
}
