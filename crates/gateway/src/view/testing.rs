//! A feed for tests, and credentials that it is about.

use super::marks::{Connection, Marks};
use super::page::Opened;
use super::seed::{Kind, Seed};
use portcullis_core::feed::page::{Statement, VerifiedPage};
use portcullis_core::feed::poll::Poll;
use portcullis_core::feed::{Entry, Incarnation, Target};
use portcullis_core::id::{IncarnationId, SessionId, SubjectKey, TokenId};
use portcullis_core::jwt::CLOCK_SKEW_SECS;
use portcullis_core::time::UnixMillis;
use std::collections::BTreeMap;

pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
/// When feeds begin: long enough ago for what is issued now.
pub const BEGAN: UnixMillis = UnixMillis(NOW.0 - 3_600_000);
pub const MAX_AGE_MS: u64 = 10_000;
/// How long entries cover, in seconds.
const COVER_SECS: u64 = 420;

pub fn seed() -> Seed {
    Seed::from_bytes([9; 16])
}

/// A token: whose, in which session, and when it was issued.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    pub subject: u8,
    pub id: u8,
    pub issued_at: UnixMillis,
}

impl Token {
    pub fn marks(&self) -> Marks {
        let of = |kind, byte| seed().fingerprint(kind, &[byte; 16]);
        let fingerprints = [
            of(Kind::Subject, self.subject),
            of(Kind::Session, self.id),
            of(Kind::Token, self.id),
        ];
        Marks {
            issued_at: UnixMillis(self.issued_at.secs() * 1000),
            vouched_at: UnixMillis(self.issued_at.secs() * 1000),
            fingerprints: Box::new(fingerprints),
            client_id: Some("app".to_owned()),
            for_others: false,
            connection: Connection::Unknown,
            kid: Some("k1".to_owned()),
        }
    }
}

pub fn subject(byte: u8) -> Target {
    Target::Subject(SubjectKey::from_bytes([byte; 16]))
}

pub fn session(byte: u8) -> Target {
    Target::Session(SessionId::from_bytes([byte; 16]))
}

pub fn token(byte: u8) -> Target {
    Target::Token(TokenId::from_bytes([byte; 16]))
}

/// Ends whatever is of the target.
pub fn ended(target: Target, now: UnixMillis) -> Entry {
    Entry {
        target,
        issued_until: None,
        ends_at: Some(now.plus_secs(COVER_SECS)),
        version: now.0,
    }
}

/// Ends what was issued up to now.
pub fn killed(target: Target, now: UnixMillis) -> Entry {
    Entry {
        issued_until: Some(now.plus_secs(CLOCK_SKEW_SECS)),
        ..ended(target, now)
    }
}

/// Ends whatever is of the target until it is let in again.
pub fn barred(target: Target, now: UnixMillis) -> Entry {
    Entry {
        ends_at: None,
        ..ended(target, now)
    }
}

/// The feeds of a layout, as the service keeps them.
pub struct Service {
    pub shards: u32,
    pub incarnation: Incarnation,
    sequence: u64,
    entries: BTreeMap<u64, Entry>,
}

impl Service {
    pub fn new() -> Self {
        Self {
            shards: 1,
            incarnation: life(1, BEGAN),
            sequence: 0,
            entries: BTreeMap::new(),
        }
    }

    pub fn append(&mut self, entry: Entry) {
        self.entries.retain(|_, known| known.target != entry.target);
        self.sequence += 1;
        self.entries.insert(self.sequence, entry);
    }

    /// Another life, with or without what there was.
    pub fn restart(&mut self, name: u8, now: UnixMillis, keeps: bool) {
        self.incarnation = life(name, now.max(UnixMillis(self.incarnation.began_at.0 + 1)));
        if !keeps {
            self.entries.clear();
            self.sequence /= 2;
        }
    }

    /// The answer to a poll.
    pub fn answer(&self, poll: &Poll, now: UnixMillis, limit: usize) -> Vec<Opened> {
        let shards = 0..self.shards;
        shards
            .map(|shard| self.page(poll, shard, now, limit))
            .collect()
    }

    fn page(&self, poll: &Poll, shard: u32, now: UnixMillis, limit: usize) -> Opened {
        let name = format!("{}-{shard}", self.shards);
        let known = poll
            .known
            .iter()
            .find(|known| known.shard == name && known.incarnation == self.incarnation.id);
        let after = known.map_or(0, |known| known.through);
        let found: Vec<(&u64, &Entry)> = self.entries.range(after + 1..).take(limit).collect();
        let through = match found.last() {
            Some((last, _)) if found.len() == limit => **last,
            _ => self.sequence.max(after),
        };
        let of_shard = |entry: &&Entry| match &entry.target {
            Target::Subject(subject) => u32::from(subject.as_bytes()[0]) % self.shards == shard,
            Target::Session(id) => u32::from(id.as_bytes()[0] / 2) % self.shards == shard,
            Target::Token(id) => u32::from(id.as_bytes()[0] / 2) % self.shards == shard,
            _ => true,
        };
        let entries = found.into_iter().map(|(_, entry)| entry);
        let entries = entries
            .filter(of_shard)
            .filter(|entry| !entry.has_ended(now));
        Opened {
            page: VerifiedPage {
                statement: Statement {
                    iss: "https://id.example".to_owned(),
                    shard: name,
                    inc: self.incarnation.id,
                    began_at: self.incarnation.began_at,
                    after,
                    through,
                    seq: self.sequence,
                    time: now,
                    max_age_ms: MAX_AGE_MS,
                    entries_sha256: String::new(),
                },
                entries: entries.cloned().collect(),
            },
            kid: "k1".to_owned(),
        }
    }
}

fn life(name: u8, began_at: UnixMillis) -> Incarnation {
    Incarnation {
        id: IncarnationId::from_bytes([name; 16]),
        began_at,
    }
}
