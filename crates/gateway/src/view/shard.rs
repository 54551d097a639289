//! One feed of the view.
//!
//! A page is taken in if it begins where the last one ended, in the same life of the feed, and neither its
//! sequence nor the feed's clock went back. Another life, if it began later, is read from its beginning, and
//! nothing is judged by what is there until it is complete. Pages that come late therefore do no harm,
//! nor do those that come twice.
//!
//! What a page says of its age is not signed. But the feed's clock is in the statement, so a page that
//! came before, or lay somewhere, is older by the feed's own clock than it would have to be: between two
//! pages as much time passes there as here ([`Clocks`]).

use super::cover::Cover;
use super::names::{Named, Names};
use super::seed::{Fingerprint, Kind, Seed};
use super::table::{Full, Table};
use super::{Progress, Refused};
use portcullis_core::feed::page::VerifiedPage;
use portcullis_core::feed::{Entry, Incarnation, Target};
use portcullis_core::time::UnixMillis;

/// How many buckets are swept with a page that brings nothing.
const SWEPT_AT_LEAST: u32 = 2048;
/// How far two clocks drift apart at most: a millisecond in so many.
const DRIFT_ONE_IN: u64 = 1000;
/// How much a clock may jump unnoticed, in milliseconds.
const TOLERANCE_MS: i64 = 100;

/// The feed.
#[derive(Debug)]
pub struct Shard {
    incarnation: Incarnation,
    through: u64,
    /// The last sequence that it was heard of.
    sequence: u64,
    /// The latest time by its own clock.
    time: UnixMillis,
    max_age_ms: u64,
    as_of: Option<UnixMillis>,
    clocks: Option<Clocks>,
    table: Table,
    names: Names,
}

impl Shard {
    /// Nothing of that life.
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            incarnation,
            through: 0,
            sequence: 0,
            time: UnixMillis(0),
            max_age_ms: 0,
            as_of: None,
            clocks: None,
            table: Table::new(),
            names: Names::default(),
        }
    }

    pub const fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub const fn through(&self) -> u64 {
        self.through
    }

    pub const fn as_of(&self) -> Option<UnixMillis> {
        self.as_of
    }

    pub const fn max_age_ms(&self) -> u64 {
        self.max_age_ms
    }

    pub const fn is_behind(&self) -> bool {
        self.as_of.is_none() || self.through < self.sequence
    }

    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// How many entries it has, but for the few that have names.
    pub const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Takes out all that has ended.
    pub fn sweep_all(&mut self, now: UnixMillis) {
        self.table.sweep(u32::MAX, now.min(self.time));
    }

    pub fn allocated_bytes(&self) -> usize {
        self.table.allocated_bytes()
    }

    /// Whether what was issued then is covered, if it is of the thing of that fingerprint.
    pub fn covers(&self, mark: Fingerprint, issued_at: UnixMillis) -> bool {
        let cover = self.table.get(mark);
        cover.is_some_and(|cover| cover.covers(issued_at))
    }

    /// See [`View::forget_age`](super::View::forget_age).
    pub const fn forget_age(&mut self) {
        self.as_of = None;
        self.clocks = None;
    }

    /// Takes in a page that tells of no earlier moment than `moment`.
    pub fn take(
        &mut self,
        page: &VerifiedPage,
        moment: UnixMillis,
        now: UnixMillis,
        seed: &Seed,
    ) -> Result<Progress, Refused> {
        let statement = &page.statement;
        let same_life = statement.inc == self.incarnation.id;
        let began_later = statement.began_at > self.incarnation.began_at;
        if same_life != (statement.began_at == self.incarnation.began_at)
            || !(same_life || began_later)
        {
            return Err(Refused::EarlierLife);
        }
        if statement.time < self.time || (same_life && statement.seq < self.sequence) {
            return Err(Refused::WentBack);
        }
        if statement.after != if same_life { self.through } else { 0 } {
            return Err(Refused::Gap);
        }
        let moment = match &self.clocks {
            Some(clocks) => clocks.bound(moment, statement.time, now)?,
            None => moment,
        };
        if !same_life {
            self.begin(statement.incarnation());
        }
        for entry in &page.entries {
            self.put(entry, seed).map_err(|Full| {
                self.as_of = None;
                Refused::Full
            })?;
        }
        // The same statement again tells of the same moment.
        let is_news = statement.time > self.time || self.as_of.is_none();
        self.clocks = Some(Clocks::told(self.clocks.as_ref(), statement.time, now));
        (self.through, self.sequence) = (statement.through, statement.seq);
        (self.time, self.max_age_ms) = (statement.time, statement.max_age_ms);
        self.sweep(page.entries.len(), now);
        if statement.has_more() {
            return Ok(Progress::Behind);
        }
        if is_news {
            self.as_of = self.as_of.max(Some(moment));
        }
        Ok(Progress::UpToDate)
    }

    fn begin(&mut self, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.as_of = None;
        self.table.clear();
        self.names = Names::default();
    }

    fn put(&mut self, entry: &Entry, seed: &Seed) -> Result<(), Full> {
        let cover = Cover::of(entry);
        let (of, name) = match &entry.target {
            Target::Subject(id) => return self.put_id(seed, Kind::Subject, id.as_bytes(), cover),
            Target::Session(id) => return self.put_id(seed, Kind::Session, id.as_bytes(), cover),
            Target::Token(id) => return self.put_id(seed, Kind::Token, id.as_bytes(), cover),
            Target::UpstreamSession(subject, sid) => {
                return self.table.put(seed.upstream_session(subject, sid), cover);
            }
            Target::Client(id) => (Named::Client, id),
            Target::Connection(id) => (Named::Connection, id),
            Target::Key(kid) => (Named::Key, kid),
        };
        self.names.put(of, name, cover);
        Ok(())
    }

    fn put_id(&mut self, seed: &Seed, kind: Kind, id: &[u8], cover: Cover) -> Result<(), Full> {
        self.table.put(seed.fingerprint(kind, id), cover)
    }

    /// By the feed's clock, or ours if that is behind: one that jumps ahead for a while must not make us
    /// forget what is in force.
    fn sweep(&mut self, brought: usize, now: UnixMillis) {
        let now = now.min(self.time);
        let brought = u32::try_from(brought).unwrap_or(u32::MAX);
        self.table.sweep(SWEPT_AT_LEAST.max(brought), now);
        self.names.sweep(now);
    }
}

/// How far the gateway's clock is ahead of the feed's at most.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    ahead_ms: i64,
    /// When that was so.
    at: UnixMillis,
}

impl Clocks {
    /// A page said `time`, and came `now`.
    fn told(before: Option<&Self>, time: UnixMillis, now: UnixMillis) -> Self {
        let ahead_ms = difference(now, time);
        let ahead_ms = before.map_or(ahead_ms, |before| ahead_ms.min(before.ahead_now(now)));
        Self { ahead_ms, at: now }
    }

    fn ahead_now(&self, now: UnixMillis) -> i64 {
        let passed = now.0.saturating_sub(self.at.0);
        let drift = i64::try_from(passed / DRIFT_ONE_IN).unwrap_or(i64::MAX);
        self.ahead_ms.saturating_add(drift)
    }

    /// The moment that a page tells of which said `time`: not later than the feed's clock allows.
    fn bound(
        &self,
        moment: UnixMillis,
        time: UnixMillis,
        now: UnixMillis,
    ) -> Result<UnixMillis, Refused> {
        let latest = time.0.saturating_add_signed(self.ahead_now(now));
        let latest = UnixMillis(latest);
        if difference(moment, latest) > TOLERANCE_MS {
            return Err(Refused::Replayed);
        }
        Ok(moment.min(latest))
    }
}

/// How much later `a` is than `b`, in milliseconds.
fn difference(a: UnixMillis, b: UnixMillis) -> i64 {
    let signed = |at: UnixMillis| i64::try_from(at.0).unwrap_or(i64::MAX);
    signed(a).saturating_sub(signed(b))
}
