//! What a lane of the log can be asked. Append only: the order is the wire form.

use super::event::Event;
use super::pack::Pack;
use super::query::{Cursor, Filter, Order};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Put packs into the log, each event once for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// When the service got hold of them.
    pub received: UnixMillis,
    /// From any producers.
    pub packs: Vec<Pack>,
}

/// All of the packs' events are in the log, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// Events that were not in it before.
    pub new_events: u64,
    /// The index the next event will have.
    pub next_index: u64,
}

/// Read a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// What is wanted.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// From where; `None` begins.
    pub cursor: Option<Cursor>,
    /// The most lines to return.
    pub limit: u32,
    /// Reading is audited: this event enters the log with the page.
    pub read: Event,
}

/// A page of lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The lines wanted, as they were committed.
    pub lines: Vec<String>,
    /// Where to go on; `None` when there was nothing further at the time.
    pub next: Option<Cursor>,
    /// From where what is committed later can be read.
    pub tail: Cursor,
}

crate::object_calls! {
    /// One operation of a lane.
    LaneRequest {
        /// Put packs into the log.
        Append(Append) -> Appended,
        /// Read a page.
        Query(Query) -> Page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{self, Call};

    #[test]
    fn golden_bytes() {
        let append = Append {
            received: UnixMillis(5),
            packs: vec![],
        };
        assert_eq!(wire::encode(&append.into_request()), Ok(vec![1, 0, 5, 0]));
        let appended = Appended {
            new_events: 1,
            next_index: 2,
        };
        assert_eq!(wire::encode(&appended), Ok(vec![1, 1, 2]));
    }
}
