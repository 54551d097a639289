//! What comes again long after: where it is, a producer's row says no more.

use super::ingest_tests::{
    DAY_SECS, Lane, assert_memory_is_what_is_stored, forged, lane, name, put, ring_until, sequences,
};
use super::tests::{NOW, all_kills, pack};
use crate::objects::host_sql::Fault;
use crate::objects::sql::Sql;
use portcullis_core::audit::call::{Appended, SetAside};
use portcullis_core::audit::event::Action;
use portcullis_core::audit::remembered::{GRACE_SECS, MAX_RUNS, SILENCE_SECS};

/// Two producers by turns, so that no two lines of one follow each other.
fn by_turns(lane: &Lane, first: u64, commits: u64) {
    for n in first..first + commits {
        put(lane, vec![pack(1, n, 1), pack(2, n, 1)], NOW);
    }
}

fn shelves(lane: &Lane) -> usize {
    let rows = lane.sql().exec("SELECT id FROM shelf", &[]);
    rows.expect("reads").len()
}

fn whys(appended: &Appended) -> Vec<(u64, SetAside)> {
    let of = appended.set_aside.iter();
    of.map(|aside| (aside.sequence, aside.why)).collect()
}

#[test]
fn what_comes_again_after_thousands_of_others_is_compared_with_its_line() {
    let lane = lane();
    let commits = 3 * MAX_RUNS as u64;
    by_turns(&lane, 1, commits);
    assert!(shelves(&lane) >= 4, "{}", shelves(&lane));
    assert_memory_is_what_is_stored(&lane);
    let lane = lane.restarted(None);
    let middle = commits / 2;
    let again = vec![pack(1, 1, 2), pack(2, middle, 2), pack(1, commits, 1)];
    let again = put(&lane, again, NOW);
    let expected = [0, 2 * middle - 1, 2 * commits - 2];
    assert_eq!(again.first_indexes, expected.map(Some));
    assert_eq!((again.new_events, again.set_aside.len()), (0, 0));
    let other = put(&lane, vec![forged(pack(2, middle, 1), "another")], NOW);
    assert_eq!(whys(&other), [(middle, SetAside::Conflict)]);
    assert_eq!(all_kills(&lane).len() as u64, 2 * commits);
    let conflicts = sequences(&lane, Action::AuditConflict);
    assert_eq!(conflicts, [(name(2), middle, middle)]);
}

#[test]
fn where_it_is_is_known_for_the_window_and_removed_a_part_at_a_time() {
    let lane = lane();
    by_turns(&lane, 1, 2 * MAX_RUNS as u64);
    let shelved = shelves(&lane);
    assert!(shelved > 0);
    // Both go on, so that they are not silent.
    let later = NOW.plus_secs((SILENCE_SECS / DAY_SECS - 1) * DAY_SECS);
    let goes_on = |sequence: u64, now| {
        for producer in [1, 2] {
            let mut next = pack(producer, sequence, 1);
            next.events[0].occurred = now;
            put(&lane, vec![next], now);
        }
    };
    ring_until(&lane, later);
    goes_on(2 * MAX_RUNS as u64 + 1, later);
    ring_until(&lane, later);
    assert_eq!(shelves(&lane), shelved);
    let again = put(&lane, vec![pack(1, 1, 1)], later);
    assert_eq!((again.first_indexes, again.new_events), (vec![Some(0)], 0));
    ring_until(&lane, later.plus_secs(3 * DAY_SECS));
    assert_eq!(shelves(&lane), 0);
    let again = put(&lane, vec![pack(1, 1, 1)], later.plus_secs(3 * DAY_SECS));
    assert_eq!(whys(&again), [(1, SetAside::TooOld)]);
}

#[test]
fn a_search_among_shelves_that_overlap_is_bounded_and_what_it_does_not_find_is_set_aside() {
    let lane = lane();
    by_turns(&lane, 1, 2 * MAX_RUNS as u64);
    let nearer = "INSERT INTO shelf (producer, first_sequence, last_sequence, seen, runs) \
                  VALUES (?, 1, 2, 0, x'0100')";
    let of = [1u8; 16].to_vec();
    for overlapping in 1..=8 {
        let again = put(&lane, vec![pack(1, 1, 1)], NOW);
        assert_eq!(again.first_indexes, [Some(0)], "{overlapping}");
        let added = lane.sql().exec(nearer, &[of.clone().into()]);
        added.expect("writes");
    }
    let again = put(&lane, vec![pack(1, 1, 1)], NOW);
    assert_eq!(whys(&again), [(1, SetAside::TooOld)]);
}

#[test]
fn every_storage_call_of_a_fold_that_puts_places_aside_fails_both_ways_and_none_is_lost() {
    let runs = MAX_RUNS as u64 + 1;
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane();
            let by_turns = (1..=runs).flat_map(|n| [pack(1, n, 1), pack(2, n, 1)]);
            put(&lane, by_turns.collect(), NOW);
            assert_eq!(shelves(&lane), 0);
            lane.sql().fail_nth(nth, fault);
            // An hour later the alarm folds.
            let folded = lane.keep_up(NOW.plus_secs(GRACE_SECS));
            let waiting = lane.sql().heal();
            assert!(folded.is_err() || waiting, "{nth}");
            assert_memory_is_what_is_stored(&lane);
            let lane = if nth % 2 == 0 {
                lane
            } else {
                lane.restarted(None)
            };
            ring_until(&lane, NOW.plus_secs(2 * DAY_SECS));
            assert_memory_is_what_is_stored(&lane);
            assert_eq!(shelves(&lane), 2, "{nth}");
            let again = vec![pack(1, 1, 1), pack(2, runs, 1), pack(1, runs / 2, 1)];
            let again = put(&lane, again, NOW);
            let expected = [0, 2 * runs - 1, 2 * (runs / 2 - 1)].map(Some);
            assert_eq!(again.first_indexes, expected, "{nth}");
            if waiting {
                assert!(nth > 5, "only {nth} calls");
                break;
            }
        }
    }
}
