//! What a line says beyond its event: of the log itself. Only a lane says it, so it never travels in a pack.

use crate::id::ProducerId;
use serde::{Deserialize, Serialize};

/// Of what in the log an event of the log is. As JSON it is an object with the fields of its variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Detail {
    /// Sequences of a producer.
    Sequences {
        /// Who counts.
        producer: ProducerId,
        /// The first.
        first_sequence: u64,
        /// The last.
        last_sequence: u64,
    },
    /// Lines of this lane.
    Lines {
        /// The index of the first.
        first_index: u64,
        /// The index behind the last.
        end_index: u64,
    },
    /// What was read of this lane.
    Followed(Followed),
}

/// What somebody who follows the log was given of it since that was last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// From which index on was looked.
    pub first_index: u64,
    /// Up to before which.
    pub end_index: u64,
    /// How many lines were given.
    pub lines: u64,
}
