//! What is wrong with an export, and where.

use super::{CHECKPOINT, EVENTS, MANIFEST, PROOFS};
use serde::Serialize;
use std::fmt;

/// What is wrong, in which file, and where there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file's name.
    pub file: String,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The offset of the line's first byte, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub byte: Option<u64>,
    /// Which line of the log it is about, by its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// What is wrong there.
    #[serde(serialize_with = "as_text")]
    pub message: Wrong,
}

fn as_text<S: serde::Serializer>(wrong: &Wrong, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(wrong)
}

impl Fault {
    /// A fault of a whole file.
    #[must_use]
    pub fn of(file: &str, message: Wrong) -> Self {
        Self {
            file: file.to_owned(),
            line: None,
            byte: None,
            index: None,
            message,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        match (self.index, self.byte) {
            (Some(index), Some(byte)) => write!(f, " (index {index}, byte {byte})")?,
            (Some(index), None) => write!(f, " (index {index})")?,
            (None, Some(byte)) => write!(f, " (byte {byte})")?,
            (None, None) => {}
        }
        write!(f, ": {}", self.message)
    }
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The manifest does not end with its SHA-256.
    NoSeal,
    /// The manifest's SHA-256 is another.
    SealBroken,
    /// The manifest is none.
    NoManifest(String),
    /// The note is no checkpoint of the log by its key.
    NoCheckpoint {
        /// The log whose key was given.
        origin: String,
    },
    /// The manifest says otherwise than the checkpoint.
    OtherCheckpoint,
    /// The file has another length.
    Length {
        /// As the manifest has it.
        stated: u64,
        /// As it is.
        found: u64,
    },
    /// The file has another SHA-256.
    Digest,
    /// It does not begin with this log and this size.
    OtherProofs,
    /// A line of it is no node.
    NoNode,
    /// A complete subtree cannot begin there.
    Misplaced,
    /// It ends before the tree does.
    ProofsEnd,
    /// There is something behind its end.
    Behind,
    /// Its hashes do not make the root.
    OtherRoot,
    /// The hash of a node is not the one that makes the root; the line is right.
    OtherNode,
    /// The line is not the one that the log has.
    Changed {
        /// The index that it says, if it is another.
        says: Option<u64>,
    },
    /// The line is not there, and maybe some that follow.
    Missing {
        /// What the line says that stands in its place.
        found: u64,
    },
    /// No further line is there.
    Ended {
        /// How many lines are missing.
        missing: u64,
    },
    /// The line does not belong there: it is twice, out of order, or not of this export.
    Extra,
    /// The line does not end with a line feed.
    Unended,
    /// The line is longer than any of the log.
    TooLong,
    /// The filter does not want it.
    Unwanted,
    /// It was not scanned.
    Unscanned,
    /// A whole export lacks lines of its range.
    Incomplete {
        /// From that index.
        first: u64,
        /// To below that one.
        end: u64,
    },
    /// The manifest counts lines, or names the first and last, otherwise than they are.
    OtherCount {
        /// How many there are.
        found: u64,
    },
    /// The file is not what follows from the lines.
    OtherView,
    /// It is no key of a line, or out of order.
    NoDisclosure,
    /// The key does not open its line.
    NotOpened,
    /// There is no line for the key, or nothing is sealed in it.
    NothingToOpen,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeal => f.write_str("it does not end with its SHA-256: it was changed or cut"),
            Self::SealBroken => f.write_str("it was changed: its SHA-256 is another"),
            Self::NoManifest(why) => write!(f, "it is no manifest: {why}"),
            Self::NoCheckpoint { origin } => {
                write!(
                    f,
                    "it is no checkpoint of {origin} signed with the key that was given"
                )
            }
            Self::OtherCheckpoint => f.write_str("it says otherwise than the checkpoint"),
            Self::Length { stated, found } => {
                write!(f, "it has {found} bytes, and {stated} by the manifest")
            }
            Self::Digest => f.write_str("its SHA-256 is not the one in the manifest"),
            Self::OtherProofs => f.write_str("it does not begin as proofs of this checkpoint do"),
            Self::NoNode => f.write_str("this is no part of a tree"),
            Self::Misplaced => f.write_str("a complete subtree of that height cannot begin here"),
            Self::ProofsEnd => f.write_str("it ends before the tree does"),
            Self::Behind => f.write_str("there is something behind its end"),
            Self::OtherRoot => f.write_str("its hashes do not make the root in the checkpoint"),
            Self::OtherNode => f.write_str(
                "the hash was changed: with that of the line there is the root in the checkpoint",
            ),
            Self::Changed { says: None } => f.write_str("the line is not the one that the log has"),
            Self::Changed { says: Some(says) } => {
                write!(
                    f,
                    "the line is not the one that the log has: it says index {says}"
                )
            }
            Self::Missing { found } => {
                write!(
                    f,
                    "the line is missing: what stands here says index {found}"
                )
            }
            Self::Ended { missing } => write!(f, "the file ends, and {missing} lines are missing"),
            Self::Extra => {
                f.write_str("the line does not belong here: it is added, twice, or out of order")
            }
            Self::Unended => f.write_str("the line does not end with a line feed"),
            Self::TooLong => f.write_str("the line is longer than any of the log"),
            Self::Unwanted => f.write_str("the line does not pass the filter in the manifest"),
            Self::Unscanned => {
                f.write_str("the line is outside of what was scanned by the manifest")
            }
            Self::Incomplete { first, end } => {
                write!(
                    f,
                    "it is not the whole range from {first} to below {end} that the manifest says"
                )
            }
            Self::OtherCount { found } => {
                write!(
                    f,
                    "it counts lines otherwise than they are: there are {found}"
                )
            }
            Self::OtherView => f.write_str("it is not what follows from the lines"),
            Self::NoDisclosure => f.write_str("this is no disclosure, or it is out of order"),
            Self::NotOpened => f.write_str("the key does not open its line"),
            Self::NothingToOpen => {
                f.write_str("there is no such line in the export, or nothing is sealed in it")
            }
        }
    }
}

/// In which of the files of an export something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// The manifest.
    Manifest,
    /// The signed note.
    Checkpoint,
    /// The tree's parts.
    Proofs,
    /// The lines.
    Events,
}

impl File {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => MANIFEST,
            Self::Checkpoint => CHECKPOINT,
            Self::Proofs => PROOFS,
            Self::Events => EVENTS,
        }
    }
}
