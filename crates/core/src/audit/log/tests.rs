//! The tree against an independent implementation, and its bytes.

use super::edge::{Edge, UpperHash};
use super::path::{HashTile, Place, hashes_at};
use super::proof::{NoProof, Tiles, Tree, verify_consistency, verify_inclusion};
use super::{
    EMPTY_HASH, Hash, Head, MAX_SIZE, TILE_WIDTH, hashes_from_bytes, hashes_to_bytes, leaf_hash,
};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use proptest::prelude::*;
use sha2::Sha256;
use std::cell::Cell;
use std::collections::BTreeMap;

/// A log in memory: what a lane keeps, kept the simplest way.
#[derive(Clone, Default)]
struct Log {
    edge: Edge,
    levels: BTreeMap<u8, Vec<Hash>>,
    reads: Cell<usize>,
    bent: Option<(u8, usize)>,
}

impl Log {
    fn of(entries: &[Vec<u8>]) -> Self {
        let mut log = Self::default();
        for entry in entries {
            log.append(entry);
        }
        log
    }

    fn append(&mut self, entry: &[u8]) {
        let mut upper = Vec::new();
        let leaf = leaf_hash(entry);
        self.edge.append(leaf, &mut upper);
        self.levels.entry(0).or_default().push(leaf);
        for UpperHash { level, index, hash } in upper {
            let hashes = self.levels.entry(level).or_default();
            assert_eq!(
                hashes.len() as u64,
                index,
                "hashes of a level come in order"
            );
            hashes.push(hash);
        }
    }

    fn tree(&self) -> Tree<'_, Self> {
        Tree::new(self.edge.head(), self)
    }

    fn head_at(&self, size: u64) -> Head {
        let root = self.tree().root_at(size).expect("a root");
        Head { size, root }
    }
}

impl Tiles for Log {
    type Error = ();

    fn tile(&self, tile: HashTile) -> Result<Vec<u8>, ()> {
        assert!(tile.is_of(self.edge.size()), "{tile} is asked for");
        self.reads.set(self.reads.get() + 1);
        let range = at(tile.place.first())..at(tile.place.end());
        let mut hashes = self.levels[&tile.level]
            .get(range.clone())
            .ok_or(())?
            .to_vec();
        if let Some((level, bent)) = self.bent
            && level == tile.level
            && range.contains(&bent)
        {
            hashes[bent - range.start].0[9] ^= 0x10;
        }
        Ok(hashes_to_bytes(&hashes))
    }
}

fn at(index: u64) -> usize {
    usize::try_from(index).expect("small")
}

fn entries(count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| format!(r#"{{"index":{n}}}"#).into_bytes())
        .collect()
}

fn independent(entries: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for entry in entries {
        tree.push(entry.clone());
    }
    tree
}

#[test]
fn golden_bytes_of_leaf_tile_and_roots() {
    assert_eq!(Edge::empty().head().root, EMPTY_HASH);
    let log = Log::of(&entries(3));
    assert_eq!(
        leaf_hash(br#"{"index":0}"#).to_string(),
        "PtOg4O1fLFW20bFfKyRAPN6xAVpm6zGnPGCnlzNLMQM="
    );
    assert_eq!(
        log.edge.head().root.to_string(),
        "sHQMVWulR2YqF4oAyFZpN2CPKcXsA3ypmmXYg3kOJB8="
    );
    let place = Place::new(0, 3).expect("a place");
    let tile = log.tile(HashTile { level: 0, place }).expect("a tile");
    assert_eq!(tile.len(), 96);
    assert_eq!(tile[..32], leaf_hash(br#"{"index":0}"#).0);
}

#[test]
fn an_edge_is_as_long_as_its_size_says_and_no_other_is_taken_back() {
    let mut log = Log::default();
    for n in 0..300u64 {
        let bytes = log.edge.to_bytes();
        assert_eq!(bytes.len(), 32 * n.count_ones() as usize);
        assert_eq!(Edge::from_stored(n, &bytes), Some(log.edge.clone()));
        assert_eq!(
            Edge::from_stored(n + 1, &bytes).is_some(),
            n.count_ones() == (n + 1).count_ones()
        );
        assert_eq!(Edge::from_stored(n, &[bytes, vec![0]].concat()), None);
        log.append(b"x");
    }
    assert_eq!(Edge::from_stored(MAX_SIZE, &[0; 32]), None);
}

#[test]
fn nothing_is_proven_beyond_the_tree() {
    let log = Log::of(&entries(9));
    let tree = log.tree();
    assert_eq!(tree.inclusion(9, 9), Err(NoProof::OutOfRange));
    assert_eq!(tree.inclusion(0, 10), Err(NoProof::OutOfRange));
    assert_eq!(tree.inclusion(0, 0), Err(NoProof::OutOfRange));
    assert_eq!(tree.consistency(0, 9), Err(NoProof::OutOfRange));
    assert_eq!(tree.consistency(9, 8), Err(NoProof::OutOfRange));
    assert_eq!(tree.consistency(1, 10), Err(NoProof::OutOfRange));
    assert_eq!(tree.root_at(10), Err(NoProof::OutOfRange));
    let empty = Log::default();
    assert_eq!(empty.tree().check(), Ok(()));
    assert_eq!(empty.tree().root_at(0), Ok(EMPTY_HASH));
    assert_eq!(empty.tree().inclusion(0, 0), Err(NoProof::OutOfRange));
}

#[test]
fn a_proof_reads_three_tiles_a_level_at_most() {
    let log = Log::of(&entries(65_536 + 700));
    let size = log.edge.size();
    for (index, of) in [(0, size), (300, size), (size - 1, size), (65_000, 65_900)] {
        log.reads.set(0);
        log.tree().inclusion(index, of).expect("a proof");
        assert!(log.reads.get() <= 3 * 3, "{} reads", log.reads.get());
    }
}

/// Tiles of a tree of any size, all of whose leaves are the same.
struct Uniform;

impl Uniform {
    fn hash_at(height: u8) -> Hash {
        (0..height).fold(leaf_hash(b"same"), |hash, _| {
            tlog_tiles::node_hash(hash, hash)
        })
    }

    fn head(size: u64) -> Head {
        let heights = (0..64u8).rev().filter(|height| size >> height & 1 == 1);
        let roots: Vec<Hash> = heights.map(Self::hash_at).collect();
        let edge = Edge::from_stored(size, &hashes_to_bytes(&roots)).expect("an edge");
        edge.head()
    }
}

impl Tiles for Uniform {
    type Error = ();

    fn tile(&self, tile: HashTile) -> Result<Vec<u8>, ()> {
        let hash = Self::hash_at(tile.level * super::TILE_HEIGHT);
        Ok(hash.0.repeat(at(tile.place.width())))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn roots_and_proofs_agree_with_an_independent_implementation(
        count in 1u64..700,
        index: prop::sample::Index,
        from: prop::sample::Index,
        to: prop::sample::Index,
    ) {
        let entries = entries(count);
        let log = Log::of(&entries);
        prop_assert_eq!(log.tree().check(), Ok(()));
        let size = index.index(at(count)) as u64 + 1;
        let size = size.max(to.index(at(count)) as u64 + 1);
        let head = log.head_at(size);
        let other = independent(&entries[..at(size)]);
        let root = other.root();
        prop_assert_eq!(&head.root.0[..], &root.as_bytes()[..]);

        let index = index.index(at(size)) as u64;
        let (leaf, proof) = log.tree().inclusion(index, size).expect("a proof");
        prop_assert_eq!(leaf, leaf_hash(&entries[at(index)]));
        prop_assert!(verify_inclusion(leaf, index, &head, &proof));
        let bytes = hashes_to_bytes(&proof);
        let made_there = other.prove_inclusion(at(index));
        prop_assert_eq!(made_there.as_bytes(), &bytes[..]);
        let theirs = InclusionProof::<Sha256>::try_from_bytes(bytes).expect("a proof");
        prop_assert!(other.root().verify_inclusion(&entries[at(index)], index, &theirs).is_ok());

        let from = from.index(at(size)) as u64 + 1;
        let older = log.head_at(from);
        let proof = log.tree().consistency(from, size).expect("a proof");
        prop_assert!(verify_consistency(&older, &head, &proof));
        let bytes = hashes_to_bytes(&proof);
        let made_there = other.prove_consistency(at(size - from));
        if from < size {
            prop_assert_eq!(made_there.as_bytes(), &bytes[..]);
            let theirs = ConsistencyProof::<Sha256>::try_from_bytes(bytes).expect("a proof");
            let older = independent(&entries[..at(from)]);
            prop_assert!(other.root().verify_consistency(&older.root(), &theirs).is_ok());
        }
    }

    #[test]
    fn a_proof_shows_nothing_else(
        count in 2u64..600,
        index: prop::sample::Index,
        from: prop::sample::Index,
        hash: prop::sample::Index,
        bit in 0usize..256,
    ) {
        let log = Log::of(&entries(count));
        let head = log.edge.head();
        let index = index.index(at(count)) as u64;
        let (leaf, proof) = log.tree().inclusion(index, count).expect("a proof");
        let bend = |proof: &[Hash]| {
            let mut bent = proof.to_vec();
            let hash = hash.index(bent.len());
            bent[hash].0[bit / 8] ^= 1 << (bit % 8);
            bent
        };
        prop_assert!(!verify_inclusion(leaf, index, &head, &bend(&proof)));
        prop_assert!(!verify_inclusion(leaf_hash(b"other"), index, &head, &proof));
        prop_assert!(!verify_inclusion(leaf, (index + 1) % count, &head, &proof));
        prop_assert!(!verify_inclusion(leaf, index, &head, &proof[1..]));
        prop_assert!(!verify_inclusion(leaf, index, &head, &[&proof[..], &proof[..1]].concat()));

        let from = from.index(at(count - 1)) as u64 + 1;
        let older = log.head_at(from);
        let proof = log.tree().consistency(from, count).expect("a proof");
        prop_assert!(!verify_consistency(&older, &head, &bend(&proof)));
        prop_assert!(!verify_consistency(&older, &head, &proof[1..]));
        prop_assert!(!verify_consistency(&head, &older, &proof));
        let other = Head { root: leaf_hash(b"other"), ..older };
        prop_assert!(!verify_consistency(&other, &head, &proof));
    }

    #[test]
    fn nothing_is_proven_from_a_tile_that_was_changed(
        count in 1u64..1200,
        index: prop::sample::Index,
        level in 0u8..2,
        bent: prop::sample::Index,
    ) {
        let mut log = Log::of(&entries(count));
        prop_assume!(hashes_at(level, count) > 0);
        let bent = bent.index(at(hashes_at(level, count)));
        log.bent = Some((level, bent));
        let index = index.index(at(count)) as u64;
        // Either the tile was not needed, and the proof is right, or there is none.
        let head = log.edge.head();
        match log.tree().inclusion(index, count) {
            Ok((leaf, proof)) => prop_assert!(verify_inclusion(leaf, index, &head, &proof)),
            Err(error) => prop_assert_eq!(error, NoProof::Inconsistent),
        }
        // The right edge is always looked at.
        if bent as u64 >= hashes_at(level, count) / TILE_WIDTH * TILE_WIDTH {
            prop_assert_eq!(log.tree().check(), Err(NoProof::Inconsistent));
        }
    }

    #[test]
    fn the_largest_trees_are_proven_without_overflow(
        size in prop_oneof![1..MAX_SIZE, (0u32..53).prop_map(|bits| 1 << bits), Just(MAX_SIZE - 1)],
        index in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let head = Uniform::head(size);
        let tree = Tree::new(head, &Uniform);
        prop_assert_eq!(tree.check(), Ok(()));
        let index = index.index(at(size)) as u64;
        let (leaf, proof) = tree.inclusion(index, size).expect("a proof");
        prop_assert!(verify_inclusion(leaf, index, &head, &proof));
        let from = from.index(at(size)) as u64 + 1;
        let older = Uniform::head(from);
        prop_assert_eq!(tree.root_at(from), Ok(older.root));
        let proof = tree.consistency(from, size).expect("a proof");
        prop_assert!(verify_consistency(&older, &head, &proof));
    }

    #[test]
    fn arbitrary_hashes_prove_nothing(bytes: Vec<u8>, index in 0..MAX_SIZE, size in 1..MAX_SIZE) {
        let hashes = hashes_from_bytes(&bytes);
        prop_assert_eq!(hashes.is_some(), bytes.len().is_multiple_of(32));
        let proof: Vec<Hash> = bytes.chunks_exact(8).map(leaf_hash).collect();
        let head = Head { size, root: leaf_hash(b"root") };
        let leaf = leaf_hash(b"leaf");
        prop_assert!(!verify_inclusion(leaf, index, &head, &proof));
        let older = Head { size: index, root: leaf };
        prop_assert!(!verify_consistency(&older, &head, &proof) );
    }
}
