//! Which commands are sent next: a walk over all that no subject has confirmed, oldest first.
//!
//! Subjects do not wait for each other. Of one subject no command is sent before an older one was confirmed,
//! and of what fails only that subject's waits: longer each time, and not for what else is pending.
//!
//! | crash | what is left | who repairs it |
//! |---|---|---|
//! | before a command is sent, or while it is | the command | the alarm's next walk |
//! | after a subject has committed it, before that is noted | the command | the same: the subject knows it |

use super::command::Pending;
use super::jobs;
use super::service::DirectoryService;
use super::store;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use std::collections::{BTreeSet, VecDeque};

/// How many commands are read at a time.
const AT_A_TIME: u64 = 256;
/// How long the first failure keeps a command waiting; each further one twice as long.
const FIRST_WAIT_MS: u64 = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: u64 = 60_000;

/// How long a command waits that was sent in vain so often.
pub fn wait_ms(failures: u64) -> u64 {
    let doubled = FIRST_WAIT_MS << failures.saturating_sub(1).min(16);
    doubled.min(LONGEST_WAIT_MS)
}

/// The most subjects that are told at once.
const MOST_AT_ONCE: usize = 32;
/// The fewest, and how many at first, and while a request waits for a subject.
const FEWEST_AT_ONCE: usize = 2;
/// Who takes longer, in milliseconds, has too many beside them.
const SLOW_MS: u64 = 150;

/// How many subjects are told at once: one less after each that took long, else one more. So where all share a
/// machine, whoever else asks meanwhile is not kept waiting by a queue of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FEWEST_AT_ONCE)
    }
}

impl Pace {
    /// How many now.
    pub const fn at_once(self, does_a_request_wait: bool) -> usize {
        if does_a_request_wait {
            FEWEST_AT_ONCE
        } else {
            self.0
        }
    }

    /// After a subject that took so long.
    pub fn after(self, ms: u64) -> Self {
        let next = if ms > SLOW_MS {
            self.0.saturating_sub(1)
        } else {
            self.0 + 1
        };
        Self(next.clamp(FEWEST_AT_ONCE, MOST_AT_ONCE))
    }
}

/// One walk.
#[derive(Default)]
pub struct Walk {
    after: u64,
    read: VecDeque<Pending>,
    has_read_all: bool,
    /// Whose command is on its way, or has failed in this walk.
    waiting: BTreeSet<SubjectKey>,
    /// Whether something was passed over that may be sent now.
    again: bool,
}

impl Walk {
    /// The next command to send; `None`: nothing more in this walk. Those for subjects that a request has in hand
    /// are left to it: if it fails they are due again soon.
    pub fn next<S: Sql>(
        &mut self,
        service: &DirectoryService<S>,
        is_in_hand: impl Fn(&SubjectKey) -> bool,
        now: UnixMillis,
    ) -> Result<Option<Pending>, SqlError> {
        loop {
            let Some(pending) = self.read.pop_front() else {
                if self.has_read_all {
                    return Ok(None);
                }
                self.read = store::due_after(&service.sql, self.after, now, AT_A_TIME)?.into();
                self.has_read_all = self.read.is_empty();
                continue;
            };
            self.after = pending.version;
            if is_in_hand(&pending.subject) {
                continue;
            }
            if self.waiting.contains(&pending.subject) {
                self.again = true;
                continue;
            }
            // A request may have sent it since it was read.
            if store::is_pending(&service.sql, pending.version)? {
                self.waiting.insert(pending.subject);
                return Ok(Some(pending));
            }
        }
    }

    /// The subject has committed it.
    pub fn confirmed(&mut self, pending: &Pending) {
        self.waiting.remove(&pending.subject);
    }

    /// Whether another walk finds more to send, now that this one is through.
    pub fn leads_on(&self) -> bool {
        self.again
    }
}

impl<S: Sql> DirectoryService<S> {
    /// The subject has committed the command of that version.
    pub fn confirm(&self, version: u64, now: UnixMillis) -> Result<(), SqlError> {
        self.sql.transaction(|| {
            store::confirm(&self.sql, version)?;
            jobs::confirmed(&self.sql, version, now)
        })
    }

    /// The command was sent in vain.
    pub fn failed(&self, version: u64, now: UnixMillis) -> Result<(), SqlError> {
        let failures = store::failures(&self.sql, version)? + 1;
        let due = UnixMillis(now.0 + wait_ms(failures));
        store::put_off(&self.sql, version, failures, due)
    }

    /// When the next command may be sent; `None`: none waits.
    pub fn next_due(&self) -> Result<Option<UnixMillis>, SqlError> {
        self.ready()?;
        store::next_due(&self.sql)
    }
}

#[cfg(test)]
mod tests {
    use super::{FEWEST_AT_ONCE, MOST_AT_ONCE, Pace, SLOW_MS, wait_ms};

    #[test]
    fn waits_grow_and_end() {
        let waits = [1, 2, 3, 7, 60].map(wait_ms);
        assert_eq!(waits, [1_000, 2_000, 4_000, 60_000, 60_000]);
    }

    #[test]
    fn few_are_told_at_once_where_they_take_long_and_many_where_they_do_not() {
        let after =
            |pace: Pace, times: usize, ms: u64| (0..times).fold(pace, |pace, _| pace.after(ms));
        let fast = after(Pace::default(), 100, SLOW_MS);
        assert_eq!(fast.at_once(false), MOST_AT_ONCE);
        assert_eq!(fast.at_once(true), FEWEST_AT_ONCE);
        let slower = after(fast, 10, SLOW_MS + 1);
        assert_eq!(slower.at_once(false), MOST_AT_ONCE - 10);
        assert_eq!(after(slower, 100, SLOW_MS + 1), Pace::default());
    }
}
