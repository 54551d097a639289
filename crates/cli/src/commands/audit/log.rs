//! The service's log as it serves it to anybody and to auditors (C2SP tlog-tiles): checkpoint, key, tiles, bundles.
//!
//! Where it is served, its name says, and the service says its name (`GET /v1/audit/key`): a lane may have had others before.

use crate::client::Client;
use crate::failure::{Failure, Problem};
use crate::table::clean;
use portcullis_core::audit::log::bundle;
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::audit::log::epoch::LogId;
use portcullis_core::audit::log::path::{EntryBundle, HashTile, Place};
use portcullis_core::audit::log::proof::{NoProof, Tiles};
use portcullis_core::audit::log::{HASH_SIZE, TILE_WIDTH};
use std::thread::sleep;
use std::time::Duration;

/// How often something is asked for that may come the next time.
const TRIES: u32 = 6;
/// The first wait; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The log of the service's lane.
pub struct Log<'a> {
    client: &'a Client,
    id: LogId,
    key: CheckpointVerifier,
}

impl<'a> Log<'a> {
    /// The log that the lane has now.
    pub fn ask(client: &'a Client) -> Result<Self, Failure> {
        let answer = client.get(&["v1", "audit", "key"], &[])?;
        let key = CheckpointVerifier::from_vkey(answer.text("vkey")?);
        let log = key.as_ref().and_then(|key| key.origin().log());
        let log = log.map(|(_, log)| log);
        match (key, log) {
            (Some(key), Some(id)) => Ok(Self { client, id, key }),
            _ => Err(Failure::NoAnswer(
                "what the service calls its log's key is none".to_owned(),
            )),
        }
    }

    /// The key, as the service says.
    pub const fn key(&self) -> &CheckpointVerifier {
        &self.key
    }

    /// Whether that key, which somebody has of their own, can be of this log: what the service says of its name must agree.
    pub fn is_of(&self, key: &CheckpointVerifier) -> Result<(), Failure> {
        let (ours, theirs) = (key.origin(), self.key.origin());
        if ours == theirs {
            return Ok(());
        }
        let before = ours
            .log()
            .filter(|(_, log)| log.lane == self.id.lane && log.epoch < self.id.epoch);
        let why = match before {
            Some((_, log)) => format!(
                "the key is that of {ours}, and the log was begun anew: it is {theirs} now, with a key of its own, which is to be \
                 had from who runs the service. What was archived of the one before is at /audit/lane/{log}"
            ),
            None => format!("the key is that of {ours}, and the service's log is {theirs}"),
        };
        Err(Failure::Usage(clean(&why)))
    }

    /// The newest checkpoint.
    pub fn checkpoint(&self) -> Result<Vec<u8>, Failure> {
        self.once("checkpoint")?.ok_or_else(|| lacks("checkpoint"))
    }

    /// The entries of a bundle of that place.
    pub fn entries(&self, place: Place) -> Result<Vec<Vec<u8>>, Failure> {
        let name = EntryBundle(place).to_string();
        let found = self.full_or(place, &name, |place| EntryBundle(place).to_string())?;
        let entries =
            bundle::decode(&found).filter(|entries| entries.len() as u64 >= place.width());
        let entries = entries.ok_or_else(|| Failure::NoAnswer(format!("{name} is no bundle")))?;
        let width = usize::try_from(place.width()).unwrap_or(usize::MAX);
        Ok(entries
            .into_iter()
            .take(width)
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// What is there, or in its place what has been filled up since: a log need not keep the rest.
    fn full_or(
        &self,
        place: Place,
        name: &str,
        named: impl Fn(Place) -> String,
    ) -> Result<Vec<u8>, Failure> {
        if let Some(found) = self.get(name)? {
            return Ok(found);
        }
        let full = Place::new(place.number(), TILE_WIDTH).filter(|_| !place.is_full());
        let found = full
            .map(|full| self.get(&named(full)))
            .transpose()?
            .flatten();
        found.ok_or_else(|| lacks(name))
    }

    /// What is at a path of the lane; asked for again if that may help.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        again(|| self.once(path))
    }

    /// The same, asked for once: what comes first may be asked of the wrong place.
    fn once(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let log = self.id.to_string();
        let mut segments = vec!["audit", "lane", log.as_str()];
        segments.extend(path.split('/'));
        self.client.bytes(&segments)
    }
}

impl Tiles for Log<'_> {
    type Error = Failure;

    fn tile(&self, tile: HashTile) -> Result<Vec<u8>, Failure> {
        let named = |place| HashTile { place, ..tile }.to_string();
        let mut found = self.full_or(tile.place, &tile.to_string(), named)?;
        let width = usize::try_from(tile.place.width()).unwrap_or(usize::MAX);
        found.truncate(width.saturating_mul(HASH_SIZE));
        Ok(found)
    }
}

/// Why something is not known of the tree.
pub fn unproven(error: NoProof<Failure>) -> Failure {
    match error {
        NoProof::Tiles(failure) => failure,
        other => Failure::NoAnswer(format!("the log contradicts its checkpoint: {other}")),
    }
}

fn lacks(name: &str) -> Failure {
    Failure::NoAnswer(format!("the log has no {name}: is the URL right?"))
}

/// Asks again if that may help.
pub fn again<T>(mut ask: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match ask() {
            Err(
                Failure::NoAnswer(_)
                | Failure::Refused(Problem {
                    status: 429 | 500..,
                    ..
                }),
            ) => {}
            other => return other,
        }
        sleep(wait);
        wait *= 2;
    }
    ask()
}
