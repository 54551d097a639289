//! What a lane removes by age, and what it never does: through time, holds, restarts, and failures of both kinds.

use super::archive::Archive;
use super::archive_tests::FakeArchive;
use super::retained::{self, Kept};
use super::retention::LOOK_MS;
use super::tests::{append, pack, query};
use super::tree_tests::{Lane, lane, ours, verifier};
use crate::objects::host_sql::Fault;
use crate::objects::sql::{Sql, SqlError};
use futures::FutureExt;
use portcullis_core::audit::call::{GetBundle, GetConsistency, GetInclusion, GetTile, Page};
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::proof::{verify_consistency, verify_inclusion};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Hash, Head, leaf_hash};
use portcullis_core::audit::query::{Cursor, Filter, Order};
use portcullis_core::audit::retention::{
    DAY_MS, PlaceHold, Placed, ReleaseHold, Retention, SetRetention,
};
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;

/// So many days after there was nothing.
pub fn day(days: u64) -> UnixMillis {
    UnixMillis(days * DAY_MS)
}

pub fn operator(action: Action) -> Event {
    Event::new(
        day(0),
        action,
        Outcome::Success,
        Actor::Operator("admin".into()),
    )
}

pub fn grow(lane: &Lane, from_sequence: u64, lines: u64, a_commit: u64, at: UnixMillis) {
    let end = from_sequence + lines;
    let mut next = from_sequence;
    while next < end {
        let events = a_commit.min(end - next);
        lane.append(append(vec![pack(1, next, events)]), at)
            .expect("appends");
        next += events;
    }
}

pub fn archive_all(lane: &Lane, archive: &FakeArchive) {
    while lane.has_unarchived().expect("reads") {
        let archived = lane.archive_tiles(archive).now_or_never();
        archived.expect("at once").expect("archives");
    }
}

pub fn prune(lane: &Lane, archive: &FakeArchive, now: UnixMillis) -> Result<(), SqlError> {
    let pruned = lane.prune(archive, now).now_or_never();
    pruned.expect("the archive answers at once")
}

/// As the alarm does, until it has nothing to do before it looks again.
pub fn prune_all(lane: &Lane, archive: &FakeArchive, now: UnixMillis) {
    while lane.should_prune(now).expect("reads") {
        prune(lane, archive, now).expect("prunes");
    }
}

pub fn keep(lane: &Lane, days: Option<u32>, dry_run: bool, now: UnixMillis) -> Retention {
    let set = SetRetention {
        days,
        dry_run,
        event: operator(Action::RetentionChanged),
    };
    lane.set_retention(set, now).expect("sets")
}

fn hold(lane: &Lane, name: &str, subject: Option<SubjectKey>, now: UnixMillis) -> Placed {
    let place = PlaceHold {
        name: name.to_owned(),
        subject,
        event: operator(Action::RetentionChanged),
    };
    lane.place_hold(place, now).expect("answers")
}

fn release(lane: &Lane, name: &str, now: UnixMillis) -> bool {
    let release = ReleaseHold {
        name: name.to_owned(),
        event: operator(Action::RetentionChanged),
    };
    lane.release_hold(release, now).expect("answers")
}

/// The lines as they are stored, by index; empty where they are gone.
pub fn stored(lane: &Lane) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    let rows = lane
        .sql()
        .exec("SELECT count, lines FROM segment ORDER BY first_index", &[]);
    for row in rows.expect("reads") {
        let count = usize::try_from(row.integer(0).expect("a count")).expect("small");
        let bytes = row.blob(1).expect("lines");
        if bytes.is_empty() {
            lines.extend(vec![Vec::new(); count]);
            continue;
        }
        let bytes = bytes.strip_suffix(b"\n").expect("a line feed");
        let found: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        assert_eq!(found.len(), count);
        lines.extend(found.into_iter().map(<[u8]>::to_vec));
    }
    lines
}

pub fn kept(lane: &Lane) -> Kept {
    retained::kept(lane.sql()).expect("reads")
}

fn signed(lane: &Lane, archive: &FakeArchive, now: UnixMillis) -> Head {
    let note = lane.checkpoint(archive, now).now_or_never();
    let note = note.expect("at once").expect("answers").expect("signs");
    verifier(lane).open(&note).expect("a checkpoint")
}

fn page(lane: &Lane, order: Order, cursor: Option<Cursor>) -> Page {
    let query = query(Filter::default(), order, cursor, 100);
    lane.query(query, day(0)).expect("reads")
}

fn all_pages(lane: &Lane, order: Order) -> Vec<String> {
    let (mut lines, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(lane, order, cursor);
        lines.extend(page.lines);
        cursor = page.next;
        if cursor.is_none() {
            return lines;
        }
    }
}

fn bundle(lane: &Lane, number: u64, width: u64) -> Result<bool, Refusal> {
    let asked = GetBundle {
        epoch: 0,
        number,
        width,
        read: operator(Action::AuditRead),
    };
    let found = lane.bundle(asked, day(0)).expect("answers");
    found.map(|bundle| bundle.is_some())
}

pub fn archived_bundles(archive: &FakeArchive) -> Vec<String> {
    let mut names = archive.names();
    names.retain(|name| name.starts_with("lane/0/tile/entries/"));
    names
}

/// Proofs and tiles of what is gone and of what is not, by hashes that were known before.
pub fn expect_proven(lane: &Lane, heads: &[Head], leaves: &[Hash]) {
    let last = *heads.last().expect("a head");
    for head in heads.iter().filter(|head| head.size > 0) {
        let asked = GetConsistency {
            from: head.size,
            to: last.size,
        };
        let proof = lane.consistency(asked).expect("answers").expect("a tree");
        let hashes: Vec<Hash> = proof
            .expect("a proof")
            .hashes
            .into_iter()
            .map(Hash)
            .collect();
        assert!(verify_consistency(head, &last, &hashes));
    }
    for index in (0..last.size).step_by(97) {
        let asked = GetInclusion {
            index,
            size: last.size,
        };
        let proof = lane.inclusion(asked).expect("answers").expect("a tree");
        let hashes: Vec<Hash> = proof
            .expect("a proof")
            .hashes
            .into_iter()
            .map(Hash)
            .collect();
        let leaf = leaves[usize::try_from(index).expect("small")];
        assert!(verify_inclusion(leaf, index, &last, &hashes));
    }
    for number in 0..last.size / 256 {
        let asked = GetTile {
            epoch: 0,
            level: 0,
            number,
            width: 256,
        };
        let tile = lane.tile(asked).expect("answers").expect("a tree");
        let first = usize::try_from(number * 256).expect("small");
        let expected: Vec<u8> = leaves[first..first + 256]
            .iter()
            .flat_map(|leaf| leaf.0)
            .collect();
        assert_eq!(tile, Some(expected));
    }
}

/// 1000 old lines and 300 young ones, archived, and lines kept for 30 days.
fn aged(a_commit: u64) -> (Lane, FakeArchive) {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 1000, a_commit, day(1));
    grow(&lane, 1001, 300, a_commit, day(20));
    archive_all(&lane, &archive);
    keep(&lane, Some(30), false, day(21));
    (lane, archive)
}

#[test]
fn nothing_goes_without_an_age_nor_before_it() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 1000, 10, day(1));
    archive_all(&lane, &archive);
    prune_all(&lane, &archive, day(10_000));
    assert_eq!(kept(&lane), Kept::default());
    assert_eq!(lane.looks_at(), None, "an alarm for nothing");
    keep(&lane, Some(30), false, day(2));
    prune_all(&lane, &archive, day(31));
    assert_eq!(kept(&lane).pruned_to, 0);
    assert_eq!(lane.looks_at(), Some(UnixMillis(day(31).0 + LOOK_MS)));
    keep(&lane, None, false, day(32));
    prune_all(&lane, &archive, day(10_000));
    assert_eq!(kept(&lane).pruned_to, 0);
    assert!(stored(&lane).iter().all(|line| !line.is_empty()));
}

#[test]
fn full_archived_bundles_that_are_old_go_and_hashes_tiles_and_proofs_stay() {
    for a_commit in [1, 7, 100, 256, 900] {
        let (lane, archive) = aged(a_commit);
        let before = stored(&lane);
        let leaves: Vec<Hash> = before.iter().map(|line| leaf_hash(line)).collect();
        let head = signed(&lane, &archive, day(31));
        let tiles = archive.names().len() - archived_bundles(&archive).len();
        prune_all(&lane, &archive, UnixMillis(day(31).0 + 1));
        let now = kept(&lane);
        assert_eq!(
            (now.pruned_to, now.archive_pruned_to),
            (768, 768),
            "{a_commit}"
        );
        assert_eq!(now.pruned_until, Some(day(1)));
        let after = stored(&lane);
        assert!(after[..768].iter().all(Vec::is_empty));
        assert_eq!(after[768..before.len()], before[768..]);
        assert_eq!(
            archived_bundles(&archive),
            ["lane/0/tile/entries/003", "lane/0/tile/entries/004"]
        );
        assert_eq!(archive.names().len() - 2, tiles);
        // As before, and after a restart, which looks at the end of the log.
        let lane = lane.restarted(Some(ours()));
        let newer = signed(&lane, &archive, day(32));
        assert!(newer.size > head.size, "a line says what went");
        let since = stored(&lane).split_off(before.len());
        let mut leaves = leaves;
        leaves.extend(since.iter().map(|line| leaf_hash(line)));
        expect_proven(&lane, &[head, newer], &leaves);
    }
}

#[test]
fn readers_begin_at_the_first_line_that_is_kept_and_are_told() {
    let (lane, archive) = aged(100);
    prune_all(&lane, &archive, day(40));
    for order in [Order::Oldest, Order::Newest] {
        let beginning = Cursor { order, index: 5 };
        for cursor in [None, Some(beginning)] {
            assert_eq!(page(&lane, order, cursor).pruned_to, 768);
        }
        let lines = all_pages(&lane, order);
        let index = |line: &str| -> u64 {
            let said: serde_json::Value = serde_json::from_str(line).expect("JSON");
            said["index"].as_u64().expect("an index")
        };
        let mut indexes: Vec<u64> = lines.iter().map(|line| index(line)).collect();
        indexes.sort_unstable();
        let expected: Vec<u64> = (768..768 + indexes.len() as u64).collect();
        assert_eq!(indexes, expected);
    }
    let below = Cursor {
        order: Order::Newest,
        index: 100,
    };
    let nothing = page(&lane, Order::Newest, Some(below));
    assert_eq!((nothing.lines.len(), nothing.next), (0, None));
    for (number, width) in [(0, 256), (2, 256), (2, 17)] {
        assert_eq!(
            bundle(&lane, number, width),
            Err(Refusal::Pruned { to: 768 })
        );
    }
    assert_eq!(bundle(&lane, 3, 256), Ok(true));
    assert_eq!(bundle(&lane, 900, 256), Ok(false));
}

#[test]
fn the_log_says_what_went_and_who_changed_what() {
    let (lane, archive) = aged(100);
    let somebody = SubjectKey::from_bytes([9; 16]);
    hold(&lane, "case-1", Some(somebody), day(22));
    assert!(release(&lane, "case-1", day(23)));
    prune_all(&lane, &archive, day(40));
    let told: Vec<serde_json::Value> = stored(&lane)[1300..]
        .iter()
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let brief: Vec<String> = told
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {} {}",
                text("action"),
                text("reason"),
                line["detail"],
                text("subject")
            )
        })
        .collect();
    assert_eq!(
        brief,
        [
            "audit.retention_changed age_set {\"keep_days\":30} ".to_owned(),
            format!("audit.retention_changed hold_placed {{\"hold\":\"case-1\"}} {somebody}"),
            format!("audit.retention_changed hold_released {{\"hold\":\"case-1\"}} {somebody}"),
            "audit.pruned age {\"end_index\":768,\"first_index\":0} ".to_owned(),
        ]
    );
}

#[test]
fn what_is_not_archived_or_of_the_last_segment_stays_however_old() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 600, 100, day(1));
    keep(&lane, Some(30), false, day(2));
    prune_all(&lane, &archive, day(1000));
    assert_eq!(kept(&lane).pruned_to, 0, "it is not archived");
    archive_all(&lane, &archive);
    prune_all(&lane.restarted(Some(ours())), &archive, day(1000));
    // One commit, and so one segment, and it is the last.
    let lane = self::lane();
    let archive = FakeArchive::default();
    keep(&lane, Some(30), false, day(1));
    grow(&lane, 1, 900, 900, day(1));
    archive_all(&lane, &archive);
    prune_all(&lane, &archive, day(1000));
    assert_eq!(kept(&lane).pruned_to, 0, "it is the last");
    let lane = lane.restarted(Some(ours()));
    grow(&lane, 901, 1, 1, day(1000));
    prune_all(&lane, &archive, day(1000));
    assert_eq!(kept(&lane).pruned_to, 768);
}

#[test]
fn a_younger_line_keeps_all_behind_it_also_when_a_clock_went_back() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 300, 10, day(1));
    grow(&lane, 301, 1, 1, day(50));
    grow(&lane, 302, 700, 10, day(2));
    archive_all(&lane, &archive);
    keep(&lane, Some(30), false, day(51));
    prune_all(&lane, &archive, day(60));
    assert_eq!(kept(&lane).pruned_to, 256);
    // A clock that stands before the age is old enough for nothing.
    prune_all(&lane.restarted(Some(ours())), &archive, day(3));
}

#[test]
fn a_hold_of_anything_stops_everything_until_it_is_released() {
    let (lane, archive) = aged(100);
    let somebody = SubjectKey::from_bytes([9; 16]);
    let placed = hold(&lane, "case-1", Some(somebody), day(22));
    assert!(matches!(&placed, Placed::Placed(hold) if hold.placed_by == "admin"));
    assert_eq!(hold(&lane, "case-1", Some(somebody), day(23)), placed);
    assert_eq!(hold(&lane, "case-1", None, day(23)), Placed::Taken);
    prune_all(&lane, &archive, day(40));
    let lane = lane.restarted(Some(ours()));
    prune_all(&lane, &archive, day(40));
    assert_eq!(kept(&lane).pruned_to, 0);
    let retention = lane.retention(day(40)).expect("answers");
    assert_eq!((retention.holds.len(), retention.prunable_to), (1, 0));
    assert!(release(&lane, "case-1", day(40)));
    assert!(!release(&lane, "case-1", day(40)));
    prune_all(&lane, &archive, day(40));
    assert_eq!(kept(&lane).pruned_to, 768);
}

#[test]
fn a_hold_that_comes_before_the_bundles_are_removed_keeps_those() {
    let (lane, archive) = aged(100);
    archive.fail_nth(0, Fault::NotPersisted);
    assert!(prune(&lane, &archive, day(40)).is_err());
    assert_eq!(kept(&lane).pruned_to, 768);
    hold(&lane, "late", None, day(40));
    prune_all(&lane.restarted(Some(ours())), &archive, day(41));
    assert_eq!(archived_bundles(&archive).len(), 5);
}

#[test]
fn who_is_under_a_hold_is_known_and_a_hold_of_everything_is_of_everybody() {
    let lane = lane();
    let (one, other) = (
        SubjectKey::from_bytes([1; 16]),
        SubjectKey::from_bytes([2; 16]),
    );
    let held = |whom| retained::held(lane.sql(), whom).expect("reads");
    lane.ready().expect("migrates");
    assert!(!held(None) && !held(Some(one)));
    hold(&lane, "one", Some(one), day(1));
    assert!(held(None) && held(Some(one)) && !held(Some(other)));
    hold(&lane, "all", None, day(1));
    assert!(held(Some(other)));
    release(&lane, "one", day(2));
    release(&lane, "all", day(2));
    assert!(!held(None) && !held(Some(one)));
}

#[test]
fn a_dry_run_says_what_would_go_and_changes_nothing() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 1000, 100, day(1));
    grow(&lane, 1001, 300, 100, day(20));
    archive_all(&lane, &archive);
    let rows = lane.sql().rows_written();
    for (days, now, to) in [
        (Some(30), 31, 0),
        (Some(30), 32, 768),
        (Some(60), 40, 0),
        (Some(30), 51, 1024),
        (None, 1000, 0),
    ] {
        let told = keep(&lane, days, true, day(now));
        assert_eq!((told.days, told.prunable_to), (days, to), "{now}");
    }
    assert_eq!(lane.sql().rows_written(), rows);
    assert_eq!(kept(&lane), Kept::default());
    let set = SetRetention {
        days: Some(29),
        dry_run: false,
        event: operator(Action::RetentionChanged),
    };
    assert!(lane.set_retention(set, day(2)).is_err());
}

#[test]
fn a_long_backlog_goes_a_part_at_a_time_and_each_part_is_told() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 2000, 2, day(1));
    archive_all(&lane, &archive);
    keep(&lane, Some(30), false, day(2));
    let before = lane.sql().rows_written();
    prune(&lane, &archive, day(40)).expect("prunes");
    assert_eq!(kept(&lane).pruned_to, 1024);
    let rows = lane.sql().rows_written() - before;
    assert!(rows < 530, "{rows} rows");
    prune_all(&lane, &archive, day(40));
    assert_eq!(kept(&lane).pruned_to, 1792);
    assert_eq!(pruned_ranges(&stored(&lane)), [(0, 1024), (1024, 1792)]);
}

/// What the lines say that went.
pub fn pruned_ranges(lines: &[Vec<u8>]) -> Vec<(u64, u64)> {
    let of_line = |line: &Vec<u8>| {
        let line: serde_json::Value = serde_json::from_slice(line).ok()?;
        let number = |name: &str| line["detail"][name].as_u64();
        (line["action"] == "audit.pruned")
            .then(|| Some((number("first_index")?, number("end_index")?)))?
    };
    lines.iter().filter_map(of_line).collect()
}

#[test]
fn every_call_of_the_archive_and_of_storage_fails_both_ways_and_all_that_is_old_goes_once() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for (of_archive, nth) in (0..2)
            .map(|nth| (true, nth))
            .chain((0..45).map(|nth| (false, nth)))
        {
            let (mut lane, archive) = aged(100);
            let before = stored(&lane);
            if of_archive {
                archive.fail_nth(nth, fault);
            } else {
                lane.sql().fail_nth(nth, fault);
            }
            let mut now = day(40);
            for round in 0..8 {
                let _ = prune(&lane, &archive, now);
                now.0 += LOOK_MS;
                if round == 1 {
                    lane = lane.restarted(Some(ours()));
                }
            }
            archive.heal();
            lane.sql().heal();
            prune_all(&lane, &archive, now);
            let (after, now) = (stored(&lane), kept(&lane));
            assert_eq!((now.pruned_to, now.archive_pruned_to), (768, 768), "{nth}");
            assert!(after[..768].iter().all(Vec::is_empty));
            assert_eq!(after[768..before.len()], before[768..]);
            assert_eq!(pruned_ranges(&after), [(0, 768)]);
            assert_eq!(archived_bundles(&archive).len(), 2);
        }
    }
}

#[test]
fn what_another_log_has_in_the_archive_is_not_removed() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 600, 100, day(1));
    let name = "lane/0/tile/entries/001";
    let put = archive.put(name, b"another log's", None).now_or_never();
    assert!(matches!(put, Some(Ok(Some(_)))));
    let archived = lane.archive_tiles(&archive).now_or_never();
    assert!(archived.expect("at once").is_err());
    keep(&lane, Some(30), false, day(2));
    prune_all(&lane, &archive, day(100));
    assert_eq!(archived_bundles(&archive).len(), 2);
    assert_eq!(kept(&lane).pruned_to, 0);
}
