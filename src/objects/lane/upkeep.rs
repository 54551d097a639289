//! What a lane does by itself, from its alarm: it folds what is old, logs gaps that are due, and forgets who has been silent.
//!
//! Each time a bounded part, in one transaction. It is due again until all is done ([`LaneService::next_work`]).

use super::producers;
use super::service::LaneService;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::time::UnixMillis;

/// The most producers whose gaps are logged at a time.
const MAX_TOLD_PRODUCERS: u64 = 20;
/// The most producers that are looked at a time for whether they may be forgotten.
const MAX_SWEPT: u64 = 500;

impl<S: Sql> LaneService<S> {
    /// When there is such work next, as far as this instance knows; it knows when it has committed something, or
    /// [`Self::keep_up`] was done.
    pub fn next_work(&self) -> Option<UnixMillis> {
        self.memory.borrow().as_ref()?.next_work()
    }

    /// Does a bounded part of what is due.
    pub fn keep_up(&self, now: UnixMillis) -> Result<(), SqlError> {
        self.open()?;
        self.forgetting(|| {
            // Only what is folded is noticed, so this comes first. A commit of nothing folds if that is due.
            let commit = self.begin(now, now)?;
            self.end(commit)?;
            let due = producers::with_gaps_due(&self.sql, now, MAX_TOLD_PRODUCERS)?;
            let mut commit = self.begin(now, now)?;
            for producer in &due {
                commit.tell_gaps(*producer)?;
            }
            commit.memory.sweep(&self.sql, MAX_SWEPT, now)?;
            self.end(commit)?;
            if !due.is_empty()
                && let Some(memory) = self.memory.borrow_mut().as_mut()
            {
                memory.look_for_gaps(&self.sql)?;
            }
            Ok(())
        })
    }
}
