//! A feed without its runtime: taking entries in once, and reading what came after a place.

use super::store::{self, Head};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::feed::call::{Append, Appended, Batch, FeedRequest, Read, Restart};
use portcullis_core::feed::page::MAX_ENTRIES;
use portcullis_core::feed::{Entry, FORGET_AFTER_SECS, Incarnation, of_wide};
use portcullis_core::policy::WideRevocation;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::Cell;

/// The most entries that have ended which one append forgets.
const FORGET_AT_ONCE: u64 = 1000;

/// One feed over its storage.
pub struct FeedService<S> {
    sql: S,
    migrated: Cell<bool>,
}

/// An answer.
pub struct Answer {
    /// The encoded reply.
    pub bytes: Vec<u8>,
    /// Whether there is something that readers may wait for.
    pub news: bool,
}

impl<S: Sql> FeedService<S> {
    /// A feed over `sql`; nothing is read or written yet.
    pub const fn new(sql: S) -> Self {
        Self {
            sql,
            migrated: Cell::new(false),
        }
    }

    /// The storage, for tests to break.
    #[cfg(test)]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Answers `request`, of a feed that has begun.
    pub fn answer(&self, request: FeedRequest, now: UnixMillis) -> Result<Answer, SqlError> {
        let (bytes, news) = match request {
            FeedRequest::Append(append) => (wire::encode(&self.append(&append, now)?), true),
            FeedRequest::Read(read) => (wire::encode(&self.read(&read, now)?), false),
            FeedRequest::Restart(restart) => (wire::encode(&self.restart(restart, now)?), true),
        };
        Ok(Answer {
            bytes: bytes?,
            news,
        })
    }

    /// Takes in what is news. Answering means that all of it is durable, whether it came now or before;
    /// failing means that none of what is new is.
    pub fn append(&self, append: &Append, now: UnixMillis) -> Result<Appended, SqlError> {
        self.ready()?;
        self.sql.transaction(|| {
            let mut head = self.head()?;
            store::forget_ended(&self.sql, long_before(now), FORGET_AT_ONCE)?;
            let mut highest = 0;
            for entry in &append.entries {
                // What has ended is taken in, too: it may take the place of what has not.
                highest = highest.max(self.put(entry, &mut head, now)?);
            }
            store::put_head(&self.sql, &head)?;
            Ok(Appended {
                incarnation: head.incarnation,
                sequence: highest,
                committed_at: now,
            })
        })
    }

    /// Keeps what is news of `entry`, and says under which sequence.
    fn put(&self, entry: &Entry, head: &mut Head, now: UnixMillis) -> Result<u64, SqlError> {
        let news = match store::known(&self.sql, &entry.target)? {
            None => entry.clone(),
            Some((sequence, known)) => match known.told(entry, now) {
                None => return Ok(sequence),
                Some(news) => news,
            },
        };
        head.sequence += 1;
        store::put(&self.sql, head.sequence, &news)?;
        Ok(head.sequence)
    }

    /// Whether the feed has begun.
    pub fn has_begun(&self) -> Result<bool, SqlError> {
        self.ready()?;
        Ok(store::head(&self.sql)?.is_some())
    }

    /// Begins the feed, if it has not, with what was ended for everyone before and can still matter: whoever has a
    /// revoked key can write any date, so when the feed began says nothing of what they made.
    pub fn begin(
        &self,
        new_life: Incarnation,
        revoked: &[WideRevocation],
        now: UnixMillis,
    ) -> Result<(), SqlError> {
        self.ready()?;
        self.sql.transaction(|| {
            if store::head(&self.sql)?.is_some() {
                return Ok(());
            }
            let mut head = Head {
                incarnation: new_life,
                sequence: 0,
            };
            for revocation in revoked {
                self.put(&of_wide(revocation), &mut head, now)?;
            }
            store::put_head(&self.sql, &head)
        })
    }

    /// What came after a place.
    pub fn read(&self, read: &Read, now: UnixMillis) -> Result<Batch, SqlError> {
        self.ready()?;
        let head = self.head()?;
        let mut named = read.incarnation.iter();
        let same_life = named.all(|id| *id == head.incarnation.id);
        let after = if same_life { read.after } else { 0 };
        let limit = u64::from(read.limit.clamp(1, MAX_ENTRIES));
        let found = store::after(&self.sql, after, limit)?;
        let whole = (found.len() as u64) < limit;
        let last = found.last().map_or(after, |(sequence, _)| *sequence);
        let entries = found.into_iter().map(|(_, entry)| entry);
        Ok(Batch {
            incarnation: head.incarnation,
            after,
            // What was replaced or forgotten leaves holes, also at the end.
            through: if whole { head.sequence } else { last },
            sequence: head.sequence,
            at: now,
            // A reader forgets them by itself.
            entries: (entries.filter(|entry| !entry.has_ended(long_before(now)))).collect(),
        })
    }

    /// Begins another life with what there is.
    pub fn restart(&self, restart: Restart, now: UnixMillis) -> Result<Incarnation, SqlError> {
        self.ready()?;
        self.sql.transaction(|| {
            let head = self.head()?;
            let incarnation = Incarnation {
                id: restart.id,
                // Later than the one before, also by a clock that went back.
                began_at: now.max(UnixMillis(head.incarnation.began_at.0 + 1)),
            };
            store::put_head(
                &self.sql,
                &Head {
                    incarnation,
                    ..head
                },
            )?;
            Ok(incarnation)
        })
    }

    /// The last sequence, for whoever waits for the next.
    pub fn sequence(&self) -> Result<u64, SqlError> {
        self.ready()?;
        Ok(self.head()?.sequence)
    }

    fn head(&self) -> Result<Head, SqlError> {
        let head = store::head(&self.sql)?;
        head.ok_or_else(|| SqlError("the feed has not begun".to_owned()))
    }

    fn ready(&self) -> Result<(), SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        Ok(())
    }
}

/// What had ended then has ended by any clock.
const fn long_before(now: UnixMillis) -> UnixMillis {
    UnixMillis(now.0.saturating_sub(FORGET_AFTER_SECS * 1000))
}
