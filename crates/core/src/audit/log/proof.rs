//! Proofs from tiles, and their verification (RFC 6962 sections 2.1.1 and 2.1.2).
//!
//! Whoever has a tree's head and can read its tiles makes any proof: at most three tiles a level are read, on the
//! way to a leaf and on the right edges of the trees in question. Tiles are not believed: what is read is hashed up to the head's root first, so that a proof from a tile that was changed is
//! an error, and never a wrong proof.

use super::path::{HashTile, Place, hashes_at};
use super::{EMPTY_HASH, Hash, Head, TILE_HEIGHT, TILE_WIDTH, hashes_from_bytes};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use tlog_tiles::{
    Error, HashReader, check_record, check_tree, node_hash, prove_record, prove_tree,
    split_stored_hash_index, stored_hash_index, tree_hash,
};

/// The longest proof of a tree that can be.
const MAX_HASHES: usize = 64;

/// Where tiles come from.
pub trait Tiles {
    /// Why one could not be read.
    type Error;

    /// The hashes of that tile, one after another: exactly as many as its place is wide.
    fn tile(&self, tile: HashTile) -> Result<Vec<u8>, Self::Error>;
}

/// Why there is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoProof<E> {
    /// The tree has no such leaf or no such smaller tree.
    OutOfRange,
    /// A tile could not be read.
    Tiles(E),
    /// The tiles are not those of the tree with this head.
    Inconsistent,
}

impl<E: fmt::Display> fmt::Display for NoProof<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange => f.write_str("the tree is smaller"),
            Self::Tiles(error) => error.fmt(f),
            Self::Inconsistent => f.write_str("the tiles do not agree with the tree's root"),
        }
    }
}

/// Tiles by level and number.
type Believed = BTreeMap<(u8, u64), Rc<[Hash]>>;

/// A tree that is known by its head and its tiles.
pub struct Tree<'a, T: Tiles> {
    head: Head,
    tiles: &'a T,
    /// Tiles that were read and make the root.
    believed: RefCell<Believed>,
    failed: RefCell<Option<T::Error>>,
}

impl<'a, T: Tiles> Tree<'a, T> {
    /// The tree with that head, whose tiles are those.
    pub const fn new(head: Head, tiles: &'a T) -> Self {
        Self {
            head,
            tiles,
            believed: RefCell::new(BTreeMap::new()),
            failed: RefCell::new(None),
        }
    }

    /// Its head.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Reads the tiles of the right edge, and says whether they make the root.
    pub fn check(&self) -> Result<(), NoProof<T::Error>> {
        self.believe_edge().map_err(|error| self.why(&error))
    }

    /// The root of the complete subtree of that height, the `index`-th of its height: a hash that is part of the tree.
    pub fn subtree(&self, height: u8, index: u64) -> Result<Hash, NoProof<T::Error>> {
        let end = index
            .checked_add(1)
            .and_then(|end| end.checked_mul(1u64.checked_shl(height.into())?));
        if end.is_none_or(|end| end > self.head.size) {
            return Err(NoProof::OutOfRange);
        }
        self.hash(height, index).map_err(|error| self.why(&error))
    }

    /// The root that the tree had when it was `size` leaves large.
    pub fn root_at(&self, size: u64) -> Result<Hash, NoProof<T::Error>> {
        if size > self.head.size {
            return Err(NoProof::OutOfRange);
        }
        if size == 0 {
            return Ok(EMPTY_HASH);
        }
        tree_hash(size, self).map_err(|error| self.why(&error))
    }

    /// The leaf at `index`, and the proof that the tree of `size` leaves has it there.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<(Hash, Vec<Hash>), NoProof<T::Error>> {
        if index >= size || size > self.head.size {
            return Err(NoProof::OutOfRange);
        }
        let leaf = self.hash(0, index);
        let proof = leaf.and_then(|leaf| Ok((leaf, prove_record(size, index, self)?)));
        proof.map_err(|error| self.why(&error))
    }

    /// The proof that the tree of `to` leaves continues that of `from`, of which there is at least one.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, NoProof<T::Error>> {
        if from == 0 || from > to || to > self.head.size {
            return Err(NoProof::OutOfRange);
        }
        prove_tree(to, from, self).map_err(|error| self.why(&error))
    }

    fn why(&self, _: &Error) -> NoProof<T::Error> {
        match self.failed.take() {
            Some(error) => NoProof::Tiles(error),
            None => NoProof::Inconsistent,
        }
    }

    /// The root of the complete subtree of that height, the `index`-th of its height.
    fn hash(&self, height: u8, index: u64) -> Result<Hash, Error> {
        let (level, within) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let first = index << within;
        let tile = self.believed_tile(level, first / TILE_WIDTH)?;
        let from = usize::try_from(first % TILE_WIDTH).map_err(|_| Error::BadMath)?;
        let hashes = tile.get(from..from + (1 << within));
        subtree_root(hashes.ok_or(Error::IndexesNotInTree)?).ok_or(Error::BadMath)
    }

    /// A tile that is part of the tree: its own root is in the tile above, and so on up to the right edge.
    fn believed_tile(&self, level: u8, number: u64) -> Result<Rc<[Hash]>, Error> {
        self.believe_edge()?;
        let known = |level, number| self.believed.borrow().get(&(level, number)).cloned();
        let mut unproven = Vec::new();
        let (mut at_level, mut at_number) = (level, number);
        let mut above = loop {
            if let Some(tile) = known(at_level, at_number) {
                break tile;
            }
            let tile = self.read(at_level, at_number)?;
            if tile.len() as u64 != TILE_WIDTH {
                // What is not full is on the right edge.
                return Err(Error::InconsistentTile);
            }
            unproven.push((at_level, at_number, tile));
            (at_level, at_number) = (at_level + 1, at_number / TILE_WIDTH);
        };
        while let Some((level, number, tile)) = unproven.pop() {
            let place = usize::try_from(number % TILE_WIDTH).map_err(|_| Error::BadMath)?;
            if above.get(place).copied() != subtree_root(&tile) {
                return Err(Error::InconsistentTile);
            }
            let believed = &mut *self.believed.borrow_mut();
            believed.insert((level, number), Rc::clone(&tile));
            above = tile;
        }
        Ok(above)
    }

    /// Reads the tiles that are not full, one a level at most: together they make the root.
    fn believe_edge(&self) -> Result<(), Error> {
        if !self.believed.borrow().is_empty() {
            return Ok(());
        }
        let mut edge = BTreeMap::new();
        let mut root = None;
        for level in 0..=u8::MAX {
            let hashes = hashes_at(level, self.head.size);
            if hashes == 0 {
                break;
            }
            let number = hashes / TILE_WIDTH;
            if hashes.is_multiple_of(TILE_WIDTH) {
                continue;
            }
            let tile = self.read(level, number)?;
            // The complete subtrees of which it is made, from the smallest.
            let mut rest = &*tile;
            while !rest.is_empty() {
                let smallest = 1 << rest.len().trailing_zeros();
                let (others, subtree) = rest.split_at(rest.len() - smallest);
                let left = subtree_root(subtree).ok_or(Error::BadMath)?;
                root = Some(root.map_or(left, |right| node_hash(left, right)));
                rest = others;
            }
            edge.insert((level, number), tile);
        }
        if root.unwrap_or(EMPTY_HASH) != self.head.root {
            return Err(Error::InconsistentTile);
        }
        self.believed.replace(edge);
        Ok(())
    }

    /// A tile as wide as the tree has it.
    fn read(&self, level: u8, number: u64) -> Result<Rc<[Hash]>, Error> {
        let first = number * TILE_WIDTH;
        let width = hashes_at(level, self.head.size).saturating_sub(first);
        let place = Place::new(number, width.min(TILE_WIDTH)).ok_or(Error::IndexesNotInTree)?;
        let bytes = self
            .tiles
            .tile(HashTile { level, place })
            .map_err(|error| {
                self.failed.replace(Some(error));
                Error::InvalidTile
            })?;
        let hashes = hashes_from_bytes(&bytes).ok_or(Error::InvalidTile)?;
        if hashes.len() as u64 == place.width() {
            Ok(hashes.into())
        } else {
            Err(Error::InvalidTile)
        }
    }
}

/// The reader that `tlog_tiles` makes its proofs from. Its own reader of tiles is not used: where several complete
/// subtrees of the right edge are in one tile, it believes as many other tiles unseen.
impl<T: Tiles> HashReader for Tree<'_, T> {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        let end = stored_hash_index(0, self.head.size);
        let hash = |index: &u64| {
            if *index >= end {
                return Err(Error::IndexesNotInTree);
            }
            let (height, index) = split_stored_hash_index(*index);
            self.hash(height, index)
        };
        indexes.iter().map(hash).collect()
    }
}

/// The root over hashes whose number is a power of two.
fn subtree_root(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [] => None,
        [hash] => Some(*hash),
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            Some(node_hash(subtree_root(left)?, subtree_root(right)?))
        }
    }
}

/// Whether `proof` shows that the tree of that head has a leaf of that hash at `index`.
#[must_use]
pub fn verify_inclusion(leaf: Hash, index: u64, head: &Head, proof: &[Hash]) -> bool {
    index < head.size
        && proof.len() <= MAX_HASHES
        && check_record(&proof.to_vec(), head.size, head.root, index, leaf).is_ok()
}

/// Whether `proof` shows that the tree of the second head continues that of the first. Every tree continues the
/// empty one, and no proof is needed for that.
#[must_use]
pub fn verify_consistency(from: &Head, to: &Head, proof: &[Hash]) -> bool {
    if from.size == 0 {
        return from.root == EMPTY_HASH && proof.is_empty();
    }
    from.size <= to.size
        && proof.len() <= MAX_HASHES
        && check_tree(&proof.to_vec(), to.size, to.root, from.size, from.root).is_ok()
}
