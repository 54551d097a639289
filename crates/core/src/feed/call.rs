//! What a feed's object can be asked. Append only: the order is the wire form.

use super::{Entry, Incarnation};
use crate::time::UnixMillis;
use serde::{Deserialize, Serialize};

/// Take these in, those that are news. Whoever has the answer knows that they are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Where a feed stands after what was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appended {
    /// In which life of the feed.
    pub incarnation: Incarnation,
    /// The highest sequence of the entries appended, or of those that stood for them already.
    pub sequence: u64,
    /// When, by the feed's clock.
    pub committed_at: UnixMillis,
}

/// What came after a place?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The life of the feed that `after` counts in, if the reader says so; in another one everything is
    /// news.
    pub incarnation: Option<crate::id::IncarnationId>,
    /// The sequence up to which the reader has everything; 0 for nothing.
    pub after: u64,
    /// The most entries wanted.
    pub limit: u32,
    /// How long to wait for something new if there is nothing, in milliseconds.
    pub wait_ms: u64,
}

/// What came after a place, in the order of its sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// In which life of the feed.
    pub incarnation: Incarnation,
    /// After which sequence these came.
    pub after: u64,
    /// Up to which sequence they go.
    pub through: u64,
    /// The feed's last sequence: there is more if this is higher than `through`.
    pub sequence: u64,
    /// When that was so, by the feed's clock.
    pub at: UnixMillis,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Begin another life: something may be missing, as after a restore from an earlier point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// Its name: 16 random bytes.
    pub id: crate::id::IncarnationId,
}

crate::object_calls! {
    /// One operation of a feed.
    FeedRequest {
        /// Take entries in.
        Append(Append) -> Appended,
        /// Read.
        Read(Read) -> Batch,
        /// Begin another life.
        Restart(Restart) -> Incarnation,
    }
}
