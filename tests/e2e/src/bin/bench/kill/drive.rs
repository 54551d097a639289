//! The load: everybody is asked without pause about credentials that are being ended, and all of it is written
//! down.
//!
//! One thread, and a closed loop on each connection. Whose credential is presented next follows the
//! kills: most are of those that are ended about now, and each that was ended is presented first thing after the
//! acknowledgement. A connection that breaks is a request without an answer, and is made anew.

use super::people::Trigger;
use crate::connection::{Answer, Connection, readable_of, request};
use crate::wire::find;
use portcullis_e2e::Result;
use portcullis_e2e::api::bearer;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::history::{Consistency, Fault, History, Kill, Micros, Outcome, Request};
use rustix::event::Timespec;
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// How many connections each way has.
const CONNECTIONS: usize = 1;
/// Longer than this nobody waits for an answer.
const PATIENCE: Micros = 12_000_000;
/// How soon a connection that broke is made anew.
const PAUSE: Micros = 50_000;
/// How long before a kill and after its acknowledgement its credentials are asked about the most.
const BEFORE: Micros = 50_000;
const AFTER_STRICT: Micros = 100_000;
const AFTER_BOUND: Micros = 500_000;
/// One request of so many is about anybody.
const ANYBODY: u64 = 6;

/// Whom to ask, and how sure they must be.
pub struct Way {
    /// Where.
    pub url: Url,
    /// How sure.
    pub consistency: Consistency,
    /// What it is.
    pub kind: Kind,
}

/// What a way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The service's own check, by token.
    Check,
    /// A gateway's strict route.
    Strict,
    /// A bounded one that waits for a fresh view, and is refused without.
    Refreshes,
    /// A bounded one that is checked strictly where the view is too old.
    FallsBack,
}

/// A kill, and what came of it.
pub struct Planned {
    /// How.
    pub trigger: Trigger,
    /// Which of the credentials it ends.
    pub credential: usize,
    address: String,
    request: Vec<u8>,
    due: Micros,
    sent: Option<Micros>,
    /// When it was acknowledged, and whether the feed had it by then.
    pub acknowledged: Option<(Micros, bool)>,
}

impl Planned {
    /// One that sends this.
    pub fn new(trigger: Trigger, credential: usize, url: &Url, request: Vec<u8>) -> Self {
        Self {
            trigger,
            credential,
            address: url.authority().to_owned(),
            request,
            due: Micros::MAX,
            sent: None,
            acknowledged: None,
        }
    }

    /// As the judge sees it.
    pub fn seen(&self, committed: Option<Micros>) -> Option<Kill> {
        Some(Kill {
            covers: vec![self.credential],
            sent: self.sent?,
            acknowledged: self.acknowledged.map(|(at, _)| at),
            committed,
        })
    }

    fn is_hot(&self, consistency: Consistency, now: Micros) -> bool {
        let after = match consistency {
            Consistency::Strict => AFTER_STRICT,
            Consistency::Bounded(bound) => bound + AFTER_BOUND,
        };
        let since = self
            .acknowledged
            .map_or(0, |(at, _)| now.saturating_sub(at));
        self.due <= now.saturating_add(BEFORE) && since <= after
    }
}

/// A connection of a way.
struct Lane {
    way: usize,
    connection: Option<Connection>,
    /// Which credential it asks about, and since when.
    asks: Option<(usize, Micros)>,
    not_before: Micros,
}

/// One run, over one set of credentials.
pub struct Drive<'a> {
    ways: &'a [Way],
    credentials: &'a [Tokens],
    /// The kills, and what came of them.
    pub kills: Vec<Planned>,
    /// What was seen. Its kills are added when their receipts are known.
    pub history: History,
    /// When the answers came that said that they passed by a view.
    pub by_view: Vec<Micros>,
    /// Status codes that are neither acceptance nor denial, in the order of their coming.
    pub odd: Vec<u16>,
    lanes: Vec<Lane>,
    /// The kills under way: which, and its connection.
    killing: Vec<(usize, Connection)>,
    /// What each way asks about next.
    urgent: Vec<VecDeque<usize>>,
    /// What the bounded ways ask about from then on.
    later: VecDeque<(Micros, usize)>,
    clock: Clock,
    chance: u64,
}

/// The time of the day, which does not jump.
struct Clock {
    begun: Instant,
    at: Micros,
}

impl Clock {
    fn start() -> Self {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            begun: Instant::now(),
            at: at.map_or(0, micros),
        }
    }

    fn now(&self) -> Micros {
        self.at + micros(self.begun.elapsed())
    }
}

/// A time span in microseconds.
pub fn micros(length: Duration) -> Micros {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl<'a> Drive<'a> {
    /// Nothing is sent yet.
    pub fn new(ways: &'a [Way], credentials: &'a [Tokens], kills: Vec<Planned>) -> Self {
        let lanes = (0..ways.len() * CONNECTIONS).map(|number| Lane {
            way: number % ways.len(),
            connection: None,
            asks: None,
            not_before: 0,
        });
        Self {
            ways,
            credentials,
            kills,
            history: History::default(),
            by_view: Vec::new(),
            odd: Vec::new(),
            lanes: lanes.collect(),
            killing: Vec::new(),
            urgent: vec![VecDeque::new(); ways.len()],
            later: VecDeque::new(),
            clock: Clock::start(),
            chance: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// Now, by the clock of the record.
    pub fn now(&self) -> Micros {
        self.clock.now()
    }

    /// Asks for so long, and sends so many more of the kills meanwhile, evenly.
    pub fn run(&mut self, length: Duration, kills: usize) -> Result {
        let begun = self.now();
        let end = begun + micros(length);
        let waiting = self.kills.iter_mut().filter(|kill| kill.due == Micros::MAX);
        for (index, kill) in (0u64..).zip(waiting.take(kills)) {
            let of = u64::try_from(kills).unwrap_or(1).max(1);
            kill.due = begun + micros(length) * index / of;
        }
        while self.now() < end {
            self.send_kills();
            self.ask();
            self.read(Duration::from_millis(2))?;
        }
        Ok(())
    }

    /// Asks until every way has answered so often: connections are new, and so may views and isolates be.
    pub fn warm_up(&mut self, answers: usize) -> Result {
        let end = self.now() + PATIENCE;
        let is_warm = |it: &Self| {
            (0..it.ways.len()).all(|way| {
                let of_way = it
                    .history
                    .requests
                    .iter()
                    .filter(|request| request.way == way);
                of_way.take(answers).count() == answers
            })
        };
        while !is_warm(self) && self.now() < end {
            self.run(Duration::from_millis(100), 0)?;
        }
        Ok(())
    }

    /// Asks nothing more, and waits for the answers that are to come.
    pub fn finish(&mut self) -> Result {
        let end = self.now() + PATIENCE;
        let under_way = |it: &Self| {
            let asking = it.lanes.iter().any(|lane| lane.asks.is_some());
            asking || !it.killing.is_empty()
        };
        while under_way(self) && self.now() < end {
            self.read(Duration::from_millis(20))?;
        }
        self.hang_up();
        Ok(())
    }

    /// Everybody is gone: what was asked has no answer.
    pub fn hang_up(&mut self) {
        self.killing.clear();
        for index in 0..self.lanes.len() {
            self.broken(index);
        }
    }

    /// Everything was broken from then until now.
    pub fn fault(&mut self, from: Micros) {
        self.history.faults.push(Fault {
            from,
            to: self.now(),
            ways: (0..self.ways.len()).collect(),
        });
    }

    /// Has the bounded ways ask about everything that was ended, soon.
    pub fn ask_again(&mut self) {
        let now = self.now();
        let ended = self.kills.iter().filter(|kill| kill.sent.is_some());
        self.later.extend(ended.map(|kill| (now, kill.credential)));
    }

    fn send_kills(&mut self) {
        let now = self.now();
        for (index, kill) in self.kills.iter_mut().enumerate() {
            if kill.due > now || kill.sent.is_some() {
                continue;
            }
            kill.sent = Some(self.clock.now());
            let sent = Connection::open(&kill.address).and_then(|mut connection| {
                connection.send(&kill.request)?;
                Ok(connection)
            });
            // Without an answer it may or may not have been carried out: its receipt will say.
            self.killing
                .extend(sent.ok().map(|connection| (index, connection)));
        }
    }

    fn ask(&mut self) {
        let now = self.now();
        while let Some((at, credential)) = self.later.front().copied() {
            if at > now {
                break;
            }
            self.later.pop_front();
            self.ask_next(credential, |consistency| consistency != Consistency::Strict);
        }
        for index in 0..self.lanes.len() {
            let Some(lane) = self.lanes.get(index) else {
                continue;
            };
            if lane
                .asks
                .is_some_and(|(_, since)| now.saturating_sub(since) > PATIENCE)
            {
                self.broken(index);
            } else if lane.asks.is_none() && lane.not_before <= now {
                self.ask_on(index);
            }
        }
    }

    /// Has every way that is so sure ask about this next.
    fn ask_next(&mut self, credential: usize, of: impl Fn(Consistency) -> bool) {
        for (way, urgent) in self.ways.iter().zip(&mut self.urgent) {
            if of(way.consistency) {
                urgent.push_back(credential);
            }
        }
    }

    fn ask_on(&mut self, index: usize) {
        let Some(way_index) = self.lanes.get(index).map(|lane| lane.way) else {
            return;
        };
        let credential = self.choose(way_index);
        let (Some(way), Some(tokens)) =
            (self.ways.get(way_index), self.credentials.get(credential))
        else {
            return;
        };
        let bytes = way.request(tokens);
        let invoked = self.now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        if lane.connection.is_none() {
            lane.connection = Connection::open(way.url.authority()).ok();
        }
        let sent = lane
            .connection
            .as_mut()
            .map(|connection| connection.send(&bytes));
        lane.asks = Some((credential, invoked));
        if !matches!(sent, Some(Ok(()))) {
            self.broken(index);
        }
    }

    fn choose(&mut self, way: usize) -> usize {
        if let Some(credential) = self.urgent.get_mut(way).and_then(VecDeque::pop_front) {
            return credential;
        }
        let now = self.now();
        let chance = self.draw();
        let Some(consistency) = self.ways.get(way).map(|way| way.consistency) else {
            return 0;
        };
        let hot: Vec<usize> = self
            .kills
            .iter()
            .filter(|kill| kill.is_hot(consistency, now))
            .map(|kill| kill.credential)
            .collect();
        if hot.is_empty() || chance.is_multiple_of(ANYBODY) {
            one_of(self.draw(), self.credentials.len())
        } else {
            let which = one_of(self.draw(), hot.len());
            hot.get(which).copied().unwrap_or_default()
        }
    }

    /// Xorshift, the same in each run.
    const fn draw(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn read(&mut self, at_most: Duration) -> Result {
        let lanes = self.lanes.len();
        // A lane without a connection asks nothing.
        let asking: Vec<usize> = (0..lanes)
            .filter(|index| {
                self.lanes
                    .get(*index)
                    .is_some_and(|lane| lane.connection.is_some())
            })
            .collect();
        let connections = self
            .lanes
            .iter()
            .filter_map(|lane| lane.connection.as_ref());
        let killing = self.killing.iter().map(|(_, connection)| connection);
        let at_most = Timespec::try_from(at_most)?;
        let ready = readable_of(connections.chain(killing), &at_most)?;
        let (of_lanes, of_kills): (Vec<usize>, Vec<usize>) =
            ready.into_iter().partition(|index| *index < asking.len());
        for index in of_lanes {
            if let Some(lane) = asking.get(index) {
                self.read_lane(*lane);
            }
        }
        // From the last on: those before keep their places.
        for index in of_kills.into_iter().rev() {
            self.read_kill(index - asking.len());
        }
        Ok(())
    }

    fn read_lane(&mut self, index: usize) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let Some(connection) = lane.connection.as_mut() else {
            return;
        };
        match connection.read() {
            Ok(None) => {}
            Ok(Some(answer)) => self.answered(index, &answer),
            Err(_) => self.broken(index),
        }
    }

    fn answered(&mut self, index: usize, answer: &Answer) {
        let answered = self.now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let (way, asked) = (lane.way, lane.asks.take());
        let outcome = outcome(answer);
        match outcome {
            Outcome::Nothing => self.odd.push(answer.status),
            Outcome::Accepted if is_by_view(answer) => {
                self.by_view.push(answered);
            }
            _ => {}
        }
        self.write_down(way, asked, answered, outcome);
    }

    fn broken(&mut self, index: usize) {
        let now = self.now();
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        lane.connection = None;
        lane.not_before = now + PAUSE;
        let (way, asked) = (lane.way, lane.asks.take());
        self.write_down(way, asked, now, Outcome::Nothing);
    }

    fn write_down(
        &mut self,
        way: usize,
        asked: Option<(usize, Micros)>,
        answered: Micros,
        outcome: Outcome,
    ) {
        let consistency = self.ways.get(way).map(|way| way.consistency);
        let Some(((credential, invoked), consistency)) = asked.zip(consistency) else {
            return;
        };
        self.history.requests.push(Request {
            credential,
            way,
            consistency,
            invoked,
            answered,
            outcome,
        });
    }

    fn read_kill(&mut self, index: usize) {
        let Some((kill, connection)) = self.killing.get_mut(index) else {
            return;
        };
        let kill = *kill;
        let answer = match connection.read() {
            Ok(None) => return,
            Ok(Some(answer)) => Some(answer),
            Err(_) => None,
        };
        let now = self.clock.now();
        self.killing.remove(index);
        let Some(kill) = self.kills.get_mut(kill) else {
            return;
        };
        match answer.map(|answer| answer.status) {
            Some(status @ (200 | 202 | 204)) => {
                kill.acknowledged = Some((now, status != 202));
                let credential = kill.credential;
                self.ask_next(credential, |consistency| consistency == Consistency::Strict);
                let bounds = self.ways.iter().filter_map(|way| match way.consistency {
                    Consistency::Strict => None,
                    Consistency::Bounded(bound) => Some(bound),
                });
                if let Some(bound) = bounds.max() {
                    self.later.push_back((now + bound + 20_000, credential));
                }
            }
            Some(other) => self.odd.push(other),
            None => {}
        }
    }
}

impl Way {
    fn request(&self, tokens: &Tokens) -> Vec<u8> {
        if self.kind == Kind::Check {
            let service = format!("Bearer {}", bearer::GATEWAY);
            let headers = [
                ("Authorization", service.as_str()),
                ("Content-Type", "application/json"),
            ];
            let body = json!({ "token": tokens.access }).to_string();
            return request("POST", &self.url, &headers, &body);
        }
        let person = format!("Bearer {}", tokens.access);
        request("GET", &self.url, &[("Authorization", &person)], "")
    }
}

fn outcome(answer: &Answer) -> Outcome {
    let says = |text: &str| find(&answer.body, text.as_bytes()).is_some();
    match answer.status {
        200 if says(r#""verdict":"denied""#) => Outcome::Denied,
        200 => Outcome::Accepted,
        401 => Outcome::Denied,
        _ => Outcome::Nothing,
    }
}

/// Whether the gateway says that it judged by its copy of the feed.
fn is_by_view(answer: &Answer) -> bool {
    let head = answer.head.to_ascii_lowercase();
    find(&head, b"portcullis-check: bounded").is_some()
}

fn one_of(chance: u64, of: usize) -> usize {
    let of = u64::try_from(of).unwrap_or(1).max(1);
    usize::try_from(chance % of).unwrap_or_default()
}
