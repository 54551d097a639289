//! Something of another service that many requests share: who fetches it, who waits, and which of it
//! to use meanwhile.
//!
//! A state machine without a clock or a network. A request asks [`Fetched::plan`], does what it says,
//! reports a fetch with [`Fetched::fetched`] or [`Fetched::failed`], and asks again until it is told to
//! use something or that there is nothing. Nothing is lent out across a fetch, so requests may
//! interleave there.
//!
//! | on hand | its age | told to |
//! |---|---|---|
//! | something | under `fresh_secs` | use it |
//! | something | under `usable_secs` | refresh it, and use it if that fails; while a fetch is under way or within [`COOL_DOWN_SECS`] of the last just use it |
//! | nothing, or older | - | fetch; while a fetch is under way wait for that; within [`RETRY_SECS`] of a failure fail |
//!
//! One fetch is under way at a time. One that never reports, because the request that had it was
//! given up, blocks the others for [`FETCH_SECS`] and no longer. A request waits by sleeping in its own
//! context and asking again: [`Turn`] remembers what it has waited, so that it ends after
//! [`PATIENCE_MS`], and at most [`MAX_WAITING`] wait at a time. A place among them lapses by itself, for
//! who was given up does not leave it.
//!
//! A clock that went back delays nothing: what lies in the future is taken for now.

use crate::time::UnixMillis;

/// How long a fetch may take, in seconds. Whoever fetches gives up before.
pub const FETCH_SECS: u64 = 5;
/// The least time between two fetches while there is something to use, in seconds.
pub const COOL_DOWN_SECS: u64 = 10;
/// The least time from a failed fetch to the next while there is nothing to use, in seconds.
pub const RETRY_SECS: u64 = 1;
/// How long a request waits in all, in milliseconds: as long as a fetch that never reports, and a
/// little, so that it gets to fetch by itself.
pub const PATIENCE_MS: u64 = FETCH_SECS * 1000 + 1000;
/// How many requests wait at a time; others fail at once.
pub const MAX_WAITING: usize = 512;
/// How soon a request that waits for a fetch asks again, in milliseconds.
const POLL_MS: u64 = 50;
/// How much later than told a request may ask again without losing its place, in milliseconds.
const LATE_MS: u64 = 1000;

/// How long something may be used.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// So long without question, in seconds.
    pub fresh_secs: u64,
    /// So long if fetching fails, in seconds.
    pub usable_secs: u64,
}

/// What to do now.
#[derive(Debug)]
pub enum Plan<T> {
    /// Use this.
    Use(T),
    /// Fetch, and ask again.
    Fetch(Ticket),
    /// Ask again after so many milliseconds.
    Wait(u64),
    /// There is nothing, and it is too early to try again.
    Unavailable,
}

/// A fetch that was told to, to be reported once.
#[derive(Debug)]
#[must_use = "a fetch that is not reported blocks others for a while"]
pub struct Ticket(u64);

/// What one request remembers from one question to the next.
#[derive(Debug, Default)]
pub struct Turn {
    /// How many fetches had begun when it came.
    came_after: Option<u64>,
    /// The fetch that brought what it was given last.
    given: u64,
    waited_ms: u64,
    place: Option<UnixMillis>,
}

impl Turn {
    /// Whether what it was given was fetched because of it, or after it came at any rate: then
    /// another fetch would bring it nothing new.
    pub(crate) fn was_given_the_latest(&self) -> bool {
        self.came_after.is_some_and(|came| self.given > came)
    }
}

/// The thing and what is known of fetching it. A `T` is cheap to clone.
#[derive(Debug)]
pub struct Fetched<T> {
    ages: Ages,
    kept: Option<Kept<T>>,
    /// How many fetches have begun; the last one's number.
    begun: u64,
    under_way: Option<(u64, UnixMillis)>,
    last_attempt: Option<UnixMillis>,
    last_failure: Option<UnixMillis>,
    /// When the place of each request that waits lapses.
    waiting: Vec<UnixMillis>,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    at: UnixMillis,
    /// The fetch that brought it; 0 if it was kept elsewhere.
    number: u64,
}

impl<T: Clone> Fetched<T> {
    /// Nothing, never fetched.
    #[must_use]
    pub const fn new(ages: Ages) -> Self {
        Self {
            ages,
            kept: None,
            begun: 0,
            under_way: None,
            last_attempt: None,
            last_failure: None,
            waiting: Vec::new(),
        }
    }

    /// What to do for it. Being told to fetch is an attempt, so that of several requests only the
    /// first fetches.
    pub fn plan(&mut self, turn: &mut Turn, now: UnixMillis) -> Plan<T> {
        self.begin_turn(turn, now);
        let usable =
            (self.kept.as_ref()).filter(|kept| within(kept.at, self.ages.usable_secs, now));
        if let Some(kept) = usable {
            turn.given = kept.number;
            let value = kept.value.clone();
            let cooling = |at| within(at, COOL_DOWN_SECS, now);
            let rests = within(kept.at, self.ages.fresh_secs, now)
                || self.is_under_way(now)
                || self.last_attempt.is_some_and(cooling);
            return if rests {
                Plan::Use(value)
            } else {
                Plan::Fetch(self.begin(now))
            };
        }
        if self.is_under_way(now) {
            return self.poll(turn, now).map_or(Plan::Unavailable, Plan::Wait);
        }
        let failed = |at| within(at, RETRY_SECS, now);
        if self.last_failure.is_some_and(failed) {
            return Plan::Unavailable;
        }
        Plan::Fetch(self.begin(now))
    }

    /// Whether there is something to use, fresh or not.
    #[must_use]
    pub fn has_usable(&self, now: UnixMillis) -> bool {
        let usable = |kept: &Kept<T>| within(kept.at, self.ages.usable_secs, now);
        self.kept.as_ref().is_some_and(usable)
    }

    /// The fetch brought this. What a later one has brought stays.
    pub fn fetched(&mut self, Ticket(number): Ticket, value: T, now: UnixMillis) {
        self.has_ended(number);
        if self.kept.as_ref().is_none_or(|kept| kept.number < number) {
            self.last_failure = None;
            self.kept = Some(Kept {
                value,
                at: now,
                number,
            });
        }
    }

    /// The fetch failed. So did one that others took for lost, of which nothing follows.
    pub fn failed(&mut self, Ticket(number): Ticket, now: UnixMillis) {
        if self.has_ended(number) {
            self.last_failure = Some(now);
        }
    }

    /// The fetch failed, but this was kept elsewhere since `at`: it is used as if it had been here, if
    /// it is not too old and nothing else came meanwhile.
    pub fn restored(&mut self, ticket: Ticket, value: T, at: UnixMillis, now: UnixMillis) {
        self.failed(ticket, now);
        let at = at.min(now);
        let newer = self.kept.as_ref().is_none_or(|kept| kept.at < at);
        if newer && within(at, self.ages.usable_secs, now) {
            self.kept = Some(Kept {
                value,
                at,
                number: 0,
            });
        }
    }

    /// What was fetched since this request was last given something.
    pub(crate) fn news(&mut self, turn: &mut Turn) -> Option<T> {
        let kept = self.kept.as_ref().filter(|kept| kept.number > turn.given)?;
        turn.given = kept.number;
        Some(kept.value.clone())
    }

    /// The first thing to do for a request's question, whatever it is: its place is free again.
    pub(crate) fn begin_turn(&mut self, turn: &mut Turn, now: UnixMillis) {
        self.take_the_future_for_now(now);
        turn.came_after.get_or_insert(self.begun);
        if let Some(place) = turn.place.take()
            && let Some(at) = self.waiting.iter().position(|until| *until == place)
        {
            self.waiting.swap_remove(at);
        }
    }

    /// Counts an attempt.
    pub(crate) fn begin(&mut self, now: UnixMillis) -> Ticket {
        self.begun += 1;
        self.under_way = Some((self.begun, now));
        self.last_attempt = Some(now);
        Ticket(self.begun)
    }

    pub(crate) fn is_under_way(&self, now: UnixMillis) -> bool {
        self.under_way
            .is_some_and(|(_, since)| within(since, FETCH_SECS, now))
    }

    pub(crate) const fn last_attempt(&self) -> Option<UnixMillis> {
        self.last_attempt
    }

    /// Has a request ask again soon; `None` if it has waited enough or too many do.
    pub(crate) fn poll(&mut self, turn: &mut Turn, now: UnixMillis) -> Option<u64> {
        self.wait(turn, POLL_MS, now)
    }

    /// Has a request ask again after `ms`; `None` if it would wait too long in all, or too many do.
    pub(crate) fn wait(&mut self, turn: &mut Turn, ms: u64, now: UnixMillis) -> Option<u64> {
        let waited_ms = turn.waited_ms.saturating_add(ms);
        self.waiting.retain(|until| now < *until);
        if waited_ms > PATIENCE_MS || self.waiting.len() >= MAX_WAITING {
            return None;
        }
        let until = UnixMillis(now.0.saturating_add(ms + LATE_MS));
        self.waiting.push(until);
        turn.waited_ms = waited_ms;
        turn.place = Some(until);
        Some(ms)
    }

    /// Whether the fetch of that number was the one under way; it is not any more.
    fn has_ended(&mut self, number: u64) -> bool {
        self.under_way
            .take_if(|(under_way, _)| *under_way == number)
            .is_some()
    }

    fn take_the_future_for_now(&mut self, now: UnixMillis) {
        let times = [
            self.kept.as_mut().map(|kept| &mut kept.at),
            self.under_way.as_mut().map(|(_, since)| since),
            self.last_attempt.as_mut(),
            self.last_failure.as_mut(),
        ];
        for at in times.into_iter().flatten() {
            *at = now.min(*at);
        }
        let last = UnixMillis(now.0.saturating_add(PATIENCE_MS + LATE_MS));
        for until in &mut self.waiting {
            *until = last.min(*until);
        }
    }
}

/// Whether `now` is less than `secs` after `at`.
pub(crate) fn within(at: UnixMillis, secs: u64, now: UnixMillis) -> bool {
    now < at.plus_secs(secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: UnixMillis = UnixMillis(1_000_000);
    const AGES: Ages = Ages {
        fresh_secs: 300,
        usable_secs: 3600,
    };

    fn after(secs: u64) -> UnixMillis {
        START.plus_secs(secs)
    }

    /// What a request that comes now is told.
    fn plan(fetched: &mut Fetched<u32>, now: UnixMillis) -> Plan<u32> {
        fetched.plan(&mut Turn::default(), now)
    }

    fn ticket(fetched: &mut Fetched<u32>, now: UnixMillis) -> Ticket {
        match plan(fetched, now) {
            Plan::Fetch(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    fn filled() -> Fetched<u32> {
        let mut fetched = Fetched::new(AGES);
        let first = ticket(&mut fetched, START);
        fetched.fetched(first, 1, START);
        fetched
    }

    #[test]
    fn what_is_fresh_is_used_and_what_is_stale_refreshed_once_per_cool_down() {
        let mut fetched = filled();
        assert!(matches!(plan(&mut fetched, after(299)), Plan::Use(1)));
        let refresh = ticket(&mut fetched, after(300));
        assert!(matches!(plan(&mut fetched, after(300)), Plan::Use(1)));
        fetched.failed(refresh, after(301));
        assert!(matches!(plan(&mut fetched, after(309)), Plan::Use(1)));
        assert!(matches!(plan(&mut fetched, after(310)), Plan::Fetch(_)));
    }

    #[test]
    fn what_there_is_outlives_a_broken_service_by_an_hour_and_no_more() {
        let mut fetched = filled();
        let refresh = ticket(&mut fetched, after(3599));
        fetched.failed(refresh, after(3599));
        let fetch = ticket(&mut fetched, after(3600));
        fetched.failed(fetch, after(3600));
        assert!(matches!(plan(&mut fetched, after(3600)), Plan::Unavailable));
        assert!(matches!(plan(&mut fetched, after(3601)), Plan::Fetch(_)));
    }

    #[test]
    fn of_many_that_find_nothing_one_fetches_and_the_others_wait_for_it() {
        let mut fetched = Fetched::new(AGES);
        let first = ticket(&mut fetched, START);
        let mut turns: Vec<Turn> = (0..20).map(|_| Turn::default()).collect();
        for turn in &mut turns {
            assert!(matches!(fetched.plan(turn, START), Plan::Wait(POLL_MS)));
        }
        fetched.fetched(first, 7, after(1));
        for turn in &mut turns {
            assert!(matches!(fetched.plan(turn, after(1)), Plan::Use(7)));
        }
        assert!(fetched.waiting.is_empty());
    }

    #[test]
    fn those_who_wait_for_a_fetch_that_fails_fail_with_it() {
        let mut fetched = Fetched::new(AGES);
        let first = ticket(&mut fetched, START);
        let mut turn = Turn::default();
        assert!(matches!(fetched.plan(&mut turn, START), Plan::Wait(_)));
        fetched.failed(first, START);
        assert!(matches!(fetched.plan(&mut turn, START), Plan::Unavailable));
    }

    #[test]
    fn a_fetch_that_never_reports_blocks_nobody_for_longer_than_it_may_take() {
        let mut fetched = Fetched::new(AGES);
        let lost = ticket(&mut fetched, START);
        let mut turn = Turn::default();
        let (mut now, mut waited) = (START, 0);
        let second = loop {
            match fetched.plan(&mut turn, now) {
                Plan::Wait(ms) => {
                    now = UnixMillis(now.0 + ms);
                    waited += ms;
                }
                Plan::Fetch(ticket) => break ticket,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(waited, FETCH_SECS * 1000);
        fetched.fetched(second, 2, now);
        // An older answer that comes late.
        fetched.fetched(lost, 1, now);
        assert!(matches!(plan(&mut fetched, now), Plan::Use(2)));
    }

    #[test]
    fn a_lost_fetch_that_fails_late_says_nothing_of_the_one_under_way() {
        let mut fetched = Fetched::new(AGES);
        let lost = ticket(&mut fetched, START);
        let second = ticket(&mut fetched, after(FETCH_SECS));
        fetched.failed(lost, after(FETCH_SECS));
        assert!(matches!(
            plan(&mut fetched, after(FETCH_SECS)),
            Plan::Wait(_)
        ));
        fetched.fetched(second, 2, after(FETCH_SECS));
        assert!(matches!(
            plan(&mut fetched, after(FETCH_SECS)),
            Plan::Use(2)
        ));
    }

    #[test]
    fn what_was_kept_elsewhere_is_as_old_as_it_is() {
        let mut fetched = Fetched::new(AGES);
        let now = after(10_000);
        let first = ticket(&mut fetched, now);
        let too_old = UnixMillis(now.0 - 3_600_000);
        fetched.restored(first, 5, too_old, now);
        assert!(matches!(plan(&mut fetched, now), Plan::Unavailable));
        let later = now.plus_secs(RETRY_SECS);
        let second = ticket(&mut fetched, later);
        let at = UnixMillis(later.0 - 3_000_000);
        fetched.restored(second, 5, at, later);
        assert!(matches!(plan(&mut fetched, later), Plan::Use(5)));
        let stale = later.plus_secs(COOL_DOWN_SECS);
        let third = ticket(&mut fetched, stale);
        fetched.failed(third, stale);
        let over = UnixMillis(at.0 + 3_600_000);
        assert!(matches!(plan(&mut fetched, over), Plan::Fetch(_)));
    }

    #[test]
    fn what_was_kept_elsewhere_never_replaces_what_is_newer() {
        let mut fetched = filled();
        let refresh = ticket(&mut fetched, after(300));
        let older = UnixMillis(START.0 - 1);
        fetched.restored(refresh, 9, older, after(300));
        assert!(matches!(plan(&mut fetched, after(300)), Plan::Use(1)));
    }

    #[test]
    fn a_clock_that_went_back_delays_nothing() {
        let mut fetched = filled();
        let back = UnixMillis(0);
        assert!(matches!(plan(&mut fetched, back), Plan::Use(1)));
        let stale = back.plus_secs(300);
        assert!(matches!(plan(&mut fetched, stale), Plan::Fetch(_)));
        let mut empty: Fetched<u32> = Fetched::new(AGES);
        let lost = ticket(&mut empty, START);
        assert!(matches!(plan(&mut empty, back), Plan::Wait(_)));
        let over = back.plus_secs(FETCH_SECS);
        assert!(matches!(plan(&mut empty, over), Plan::Fetch(_)));
        empty.failed(lost, over);
    }

    #[test]
    fn so_many_wait_and_the_places_of_those_who_were_given_up_lapse() {
        let mut fetched = Fetched::new(AGES);
        let _lost = ticket(&mut fetched, START);
        for _ in 0..MAX_WAITING {
            assert!(matches!(plan(&mut fetched, START), Plan::Wait(_)));
        }
        assert!(matches!(plan(&mut fetched, START), Plan::Unavailable));
        let lapsed = UnixMillis(START.0 + POLL_MS + LATE_MS);
        assert!(matches!(plan(&mut fetched, lapsed), Plan::Wait(_)));
        assert_eq!(fetched.waiting.len(), 1);
    }

    proptest! {
        #[test]
        fn whoever_waits_ends(steps in prop::collection::vec(any::<Option<i32>>(), 0..400)) {
            let mut fetched: Fetched<u32> = Fetched::new(AGES);
            let mut turn = Turn::default();
            let (mut now, mut waited) = (START, 0);
            let _lost = ticket(&mut fetched, now);
            // Others take every chance to fetch, report nothing, and the clock jumps.
            for jump in steps {
                match fetched.plan(&mut turn, now) {
                    Plan::Wait(ms) => {
                        waited += ms;
                        now = UnixMillis(now.0 + ms);
                    }
                    _ => break,
                }
                if let Some(jump) = jump {
                    now = UnixMillis(now.0.saturating_add_signed(i64::from(jump)));
                    let _ = plan(&mut fetched, now);
                }
                prop_assert!(waited <= PATIENCE_MS);
            }
        }
    }
}
