//! The gateway's view of the [feed](portcullis_core::feed): what may have been ended, in its own memory,
//! and how old that knowledge can be.
//!
//! | judged | meaning | then |
//! |---|---|---|
//! | [`Clear`](Local::Clear) | nothing that was ended up to the view's moment covers it | let it pass |
//! | [`Ask`](Local::Ask) | something may cover it, or the view cannot know | ask strictly |
//! | [`Stale`](Local::Stale) | nobody knows, or not recently enough | refresh, ask strictly or refuse |
//!
//! The view never denies: it either knows that a credential was in force, or sends to where that is known.
//!
//! # What is taken in
//!
//! Pages whose statement verified ([`page`]), in the order of each feed and without a gap ([`shard`]). Feeds
//! are named `n-i`, the i-th of n, and are taken all together or not at all: a view of some of them
//! would be blind to whom the others are about. The feeds of another n replace all.
//!
//! # Age
//!
//! What a page says was so at some moment between question and answer; the view counts from the question, by
//! the gateway's clock, less the age that the page was said to have. Of several feeds the oldest counts. A
//! credential that was ended more than that age ago is never [`Clear`](Local::Clear).
//!
//! Out of scope: when to ask for pages ([`refresh`]), and how (`worker::feed`).

mod chunks;
mod cover;
pub mod marks;
mod names;
pub mod page;
pub mod refresh;
pub mod seed;
mod shard;
pub mod table;

use marks::{Connection, Marks};
use names::Named;
use page::Opened;
use portcullis_core::feed::poll::{Cursor, Poll};
use portcullis_core::feed::shards::place;
use portcullis_core::jwt::CLOCK_SKEW_SECS;
use portcullis_core::time::UnixMillis;
use seed::Seed;
use shard::Shard;
use std::collections::BTreeMap;
use std::fmt;
use table::MAX_ENTRIES;

/// Why pages were not taken in. What was there stays, and gets no younger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// They are not of each of the feeds that there are, once.
    NotAllFeeds,
    /// The gateway's clock and the feed's are too far apart to say anything of age.
    ClocksDiffer,
    /// A page is of an earlier life of its feed.
    EarlierLife,
    /// A page does not begin where the view is.
    Gap,
    /// A sequence or a feed's clock went back.
    WentBack,
    /// A page is older than was said: it came before, or another clock jumped.
    Replayed,
    /// A page is signed by a key that was revoked.
    RevokedKey,
    /// There is no room.
    Full,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllFeeds => "not a page of each feed",
            Self::ClocksDiffer => "the clocks are too far apart",
            Self::EarlierLife => "a page of an earlier life",
            Self::Gap => "a page that does not follow",
            Self::WentBack => "a feed went back",
            Self::Replayed => "a page is older than was said",
            Self::RevokedKey => "signed by a revoked key",
            Self::Full => "more entries than there is room for",
        })
    }
}

impl std::error::Error for Refused {}

/// What a page's age is counted from.
#[derive(Clone, Copy, Debug)]
pub enum Freshness {
    /// It answers a question that was sent then, and was so old when the answer was.
    Asked {
        /// When, by the gateway's clock.
        at: UnixMillis,
        /// How old, in milliseconds.
        age_ms: u64,
    },
    /// It came through a cache. Its statement's time counts, and clocks may differ by as much as is
    /// allowed.
    Stated,
}

/// A page that was opened, as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The page.
    pub opened: Opened,
    /// How old it is.
    pub freshness: Freshness,
}

/// How far the view has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has everything that there was.
    UpToDate,
    /// There is more to fetch.
    Behind,
}

/// Why only a strict check can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An entry covers it.
    Covered,
    /// It is vouched for as of a time that the feed knows nothing of.
    BeforeTheFeed,
}

/// What the view says of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// It was in force so many milliseconds ago at the most.
    Clear {
        /// How many.
        age_ms: u64,
    },
    /// Only a strict check can tell.
    Ask(Why),
    /// The view is too old, or of no known age.
    Stale,
}

/// The view.
#[derive(Debug)]
pub struct View {
    seed: Seed,
    shards: BTreeMap<String, Shard>,
}

impl View {
    /// One that knows nothing.
    #[must_use]
    pub const fn new(seed: Seed) -> Self {
        Self {
            seed,
            shards: BTreeMap::new(),
        }
    }

    /// What its fingerprints are made with.
    #[must_use]
    pub const fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The question for what comes next.
    #[must_use]
    pub fn poll(&self) -> Poll {
        let cursor = |(name, shard): (&String, &Shard)| Cursor {
            shard: name.clone(),
            incarnation: shard.incarnation().id,
            through: shard.through(),
        };
        Poll {
            known: self.shards.iter().map(cursor).collect(),
        }
    }

    /// Takes in a page of each feed.
    pub fn take(&mut self, pages: &[Received], now: UnixMillis) -> Result<Progress, Refused> {
        if !are_all(pages) {
            return Err(Refused::NotAllFeeds);
        }
        for page in pages {
            page.moment(now)?;
            if self.covers_key(&page.opened.kid) {
                return Err(Refused::RevokedKey);
            }
        }
        let is_known = |page: &Received| self.shards.contains_key(page.name());
        if !pages.iter().all(is_known) {
            // The feeds of another layout: from nothing, as at first.
            self.shards.clear();
        }
        // One that is refused keeps the whole view as old as it is, so the others may go on.
        let mut outcome = Ok(Progress::UpToDate);
        for page in pages {
            let taken = self.take_one(page, now);
            outcome = match (outcome, taken) {
                (Err(refused), _) | (Ok(_), Err(refused)) => Err(refused),
                (Ok(Progress::Behind), Ok(_)) => Ok(Progress::Behind),
                (Ok(Progress::UpToDate), Ok(progress)) => Ok(progress),
            };
        }
        if outcome.is_err() && self.shards.len() < pages.len() {
            // Of a layout it has all feeds or none.
            self.shards.clear();
        }
        outcome
    }

    /// Whether there is room for a page, of all feeds together, perhaps without what has ended.
    fn has_room_for(&mut self, page: &Received, now: UnixMillis) -> bool {
        let more = page.opened.page.entries.len() as u64;
        let fits = |view: &Self| view.len() + more <= u64::from(MAX_ENTRIES);
        if !fits(self) {
            self.shards
                .values_mut()
                .for_each(|shard| shard.sweep_all(now));
        }
        fits(self)
    }

    fn len(&self) -> u64 {
        self.shards
            .values()
            .map(|shard| u64::from(shard.len()))
            .sum()
    }

    fn take_one(&mut self, page: &Received, now: UnixMillis) -> Result<Progress, Refused> {
        let moment = page.moment(now)?;
        if !self.has_room_for(page, now) {
            return Err(Refused::Full);
        }
        let opened = &page.opened.page;
        if let Some(shard) = self.shards.get_mut(page.name()) {
            return shard.take(opened, moment, now, &self.seed);
        }
        let mut shard = Shard::new(opened.statement.incarnation());
        let taken = shard.take(opened, moment, now, &self.seed)?;
        self.shards.insert(page.name().to_owned(), shard);
        Ok(taken)
    }

    /// Whether nothing counts that the key of that `kid` signed.
    #[must_use]
    pub fn covers_key(&self, kid: &str) -> bool {
        let covered = |shard: &Shard| shard.names().cover(Named::Key, kid, UnixMillis(0));
        self.shards.values().any(covered)
    }

    /// The moment as of which it knows everything, by the gateway's clock.
    #[must_use]
    pub fn as_of(&self) -> Option<UnixMillis> {
        let mut moments = self.shards.values().map(Shard::as_of);
        let first = moments.next()??;
        moments.try_fold(first, |oldest, next| Some(oldest.min(next?)))
    }

    /// How old it is at most, in milliseconds.
    #[must_use]
    pub fn age_ms(&self, now: UnixMillis) -> Option<u64> {
        now.0.checked_sub(self.as_of()?.0)
    }

    /// How old the service lets it become, in milliseconds.
    #[must_use]
    pub fn max_age_ms(&self) -> u64 {
        let allowed = self.shards.values().map(Shard::max_age_ms);
        allowed.min().unwrap_or(0)
    }

    /// Whether it has not everything that there was when it asked last.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.shards.is_empty() || self.shards.values().any(Shard::is_behind)
    }

    /// The gateway's clock cannot be compared with itself before: the view is of no known age from now on.
    pub fn forget_age(&mut self) {
        for shard in self.shards.values_mut() {
            shard.forget_age();
        }
    }

    /// Knows nothing from now on.
    pub fn forget(&mut self) {
        self.shards.clear();
    }

    /// What it says of a credential, if it may be `max_age_ms` old.
    #[must_use]
    pub fn judge(&self, marks: &Marks, now: UnixMillis, max_age_ms: u64) -> Local {
        let usable = max_age_ms.min(self.max_age_ms());
        let age_ms = match self.age_ms(now) {
            Some(age_ms) if age_ms <= usable => age_ms,
            _ => return Local::Stale,
        };
        for shard in self.shards.values() {
            let known_from = shard.incarnation().began_at.plus_secs(CLOCK_SKEW_SECS);
            if marks.vouched_at <= known_from {
                return Local::Ask(Why::BeforeTheFeed);
            }
            if covers(shard, marks) {
                return Local::Ask(Why::Covered);
            }
        }
        Local::Clear { age_ms }
    }

    /// The memory of its tables, in bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        self.shards.values().map(Shard::allocated_bytes).sum()
    }
}

fn covers(shard: &Shard, marks: &Marks) -> bool {
    let (names, issued_at) = (shard.names(), marks.issued_at);
    let mut fingerprints = marks.fingerprints.iter();
    fingerprints.any(|mark| shard.covers(*mark, issued_at))
        || (marks.kid.as_deref()).is_some_and(|kid| names.cover(Named::Key, kid, issued_at))
        || (marks.client_id.as_deref()).is_some_and(|id| names.cover(Named::Client, id, issued_at))
        || (marks.for_others && names.any_covers(Named::Client, issued_at))
        || match &marks.connection {
            Connection::Unknown => names.any_covers(Named::Connection, issued_at),
            Connection::Known(id) => names.cover(Named::Connection, id, issued_at),
        }
}

impl Received {
    fn name(&self) -> &str {
        &self.opened.page.statement.shard
    }

    /// A moment by the gateway's clock that is not later than the one that the page tells of.
    fn moment(&self, now: UnixMillis) -> Result<UnixMillis, Refused> {
        let time = self.opened.page.statement.time;
        let within_skew = |at: UnixMillis| at.plus_secs(CLOCK_SKEW_SECS);
        // Behind: it would take tokens for good that have expired, and of those the feed knows nothing.
        if time > within_skew(now) {
            return Err(Refused::ClocksDiffer);
        }
        match self.freshness {
            Freshness::Stated => Ok(UnixMillis(time.0.saturating_sub(CLOCK_SKEW_SECS * 1000))),
            Freshness::Asked { at, age_ms } => {
                let moment = UnixMillis(at.0.saturating_sub(age_ms));
                // Ahead, or the page is an old one.
                if at > now || moment > within_skew(time) {
                    return Err(Refused::ClocksDiffer);
                }
                Ok(moment)
            }
        }
    }
}

/// Whether these are pages of all feeds of a layout, one of each.
fn are_all(pages: &[Received]) -> bool {
    let mut numbers: Vec<(u32, u32)> = pages.iter().filter_map(|page| place(page.name())).collect();
    numbers.sort_unstable();
    let of = u32::try_from(pages.len()).unwrap_or(0);
    of > 0 && numbers.into_iter().eq((0..of).map(|number| (of, number)))
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
