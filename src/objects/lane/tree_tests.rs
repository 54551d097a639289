//! A lane's tree: under faults, over older lines, and when what is stored was changed.

use super::archive::CHECKPOINT_MS;
use super::archive_tests::FakeArchive;
use super::log_keys;
use super::service::LaneService;
use super::signer::LogKeyMaker;
use super::store;
use super::tests::{NOW, all_kills, append, kills, pack, query, read};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, migrate};
use futures::FutureExt;
use portcullis_core::audit::call::{GetBundle, GetConsistency, GetInclusion, GetTile};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::checkpoint::{CheckpointVerifier, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::proof::{verify_consistency, verify_inclusion};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Hash, Head, bundle, hashes_from_bytes, leaf_hash};
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

pub type Lane = LaneService<HostSql>;

pub fn keys(sealing_key: u8, issuer: &str) -> LogKeyMaker {
    let origin = Origin::of_lane(issuer, 0).expect("an origin");
    LogKeyMaker::new([sealing_key; 32], origin)
}

pub fn ours() -> LogKeyMaker {
    keys(1, "https://id.example")
}

pub fn lane() -> Lane {
    LaneService::new(HostSql::new(), Some(ours()))
}

/// A lane with so many lines, a few to a commit.
pub fn lane_of(lines: u64, a_commit: u64) -> Lane {
    let lane = lane();
    add(&lane, 1, lines, a_commit);
    lane
}

pub fn add(lane: &Lane, from_sequence: u64, lines: u64, a_commit: u64) {
    let end = from_sequence + lines;
    let mut next = from_sequence;
    while next < end {
        let events = a_commit.min(end - next);
        let packs = vec![pack(1, next, events)];
        lane.append(append(packs), NOW).expect("appends");
        next += events;
    }
}

/// Every line there is, as bundles have them.
pub fn entries(lane: &Lane) -> Vec<Vec<u8>> {
    let size = store::next_index(lane.sql()).expect("a size");
    let epoch = log_keys::epoch(lane.sql()).expect("an epoch");
    let mut entries = Vec::new();
    for number in 0..size.div_ceil(256) {
        let asked = GetBundle {
            epoch,
            number,
            width: (size - number * 256).min(256),
            read: a_read(),
        };
        let bytes = bundle_of(lane, asked).expect("answers").expect("a bundle");
        let found = bundle::decode(&bytes).expect("a bundle");
        entries.extend(found.into_iter().map(<[u8]>::to_vec));
    }
    entries
}

fn bundle_of(lane: &Lane, asked: GetBundle) -> Result<Option<Vec<u8>>, Refusal> {
    lane.bundle(asked, NOW).expect("answers")
}

fn a_read() -> Event {
    Event::new(NOW, Action::AuditRead, Outcome::Success, Actor::Anonymous)
}

/// The head of the tree over these lines, reckoned anew.
pub fn reckoned<'a>(entries: impl IntoIterator<Item = &'a Vec<u8>>) -> Head {
    let mut edge = Edge::empty();
    for entry in entries {
        edge.append(leaf_hash(entry), &mut Vec::new());
    }
    edge.head()
}

pub fn verifier(lane: &Lane) -> CheckpointVerifier {
    let vkey = lane.log_key(NOW).expect("answers").expect("a key");
    CheckpointVerifier::from_vkey(&vkey).expect("a key")
}

/// A checkpoint as it is given out with an archive in which nothing was put before.
pub fn signed(lane: &Lane) -> Result<Vec<u8>, Refusal> {
    static NOW_MS: AtomicU64 = AtomicU64::new(1);
    let now = UnixMillis(NOW_MS.fetch_add(CHECKPOINT_MS, Ordering::Relaxed));
    let archive = FakeArchive::default();
    let signed = lane.checkpoint(&archive, now).now_or_never();
    signed
        .expect("the archive answers at once")
        .expect("answers")
}

fn checkpoint(lane: &Lane) -> Head {
    verifier(lane)
        .open(&signed(lane).expect("signs"))
        .expect("a checkpoint")
}

#[test]
fn the_root_is_that_of_the_lines_that_readers_get() {
    let lane = lane_of(700, 9);
    let head = checkpoint(&lane);
    assert_eq!(head.size, 700);
    let lines = all_kills(&lane);
    let lines: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
    assert_eq!(reckoned(&lines), head);
    let size = usize::try_from(head.size).expect("small");
    assert_eq!(entries(&lane)[..size], lines);
}

#[test]
fn an_empty_log_has_a_checkpoint() {
    assert_eq!(checkpoint(&lane()), Edge::empty().head());
}

#[test]
fn tiles_hold_the_hashes_of_the_lines_and_of_the_tiles_below() {
    let lane = lane_of(1000, 300);
    let tile = |level, number, width| {
        let asked = GetTile {
            epoch: 0,
            level,
            number,
            width,
        };
        let bytes = lane.tile(asked).expect("answers").expect("a tree");
        bytes.map(|bytes| hashes_from_bytes(&bytes).expect("hashes"))
    };
    let lines = entries(&lane);
    let leaves: Vec<Hash> = lines.iter().map(|line| leaf_hash(line)).collect();
    assert_eq!(tile(0, 0, 256).expect("a tile"), leaves[..256]);
    assert_eq!(tile(0, 2, 17).expect("a tile"), leaves[512..529]);
    let below = |number: usize| reckoned(&lines[number * 256..(number + 1) * 256]).root;
    assert_eq!(
        tile(1, 0, 3).expect("a tile"),
        [below(0), below(1), below(2)]
    );
    assert_eq!(tile(1, 0, 1).expect("a tile"), [below(0)]);
    for (level, number, width) in [
        (1, 0, 5),
        (0, 5, 1),
        (2, 0, 1),
        (0, 0, 0),
        (0, 0, 257),
        (63, 0, 1),
    ] {
        assert_eq!(tile(level, number, width), None, "{level} {number} {width}");
    }
}

#[test]
fn proofs_are_of_the_trees_that_were_signed() {
    let lane = lane_of(300, 7);
    let older = checkpoint(&lane);
    add(&lane, 301, 500, 41);
    let newer = checkpoint(&lane);
    let asked = GetConsistency {
        from: older.size,
        to: newer.size,
    };
    let proof = lane
        .consistency(asked)
        .expect("answers")
        .expect("a tree")
        .expect("a proof");
    assert_eq!(
        (Hash(proof.from_root), Hash(proof.to_root)),
        (older.root, newer.root)
    );
    let hashes: Vec<Hash> = proof.hashes.into_iter().map(Hash).collect();
    assert!(verify_consistency(&older, &newer, &hashes));
    let lines = entries(&lane);
    for (index, head) in [
        (0, older),
        (299, older),
        (299, newer),
        (300, newer),
        (799, newer),
    ] {
        let asked = GetInclusion {
            index,
            size: head.size,
        };
        let proof = lane
            .inclusion(asked)
            .expect("answers")
            .expect("a tree")
            .expect("a proof");
        let leaf = leaf_hash(&lines[usize::try_from(index).expect("small")]);
        let hashes: Vec<Hash> = proof.hashes.into_iter().map(Hash).collect();
        assert_eq!((Hash(proof.leaf), Hash(proof.root)), (leaf, head.root));
        assert!(verify_inclusion(leaf, index, &head, &hashes));
    }
    for (index, size) in [(300, 300), (0, 0), (0, 5000)] {
        assert_eq!(
            lane.inclusion(GetInclusion { index, size })
                .expect("answers"),
            Ok(None)
        );
    }
    for (from, to) in [(0, 5), (6, 5), (1, 5000)] {
        assert_eq!(
            lane.consistency(GetConsistency { from, to })
                .expect("answers"),
            Ok(None)
        );
    }
}

#[test]
fn a_bundle_that_is_read_is_in_the_log_and_one_that_is_not_there_is_not() {
    let lane = lane_of(10, 10);
    let asked = |width| GetBundle {
        epoch: 0,
        number: 0,
        width,
        read: a_read(),
    };
    assert_eq!(bundle_of(&lane, asked(11)), Ok(None));
    assert_eq!(checkpoint(&lane).size, 10);
    assert!(bundle_of(&lane, asked(10)).is_ok_and(|bundle| bundle.is_some()));
    assert_eq!(checkpoint(&lane).size, 11);
    let reads = Filter {
        action: Some(Action::AuditRead),
        ..Filter::default()
    };
    assert_eq!(
        read(&lane, query(reads, Order::Oldest, None, 9))
            .lines
            .len(),
        1
    );
}

#[test]
fn a_hundred_events_a_commit_write_no_more_than_a_twentieth_of_a_row_each() {
    let lane = lane();
    lane.append(append(vec![pack(1, 1, 1), pack(2, 1, 1)]), NOW)
        .expect("appends");
    let before = lane.sql().rows_written();
    for commit in 0..200 {
        let packs = vec![pack(1, 2 + commit * 50, 50), pack(2, 2 + commit * 50, 50)];
        lane.append(append(packs), NOW).expect("appends");
    }
    let rows = lane.sql().rows_written() - before;
    // A segment a commit, an upper tile where 256 lines are full, and folds.
    assert!(rows <= 200 * 3 + 200 * 100 / 256 + 1, "{rows} rows");
    assert!(rows * 20 <= 200 * 100, "{rows} rows");
}

#[test]
fn every_storage_call_of_a_commit_fails_both_ways_and_the_tree_is_that_of_the_lines() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        // 250 lines are there; these complete a tile.
        for nth in 0.. {
            let lane = lane_of(250, 100);
            lane.sql().fail_nth(nth, fault);
            let failed = lane.append(append(vec![pack(1, 251, 20)]), NOW).is_err();
            let waiting = lane.sql().heal();
            let lane = lane.restarted(Some(ours()));
            let head = checkpoint(&lane);
            assert!(head.size == 250 || head.size == 270, "{nth}: {head:?}");
            lane.append(append(vec![pack(1, 251, 20)]), NOW)
                .expect("appends");
            let head = checkpoint(&lane);
            assert_eq!(reckoned(&entries(&lane)[..270]), head);
            if waiting {
                assert!(!failed && nth >= 5, "only {nth} calls");
                break;
            }
        }
    }
}

/// A lane as it was before there was a tree.
fn old_lane(lines: u64, a_segment: u64) -> (HostSql, Vec<Vec<u8>>) {
    let lane = lane_of(lines, a_segment);
    let lines = all_kills(&lane)
        .into_iter()
        .map(String::into_bytes)
        .collect();
    let sql = HostSql::new();
    migrate(&sql, &store::MIGRATIONS[..1]).expect("migrates");
    let mut at = 0;
    while let Some(segment) = store::segment_at(lane.sql(), at).expect("reads") {
        sql.exec(
            "INSERT INTO segment (first_index, count, first_occurred, last_occurred, lines) VALUES (?, ?, ?, ?, ?)",
            &[
                segment.first_index.into(),
                segment.count.into(),
                segment.occurred.0.0.into(),
                segment.occurred.1.0.into(),
                segment.lines.as_slice().into(),
            ],
        )
        .expect("inserts");
        at = segment.end();
    }
    (sql, lines)
}

#[test]
fn the_tree_over_older_lines_is_built_a_part_at_a_time_while_the_log_goes_on() {
    // The reads above are lines too: all that is there is compared with what is stored.
    let (sql, _) = old_lane(400, 2);
    let before = store::next_index(&sql).expect("a size");
    let lane = LaneService::new(sql, Some(ours()));
    let mut commits = 0;
    loop {
        commits += 1;
        lane.append(append(vec![pack(9, commits, 1)]), NOW)
            .expect("appends");
        if !lane.is_behind() {
            break;
        }
        assert_eq!(signed(&lane).is_err(), lane.is_behind());
    }
    assert!(commits > 1, "all at once");
    let head = checkpoint(&lane);
    assert_eq!(head.size, before + commits);
    assert_eq!(
        reckoned(&entries(&lane)[..usize::try_from(head.size).expect("small")]),
        head
    );
    // What is built stays built.
    assert_eq!(
        checkpoint(&lane.restarted(Some(ours()))).size,
        head.size + head.size.div_ceil(256)
    );
}

#[test]
fn the_tree_is_built_through_faults() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in (0..).step_by(7) {
            let (sql, _) = old_lane(300, 3);
            let lane = LaneService::new(sql, Some(ours()));
            lane.sql().fail_nth(nth, fault);
            while lane.ready().is_err() || lane.is_behind() {}
            let unharmed = lane.sql().heal();
            let head = checkpoint(&lane);
            let size = usize::try_from(head.size).expect("small");
            assert_eq!(reckoned(&entries(&lane)[..size]), head);
            if unharmed {
                break;
            }
        }
    }
}

#[test]
fn a_lane_whose_tree_does_not_agree_with_its_lines_is_shut_and_says_so() {
    let last = "WHERE first_index = (SELECT max(first_index) FROM segment)";
    let changes = [
        format!(
            "UPDATE segment SET lines = CAST(replace(CAST(lines AS TEXT), 'kill', 'kilt') AS BLOB) {last}"
        ),
        format!("UPDATE segment SET hashes = zeroblob(length(hashes)) {last}"),
        format!("UPDATE segment SET edge = zeroblob(length(edge)) {last}"),
        format!("UPDATE segment SET edge = NULL {last}"),
        format!("DELETE FROM segment {last}"),
        "UPDATE tile SET hashes = zeroblob(length(hashes))".to_owned(),
        "DELETE FROM tile".to_owned(),
        // Leaf hashes on the right edge, in a segment that is not the last.
        "UPDATE segment SET hashes = zeroblob(length(hashes)) WHERE first_index = 560".to_owned(),
    ];
    for change in changes {
        let lane = lane_of(600, 20);
        let head = checkpoint(&lane);
        lane.sql().exec(&change, &[]).expect("changes");
        let lane = lane.restarted(Some(ours()));
        if change.starts_with("DELETE FROM segment") {
            // That alone cannot be seen from inside: the archive is what remembers.
            assert_eq!(checkpoint(&lane).size, head.size - 20);
            continue;
        }
        assert_eq!(signed(&lane), Err(Refusal::Shut), "{change}");
        assert_eq!(
            lane.tile(GetTile {
                epoch: 0,
                level: 0,
                number: 0,
                width: 1
            }),
            Ok(Err(Refusal::Shut))
        );
        let refused = lane
            .append(append(vec![pack(1, 601, 1)]), NOW)
            .expect_err("shut");
        assert!(refused.to_string().contains("the log is shut"), "{refused}");
        assert_eq!(store::next_index(lane.sql()), Ok(600));
    }
}

#[test]
fn a_proof_that_meets_a_changed_tile_shuts_the_lane() {
    let lane = lane_of(600, 20);
    checkpoint(&lane);
    let change = "UPDATE segment SET hashes = zeroblob(length(hashes)) WHERE first_index = 100";
    lane.sql().exec(change, &[]).expect("changes");
    // The right edge is sound, so that nothing is seen yet.
    let lane = lane.restarted(Some(ours()));
    checkpoint(&lane);
    let asked = GetInclusion {
        index: 5,
        size: 600,
    };
    assert_eq!(lane.inclusion(asked), Ok(Err(Refusal::Shut)));
    assert_eq!(signed(&lane), Err(Refusal::Shut));
    assert!(lane.append(append(vec![pack(1, 601, 1)]), NOW).is_err());
}

#[test]
fn a_logs_key_and_name_stay_what_they_are_and_no_other_service_key_opens_it() {
    let lane = lane_of(3, 3);
    let key = verifier(&lane);
    assert_eq!(key.origin().as_str(), "id.example/audit/lane/0");
    let moved = lane.restarted(Some(keys(1, "https://moved.example")));
    assert_eq!(verifier(&moved), key);
    assert_eq!(checkpoint(&moved).size, 3);
    let rotated = moved.restarted(Some(keys(2, "https://id.example")));
    assert_eq!(signed(&rotated), Err(Refusal::KeyUnusable));
    assert_eq!(rotated.log_key(NOW), Ok(Err(Refusal::KeyUnusable)));
    // Lines are taken all the same, and signed when the key is back.
    rotated
        .append(append(vec![pack(1, 4, 1)]), NOW)
        .expect("appends");
    let back = rotated.restarted(Some(ours()));
    assert_eq!(checkpoint(&back).size, 4);
    assert_ne!(verifier(&lane_of(3, 3)), key);
}

#[test]
fn an_event_out_of_its_bounds_is_cut_and_holds_up_nobody() {
    let lane = lane();
    let mut long = pack(1, 1, 2);
    long.events[0].reason = Some("x".repeat(70_000));
    lane.append(append(vec![long]), NOW).expect("appends");
    let lines = entries(&lane);
    assert_eq!(checkpoint(&lane).size, 3);
    assert!(lines.iter().all(|line| line.len() < 1000));
    assert_eq!(
        read(&lane, query(kills(), Order::Oldest, None, 9))
            .lines
            .len(),
        2
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// However commits are cut, and whatever fails on the way, the tree is that of the lines, and each checkpoint
    /// continues those before it.
    #[test]
    fn every_checkpoint_continues_every_earlier_one(
        steps in prop::collection::vec((1u64..200, 0u32..60, any::<bool>(), any::<bool>()), 1..12),
    ) {
        let mut lane = lane();
        let mut heads: Vec<Head> = Vec::new();
        let mut next = 1;
        for (events, nth, persisted, restart) in steps {
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            lane.sql().fail_nth(nth, fault);
            if lane.append(append(vec![pack(1, next, events)]), NOW).is_ok() {
                next += events;
            }
            lane.sql().heal();
            if restart {
                lane = lane.restarted(Some(ours()));
            }
            heads.push(checkpoint(&lane));
        }
        let last = checkpoint(&lane);
        for head in heads.iter().filter(|head| head.size > 0) {
            let asked = GetConsistency { from: head.size, to: last.size };
            let proof = lane.consistency(asked).expect("answers").expect("a tree").expect("a proof");
            let hashes: Vec<Hash> = proof.hashes.into_iter().map(Hash).collect();
            prop_assert!(verify_consistency(head, &last, &hashes));
        }
        let size = usize::try_from(last.size).expect("small");
        prop_assert_eq!(reckoned(&entries(&lane)[..size]), last);
    }
}
