//! An export: lines of the log that somebody takes away, with what shows that they are the log's.
//!
//! An export is a folder. It is verified with nothing but itself and the log's public key.
//!
//! | file | what |
//! |---|---|
//! | `events.ndjson` | the lines exactly as committed, in the order of their indexes, each ended by one line feed; without it a line is a leaf of the log's tree |
//! | `checkpoint` | the signed note that all of it rests on ([`super::log::checkpoint`]) |
//! | `proofs.json` | of what the tree of that checkpoint is made ([`proofs`]) |
//! | `manifest.json` | which log, what was scanned and for what, how many lines, when and by whom asked; the other files' lengths and SHA-256; its own SHA-256 ([`manifest`]) |
//! | `disclosures.ndjson` | what opens the sealed fields of the lines, if it was asked for ([`disclosed`]) |
//! | `events.csv`, `events.ocsf.ndjson`, `events.parquet` | the same lines for other programs, if they were asked for; known to be whole by the manifest alone |
//!
//! **What ties lines to the checkpoint.** The tree of `size` leaves is cut into complete subtrees (RFC 6962 section 2.1),
//! from left to right and without a gap: each exported line is a subtree of one leaf, and what lies between, before and
//! behind is as few complete subtrees as there are, of which only the roots are told. So the hashes in `proofs.json`
//! alone make the root in the checkpoint ([`super::log::edge::Edge`]), and each line must have the hash that stands at
//! its index. Of a whole range `first..end`, there are the roots to the left (a complete subtree for each bit of
//! `first`), the lines, and the roots to the right: nothing can lie between two lines, so that the range is shown to be
//! complete. Of lines that a filter chose, it is the RFC 6962 audit paths of all of them, without what is in several or
//! follows from other lines: each line is shown to be the log's at its index. That no other line of what was scanned
//! passes the filter is not shown; a whole range says that.
//!
//! Verifying takes one pass over both files side by side, a stack of 53 hashes and one line.
//!
//! Who makes one: the command line, which asks the service for tiles and bundles ([`write`]); or the service itself, as a
//! job that goes on where it was ([`make`], [`job`], [`call`]). Both are the same files.
//!
//! Out of scope: reading files, asking the service, Parquet.

pub mod call;
pub mod columns;
pub mod csv;
pub mod disclosed;
pub mod fault;
pub mod job;
pub mod lines;
pub mod make;
pub mod manifest;
pub mod ocsf;
pub mod proofs;
pub mod serve;
pub mod source;
pub mod verify;
pub mod view;
mod walk;
pub mod write;

/// The lines.
pub const EVENTS: &str = "events.ndjson";
/// The signed note.
pub const CHECKPOINT: &str = "checkpoint";
/// What the tree is made of.
pub const PROOFS: &str = "proofs.json";
/// What it is, and what the other files are.
pub const MANIFEST: &str = "manifest.json";
/// The lines for other programs.
pub const VIEWS: [&str; 3] = ["events.csv", "events.ocsf.ndjson", "events.parquet"];

/// What opens sealed fields of the lines, if it was asked for.
pub const DISCLOSURES: &str = "disclosures.ndjson";

/// The version of the format.
pub const VERSION: u32 = 1;

#[cfg(test)]
mod tests;
