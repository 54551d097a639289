//! A lane through time, holds, restarts and failures in any order: what goes is what may, and all that was signed is proven.

use super::archive_tests::FakeArchive;
use super::retained;
use super::retention_tests::{
    archive_all, archived_bundles, day, expect_proven, kept, operator, prune, prune_all,
    pruned_ranges, stored,
};
use super::store;
use super::tests::{append, pack};
use super::tree::Stored;
use super::tree_tests::{Lane, lane, ours, reckoned, verifier};
use crate::objects::host_sql::Fault;
use futures::FutureExt;
use portcullis_core::audit::event::Action;
use portcullis_core::audit::export::verify::{Files, verify};
use portcullis_core::audit::export::write::{Writer, subtrees};
use portcullis_core::audit::log::proof::Tree;
use portcullis_core::audit::log::{Hash, leaf_hash};
use portcullis_core::audit::retention::{
    DAY_MS, PlaceHold, ReleaseHold, SetRetention, committed_at,
};
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

/// Verifies an export of the lines from `first` on, as somebody has it who was never at the service.
fn expect_verified_export(lane: &Lane, first: u64, note: &[u8]) {
    let key = verifier(lane);
    let head = key.open(note).expect("a checkpoint");
    let tiles = Stored(lane.sql());
    let tree = Tree::new(head, &tiles);
    let origin = key.origin().as_str().to_owned();
    let writer = Writer::begin(Vec::new(), Vec::new(), &origin, head.size);
    let mut writer = writer.expect("writes to memory");
    for (height, number) in subtrees(0, first) {
        let root = tree.subtree(height, number).expect("a subtree");
        writer.others(height, root).expect("writes");
    }
    let range = usize::try_from(first).expect("small")..usize::try_from(head.size).expect("small");
    for line in stored(lane).get(range).expect("lines") {
        writer.line(line).expect("writes");
    }
    let (done, events, proofs) = writer.finish(&head).expect("the tree of the checkpoint");
    assert_eq!(done.lines, head.size - first);
    let files = Files {
        manifest: b"",
        checkpoint: note,
        events: &*events,
        proofs: &*proofs,
    };
    let report = verify(files, &key, &mut |_| ()).expect("reads from memory");
    // There is no manifest here, and nothing else is wrong.
    assert_eq!(report.faults.len(), 1, "{:?}", report.faults);
    assert_eq!(report.lines, head.size - first);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u64, u64),
    Wait(u64),
    Keep(Option<u32>),
    Hold(u8),
    Release(u8),
    Archive,
    Prune,
    Sign,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..400, 1u64..120).prop_map(|(lines, a_commit)| Step::Append(lines, a_commit)),
        3 => (1u64..25).prop_map(Step::Wait),
        2 => prop::option::weighted(0.8, 30u32..60).prop_map(Step::Keep),
        1 => (0u8..2).prop_map(Step::Hold),
        2 => (0u8..2).prop_map(Step::Release),
        3 => Just(Step::Archive),
        5 => Just(Step::Prune),
        1 => Just(Step::Sign),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Everything that can happen, in any order, with a failure in most steps: what goes is old, archived and under no
    /// hold, is told, and all that was signed is proven as before.
    #[test]
    fn whatever_happens_only_what_is_old_and_free_goes_and_everything_is_still_proven(
        steps in prop::collection::vec(
            (step(), prop::option::weighted(0.4, (0u32..30, any::<bool>(), any::<bool>()))), 1..40),
    ) {
        let (mut lane, archive) = (lane(), FakeArchive::default());
        lane.ready().expect("migrates");
        // Every line there ever was.
        let mut known: Vec<Vec<u8>> = Vec::new();
        let (mut heads, mut next, mut now) = (Vec::new(), 1, day(100));
        for (step, failure) in steps {
            let before = kept(&lane);
            let was_held = retained::held(lane.sql(), None).expect("reads");
            if let Some((nth, persisted, of_archive)) = failure {
                let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
                if of_archive {
                    archive.fail_nth(nth % 3, fault);
                } else {
                    lane.sql().fail_nth(nth, fault);
                }
            }
            let name = |n: u8| format!("case-{n}");
            match &step {
                Step::Append(lines, a_commit) => {
                    let mut left = *lines;
                    while left > 0 {
                        let events = left.min(*a_commit);
                        if lane.append(append(vec![pack(1, next, events)]), now).is_err() {
                            break;
                        }
                        next += events;
                        left -= events;
                    }
                }
                Step::Wait(days) => now.0 += days * DAY_MS,
                Step::Keep(days) => {
                    let event = operator(Action::RetentionChanged);
                    let set = SetRetention { days: *days, dry_run: false, event };
                    let _ = lane.set_retention(set, now);
                }
                Step::Hold(n) => {
                    let subject = (*n == 0).then(|| SubjectKey::from_bytes([1; 16]));
                    let event = operator(Action::RetentionChanged);
                    let _ = lane.place_hold(PlaceHold { name: name(*n), subject, event }, now);
                }
                Step::Release(n) => {
                    let event = operator(Action::RetentionChanged);
                    let _ = lane.release_hold(ReleaseHold { name: name(*n), event }, now);
                }
                Step::Archive => drop(lane.archive_tiles(&archive).now_or_never()),
                Step::Prune => drop(prune(&lane, &archive, now)),
                Step::Sign => {
                    let note = lane.checkpoint(&archive, now).now_or_never();
                    lane.sql().heal();
                    if let Some(Ok(Ok(note))) = note {
                        heads.push(verifier(&lane).open(&note).expect("a checkpoint"));
                    }
                }
                Step::Restart => lane = lane.restarted(Some(ours())),
            }
            archive.heal();
            lane.sql().heal();

            let (after, lines) = (kept(&lane), stored(&lane));
            prop_assert!(after.pruned_to >= before.pruned_to && after.archive_pruned_to <= after.pruned_to);
            prop_assert!(after.pruned_to.is_multiple_of(256));
            for (index, line) in (0u64..).zip(&lines) {
                match known.get(usize::try_from(index).expect("small")) {
                    Some(known) if index >= after.pruned_to => prop_assert_eq!(line, known),
                    Some(known) => {
                        prop_assert!(line.is_empty());
                        if index >= before.pruned_to {
                            let age = now.0 - committed_at(known).expect("a time").0;
                            prop_assert!(matches!(step, Step::Prune) && !was_held);
                            prop_assert!(before.keep_ms.is_some_and(|keep_ms| age > keep_ms));
                        }
                    }
                    None => known.push(line.clone()),
                }
            }
            // The archive has each bundle that it ever had, but for those that are gone here.
            let archived = store::archived_tiles(lane.sql()).expect("reads");
            prop_assert!(after.pruned_to <= archived * 256);
            for number in after.pruned_to / 256..archived {
                let name = format!("lane/0/tile/entries/{number:03}");
                prop_assert!(archive.bytes(&name).is_some(), "{} is not there", name);
            }
            for number in 0..archived {
                let name = format!("lane/0/tile/0/{number:03}");
                prop_assert!(archive.bytes(&name).is_some(), "{} is not there", name);
            }
        }
        // All that may go goes.
        lane = lane.restarted(Some(ours()));
        archive_all(&lane, &archive);
        prune_all(&lane, &archive, now);
        archive_all(&lane, &archive);
        let (at_last, lines) = (kept(&lane), stored(&lane));
        known.extend(lines.iter().skip(known.len()).cloned());
        let retention = lane.retention(now).expect("answers");
        prop_assert_eq!(retention.prunable_to, at_last.pruned_to);
        // What is told to be gone is what is gone, each once.
        let ranges = pruned_ranges(&known);
        let end = ranges.iter().try_fold(0, |at, (first, end)| (at == *first).then_some(*end));
        prop_assert_eq!(end, Some(at_last.pruned_to));
        if !retained::held(lane.sql(), None).expect("reads") {
            prop_assert_eq!(at_last.archive_pruned_to, at_last.pruned_to);
            let first = archived_bundles(&archive).into_iter().next();
            let expected = format!("lane/0/tile/entries/{:03}", at_last.pruned_to / 256);
            prop_assert!(first.is_none_or(|first| first == expected));
        }
        let note = lane.checkpoint(&archive, UnixMillis(now.0 + 100_000)).now_or_never();
        let note = note.expect("at once").expect("answers").expect("signs");
        let last = verifier(&lane).open(&note).expect("a checkpoint");
        prop_assert_eq!(reckoned(&known), last);
        heads.push(last);
        let leaves: Vec<Hash> = known.iter().map(|line| leaf_hash(line)).collect();
        expect_proven(&lane, &heads, &leaves);
        expect_verified_export(&lane, at_last.pruned_to, &note);
    }
}
