//! What a line says beyond its event: of the log itself. Only a lane says it, so it never travels in a pack.

use super::letters::Reason;
use crate::id::{LetterId, ProducerId};
use serde::Serialize;

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
    /// A dead letter.
    Letter {
        /// Which.
        letter: LetterId,
        /// Why it is one.
        why: Reason,
    },
}
