//! From the acknowledgement of a kill to the last request that passed, while gateways are asked about just what is
//! being ended.
//!
//! Two gateways, each an isolate of its own, and the service's own check. Every request and every kill is
//! written down with its times, and [`History::judge`] decides whether the promises were kept. Where the feed
//! had a kill, its receipt says.
//!
//! | phase | meanwhile |
//! |---|---|
//! | quiet | nothing |
//! | delayed | every answer of the feed is [`DELAY`] late on its way to the gateways |
//! | cut | they get none of the feed for [`CUT`] |
//! | crash | the service holds back what its feed should hear; every process is killed before that heard it, and started again |

mod choice;
mod drive;
mod figures;
mod people;
mod seen;
mod ways;

use crate::Options;
use crate::cpu;
use crate::report::Report;
use choice::Asks;
use drive::{Drive, micros};
use people::{People, Prepared};
use portcullis_e2e::chaos::{Chaos, Mode};
use portcullis_e2e::history::Consistency;
use portcullis_e2e::stack::{Endpoints, Settings, Stack};
use portcullis_e2e::{Failure, Result};
use seen::Seen;
use std::time::Duration;
use url::Url;
use ways::{Kind, Way};

pub const NAME: &str = "kill";

/// How many kills for each second of a measurement.
const KILLS_PER_SECOND: f64 = 25.0;
/// What the bounded routes allow.
const BOUND: Duration = Duration::from_secs(1);
/// How late the feed's answers are.
const DELAY: Duration = Duration::from_millis(400);
/// For how long there are none.
const CUT: Duration = Duration::from_millis(2500);
/// How much longer than the kills take the service holds back what its feed should hear, where it is to crash before.
const HELD_BACK: Duration = Duration::from_secs(5);
/// How long gateways are watched while they come back: they rest after failures.
const BACK: Duration = Duration::from_secs(3);
/// How often every way has answered before the first kill.
const WARM: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Quiet,
    Delayed,
    Cut,
    Crash,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Quiet, Self::Delayed, Self::Cut, Self::Crash];

    const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Delayed => "delayed",
            Self::Cut => "cut",
            Self::Crash => "crash",
        }
    }
}

/// The stack and whom to ask.
struct Bench {
    stack: Stack,
    ways: Vec<Way>,
    chaos: Chaos,
}

pub fn measure(options: &Options) -> Result<Report> {
    let kills = kills_of(options.seconds);
    let mut bench = Bench::start(kills)?;
    let mut people = People::new(&bench.stack.at, kills)?;
    let mut seen = Phase::ALL.map(|phase| (phase, Seen::default()));
    for round in 1..=options.rounds {
        for (phase, seen) in &mut seen {
            eprintln!("round {round} of {}, {}", options.rounds, phase.name());
            bench.round(*phase, options, &mut people, kills, seen)?;
            people.reactivate()?;
        }
    }
    let preface = format!(
        "{kills} kills in {} s, {} rounds of each phase; 2 gateways and the service's check, 7 connections in\n\
         closed loops; milliseconds are from the acknowledgement to the beginning of the last request that passed",
        options.seconds.as_secs_f64(),
        options.rounds,
    );
    let mut report = Report::new(NAME, preface);
    for (phase, seen) in &seen {
        seen.report(*phase, &mut report);
    }
    Ok(report)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement is at most ten minutes long"
)]
fn kills_of(length: Duration) -> usize {
    (length.as_secs_f64() * KILLS_PER_SECOND).ceil() as usize
}

impl Bench {
    fn start(kills: usize) -> Result<Self> {
        let people = u16::try_from(People::needed(kills))?;
        let stack = Stack::start_with(&settings(people))?;
        Ok(Self {
            ways: ways(&stack.at)?,
            chaos: Chaos::new(&stack.at),
            stack,
        })
    }

    fn round(
        &mut self,
        phase: Phase,
        options: &Options,
        people: &mut People,
        kills: usize,
        seen: &mut Seen,
    ) -> Result {
        let usual = settings(u16::try_from(People::needed(kills))?);
        if phase == Phase::Crash {
            let held_back = options.seconds + HELD_BACK;
            let var = format!("TEST_FEED_DELAY_MS={}", held_back.as_millis());
            let mut slow = usual.clone();
            slow.vars.push(var);
            self.stack.restart(&slow)?;
        }
        let Prepared {
            credentials,
            kills: planned,
        } = people.prepare(kills)?;
        let mut drive = Drive::new(&self.ways, &credentials, planned);
        cpu::come_to_rest(self.stack.group().unwrap_or_default())?;
        drive.warm_up(WARM)?;
        let mut back_from = None;
        match phase {
            Phase::Quiet => drive.run(options.seconds, kills)?,
            Phase::Delayed => {
                self.chaos.feed(Mode::Delay(DELAY))?;
                drive.run(options.seconds, kills)?;
                drive.run(BOUND, 0)?;
                self.expect_met()?;
                self.chaos.feed(Mode::Normal)?;
            }
            Phase::Cut => {
                drive.run(options.seconds / 4, kills / 4)?;
                self.chaos.feed(Mode::Cut)?;
                drive.run(options.seconds.max(CUT), kills / 2)?;
                self.expect_met()?;
                back_from = Some(drive.now());
                self.chaos.feed(Mode::Normal)?;
                drive.run(BACK, kills - kills / 4 - kills / 2)?;
            }
            Phase::Crash => {
                drive.run(options.seconds, kills - kills / 4)?;
                // So long a kill waits for the feed; the last of them go down with the service.
                drive.run(Duration::from_millis(1100), 0)?;
                drive.run(Duration::from_millis(400), kills / 4)?;
                let from = drive.now();
                self.stack.kill_hard()?;
                drive.hang_up();
                self.stack.restart(&usual)?;
                back_from = Some(drive.now());
                drive.fault(from);
                // Once its feed has them, and a bound later.
                drive.run(BACK / 2, 0)?;
                drive.ask_again();
                drive.run(BACK / 2, 0)?;
                drive.ask_again();
            }
        }
        drive.run(BOUND + Duration::from_millis(700), 0)?;
        drive.finish()?;
        let Drive {
            kills,
            mut history,
            by_view,
            odd,
            ..
        } = drive;
        let mut ended = Vec::new();
        for kill in &kills {
            let Some(tokens) = credentials.get(kill.credential) else {
                continue;
            };
            let committed = people.committed(kill.trigger, tokens)?;
            ended.extend(kill.seen(committed).map(|seen| (kill, seen)));
        }
        history.kills = ended.iter().map(|(_, kill)| kill.clone()).collect();
        let asks: Vec<Asks> = self.ways.iter().map(Way::asks).collect();
        for (planned, kill) in &ended {
            seen.kill(planned.trigger, planned.acknowledged, kill);
            seen.figures(&history, planned.trigger, kill, &asks);
        }
        seen.by_view += by_view.len();
        if let Some(from) = back_from {
            let back = figures::first_since_ms(&by_view, from);
            seen.back_ms.push(back.unwrap_or(f64::INFINITY));
        }
        seen.judge(phase, &history, &odd);
        Ok(())
    }

    /// Fails unless the fault was met.
    fn expect_met(&self) -> Result {
        if self.chaos.feed_calls()? == 0 {
            return Err(Failure::new(
                "no gateway asked for the feed during the fault",
            ));
        }
        Ok(())
    }
}

fn settings(people: u16) -> Settings {
    Settings {
        // Else the gateways would ask about everybody for the feed's first minute.
        vars: vec!["TEST_FEED_AGE_MS=120000".to_owned()],
        gateway_file: Some("bench/kill.toml"),
        limit: Some(0), // none
        chaos: Some(Mode::Normal),
        more_gateways: 1,
        people: Some(people),
        ..Settings::default()
    }
}

fn ways(at: &Endpoints) -> Result<Vec<Way>> {
    let bounded = Consistency::Bounded(micros(BOUND));
    let [second, _] = &at.more_gateways;
    let mut ways = vec![Way {
        url: Url::parse(&format!("{}/v1/check", at.service))?,
        consistency: Consistency::Strict,
        kind: Kind::Check,
    }];
    for (path, consistency, kind) in [
        ("strict/x", Consistency::Strict, Kind::Strict),
        ("bounded/x", bounded, Kind::Refreshes),
        ("falls-back/x", bounded, Kind::FallsBack),
    ] {
        for gateway in [&at.gateway, second] {
            ways.push(Way {
                url: Url::parse(&format!("{gateway}/{path}"))?,
                consistency,
                kind,
            });
        }
    }
    Ok(ways)
}
