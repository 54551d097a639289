//! What a record says in numbers.

use super::choice::Asks;
use portcullis_e2e::history::{Consistency, History, Kill, Micros, Outcome, Request};

/// How soon after an acknowledgement a strict way must have been asked, for its kill to count as watched.
const SOON: Micros = 1_000_000;
/// The same of a bounded way, after its bound.
const IN_TIME: Micros = 3_000_000;

/// The requests about what a kill ended.
fn about<'h>(history: &'h History, kill: &'h Kill) -> impl Iterator<Item = &'h Request> {
    let of_it = |request: &&Request| kill.covers.contains(&request.credential);
    history.requests.iter().filter(of_it)
}

/// How long after `since` the last request began that was accepted, in milliseconds; negative if none began after.
/// `None` if none was accepted.
pub fn last_accepted_ms(
    history: &History,
    kill: &Kill,
    since: Micros,
    strict: bool,
) -> Option<f64> {
    let accepted = about(history, kill).filter(|request| {
        request.outcome == Outcome::Accepted
            && (request.consistency == Consistency::Strict) == strict
    });
    let last = accepted.map(|request| request.invoked).max()?;
    Some(ms(last) - ms(since))
}

/// How long after the acknowledgement the first strict check that began after it had denied, in milliseconds.
pub fn first_denied_ms(history: &History, kill: &Kill) -> Option<f64> {
    let acknowledged = kill.acknowledged?;
    let denied = about(history, kill).filter(|request| {
        request.outcome == Outcome::Denied
            && request.consistency == Consistency::Strict
            && request.invoked >= acknowledged
    });
    let first = denied.map(|request| request.answered).min()?;
    Some(ms(first) - ms(acknowledged))
}

/// Whether each of the ways that ask about it was asked about what a kill ended soon after it had to know.
pub fn is_watched(history: &History, kill: &Kill, ways: &[Asks]) -> bool {
    let asks = |way: &Asks| kill.covers.iter().any(|credential| way.of(*credential));
    let mut ways = ways.iter().enumerate().filter(|(_, way)| asks(way));
    ways.all(|(way, asks)| {
        let (from, within) = match asks.consistency {
            Consistency::Strict => (kill.acknowledged, SOON),
            Consistency::Bounded(bound) => (kill.committed.map(|at| at + bound), IN_TIME),
        };
        let Some(from) = from else {
            return false;
        };
        let mut of_way = about(history, kill).filter(|request| request.way == way);
        of_way.any(|request| (from..=from + within).contains(&request.invoked))
    })
}

/// How long after `since` the first of these came, in milliseconds.
pub fn first_since_ms(times: &[Micros], since: Micros) -> Option<f64> {
    let first = times.iter().filter(|time| **time >= since).min()?;
    Some(ms(*first) - ms(since))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds of this era stay below 2^52"
)]
fn ms(micros: Micros) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(way: usize, invoked: Micros, outcome: Outcome) -> Request {
        let consistency = WAYS.get(way).copied().unwrap_or(Consistency::Strict);
        Request {
            credential: 7,
            way,
            consistency,
            invoked,
            answered: invoked + 2_000,
            outcome,
        }
    }

    const WAYS: [Consistency; 2] = [Consistency::Strict, Consistency::Bounded(1_000_000)];

    fn kill() -> Kill {
        Kill {
            covers: vec![7],
            sent: 9_000,
            acknowledged: Some(20_000),
            committed: Some(15_000),
        }
    }

    fn is(got: Option<f64>, expected: f64) -> bool {
        got.is_some_and(|got| (got - expected).abs() < 1e-6)
    }

    #[test]
    fn the_last_acceptance_is_told_from_a_kills_acknowledgement_on() {
        let mut other = request(0, 90_000, Outcome::Accepted);
        other.credential = 8;
        let history = History {
            requests: vec![
                request(0, 12_000, Outcome::Accepted),
                request(0, 30_000, Outcome::Denied),
                request(1, 50_000, Outcome::Accepted),
                request(1, 30_000, Outcome::Accepted),
                other,
            ],
            ..History::default()
        };
        let last = |strict| last_accepted_ms(&history, &kill(), 20_000, strict);
        assert!(is(last(true), -8.0));
        assert!(is(last(false), 30.0));
        assert!(is(first_denied_ms(&history, &kill()), 12.0));
    }

    #[test]
    fn of_what_came_the_first_since_a_time_counts() {
        assert!(is(first_since_ms(&[9_000, 31_000, 30_000], 10_000), 20.0));
        assert_eq!(first_since_ms(&[9_000], 10_000), None);
    }

    #[test]
    fn a_denial_that_began_before_the_acknowledgement_is_not_the_first_after_it() {
        let history = History {
            requests: vec![
                request(0, 19_000, Outcome::Denied),
                request(1, 21_000, Outcome::Denied),
            ],
            ..History::default()
        };
        assert_eq!(first_denied_ms(&history, &kill()), None);
    }

    #[test]
    fn a_kill_is_watched_if_every_way_was_asked_when_it_had_to_know() {
        let watched = |strict, bounded| {
            let history = History {
                requests: vec![
                    request(0, strict, Outcome::Denied),
                    request(1, bounded, Outcome::Denied),
                ],
                ..History::default()
            };
            let asks = WAYS.map(|consistency| Asks {
                consistency,
                of_all: true,
            });
            is_watched(&history, &kill(), &asks)
        };
        assert!(watched(20_000, 1_015_000));
        assert!(watched(1_020_000, 4_015_000));
        assert!(!watched(19_999, 1_015_000));
        assert!(!watched(1_020_001, 1_015_000));
        assert!(!watched(20_000, 1_014_999));
        assert!(!watched(20_000, 4_015_001));
    }
}
