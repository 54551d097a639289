//! Many requests at once, in one isolate, with a provider that rotates, fails and hangs.

use super::super::*;
use super::{START, set};
use crate::fetch::{FETCH_SECS, MAX_WAITING, PATIENCE_MS};
use proptest::prelude::*;
use std::sync::LazyLock;

/// The most steps of a story, and so the most keys in one.
const MOST_KEYS: usize = 40;

/// So many keys, "0", "1" and so on. Slow to read, so read once.
fn numbered(keys: usize) -> KeySet {
    static SETS: LazyLock<Vec<KeySet>> = LazyLock::new(|| {
        let kids: Vec<_> = (0..=MOST_KEYS).map(|kid| kid.to_string()).collect();
        let kids: Vec<_> = kids.iter().map(String::as_str).collect();
        (0..=MOST_KEYS).map(|keys| set(&kids[..keys])).collect()
    });
    SETS[keys].clone()
}

/// What becomes of a fetch.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It brings the keys as they were when it began, after so many milliseconds.
    Answers(u64),
    /// It fails after so many milliseconds.
    Fails(u64),
    /// It brings a set without keys.
    BringsNothing(u64),
    /// Its request is given up, and it never reports.
    IsLost,
}

#[derive(Clone, Debug)]
enum Step {
    /// So many milliseconds go by.
    Pass(u64),
    /// A request with a token of the newest key.
    Good,
    /// So many requests with tokens of invented keys.
    Invented(u8),
    /// The provider publishes another key and signs with it from now on.
    Rotate,
}

#[derive(Debug)]
enum Stage {
    Asks,
    Looks,
    Fetches,
    Found,
    Refused,
    GivenUp,
}

#[derive(Debug)]
struct Asking {
    kid: String,
    good: bool,
    turn: Turn,
    stage: Stage,
    /// After what it asks again: for keys, or for a key.
    looks: bool,
    wakes_at: Option<UnixMillis>,
    came_at: UnixMillis,
    ended_at: Option<UnixMillis>,
    fetched: u64,
}

struct Fetching {
    ticket: Option<Ticket>,
    by: usize,
    fate: Fate,
    began_at: UnixMillis,
    published: usize,
}

impl Fetching {
    fn ends_at(&self) -> Option<UnixMillis> {
        match self.fate {
            Fate::Answers(ms) | Fate::Fails(ms) | Fate::BringsNothing(ms) => {
                Some(UnixMillis(self.began_at.0 + ms))
            }
            Fate::IsLost => None,
        }
    }
}

/// An isolate, its requests, and a provider.
struct World {
    cache: KeyCache,
    now: UnixMillis,
    /// How many keys the provider publishes: "0", "1" and so on.
    published: usize,
    fates: Vec<Fate>,
    requests: Vec<Asking>,
    fetches: Vec<Fetching>,
    looked_at: Vec<UnixMillis>,
    invented: usize,
}

impl World {
    fn new(fates: Vec<Fate>) -> Self {
        Self {
            cache: KeyCache::new(),
            now: START,
            published: 1,
            fates,
            requests: Vec::new(),
            fetches: Vec::new(),
            looked_at: Vec::new(),
            invented: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Pass(ms) => self.pass(*ms),
            Step::Good => self.comes((self.published - 1).to_string(), true),
            Step::Invented(requests) => {
                for _ in 0..*requests {
                    self.invented += 1;
                    self.comes(format!("x{}", self.invented), false);
                }
            }
            Step::Rotate => self.published += 1,
        }
    }

    fn comes(&mut self, kid: String, good: bool) {
        self.requests.push(Asking {
            kid,
            good,
            turn: Turn::default(),
            stage: Stage::Asks,
            looks: false,
            wakes_at: None,
            came_at: self.now,
            ended_at: None,
            fetched: 0,
        });
        self.go_on(self.requests.len() - 1);
    }

    /// Runs a request until it waits, fetches or ends.
    fn go_on(&mut self, at: usize) {
        let now = self.now;
        loop {
            let request = &mut self.requests[at];
            let (stage, wait) = match request.stage {
                Stage::Asks => match self.cache.plan(&mut request.turn, now) {
                    Plan::Use(keys) if keys.has_kid(&request.kid) => (Stage::Found, None),
                    Plan::Use(_) => (Stage::Looks, None),
                    Plan::Fetch(ticket) => {
                        request.looks = false;
                        self.fetches(at, ticket);
                        (Stage::Fetches, None)
                    }
                    Plan::Wait(ms) => (Stage::Asks, Some(ms)),
                    Plan::Unavailable => (Stage::Refused, None),
                },
                Stage::Looks => {
                    let kid = request.kid.clone();
                    match self.cache.look_for(Some(&kid), &mut request.turn, now) {
                        Look::Judge(keys) if keys.has_kid(&kid) => (Stage::Found, None),
                        Look::Judge(_) => (Stage::Looks, None),
                        Look::Fetch(ticket) => {
                            request.looks = true;
                            self.looked_at.push(now);
                            self.fetches(at, ticket);
                            (Stage::Fetches, None)
                        }
                        Look::Wait(ms) => (Stage::Looks, Some(ms)),
                        Look::No => (Stage::Refused, None),
                    }
                }
                Stage::Fetches | Stage::Found | Stage::Refused | Stage::GivenUp => return,
            };
            let request = &mut self.requests[at];
            if !matches!(request.stage, Stage::Fetches | Stage::GivenUp) {
                request.stage = stage;
            }
            request.wakes_at = wait.map(|ms| UnixMillis(now.0 + ms));
            if matches!(request.stage, Stage::Found | Stage::Refused) {
                request.ended_at = Some(now);
            }
            if wait.is_some() {
                return;
            }
        }
    }

    fn fetches(&mut self, by: usize, ticket: Ticket) {
        // Never two at once: any other is over, or was lost so long ago that it counts as over.
        for other in &self.fetches {
            let lost = matches!(other.fate, Fate::IsLost);
            assert!(
                other.ticket.is_none()
                    || (lost && self.now >= other.began_at.plus_secs(FETCH_SECS)),
                "two at once"
            );
        }
        if let Some(last) = self.fetches.last() {
            assert!(self.now.0 >= last.began_at.0 + LOOK_INTERVAL_MS, "too soon");
        }
        let fate = self.fates.pop().unwrap_or(Fate::Answers(100));
        let request = &mut self.requests[by];
        request.fetched += 1;
        request.stage = Stage::Fetches;
        if matches!(fate, Fate::IsLost) {
            request.stage = Stage::GivenUp;
        }
        self.fetches.push(Fetching {
            ticket: Some(ticket),
            by,
            fate,
            began_at: self.now,
            published: self.published,
        });
    }

    /// Lets time go by, event by event.
    fn pass(&mut self, ms: u64) {
        let until = UnixMillis(self.now.0 + ms);
        loop {
            let ends = self.fetches.iter().enumerate().filter_map(|(at, fetch)| {
                fetch.ticket.as_ref()?;
                Some((fetch.ends_at()?, 0, at))
            });
            let wakes = self.requests.iter().enumerate();
            let wakes = wakes.filter_map(|(at, request)| Some((request.wakes_at?, 1, at)));
            let next = ends.chain(wakes).min();
            let Some((time, kind, at)) = next.filter(|(time, ..)| *time <= until) else {
                break;
            };
            self.now = self.now.max(time);
            if kind == 0 {
                self.ends(at);
            } else {
                self.requests[at].wakes_at = None;
                self.go_on(at);
            }
        }
        self.now = until;
    }

    fn ends(&mut self, at: usize) {
        let fetch = &mut self.fetches[at];
        let ticket = fetch.ticket.take().expect("once");
        let (by, now) = (fetch.by, self.now);
        match fetch.fate {
            Fate::Answers(_) => {
                let set = numbered(fetch.published);
                assert_eq!(self.cache.fetched(ticket, set, now), Ok(()));
            }
            Fate::BringsNothing(_) => {
                assert_eq!(self.cache.fetched(ticket, numbered(0), now), Err(NoKeys));
            }
            Fate::Fails(_) | Fate::IsLost => self.cache.failed(ticket, now),
        }
        let request = &mut self.requests[by];
        request.stage = if request.looks {
            Stage::Looks
        } else {
            Stage::Asks
        };
        self.go_on(by);
    }

    /// Everything that was begun comes to its end.
    fn settle(&mut self) {
        self.pass(120_000);
        for request in &self.requests {
            if matches!(request.stage, Stage::GivenUp) {
                continue;
            }
            let ended = request.ended_at.expect("every request ends");
            let longest = PATIENCE_MS + request.fetched * FETCH_SECS * 1000;
            assert!(ended.0 - request.came_at.0 <= longest, "{request:?}");
        }
        // Whatever strangers send, looking is bounded.
        for (first, at) in self.looked_at.iter().enumerate() {
            let looks = self.looked_at[first..].iter().enumerate();
            for (more, later) in looks {
                let allowed = LOOK_BURST + (later.0 - at.0) / LOOK_PERIOD_MS;
                assert!((more as u64) < allowed + 1, "too many looks");
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..3_000).prop_map(Step::Pass),
        1 => (3_000u64..400_000).prop_map(Step::Pass),
        4 => Just(Step::Good),
        3 => (1u8..40).prop_map(Step::Invented),
        2 => Just(Step::Rotate),
    ]
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => (0u64..4_900).prop_map(Fate::Answers),
        2 => (0u64..4_900).prop_map(Fate::Fails),
        1 => (0u64..4_900).prop_map(Fate::BringsNothing),
        1 => Just(Fate::IsLost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_provider_does_one_fetch_is_under_way_looks_are_bounded_and_every_request_ends(
        steps in prop::collection::vec(step(), 1..MOST_KEYS),
        fates in prop::collection::vec(any_fate(), 0..40),
    ) {
        let mut world = World::new(fates);
        for step in &steps {
            world.take(step);
        }
        world.settle();
    }

    #[test]
    fn a_rotation_fails_no_good_request_also_while_strangers_invent_keys(
        steps in prop::collection::vec(step(), 1..MOST_KEYS),
        answers in prop::collection::vec((0u64..900).prop_map(Fate::Answers), 0..60),
    ) {
        let mut world = World::new(answers);
        let mut in_time = 0;
        for step in &steps {
            // So many wait at a time that the places would not do: not what is promised here.
            if matches!(step, Step::Invented(_)) {
                in_time += 40;
                if in_time > MAX_WAITING {
                    world.pass(PATIENCE_MS * 2);
                    in_time = 0;
                }
            }
            world.take(step);
        }
        world.settle();
        for request in &world.requests {
            let found = matches!(request.stage, Stage::Found);
            prop_assert_eq!(found, request.good, "{:?}", request);
        }
    }
}

#[test]
fn a_cold_isolate_under_load_fetches_once() {
    let mut world = World::new(vec![Fate::Answers(800)]);
    for _ in 0..300 {
        world.take(&Step::Good);
        world.take(&Step::Pass(1));
    }
    world.settle();
    assert_eq!(world.fetches.len(), 1);
    assert!(
        world
            .requests
            .iter()
            .all(|r| matches!(r.stage, Stage::Found))
    );
}

#[test]
fn a_good_token_is_found_when_the_first_answer_after_a_failure_comes() {
    let mut world = World::new(vec![
        Fate::Answers(100),
        Fate::Fails(10),
        Fate::Answers(100),
    ]);
    world.take(&Step::Good);
    world.take(&Step::Pass(20_000));
    world.take(&Step::Rotate);
    world.take(&Step::Good);
    world.settle();
    assert!(
        world
            .requests
            .iter()
            .all(|r| matches!(r.stage, Stage::Found))
    );
    assert_eq!(world.fetches.len(), 3);
}
