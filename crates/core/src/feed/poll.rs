//! What a gateway asks the service for, through its binding, to keep its copy of the feed fresh.

use super::page::SignedPage;
use crate::id::IncarnationId;
use serde::{Deserialize, Serialize};

/// Up to where a reader has a feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which feed.
    pub shard: String,
    /// Which life of it.
    pub incarnation: IncarnationId,
    /// It has everything up to there.
    pub through: u64,
}

/// What came after these places? Feeds that the reader does not name are read from the beginning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poll {
    /// The places.
    pub known: Vec<Cursor>,
}

/// A page of each feed that there is. A feed that is not among them is none any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// The pages.
    pub pages: Vec<PolledPage>,
}

/// A page, and how old it was when it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolledPage {
    /// The page.
    pub page: SignedPage,
    /// How long before the answer the service asked the feed for it, in milliseconds: pages are
    /// shared among those who ask at about the same time. A reader counts the age of what it has from when it
    /// sent its question, and adds this.
    pub age_ms: u64,
}
