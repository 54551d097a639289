//! The archive of a lane, outside of it: full tiles and bundles, created once and never replaced, and the latest
//! checkpoint. Under `lane/<log>/`, by the names that the log serves them under; `<log>` is as in the log's name
//! ([`LogId`]), so that each log of a lane has its own.
//!
//! - **Commit first.** Nothing of a commit waits for the archive. What is committed is put there afterwards, in order,
//!   by the lane's alarm: what was left over comes before anything newer.
//! - **Create only.** A tile that is there already must be the same, byte for byte. If it is not, the lane is not the
//!   one that was archived, and signs nothing any more.
//! - **No checkpoint is given out that is not archived.** So a lane that was restored to an earlier point finds one
//!   that is ahead of it, and refuses to sign ([`may_sign`]). Nor does it archive tiles then: they are not of the log
//!   that was archived.
//! - **What is noted is of the log that it was done for.** While something is waited for another may begin
//!   ([`super::epochs`]): whoever waited looks whether it is still the same.
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before a tile is created | nothing | the alarm creates it |
//! | after it, before that is noted | the tile | the alarm finds it there, and the same |
//! | before a checkpoint is archived | nothing; whoever asked gets the one before | the next who asks |
//! | after it, before that is known | the checkpoint | it is read again and is one of this tree |

use super::log_keys;
use super::retained;
use super::service::{LANE, LaneService};
use super::store;
use super::tree::{Standing, Stored};
use crate::objects::sql::{Sql, SqlError};
use futures::future::join_all;
use portcullis_core::audit::call::Answer;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::proof::{NoProof, Tiles, Tree};
use portcullis_core::audit::log::signing::{Refusal, may_sign};
use portcullis_core::audit::log::{Head, TILE_WIDTH};
use portcullis_core::time::UnixMillis;
use std::cell::{Cell, RefCell};

/// The most tiles of level 0 that are archived before that is noted.
const MAX_TILES: u64 = 240;
/// How many of them are on their way at a time: the runtime keeps six connections, and each has two objects.
const ON_THEIR_WAY: u64 = 6;
/// How long a checkpoint is given out before another is signed, in milliseconds. The archive takes one write a second
/// for each name, and each costs.
pub const CHECKPOINT_MS: u64 = 2000;
/// What the checkpoint is called.
pub(super) const CHECKPOINT: &str = "checkpoint";
/// How often a checkpoint is tried that another instance has archived one meanwhile.
const MAX_TRIES: u32 = 3;

/// Something that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// Names this version of it.
    pub version: String,
}

/// The checkpoint that was archived last, if there is one, with its head.
type Latest = Option<(Archived, Head)>;

/// The archive did not do what was asked, or did and could not say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveError(pub String);

impl From<ArchiveError> for SqlError {
    fn from(error: ArchiveError) -> Self {
        Self(format!("archive: {}", error.0))
    }
}

/// What a lane needs of a bucket.
pub trait Archive {
    /// Reads an object.
    async fn read(&self, name: &str) -> Result<Option<Archived>, ArchiveError>;

    /// Puts an object in place of the version that is given, or of nothing; gives back its own version. `None`: there
    /// is another, and nothing was done.
    async fn put(
        &self,
        name: &str,
        bytes: &[u8],
        over: Option<&str>,
    ) -> Result<Option<String>, ArchiveError>;

    /// Removes objects, a thousand at most; those that are not there too.
    async fn remove(&self, names: &[String]) -> Result<(), ArchiveError>;
}

/// What an instance knows of its archive.
#[derive(Default)]
pub struct Known {
    /// Of the log of which epoch; all else is of that.
    epoch: Cell<Option<u32>>,
    /// Whether the log's key was opened once.
    opened: Cell<bool>,
    /// Whether the log was last found to be not the archive's.
    refuses: Cell<bool>,
    /// Whether the next field is what is there, as far as is known.
    looked: Cell<bool>,
    /// The checkpoint that was archived last, with its head.
    checkpoint: RefCell<Latest>,
    /// An archived head that was found to be of this tree: it stays so.
    agreed: Cell<Option<Head>>,
    /// When a checkpoint was signed last.
    signed_at: Cell<Option<UnixMillis>>,
    /// A tile in the archive is not this lane's: of a log of so many lines.
    differs: Cell<Option<u64>>,
}

impl Known {
    /// Whether a tile in the archive was found to be another log's.
    pub const fn is_anothers(&self) -> bool {
        self.differs.get().is_some()
    }

    /// From here on it is of that log; what was known of another is forgotten.
    pub fn be_of(&self, log: LogId) {
        if self.epoch.get() != Some(log.epoch) {
            self.forget();
            self.epoch.set(Some(log.epoch));
        }
    }

    /// Forgets all, of whatever log it is.
    pub fn forget(&self) {
        self.epoch.set(None);
        self.opened.set(false);
        self.refuses.set(false);
        self.looked.set(false);
        self.checkpoint.replace(None);
        self.agreed.set(None);
        self.signed_at.set(None);
        self.differs.set(None);
    }

    /// Has the archive be looked at again.
    pub fn look_again(&self) {
        self.looked.set(false);
    }

    fn is_of(&self, log: LogId) -> bool {
        self.epoch.get() == Some(log.epoch)
    }

    /// Notes what was found of that log. What is known to be later stays: of two who look at once the slower may have seen
    /// less.
    fn found(&self, log: LogId, found: Latest) -> Latest {
        if !self.is_of(log) {
            return found;
        }
        let mut known = self.checkpoint.borrow_mut();
        let size = |checkpoint: &Latest| checkpoint.as_ref().map_or(0, |(_, head)| head.size);
        if !self.looked.replace(true) || size(&found) >= size(&known) {
            *known = found;
        }
        known.clone()
    }
}

pub(super) fn name_of(log: LogId, what: &impl std::fmt::Display) -> String {
    format!("lane/{log}/{what}")
}

impl<S: Sql> LaneService<S> {
    /// The log that the lane has. What was known of the archive of another is forgotten.
    pub(super) fn log(&self) -> Result<LogId, SqlError> {
        let epoch = log_keys::epoch(&self.sql)?;
        let log = LogId { lane: LANE, epoch };
        self.archive.be_of(log);
        Ok(log)
    }

    /// A checkpoint of the lane's log.
    #[cfg(test)]
    pub async fn checkpoint(
        &self,
        archive: &impl Archive,
        now: UnixMillis,
    ) -> Result<Answer<Vec<u8>>, SqlError> {
        self.checkpoint_of(archive, None, now).await
    }

    /// A checkpoint of the log of that epoch, or of the lane's, that is archived: of its head, or a little older. The same head
    /// gives the same bytes. Of a log before it is what was archived last.
    pub async fn checkpoint_of(
        &self,
        archive: &impl Archive,
        epoch: Option<u32>,
        now: UnixMillis,
    ) -> Result<Answer<Vec<u8>>, SqlError> {
        self.ready()?;
        for _ in 0..MAX_TRIES {
            let log = self.log()?;
            if let Some(epoch) = epoch.filter(|epoch| *epoch != log.epoch) {
                return self.checkpoint_before(archive, epoch).await;
            }
            if !self.archive.opened.get() {
                if let Err(refusal) = self.signer(now)? {
                    return Ok(Err(refusal));
                }
                self.archive.opened.set(true);
            }
            let has_waited = !self.archive.looked.get();
            let archived = self.archived(archive, log).await?;
            // No await from here to the note: what is looked at is what is signed.
            if has_waited && self.log()? != log {
                continue;
            }
            let (archived, head) = match self.judged(archived)? {
                Ok(judged) => judged,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if let Some((checkpoint, of)) = &archived
                && (of.size == head.size || self.has_just_signed(now))
            {
                return Ok(Ok(checkpoint.bytes.clone()));
            }
            let note = match self.signer(now)? {
                Ok(signer) => signer.sign(&head),
                Err(refusal) => return Ok(Err(refusal)),
            };
            let note = note.map_err(|error| SqlError(error.to_string()))?;
            self.archive.signed_at.set(Some(now));
            let over = archived.as_ref().map(|(archived, _)| &*archived.version);
            // A failure here says nothing of whether it was done: the next who asks looks.
            self.archive.look_again();
            let name = name_of(log, &CHECKPOINT);
            match archive.put(&name, &note, over).await {
                Ok(Some(version)) => {
                    let bytes = note.clone();
                    let archived = Archived { bytes, version };
                    if self.archive.is_of(log) {
                        self.archive.agreed.set(Some(head));
                    }
                    self.archive.found(log, Some((archived, head)));
                    return Ok(Ok(note));
                }
                Ok(None) => {}
                Err(error) => {
                    return match archived {
                        Some((archived, _)) => Ok(Ok(archived.bytes)),
                        None => Err(error.into()),
                    };
                }
            }
        }
        Err(SqlError(
            "the archived checkpoint does not hold still".to_owned(),
        ))
    }

    /// The checkpoint in the archive, if there is one and it is by that log's key.
    pub(super) async fn archived(
        &self,
        archive: &impl Archive,
        log: LogId,
    ) -> Result<Answer<Latest>, SqlError> {
        if self.archive.is_of(log) && self.archive.looked.get() {
            return Ok(Ok(self.archive.checkpoint.borrow().clone()));
        }
        let found = archive.read(&name_of(log, &CHECKPOINT)).await?;
        let known = match found {
            None => None,
            Some(archived) => {
                let Some(key) = log_keys::of_epoch(&self.sql, log.epoch)? else {
                    return Ok(Err(Refusal::ArchiveOfAnother));
                };
                match key.verifier()?.open(&archived.bytes) {
                    Ok(head) => Some((archived, head)),
                    Err(_) => return Ok(Err(Refusal::ArchiveOfAnother)),
                }
            }
        };
        Ok(Ok(self.archive.found(log, known)))
    }

    /// What is archived and the head, if that may be signed.
    fn judged(&self, archived: Answer<Latest>) -> Result<Answer<(Latest, Head)>, SqlError> {
        let judged = match archived {
            Ok(archived) => {
                let head = self.may_sign_now(archived.as_ref().map(|(_, head)| head))?;
                head.map(|head| (archived, head))
            }
            Err(refusal) => Err(refusal),
        };
        self.archive.refuses.set(judged.is_err());
        Ok(judged)
    }

    /// The head, if it may be signed.
    pub(super) fn may_sign_now(&self, archived: Option<&Head>) -> Result<Answer<Head>, SqlError> {
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(archived) = self.archive.differs.get() {
            return Ok(Err(Refusal::ArchiveDiffers { archived }));
        }
        let agreed = self.archive.agreed.get();
        if agreed.is_some() && agreed == archived.copied() {
            return Ok(Ok(head));
        }
        let stored = Stored(&self.sql);
        let tree = Tree::new(head, &stored);
        match may_sign(head.size, archived, |size| tree.root_at(size)) {
            Ok(judged) => {
                if judged.is_ok() {
                    self.archive.agreed.set(archived.copied());
                }
                Ok(judged.map(|()| head))
            }
            Err(NoProof::Tiles(error)) => Err(error),
            Err(_) => {
                self.standing.set(Some(Standing::Differs));
                Ok(Err(Refusal::Shut))
            }
        }
    }

    fn has_just_signed(&self, now: UnixMillis) -> bool {
        let signed_at = self.archive.signed_at.get();
        // By a clock that went back it was long ago.
        signed_at.is_some_and(|at| at <= now && now.0 - at.0 < CHECKPOINT_MS)
    }

    /// Whether full tiles wait to be archived.
    pub fn has_unarchived(&self) -> Result<bool, SqlError> {
        if self.ready()? != Standing::Agrees {
            return Ok(false);
        }
        let size = store::next_index(&self.sql)?;
        Ok(!self.archive.is_anothers()
            && !self.archive.refuses.get()
            && store::archived_tiles(&self.sql)? < size / TILE_WIDTH)
    }

    /// Archives a bounded number of full tiles, with their bundles and what they complete above, in their order.
    pub async fn archive_tiles(&self, archive: &impl Archive) -> Result<(), SqlError> {
        if !self.has_unarchived()? {
            return Ok(());
        }
        let log = self.log()?;
        let archived = self.archived(archive, log).await?;
        if self.log()? != log {
            return Ok(());
        }
        // A lane that was restored may have other lines where its archive has none yet.
        if let Err(refusal) = self.judged(archived)? {
            return Err(SqlError(format!("archive: {refusal}")));
        }
        let first = store::archived_tiles(&self.sql)?;
        let end = store::next_index(&self.sql)? / TILE_WIDTH;
        let end = end.min(first + MAX_TILES);
        let mut next = first;
        let mut done = Ok(());
        while next < end && done.is_ok() && self.log()? == log {
            let tiles = next..end.min(next + ON_THEIR_WAY);
            let tiles = tiles.map(|number| self.archive_tile(archive, log, number));
            for archived in join_all(tiles).await {
                // Those behind one that failed may be there, and are tried again with it.
                done = done.and(archived);
                next += u64::from(done.is_ok());
            }
        }
        // What was done is kept, also if the next could not be.
        if next > first {
            self.sql.transaction(|| {
                if log_keys::epoch(&self.sql)? != log.epoch {
                    return Ok(());
                }
                let noted = store::archived_tiles(&self.sql)?;
                store::put_archived_tiles(&self.sql, noted.max(next))
            })?;
        }
        done
    }

    async fn archive_tile(
        &self,
        archive: &impl Archive,
        log: LogId,
        number: u64,
    ) -> Result<(), SqlError> {
        for (name, bytes) in self.completed_with(log, number)? {
            if archive.put(&name, &bytes, None).await?.is_some() {
                continue;
            }
            let there = archive.read(&name).await?;
            let there = there.ok_or_else(|| SqlError(format!("archive: {name} came and went")))?;
            if there.bytes != bytes {
                let lines = (number + 1) * TILE_WIDTH;
                if self.archive.is_of(log) {
                    self.archive.differs.set(Some(lines));
                }
                return Err(SqlError(format!("archive: {name} is another log's")));
            }
        }
        Ok(())
    }

    /// What is full since that tile of level 0 is: its bundle, if its lines are kept, itself, and tiles above that end where
    /// it ends.
    fn completed_with(&self, log: LogId, number: u64) -> Result<Vec<(String, Vec<u8>)>, SqlError> {
        let impossible = || SqlError::corrupt("archive");
        let place = Place::new(number, TILE_WIDTH).ok_or_else(impossible)?;
        let bundle = EntryBundle(place);
        let mut completed = Vec::new();
        if place.first() >= retained::pruned_to(&self.sql)? {
            completed.push((name_of(log, &bundle), self.entries(bundle)?));
        }
        let (mut level, mut tiles) = (0, number + 1);
        loop {
            let place = Place::new(tiles - 1, TILE_WIDTH).ok_or_else(impossible)?;
            let tile = HashTile { level, place };
            let hashes = Stored(&self.sql).tile(tile)?;
            if hashes.len() as u64 != TILE_WIDTH * 32 {
                return Err(SqlError::corrupt("tile"));
            }
            completed.push((name_of(log, &tile), hashes));
            if !tiles.is_multiple_of(TILE_WIDTH) {
                return Ok(completed);
            }
            (level, tiles) = (level + 1, tiles / TILE_WIDTH);
        }
    }
}
