//! A lane without its runtime: what can be asked of it, and whether it is open. Appending is in [`super::append`], reading in
//! [`super::page`], the tree in [`super::log`].
//!
//! A commit grows the log's tree in its own transaction ([`super::tree`]). When an instance first needs the log it
//! looks whether tree and lines agree; if they do not the lane is shut: nothing is appended, read or signed any more.

use super::archive::Known;
use super::index::Index;
use super::memory::Memory;
use super::retention::Look;
use super::sealing::KnownKeys;
use super::signer::LogKeyMaker;
use super::store;
use super::tree::{self, Standing};
use crate::objects::sql::{Sql, SqlError, migrate};
use portcullis_core::audit::call::{LaneRequest, Page, Query};
use portcullis_core::audit::detail::Detail;
use portcullis_core::audit::log::signing::Refusal;
use portcullis_core::time::UnixMillis;
use portcullis_core::wire;
use std::cell::{Cell, RefCell};

/// This lane's number. There is one; every format carries it so that there can be more.
pub const LANE: u32 = 0;

/// One lane over its storage.
pub struct LaneService<S> {
    pub(super) sql: S,
    pub(super) keys: Option<LogKeyMaker>,
    migrated: Cell<bool>,
    /// What this instance knows of the tree; `None` before it has looked.
    pub(super) standing: Cell<Option<Standing>>,
    /// What it knows of the archive.
    pub(super) archive: Known,
    /// What it knows of producers; `None` before it has looked.
    pub(super) memory: RefCell<Option<Memory>>,
    /// When it looks again whether lines are too old.
    pub(super) look: Look,
    /// And of the index.
    pub(super) index: Index,
    /// What it knows of person keys.
    pub(super) person_keys: KnownKeys,
}

impl<S: Sql> LaneService<S> {
    /// A lane over `sql`; nothing is read or written yet. Without `keys` it signs nothing, and takes
    /// nothing that is personal.
    pub fn new(sql: S, keys: Option<LogKeyMaker>) -> Self {
        let index = Index::new(keys.as_ref().map(LogKeyMaker::term_key));
        Self {
            sql,
            keys,
            migrated: Cell::new(false),
            standing: Cell::new(None),
            archive: Known::default(),
            memory: RefCell::new(None),
            look: Look::default(),
            index,
            person_keys: KnownKeys::default(),
        }
    }

    /// The storage, for tests to break and for measurements to count.
    #[cfg(any(test, feature = "host"))]
    pub const fn sql(&self) -> &S {
        &self.sql
    }

    /// Another instance over the same storage.
    #[cfg(test)]
    pub fn restarted(self, keys: Option<LogKeyMaker>) -> Self {
        Self::new(self.sql, keys)
    }

    /// Answers `request`, unless it waits for the archive ([`Self::waits`]).
    pub fn answer(&self, request: LaneRequest, now: UnixMillis) -> Result<Vec<u8>, SqlError> {
        let reply = match request {
            LaneRequest::Append(append) => wire::encode(&self.append(append, now)?),
            LaneRequest::Query(query) => wire::encode(&self.query(query, now)?),
            LaneRequest::Checkpoint(_) | LaneRequest::BeginEpoch(_) => {
                return Err(SqlError("not at once".to_owned()));
            }
            LaneRequest::LogKey(asked) => wire::encode(&self.log_key_of(asked, now)?),
            LaneRequest::Tile(tile) => wire::encode(&self.tile(tile)?),
            LaneRequest::Bundle(bundle) => wire::encode(&self.bundle(bundle, now)?),
            LaneRequest::Inclusion(asked) => wire::encode(&self.inclusion(asked)?),
            LaneRequest::Consistency(asked) => wire::encode(&self.consistency(asked)?),
            LaneRequest::Retention(_) => wire::encode(&self.retention(now)?),
            LaneRequest::SetRetention(set) => wire::encode(&self.set_retention(set, now)?),
            LaneRequest::PlaceHold(place) => wire::encode(&self.place_hold(place, now)?),
            LaneRequest::ReleaseHold(release) => wire::encode(&self.release_hold(release, now)?),
            LaneRequest::QueryPersonal(asked) => wire::encode(&self.query_personal(asked, now)?),
            LaneRequest::Disclose(asked) => wire::encode(&self.disclose(asked, now)?),
            LaneRequest::Erase(asked) => wire::encode(&self.erase(asked, now)?),
            LaneRequest::Keep(keep) => wire::encode(&self.keep(&keep, now)?),
            LaneRequest::Letters(asked) => wire::encode(&self.letters(asked, now)?),
            LaneRequest::Letter(asked) => wire::encode(&self.letter(asked, now)?),
            LaneRequest::Replay(asked) => wire::encode(&self.replay(asked, now)?),
            LaneRequest::Discard(asked) => wire::encode(&self.discard(asked, now)?),
            LaneRequest::Backlog(seen) => wire::encode(&self.note_backlog(&seen)?),
            LaneRequest::Status(_) => wire::encode(&self.status()?),
            LaneRequest::Lines(asked) => wire::encode(&self.lines(asked)?),
            LaneRequest::Subtrees(asked) => wire::encode(&self.subtrees(asked)?),
        };
        Ok(reply?)
    }

    /// Reads a page and logs what is to be logged of that, or does neither.
    pub fn query(&self, query: Query, now: UnixMillis) -> Result<Page, SqlError> {
        self.open()?;
        self.forgetting(|| {
            let page = self.page(&query)?;
            if let Some(read) = query.read {
                let followed = query.followed.map(Detail::Followed);
                self.log_own(read, followed.as_ref(), now)?;
            }
            Ok(page)
        })
    }

    /// Runs a transaction that appends. If it fails, or may have failed, what this instance knew of producers is forgotten.
    pub(super) fn forgetting<T>(
        &self,
        body: impl FnOnce() -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let result = self.sql.transaction(body);
        if result.is_err() {
            self.memory.replace(None);
        }
        result
    }

    /// Whether the tree over older lines is being built, as far as this instance knows.
    pub fn is_behind(&self) -> bool {
        self.standing.get() == Some(Standing::Behind)
    }

    /// Has the lane ready, and says how its tree stands. While the tree is behind each call builds a part of it.
    pub fn ready(&self) -> Result<Standing, SqlError> {
        if !self.migrated.get() {
            migrate(&self.sql, store::MIGRATIONS)?;
            self.migrated.set(true);
        }
        self.index.settle(&self.sql)?;
        let known = self.standing.get();
        if let Some(known @ (Standing::Agrees | Standing::Differs)) = known {
            return Ok(known);
        }
        let mut standing = tree::standing(&self.sql)?;
        if standing == Standing::Behind && self.sql.transaction(|| tree::build(&self.sql))? {
            standing = tree::standing(&self.sql)?;
        }
        self.standing.set(Some(standing));
        Ok(standing)
    }

    /// Has the lane ready, unless it is shut.
    pub(super) fn open(&self) -> Result<(), SqlError> {
        match self.ready()? {
            Standing::Agrees | Standing::Behind => Ok(()),
            Standing::Differs => Err(SqlError(format!("lane {LANE}: {}", Refusal::Shut))),
        }
    }
}
