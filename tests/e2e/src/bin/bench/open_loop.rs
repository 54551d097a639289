//! An open loop: each request is sent when it is due, on a fixed schedule, whether or not those before it have
//! been answered.
//!
//! A latency counts from when its request was due. In a closed loop a server that stands still is asked
//! nothing meanwhile, and the wait counts once; here it counts for everybody who would have come.
//! A request that finds every connection taken waits for one, and that counts as well.
//!
//! One thread. What is due on the schedule in the first moments of a run is not counted: connections are new.

use crate::connection::{readable, readable_within};
use crate::load::{Target, WARM_UP};
use crate::statistics::Latencies;
use portcullis_e2e::{Failure, Result};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many requests can be under way.
const CONNECTIONS: usize = 64;

/// Sends to `target` so many times a second for as long as told, and gives back each answer's latency.
pub fn run(target: &Target, per_second: f64, length: Duration) -> Result<Latencies> {
    let interval = Duration::try_from_secs_f64(1.0 / per_second)
        .map_err(|_| Failure::new(format!("no schedule has {per_second} requests a second")))?;
    let mut connections = (0..CONNECTIONS)
        .map(|_| target.connect())
        .collect::<Result<Vec<_>>>()?;
    let mut schedule = Schedule::new(interval, WARM_UP, length, CONNECTIONS);
    let mut latencies = Latencies::default();
    let begun = Instant::now();
    while !schedule.is_over() {
        while let Some(index) = schedule.send(begun.elapsed()) {
            if let Some(connection) = connections.get_mut(index) {
                connection.send(target.request())?;
            }
        }
        let ready = match schedule.idle_for(begun.elapsed()) {
            Some(idle) => readable_within(&connections, &idle.try_into()?)?,
            None => readable(&connections)?,
        };
        for index in ready {
            let Some(connection) = connections.get_mut(index) else {
                continue;
            };
            if let Some(answer) = connection.read()? {
                target.expect(&answer)?;
                if let Some(latency) = schedule.answered(index, begun.elapsed()) {
                    latencies.push(latency);
                }
            }
        }
    }
    Ok(latencies)
}

/// What is due when and on which connection, and how late the answers are. Knows no clock: every time is since
/// the beginning of the run.
struct Schedule {
    interval: Duration,
    counted_from: Duration,
    end: Duration,
    /// How many have been sent.
    sent: u32,
    /// Connections with nothing under way, the longest idle first: a server closes one that stays so.
    idle: VecDeque<usize>,
    /// When each connection's request was due, if one is under way.
    under_way: Vec<Option<Duration>>,
}

impl Schedule {
    /// One request every `interval`, for `length` after a `warm_up` that does not count.
    fn new(interval: Duration, warm_up: Duration, length: Duration, connections: usize) -> Self {
        Self {
            interval,
            counted_from: warm_up,
            end: warm_up + length,
            sent: 0,
            idle: (0..connections).collect(),
            under_way: vec![None; connections],
        }
    }

    /// The connection on which to send one now, if one is due and there is a connection.
    fn send(&mut self, now: Duration) -> Option<usize> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let connection = self.idle.pop_front()?;
        *self.under_way.get_mut(connection)? = Some(due);
        self.sent += 1;
        Some(connection)
    }

    /// How long there is nothing to send; `None` if that depends on an answer, or on nothing more.
    fn idle_for(&self, now: Duration) -> Option<Duration> {
        let due = self.next_due().filter(|_| !self.idle.is_empty())?;
        Some(due.saturating_sub(now))
    }

    /// The request under way there has its answer: its latency, if it counts.
    fn answered(&mut self, connection: usize, now: Duration) -> Option<Duration> {
        let due = self.under_way.get_mut(connection)?.take()?;
        self.idle.push_back(connection);
        (due >= self.counted_from).then(|| now.saturating_sub(due))
    }

    /// Whether everything has been sent and answered.
    fn is_over(&self) -> bool {
        self.next_due().is_none() && self.idle.len() == self.under_way.len()
    }

    fn next_due(&self) -> Option<Duration> {
        let due = self.interval.saturating_mul(self.sent);
        Some(due).filter(|due| *due < self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Every millisecond for `length` of them, without a warm-up.
    fn every_ms(length: u64, connections: usize) -> Schedule {
        Schedule::new(ms(1), ms(0), ms(length), connections)
    }

    /// The latencies if a server answers in the millisecond `answered(sent)` what was sent in an earlier one, `sent`;
    /// in order of the answers.
    fn simulated(mut schedule: Schedule, answered: impl Fn(u64) -> u64) -> Vec<Duration> {
        let mut latencies = Vec::new();
        let mut coming = Vec::new();
        for now in 0.. {
            coming.retain(|(connection, at)| {
                if *at <= now {
                    latencies.extend(schedule.answered(*connection, ms(now)));
                }
                *at > now
            });
            while let Some(connection) = schedule.send(ms(now)) {
                coming.push((connection, answered(now)));
            }
            if schedule.is_over() {
                break;
            }
        }
        latencies
    }

    #[test]
    fn each_is_sent_when_it_is_due_whether_or_not_others_are_answered() {
        let mut schedule = every_ms(3, 8);
        assert_eq!(schedule.send(ms(0)), Some(0));
        assert_eq!(schedule.send(ms(0)), None);
        assert_eq!(
            schedule.idle_for(Duration::from_micros(400)),
            Some(Duration::from_micros(600))
        );
        // Whoever looks late sends what has become due meanwhile.
        assert_eq!(schedule.idle_for(ms(2)), Some(ms(0)));
        assert_eq!(schedule.send(ms(2)), Some(1));
        assert_eq!(schedule.send(ms(2)), Some(2));
        assert_eq!(schedule.send(ms(9)), None);
        assert_eq!(schedule.idle_for(ms(9)), None);
        assert!(!schedule.is_over());
        let latencies = [2, 0, 1].map(|connection| schedule.answered(connection, ms(9)));
        assert_eq!(latencies, [7, 9, 8].map(|late| Some(ms(late))));
        assert_eq!(schedule.answered(0, ms(9)), None, "it has its answer");
        assert!(schedule.is_over());
    }

    #[test]
    fn a_server_that_stands_still_is_late_for_everything_that_was_due_meanwhile() {
        // It takes a millisecond, but answers nothing after 100 ms until 200 ms.
        let answered = |sent| match sent {
            100..200 => 200,
            _ => sent + 1,
        };
        let latencies = simulated(every_ms(1000, 200), answered);
        assert_eq!(latencies.len(), 1000);
        let late = latencies.into_iter().filter(|latency| *latency > ms(1));
        assert!(late.eq((2..=100).rev().map(ms)));
    }

    #[test]
    fn what_waits_for_a_connection_is_late_by_that_too() {
        let taking_5 = |sent: u64| sent + 5;
        // Due at 0, 1, 2 and 3, sent at 0, 5, 10 and 15.
        let late = simulated(every_ms(4, 1), taking_5);
        assert_eq!(late, [5, 9, 13, 17].map(ms));
        let mut schedule = every_ms(4, 1);
        schedule.send(ms(0));
        assert_eq!(schedule.idle_for(ms(0)), None, "an answer comes first");
        // With a connection for each there is no wait.
        assert_eq!(simulated(every_ms(4, 4), taking_5), [ms(5); 4]);
    }

    #[test]
    fn what_was_due_during_the_warm_up_is_not_counted_however_late_its_answer() {
        let schedule = Schedule::new(ms(1), ms(3), ms(2), 8);
        let answered = |sent| if sent < 3 { 50 } else { sent + 1 };
        assert_eq!(simulated(schedule, answered), [ms(1); 2]);
    }

    #[test]
    fn connections_take_turns() {
        let mut schedule = every_ms(9, 3);
        let turns = (0..6).map(|now| {
            let connection = schedule.send(ms(now))?;
            schedule.answered(connection, ms(now));
            Some(connection)
        });
        let expected = [0, 1, 2, 0, 1, 2].map(Some);
        assert_eq!(turns.collect::<Vec<_>>(), expected);
    }
}
