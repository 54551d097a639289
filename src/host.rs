//! A lane of the log on the host: its own code over a database file, for measurements that need a log of millions of lines, or
//! count what its commits cost. Behind feature `host`, which no Worker has.
//!
//! Out of scope: the object around it. What that costs beside its rows (calls, alarms) is for whoever counts.

use crate::config::log_key;
use crate::objects::host_sql::HostSql;
use crate::objects::lane::archive::{Archive, ArchiveError, Archived};
use crate::objects::lane::object::MAX_GROUPS;
use crate::objects::lane::service::{LANE, LaneService};
use crate::objects::lane::signer::LogKeyMaker;
use crate::objects::sql::SqlError;
use futures::FutureExt;
use portcullis_core::audit::call::{Append, Appended};
use portcullis_core::audit::log::checkpoint::Origin;
use portcullis_core::audit::pack::Pack;
use portcullis_core::text::from_base64url;
use portcullis_core::time::UnixMillis;
use std::cell::Cell;
use std::path::Path;

/// A lane over a file, which only counts what it would archive.
pub struct HostLane {
    service: LaneService<HostSql>,
    archive: Counted,
}

/// What a lane has written so far, since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows inserted, changed or deleted in its database.
    pub rows: u64,
    /// Objects put into the archive.
    pub objects: u64,
}

impl HostLane {
    /// The lane in that file, which is made if there is none: of the service with that `ISSUER` and `SERVICE_KEY`.
    pub fn open(file: &Path, issuer: &str, service_key: &str) -> Result<Self, SqlError> {
        let key = from_base64url(service_key).and_then(|key| key.try_into().ok());
        let key: [u8; 32] = key.ok_or_else(|| SqlError("no service key".to_owned()))?;
        let origin = Origin::of_lane(issuer, LANE);
        let origin = origin.ok_or_else(|| SqlError("no issuer".to_owned()))?;
        let keys = LogKeyMaker::new(log_key(&key), origin);
        Ok(Self {
            service: LaneService::new(HostSql::open(file)?, Some(keys)),
            archive: Counted::default(),
        })
    }

    /// Puts packs into the log, received and committed at that time.
    pub fn append(&self, packs: Vec<Pack>, now: UnixMillis) -> Result<Appended, SqlError> {
        let received = now;
        self.service.append(Append { received, packs }, now)
    }

    /// What one alarm does in a log that is kept for good: archives a bounded part of what is full, keeps up with producers, and
    /// stores groups of the index. Says whether there is more to archive.
    pub fn ring(&self, now: UnixMillis) -> Result<bool, SqlError> {
        let archived = self.service.archive_tiles(&self.archive).now_or_never();
        // Nothing in it waits.
        archived.ok_or_else(|| SqlError("the archive waited".to_owned()))??;
        self.service.keep_up(now)?;
        for _ in 0..MAX_GROUPS {
            self.service.build_group()?;
        }
        self.service.has_unarchived()
    }

    /// What was written so far.
    pub fn written(&self) -> Written {
        Written {
            rows: self.service.sql().rows_written(),
            objects: self.archive.0.get(),
        }
    }
}

/// An archive that keeps nothing.
#[derive(Default)]
struct Counted(Cell<u64>);

impl Archive for Counted {
    async fn read(&self, _name: &str) -> Result<Option<Archived>, ArchiveError> {
        Ok(None)
    }

    async fn put(
        &self,
        _name: &str,
        _bytes: &[u8],
        _over: Option<&str>,
    ) -> Result<Option<String>, ArchiveError> {
        self.0.set(self.0.get() + 1);
        Ok(Some(String::new()))
    }

    async fn remove(&self, _names: &[String]) -> Result<(), ArchiveError> {
        Ok(())
    }
}
