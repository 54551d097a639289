//! Exactly once: what comes again, otherwise, late or not at all, through faults, restarts and folds.

use super::memory::Memory;
use super::service::LaneService;
use super::store;
use super::tests::{NOW, all_kills, append, pack, query, read};
use crate::objects::host_sql::{Fault, HostSql};
use crate::objects::sql::{Sql, migrate};
use portcullis_core::audit::call::{Append, Appended, Aside, SetAside};
use portcullis_core::audit::event::Action;
use portcullis_core::audit::pack::Pack;
use portcullis_core::audit::query::{Filter, Order};
use portcullis_core::audit::remembered::{GRACE_SECS, SILENCE_SECS, WINDOW_SECS};
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub(super) type Lane = LaneService<HostSql>;

pub(super) const DAY_SECS: u64 = 24 * 3600;

pub(super) fn lane() -> Lane {
    LaneService::new(HostSql::new(), None)
}

pub(super) fn put(lane: &Lane, packs: Vec<Pack>, now: UnixMillis) -> Appended {
    let append = Append {
        received: now,
        packs,
    };
    lane.append(append, now).expect("appends")
}

/// The same identities with other content.
pub(super) fn forged(mut pack: Pack, reason: &str) -> Pack {
    for event in &mut pack.events {
        event.reason = Some(reason.to_owned());
    }
    pack
}

/// The lines of an action, oldest first.
fn lines_of(lane: &Lane, action: Action) -> Vec<Value> {
    let filter = Filter {
        action: Some(action),
        ..Filter::default()
    };
    let mut lines = Vec::new();
    let mut cursor = None;
    loop {
        let page = read(lane, query(filter.clone(), Order::Oldest, cursor, 500));
        let parsed = page
            .lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.extend(parsed);
        cursor = page.next;
        if cursor.is_none() {
            return lines;
        }
    }
}

/// What lines of the log itself say of sequences: (producer, first, last).
pub(super) fn sequences(lane: &Lane, action: Action) -> Vec<(String, u64, u64)> {
    let of_line = |line: &Value| {
        let detail = &line["detail"];
        (
            detail["producer"].as_str().expect("a producer").to_owned(),
            detail["first_sequence"].as_u64().expect("a sequence"),
            detail["last_sequence"].as_u64().expect("a sequence"),
        )
    };
    lines_of(lane, action).iter().map(of_line).collect()
}

pub(super) fn name(producer: u8) -> String {
    ProducerId::from_bytes([producer; 16]).to_string()
}

/// Rings the alarm at each time that it is set for, up to `until`.
pub(super) fn ring_until(lane: &Lane, until: UnixMillis) {
    lane.keep_up(NOW).expect("keeps up");
    for _ in 0..10_000 {
        match lane.next_work() {
            Some(at) if at <= until => lane.keep_up(at).expect("keeps up"),
            _ => return,
        }
    }
    panic!("the alarm does not come to rest");
}

/// What the instance knows is what another that begins now would load.
pub(super) fn assert_memory_is_what_is_stored(lane: &Lane) {
    let memory = lane.memory.borrow();
    if let Some(memory) = memory.as_ref() {
        let end = store::next_index(lane.sql()).expect("an end");
        if memory.end() != end {
            // It is thrown away before it is used: the transaction was rolled back.
            assert!(memory.end() > end);
            return;
        }
        let fresh = Memory::load(lane.sql(), end).expect("loads");
        memory.assert_same(&fresh, lane.sql());
    }
}

#[test]
fn a_duplicate_at_once_or_13_days_later_gets_the_index_that_it_has() {
    let lane = lane();
    let first = put(&lane, vec![pack(1, 1, 3), pack(2, 1, 2)], NOW);
    assert_eq!(first.first_indexes, [Some(0), Some(3)]);
    let before = all_kills(&lane);
    let at_once = put(&lane, vec![pack(2, 1, 2)], NOW);
    assert_eq!(
        (at_once.new_events, &at_once.first_indexes[..]),
        (0, &[Some(3)][..])
    );
    ring_until(&lane, NOW.plus_secs(13 * DAY_SECS));
    let lane = lane.restarted(None);
    let later = NOW.plus_secs(13 * DAY_SECS);
    let rows = lane.sql().rows_written();
    let packs = vec![pack(1, 1, 3), pack(2, 2, 1), pack(1, 3, 1)];
    let again = put(&lane, packs, later);
    assert_eq!(again.first_indexes, [Some(0), Some(4), Some(2)]);
    assert_eq!((again.new_events, again.set_aside.len()), (0, 0));
    assert_eq!(
        lane.sql().rows_written(),
        rows,
        "a duplicate writes nothing"
    );
    assert_eq!(all_kills(&lane), before);
}

#[test]
fn a_pack_of_which_a_part_is_known_gets_the_rest_in() {
    let lane = lane();
    put(&lane, vec![pack(1, 3, 2)], NOW);
    let whole = put(&lane, vec![pack(1, 1, 6)], NOW);
    assert_eq!(whole.first_indexes, [Some(2)]);
    assert_eq!(whole.new_events, 4);
    let sequences: Vec<_> = lines_of(&lane, Action::Kill)
        .iter()
        .map(|line| line["sequence"].as_u64().expect("a sequence"))
        .collect();
    // A late event is appended: nothing is put in between.
    assert_eq!(sequences, [3, 4, 1, 2, 5, 6]);
}

#[test]
fn the_same_identity_with_other_bytes_is_given_back_and_logged_once_and_nothing_is_overwritten() {
    let lane = lane();
    put(&lane, vec![pack(1, 1, 4)], NOW);
    let before = all_kills(&lane);
    let mut mixed = pack(1, 1, 4);
    mixed.events[1].reason = Some("other".to_owned());
    mixed.events[2].reason = Some("other".to_owned());
    let conflict = |pack, sequence| Aside {
        pack,
        sequence,
        why: SetAside::Conflict,
    };
    for _ in 0..3 {
        let answer = put(&lane, vec![pack(1, 1, 1), mixed.clone()], NOW);
        assert_eq!(answer.set_aside, [conflict(1, 2), conflict(1, 3)]);
        assert_eq!(answer.first_indexes, [Some(0), Some(0)]);
        assert_eq!(answer.new_events, 0);
        assert_memory_is_what_is_stored(&lane);
    }
    let lane = lane.restarted(None);
    put(&lane, vec![mixed], NOW);
    assert_eq!(sequences(&lane, Action::AuditConflict), [(name(1), 2, 3)]);
    let other = put(&lane, vec![forged(pack(1, 2, 1), "a third")], NOW);
    assert_eq!(other.set_aside, [conflict(0, 2)]);
    assert_eq!(other.first_indexes, [None]);
    assert_eq!(sequences(&lane, Action::AuditConflict).len(), 2);
    assert_eq!(all_kills(&lane), before);
}

#[test]
fn two_that_differ_in_one_call_are_a_conflict_and_the_first_stays() {
    let lane = lane();
    let packs = vec![pack(1, 1, 2), forged(pack(1, 2, 2), "other"), pack(1, 1, 3)];
    let answer = put(&lane, packs, NOW);
    let conflicts: Vec<_> = answer
        .set_aside
        .iter()
        .map(|aside| (aside.pack, aside.sequence))
        .collect();
    // The third pack has sequence 3 otherwise than the second, which came first.
    assert_eq!(conflicts, [(1, 2), (2, 3)]);
    assert_eq!(answer.new_events, 3);
    assert_memory_is_what_is_stored(&lane);
}

#[test]
fn an_event_that_comes_after_the_window_is_set_aside_and_never_guessed() {
    let lane = lane();
    let now = NOW.plus_secs(2 * WINDOW_SECS);
    let mut old = pack(1, 1, 4);
    let horizon = UnixMillis(now.0 - WINDOW_SECS * 1000);
    for (event, at) in old
        .events
        .iter_mut()
        .zip([horizon.0 - 1, horizon.0, now.0, 0])
    {
        event.occurred = UnixMillis(at);
    }
    let answer = put(&lane, vec![old], now);
    let too_old = |sequence| Aside {
        pack: 0,
        sequence,
        why: SetAside::TooOld,
    };
    assert_eq!(answer.set_aside, [too_old(1), too_old(4)]);
    assert_eq!(
        (answer.new_events, &answer.first_indexes[..]),
        (2, &[None][..])
    );
    assert_eq!(all_kills(&lane).len(), 2);
}

#[test]
fn gaps_are_logged_once_each_an_hour_after_they_were_noticed_and_a_late_event_is_appended() {
    let lane = lane();
    put(
        &lane,
        vec![pack(1, 3, 2), pack(1, 8, 1), pack(2, 1, 2)],
        NOW,
    );
    // The hole is filled before it is due.
    put(&lane, vec![pack(1, 6, 1)], NOW.plus_secs(60));
    let folded = NOW.plus_secs(GRACE_SECS);
    ring_until(&lane, folded);
    put(&lane, vec![pack(1, 7, 1)], folded.plus_secs(60));
    let lane = lane.restarted(None);
    ring_until(&lane, UnixMillis(folded.plus_secs(GRACE_SECS).0 - 1));
    assert_eq!(sequences(&lane, Action::AuditGap), []);
    ring_until(&lane, NOW.plus_secs(20 * DAY_SECS));
    let gaps = [(name(1), 1, 2), (name(1), 5, 5)];
    assert_eq!(sequences(&lane, Action::AuditGap), gaps);
    let filling = put(&lane, vec![pack(1, 2, 1)], NOW.plus_secs(20 * DAY_SECS));
    assert_eq!((filling.new_events, filling.set_aside.len()), (1, 0));
    assert!(filling.first_indexes[0].is_some_and(|index| index > 8));
    put(&lane, vec![pack(1, 12, 1)], NOW.plus_secs(20 * DAY_SECS));
    ring_until(&lane, NOW.plus_secs(40 * DAY_SECS));
    let mut all = gaps.to_vec();
    all.push((name(1), 9, 11));
    assert_eq!(sequences(&lane, Action::AuditGap), all);
    assert_memory_is_what_is_stored(&lane);
}

#[test]
fn who_was_silent_for_long_is_mostly_forgotten_and_goes_on_where_it_was() {
    let lane = lane();
    put(&lane, vec![pack(1, 1, 2), pack(1, 5, 1)], NOW);
    ring_until(&lane, NOW.plus_secs(SILENCE_SECS + 3 * DAY_SECS));
    let notes = "SELECT 1 FROM producer WHERE notes IS NOT NULL AND producer = ?";
    let of = ProducerId::from_bytes([1; 16]);
    let kept = lane.sql().exec(notes, &[of.as_bytes().into()]);
    assert_eq!(kept.expect("reads"), []);
    let now = NOW.plus_secs(SILENCE_SECS + 3 * DAY_SECS);
    let again = put(&lane, vec![pack(1, 2, 1), pack(1, 4, 1)], now);
    assert_eq!(again.set_aside.len(), 2);
    let mut next = pack(1, 6, 1);
    next.events[0].occurred = now;
    assert_eq!(put(&lane, vec![next], now).new_events, 1);
    ring_until(&lane, now.plus_secs(3 * DAY_SECS));
    assert_eq!(sequences(&lane, Action::AuditGap), [(name(1), 3, 4)]);
}

#[test]
fn order_is_the_index_even_if_the_lanes_clock_goes_back() {
    let lane = lane();
    put(&lane, vec![pack(1, 1, 1)], NOW);
    put(&lane, vec![pack(1, 2, 1)], UnixMillis(NOW.0 - 500_000));
    let lane = lane.restarted(None);
    put(&lane, vec![pack(1, 3, 1)], UnixMillis(NOW.0 - 900_000));
    let lines = lines_of(&lane, Action::Kill);
    let seen: Vec<_> = lines
        .iter()
        .map(|line| (line["index"].as_u64(), line["sequence"].as_u64()))
        .collect();
    assert_eq!(
        seen,
        [(Some(0), Some(1)), (Some(1), Some(2)), (Some(2), Some(3))]
    );
    let committed: Vec<_> = lines
        .iter()
        .map(|line| line["committed"].as_str())
        .collect();
    assert!(committed[0] > committed[1] && committed[1] > committed[2]);
    assert_eq!(put(&lane, vec![pack(1, 1, 3)], NOW).new_events, 0);
}

#[test]
fn a_commit_that_did_not_happen_leaves_nothing_and_one_that_did_is_known() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane();
            put(&lane, vec![pack(1, 1, 1)], NOW);
            lane.sql().fail_nth(nth, fault);
            let packs = vec![pack(1, 2, 2), pack(2, 1, 1), forged(pack(1, 1, 1), "other")];
            let failed = lane.append(append(packs.clone()), NOW).is_err();
            let waiting = lane.sql().heal();
            assert!(failed || waiting, "{nth}: a fault that nobody saw");
            assert_memory_is_what_is_stored(&lane);
            // The object is evicted, or it is not.
            let lane = if nth % 2 == 0 {
                lane
            } else {
                lane.restarted(None)
            };
            let kills = all_kills(&lane).len();
            assert!(kills == 1 || kills == 4, "{nth}: a part of a commit");
            let again = put(&lane, packs, NOW);
            assert_eq!(again.set_aside.len(), 1);
            assert_eq!(all_kills(&lane).len(), 4);
            assert_eq!(sequences(&lane, Action::AuditConflict).len(), 1);
            if waiting {
                assert!(nth > 5, "only {nth} calls");
                break;
            }
        }
    }
}

#[test]
fn every_storage_call_of_the_alarm_fails_both_ways_and_each_gap_is_logged_once() {
    for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
        for nth in 0.. {
            let lane = lane();
            put(&lane, vec![pack(1, 2, 1), pack(2, 3, 1)], NOW);
            let folded = NOW.plus_secs(GRACE_SECS);
            let due = folded.plus_secs(GRACE_SECS);
            lane.sql().fail_nth(nth, fault);
            let first = lane.keep_up(folded);
            let second = lane.keep_up(due);
            let waiting = lane.sql().heal();
            assert!(first.is_err() || second.is_err() || waiting, "{nth}");
            assert_memory_is_what_is_stored(&lane);
            let lane = if nth % 2 == 0 {
                lane
            } else {
                lane.restarted(None)
            };
            ring_until(&lane, due.plus_secs(2 * DAY_SECS));
            assert_memory_is_what_is_stored(&lane);
            let gaps = [(name(1), 1, 1), (name(2), 1, 2)];
            assert_eq!(sequences(&lane, Action::AuditGap), gaps, "{nth}");
            if waiting {
                assert!(nth > 15, "only {nth} calls");
                break;
            }
        }
    }
}

#[test]
fn a_hundred_events_of_twenty_producers_write_no_more_than_a_twentieth_of_a_row_each_with_folds() {
    let lane = lane();
    put(&lane, vec![pack(99, 1, 1)], NOW);
    let before = lane.sql().rows_written();
    let commits = 640;
    for commit in 0..commits {
        let packs = (0..20)
            .map(|producer| pack(producer, 1 + commit * 5, 5))
            .collect();
        put(&lane, packs, NOW);
    }
    let rows = lane.sql().rows_written() - before;
    let events = commits * 100;
    // A segment a commit, upper tiles, and after 64 segments the producers and how far they are.
    assert!(
        rows <= commits + events / 256 + 1 + (commits / 64 + 1) * 22,
        "{rows} rows"
    );
    assert!(rows * 20 <= events, "{rows} rows for {events} events");
    assert_memory_is_what_is_stored(&lane);
}

#[test]
fn what_an_instance_keeps_is_bounded() {
    let lane = lane();
    for commit in 0..30u64 {
        let packs = (0..200u64).map(|n| Pack {
            producer: ProducerId::from_bytes(
                [commit.to_be_bytes(), n.to_be_bytes()]
                    .concat()
                    .try_into()
                    .expect("16"),
            ),
            ..pack(1, 1, 1)
        });
        put(&lane, packs.collect(), NOW);
        let memory = lane.memory.borrow();
        assert!(memory.as_ref().expect("memory").producers_kept() <= 2200);
    }
    assert_memory_is_what_is_stored(&lane);
}

#[test]
fn a_lane_from_before_there_were_notes_knows_what_it_has() {
    let sql = HostSql::new();
    migrate(&sql, &store::MIGRATIONS[..3]).expect("migrates");
    let producer = ProducerId::from_bytes([1; 16]);
    sql.exec(
        "INSERT INTO producer (producer, ranges) VALUES (?, ?)",
        &[producer.as_bytes().into(), vec![1u8, 1, 1, 3].into()],
    )
    .expect("inserts");
    let lane = LaneService::new(sql, None);
    let answer = put(&lane, vec![pack(1, 2, 4)], NOW);
    assert_eq!(answer.new_events, 2);
    let whys: Vec<_> = answer
        .set_aside
        .iter()
        .map(|aside| (aside.sequence, aside.why))
        .collect();
    assert_eq!(whys, [(2, SetAside::TooOld), (3, SetAside::TooOld)]);
    let again = put(&lane, vec![pack(1, 4, 2)], NOW);
    assert_eq!(again.first_indexes, [Some(0)]);
    assert_memory_is_what_is_stored(&lane);
}

/// What is done to a lane.
#[derive(Clone, Debug)]
enum Step {
    /// Packs come, as (producer, first, count, whether another says so).
    Append(Vec<(u8, u64, u64, bool)>),
    /// Time goes on, and the alarm rings.
    Ring(u64),
    /// The object is evicted.
    Restart,
    /// Many small commits, so that folds come by their number.
    Many(u8, u64),
}

fn steps() -> impl Strategy<Value = Vec<(Step, u32, bool)>> {
    let packs = prop::collection::vec((0u8..3, 1u64..24, 1u64..5, prop::bool::weighted(0.1)), 1..5);
    let step = prop_oneof![
        8 => packs.prop_map(Step::Append),
        2 => (0u64..3 * GRACE_SECS).prop_map(Step::Ring),
        1 => Just(Step::Restart),
        1 => (0u8..3, 1u64..24).prop_map(|(producer, first)| Step::Many(producer, first)),
    ];
    prop::collection::vec((step, 0u32..60, any::<bool>()), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Producers send what they like, in parts, again and out of order; storage fails, and objects are evicted.
    #[test]
    fn nothing_is_lost_nothing_is_there_twice_and_gaps_are_those_that_are(steps in steps()) {
        let mut lane = lane();
        let mut now = NOW;
        let mut sent = BTreeSet::new();
        let mut acknowledged: BTreeMap<(String, u64), Option<u64>> = BTreeMap::new();
        for (step, nth, persisted) in steps {
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            match step {
                Step::Append(packs) => {
                    let packs: Vec<Pack> = packs
                        .into_iter()
                        .map(|(producer, first, count, forge)| {
                            let pack = pack(producer, first, count);
                            if forge { forged(pack, "other") } else { pack }
                        })
                        .collect();
                    let ids: Vec<Vec<_>> = packs
                        .iter()
                        .map(|pack| {
                            let all = pack.first_sequence..=pack.last_sequence();
                            all.map(|sequence| (pack.producer.to_string(), sequence)).collect()
                        })
                        .collect();
                    sent.extend(ids.iter().flatten().cloned());
                    lane.sql().fail_nth(nth, fault);
                    let answer = lane.append(Append { received: now, packs }, now);
                    lane.sql().heal();
                    if let Ok(answer) = answer {
                        for (number, (ids, first_index)) in ids.into_iter().zip(answer.first_indexes).enumerate() {
                            for (at, id) in ids.into_iter().enumerate() {
                                // What was set aside is in the log, too, otherwise: nothing here is too old.
                                let first = first_index.filter(|_| at == 0);
                                let aside = |aside: &&Aside| (aside.pack as usize, aside.sequence) == (number, id.1);
                                if let Some(aside) = answer.set_aside.iter().find(aside) {
                                    prop_assert_eq!(aside.why, SetAside::Conflict);
                                } else if at == 0 {
                                    prop_assert!(first.is_some());
                                }
                                let known = acknowledged.entry(id).or_insert(None);
                                prop_assert!(first.is_none() || known.is_none() || first == *known, "another index");
                                *known = known.or(first);
                            }
                        }
                    }
                }
                Step::Many(producer, first) => {
                    for _ in 0..70 {
                        let other = 100 + producer;
                        let next = sent.range((name(other), 0)..(name(other), u64::MAX)).count() as u64 + 1;
                        sent.insert((name(other), next));
                        sent.insert((name(producer), first));
                        let packs = vec![pack(other, next, 1), pack(producer, first, 1)];
                        lane.append(Append { received: now, packs }, now).expect("appends");
                        acknowledged.entry((name(other), next)).or_insert(None);
                        acknowledged.entry((name(producer), first)).or_insert(None);
                    }
                }
                Step::Ring(secs) => {
                    now = now.plus_secs(secs);
                    lane.sql().fail_nth(nth, fault);
                    let _ = lane.keep_up(now);
                    lane.sql().heal();
                }
                Step::Restart => lane = lane.restarted(None),
            }
            assert_memory_is_what_is_stored(&lane);
        }
        ring_until(&lane, now.plus_secs(3 * GRACE_SECS));
        assert_memory_is_what_is_stored(&lane);

        let mut logged = BTreeMap::new();
        for line in lines_of(&lane, Action::Kill) {
            let id = (line["producer"].as_str().unwrap().to_owned(), line["sequence"].as_u64().unwrap());
            prop_assert!(logged.insert(id, line["index"].as_u64().unwrap()).is_none(), "twice");
        }
        for (id, index) in &acknowledged {
            prop_assert!(logged.contains_key(id), "{:?} is lost", id);
            prop_assert!(index.is_none_or(|index| logged[id] == index), "another index");
        }
        prop_assert!(logged.keys().all(|id| sent.contains(id)));

        // Each hole that there is was logged; what was logged was a hole then, and is logged once.
        let mut told = BTreeSet::new();
        for (producer, first, last) in sequences(&lane, Action::AuditGap) {
            for sequence in first..=last {
                prop_assert!(told.insert((producer.clone(), sequence)), "a gap is logged twice");
            }
        }
        let mut last_of: BTreeMap<&str, u64> = BTreeMap::new();
        for (producer, sequence) in logged.keys() {
            let last = last_of.entry(producer).or_default();
            *last = (*last).max(*sequence);
        }
        for (producer, last) in last_of {
            for sequence in 1..last {
                let id = (producer.to_owned(), sequence);
                prop_assert!(logged.contains_key(&id) || told.contains(&id), "{:?} is missing and no gap", id);
            }
        }
    }
}
