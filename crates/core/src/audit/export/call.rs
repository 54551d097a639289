//! What the service's exports can be asked. Append only: the order is the wire form.

use super::job::{Asked, ExportId, Job};
use crate::audit::event::Event;
use crate::session::revoke::IdempotencyKey;
use serde::{Deserialize, Serialize};

/// Begin an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartExport {
    /// What is wanted.
    pub asked: Asked,
    /// Who asks, by their role.
    pub by: String,
    /// So that the same request again begins nothing.
    pub idempotency: Option<IdempotencyKey>,
    /// The request, which is audited.
    pub event: Event,
}

/// Why none is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotStarted {
    /// The key was used with another request.
    KeyReused,
    /// Too many are unfinished.
    TooMany,
}

/// An export and which it is.
pub type Numbered = (ExportId, Job);

/// The newest, or those before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListExports {
    /// Only those before this one.
    pub before: Option<ExportId>,
    /// The most to return.
    pub limit: u32,
}

/// Which is it?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindExport {
    /// Which.
    pub id: ExportId,
}

/// Take a file away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchFile {
    /// Of which.
    pub id: ExportId,
    /// The file's name.
    pub name: String,
    /// The request, which is audited.
    pub event: Event,
}

/// Cancel an export, or remove its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoveExport {
    /// Which.
    pub id: ExportId,
    /// The request, which is audited.
    pub event: Event,
}

crate::object_calls! {
    /// One operation of the service's exports.
    ExportsRequest {
        /// Begin one.
        Start(StartExport) -> Result<Numbered, NotStarted>,
        /// Read which there are, newest first.
        List(ListExports) -> Vec<Numbered>,
        /// Read one.
        Find(FindExport) -> Option<Job>,
        /// Read of which parts a file is made (number, length); `None` if there is none.
        Fetch(FetchFile) -> Option<Vec<(u64, u64)>>,
        /// Remove one; false if there is none.
        Remove(RemoveExport) -> bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Action, Actor, Outcome};
    use crate::time::UnixMillis;
    use crate::wire::{self, Call};

    fn event() -> (Event, Vec<u8>) {
        let event = Event::new(
            UnixMillis(9),
            Action::AuditExported,
            Outcome::Success,
            Actor::Anonymous,
        );
        let bytes = wire::encode(&event).expect("encodes");
        (event, bytes.get(1..).expect("a version").to_vec())
    }

    #[test]
    fn golden_bytes() {
        let (event, bytes) = event();
        let id = ExportId(7);
        let start = StartExport {
            asked: Asked::default(),
            by: "a".to_owned(),
            idempotency: None,
            event: event.clone(),
        };
        let expected = [&[1, 0, 0, 0, 0, 0, 1, b'a', 0], &bytes[..]].concat();
        assert_eq!(wire::encode(&start.into_request()), Ok(expected));
        let list = ListExports {
            before: None,
            limit: 50,
        };
        assert_eq!(wire::encode(&list.into_request()), Ok(vec![1, 1, 0, 50]));
        assert_eq!(
            wire::encode(&FindExport { id }.into_request()),
            Ok(vec![1, 2, 7])
        );
        let fetch = FetchFile {
            id,
            name: "f".to_owned(),
            event: event.clone(),
        };
        let expected = [&[1, 3, 7, 1, b'f'], &bytes[..]].concat();
        assert_eq!(wire::encode(&fetch.into_request()), Ok(expected));
        let expected = [&[1, 4, 7], &bytes[..]].concat();
        let remove = RemoveExport { id, event };
        assert_eq!(wire::encode(&remove.into_request()), Ok(expected));
        let job = Job::new(Asked::default(), "a".to_owned(), UnixMillis(5));
        let waiting = [1, 0, 0, 0, 0, 1, b'a', 5, 0, 0];
        assert_eq!(wire::encode(&job), Ok(waiting.to_vec()));
    }
}
