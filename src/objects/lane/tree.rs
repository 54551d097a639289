//! The tree over a lane's lines: growing it with each commit, building it over what was there before, and finding
//! out whether what is stored of it agrees with the lines.
//!
//! Leaf hashes and the edge are columns of the segment that they belong to, written with it. A tile above level 0 gets
//! a hash for each full tile below, so at most one row for 256 lines. Level 0 is cut from the segments.

use super::store::{self, Rooted, Segment};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::log::edge::{Edge, UpperHash};
use portcullis_core::audit::log::path::HashTile;
use portcullis_core::audit::log::proof::{NoProof, Tiles, Tree};
use portcullis_core::audit::log::{Hash, Head, TILE_WIDTH, hashes_to_bytes, leaf_hash};

/// How much is built at a time over older lines, in bytes of them; the segment that exceeds it is the last.
const MAX_BUILD_BYTES: usize = 2_000_000;
/// The same in segments: each is a row written.
const MAX_BUILD_SEGMENTS: usize = 64;

/// A tree that grows within a transaction.
pub struct Growing {
    edge: Edge,
    hashes: Vec<Hash>,
    upper: Vec<UpperHash>,
}

impl Growing {
    /// From that edge on.
    pub const fn new(edge: Edge) -> Self {
        Self {
            edge,
            hashes: Vec::new(),
            upper: Vec::new(),
        }
    }

    /// Appends a line, which comes without its line feed.
    pub fn append(&mut self, entry: &[u8]) {
        let leaf = leaf_hash(entry);
        self.edge.append(leaf, &mut self.upper);
        self.hashes.push(leaf);
    }

    /// What belongs to the segment that ends here.
    pub fn rooted(&mut self) -> Rooted {
        Rooted {
            hashes: std::mem::take(&mut self.hashes),
            edge: self.edge.clone(),
        }
    }

    /// Stores what was completed above level 0.
    pub fn store(self, sql: &impl Sql) -> Result<(), SqlError> {
        let mut upper = self.upper;
        upper.sort_unstable_by_key(|hash| (hash.level, hash.index));
        let same_tile = |a: &UpperHash, b: &UpperHash| {
            (a.level, a.index / TILE_WIDTH) == (b.level, b.index / TILE_WIDTH)
        };
        for hashes in upper.chunk_by(same_tile) {
            let Some(first) = hashes.first() else {
                continue;
            };
            let number = first.index / TILE_WIDTH;
            let mut tile = store::tile(sql, first.level, number)?;
            if tile.len() as u64 != first.index % TILE_WIDTH {
                return Err(SqlError::corrupt("tile"));
            }
            tile.extend(hashes.iter().map(|hash| hash.hash));
            store::put_tile(sql, first.level, number, &tile)?;
        }
        Ok(())
    }
}

/// How what is stored of the tree stands to the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the tree of all of them, as far as a look at its end shows.
    Agrees,
    /// It is not built over all of them yet.
    Behind,
    /// It is not their tree.
    Differs,
}

/// Looks at the end of the log: whether the last lines have the hashes that are stored, continue the tree before
/// them, and make a root with the tiles of the right edge. Reads at most 260 rows.
pub fn standing(sql: &impl Sql) -> Result<Standing, SqlError> {
    if store::unbuilt(sql)?.is_some() {
        return Ok(Standing::Behind);
    }
    let size = store::next_index(sql)?;
    let Some(last) = store::segment_below(sql, size)? else {
        let differs = store::has_tiles(sql)?;
        return Ok(if differs {
            Standing::Differs
        } else {
            Standing::Agrees
        });
    };
    let Some(stored) = store::rooted(sql, &last)? else {
        return Ok(Standing::Differs);
    };
    let Some(before) = edge_before(sql, &last)? else {
        return Ok(Standing::Differs);
    };
    let mut again = Growing::new(before);
    last.entries().for_each(|entry| again.append(entry));
    let again = again.rooted();
    if again.edge != stored.edge || again.hashes != stored.hashes {
        return Ok(Standing::Differs);
    }
    match Tree::new(stored.edge.head(), &Stored(sql)).check() {
        Ok(()) => Ok(Standing::Agrees),
        Err(NoProof::Tiles(error)) => Err(error),
        Err(_) => Ok(Standing::Differs),
    }
}

/// The edge of the tree before that segment; `None` if there is a gap.
fn edge_before(sql: &impl Sql, segment: &Segment) -> Result<Option<Edge>, SqlError> {
    if segment.first_index == 0 {
        return Ok(Some(Edge::empty()));
    }
    match store::segment_below(sql, segment.first_index)? {
        Some(before) if before.end() == segment.first_index => {
            Ok(store::rooted(sql, &before)?.map(|rooted| rooted.edge))
        }
        _ => Ok(None),
    }
}

/// Builds a bounded part of the tree over older lines; says whether it is complete. In a transaction.
pub fn build(sql: &impl Sql) -> Result<bool, SqlError> {
    let Some(mut next) = store::unbuilt(sql)? else {
        return Ok(true);
    };
    let size = store::next_index(sql)?;
    let mut growing = None;
    let mut bytes = 0;
    for _ in 0..MAX_BUILD_SEGMENTS {
        if next >= size || bytes >= MAX_BUILD_BYTES {
            break;
        }
        let segment = store::segment_at(sql, next)?.filter(|segment| segment.first_index == next);
        let segment = segment.ok_or_else(|| SqlError::corrupt("segments"))?;
        let growing = match &mut growing {
            Some(growing) => growing,
            none => {
                let before = edge_before(sql, &segment)?;
                let before = before.ok_or_else(|| SqlError::corrupt("edge"))?;
                none.insert(Growing::new(before))
            }
        };
        segment.entries().for_each(|entry| growing.append(entry));
        let rooted = growing.rooted();
        next = segment.end();
        if rooted.edge.size() != next {
            return Err(SqlError::corrupt("count"));
        }
        store::put_rooted(sql, segment.first_index, &rooted)?;
        bytes += segment.lines.len();
    }
    if let Some(growing) = growing {
        growing.store(sql)?;
    }
    let complete = next >= size;
    store::put_unbuilt(sql, (!complete).then_some(next))?;
    Ok(complete)
}

/// The tree's head; `None` while it is behind.
pub fn head(sql: &impl Sql) -> Result<Option<Head>, SqlError> {
    let (_, edge) = store::end(sql)?;
    Ok(edge.map(|edge| edge.head()))
}

/// The tiles as they are stored.
pub struct Stored<'a, S>(pub &'a S);

impl<S: Sql> Tiles for Stored<'_, S> {
    type Error = SqlError;

    fn tile(&self, tile: HashTile) -> Result<Vec<u8>, SqlError> {
        let place = tile.place;
        let hashes = if tile.level == 0 {
            let mut hashes = Vec::new();
            for (first, leaves) in store::leaves(self.0, place.first(), place.end())? {
                for (index, leaf) in (first..).zip(leaves) {
                    if (place.first()..place.end()).contains(&index) {
                        hashes.push(leaf);
                    }
                }
            }
            hashes
        } else {
            let mut hashes = store::tile(self.0, tile.level, place.number())?;
            hashes.truncate(usize::try_from(place.width()).unwrap_or(usize::MAX));
            hashes
        };
        // Whoever reads counts them, and finds out if it is not the tree's.
        Ok(hashes_to_bytes(&hashes))
    }
}
