//! Thousands of rounds at the seam. Producers, readers, the alarm and those who want checkpoints ask a lane, in any order;
//! one call of its storage or of its archive fails, as not done or as done and not told, also in what is tried again;
//! and the object dies, also between two awaits. Whatever failed its caller asks again.
//!
//! After every round it is counted anew ([`model`]): each event that was accepted is in the log once, all there is was
//! sent, the tree is that of the lines by another implementation, every checkpoint that anybody ever got is of this
//! tree, and the archive has what the lane would serve.
//!
//! To have more happen, add a step to [`STEPS`] and write it in [`steps`].
//!
//! `PORTCULLIS_ROUNDS` sets how many rounds, and `PORTCULLIS_ROUNDS_SEED` which; a failure prints its seed.

mod model;
mod steps;

use super::archive_tests::FakeArchive;
use super::tree_tests::{Lane, lane, ours};
use crate::objects::host_sql::Fault;
use crate::objects::sql::SqlError;
use crate::runtime::random;
use model::Model;
use portcullis_core::time::UnixMillis;
use std::rc::Rc;
use steps::Producer;

/// What is asked, and how often as against others. Each plans a call; the call is made until it succeeds.
const STEPS: &[(u64, Step)] = &[
    (8, steps::packs),
    (2, steps::page),
    (1, steps::bundle),
    (2, steps::checkpoint),
    (2, steps::alarm),
    (1, steps::alarm_while_packs_come),
    (1, steps::checkpoint_while_packs_come),
    (1, steps::object_dies_in_the_alarm),
    (1, steps::object_dies_before_its_checkpoint_is_told),
    (1, steps::object_dies),
];

/// Plans a call.
type Step = fn(&mut World) -> Asked;

/// A call as its caller makes it again while it fails.
type Asked = Box<dyn Fn(&mut World) -> Result<(), SqlError>>;

const ROUNDS: u64 = 3200;
/// How many there are of one lane.
const OF_A_LANE: u64 = 64;
/// The most tries of a call of which one may fail by plan: it can be that one fails whenever it is tried again.
const FAULTY_TRIES: u32 = 4;

/// A lane and all who have to do with it.
struct World {
    lane: Option<Rc<Lane>>,
    archive: Rc<FakeArchive>,
    producers: Vec<Producer>,
    model: Model,
    dice: Dice,
    now: UnixMillis,
    /// Whether something may fail now.
    is_faulty: bool,
    /// What happened, for who wants to know whether enough did.
    failures: u64,
    deaths: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            lane: Some(Rc::new(lane())),
            archive: Rc::default(),
            producers: (1..=4).map(Producer::new).collect(),
            model: Model::default(),
            dice: Dice(seed),
            now: UnixMillis(1_000_000_000),
            is_faulty: false,
            failures: 0,
            deaths: 0,
        }
    }

    fn lane(&self) -> &Rc<Lane> {
        self.lane.as_ref().expect("a lane")
    }

    /// The instance is gone, and another comes over what is stored.
    fn die(&mut self) {
        let lane = self.lane.take().and_then(Rc::into_inner);
        let lane = lane.expect("nothing of it runs any more");
        self.lane = Some(Rc::new(lane.restarted(Some(ours()))));
        self.deaths += 1;
    }

    fn heal(&self) {
        self.archive.heal();
        self.lane().sql().heal();
    }

    /// Sees what came into the log, with nothing that fails.
    fn look(&mut self) {
        self.heal();
        let lane = self.lane.as_ref().expect("a lane");
        self.model.look(lane);
    }

    fn recount(&mut self) {
        let lane = self.lane.as_ref().expect("a lane");
        self.model.recount(lane, &self.archive);
    }

    fn round(&mut self) {
        for _ in 0..=self.dice.below(3) {
            let total = STEPS.iter().map(|(weight, _)| weight).sum();
            let mut at = self.dice.below(total);
            for (weight, plan) in STEPS {
                if at < *weight {
                    let asked = plan(self);
                    self.carry_out(&asked);
                    break;
                }
                at -= weight;
            }
        }
        self.recount();
    }

    /// Asks until it is done.
    fn carry_out(&mut self, asked: &Asked) {
        for attempt in 0.. {
            self.is_faulty = attempt < FAULTY_TRIES && self.dice.below(3) > 0;
            if self.is_faulty {
                self.plan_a_failure();
            }
            // Now and then a clock goes back.
            self.now.0 += self.dice.below(4000);
            self.now.0 -= self.dice.below(1000);
            let done = asked(self);
            self.look();
            match done {
                Ok(()) => return,
                Err(error) => assert!(self.is_faulty, "{error}"),
            }
            self.failures += 1;
            if self.dice.below(3) == 0 {
                self.die();
            }
        }
    }

    /// In the middle of something, after all was looked at.
    fn may_fail_again(&mut self) {
        if self.is_faulty && self.dice.below(2) == 0 {
            self.plan_a_failure();
        }
    }

    fn plan_a_failure(&mut self) {
        let kinds = [Fault::NotPersisted, Fault::PersistedButReportedFailed];
        let fault = *self.dice.one_of(&kinds);
        let nth = |most| u32::try_from(most).expect("few");
        if self.dice.below(2) == 0 {
            self.archive.fail_nth(nth(self.dice.below(4)), fault);
        } else {
            let sql = self.dice.below(16);
            self.lane().sql().fail_nth(nth(sql), fault);
        }
    }

    /// Everything that waits is done, and all is looked at once more.
    fn finish(&mut self) {
        self.heal();
        while self.lane().has_unarchived().expect("reads") {
            let asked = steps::alarm(self);
            self.carry_out(&asked);
        }
        // Late enough for another checkpoint, and with nothing that fails.
        self.now.0 += 10_000;
        self.is_faulty = false;
        let asked = steps::checkpoint(self);
        asked(self).expect("a checkpoint");
        self.recount();
        self.model.finish(self.lane(), &self.archive);
    }
}

/// Pseudorandom numbers (`SplitMix64`), the same for the same seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_of<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let at = self.below(of.len() as u64);
        &of[usize::try_from(at).expect("small")]
    }
}

/// A number that the environment gives.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

/// Says with which seed it was, whatever goes wrong.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PORTCULLIS_ROUNDS_SEED={}", self.0);
        }
    }
}

#[test]
fn whatever_fails_each_accepted_event_is_there_once_and_every_checkpoint_and_the_archive_are_of_one_log()
 {
    let any = || u64::from_be_bytes(random().expect("random"));
    let seed = Seed(given("PORTCULLIS_ROUNDS_SEED").unwrap_or_else(any));
    let rounds = given("PORTCULLIS_ROUNDS").unwrap_or(ROUNDS);
    let mut dice = Dice(seed.0);
    let mut counts = model::Counts::default();
    for first in (0..rounds).step_by(usize::try_from(OF_A_LANE).expect("small")) {
        let mut world = World::new(dice.next());
        for _ in first..rounds.min(first + OF_A_LANE) {
            world.round();
        }
        world.finish();
        counts.add(&world);
    }
    println!("seed {}: {rounds} rounds, {counts:?}", seed.0);
    // What nothing happens in shows nothing.
    if rounds >= ROUNDS {
        assert!(counts.failures > rounds / 5, "{counts:?}");
        assert!(counts.deaths > rounds / 5, "{counts:?}");
        assert!(counts.lines > rounds * 5, "{counts:?}");
        assert!(counts.again > rounds, "{counts:?}");
        assert!(counts.checkpoints > rounds / 8, "{counts:?}");
        assert!(counts.tiles > rounds / 64, "{counts:?}");
    }
}
