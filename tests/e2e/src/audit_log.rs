//! The audit log as an outsider sees it: checkpoints, tiles and proofs over HTTP, and lines as an auditor gets them.

use crate::api::bearer;
use crate::http::{Request, Response};
use crate::json::text;
use crate::stack::Endpoints;
use crate::wait::until;
use crate::{Failure, Result};
use base64ct::{Base64, Encoding};
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::{Hash, Head, TILE_WIDTH, bundle, hashes_from_bytes};
use serde_json::Value;

/// A log of lane 0 of one stack.
#[derive(Clone, Debug)]
pub struct Log {
    service: String,
    /// Which, as its name says.
    log: String,
}

impl Log {
    /// The first log of the service of these endpoints.
    #[must_use]
    pub fn new(at: &Endpoints) -> Self {
        Self::of_epoch(at, 0)
    }

    /// Its log of that epoch.
    #[must_use]
    pub fn of_epoch(at: &Endpoints, epoch: u32) -> Self {
        let log = LogId { lane: 0, epoch };
        Self {
            service: at.service.clone(),
            log: log.to_string(),
        }
    }

    /// What is at this path of the lane, for anybody.
    pub fn public(&self, path: &str) -> Result<Response> {
        let Self { service, log } = self;
        Request::get(format!("{service}/audit/lane/{log}/{path}")).send()
    }

    /// The same for somebody.
    pub fn as_bearer(&self, path: &str, bearer: &str) -> Result<Response> {
        let Self { service, log } = self;
        Request::get(format!("{service}/audit/lane/{log}/{path}"))
            .bearer(bearer)
            .send()
    }

    /// The key that checkpoints are verified with.
    #[track_caller]
    pub fn key(&self) -> Result<CheckpointVerifier> {
        let vkey = self.public("key")?.expect(200)?.body;
        let key = CheckpointVerifier::from_vkey(vkey.trim_end());
        key.ok_or_else(|| Failure::new(format!("{vkey} is no key")))
    }

    /// The head of the log, by a checkpoint that verifies.
    #[track_caller]
    pub fn head(&self) -> Result<Head> {
        let note = self.public("checkpoint")?.expect(200)?.bytes;
        let head = self.key()?.open(&note);
        head.map_err(|error| Failure::new(error.to_string()))
    }

    /// The head once the log has more than `size` lines.
    #[track_caller]
    pub fn head_beyond(&self, size: u64) -> Result<Head> {
        until(&format!("a checkpoint of more than {size} lines"), || {
            Ok(Some(self.head()?).filter(|head| head.size > size))
        })
    }

    /// Every line of the log of that size, from its bundles.
    #[track_caller]
    pub fn entries(&self, size: u64) -> Result<Vec<Vec<u8>>> {
        let mut entries = Vec::new();
        for place in places(size)? {
            let path = EntryBundle(place).to_string();
            let found = self.as_bearer(&path, bearer::AUDITOR)?.expect(200)?.bytes;
            let found = bundle::decode(&found);
            let found = found.ok_or_else(|| Failure::new(format!("{path} is no bundle")))?;
            if found.len() as u64 != place.width() {
                return Err(Failure::new(format!("{path} has {} entries", found.len())));
            }
            entries.extend(found.into_iter().map(<[u8]>::to_vec));
        }
        Ok(entries)
    }

    /// Every leaf hash of the log of that size, from its tiles.
    #[track_caller]
    pub fn leaves(&self, size: u64) -> Result<Vec<Hash>> {
        let mut leaves = Vec::new();
        for place in places(size)? {
            let path = HashTile { level: 0, place }.to_string();
            let tile = self.public(&path)?.expect(200)?.bytes;
            let tile = hashes_from_bytes(&tile);
            leaves.extend(tile.ok_or_else(|| Failure::new(format!("{path} is no tile")))?);
        }
        Ok(leaves)
    }

    /// A proof, as it comes.
    pub fn proof(&self, query: &str) -> Result<Response> {
        Request::get(format!("{}/v1/audit/proof/{query}", self.service))
            .bearer(bearer::AUDITOR)
            .send()
    }
}

/// The tiles or bundles of lowest level that a log of that size has.
fn places(size: u64) -> Result<Vec<Place>> {
    let place = |number: u64| {
        let place = Place::new(number, (size - number * TILE_WIDTH).min(TILE_WIDTH));
        place.ok_or_else(|| Failure::new(format!("no place {number} in {size} lines")))
    };
    (0..size.div_ceil(TILE_WIDTH)).map(place).collect()
}

/// The hash that stands in a field.
#[track_caller]
pub fn hash(value: &Value, field: &str) -> Result<Hash> {
    hash_of(text(value, field)?)
}

/// The hashes of a proof.
#[track_caller]
pub fn hashes(value: &Value) -> Result<Vec<Hash>> {
    let hashes = value["hashes"].as_array().into_iter().flatten();
    hashes
        .map(|hash| hash_of(hash.as_str().unwrap_or_default()))
        .collect()
}

fn hash_of(text: &str) -> Result<Hash> {
    let bytes = Base64::decode_vec(text).ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(Hash)
        .ok_or_else(|| Failure::new(format!("{text} is no hash")))
}
