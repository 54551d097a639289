//! The log as others can check it: a Merkle tree over each lane, its checkpoints, and proofs.
//!
//! A lane is a tiled transparency log (C2SP tlog-tiles) over an RFC 6962 tree with SHA-256. A leaf is a line
//! exactly as every reader gets it, **without its line feed**: whoever has an exported line hashes those bytes and
//! need not render anything. So a line is at most [`MAX_ENTRY_BYTES`] long, which is what a bundle can hold.
//!
//! | module | what |
//! |---|---|
//! | [`edge`] | what must be kept to append: the size and the roots of the complete subtrees |
//! | [`path`] | hash tiles and entry bundles by name, `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]` |
//! | [`bundle`] | 256 entries as one file |
//! | [`checkpoint`] | a tree's head as a signed note (C2SP tlog-checkpoint, signed-note), and the key's public form |
//! | [`proof`] | that a leaf is in a tree and that one tree continues another, from tiles; and both verified |
//! | [`signing`] | when a lane must not sign |
//! | [`epoch`] | the logs that a lane has had, one after another, and beginning a new one |
//!
//! Out of scope: where lines and tiles are stored, how they are served, and who may have them. The arithmetic of
//! trees and the syntax of notes are the crates `tlog_tiles` and `signed_note`.

pub mod bundle;
pub mod checkpoint;
pub mod edge;
pub mod epoch;
pub mod path;
pub mod proof;
pub mod signing;

pub use tlog_tiles::{EMPTY_HASH, HASH_SIZE, Hash};

/// The longest entry: bundles count an entry's bytes in 16 bits.
pub const MAX_ENTRY_BYTES: usize = 65_535;
/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;
/// log2 of [`TILE_WIDTH`]: how many levels of the tree a tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Indexes and sizes are below this: the largest integer that JSON and the runtime's SQL keep exactly.
pub const MAX_SIZE: u64 = 1 << 53;

/// The leaf hash of an entry (RFC 6962 section 2.1): of a line without its line feed.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    tlog_tiles::record_hash(entry)
}

/// A tree's size and root.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head {
    /// How many leaves.
    pub size: u64,
    /// The Merkle tree hash of all of them.
    pub root: Hash,
}

/// Hashes one after another, as tiles have them.
#[must_use]
pub fn hashes_to_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

/// Reads hashes that stand one after another; `None` if something is left over.
#[must_use]
pub fn hashes_from_bytes(bytes: &[u8]) -> Option<Vec<Hash>> {
    let (hashes, []) = bytes.as_chunks::<HASH_SIZE>() else {
        return None;
    };
    Some(hashes.iter().map(|hash| Hash(*hash)).collect())
}

#[cfg(test)]
mod tests;
