//! The load: everybody is asked without pause about credentials that are being ended, and all of it is written
//! down.
//!
//! One thread, and a closed loop on each connection. Whose credential is presented next follows the
//! kills: most are of those that are ended about now, and each that was ended is presented first thing after the
//! acknowledgement. A connection that breaks is a request without an answer, and is made anew.

use super::choice::{Choice, Ending};
use super::people::Trigger;
use super::ways::{Way, is_by_view, outcome};
use crate::connection::{Answer, Connection, readable_of};
use portcullis_e2e::Result;
use portcullis_e2e::app::Tokens;
use portcullis_e2e::history::{Fault, History, Kill, Micros, Outcome, Request};
use rustix::event::Timespec;
use std::time::{Duration, Instant, SystemTime};
use url::Url;

/// How many connections each way has.
const CONNECTIONS: usize = 1;
/// Longer than this nobody waits for an answer.
const PATIENCE: Micros = 12_000_000;
/// How soon a connection that broke is made anew.
const PAUSE: Micros = 50_000;
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
    /// When it was acknowledged, and whether by more than 202.
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

    fn ending(&self) -> Ending {
        Ending {
            credential: self.credential,
            due: self.due,
            acknowledged: self.acknowledged.map(|(at, _)| at),
        }
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
    choice: Choice,
    clock: Clock,
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
            choice: Choice::new(ways.iter().map(Way::asks).collect(), credentials.len()),
            clock: Clock::start(),
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
        for kill in self.kills.iter().filter(|kill| kill.sent.is_some()) {
            self.choice.again(kill.credential);
        }
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

    fn ask_on(&mut self, index: usize) {
        let Some(way_index) = self.lanes.get(index).map(|lane| lane.way) else {
            return;
        };
        let endings = self.kills.iter().map(Planned::ending);
        let credential = self.choice.next(way_index, self.clock.now(), endings);
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
                self.choice.acknowledged(kill.credential, now);
            }
            Some(other) => self.odd.push(other),
            None => {}
        }
    }
}
