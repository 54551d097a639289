//! What a line says beyond its event: of the log itself. Only a lane says it, so it never travels in a pack.

use super::letters::Reason;
use crate::id::{LetterId, ProducerId};
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
    /// Keys of days.
    Days {
        /// The first day whose key stays (`YYYY-MM-DD`).
        unattributed_before: String,
    },
    /// Lines of this lane.
    Lines {
        /// The index of the first.
        first_index: u64,
        /// The index behind the last.
        end_index: u64,
    },
    /// How long lines are kept.
    Keep {
        /// For how many days; null: for good.
        keep_days: Option<u32>,
    },
    /// A legal hold.
    Hold {
        /// What it is called.
        hold: String,
    },
    /// What was read of this lane.
    Followed(Followed),
    /// A dead letter.
    Letter {
        /// Which.
        letter: LetterId,
        /// Why it is one.
        why: Reason,
    },
    /// A new log of this lane.
    Epoch {
        /// Its name.
        log: String,
        /// The name of the one before.
        ended: String,
        /// Of how many lines the last archived checkpoint of that is, as far as one is known.
        archived_size: Option<u64>,
        /// Its root, in standard Base64.
        archived_root: Option<String>,
        /// How many lines the lane had.
        lines: u64,
        /// Why that could not be signed any more.
        refusal: String,
    },
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
