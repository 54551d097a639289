//! What a lane says of its log: its key, tiles, bundles, proofs. Checkpoints are in [`super::archive`]. All of it is bounded work: a tile is 256 rows at
//! most, a proof three tiles a level.

use super::retained;
use super::service::LaneService;
use super::store;
use super::tree::{self, Standing, Stored};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::call::{
    Answer, Consistency, GetBundle, GetConsistency, GetInclusion, GetLogKey, GetTile, Inclusion,
    travelling,
};
use portcullis_core::audit::log::checkpoint::CheckpointSigner;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::EntryBundle;
use portcullis_core::audit::log::proof::{NoProof, Tiles, Tree};
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::audit::log::{Head, bundle};
use portcullis_core::time::UnixMillis;

impl<S: Sql> LaneService<S> {
    /// The public key of the log's checkpoints.
    pub fn log_key(&self, now: UnixMillis) -> Result<Answer<String>, SqlError> {
        self.ready()?;
        let signer = self.signer(now)?;
        Ok(signer.map(|signer| signer.verifier().to_vkey()))
    }

    /// The same, if it is that of the log of that epoch. What is told of logs before is in [`super::epochs`].
    pub(super) fn log_key_of(
        &self,
        asked: GetLogKey,
        now: UnixMillis,
    ) -> Result<Answer<String>, SqlError> {
        self.ready()?;
        let LogId { epoch, .. } = self.log()?;
        if asked.epoch.is_some_and(|asked| asked != epoch) {
            return Ok(Err(Refusal::NoLog { epoch }));
        }
        self.log_key(now)
    }

    /// A hash tile.
    pub fn tile(&self, asked: GetTile) -> Result<Answer<Option<Vec<u8>>>, SqlError> {
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let tile = asked.tile().filter(|tile| tile.is_of(head.size));
        match tile {
            Some(_) if asked.epoch != self.log()?.epoch => Ok(Ok(None)),
            Some(tile) => Ok(Ok(Some(Stored(&self.sql).tile(tile)?))),
            None => Ok(Ok(None)),
        }
    }

    /// An entry bundle, and the event that it was read; or neither.
    pub fn bundle(
        &self,
        asked: GetBundle,
        now: UnixMillis,
    ) -> Result<Answer<Option<Vec<u8>>>, SqlError> {
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(found) = asked.bundle().filter(|bundle| bundle.is_of(head.size)) else {
            return Ok(Ok(None));
        };
        if asked.epoch != self.log()?.epoch {
            return Ok(Ok(None));
        }
        let to = retained::pruned_to(&self.sql)?;
        if found.0.first() < to {
            return Ok(Err(Refusal::Pruned { to }));
        }
        self.forgetting(|| {
            let entries = self.entries(found)?;
            self.log_own(asked.read, None, now)?;
            Ok(Ok(Some(entries)))
        })
    }

    /// The proof that a line is in the tree of some size.
    pub fn inclusion(&self, asked: GetInclusion) -> Result<Answer<Option<Inclusion>>, SqlError> {
        self.prove(|tree| {
            let (leaf, hashes) = tree.inclusion(asked.index, asked.size)?;
            Ok(Inclusion {
                leaf: leaf.0,
                root: tree.root_at(asked.size)?.0,
                hashes: travelling(&hashes),
            })
        })
    }

    /// The proof that the tree of one size continues that of another.
    pub fn consistency(
        &self,
        asked: GetConsistency,
    ) -> Result<Answer<Option<Consistency>>, SqlError> {
        self.prove(|tree| {
            let hashes = tree.consistency(asked.from, asked.to)?;
            Ok(Consistency {
                from_root: tree.root_at(asked.from)?.0,
                to_root: tree.root_at(asked.to)?.0,
                hashes: travelling(&hashes),
            })
        })
    }

    pub(super) fn prove<T>(
        &self,
        prove: impl FnOnce(&Tree<'_, Stored<'_, S>>) -> Result<T, NoProof<SqlError>>,
    ) -> Result<Answer<Option<T>>, SqlError> {
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match prove(&Tree::new(head, &Stored(&self.sql))) {
            Ok(proof) => Ok(Ok(Some(proof))),
            Err(NoProof::OutOfRange) => Ok(Ok(None)),
            Err(NoProof::Tiles(error)) => Err(error),
            Err(NoProof::Inconsistent) => {
                self.standing.set(Some(Standing::Differs));
                Ok(Err(Refusal::Shut))
            }
        }
    }

    /// The head, if the tree is whole.
    pub(super) fn whole(&self) -> Result<Answer<Head>, SqlError> {
        match self.ready()? {
            Standing::Agrees => Ok(tree::head(&self.sql)?.ok_or(Refusal::BeingBuilt)),
            Standing::Behind => Ok(Err(Refusal::BeingBuilt)),
            Standing::Differs => Ok(Err(Refusal::Shut)),
        }
    }

    pub(super) fn signer(&self, now: UnixMillis) -> Result<Answer<CheckpointSigner>, SqlError> {
        let keys = self.keys.as_ref();
        let keys = keys.ok_or_else(|| SqlError("not configured".to_owned()))?;
        self.sql.transaction(|| keys.signer(&self.sql, now))
    }

    pub(super) fn entries(&self, asked: EntryBundle) -> Result<Vec<u8>, SqlError> {
        let place = asked.0;
        let segments = store::segments(&self.sql, place.first(), place.end())?;
        let mut entries = Vec::new();
        for segment in &segments {
            for (index, entry) in (segment.first_index..).zip(segment.entries()) {
                if (place.first()..place.end()).contains(&index) {
                    entries.push(entry);
                }
            }
        }
        if entries.len() as u64 != place.width() {
            return Err(SqlError::corrupt("segments"));
        }
        bundle::encode(entries).ok_or_else(|| SqlError::corrupt("line"))
    }
}
