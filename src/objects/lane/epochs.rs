//! The logs of a lane, one after another: beginning a new one when the lane's may not be signed any more, and what is told of
//! those before. Which log is which: `portcullis_core::audit::log::epoch`.
//!
//! A new log has the lane's lines and tree as they are, a name that none had, a random key, and an archive of its own, into which
//! every full tile goes. The one before is over: it is never signed again, and what can be had of it is what was archived.
//!
//! - **A name is taken once.** The key of a new log is put into the archive, create-only, before anything else is done. A lane
//!   that was restored to before a log began, or lost its storage, finds the name taken.
//! - **What is stored decides.** Which log the lane has is its latest key. What an instance knows of the archive is good for one
//!   log, and forgotten when the stored one is another.
//!
//! | a failure | leaves | then |
//! |---|---|---|
//! | before the name is taken | nothing | whoever asks again begins |
//! | after it, before the transaction | a name that no log has | whoever asks again takes the next |
//! | after the transaction | the new log | whoever asks again is told its name |

use super::archive::{Archive, CHECKPOINT, name_of};
use super::log_keys::{self, LogKey};
use super::retained;
use super::service::{LANE, LaneService};
use super::store;
use crate::objects::sql::{Sql, SqlError};
use base64ct::{Base64, Encoding};
use portcullis_core::audit::call::{
    Answer, GetBundle, GetCheckpoint, GetLogKey, GetTile, LaneRequest,
};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::log::epoch::{BeginEpoch, Beginning, Begun, Ended, LogId};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Head, path::EntryBundle};
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;

/// What the key of a log is called in its archive. The first log has none there.
const KEY: &str = "key";
/// How many names are tried.
const MAX_NAMES: u32 = 500;

impl<S: Sql> LaneService<S> {
    /// Whether a request waits for the archive: it is for a checkpoint, for a new log, or for what there is of one before.
    pub fn waits(&self, request: &LaneRequest) -> Result<bool, SqlError> {
        let epoch = match request {
            LaneRequest::Checkpoint(_) | LaneRequest::BeginEpoch(_) => return Ok(true),
            LaneRequest::LogKey(GetLogKey { epoch: Some(epoch) })
            | LaneRequest::Tile(GetTile { epoch, .. })
            | LaneRequest::Bundle(GetBundle { epoch, .. }) => *epoch,
            _ => return Ok(false),
        };
        self.ready()?;
        Ok(epoch < self.log()?.epoch)
    }

    /// Answers such a request.
    pub async fn answer_from(
        &self,
        request: LaneRequest,
        archive: &impl Archive,
        now: UnixMillis,
    ) -> Result<Vec<u8>, SqlError> {
        let reply = match request {
            LaneRequest::Checkpoint(GetCheckpoint { epoch }) => {
                wire::encode(&self.checkpoint_of(archive, epoch, now).await?)
            }
            LaneRequest::BeginEpoch(asked) => {
                wire::encode(&self.begin_epoch(archive, asked, now).await?)
            }
            LaneRequest::LogKey(GetLogKey { epoch: Some(epoch) }) => {
                wire::encode(&self.key_before(archive, epoch).await?)
            }
            LaneRequest::Tile(asked) => wire::encode(&self.tile_before(archive, asked).await?),
            LaneRequest::Bundle(asked) => {
                wire::encode(&self.bundle_before(archive, asked, now).await?)
            }
            other => return self.answer(other, now),
        };
        Ok(reply?)
    }

    /// Ends the lane's log, if it may not be signed any more, and begins a new one.
    pub async fn begin_epoch(
        &self,
        archive: &impl Archive,
        asked: BeginEpoch,
        now: UnixMillis,
    ) -> Result<Beginning, SqlError> {
        if let Err(refusal) = self.whole()? {
            return Ok(Beginning::Refused(refusal));
        }
        let log = self.log()?;
        // Has a key made where there is none yet: a log must have a name to end.
        let _ = self.signer(now)?;
        if let Some(other) = self.other_than(&asked.log)? {
            return Ok(other);
        }
        self.archive.look_again();
        let archived = self.archived(archive, log).await?;
        let archived = archived.map(|found| found.map(|(_, head)| head));
        // Before a name is taken: who has no ground takes none.
        if let Some(other) = self.other_than(&asked.log)? {
            return Ok(other);
        }
        if let Err(not) = self.ended(&asked.log, archived.as_ref(), now)? {
            return Ok(not);
        }
        let Some(key) = self.free(archive, log, asked.dry_run).await? else {
            return Ok(Beginning::NoName);
        };
        // No await from here on: what is looked at is what ends.
        if let Some(other) = self.other_than(&asked.log)? {
            return Ok(other);
        }
        let ended = match self.ended(&asked.log, archived.as_ref(), now)? {
            Ok(ended) => ended,
            Err(not) => return Ok(not),
        };
        let begun = Begun {
            epoch: key.epoch,
            log: key.origin.clone(),
            vkey: None,
            ended,
        };
        if asked.dry_run {
            return Ok(Beginning::Begun(begun));
        }
        let stored = self.forgetting(|| {
            if begun.ended.refusal == Refusal::ArchiveOfAnother {
                // The archive has the name by another key: this one is not told as its key.
                log_keys::forget(&self.sql, log.epoch)?;
            }
            log_keys::add(&self.sql, &key, now)?;
            store::put_archived_tiles(&self.sql, 0)?;
            self.log_own(asked.event, Some(&detail(&begun)), now)
        });
        // It may be done although that is reported as failed.
        self.archive.forget();
        stored?;
        let vkey = Some(key.verifier()?.to_vkey());
        Ok(Beginning::Begun(Begun { vkey, ..begun }))
    }

    /// What is said to somebody who names another log than the lane's.
    fn other_than(&self, named: &str) -> Result<Option<Beginning>, SqlError> {
        let key = log_keys::current(&self.sql)?;
        let log = key.map(|key| key.origin);
        let log = log.filter(|log| log != named);
        Ok(log.map(|log| Beginning::NotThat { log }))
    }

    /// How the lane's log ends, if it does: by its archived checkpoint, as far as that is its own, and by its key.
    fn ended(
        &self,
        log: &str,
        archived: Result<&Option<Head>, &Refusal>,
        now: UnixMillis,
    ) -> Result<Result<Ended, Beginning>, SqlError> {
        let refusal = match archived {
            Ok(head) => self.may_sign_now(head.as_ref())?.err(),
            Err(refusal) => Some(*refusal),
        };
        let refusal = match refusal {
            Some(refusal) => Some(refusal),
            None => self.signer(now)?.err(),
        };
        let Some(refusal) = refusal else {
            return Ok(Err(Beginning::NoGround));
        };
        if !refusal.ends_the_log() {
            return Ok(Err(Beginning::Refused(refusal)));
        }
        Ok(Ok(Ended {
            log: log.to_owned(),
            refusal,
            archived: archived.ok().copied().flatten().map(Into::into),
            lines: store::next_index(&self.sql)?,
        }))
    }

    /// A key for the next log whose name is free, which it has taken; or, in a dry run, would take.
    async fn free(
        &self,
        archive: &impl Archive,
        ended: LogId,
        dry_run: bool,
    ) -> Result<Option<LogKey>, SqlError> {
        let keys = self.keys.as_ref();
        let keys = keys.ok_or_else(|| SqlError("not configured".to_owned()))?;
        for epoch in (ended.epoch..).skip(1).take(MAX_NAMES as usize) {
            let (key, signer) = keys.make(epoch)?;
            let name = name_of(LogId { epoch, ..ended }, &KEY);
            let is_free = if dry_run {
                archive.read(&name).await?.is_none()
            } else {
                let vkey = format!("{}\n", signer.verifier().to_vkey());
                archive.put(&name, vkey.as_bytes(), None).await?.is_some()
            };
            if is_free {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// The name of the lane's log, if it has a key, and its epoch.
    pub(super) fn named(&self) -> Result<(Option<String>, u32), SqlError> {
        let key = log_keys::current(&self.sql)?;
        Ok(key.map_or((None, 0), |key| (Some(key.origin), key.epoch)))
    }

    /// What was archived of a log before the lane's.
    async fn before(
        &self,
        archive: &impl Archive,
        epoch: u32,
        what: &impl std::fmt::Display,
    ) -> Result<Option<Vec<u8>>, SqlError> {
        let name = name_of(LogId { lane: LANE, epoch }, what);
        let found = archive.read(&name).await?;
        Ok(found.map(|found| found.bytes))
    }

    /// The last checkpoint of a log before the lane's. One that is to come has none.
    pub(super) async fn checkpoint_before(
        &self,
        archive: &impl Archive,
        epoch: u32,
    ) -> Result<Answer<Vec<u8>>, SqlError> {
        let current = self.log()?.epoch;
        let missing = Refusal::NoLog { epoch: current };
        if epoch > current {
            return Ok(Err(missing));
        }
        let note = self.before(archive, epoch, &CHECKPOINT).await?;
        Ok(note.ok_or(missing))
    }

    /// The key of a log before the lane's: as the lane has it, or as the archive has.
    async fn key_before(
        &self,
        archive: &impl Archive,
        epoch: u32,
    ) -> Result<Answer<String>, SqlError> {
        if let Some(key) = log_keys::of_epoch(&self.sql, epoch)? {
            return Ok(Ok(key.verifier()?.to_vkey()));
        }
        let none = Refusal::NoLog {
            epoch: self.log()?.epoch,
        };
        let vkey = self.before(archive, epoch, &KEY).await?;
        let vkey = vkey.and_then(|vkey| String::from_utf8(vkey).ok());
        Ok(vkey.map(|vkey| vkey.trim_end().to_owned()).ok_or(none))
    }

    /// A full tile of a log before the lane's.
    async fn tile_before(
        &self,
        archive: &impl Archive,
        asked: GetTile,
    ) -> Result<Answer<Option<Vec<u8>>>, SqlError> {
        match asked.tile().filter(|tile| tile.place.is_full()) {
            Some(tile) => Ok(Ok(self.before(archive, asked.epoch, &tile).await?)),
            None => Ok(Ok(None)),
        }
    }

    /// A full bundle of a log before the lane's, and the event that it was read; or neither.
    async fn bundle_before(
        &self,
        archive: &impl Archive,
        asked: GetBundle,
        now: UnixMillis,
    ) -> Result<Answer<Option<Vec<u8>>>, SqlError> {
        let Some(bundle) = asked.bundle().filter(|EntryBundle(place)| place.is_full()) else {
            return Ok(Ok(None));
        };
        let found = self.before(archive, asked.epoch, &bundle).await?;
        if let Err(refusal) = self.whole()? {
            return Ok(Err(refusal));
        }
        // What is as old as lines of the lane that are gone is gone, or on its way out.
        let to = retained::pruned_to(&self.sql)?;
        if bundle.0.first() < to {
            return Ok(Err(Refusal::Pruned { to }));
        }
        let Some(entries) = found else {
            return Ok(Ok(None));
        };
        self.forgetting(|| {
            self.log_own(asked.read, None, now)?;
            Ok(Ok(Some(entries)))
        })
    }
}

fn detail(begun: &Begun) -> Detail {
    let ended = &begun.ended;
    let root = ended.archived.as_ref();
    let root = root.map(|archived| Base64::encode_string(&archived.root));
    Detail::Epoch {
        log: begun.log.clone(),
        ended: ended.log.clone(),
        archived_size: ended.archived.map(|archived| archived.size),
        archived_root: root,
        lines: ended.lines,
        refusal: ended.refusal.to_string(),
    }
}
