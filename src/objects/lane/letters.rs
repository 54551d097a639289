//! Dead letters of a lane: kept, shown, taken in after all, given up; and how the lane is.
//!
//! Keeping a letter, replaying it and giving it up is in the log (`audit.dead_letter`), each in one transaction with what is
//! done. Letters are sealed: a message that is no pack may hold anything, also a token. What is full keeps nothing more
//! and says so; the sender has the message still.
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before a letter's commit | nothing | the message comes again |
//! | after it, before the message is acknowledged | the letter | the message comes again, and is the same letter |
//! | after a replay's commit, before the answer | the events, and that it was replayed | who asks again hears that |

use super::letter_store::{self, Ended, Stored};
use super::service::LaneService;
use super::store;
use crate::objects::sql::{Sql, SqlError};
use crate::runtime::random;
use crate::seal::Sealed;
use portcullis_core::audit::backlog::Backlog;
use portcullis_core::audit::call::{Appended, LaneStatus};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::letters::{
    DiscardLetter, GetLetter, GetLetters, Keep, Kept, Letter, LetterInfo, Letters,
    MAX_LETTER_BYTES, MAX_LETTERS, MAX_LETTERS_A_PAGE, MAX_LETTERS_BYTES, MEMORY_MS, Reason,
    ReplayLetter, Replayed, ShownLetter,
};
use portcullis_core::audit::pack::Pack;
use portcullis_core::id::LetterId;
use portcullis_core::time::UnixMillis;
use std::cell::Cell;

/// What the seals of letters are for; the letter's own id follows.
const PURPOSE: &str = "portcullis audit letter 1";

/// How much there is.
struct Room {
    letters: u64,
    bytes: u64,
}

impl Room {
    /// Whether that many bytes more fit.
    const fn takes(&self, bytes: u64) -> bool {
        self.letters < MAX_LETTERS && self.bytes.saturating_add(bytes) <= MAX_LETTERS_BYTES
    }
}

impl<S: Sql> LaneService<S> {
    /// Keeps letters, as far as there is room, or fails and keeps none.
    pub fn keep(&self, keep: &Keep, now: UnixMillis) -> Result<Kept, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let counts = letter_store::counts(&self.sql)?;
            let mut room = Room {
                letters: counts.iter().map(|count| count.letters).sum(),
                bytes: counts.iter().map(|count| count.bytes).sum(),
            };
            let each = keep.letters.iter();
            let kept = each.map(|letter| self.keep_one(letter, &mut room, now));
            let kept = kept.collect::<Result<_, _>>()?;
            Ok(Kept { kept })
        })
    }

    /// Whether the letter is kept now. In a transaction.
    fn keep_one(
        &self,
        letter: &Letter,
        room: &mut Room,
        now: UnixMillis,
    ) -> Result<bool, SqlError> {
        let id = letter.id();
        let size = letter.content.len() as u64;
        if let Some(Stored::Waits(..)) = letter_store::letter(&self.sql, id)? {
            return Ok(true);
        }
        if letter.content.len() > MAX_LETTER_BYTES || !room.takes(size) {
            return Ok(false);
        }
        let nonce = random().map_err(|error| SqlError(error.to_string()))?;
        let sealed = Sealed::seal(&self.letter_key()?, &nonce, &purpose(id), &letter.content);
        let sealed = sealed.ok_or_else(|| SqlError("cannot seal".to_owned()))?;
        let info = LetterInfo {
            letter: id,
            reason: letter.reason,
            kept_at: now,
            size,
            digest: letter.digest(),
        };
        letter_store::add(&self.sql, &info, &sealed)?;
        let event = Event {
            reason: Some("kept".to_owned()),
            ..Event::new(now, Action::DeadLetter, Outcome::Denied, Actor::Anonymous)
        };
        self.log_own(event, Some(&detail(&info)), now)?;
        room.letters += 1;
        room.bytes = room.bytes.saturating_add(size);
        Ok(true)
    }

    /// A page of letters, and the event that it was read; or neither.
    pub fn letters(&self, asked: GetLetters, now: UnixMillis) -> Result<Letters, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let limit = asked.limit.clamp(1, MAX_LETTERS_A_PAGE);
            let found = letter_store::page(&self.sql, asked.before, limit + 1)?;
            self.log_own(asked.read, None, now)?;
            let more = found.len() > limit as usize;
            let mut letters = Vec::new();
            let mut last = None;
            for (number, info) in found.into_iter().take(limit as usize) {
                last = Some(number);
                letters.push(info);
            }
            let next = last.filter(|_| more);
            Ok(Letters { letters, next })
        })
    }

    /// A letter, and the event that it was read; or neither.
    pub fn letter(
        &self,
        asked: GetLetter,
        now: UnixMillis,
    ) -> Result<Option<ShownLetter>, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let stored = letter_store::letter(&self.sql, asked.letter)?;
            let Some(Stored::Waits(info, sealed)) = stored else {
                return Ok(None);
            };
            let letter = self.unsealed(&info, &sealed)?;
            self.log_own(asked.read, Some(&detail(&info)), now)?;
            Ok(Some(ShownLetter {
                info,
                opened: letter.is_some(),
                pack: letter.and_then(|letter| letter.pack()),
            }))
        })
    }

    /// Takes in what is in a letter, and has the letter gone; or neither.
    pub fn replay(&self, asked: ReplayLetter, now: UnixMillis) -> Result<Replayed, SqlError> {
        self.open()?;
        let set_aside = Cell::new(None);
        let replayed = self.forgetting(|| {
            let (info, sealed) = match letter_store::letter(&self.sql, asked.letter)? {
                Some(Stored::Waits(info, sealed)) => (info, sealed),
                Some(Stored::Over(Ended::Replayed)) => return Ok(Replayed::Before),
                Some(Stored::Over(Ended::Discarded)) | None => return Ok(Replayed::Unknown),
            };
            let Some(letter) = self.unsealed(&info, &sealed)? else {
                return Ok(Replayed::Unreadable);
            };
            let pack = match letter.replayable() {
                Ok(pack) => pack,
                Err(reason) => return Ok(Replayed::Refused(reason)),
            };
            let events = pack.events.len() as u64;
            let appended = self.take_in(&pack, now)?;
            if let Some(aside) = appended.set_aside.first() {
                set_aside.set(Some(Reason::from(aside.why)));
                return Err(SqlError("not taken".to_owned()));
            }
            letter_store::end(&self.sql, info.letter, Ended::Replayed, now)?;
            self.log_own(asked.replay, Some(&detail(&info)), now)?;
            self.forget(now)?;
            Ok(Replayed::TakenIn {
                new_events: appended.new_events,
                duplicates: events.saturating_sub(appended.new_events),
            })
        });
        // Nothing of it was done, and not for a failure.
        match set_aside.get() {
            Some(reason) => Ok(Replayed::Refused(reason)),
            None => replayed,
        }
    }

    /// Puts what an operator has taken in into the log, in a transaction. What is merely too old for its producer to say is
    /// taken, as the operator says so; what the log cannot compare with what it has is set aside here, too.
    fn take_in(&self, pack: &Pack, now: UnixMillis) -> Result<Appended, SqlError> {
        let mut commit = self.begin(now, now)?.of_any_age();
        commit.pack(pack)?;
        self.end(commit)
    }

    /// Gives a letter up. Whether there is none of that id any more that was not replayed.
    pub fn discard(&self, asked: DiscardLetter, now: UnixMillis) -> Result<bool, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let info = match letter_store::letter(&self.sql, asked.letter)? {
                Some(Stored::Waits(info, _)) => info,
                Some(Stored::Over(Ended::Discarded)) => return Ok(true),
                Some(Stored::Over(Ended::Replayed)) | None => return Ok(false),
            };
            letter_store::end(&self.sql, info.letter, Ended::Discarded, now)?;
            self.log_own(asked.discard, Some(&detail(&info)), now)?;
            self.forget(now)?;
            Ok(true)
        })
    }

    /// Notes for how long messages wait.
    pub fn note_backlog(&self, backlog: &Backlog) -> Result<(), SqlError> {
        self.ready()?;
        self.sql
            .transaction(|| letter_store::put_backlog(&self.sql, backlog))
    }

    /// How the lane is, also if it is shut.
    pub fn status(&self) -> Result<LaneStatus, SqlError> {
        self.ready()?;
        let (log, epoch) = self.named()?;
        Ok(LaneStatus {
            size: store::next_index(&self.sql)?,
            archived_tiles: store::archived_tiles(&self.sql)?,
            letters: letter_store::counts(&self.sql)?,
            backlogs: letter_store::backlogs(&self.sql)?,
            epoch,
            log,
        })
    }

    fn forget(&self, now: UnixMillis) -> Result<(), SqlError> {
        letter_store::forget(&self.sql, UnixMillis(now.0.saturating_sub(MEMORY_MS)))
    }

    /// The letter; `None` if it was sealed under another key.
    fn unsealed(&self, info: &LetterInfo, sealed: &Sealed) -> Result<Option<Letter>, SqlError> {
        let content = sealed.open(&self.letter_key()?, &purpose(info.letter));
        Ok(content.map(|content| Letter {
            reason: info.reason,
            content,
        }))
    }

    fn letter_key(&self) -> Result<[u8; 32], SqlError> {
        let keys = self.keys.as_ref();
        let keys = keys.ok_or_else(|| SqlError("not configured".to_owned()))?;
        Ok(keys.letter_key())
    }
}

fn purpose(id: LetterId) -> String {
    format!("{PURPOSE} {id}")
}

const fn detail(info: &LetterInfo) -> Detail {
    Detail::Letter {
        letter: info.letter,
        why: info.reason,
    }
}
