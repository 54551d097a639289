//! The right edge of a tree: all that must be known to append to it.
//!
//! A tree of some size is a row of complete subtrees, one for each bit that is set in the size, the largest first.
//! Their roots are the edge: at most 53 hashes, whatever was appended. The root of the tree follows from them.

use super::{Hash, Head, MAX_SIZE, TILE_HEIGHT, hashes_from_bytes, hashes_to_bytes};
use tlog_tiles::{EMPTY_HASH, node_hash};

/// A tree's size and the roots of its complete subtrees, the largest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Edge {
    size: u64,
    roots: Vec<Hash>,
}

/// A hash of a tile above level 0: the root of a full tile below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpperHash {
    /// The level of the tile that it belongs to, from 1.
    pub level: u8,
    /// Its place among all hashes of that level.
    pub index: u64,
    /// The hash.
    pub hash: Hash,
}

impl Edge {
    /// The edge of a tree with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Takes back an edge that was stored; `None` if there are not as many hashes as its size needs.
    #[must_use]
    pub fn from_stored(size: u64, roots: &[u8]) -> Option<Self> {
        let roots = hashes_from_bytes(roots)?;
        let fits = size < MAX_SIZE && roots.len() == size.count_ones() as usize;
        fits.then_some(Self { size, roots })
    }

    /// The hashes, for storing.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        hashes_to_bytes(&self.roots)
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf. What it completes above level 0 of the tiles is added to `upper`.
    pub fn append(&mut self, leaf: Hash, upper: &mut Vec<UpperHash>) {
        let (mut hash, mut height, mut index) = (leaf, 0u8, self.size);
        while index & 1 == 1 {
            // There is one root for each bit that is set, so that there is one here.
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(left, hash);
            index >>= 1;
            height += 1;
            if height.is_multiple_of(TILE_HEIGHT) {
                upper.push(UpperHash {
                    level: height / TILE_HEIGHT,
                    index,
                    hash,
                });
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// Appends a complete subtree of that height, of which only the root is known. False, and nothing done, if no
    /// complete subtree of that height can begin here: what comes before must be a multiple of as many leaves.
    #[must_use]
    pub fn append_subtree(&mut self, height: u8, root: Hash) -> bool {
        let leaves = 1u64.checked_shl(height.into()).unwrap_or(MAX_SIZE);
        if leaves >= MAX_SIZE || !self.size.is_multiple_of(leaves) || self.size + leaves >= MAX_SIZE
        {
            return false;
        }
        let (mut hash, mut index) = (root, self.size >> height);
        while index & 1 == 1 {
            let Some(left) = self.roots.pop() else { break };
            hash = node_hash(left, hash);
            index >>= 1;
        }
        self.roots.push(hash);
        self.size += leaves;
        true
    }

    /// Size and root of the tree.
    #[must_use]
    pub fn head(&self) -> Head {
        let mut roots = self.roots.iter().rev();
        let root = roots.next().map_or(EMPTY_HASH, |smallest| {
            roots.fold(*smallest, |right, left| node_hash(*left, right))
        });
        Head {
            size: self.size,
            root,
        }
    }
}
