//! The logs of a lane through its age limits, and through whatever happens to it in any order.

use super::archive::CHECKPOINT_MS;
use super::archive_tests::{FakeArchive, archive_tiles, at};
use super::epochs_tests::{asked, begun, copied};
use super::log_keys;
use super::retention_tests::{archive_all, day, grow, keep, kept, prune_all, stored};
use super::service::LaneService;
use super::tests::{NOW, append, pack};
use super::tree_tests::{Lane, lane, ours, reckoned, verifier};
use crate::objects::host_sql::Fault;
use futures::FutureExt;
use portcullis_core::audit::call::GetBundle;
use portcullis_core::audit::call::LaneRequest;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::epoch::Beginning;
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn signs(lane: &Lane, archive: &FakeArchive, now: UnixMillis) -> Result<u64, Refusal> {
    let now = UnixMillis(now.0 + CHECKPOINT_MS);
    let note = lane.checkpoint(archive, now).now_or_never();
    let note = note.expect("at once").expect("answers")?;
    Ok(verifier(lane).open(&note).expect("a checkpoint").size)
}

#[test]
fn bundles_of_lines_that_are_gone_are_not_archived_anew_and_go_from_every_log_of_the_lane() {
    let (lane, archive) = (lane(), FakeArchive::default());
    grow(&lane, 1, 1000, 100, day(1));
    archive_all(&lane, &archive);
    signs(&lane, &archive, day(1)).expect("signs");
    grow(&lane, 1001, 600, 100, day(20));
    archive_all(&lane, &archive);
    keep(&lane, Some(30), false, day(35));
    prune_all(&lane, &archive, day(35));
    assert_eq!(kept(&lane).pruned_to, 768);
    let earlier = copied(&lane);
    grow(&lane, 1601, 300, 100, day(36));
    archive_all(&lane, &archive);
    signs(&lane, &archive, day(36)).expect("signs");

    let lane = earlier;
    assert_eq!(begun(&lane, &archive).epoch, 1);
    archive_all(&lane, &archive);
    let has = |log: &str, name: &str| archive.bytes(&format!("lane/{log}/tile/{name}")).is_some();
    for number in 0..6 {
        assert!(has("0.1", &format!("0/{number:03}")), "{number}");
        assert_eq!(has("0.1", &format!("entries/{number:03}")), number >= 3);
        assert_eq!(has("0", &format!("entries/{number:03}")), number >= 3);
    }
    signs(&lane, &archive, day(37)).expect("signs");
    // Bundles of the old log are readable as far as the lane has such lines.
    let read = |number| {
        let read = Event::new(NOW, Action::AuditRead, Outcome::Success, Actor::Anonymous);
        let (epoch, width) = (0, 256);
        let asked = LaneRequest::Bundle(GetBundle {
            epoch,
            number,
            width,
            read,
        });
        let reply = lane.answer_from(asked, &archive, day(38)).now_or_never();
        let reply = reply.expect("at once").expect("answers");
        wire::decode::<Result<Option<Vec<u8>>, Refusal>>(&reply).expect("decodes")
    };
    assert_eq!(read(1), Err(Refusal::Pruned { to: 768 }));
    assert!(read(3).expect("answers").is_some());
    // Later more is too old: of both logs.
    grow(&lane, 1601, 300, 100, day(60));
    archive_all(&lane, &archive);
    prune_all(&lane, &archive, day(61));
    let to = kept(&lane).pruned_to;
    assert!(to > 1500, "{to}");
    for number in 0..to / 256 {
        for log in ["0", "0.1"] {
            assert!(!has(log, &format!("entries/{number:03}")), "{log} {number}");
            assert!(has(log, &format!("0/{number:03}")), "{log} {number}");
        }
    }
    assert_eq!(read(3), Err(Refusal::Pruned { to }));
    signs(&lane, &archive, day(62)).expect("signs");
}

/// A lane that things happen to.
struct World {
    lane: Lane,
    archive: FakeArchive,
    /// Points that the platform can restore to.
    points: Vec<Lane>,
    next: u64,
    /// The lines of each checkpoint that was given out, by the log's name.
    signed: BTreeMap<String, Vec<Vec<Vec<u8>>>>,
    /// What was seen in the archive.
    seen: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn sign(&mut self, step: u64, epoch: Option<u32>) {
        let key = log_keys::current(self.lane.sql()).ok().flatten();
        let signed = self.lane.checkpoint_of(&self.archive, epoch, at(step));
        let Some(Ok(Ok(note))) = signed.now_or_never() else {
            return;
        };
        self.lane.sql().heal();
        let now = log_keys::current(self.lane.sql()).expect("reads");
        let key = key.or(now).expect("a key").verifier().expect("a key");
        let head = key.open(&note).expect("a checkpoint");
        let size = usize::try_from(head.size).expect("small");
        let lines = stored(&self.lane);
        let lines: Vec<_> = lines.into_iter().take(size).collect();
        assert_eq!(reckoned(&lines), head);
        let of = self.signed.entry(key.origin().to_string()).or_default();
        of.push(lines);
    }

    fn begin(&mut self, dry_run: bool) {
        let Ok(Some(key)) = log_keys::current(self.lane.sql()) else {
            return;
        };
        let asked = asked(&key.origin, dry_run);
        let begun = self
            .lane
            .begin_epoch(&self.archive, asked, NOW)
            .now_or_never();
        if let Some(Ok(Beginning::Begun(begun))) = begun {
            assert!(!self.signed.contains_key(&begun.log));
        }
    }

    /// Nothing but a checkpoint is ever replaced, and nothing goes.
    fn look(&mut self) {
        for name in self.archive.names() {
            let bytes = self.archive.bytes(&name).expect("an object");
            let before = self.seen.insert(name.clone(), bytes.clone());
            if !name.ends_with("/checkpoint") {
                assert!(before.is_none_or(|before| before == bytes), "{name}");
            }
        }
        assert_eq!(self.archive.names().len(), self.seen.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Commits, checkpoints, the alarm, restarts, restores to any earlier point, losses and new logs, in any order and with a
    /// failure before each: no two checkpoints of one name contradict each other, no name is had twice, and who may not sign can
    /// always begin a log that may.
    #[test]
    fn whatever_happens_no_two_checkpoints_of_one_name_contradict_each_other(
        steps in prop::collection::vec((0u8..9, 1u64..300, 0u32..16, any::<bool>(), any::<bool>()), 1..32),
    ) {
        let mut world = World {
            lane: lane(),
            archive: FakeArchive::default(),
            points: Vec::new(),
            next: 1,
            signed: BTreeMap::new(),
            seen: BTreeMap::new(),
        };
        for (step, (what, number, nth, persisted, of_archive)) in (1u64..).zip(steps) {
            let fault = if persisted { Fault::PersistedButReportedFailed } else { Fault::NotPersisted };
            if of_archive {
                world.archive.fail_nth(nth % 5, fault);
            } else {
                world.lane.sql().fail_nth(nth, fault);
            }
            match what {
                0 | 1 => {
                    drop(world.lane.append(append(vec![pack(1, world.next, number)]), at(step)));
                    world.next += number;
                }
                2 | 3 => world.sign(step, None),
                4 => drop(archive_tiles(&world.lane, &world.archive)),
                5 => world.points.push(copied(&world.lane)),
                6 => {
                    let of = usize::try_from(number).expect("small");
                    world.lane = match world.points.len() {
                        0 => lane(),
                        points => copied(&world.points[of % points]),
                    };
                }
                7 => {
                    let sql = world.lane.sql().copied();
                    world.lane = LaneService::new(sql, Some(ours()));
                }
                _ => world.begin(number.is_multiple_of(7)),
            }
            world.archive.heal();
            world.lane.sql().heal();
            world.look();
        }
        // In the end there is a log that is signed.
        world.sign(1000, None);
        let log = verifier(&world.lane).origin().to_string();
        world.begin(false);
        world.sign(1001, None);
        let now = verifier(&world.lane).origin().to_string();
        prop_assert!(world.signed.contains_key(&now), "{log} {now}");
        for heads in world.signed.values() {
            for (one, other) in heads.iter().zip(heads.iter().skip(1)) {
                let both = one.len().min(other.len());
                prop_assert!(one[..both] == other[..both]);
                // And the later is no shorter.
                prop_assert!(one.len() <= other.len());
            }
        }
    }
}
