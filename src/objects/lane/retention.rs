//! How long a lane's lines are kept, and removing those that are older: a prefix of them (C2SP tlog-tiles, "Pruning").
//! What may be is in `portcullis_core::audit::retention`.
//!
//! - **What goes:** lines of full bundles that are archived, from the oldest on, up to the first line that is not older than the
//!   age by when it was committed. Never a line of the last segment, which the lane looks at when it is loaded.
//! - **What stays:** leaf hashes, edges, tiles, here and in the archive: every tile, checkpoint and proof is as before.
//! - **While there is a legal hold** nothing goes, of whatever it is.
//! - **In which order:** the lines go and the log says which in one transaction; then their bundles go from the archive, and
//!   from those of the lane's logs before: what stands there at the same places is older.
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before the transaction | nothing | the alarm begins anew |
//! | after it, before the bundles are removed | bundles that no reader gets | the alarm removes them, unless there is a hold by then |
//! | after that, before it is noted | nothing of them | the alarm removes nothing once more, and notes it |
//!
//! The alarm looks once an hour; while there is something to do it goes on at once, a bounded part at a time.

use super::archive::{Archive, name_of};
use super::log_keys;
use super::retained::{self, Kept};
use super::service::{LANE, LaneService};
use super::store;
use super::tree::Standing;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::log::TILE_WIDTH;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, Place};
use portcullis_core::audit::retention::{
    DAY_MS, Hold, MAX_HOLDS, PlaceHold, Placed, ReleaseHold, Retention, SetRetention, committed_at,
    keep_ms,
};
use portcullis_core::time::UnixMillis;
use std::cell::Cell;

/// How often is looked whether lines have grown too old, in milliseconds.
pub const LOOK_MS: u64 = 60 * 60 * 1000;
/// After how long it is looked again when something failed.
const RETRY_MS: u64 = 60 * 1000;
/// The most bytes of lines that are looked at at a time, when there is a bundle to remove.
const MAX_BYTES: usize = 2_000_000;
/// The most segments at a time: each is a row written.
const MAX_SEGMENTS: u32 = 512;
/// The most bundles that are removed from the archive at a time.
const MAX_REMOVED: u64 = 500;

/// When an instance looks again whether lines are too old.
pub struct Look(Cell<Option<UnixMillis>>);

impl Default for Look {
    /// It has not looked yet.
    fn default() -> Self {
        Self(Cell::new(Some(UnixMillis(0))))
    }
}

impl<S: Sql> LaneService<S> {
    /// How long lines are kept, and how it is with them.
    pub fn retention(&self, now: UnixMillis) -> Result<Retention, SqlError> {
        self.open()?;
        self.told(&retained::kept(&self.sql)?, now)
    }

    /// Has lines be kept for some time, or says how it would be.
    pub fn set_retention(&self, set: SetRetention, now: UnixMillis) -> Result<Retention, SqlError> {
        self.open()?;
        let wanted = match set.days {
            Some(days) => Some(keep_ms(days).ok_or_else(|| SqlError("out of bounds".to_owned()))?),
            None => None,
        };
        let mut kept = retained::kept(&self.sql)?;
        let is_another = kept.keep_ms != wanted;
        kept.keep_ms = wanted;
        if is_another && !set.dry_run {
            // Also if it was done and is reported as failed.
            self.look_now();
            self.forgetting(|| {
                retained::put_kept(&self.sql, &kept)?;
                let event = because(set.event, "age_set");
                let keep_days = set.days;
                self.log_own(event, Some(&Detail::Keep { keep_days }), now)
            })?;
        }
        self.told(&kept, now)
    }

    /// Places a legal hold. From the answer on nothing more goes.
    pub fn place_hold(&self, place: PlaceHold, now: UnixMillis) -> Result<Placed, SqlError> {
        self.open()?;
        if let Some(there) = retained::hold(&self.sql, &place.name)? {
            return Ok(if there.subject == place.subject {
                Placed::Placed(there)
            } else {
                Placed::Taken
            });
        }
        if retained::count_holds(&self.sql)? >= MAX_HOLDS {
            return Ok(Placed::Full);
        }
        let placed_by = match &place.event.actor {
            Actor::Operator(role) => role.clone(),
            _ => String::new(),
        };
        let hold = Hold {
            name: place.name,
            subject: place.subject,
            placed_at: now,
            placed_by,
        };
        self.forgetting(|| {
            retained::add_hold(&self.sql, &hold)?;
            let event = because(place.event, "hold_placed");
            self.log_hold(event, &hold, now)
        })?;
        Ok(Placed::Placed(hold))
    }

    /// Releases a legal hold; says whether there was one.
    pub fn release_hold(&self, release: ReleaseHold, now: UnixMillis) -> Result<bool, SqlError> {
        self.open()?;
        let Some(hold) = retained::hold(&self.sql, &release.name)? else {
            return Ok(false);
        };
        self.look_now();
        self.forgetting(|| {
            retained::remove_hold(&self.sql, &hold.name)?;
            let event = because(release.event, "hold_released");
            self.log_hold(event, &hold, now)
        })?;
        Ok(true)
    }

    /// Whether the alarm should look now for lines that are too old, and for their bundles.
    pub fn should_prune(&self, now: UnixMillis) -> Result<bool, SqlError> {
        let due = self.look.0.get().is_some_and(|at| at <= now);
        if !due || self.ready()? != Standing::Agrees {
            return Ok(false);
        }
        let kept = retained::kept(&self.sql)?;
        let nothing = kept.keep_ms.is_none() && kept.archive_pruned_to >= kept.pruned_to;
        if nothing || self.archive.is_anothers() || retained::held(&self.sql, None)? {
            // Until somebody changes that, which this instance will know.
            self.look.0.set(None);
            return Ok(false);
        }
        Ok(true)
    }

    /// When the alarm should look next, if nothing else happens.
    pub fn looks_at(&self) -> Option<UnixMillis> {
        self.look.0.get()
    }

    fn look_now(&self) {
        self.look.0.set(Some(UnixMillis(0)));
    }

    /// Removes a bounded part of the lines that are too old, and their bundles from the archive.
    pub async fn prune(&self, archive: &impl Archive, now: UnixMillis) -> Result<(), SqlError> {
        if !self.should_prune(now)? {
            return Ok(());
        }
        // Before anything is waited for: whoever changes something meanwhile has it looked at anew.
        let later = |ms| Some(UnixMillis(now.0.saturating_add(ms)));
        self.look.0.set(later(RETRY_MS));
        let pruned = self.forgetting(|| self.prune_lines(now))?;
        let removed = self.prune_archive(archive).await?;
        if pruned || removed {
            self.look_now();
        } else if self.look.0.get() == later(RETRY_MS) {
            self.look.0.set(later(LOOK_MS));
        }
        Ok(())
    }

    /// Removes a part of the lines that are too old, and says so in the log; whether there were any. In a transaction.
    fn prune_lines(&self, now: UnixMillis) -> Result<bool, SqlError> {
        let mut kept = retained::kept(&self.sql)?;
        if retained::held(&self.sql, None)? {
            return Ok(false);
        }
        let (first_index, end_index, until) = self.too_old(&kept, now)?;
        if end_index <= first_index {
            return Ok(false);
        }
        retained::remove_lines(&self.sql, first_index, end_index)?;
        kept.pruned_to = end_index;
        kept.pruned_until = kept.pruned_until.max(until);
        retained::put_kept(&self.sql, &kept)?;
        let event = Event::new(now, Action::AuditPruned, Outcome::Success, Actor::Anonymous);
        let lines = Detail::Lines {
            first_index,
            end_index,
        };
        self.log_own(because(event, "age"), Some(&lines), now)?;
        Ok(true)
    }

    /// A bounded part of the lines that are too old, as the indexes of the first and behind the last, and when the
    /// latest of them was committed. Each is looked at: clocks go back.
    fn too_old(
        &self,
        kept: &Kept,
        now: UnixMillis,
    ) -> Result<(u64, u64, Option<UnixMillis>), SqlError> {
        let first = kept.pruned_to;
        let (mut to, mut until) = (first, None);
        let Some(before) = too_old_before(kept, now) else {
            return Ok((first, to, until));
        };
        let end = self.prunable_end()?;
        let (mut at, mut latest, mut bytes, mut segments) = (first, None, 0, 0);
        while at < end && (to == first || (bytes < MAX_BYTES && segments < MAX_SEGMENTS)) {
            let segment = store::segment_at(&self.sql, at)?;
            let segment = segment.filter(|segment| segment.first_index <= at);
            let segment = segment.ok_or_else(|| SqlError::corrupt("segments"))?;
            for (index, entry) in
                (segment.first_index..segment.end().min(end)).zip(segment.entries())
            {
                if index < at {
                    continue;
                }
                let committed = committed_at(entry).ok_or_else(|| SqlError::corrupt("line"))?;
                if committed >= before {
                    return Ok((first, to, until));
                }
                latest = latest.max(Some(committed));
                if (index + 1).is_multiple_of(TILE_WIDTH) {
                    (to, until) = (index + 1, latest);
                }
            }
            at = segment.end();
            bytes += segment.lines.len();
            segments += 1;
        }
        Ok((first, to, until))
    }

    /// Behind which index nothing may go: what is behind is not archived, or of the last segment.
    fn prunable_end(&self) -> Result<u64, SqlError> {
        let archived = store::archived_tiles(&self.sql)? * TILE_WIDTH;
        let last = retained::last_segment(&self.sql)?;
        Ok(archived.min(last - last % TILE_WIDTH))
    }

    /// Removes the bundles of some of the lines that are gone from the archive; whether there were any.
    async fn prune_archive(&self, archive: &impl Archive) -> Result<bool, SqlError> {
        let kept = retained::kept(&self.sql)?;
        let (first, end) = (
            kept.archive_pruned_to / TILE_WIDTH,
            kept.pruned_to / TILE_WIDTH,
        );
        if first >= end || retained::held(&self.sql, None)? {
            return Ok(false);
        }
        let end = end.min(first + MAX_REMOVED);
        // Of logs whose keys are not known to be the lane's, others may be the masters.
        for epoch in log_keys::epochs(&self.sql)? {
            let log = LogId { lane: LANE, epoch };
            let names: Option<Vec<String>> = (first..end)
                .map(|number| {
                    let place = Place::new(number, TILE_WIDTH)?;
                    Some(name_of(log, &EntryBundle(place)))
                })
                .collect();
            let names = names.ok_or_else(|| SqlError::corrupt("retention"))?;
            archive.remove(&names).await?;
        }
        self.sql.transaction(|| {
            let mut kept = retained::kept(&self.sql)?;
            kept.archive_pruned_to = kept.archive_pruned_to.max(end * TILE_WIDTH);
            retained::put_kept(&self.sql, &kept)
        })?;
        Ok(true)
    }

    /// As it is told, if it is `kept`. What may go is found by halving, as far as commits are in the order of their times.
    fn told(&self, kept: &Kept, now: UnixMillis) -> Result<Retention, SqlError> {
        let holds = retained::holds(&self.sql)?;
        let mut low = kept.pruned_to / TILE_WIDTH;
        if let (Some(before), true) = (too_old_before(kept, now), holds.is_empty()) {
            let mut high = (self.prunable_end()? / TILE_WIDTH).max(low);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.committed((middle + 1) * TILE_WIDTH - 1)? < before {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
        }
        let days = kept.keep_ms.map(|ms| u32::try_from(ms / DAY_MS));
        Ok(Retention {
            days: days
                .transpose()
                .map_err(|_| SqlError::corrupt("retention"))?,
            holds,
            pruned_to: kept.pruned_to,
            pruned_until: kept.pruned_until,
            prunable_to: low * TILE_WIDTH,
        })
    }

    /// When the line of that index was committed.
    fn committed(&self, index: u64) -> Result<UnixMillis, SqlError> {
        let segment = store::segment_at(&self.sql, index)?;
        let lines = segment.and_then(|segment| {
            let nth = usize::try_from(index.checked_sub(segment.first_index)?).ok()?;
            committed_at(segment.entries().nth(nth)?)
        });
        lines.ok_or_else(|| SqlError::corrupt("line"))
    }

    fn log_hold(&self, event: Event, hold: &Hold, now: UnixMillis) -> Result<(), SqlError> {
        let event = Event {
            subject: hold.subject,
            ..event
        };
        let hold = hold.name.clone();
        self.log_own(event, Some(&Detail::Hold { hold }), now)
    }
}

/// Lines that were committed before are too old.
fn too_old_before(kept: &Kept, now: UnixMillis) -> Option<UnixMillis> {
    Some(UnixMillis(now.0.checked_sub(kept.keep_ms?)?))
}

fn because(event: Event, reason: &str) -> Event {
    Event {
        reason: Some(reason.to_owned()),
        ..event
    }
}
