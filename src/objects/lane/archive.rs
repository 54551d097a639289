//! The archive of a lane, outside of it: full tiles and bundles, created once and never replaced, and the latest
//! checkpoint. Under `lane/<n>/`, by the names that the log serves them under.
//!
//! - **Commit first.** Nothing of a commit waits for the archive. What is committed is put there afterwards, in order,
//!   by the lane's alarm: what was left over comes before anything newer.
//! - **Create only.** A tile that is there already must be the same, byte for byte. If it is not, the lane is not the
//!   one that was archived, and signs nothing any more.
//! - **No checkpoint is given out that is not archived.** So a lane that was restored to an earlier point finds one
//!   that is ahead of it, and refuses to sign ([`may_sign`]).
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before a tile is created | nothing | the alarm creates it |
//! | after it, before that is noted | the tile | the alarm finds it there, and the same |
//! | before a checkpoint is archived | nothing; whoever asked gets the one before | the next who asks |
//! | after it, before that is known | the checkpoint | it is read again and is one of this tree |

use super::service::{LANE, LaneService};
use super::store;
use super::tree::{Standing, Stored};
use crate::objects::sql::{Sql, SqlError};
use futures::future::join_all;
use portcullis_core::audit::call::Answer;
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
    /// Whether the next field is what is there, as far as is known.
    looked: Cell<bool>,
    /// The checkpoint that was archived last, with its head.
    checkpoint: RefCell<Option<(Archived, Head)>>,
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

    /// Notes what was found. What is known to be later stays: of two who look at once the slower may have seen less.
    fn found(&self, found: Option<(Archived, Head)>) -> Option<(Archived, Head)> {
        let mut known = self.checkpoint.borrow_mut();
        let size = |checkpoint: &Option<(Archived, Head)>| {
            checkpoint.as_ref().map_or(0, |(_, head)| head.size)
        };
        if !self.looked.replace(true) || size(&found) >= size(&known) {
            *known = found;
        }
        known.clone()
    }
}

pub(super) fn name_of(what: &impl std::fmt::Display) -> String {
    format!("lane/{LANE}/{what}")
}

impl<S: Sql> LaneService<S> {
    /// A checkpoint of this log that is archived: of its head, or a little older. The same head gives the same bytes.
    pub async fn checkpoint(
        &self,
        archive: &impl Archive,
        now: UnixMillis,
    ) -> Result<Answer<Vec<u8>>, SqlError> {
        let name = name_of(&"checkpoint");
        for _ in 0..MAX_TRIES {
            let archived = match self.archived(archive, &name, now).await? {
                Ok(archived) => archived,
                Err(refusal) => return Ok(Err(refusal)),
            };
            // No await from here to the note: what is looked at is what is signed.
            let head = match self.may_sign_now(archived.as_ref().map(|(_, head)| head))? {
                Ok(head) => head,
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
            self.archive.looked.set(false);
            match archive.put(&name, &note, over).await {
                Ok(Some(version)) => {
                    let bytes = note.clone();
                    let archived = Archived { bytes, version };
                    self.archive.agreed.set(Some(head));
                    self.archive.found(Some((archived, head)));
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

    /// The checkpoint in the archive, if there is one and it is by this log's key.
    async fn archived(
        &self,
        archive: &impl Archive,
        name: &str,
        now: UnixMillis,
    ) -> Result<Answer<Option<(Archived, Head)>>, SqlError> {
        if self.archive.looked.get() {
            return Ok(Ok(self.archive.checkpoint.borrow().clone()));
        }
        let found = archive.read(name).await?;
        let known = match found {
            None => None,
            Some(archived) => {
                self.ready()?;
                let signer = match self.signer(now)? {
                    Ok(signer) => signer,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                match signer.verifier().open(&archived.bytes) {
                    Ok(head) => Some((archived, head)),
                    Err(_) => return Ok(Err(Refusal::ArchiveOfAnother)),
                }
            }
        };
        Ok(Ok(self.archive.found(known)))
    }

    /// The head, if it may be signed.
    fn may_sign_now(&self, archived: Option<&Head>) -> Result<Answer<Head>, SqlError> {
        if let Some(archived) = self.archive.differs.get() {
            return Ok(Err(Refusal::ArchiveDiffers { archived }));
        }
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
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
        Ok(self.archive.differs.get().is_none()
            && store::archived_tiles(&self.sql)? < size / TILE_WIDTH)
    }

    /// Archives a bounded number of full tiles, with their bundles and what they complete above, in their order.
    pub async fn archive_tiles(&self, archive: &impl Archive) -> Result<(), SqlError> {
        if !self.has_unarchived()? {
            return Ok(());
        }
        let first = store::archived_tiles(&self.sql)?;
        let end = store::next_index(&self.sql)? / TILE_WIDTH;
        let end = end.min(first + MAX_TILES);
        let mut next = first;
        let mut done = Ok(());
        while next < end && done.is_ok() {
            let tiles = (next..end.min(next + ON_THEIR_WAY)).map(|n| self.archive_tile(archive, n));
            for archived in join_all(tiles).await {
                // Those behind one that failed may be there, and are tried again with it.
                done = done.and(archived);
                next += u64::from(done.is_ok());
            }
        }
        // What was done is kept, also if the next could not be.
        if next > first {
            self.sql.transaction(|| {
                let noted = store::archived_tiles(&self.sql)?;
                store::put_archived_tiles(&self.sql, noted.max(next))
            })?;
        }
        done
    }

    async fn archive_tile(&self, archive: &impl Archive, number: u64) -> Result<(), SqlError> {
        for (name, bytes) in self.completed_with(number)? {
            if archive.put(&name, &bytes, None).await?.is_some() {
                continue;
            }
            let there = archive.read(&name).await?;
            let there = there.ok_or_else(|| SqlError(format!("archive: {name} came and went")))?;
            if there.bytes != bytes {
                let lines = (number + 1) * TILE_WIDTH;
                self.archive.differs.set(Some(lines));
                return Err(SqlError(format!("archive: {name} is another log's")));
            }
        }
        Ok(())
    }

    /// What is full since that tile of level 0 is: its bundle, itself, and tiles above that end where it ends.
    fn completed_with(&self, number: u64) -> Result<Vec<(String, Vec<u8>)>, SqlError> {
        let impossible = || SqlError::corrupt("archive");
        let place = Place::new(number, TILE_WIDTH).ok_or_else(impossible)?;
        let bundle = EntryBundle(place);
        let mut completed = vec![(name_of(&bundle), self.entries(bundle)?)];
        let (mut level, mut tiles) = (0, number + 1);
        loop {
            let place = Place::new(tiles - 1, TILE_WIDTH).ok_or_else(impossible)?;
            let tile = HashTile { level, place };
            let hashes = Stored(&self.sql).tile(tile)?;
            if hashes.len() as u64 != TILE_WIDTH * 32 {
                return Err(SqlError::corrupt("tile"));
            }
            completed.push((name_of(&tile), hashes));
            if !tiles.is_multiple_of(TILE_WIDTH) {
                return Ok(completed);
            }
            (level, tiles) = (level + 1, tiles / TILE_WIDTH);
        }
    }
}
