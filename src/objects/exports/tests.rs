//! Exports through failures of storage, lane and bucket, both ways, and restarts in between.

use super::world::{World, by_hand, expect_good, kills_only, mixed, start};
use crate::objects::host_sql::Fault;
use crate::objects::lane::epochs_tests::{begun, copied};
use crate::objects::lane::tests::NOW;
use crate::objects::lane::tree_tests::{add, lane, lane_of};
use crate::objects::sql::Sql;
use portcullis_core::audit::export::call::{FindExport, ListExports, NotStarted};
use portcullis_core::audit::export::job::{
    Asked, Bound, Job, KEPT_MS, MAX_UNFINISHED, PATIENCE_MS, Phase,
};
use portcullis_core::audit::export::view::Format;
use portcullis_core::audit::export::{EVENTS, MANIFEST, PROOFS};
use portcullis_core::secret::Digest;
use portcullis_core::session::revoke::IdempotencyKey;
use portcullis_core::time::UnixMillis;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn files_are_those_that_the_command_line_writes_and_verify(
        lines in 1u64..50, a: prop::sample::Index, b: prop::sample::Index, filtered: bool, format in 0usize..3,
    ) {
        let (lane, all) = mixed(lines);
        let mut world = World::new(lane);
        let (a, b) = (a.index(all.len() + 1) as u64, b.index(all.len() + 1) as u64);
        let (first, end) = (a.min(b), a.max(b));
        let filter = filtered.then(kills_only);
        let format = Format::ALL[format];
        let asked = Asked {
            from: Some(Bound::Index(first)), to: Some(Bound::Index(end)), filter: filter.clone(), format,
        };
        let id = world.start(asked);
        world.finish(id);
        let folder = world.folder(id);
        let [events, proofs] = by_hand(&world, &all, first, end, filter.as_ref());
        prop_assert_eq!(&folder[EVENTS], &events);
        prop_assert_eq!(&folder[PROOFS], &proofs);
        expect_good(&world, &folder);
        if let Some(name) = format.file() {
            let mut view = format.render(None).expect("a head");
            for line in events.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                view += &format.render(Some(line)).expect("a line");
            }
            prop_assert_eq!(&folder[name], view.as_bytes());
        }
        prop_assert_eq!(folder.len(), 4 + usize::from(format.file().is_some()));
    }
}

/// What can fail.
#[derive(Clone, Copy, Debug)]
enum Part {
    Storage,
    Lane,
    Bucket,
}

fn fail(world: &World, part: Part, nth: u32, fault: Fault) {
    match part {
        Part::Storage => world.exports().sql().fail_nth(nth, fault),
        Part::Lane => world.lane.plan.0.set(Some((nth, fault))),
        Part::Bucket => world.bucket.plan.0.set(Some((nth, fault))),
    }
}

/// Whether the fault has not come yet; there is none any more.
fn heal(world: &World, part: Part) -> bool {
    match part {
        Part::Storage => world.exports().sql().heal(),
        Part::Lane => world.lane.plan.0.take().is_some(),
        Part::Bucket => world.bucket.plan.0.take().is_some(),
    }
}

fn csv_of_all() -> Asked {
    Asked {
        format: Format::Csv,
        ..Asked::default()
    }
}

#[test]
fn every_call_of_storage_lane_and_bucket_fails_both_ways_and_the_files_are_the_same() {
    let (lane, _) = mixed(30);
    let mut world = World::new(lane);
    let id = world.start(csv_of_all());
    world.finish(id);
    let expected = world.folder(id);
    expect_good(&world, &expected);
    let slices = world.exports().sql().calls();
    assert!(slices > 20, "several slices");
    let mut lane = Some(world.lane);
    let mut rounds = 0;
    for part in [Part::Storage, Part::Lane, Part::Bucket] {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            for nth in 0.. {
                let mut world = World::new(lane.take().expect("given back").lane);
                let id = world.start(csv_of_all());
                fail(&world, part, nth, fault);
                // A look at the job between steps may be what fails: then nobody has it, and asks again.
                let mut looked = 0;
                loop {
                    let found = world.exports().find(FindExport { id });
                    looked += 1;
                    match found {
                        Ok(Some(job)) if job.is_unfinished() => {}
                        Ok(_) => break,
                        Err(_) => continue,
                    }
                    if let Ok(Some(due)) = world.exports().next_due() {
                        world.now = world.now.max(due);
                    }
                    world.step();
                    assert!(looked < 10_000, "{part:?} {fault:?} {nth}");
                }
                let has_come = !heal(&world, part);
                assert_eq!(world.folder(id), expected, "{part:?} {fault:?} {nth}");
                let told = world.told();
                assert_eq!(
                    told[..2],
                    ["requested", "finished"],
                    "{part:?} {fault:?} {nth}"
                );
                assert!(told[2..].iter().all(|reason| reason == "downloaded"));
                // And the way out fails as well.
                assert!(world.remove(id));
                fail(&world, part, nth % 9, fault);
                for _ in 0..200 {
                    if let Ok(due) = world.exports().next_due() {
                        let Some(due) = due else { break };
                        world.now = world.now.max(due);
                    }
                    world.step();
                }
                heal(&world, part);
                assert_eq!(world.exports().next_due(), Ok(None));
                assert!(
                    world.bucket.objects.borrow().is_empty(),
                    "{part:?} {fault:?} {nth}"
                );
                lane = Some(world.lane);
                rounds += 1;
                if !has_come {
                    break;
                }
            }
        }
    }
    assert!(rounds > 150, "{rounds}");
}

#[test]
fn an_instance_that_is_lost_at_any_await_leaves_what_is_noted_and_at_most_the_next_slice() {
    let (lane, _) = mixed(30);
    let mut world = World::new(lane);
    let id = world.start(csv_of_all());
    world.finish(id);
    let expected = world.folder(id);
    let mut lane = Some(world.lane);
    let mut rounds = 0;
    for part in [Part::Lane, Part::Bucket] {
        for fault in [Fault::NotPersisted, Fault::PersistedButReportedFailed] {
            for nth in 0.. {
                let mut world = World::new(lane.take().expect("given back").lane);
                let id = world.start(csv_of_all());
                world.lane.plan.1.set(true);
                world.bucket.plan.1.set(true);
                fail(&world, part, nth, fault);
                let mut noted = 0;
                while let Some(Job { phase, .. }) = world.job(id).filter(Job::is_unfinished) {
                    if let Phase::Running(run) = phase {
                        assert!(run.slices >= noted, "{part:?} {fault:?} {nth}");
                        noted = run.slices;
                    }
                    // Parts are numbered as slices are.
                    let objects = world.bucket.objects.borrow();
                    let numbers = objects.keys().filter_map(|name| name.rsplit('/').next());
                    let most = numbers
                        .map(|number| number.parse::<u64>().expect("a number"))
                        .max();
                    assert!(
                        most <= Some(noted),
                        "{part:?} {fault:?} {nth}: {most:?} {noted}"
                    );
                    drop(objects);
                    world.step();
                }
                let has_come = !heal(&world, part);
                assert_eq!(world.folder(id), expected, "{part:?} {fault:?} {nth}");
                assert_eq!(world.told()[..2], ["requested", "finished"]);
                world.lane.plan.1.set(false);
                lane = Some(world.lane);
                rounds += 1;
                if !has_come {
                    break;
                }
            }
        }
    }
    assert!(rounds > 50, "{rounds}");
}

#[test]
fn an_export_that_is_removed_in_the_middle_leaves_nothing() {
    for steps in 1..8 {
        let (lane, _) = mixed(100);
        let mut world = World::new(lane);
        let id = world.start(csv_of_all());
        for _ in 0..steps {
            world.step();
        }
        assert!(world.remove(id));
        assert_eq!(world.job(id), None, "it is gone for whoever asks");
        assert!(!world.remove(id));
        world.settle();
        assert!(world.bucket.objects.borrow().is_empty());
        assert_eq!(world.told(), ["requested", "canceled"]);
        assert_eq!(world.exports().next_due(), Ok(None));
    }
}

#[test]
fn what_is_removed_while_a_slice_is_made_stays_removed() {
    let (lane, _) = mixed(30);
    let mut world = World::new(lane);
    let id = world.start(csv_of_all());
    world.step();
    let was = world.job(id).expect("a job");
    // As if the slice had begun before, and ended now.
    assert!(world.remove(id));
    assert_eq!(world.exports().is_still(id, &was), Ok(false));
    world.settle();
    assert!(world.bucket.objects.borrow().is_empty());
}

#[test]
fn files_are_there_for_a_week_and_then_nothing_is_left() {
    let (lane, _) = mixed(9);
    let mut world = World::new(lane);
    let id = world.start(csv_of_all());
    let done = world.finish(id);
    assert_eq!(done.expires(), Some(UnixMillis(world.now.0 + KEPT_MS)));
    world.now = UnixMillis(world.now.0 + KEPT_MS - 1);
    assert!(!world.step());
    expect_good(&world, &world.folder(id));
    world.now = UnixMillis(world.now.0 + 1);
    world.settle();
    assert_eq!(world.job(id), None);
    assert!(world.bucket.objects.borrow().is_empty());
    assert_eq!(world.exports().next_due(), Ok(None));
    assert_eq!(world.told().last().map(String::as_str), Some("expired"));
}

#[test]
fn what_does_not_work_for_a_day_is_given_up_and_its_parts_are_removed() {
    let (lane, _) = mixed(100);
    let mut world = World::new(lane);
    let id = world.start(csv_of_all());
    for _ in 0..3 {
        world.step();
    }
    assert!(!world.bucket.objects.borrow().is_empty());
    let began = world.now;
    let mut tries = 0;
    while world.job(id).is_some_and(|job| job.is_unfinished()) {
        world.lane.plan.0.set(Some((0, Fault::NotPersisted)));
        let due = world.exports().next_due().expect("answers").expect("a job");
        world.now = world.now.max(due);
        world.step();
        tries += 1;
    }
    world.lane.plan.0.set(None);
    assert!((PATIENCE_MS..PATIENCE_MS + 600_000).contains(&(world.now.0 - began.0)));
    assert!((200..400).contains(&tries), "{tries}");
    let Some(Phase::Failed(failed)) = world.job(id).map(|job| job.phase) else {
        panic!("it failed");
    };
    assert_eq!(failed.reason, "injected");
    world.settle();
    assert!(world.bucket.objects.borrow().is_empty());
    assert!(world.job(id).is_some(), "that it failed is known");
    assert_eq!(world.told(), ["requested", "failed"]);
    world.now = UnixMillis(world.now.0 + KEPT_MS);
    world.settle();
    assert_eq!(world.job(id), None);
}

#[test]
fn lines_that_do_not_make_the_root_end_the_export_and_leave_nothing() {
    let (lane, _) = mixed(30);
    // In the middle, where a lane that is loaded does not look.
    let change = "UPDATE segment SET lines = CAST(replace(CAST(lines AS TEXT), 'success', 'sUccess') AS BLOB) \
                  WHERE first_index = 8";
    lane.sql().exec(change, &[]).expect("changes");
    let mut world = World::new(lane);
    let id = world.start(Asked::default());
    let job = world.finish(id);
    let Phase::Failed(failed) = job.phase else {
        panic!("{job:?}");
    };
    assert!(failed.reason.contains("do not make the root"), "{failed:?}");
    world.settle();
    assert!(world.bucket.objects.borrow().is_empty());
    assert_eq!(world.told(), ["requested", "failed"]);
}

#[test]
fn lines_that_are_not_kept_any_more_are_left_out_or_end_the_export() {
    let (lane, all) = mixed(30);
    let mut world = World::new(lane);
    world.lane.kept_from = 8;
    let id = world.start(Asked::default());
    world.finish(id);
    let folder = world.folder(id);
    let [events, proofs] = by_hand(&world, &all, 8, all.len() as u64, None);
    assert_eq!((&folder[EVENTS], &folder[PROOFS]), (&events, &proofs));
    expect_good(&world, &folder);
    let early = world.start(Asked {
        from: Some(Bound::Index(3)),
        ..Asked::default()
    });
    let job = world.finish(early);
    assert!(
        matches!(&job.phase, Phase::Failed(failed) if failed.reason.contains("before 8")),
        "{job:?}"
    );
}

#[test]
fn times_are_those_of_the_commit() {
    let lane = lane();
    // All of them at one time, so that each bound is at an end.
    add(&lane, 1, 9, 2);
    let mut world = World::new(lane);
    let ends = [(NOW.0, 0), (NOW.0 + 1, 9), (0, 0)];
    for (at, expected) in ends {
        let id = world.start(Asked {
            from: Some(Bound::Committed(UnixMillis(at))),
            ..Asked::default()
        });
        let job = world.finish(id);
        let Phase::Finished(finished) = job.phase else {
            panic!("{job:?}");
        };
        assert_eq!(finished.scan.first, expected);
        expect_good(&world, &world.folder(id));
    }
}

#[test]
fn an_index_that_the_log_does_not_have_is_waited_for_a_little_and_then_refused() {
    let mut world = World::new(lane_of(3, 3));
    let id = world.start(Asked {
        to: Some(Bound::Index(4)),
        ..Asked::default()
    });
    world.step();
    let trouble = world.job(id).and_then(|job| job.trouble);
    assert!(trouble.is_some_and(|trouble| trouble.why == "the log has 3 lines"));
    let job = world.finish(id);
    assert!(
        matches!(&job.phase, Phase::Failed(failed) if failed.reason == "the log has 3 lines"),
        "{job:?}"
    );
    let waited = world.now.0 - job.created.0;
    assert!((10_000..30_000).contains(&waited), "{waited}");
}

#[test]
fn the_same_request_begins_one_export_and_another_with_its_key_none() {
    let world = World::new(lane_of(3, 3));
    let key = |fingerprint: &[u8]| IdempotencyKey {
        key: Digest::of(b"key"),
        fingerprint: Digest::of(fingerprint),
    };
    let ask = |fingerprint| {
        let start = start(Asked::default(), Some(key(fingerprint)));
        world.exports().start(start, world.now).expect("answers")
    };
    let first = ask(b"a").expect("begins");
    assert_eq!(ask(b"a"), Ok(first.clone()));
    assert_eq!(ask(b"b"), Err(NotStarted::KeyReused));
    let list = ListExports {
        before: None,
        limit: 9,
    };
    let listed: Vec<_> = super::store::newest(world.exports().sql(), list).expect("reads");
    assert_eq!(listed, std::slice::from_ref(&first));
    assert_eq!(world.told(), ["requested"]);
    // What was removed is nobody's answer any more.
    assert!(world.remove(first.0));
    assert!(ask(b"b").is_ok_and(|(id, _)| id != first.0));
}

#[test]
fn no_more_are_begun_than_can_be_made_and_the_newest_are_listed_first() {
    let mut world = World::new(lane_of(3, 3));
    let ids: Vec<_> = (0..MAX_UNFINISHED)
        .map(|_| world.start(Asked::default()))
        .collect();
    let refused = world
        .exports()
        .start(start(Asked::default(), None), world.now);
    assert_eq!(refused, Ok(Err(NotStarted::TooMany)));
    let list = |before, limit| {
        let list = ListExports { before, limit };
        let listed = super::store::newest(world.exports().sql(), list).expect("reads");
        listed.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    let mut newest = ids.clone();
    newest.reverse();
    assert_eq!(list(None, 100), newest);
    assert_eq!(list(Some(newest[4]), 2), newest[5..7]);
    for id in &ids {
        world.finish(*id);
    }
    // One after another, the oldest first.
    world.start(Asked::default());
}

#[test]
fn an_export_that_was_begun_before_a_new_log_of_other_lines_fails_and_the_next_is_of_that_log() {
    let (lane, _) = mixed(60);
    let earlier = copied(&lane);
    let mut world = World::new(lane);
    add(&world.lane.lane, 61, 40, 4);
    let id = world.start(csv_of_all());
    assert!(world.step());
    let begun_with = world.job(id).expect("the job");
    assert!(
        matches!(begun_with.phase, Phase::Running(_)),
        "{begun_with:?}"
    );
    // The lane is restored, and by and by has as many lines again.
    world.lane.lane = earlier;
    begun(&world.lane.lane, &world.lane.archive);
    add(&world.lane.lane, 61, 200, 7);
    let job = world.finish(id);
    assert!(matches!(job.phase, Phase::Failed(_)), "{job:?}");
    let id = world.start(csv_of_all());
    world.finish(id);
    let folder = world.folder(id);
    expect_good(&world, &folder);
    let manifest = String::from_utf8_lossy(&folder[MANIFEST]);
    assert!(manifest.contains("/audit/lane/0.1\""), "{manifest}");
}
