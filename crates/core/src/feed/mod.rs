//! The feed: one sequence of everything that was ended and may still be presented.
//!
//! Whoever holds a fresh copy of it can check a credential without asking anybody. An [`Entry`] names
//! what it covers, a [`Target`], and from when it covers nothing any more. A credential that an entry covers
//! *may* have been ended: whoever meets one asks for a strict check, or refuses. One that no entry
//! covers has not been ended as of the feed's moment. So an entry may cover a little too much and never
//! too little; the clocks of others are allowed for here, and readers compare as they are.
//!
//! What an entry covers follows from what was stored ([`entries_of`], [`of_wide`]), not from who ended it
//! and why: no trigger can forget the feed.
//!
//! # Order and repetition
//!
//! Of a target there is one entry, that of the highest [`version`](Entry::version). Whoever sends an
//! entry again, or an older one after a newer one, changes nothing. That makes appending idempotent, and
//! an answer to "what came after sequence n" right for every n, however much was replaced since.
//!
//! # What a feed does not know
//!
//! A feed begins at some time ([`Incarnation::began_at`]) and knows nothing of what ended before.
//! A credential that was issued, or last checked strictly, before that is checked strictly.
//!
//! Out of scope: the object that keeps it, HTTP, and the reader's copy (`portcullis-gateway`).

pub mod call;
pub mod page;
pub mod poll;
pub mod receipt;
pub mod shards;

use crate::connection::MAX_TOKEN_AGE_SECS;
use crate::id::{IncarnationId, SessionId, SubjectKey, TokenId};
use crate::jwt::CLOCK_SKEW_SECS;
use crate::policy::{WideRevocation, WideScope};
use crate::secret::Digest;
use crate::session::{ACCESS_TOKEN_TTL_SECS, Change, Subject};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// How long a session or a token of ours can be presented after it was ended, in seconds: an access
/// token's life, and another clock's error on either side.
const COVER_OURS_SECS: u64 = ACCESS_TOKEN_TTL_SECS + 2 * CLOCK_SKEW_SECS;
/// The same of an identity provider's token.
const COVER_FOREIGN_SECS: u64 = MAX_TOKEN_AGE_SECS + 2 * CLOCK_SKEW_SECS;

/// What an entry is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Everything of a person or service.
    Subject(SubjectKey),
    /// Everything that rests on a session of ours.
    Session(SessionId),
    /// One token of ours.
    Token(TokenId),
    /// An identity provider's tokens to that person that name this session there, by the SHA-256 of its
    /// `sid`.
    UpstreamSession(SubjectKey, Digest),
    /// Everything given to the client of that `client_id`.
    Client(String),
    /// Everything that rests on a log-in through that connection, and its provider's tokens.
    Connection(String),
    /// Everything signed by the key of that `kid`.
    Key(String),
}

/// That what is of a target may have been ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Of what.
    pub target: Target,
    /// It covers what was issued up to then by its `iat`; `None`: whatever was issued, whenever.
    pub issued_until: Option<UnixMillis>,
    /// From then on it covers nothing, since all that it covered has expired; `None`: it covers until
    /// another version replaces it.
    pub ends_at: Option<UnixMillis>,
    /// Of two entries of a target the higher one counts.
    pub version: u64,
}

/// How much longer than needed a feed keeps what has ended, in seconds: a clock that jumps ahead for a while must
/// not make it forget what is in force.
pub const FORGET_AFTER_SECS: u64 = 600;

impl Entry {
    /// What a feed keeps of a target for which it has `self` and is told `news`, if that is not what it has.
    ///
    /// A higher version replaces. An older one may come late, which says nothing that is not known; or its sender
    /// was restored to an earlier point, and it says of a kill that nobody has heard of. So it makes the entry
    /// wider, by what has been issued up to now at the most.
    #[must_use]
    pub fn told(&self, news: &Self, now: UnixMillis) -> Option<Self> {
        if news.version > self.version {
            return Some(news.clone());
        }
        let until = self.issued_until.filter(|_| news.version < self.version)?;
        let now = issued_until(self.target.clone(), now);
        let news_until = news.issued_until.or(now.issued_until)?;
        let wider = Self {
            issued_until: Some(until.max(news_until)),
            ends_at: self.ends_at.max(news.ends_at.or(now.ends_at)),
            ..self.clone()
        };
        (wider != *self).then_some(wider)
    }

    /// Whether it covers nothing any more.
    #[must_use]
    pub fn has_ended(&self, now: UnixMillis) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }
}

/// One life of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// Which.
    pub id: IncarnationId,
    /// What ended before it may be missing.
    pub began_at: UnixMillis,
}

/// What becomes of a subject's `changes` in the feed; `before` is the subject as it was.
#[must_use]
pub fn entries_of(before: &Subject, changes: &[Change], now: UnixMillis) -> Vec<Entry> {
    let ours = Some(now.plus_secs(COVER_OURS_SECS));
    let ended = |target, ends_at| Entry {
        target,
        issued_until: None,
        ends_at,
        version: now.0,
    };
    let whole = changes.iter().any(
        |change| matches!(change, Change::PutSubject(after) if of_subject(before, after).is_some()),
    );
    let entries = changes.iter().filter_map(|change| match change {
        Change::PutSubject(subject) => of_subject(before, subject),
        // Of whom everything is covered, each session is.
        Change::PutSession(session) if session.ended.is_some() && !whole => {
            Some(ended(Target::Session(session.id), ours))
        }
        Change::RevokeToken { token, .. } => Some(ended(Target::Token(*token), ours)),
        Change::EndUpstream { sid, .. } => Some(ended(
            Target::UpstreamSession(before.key, *sid),
            Some(now.plus_secs(COVER_FOREIGN_SECS)),
        )),
        _ => None,
    });
    entries.collect()
}

fn of_subject(before: &Subject, after: &Subject) -> Option<Entry> {
    let until = |subject: &Subject| {
        let ended = subject.killed_at.max(subject.reactivated_at);
        ended.max(subject.upstream_ended_at)
    };
    let standing = |subject: &Subject| (subject.generation, subject.disabled, until(subject));
    if standing(before) == standing(after) {
        return None;
    }
    let times = [
        after.killed_at,
        after.reactivated_at,
        after.upstream_ended_at,
    ];
    let times: u64 = times.iter().flatten().map(|at| at.0).sum();
    let target = Target::Subject(after.key);
    let entry = if after.disabled {
        Entry {
            target,
            issued_until: None,
            ends_at: None,
            version: 0,
        }
    } else {
        issued_until(target, until(after)?)
    };
    Some(Entry {
        // The sum of what never goes back. Whatever changes how it is with the subject adds to it.
        version: after.generation + after.directory_version + times,
        ..entry
    })
}

/// What becomes of a wide revocation in the feed.
#[must_use]
pub fn of_wide(revocation: &WideRevocation) -> Entry {
    let until = revocation.not_before;
    let entry = match &revocation.scope {
        WideScope::Client(id) => issued_until(Target::Client(id.clone()), until),
        WideScope::Connection(id) => issued_until(Target::Connection(id.clone()), until),
        // Whoever has the key can write any date.
        WideScope::Key(kid) => Entry {
            target: Target::Key(kid.clone()),
            issued_until: None,
            ends_at: Some(revocation.ends_at()),
            version: 0,
        },
    };
    Entry {
        version: until.0,
        ..entry
    }
}

/// Covers what was issued up to `until`, by clocks that may be ahead of ours.
fn issued_until(target: Target, until: UnixMillis) -> Entry {
    Entry {
        target,
        issued_until: Some(until.plus_secs(CLOCK_SKEW_SECS)),
        ends_at: Some(until.plus_secs(COVER_FOREIGN_SECS)),
        version: 0,
    }
}

#[cfg(test)]
mod tests;
