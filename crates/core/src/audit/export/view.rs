//! The lines in formats for other programs, each of which follows from the lines and nothing else.

use super::{csv, ocsf};
use serde::{Deserialize, Serialize};

/// A format of lines that the service writes. Append only: the order is the wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// As the log has them, which is always there.
    #[default]
    Ndjson,
    /// RFC 4180.
    Csv,
    /// Open Cybersecurity Schema Framework, a JSON object a line.
    Ocsf,
}

impl Format {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Ndjson, Self::Csv, Self::Ocsf];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.as_str() == name)
    }

    /// The file beside the lines.
    #[must_use]
    pub const fn file(self) -> Option<&'static str> {
        match self {
            Self::Ndjson => None,
            Self::Csv => Some("events.csv"),
            Self::Ocsf => Some("events.ocsf.ndjson"),
        }
    }

    /// What a line is in that file, or what comes before all lines; `None` if it is no line of the log.
    #[must_use]
    pub fn render(self, line: Option<&[u8]>) -> Option<String> {
        match (self, line) {
            (Self::Csv, None) => Some(csv::header()),
            (Self::Csv, Some(line)) => csv::record(line),
            (Self::Ocsf, Some(line)) => ocsf::event(line).map(|event| event + "\n"),
            (Self::Ndjson, _) | (Self::Ocsf, None) => Some(String::new()),
        }
    }
}
