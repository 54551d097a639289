use super::*;
use crate::view::testing::{
    BEGAN, NOW, Service, Token, barred, ended, killed, seed, session, subject, token,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const MANY: usize = 1000;
const ONE: Token = Token {
    subject: 1,
    id: 2,
    issued_at: NOW,
};

fn at(ms: u64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

fn aged(pages: Vec<Opened>) -> Vec<(Opened, u64)> {
    pages.into_iter().map(|page| (page, 0)).collect()
}

/// Asks, if it is time, and takes what comes.
fn refresh(feed: &mut Feed, service: &Service, now: UnixMillis) {
    if let Some(ticket) = feed.due(1000, now) {
        let answer = service.answer(&feed.poll(), now, MANY);
        feed.answered(ticket, aged(answer), now).expect("taken");
    }
}

fn fresh() -> (Feed, Service) {
    let (mut feed, service) = (Feed::new(seed()), Service::new());
    refresh(&mut feed, &service, NOW);
    assert_eq!(feed.view().age_ms(NOW), Some(0));
    (feed, service)
}

#[test]
fn an_isolate_that_has_just_begun_knows_nothing_and_asks() {
    let mut feed = Feed::new(seed());
    assert_eq!(feed.judge(&ONE.marks(), NOW, 1000), Local::Stale);
    assert!(feed.due(1000, NOW).is_some());
}

#[test]
fn one_asks_at_a_third_of_the_age_and_one_at_a_time() {
    let (mut feed, _) = fresh();
    assert!(feed.due(1000, at(333)).is_none());
    let ticket = feed.due(1000, at(334));
    assert!(ticket.is_some());
    assert!(feed.due(1000, at(334)).is_none());
}

#[test]
fn who_never_reports_keeps_others_from_asking_for_a_while_only() {
    let (mut feed, service) = fresh();
    let lost = feed.due(1000, at(1000)).expect("due");
    let asked = feed.poll();
    assert!(feed.due(1000, at(1000 + FLIGHT_MS - 1)).is_none());
    let next = feed.due(1000, at(1000 + FLIGHT_MS)).expect("due");
    // It reports after all: taken in, as old as its question, and the other is still under way.
    let late = service.answer(&asked, at(1200), MANY);
    let taken = feed.answered(lost, aged(late), at(3600));
    assert_eq!(taken, Ok(Progress::UpToDate));
    assert_eq!(feed.view().age_ms(at(3600)), Some(2600));
    assert!(feed.due(1000, at(3600)).is_none());
    let answer = service.answer(&feed.poll(), at(3600), MANY);
    assert!(feed.answered(next, aged(answer), at(3650)).is_ok());
    assert_eq!(feed.view().age_ms(at(3650)), Some(150));
}

#[test]
fn failures_make_asking_rare_and_success_makes_it_usual_again() {
    let mut feed = Feed::new(seed());
    let mut now = NOW;
    let mut rests = Vec::new();
    for _ in 0..8 {
        let ticket = feed.due(1000, now).expect("due");
        feed.failed(ticket, now);
        let failed_at = now;
        while feed.due(1000, UnixMillis(now.0 + 100)).is_none() {
            now.0 += 100;
        }
        // That one is never reported.
        feed.flight = None;
        now.0 += 100;
        rests.push(now.0 - failed_at.0);
    }
    assert_eq!(rests, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    refresh(&mut feed, &Service::new(), now);
    assert_eq!((feed.failures, feed.view().age_ms(now)), (0, Some(0)));
}

#[test]
fn a_request_waits_for_whoever_asks_or_asks_and_not_for_ever() {
    let mut feed = Feed::new(seed());
    let (mut first, mut second) = (Turn::default(), Turn::default());
    let Wait::Ask(ticket) = feed.wait(&mut first, 1000, NOW) else {
        panic!("does not ask");
    };
    for step in 0..100 {
        let waits = feed.wait(&mut second, 1000, at(step * 10));
        assert!(matches!(waits, Wait::Sleep(10)), "{step}: {waits:?}");
    }
    assert!(matches!(
        feed.wait(&mut second, 1000, at(1000)),
        Wait::GiveUp
    ));
    feed.failed(ticket, at(1000));
    // Who has asked in vain does not ask again, and nobody waits while it is no use.
    assert!(matches!(
        feed.wait(&mut first, 1000, at(1000)),
        Wait::GiveUp
    ));
    let mut third = Turn::default();
    assert!(matches!(
        feed.wait(&mut third, 1000, at(1050)),
        Wait::GiveUp
    ));
    assert!(matches!(
        feed.wait(&mut third, 1000, at(1100)),
        Wait::Ask(_)
    ));
}

#[test]
fn who_waited_judges_as_soon_as_the_view_is_fresh() {
    let (mut feed, service) = fresh();
    let mut turn = Turn::default();
    let Wait::Ask(ticket) = feed.wait(&mut turn, 1000, at(5000)) else {
        panic!("does not ask");
    };
    let answer = service.answer(&feed.poll(), at(5000), MANY);
    feed.answered(ticket, aged(answer), at(5010))
        .expect("taken");
    assert!(matches!(feed.wait(&mut turn, 1000, at(5010)), Wait::Judge));
    assert_eq!(
        feed.judge(&ONE.marks(), at(5010), 1000),
        Local::Clear { age_ms: 10 }
    );
}

#[test]
fn only_so_many_wait() {
    let mut feed = Feed::new(seed());
    let _ticket = feed.due(1000, NOW);
    let waits =
        |feed: &mut Feed| matches!(feed.wait(&mut Turn::default(), 1000, NOW), Wait::Sleep(_));
    let waiting = (0..1000).filter(|_| waits(&mut feed)).count();
    assert_eq!(waiting, 512);
}

#[test]
fn more_pages_are_asked_for_at_once() {
    let (mut feed, mut service) = (Feed::new(seed()), Service::new());
    for index in 0..5 {
        service.append(ended(session(10 + index), NOW));
    }
    for expected in [Progress::Behind, Progress::Behind, Progress::UpToDate] {
        let ticket = feed.due(1000, NOW).expect("due");
        let answer = service.answer(&feed.poll(), NOW, 2);
        assert_eq!(feed.answered(ticket, aged(answer), NOW), Ok(expected));
    }
    assert!(feed.due(1000, NOW).is_none());
}

#[test]
fn a_clock_that_goes_back_makes_the_view_of_no_known_age_until_it_is_asked_anew() {
    let (mut feed, service) = fresh();
    let before = feed.due(1000, at(900)).expect("due");
    let asked = feed.poll();
    assert_eq!(feed.judge(&ONE.marks(), at(500), 1000), Local::Stale);
    let answer = service.answer(&asked, at(901), MANY);
    let refused = feed.answered(before, aged(answer), at(501));
    assert_eq!(refused, Err(Refused::ClocksDiffer));
    refresh(&mut feed, &service, at(950));
    assert_eq!(
        feed.judge(&ONE.marks(), at(950), 1000),
        Local::Clear { age_ms: 0 }
    );
}

#[test]
fn who_sees_a_little_less_of_the_clock_counts_by_what_was_seen_and_the_difference() {
    let (mut feed, service) = fresh();
    let mut age = |ms| feed.judge(&ONE.marks(), at(ms), 1000);
    assert_eq!(age(100), Local::Clear { age_ms: 100 });
    // It may be another request's clock, or ours went back: then more time has passed than it shows.
    assert_eq!(age(60), Local::Clear { age_ms: 140 });
    assert_eq!(age(110), Local::Clear { age_ms: 150 });
    assert_eq!(age(105), Local::Clear { age_ms: 150 });
    let ticket = feed.due(1000, at(340)).expect("due");
    let answer = service.answer(&feed.poll(), at(345), MANY);
    feed.answered(ticket, aged(answer), at(350)).expect("taken");
    assert_eq!(
        feed.judge(&ONE.marks(), at(350), 1000),
        Local::Clear { age_ms: 10 }
    );
    assert_eq!(feed.judge(&ONE.marks(), at(299), 1000), Local::Stale);
}

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    ClockAhead(u64),
    ClockBack(u64),
    Issue(u8),
    EndSession(usize),
    EndToken(usize),
    Kill(u8),
    Bar(u8),
    LetIn(u8),
    Restart(bool),
    Layout(u32),
    Due,
    Wait,
    Serve(usize, usize),
    Deliver(usize),
    Truncate(usize),
    Replay(usize, usize),
    Fail(usize),
    Lose(usize),
    Judge(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = 0usize..8;
    let step = prop_oneof![
        12 => (0u64..400).prop_map(Step::Pass),
        1 => (0u64..100_000).prop_map(Step::Pass),
        1 => (0u64..5000).prop_map(Step::ClockAhead),
        1 => (JITTER_MS + 1..5000).prop_map(Step::ClockBack),
        3 => (0u8..4).prop_map(Step::Issue),
        2 => n.clone().prop_map(Step::EndSession),
        2 => n.clone().prop_map(Step::EndToken),
        2 => (0u8..4).prop_map(Step::Kill),
        1 => (0u8..4).prop_map(Step::Bar),
        1 => (0u8..4).prop_map(Step::LetIn),
        1 => any::<bool>().prop_map(Step::Restart),
        1 => (1u32..=2).prop_map(Step::Layout),
        8 => Just(Step::Due),
        4 => Just(Step::Wait),
        12 => (n.clone(), 1usize..4).prop_map(|(k, limit)| Step::Serve(k, limit * limit)),
        12 => n.clone().prop_map(Step::Deliver),
        1 => n.clone().prop_map(Step::Truncate),
        3 => (n.clone(), n.clone()).prop_map(|(k, j)| Step::Replay(k, j)),
        1 => n.clone().prop_map(Step::Fail),
        1 => n.clone().prop_map(Step::Lose),
        12 => (n, 100u64..3000).prop_map(|(k, max)| Step::Judge(k, max)),
    ];
    prop::collection::vec(step, 0..250)
}

/// A question, and what was answered when.
type InFlight = (Ticket, Poll, Option<(Vec<Opened>, UnixMillis)>);

/// A service, a gateway, and what is between them.
struct World {
    service: Service,
    feed: Feed,
    /// The true time, which is the service's.
    now: UnixMillis,
    /// How far the gateway's clock is ahead.
    ahead_ms: u64,
    lives: u8,
    tokens: Vec<Token>,
    barred: BTreeMap<u8, bool>,
    /// When each token was ended.
    ended: BTreeMap<u8, UnixMillis>,
    polls: Vec<InFlight>,
    answers: Vec<Vec<Opened>>,
    turn: Turn,
    /// When an answer was taken in at the very moment it was made: from then on the view knows how the
    /// clocks differ.
    sure_since: Option<UnixMillis>,
    replayed: bool,
}

impl World {
    fn new() -> Self {
        let token = |id: u8| Token {
            subject: id / 2,
            id,
            issued_at: NOW,
        };
        Self {
            service: Service::new(),
            feed: Feed::new(seed()),
            now: NOW,
            ahead_ms: 10_000,
            lives: 1,
            tokens: (0..8).map(token).collect(),
            barred: BTreeMap::new(),
            ended: BTreeMap::new(),
            polls: Vec::new(),
            answers: Vec::new(),
            turn: Turn::default(),
            sure_since: None,
            replayed: false,
        }
    }

    /// The time by the gateway's clock.
    fn clock(&self) -> UnixMillis {
        UnixMillis(self.now.0 + self.ahead_ms - 10_000)
    }

    fn end(&mut self, is_ended: impl Fn(&Token) -> bool) {
        for token in self.tokens.iter().filter(|token| is_ended(token)) {
            self.ended.entry(token.id).or_insert(self.now);
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass(ms) => self.now.0 += ms,
            Step::ClockAhead(ms) => self.ahead_ms = (self.ahead_ms + ms).min(20_000),
            Step::ClockBack(ms) => {
                // A jump that nobody could have seen is one that nobody can be asked to see.
                self.judge(0, 1000);
                self.ahead_ms = self.ahead_ms.saturating_sub(ms);
                self.judge(0, 1000);
            }
            Step::Issue(subject) => {
                let id = u8::try_from(self.tokens.len()).unwrap_or(u8::MAX);
                if !self.barred.contains_key(&subject) && id < 100 {
                    self.tokens.push(Token {
                        subject,
                        id,
                        issued_at: self.now,
                    });
                }
            }
            Step::EndSession(k) => {
                let id = self.token(k).id;
                self.end(|token| token.id == id);
                self.service.append(ended(session(id), self.now));
            }
            Step::EndToken(k) => {
                let id = self.token(k).id;
                self.end(|token| token.id == id);
                self.service.append(ended(token(id), self.now));
            }
            Step::Kill(of) => {
                if !self.barred.contains_key(&of) {
                    self.end(|token| token.subject == of);
                    self.service.append(killed(subject(of), self.now));
                }
            }
            Step::Bar(of) => {
                self.end(|token| token.subject == of);
                self.barred.insert(of, true);
                self.service.append(barred(subject(of), self.now));
            }
            Step::LetIn(of) => {
                if self.barred.remove(&of).is_some() {
                    self.service.append(killed(subject(of), self.now));
                }
            }
            Step::Restart(keeps) => {
                self.lives = self.lives.saturating_add(1);
                self.service.restart(self.lives, self.now, keeps);
            }
            Step::Layout(shards) => self.service.shards = shards,
            Step::Judge(k, max_age_ms) => self.judge(k, max_age_ms),
            _ => self.between(step),
        }
    }

    /// What is on its way between them.
    fn between(&mut self, step: &Step) {
        match *step {
            Step::Due => {
                let clock = self.clock();
                if let Some(ticket) = self.feed.due(1000, clock) {
                    self.polls.push((ticket, self.feed.poll(), None));
                }
            }
            Step::Wait => {
                let clock = self.clock();
                match self.feed.wait(&mut self.turn, 1000, clock) {
                    Wait::Ask(ticket) => self.polls.push((ticket, self.feed.poll(), None)),
                    Wait::Sleep(ms) => self.now.0 += ms,
                    Wait::Judge | Wait::GiveUp => self.turn = Turn::default(),
                }
            }
            Step::Serve(k, limit) => {
                let (now, len) = (self.now, self.polls.len());
                if let Some((_, poll, answer)) = self.polls.get_mut(k % len.max(1)) {
                    *answer = Some((self.service.answer(poll, now, limit), now));
                }
            }
            Step::Deliver(k) => self.deliver(k, |pages, _| pages),
            Step::Truncate(k) => self.deliver(k, |mut pages, _| {
                pages.pop();
                pages
            }),
            Step::Replay(k, j) => {
                // What came before is known for it by the feed's clock, once it is known how that
                // differs. By nothing else.
                if self.sure_since.is_some() && self.feed.view().as_of().is_some() {
                    let layout = self.feed.poll().known.len();
                    self.replayed = true;
                    self.deliver(k, |pages, answers| {
                        let earlier = answers.get(j % answers.len().max(1));
                        let earlier = earlier.filter(|earlier| earlier.len() == layout);
                        earlier.cloned().unwrap_or(pages)
                    });
                }
            }
            Step::Fail(k) => {
                if !self.polls.is_empty() {
                    let (ticket, ..) = self.polls.remove(k % self.polls.len());
                    self.feed.failed(ticket, self.clock());
                }
            }
            Step::Lose(k) => {
                if !self.polls.is_empty() {
                    drop(self.polls.remove(k % self.polls.len()));
                }
            }
            _ => unreachable!("{step:?} is of one of them"),
        }
    }

    fn token(&self, k: usize) -> Token {
        self.tokens[self.tokens.len() - 1 - k % self.tokens.len()]
    }

    fn deliver(&mut self, k: usize, change: impl Fn(Vec<Opened>, &[Vec<Opened>]) -> Vec<Opened>) {
        let len = self.polls.len();
        let served = |(_, _, answer): &InFlight| answer.is_some();
        if !self.polls.get(k % len.max(1)).is_some_and(served) {
            return;
        }
        let (ticket, _, answer) = self.polls.remove(k % len);
        let (pages, made_at) = answer.expect("served");
        let sent = change(pages.clone(), &self.answers);
        self.answers.push(pages);
        // What the service's own sharing adds: a page may be older, and says so.
        let age_ms = if made_at.0 % 3 == 0 { 5 } else { 0 };
        let sent = sent.into_iter().map(|page| (page, age_ms)).collect();
        let before = self.feed.view().poll();
        let taken = self.feed.answered(ticket, sent, self.clock());
        self.never_goes_back(&before);
        let layout = self.feed.poll().known.len();
        if self.feed.view().as_of().is_none() || layout != before.known.len() {
            self.sure_since = None;
        }
        if taken.is_ok() && made_at == self.now && self.feed.view().as_of().is_some() {
            self.sure_since = Some(self.now);
        }
    }

    fn never_goes_back(&self, before: &Poll) {
        let after = self.feed.view().poll();
        for known in &before.known {
            let same = |now: &&portcullis_core::feed::poll::Cursor| {
                now.shard == known.shard && now.incarnation == known.incarnation
            };
            if let Some(now) = after.known.iter().find(same) {
                assert!(now.through >= known.through, "{before:?} {after:?}");
            }
        }
    }

    fn judge(&mut self, k: usize, max_age_ms: u64) {
        let (token, clock) = (self.token(k), self.clock());
        // One that has expired does not come this far.
        if clock >= token.issued_at.plus_secs(300) {
            return;
        }
        if let Local::Clear { age_ms } = self.feed.judge(&token.marks(), clock, max_age_ms) {
            assert!(age_ms <= max_age_ms);
            let drift = match self.sure_since {
                Some(since) if self.replayed => 1 + (self.now.0 - since.0) / 1000,
                _ => 0,
            };
            if let Some(ended) = self.ended.get(&token.id) {
                let ago = self.now.0 - ended.0;
                assert!(
                    ago <= age_ms + drift,
                    "{token:?} ended {ago} ms ago, age {age_ms}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_that_was_ended_longer_ago_than_the_views_age_is_clear(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(&step);
        }
    }

    #[test]
    fn whatever_happened_the_view_is_fresh_again_once_nothing_is_in_the_way(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(&step);
        }
        world.polls.clear();
        world.now.0 += 100_000;
        for _ in 0..60 {
            world.now.0 += MAX_REST_MS;
            world.step(&Step::Due);
            world.step(&Step::Serve(0, MANY));
            world.step(&Step::Deliver(0));
        }
        let now = world.now;
        world.tokens.push(Token { subject: 50, id: 101, issued_at: now });
        let began = world.service.incarnation.began_at.plus_secs(61);
        prop_assert!(BEGAN < began && began < now);
        let (clock, marks) = (world.clock(), world.token(0).marks());
        let judged = world.feed.judge(&marks, clock, 1000);
        prop_assert!(matches!(judged, Local::Clear { .. }), "{:?}", judged);
    }
}
