//! A new log begins while something of the old one waits for the archive.

use super::archive::Archive;
use super::archive_tests::{
    CHECKPOINT, FakeArchive, Slow, archive_tiles, at, polled, sign, version,
};
use super::epochs_tests::{FIRST, SECOND, asked, begun, name, restored, told};
use super::retention_tests::archive_all;
use super::store;
use super::tests::NOW;
use super::tree_tests::{Lane, add, keys, lane_of, verifier};
use futures::FutureExt;
use portcullis_core::audit::log::epoch::Beginning;
use portcullis_core::audit::log::signing::Refusal;
use std::pin::pin;

/// Has something happen while `waiting` waits for the archive, at each point of it.
fn at_each_point<T>(
    prepared: fn() -> (Lane, FakeArchive),
    waiting: &impl AsyncFn(&Lane, &Slow<'_>) -> T,
    meanwhile: fn(&Lane, &FakeArchive),
    expect: fn(&Lane, &FakeArchive, T, bool),
) {
    for polls in 1..600 {
        let (lane, archive) = prepared();
        let slow = Slow(&archive);
        let mut future = pin!(waiting(&lane, &slow));
        if let Some(done) = polled(future.as_mut(), polls) {
            assert!(polls > 1);
            expect(&lane, &archive, done, false);
            return;
        }
        meanwhile(&lane, &archive);
        let done = polled(future, 10_000).expect("it ends");
        expect(&lane, &archive, done, true);
        expect_knows_its_own(&lane, &archive);
    }
    panic!("it never ends");
}

fn expect_knows_its_own(lane: &Lane, archive: &FakeArchive) {
    let head = sign(lane, archive, 9).expect("answers").expect("signs");
    assert_eq!(name(lane), SECOND);
    assert_eq!(head.size, store::next_index(lane.sql()).expect("a size"));
    archive_all(lane, archive);
    assert_eq!(store::archived_tiles(lane.sql()), Ok(head.size / 256));
    for number in 0..head.size / 256 {
        version(archive, &format!("lane/0.1/tile/0/{number:03}"));
    }
}

#[test]
fn a_checkpoint_on_its_way_while_a_log_begins_is_of_the_log_that_was_asked_for() {
    at_each_point(
        || {
            let (lane, archive, _) = restored();
            (lane, archive)
        },
        &async |lane, archive| lane.checkpoint_of(archive, Some(0), at(5)).await,
        |lane, archive| drop(begun(lane, archive)),
        |_, archive, answer, has_begun| match answer.expect("answers") {
            Ok(note) => {
                // The last that was archived of it.
                assert!(has_begun);
                assert_eq!(Some(note), archive.bytes(CHECKPOINT));
            }
            Err(refusal) => assert!(matches!(refusal, Refusal::ArchiveAhead { .. })),
        },
    );
}

#[test]
fn a_checkpoint_that_is_being_archived_while_a_log_begins_is_the_last_of_the_old_one() {
    for epoch in [None, Some(0)] {
        at_each_point(
            || {
                let (lane, archive) = (lane_of(1000, 100), FakeArchive::default());
                sign(&lane, &archive, 1).expect("answers").expect("signs");
                let put = archive.put("lane/0/tile/entries/000", b"another log's", None);
                put.now_or_never().expect("at once").expect("puts");
                add(&lane, 1001, 20, 20);
                (lane, archive)
            },
            &async |lane, archive| {
                let key = verifier(lane);
                (key, lane.checkpoint_of(archive, epoch, at(5)).await)
            },
            |lane, archive| {
                // The alarm finds what ends the log.
                assert!(archive_tiles(lane, archive).is_err());
                begun(lane, archive);
            },
            |_, archive, (key, answer), _| {
                let note = answer.expect("answers").expect("a checkpoint");
                assert_eq!(key.open(&note).expect("the old log's").size, 1020);
                assert_eq!(Some(note), archive.bytes(CHECKPOINT));
            },
        );
    }
}

#[test]
fn what_is_archived_while_a_log_begins_is_not_noted_for_that() {
    at_each_point(
        || {
            let (lane, archive) = (lane_of(3000, 100), FakeArchive::default());
            sign(&lane, &archive, 1).expect("answers").expect("signs");
            // The key can be opened no more: tiles are archived all the same.
            (lane.restarted(Some(keys(2, "https://id.example"))), archive)
        },
        &async |lane, archive| lane.archive_tiles(archive).await,
        |lane, archive| drop(begun(lane, archive)),
        |lane, _, answer, has_begun| {
            answer.expect("archives");
            let noted = store::archived_tiles(lane.sql()).expect("reads");
            assert_eq!(noted, if has_begun { 0 } else { 11 });
        },
    );
}

#[test]
fn of_two_who_begin_a_log_at_once_one_does() {
    for polls in 0..20 {
        let (lane, archive, _) = restored();
        let slow = Slow(&archive);
        let mut first = pin!(lane.begin_epoch(&slow, asked(FIRST, false), NOW));
        if polled(first.as_mut(), polls).is_some() {
            assert!(polls > 3);
            return;
        }
        let second = begun(&lane, &archive);
        let first = polled(first, 1000).expect("it ends").expect("answers");
        let log = second.log;
        assert_eq!(first, Beginning::NotThat { log });
        assert_eq!(told(&lane, "audit.epoch_began").len(), 1);
    }
    panic!("it never ends");
}
