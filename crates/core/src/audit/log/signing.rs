//! When a lane must not sign.
//!
//! A log must not sign a checkpoint that contradicts one that it signed before (C2SP tlog-checkpoint). A lane cannot
//! remember that by itself alone: if its storage is restored to an earlier point, so is its memory. So a checkpoint is
//! put into an archive outside of the lane before anyone gets it, and the lane compares itself with the archive before
//! it signs anew. When it is behind, or different, it signs nothing any more, and an operator must begin a new log.

use super::{Hash, Head};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a lane does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The tree over lines from before there was one is not complete yet.
    BeingBuilt,
    /// What is stored of the tree does not agree with the lines: the lane is shut.
    Shut,
    /// A checkpoint was archived of more lines than there are: the lane was restored to an earlier point.
    ArchiveAhead {
        /// Of how many lines.
        archived: u64,
        /// How many there are.
        size: u64,
    },
    /// The archived checkpoint is not one of this tree.
    ArchiveDiffers {
        /// Of how many lines.
        archived: u64,
    },
    /// The key cannot be opened.
    KeyUnusable,
    /// The archived checkpoint is not by this log's key: the lane lost its storage, or has another's archive.
    ArchiveOfAnother,
    /// What was asked for is of lines that were removed, as their age allows.
    Pruned {
        /// The index of the first line that is kept.
        to: u64,
    },
    /// The lane has no such log, or nothing is archived of it.
    NoLog {
        /// The epoch of the one that it has.
        epoch: u32,
    },
}

impl Refusal {
    /// Whether the log can never be signed again as the lane is, so that a new one may begin. A lane that is not in order by
    /// itself has no log to begin.
    #[must_use]
    pub const fn ends_the_log(&self) -> bool {
        match self {
            Self::ArchiveAhead { .. }
            | Self::ArchiveDiffers { .. }
            | Self::KeyUnusable
            | Self::ArchiveOfAnother => true,
            Self::BeingBuilt | Self::Shut | Self::Pruned { .. } | Self::NoLog { .. } => false,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeingBuilt => f.write_str("the log's tree is being built"),
            Self::Shut => f.write_str("the log is shut: its tree does not agree with its lines"),
            Self::ArchiveAhead { archived, size } => write!(
                f,
                "the log is behind its archive: {size} lines here, a checkpoint of {archived} there"
            ),
            Self::ArchiveDiffers { archived } => {
                write!(
                    f,
                    "the log is not the one of its archived checkpoint of {archived} lines"
                )
            }
            Self::KeyUnusable => f.write_str("the log's key cannot be opened"),
            Self::ArchiveOfAnother => f.write_str("the archived checkpoint is by another key"),
            Self::Pruned { to } => write!(
                f,
                "lines below index {to} are gone: they were older than lines are kept"
            ),
            Self::NoLog { epoch } => write!(
                f,
                "there is no such log: the lane's is that of epoch {epoch}"
            ),
        }
    }
}

/// Whether a tree that is `size` large may be signed, when a checkpoint of `archived` was given out before.
/// `root_at` is the tree's root at a size that it has reached.
pub fn may_sign<E>(
    size: u64,
    archived: Option<&Head>,
    root_at: impl FnOnce(u64) -> Result<Hash, E>,
) -> Result<Result<(), Refusal>, E> {
    let Some(archived) = archived else {
        return Ok(Ok(()));
    };
    if archived.size > size {
        return Ok(Err(Refusal::ArchiveAhead {
            archived: archived.size,
            size,
        }));
    }
    if root_at(archived.size)? == archived.root {
        Ok(Ok(()))
    } else {
        Ok(Err(Refusal::ArchiveDiffers {
            archived: archived.size,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::log::leaf_hash;
    use std::convert::Infallible;

    fn judge(size: u64, archived: Option<(u64, &[u8])>) -> Result<(), Refusal> {
        let archived = archived.map(|(size, root)| Head {
            size,
            root: leaf_hash(root),
        });
        let root_at = |size: u64| Ok::<_, Infallible>(leaf_hash(&size.to_be_bytes()));
        let Ok(judged) = may_sign(size, archived.as_ref(), root_at);
        judged
    }

    #[test]
    fn a_lane_that_is_behind_its_archive_or_differs_from_it_signs_nothing() {
        assert_eq!(judge(5, None), Ok(()));
        assert_eq!(judge(5, Some((5, &5u64.to_be_bytes()))), Ok(()));
        assert_eq!(judge(5, Some((3, &3u64.to_be_bytes()))), Ok(()));
        let ahead = Refusal::ArchiveAhead {
            archived: 6,
            size: 5,
        };
        assert_eq!(judge(5, Some((6, &6u64.to_be_bytes()))), Err(ahead));
        let differs = Refusal::ArchiveDiffers { archived: 3 };
        assert_eq!(judge(5, Some((3, b"another"))), Err(differs));
    }
}
