//! Whose credential is presented next: mostly one of those that are ended about now, and each that was ended first
//! thing after its kill was acknowledged, and again when the bounded ways must know. Knows no clock.
//!
//! A gateway remembers what it has denied. So half of the credentials are kept from its strict routes: what its
//! bounded ones know of those, they know by the view.

use portcullis_e2e::history::{Consistency, Micros};
use std::collections::VecDeque;

/// How long before a kill and after its acknowledgement its credential is presented the most.
const BEFORE: Micros = 50_000;
const AFTER_STRICT: Micros = 100_000;
const AFTER_BOUND: Micros = 500_000;
/// How long after the bound a credential is presented again.
const AFTER_ALL: Micros = 20_000;
/// One request of so many is about anybody.
const ANYBODY: u64 = 6;

/// In groups of so many every other one is kept apart: as many as there are kinds of kills.
const GROUP: usize = 8;

/// Whether a credential is kept from the strict routes of gateways.
pub const fn is_kept_apart(credential: usize) -> bool {
    (credential / GROUP) % 2 == 1
}

/// A credential that is ended, or will be.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Which.
    pub credential: usize,
    /// When that is due.
    pub due: Micros,
    /// When it was acknowledged.
    pub acknowledged: Option<Micros>,
}

impl Ending {
    fn is_hot(self, consistency: Consistency, now: Micros) -> bool {
        let after = match consistency {
            Consistency::Strict => AFTER_STRICT,
            Consistency::Bounded(bound) => bound + AFTER_BOUND,
        };
        let since = self.acknowledged.map_or(0, |at| now.saturating_sub(at));
        self.due <= now.saturating_add(BEFORE) && since <= after
    }
}

/// What a way asks about.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// How sure the answer is.
    pub consistency: Consistency,
    /// Whether also about credentials that are [kept apart](is_kept_apart).
    pub of_all: bool,
}

impl Asks {
    /// Whether about this credential.
    pub const fn of(self, credential: usize) -> bool {
        self.of_all || !is_kept_apart(credential)
    }
}

/// What is chosen from.
pub struct Choice {
    ways: Vec<Asks>,
    credentials: usize,
    /// What each way asks about next.
    urgent: Vec<VecDeque<usize>>,
    /// What the bounded ways ask about from then on, the earliest first.
    later: VecDeque<(Micros, usize)>,
    chance: u64,
}

impl Choice {
    /// Among so many credentials, for these ways.
    pub fn new(ways: Vec<Asks>, credentials: usize) -> Self {
        Self {
            urgent: vec![VecDeque::new(); ways.len()],
            ways,
            credentials,
            later: VecDeque::new(),
            chance: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// The end of a credential was acknowledged.
    pub fn acknowledged(&mut self, credential: usize, now: Micros) {
        self.push(credential, |way| way == Consistency::Strict);
        let bound = |way: &Asks| match way.consistency {
            Consistency::Strict => None,
            Consistency::Bounded(bound) => Some(bound),
        };
        if let Some(bound) = self.ways.iter().filter_map(bound).max() {
            self.later.push_back((now + bound + AFTER_ALL, credential));
        }
    }

    /// The bounded ways are to ask about it soon.
    pub fn again(&mut self, credential: usize) {
        self.push(credential, |way| way != Consistency::Strict);
    }

    /// Which credential a way asks about next.
    pub fn next(
        &mut self,
        way: usize,
        now: Micros,
        endings: impl Iterator<Item = Ending>,
    ) -> usize {
        while let Some((_, credential)) = self.later.front().copied().filter(|(at, _)| *at <= now) {
            self.later.pop_front();
            self.again(credential);
        }
        let waiting = self.urgent.get_mut(way).and_then(VecDeque::pop_front);
        if let Some(credential) = waiting {
            return credential;
        }
        let Some(asks) = self.ways.get(way).copied() else {
            return 0;
        };
        let hot: Vec<usize> = endings
            .filter(|ending| asks.of(ending.credential) && ending.is_hot(asks.consistency, now))
            .map(|ending| ending.credential)
            .collect();
        let of_anybody = self.draw().is_multiple_of(ANYBODY);
        if hot.is_empty() || of_anybody {
            let anybody = one_of(self.draw(), self.credentials);
            // The one in the same place of the group before.
            return if asks.of(anybody) {
                anybody
            } else {
                anybody - GROUP
            };
        }
        let which = one_of(self.draw(), hot.len());
        hot.get(which).copied().unwrap_or_default()
    }

    fn push(&mut self, credential: usize, of: impl Fn(Consistency) -> bool) {
        for (way, urgent) in self.ways.iter().zip(&mut self.urgent) {
            if of(way.consistency) && way.of(credential) {
                urgent.push_back(credential);
            }
        }
    }

    /// Xorshift, the same in each run.
    const fn draw(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }
}

fn one_of(chance: u64, of: usize) -> usize {
    let of = u64::try_from(of).unwrap_or(1).max(1);
    usize::try_from(chance % of).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const BOUND: Micros = 1_000_000;
    const STRICT: usize = 0;
    const BOUNDED: usize = 1;
    const NOT_OF_ALL: usize = 2;

    fn choice() -> Choice {
        let ways = [
            (Consistency::Strict, true),
            (Consistency::Bounded(BOUND), true),
            (Consistency::Strict, false),
        ];
        let asks = |(consistency, of_all)| Asks {
            consistency,
            of_all,
        };
        Choice::new(ways.map(asks).to_vec(), 96)
    }

    fn nothing() -> std::iter::Empty<Ending> {
        std::iter::empty()
    }

    #[test]
    fn what_was_ended_is_asked_about_strictly_at_once_and_by_its_bound_after_that() {
        let mut choice = choice();
        choice.acknowledged(100, 0);
        choice.acknowledged(101, 5);
        assert_eq!(choice.next(STRICT, 6, nothing()), 100);
        assert_eq!(choice.next(STRICT, 6, nothing()), 101);
        let before = choice.next(BOUNDED, BOUND + AFTER_ALL - 1, nothing());
        assert!(before < 96);
        assert_eq!(choice.next(BOUNDED, BOUND + AFTER_ALL, nothing()), 100);
        assert!(choice.next(BOUNDED, BOUND + AFTER_ALL, nothing()) < 96);
        assert_eq!(choice.next(BOUNDED, BOUND + AFTER_ALL + 5, nothing()), 101);
    }

    #[test]
    fn what_is_kept_apart_is_not_asked_about_on_strict_routes_and_by_nobody_else_left_out() {
        let mut choice = choice();
        let endings = [97, 105].map(|credential| Ending {
            credential,
            due: 0,
            acknowledged: None,
        });
        assert_eq!(
            endings.map(|ending| is_kept_apart(ending.credential)),
            [false, true]
        );
        choice.acknowledged(97, 0);
        choice.acknowledged(105, 0);
        let mut asked = |way| -> BTreeSet<usize> {
            (0..20_000)
                .map(|_| choice.next(way, 0, endings.into_iter()))
                .collect()
        };
        let not_apart = asked(NOT_OF_ALL);
        assert!(
            !not_apart
                .iter()
                .any(|credential| is_kept_apart(*credential))
        );
        assert_eq!(not_apart.len(), 48 + 1);
        assert_eq!(asked(STRICT).len(), 96 + 2);
    }

    #[test]
    fn most_are_about_what_is_ended_now_and_some_about_anybody() {
        let mut choice = choice();
        let ending = Ending {
            credential: 100,
            due: 500_000,
            acknowledged: Some(510_000),
        };
        let mut share = |way, now| {
            let asked = (0..1000).map(|_| choice.next(way, now, std::iter::once(ending)));
            asked.filter(|credential| *credential == 100).count()
        };
        for (way, now) in [
            (STRICT, 450_000),
            (STRICT, 610_000),
            (BOUNDED, 510_000 + BOUND + AFTER_BOUND),
        ] {
            assert!((750..950).contains(&share(way, now)), "{way} {now}");
        }
        for (way, now) in [
            (STRICT, 449_999),
            (STRICT, 610_001),
            (BOUNDED, 510_001 + BOUND + AFTER_BOUND),
        ] {
            assert_eq!(share(way, now), 0, "{way} {now}");
        }
        let anybody: BTreeSet<usize> = (0..2000)
            .map(|_| choice.next(STRICT, 0, nothing()))
            .collect();
        assert_eq!(anybody.len(), 96);
    }
}
