//! When to ask for pages, who does it, and who waits.
//!
//! An isolate has nobody of its own to keep the view fresh: requests do it. A state machine without a clock
//! or a network; whoever is told to ask gets a [`Ticket`], asks what [`Feed::poll`] says, and reports with
//! [`Feed::answered`] or [`Feed::failed`].
//!
//! | the view | a request is told to |
//! |---|---|
//! | older than a third of what it may be, or behind | ask, off its path ([`Feed::due`]) |
//! | too old to judge by | ask by itself and wait for that, or wait for whoever asks ([`Feed::wait`]) |
//! | too old, and asking failed a moment ago | not to wait |
//!
//! One asks at a time. Who never reports, because its request was given up, keeps others from asking for
//! [`FLIGHT_MS`] and no longer; what it reports after all is taken in if it still fits. A request waits
//! by sleeping in its own context and trying again, for [`PATIENCE_MS`] in all, and [`MAX_WAITING`] do so at a
//! time. After a failure nobody asks for [`REST_MS`], after each more for twice as long, up to
//! [`MAX_REST_MS`].
//!
//! # Clocks
//!
//! The clock is the caller's, and each request has its own: the runtime holds it back while a timer of the
//! request is late. So one may see a little less than another did before, and [`JITTER_MS`] of that are
//! taken for this; what was seen last counts, and the difference is added to the view's age until it
//! has been refreshed. Where the clock was seen to go back further, the view is of no known age, and
//! an answer to a question from before makes it no younger. A page that [seems older than it
//! says](super::Refused::Replayed) may be that, or our clock jumped ahead: when [`MAX_REPLAYED`] came
//! in a row, the view begins from nothing.

use super::marks::Marks;
use super::page::Opened;
use super::seed::Seed;
use super::{Freshness, Local, Progress, Received, Refused, View};
use portcullis_core::feed::poll::Poll;
use portcullis_core::time::UnixMillis;

/// How long an answer may take before somebody else asks, in milliseconds. Whoever asks gives up before.
pub const FLIGHT_MS: u64 = 2500;
/// A view that is older is loaded anew, in milliseconds.
const FORGET_AFTER_MS: u64 = 30 * 60 * 1000;
/// How long a request waits for a fresh view, in milliseconds.
pub const PATIENCE_MS: u64 = 1000;
/// How soon it tries again, in milliseconds.
const TRY_AGAIN_MS: u64 = 10;
/// How many requests wait for an answer; others do not.
pub const MAX_WAITING: u32 = 512;
/// How long nobody asks after a failure, in milliseconds.
pub const REST_MS: u64 = 100;
/// How long at most, in milliseconds.
pub const MAX_REST_MS: u64 = 5000;
/// How much less than another request one may see of the clock, in milliseconds.
pub const JITTER_MS: u64 = 50;
/// After how many pages in a row that seemed older than they said the view begins from nothing.
pub const MAX_REPLAYED: u32 = 10;

/// That somebody asks, to be reported once.
#[derive(Debug)]
#[must_use = "whoever does not report keeps others from asking for a while"]
pub struct Ticket {
    number: u64,
    at: UnixMillis,
    /// How often the clock had gone back.
    clock: u64,
    /// How often it seemed to have, a little.
    doubts: u64,
}

/// What a request that waits remembers.
#[derive(Debug, Default)]
pub struct Turn {
    came_at: Option<UnixMillis>,
    slept_ms: u64,
    has_asked: bool,
}

impl Turn {
    /// Whether it has waited long enough, by the clock or, should that go back, by what it slept.
    fn is_over(&mut self, now: UnixMillis) -> bool {
        let came_at = *self.came_at.get_or_insert(now);
        now.0.saturating_sub(came_at.0).max(self.slept_ms) >= PATIENCE_MS
    }
}

/// What a request does that finds the view too old.
#[derive(Debug)]
pub enum Wait {
    /// Judge: it is fresh enough by now.
    Judge,
    /// Ask, report, and try again.
    Ask(Ticket),
    /// Try again after so many milliseconds.
    Sleep(u64),
    /// It will not be fresh in time.
    GiveUp,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    since: UnixMillis,
    waiting: u32,
}

/// The view, and who keeps it fresh.
#[derive(Debug)]
pub struct Feed {
    view: View,
    flight: Option<Flight>,
    begun: u64,
    failures: u32,
    failed_at: UnixMillis,
    replayed: u32,
    /// The latest time that was seen.
    latest: UnixMillis,
    /// How often the clock went back.
    clock: u64,
    /// By how much it may have gone back since the view was refreshed, in milliseconds.
    doubt_ms: u64,
    /// How often that became more.
    doubts: u64,
}

impl Feed {
    /// One that knows nothing.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self {
            view: View::new(seed),
            flight: None,
            begun: 0,
            failures: 0,
            failed_at: UnixMillis(0),
            replayed: 0,
            latest: UnixMillis(0),
            clock: 0,
            doubt_ms: 0,
            doubts: 0,
        }
    }

    /// The view as it is. To judge by it is [`judge`](Self::judge), which looks at the clock first.
    #[must_use]
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What the view says of a credential now, if it may be `max_age_ms` old.
    pub fn judge(&mut self, marks: &Marks, now: UnixMillis, max_age_ms: u64) -> Local {
        let now = self.look_at(now);
        self.view.judge(marks, self.at_worst(now), max_age_ms)
    }

    /// Whether it is time to ask, off the path of any request, for the view never to be older than
    /// `max_age_ms`.
    pub fn due(&mut self, max_age_ms: u64, now: UnixMillis) -> Option<Ticket> {
        let now = self.look_at(now);
        if self.is_under_way(now) || self.is_resting(now) {
            return None;
        }
        let age_ms = self.view.age_ms(self.at_worst(now));
        let usable = max_age_ms.min(self.view.max_age_ms());
        let fresh = age_ms.is_some_and(|age_ms| age_ms < usable.div_ceil(3));
        (!fresh || self.view.is_behind()).then(|| self.begin(now))
    }

    /// What a request does that found the view older than `max_age_ms` and wants it fresh.
    pub fn wait(&mut self, turn: &mut Turn, max_age_ms: u64, now: UnixMillis) -> Wait {
        let now = self.look_at(now);
        let usable = max_age_ms.min(self.view.max_age_ms());
        let age_ms = self.view.age_ms(self.at_worst(now));
        if age_ms.is_some_and(|age_ms| age_ms <= usable) {
            return Wait::Judge;
        }
        let is_over = turn.is_over(now);
        if let Some(flight) = self.flight.as_mut().filter(|flight| !flight.is_lost(now)) {
            let comes = turn.slept_ms == 0;
            if is_over || (comes && flight.waiting >= MAX_WAITING) {
                return Wait::GiveUp;
            }
            flight.waiting += u32::from(comes);
            turn.slept_ms += TRY_AGAIN_MS;
            return Wait::Sleep(TRY_AGAIN_MS);
        }
        // One answer that leaves it too old is enough: it has more to load than one request can wait for.
        if is_over || turn.has_asked || self.is_resting(now) {
            return Wait::GiveUp;
        }
        turn.has_asked = true;
        Wait::Ask(self.begin(now))
    }

    /// What to ask.
    #[must_use]
    pub fn poll(&self) -> Poll {
        self.view.poll()
    }

    /// The answer came: pages, each with its age in milliseconds.
    pub fn answered(
        &mut self,
        ticket: Ticket,
        pages: Vec<(Opened, u64)>,
        now: UnixMillis,
    ) -> Result<Progress, Refused> {
        let now = self.look_at(now);
        if ticket.clock != self.clock {
            self.failed(ticket, now);
            return Err(Refused::ClocksDiffer);
        }
        let at = ticket.at;
        let pages = pages.into_iter().map(|(opened, age_ms)| Received {
            opened,
            freshness: Freshness::Asked { at, age_ms },
        });
        let pages: Vec<Received> = pages.collect();
        let taken = self.view.take(&pages, now);
        match taken {
            Ok(_) => {
                if ticket.doubts == self.doubts {
                    self.doubt_ms = 0;
                }
                self.land(ticket);
                (self.failures, self.replayed) = (0, 0);
            }
            Err(refused) => {
                self.failed(ticket, now);
                if refused == Refused::Replayed {
                    self.replayed += 1;
                }
                if self.replayed >= MAX_REPLAYED {
                    self.replayed = 0;
                    self.view.forget();
                }
            }
        }
        taken
    }

    /// No answer came, or none that can be believed.
    pub fn failed(&mut self, ticket: Ticket, now: UnixMillis) {
        let now = self.look_at(now);
        self.land(ticket);
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
    }

    fn begin(&mut self, now: UnixMillis) -> Ticket {
        // What lifts an entry is itself in the feed for a while only: whoever was away for long begins anew.
        if self
            .view
            .age_ms(now)
            .is_some_and(|age_ms| age_ms > FORGET_AFTER_MS)
        {
            self.view.forget();
        }
        self.begun += 1;
        self.flight = Some(Flight {
            number: self.begun,
            since: now,
            waiting: 0,
        });
        Ticket {
            number: self.begun,
            at: now,
            clock: self.clock,
            doubts: self.doubts,
        }
    }

    /// One that was given up for lost does not end the one after it.
    fn land(&mut self, Ticket { number, .. }: Ticket) {
        if (self.flight.as_ref()).is_some_and(|flight| flight.number == number) {
            self.flight = None;
        }
    }

    fn is_under_way(&self, now: UnixMillis) -> bool {
        (self.flight.as_ref()).is_some_and(|flight| !flight.is_lost(now))
    }

    fn is_resting(&self, now: UnixMillis) -> bool {
        let Some(doublings) = self.failures.checked_sub(1) else {
            return false;
        };
        let rest_ms = REST_MS.saturating_mul(1 << doublings.min(16));
        now.0.saturating_sub(self.failed_at.0) < rest_ms.min(MAX_REST_MS)
    }

    /// The time as of now: the latest that anybody saw, unless the clock went back.
    fn look_at(&mut self, now: UnixMillis) -> UnixMillis {
        let back_ms = self.latest.0.saturating_sub(now.0);
        if back_ms > JITTER_MS {
            self.clock += 1;
            self.doubt_ms = 0;
            self.view.forget_age();
            self.failed_at = self.failed_at.min(now);
            if let Some(flight) = &mut self.flight {
                flight.since = flight.since.min(now);
            }
            self.latest = now;
        } else if back_ms > self.doubt_ms {
            self.doubts += 1;
            self.doubt_ms = back_ms;
        }
        self.latest = self.latest.max(now);
        self.latest
    }

    /// The latest that it can be.
    const fn at_worst(&self, now: UnixMillis) -> UnixMillis {
        UnixMillis(now.0.saturating_add(self.doubt_ms))
    }
}

impl Flight {
    const fn is_lost(&self, now: UnixMillis) -> bool {
        now.0.saturating_sub(self.since.0) >= FLIGHT_MS
    }
}

#[cfg(test)]
mod tests;
