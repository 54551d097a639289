//! What went wrong with logs of others, each as a test (tests/conformance.md, "Audit pipeline"). Those of the archive are in
//! [`super::archive_tests`].

use super::archive_tests::{FakeArchive, archive_tiles, at, sign, version};
use super::store;
use super::tests::{all_kills, append, event, kills, pack, query, read};
use super::tree::Standing;
use super::tree_tests::{Lane, add, entries, keys, lane, lane_of, ours, reckoned};
use crate::objects::host_sql::Fault;
use futures::FutureExt;
use portcullis_core::audit::call::{Append, GetConsistency};
use portcullis_core::audit::log::proof::verify_consistency;
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Hash, Head};
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::Order;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use serde_json::Value;

const FAULTS: [Fault; 2] = [Fault::NotPersisted, Fault::PersistedButReportedFailed];

fn size(lane: &Lane) -> u64 {
    store::next_index(lane.sql()).expect("a size")
}

#[test]
fn an_object_that_dies_before_its_commit_took_nothing_and_shows_nothing() {
    for nth in 0.. {
        let lane = lane_of(250, 100);
        let before = entries(&lane);
        let lines = size(&lane);
        lane.sql().fail_nth(nth, Fault::NotPersisted);
        let answer = lane.append(append(vec![pack(1, 251, 20)]), at(0));
        if lane.sql().heal() {
            // It died after it.
            assert!(answer.is_ok() && nth > 3);
            break;
        }
        // Nobody was told that it is there, and it is not.
        assert!(answer.is_err(), "{nth}");
        let lane = lane.restarted(Some(ours()));
        assert_eq!(lane.ready(), Ok(Standing::Agrees));
        assert_eq!(size(&lane), lines);
        assert_eq!(entries(&lane)[..before.len()], before);
        // Whoever sent it sends it again.
        lane.append(append(vec![pack(1, 251, 20)]), at(1))
            .expect("appends");
        assert_eq!(all_kills(&lane).len(), 270);
    }
}

#[test]
fn what_was_committed_and_not_archived_is_archived_before_anything_newer() {
    let (lane, archive) = (lane_of(300, 100), FakeArchive::default());
    // It dies before the alarm rings; what is there says what is to be done.
    let lane = lane.restarted(Some(ours()));
    assert_eq!(lane.has_unarchived(), Ok(true));
    add(&lane, 301, 500, 100);
    // It dies in the middle, too, when the second tile cannot be put.
    archive.fail_nth(3, Fault::NotPersisted);
    assert!(archive_tiles(&lane, &archive).is_err());
    let lane = lane.restarted(Some(ours()));
    archive_tiles(&lane, &archive).expect("archives");
    let put: Vec<u64> = (0..3)
        .flat_map(|number| {
            let names = ["tile/entries", "tile/0"];
            names.map(|of| version(&archive, &format!("lane/0/{of}/{number:03}")))
        })
        .collect();
    let (before, newer) = put.split_at(2);
    assert!(before.iter().max() < newer.iter().min(), "{put:?}");
    assert_eq!(store::archived_tiles(lane.sql()), Ok(3));
}

#[test]
fn a_reload_that_fails_again_and_again_leaves_the_lane_shut_and_the_one_that_succeeds_skips_nothing()
 {
    let calls = {
        let lane = lane_of(600, 20).restarted(Some(ours()));
        let before = lane.sql().calls();
        lane.ready().expect("opens");
        lane.sql().calls() - before
    };
    assert!(calls > 3, "{calls}");
    for (fault, nth) in FAULTS
        .into_iter()
        .flat_map(|fault| (0..calls).map(move |nth| (fault, nth)))
    {
        let mut lane = lane_of(600, 20).restarted(Some(ours()));
        let archive = FakeArchive::default();
        let mut failed = 0;
        for attempt in 0..4 {
            if attempt == 2 {
                lane = lane.restarted(Some(ours()));
            }
            lane.sql().fail_nth(nth, fault);
            let opened = lane.ready();
            // Of a reload that is not the first there may be less to do.
            if lane.sql().heal() {
                break;
            }
            assert!(opened.is_err(), "{fault:?} {nth}");
            failed += 1;
            // As long as it does not succeed nothing is taken and nothing signed.
            lane.sql().fail_nth(0, fault);
            assert!(lane.append(append(vec![pack(2, 1, 1)]), at(1)).is_err());
            lane.sql().fail_nth(0, fault);
            assert!(sign(&lane, &archive, 2).is_err());
            lane.sql().heal();
            assert_eq!(size(&lane), 600, "{fault:?} {nth}");
        }
        assert!(failed > 0, "{fault:?} {nth}");
        lane.append(append(vec![pack(2, 1, 1)]), at(3))
            .expect("appends");
        assert_eq!(size(&lane), 601);
        let head = sign(&lane, &archive, 9).expect("answers").expect("signs");
        assert_eq!(reckoned(&entries(&lane)[..601]), head);
    }
}

/// A line's index, and when it says that it happened, came and was committed.
fn times(line: &str) -> (u64, [String; 3]) {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let text = |name: &str| line[name].as_str().expect("a time").to_owned();
    let index = line["index"].as_u64().expect("an index");
    (index, ["occurred", "received", "committed"].map(text))
}

#[test]
fn clocks_that_go_back_change_no_order_and_each_line_keeps_its_three_times() {
    let (lane, archive) = (lane(), FakeArchive::default());
    let clocks = [[500, 700, 900], [400, 300, 200], [450, 800, 100]];
    for (sequence, [occurred, received, committed]) in (1..).zip(clocks) {
        let packs = vec![Pack {
            producer: ProducerId::from_bytes([1; 16]),
            first_sequence: sequence,
            events: vec![event(1, occurred)],
        }];
        let received = UnixMillis(received);
        let append = Append { received, packs };
        lane.append(append, UnixMillis(committed)).expect("appends");
        let signed = sign(&lane, &archive, 10 - sequence);
        assert!(matches!(signed, Ok(Ok(_))), "{signed:?}");
    }
    let told = |lines: &[String]| -> Vec<_> { lines.iter().map(|line| times(line)).collect() };
    let expected: Vec<_> = (0u64..)
        .zip(clocks.map(|of| of.map(|ms| UnixMillis(ms).to_rfc3339())))
        .collect();
    assert_eq!(told(&all_kills(&lane)), expected);
    let mut newest = read(&lane, query(kills(), Order::Newest, None, 10)).lines;
    newest.reverse();
    assert_eq!(told(&newest), expected);
}

#[test]
fn an_event_that_comes_late_is_appended_and_rewrites_nothing() {
    let (lane, archive) = (lane(), FakeArchive::default());
    lane.append(append(vec![pack(1, 100, 300)]), at(0))
        .expect("appends");
    let older = sign(&lane, &archive, 1).expect("answers").expect("signs");
    let before = entries(&lane);
    // Sequences below all that are there, which happened before all that are there.
    lane.append(append(vec![pack(1, 1, 50)]), at(2))
        .expect("appends");
    assert_eq!(entries(&lane)[..before.len()], before);
    let newer = sign(&lane, &archive, 3).expect("answers").expect("signs");
    expect_continued(&lane, &older, &newer);
    assert_eq!(all_kills(&lane).len(), 350);
}

fn expect_continued(lane: &Lane, older: &Head, newer: &Head) {
    let asked = GetConsistency {
        from: older.size,
        to: newer.size,
    };
    let proof = lane.consistency(asked).expect("answers").expect("a tree");
    let hashes: Vec<Hash> = proof
        .expect("a proof")
        .hashes
        .into_iter()
        .map(Hash)
        .collect();
    assert!(verify_consistency(older, newer, &hashes));
}

#[test]
fn a_service_key_that_changes_in_mid_round_ends_the_signing_alone_and_the_right_one_goes_on() {
    let (lane, archive) = (lane_of(10, 5), FakeArchive::default());
    let older = sign(&lane, &archive, 1).expect("answers").expect("signs");
    let notes = archive.bytes("lane/0/checkpoint");
    // The object starts again, with another key, between a commit and its checkpoint.
    add(&lane, 11, 300, 100);
    let lane = lane.restarted(Some(keys(2, "https://id.example")));
    let signed = lane.checkpoint(&archive, at(2)).now_or_never();
    assert_eq!(signed, Some(Ok(Err(Refusal::KeyUnusable))));
    // Events are taken and read, tiles are archived, and the checkpoint in the archive is the one before.
    add(&lane, 311, 10, 10);
    assert_eq!(all_kills(&lane).len(), 320);
    archive_tiles(&lane, &archive).expect("archives");
    assert_eq!(archive.bytes("lane/0/checkpoint"), notes);
    let lane = lane.restarted(Some(ours()));
    let newer = sign(&lane, &archive, 3).expect("answers").expect("signs");
    assert!(newer.size > older.size);
    expect_continued(&lane, &older, &newer);
}
