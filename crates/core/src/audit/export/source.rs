//! What an export of the service asks of a lane: many lines at once, and hashes of what lies between. Nobody else is
//! answered so: it is not the reading of a slice that is audited but the export.

use super::write::subtrees;
use crate::audit::call::HashBytes;
use crate::audit::log::Hash;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Lines of the log, all of which must be in its tree; the answer is `None` if they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLines {
    /// The index of the first.
    pub first: u64,
    /// The index behind the last.
    pub end: u64,
    /// After how many bytes it is enough; one line comes in any case.
    pub max_bytes: u32,
}

/// Lines one behind another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The index of the first: not the one that was asked for if the log does not keep that line any more.
    pub first: u64,
    /// Each ended by a line feed.
    pub lines: Bytes,
}

/// The roots of the fewest complete subtrees that are the leaves from `first` to below `end`, from left to right
/// ([`subtrees`]); the answer is `None` if the tree is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSubtrees {
    /// The first leaf.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
}

impl GetSubtrees {
    /// What was answered: heights and roots. `None` if there are not as many as there must be.
    #[must_use]
    pub fn rooted(&self, roots: &[HashBytes]) -> Option<Vec<(u8, Hash)>> {
        let asked: Vec<(u8, u64)> = subtrees(self.first, self.end).collect();
        let rooted = asked.iter().zip(roots);
        let rooted = rooted.map(|((height, _), root)| (*height, Hash(*root)));
        (asked.len() == roots.len()).then(|| rooted.collect())
    }
}

/// Bytes that travel in one piece and are not looked at one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn golden_bytes() {
        let lines = GetLines {
            first: 1,
            end: 300,
            max_bytes: 2,
        };
        assert_eq!(wire::encode(&lines), Ok(vec![1, 1, 0xac, 2, 2]));
        let lines = Lines {
            first: 7,
            lines: Bytes(b"{}\n".to_vec()),
        };
        let bytes = wire::encode(&lines).expect("encodes");
        assert_eq!(bytes, [1, 7, 3, b'{', b'}', b'\n']);
        assert_eq!(wire::decode(&bytes), Ok(lines));
        let subtrees = GetSubtrees { first: 3, end: 9 };
        assert_eq!(wire::encode(&subtrees), Ok(vec![1, 3, 9]));
    }

    #[test]
    fn as_many_roots_are_taken_as_there_are_subtrees() {
        let asked = GetSubtrees { first: 3, end: 9 };
        let rooted = asked.rooted(&[[1; 32], [2; 32], [3; 32]]);
        let heights = rooted.map(|rooted| rooted.iter().map(|(height, _)| *height).collect());
        assert_eq!(heights, Some(vec![0, 2, 0]));
        assert_eq!(asked.rooted(&[[1; 32]; 2]), None);
        assert_eq!(asked.rooted(&[[1; 32]; 4]), None);
    }
}
