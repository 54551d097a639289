//! `manifest.json`: what an export is and of which files it consists.
//!
//! Its last member, `sha256`, is the SHA-256 of all that stands before it: of the bytes up to, and without, the comma.
//! So a byte that changes is found. It is no signature: what is not tied to the checkpoint (when, by whom, for what was
//! asked) is what whoever made the export says of it.

use super::{CHECKPOINT, DISCLOSURES, EVENTS, PROOFS, VERSION, VIEWS};
use crate::audit::event::{Action, Outcome};
use crate::audit::log::{Hash, Head, MAX_SIZE};
use crate::audit::query::Filter;
use crate::id::SubjectKey;
use crate::time::UnixMillis;
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The longest manifest that is read.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What an export is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The service: its base URL.
    pub issuer: String,
    /// The lane of its log.
    pub lane: u32,
    /// The log's name in its checkpoints.
    pub origin: String,
    /// What the lines prove together.
    pub kind: Kind,
    /// Which indexes were looked at, in order.
    pub scanned: Vec<Range>,
    /// Which lines of those were wanted; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Wanted>,
    /// How many lines there are.
    pub lines: u64,
    /// The index of the first.
    pub first_index: Option<u64>,
    /// The index of the last.
    pub last_index: Option<u64>,
    /// When it was asked for, by the clock of whoever made it (RFC 3339).
    pub exported_at: String,
    /// Who asked for it, as whoever made it says.
    pub requested_by: Option<String>,
    /// What it rests on.
    pub checkpoint: Stated,
    /// The other files.
    pub files: Vec<Entry>,
}

/// What the lines of an export prove together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// They are all that the log has between the first and the last.
    Whole,
    /// Each of them is the log's; others may have been left out.
    Filtered,
}

/// Indexes from `first` to below `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The one behind the last.
    pub end: u64,
}

/// A head as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// How many leaves the tree has.
    pub size: u64,
    /// Its root, in base64.
    pub root: String,
}

impl From<&Head> for Stated {
    fn from(head: &Head) -> Self {
        let Hash(root) = &head.root;
        Self {
            size: head.size,
            root: Base64::encode_string(root),
        }
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in the folder.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

impl Entry {
    /// The entry of a file with these bytes.
    #[must_use]
    pub fn new(name: &str, (bytes, digest): (u64, [u8; 32])) -> Self {
        Self {
            name: name.to_owned(),
            bytes,
            sha256: hex(&digest),
        }
    }

    /// Whether these are its length and digest.
    #[must_use]
    pub fn lists(&self, (bytes, digest): (u64, [u8; 32])) -> bool {
        self.bytes == bytes && self.sha256 == hex(&digest)
    }
}

/// A filter as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Concerning this subject, by its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Of this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// With this outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Occurred at or after (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_from: Option<String>,
    /// Occurred before (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_to: Option<String>,
}

impl Wanted {
    /// The filter that it means, or the name of the member that cannot be read.
    pub fn filter(&self) -> Result<Filter, &'static str> {
        fn read<T>(
            text: Option<&String>,
            name: &'static str,
            parse: impl FnOnce(&str) -> Option<T>,
        ) -> Result<Option<T>, &'static str> {
            text.map(|text| parse(text).ok_or(name)).transpose()
        }
        let subject = |text: &str| text.parse::<SubjectKey>().ok();
        Ok(Filter {
            subject: read(self.subject.as_ref(), "subject", subject)?,
            action: read(self.action.as_ref(), "action", Action::parse)?,
            outcome: read(self.outcome.as_ref(), "outcome", Outcome::parse)?,
            from: read(
                self.occurred_from.as_ref(),
                "occurred_from",
                UnixMillis::from_rfc3339,
            )?,
            to: read(
                self.occurred_to.as_ref(),
                "occurred_to",
                UnixMillis::from_rfc3339,
            )?,
            ..Filter::default()
        })
    }
}

/// What is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoManifest {
    /// It does not end with its SHA-256.
    NoSeal,
    /// It was changed: its SHA-256 is another.
    Broken,
    /// It is not what a manifest is.
    Malformed(String),
}

/// What stands between the sealed bytes and the digest, and behind it.
const SEAL: (&str, &str) = (",\n  \"sha256\": \"", "\"\n}\n");
const HEX: usize = 64;

impl Manifest {
    /// The file.
    pub fn render(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string_pretty(self)?;
        let sealed = text.strip_suffix("\n}").unwrap_or(&text);
        let digest = hex(&Sha256::digest(sealed.as_bytes()));
        let (before, behind) = SEAL;
        Ok(format!("{sealed}{before}{digest}{behind}"))
    }

    /// Reads what [`Self::render`] writes, and nothing else.
    pub fn parse(file: &[u8]) -> Result<Self, NoManifest> {
        let (before, behind) = SEAL;
        let seal = before.len() + HEX + behind.len();
        let at = file.len().checked_sub(seal).ok_or(NoManifest::NoSeal)?;
        let (sealed, seal) = file.split_at_checked(at).ok_or(NoManifest::NoSeal)?;
        let digest = seal.strip_prefix(before.as_bytes());
        let digest = digest.and_then(|digest| digest.strip_suffix(behind.as_bytes()));
        let digest = digest.ok_or(NoManifest::NoSeal)?;
        if digest != hex(&Sha256::digest(sealed)).as_bytes() {
            return Err(NoManifest::Broken);
        }
        let text = [sealed, b"\n}"].concat();
        let read: Self = serde_json::from_slice(&text)
            .map_err(|error| NoManifest::Malformed(error.to_string()))?;
        read.check()
            .map_err(|wrong| NoManifest::Malformed(wrong.to_owned()))?;
        Ok(read)
    }

    /// Whether its parts fit together.
    fn check(&self) -> Result<(), &'static str> {
        if self.version != VERSION {
            return Err("it is of another version");
        }
        if (self.kind == Kind::Filtered) != self.filter.is_some() {
            return Err("its kind and its filter contradict each other");
        }
        let ordered = self.scanned.iter().try_fold(0, |from, range| {
            (from <= range.first && range.first <= range.end && range.end <= self.checkpoint.size)
                .then_some(range.end)
        });
        if ordered.is_none() || self.checkpoint.size >= MAX_SIZE {
            return Err("what was scanned is not within the checkpoint, in order");
        }
        if self.kind == Kind::Whole && self.scanned.len() > 1 {
            return Err("a whole export has one range");
        }
        if let Some(filter) = &self.filter
            && filter.filter().is_err()
        {
            return Err("its filter cannot be read");
        }
        let mut names: Vec<&str> = self.files.iter().map(|entry| entry.name.as_str()).collect();
        let known = |name: &&str| {
            [EVENTS, CHECKPOINT, PROOFS, DISCLOSURES].contains(name) || VIEWS.contains(name)
        };
        if !names.iter().all(known) {
            return Err("it lists a file that is none of an export");
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err("it lists a file twice");
        }
        if ![EVENTS, CHECKPOINT, PROOFS]
            .iter()
            .all(|name| names.contains(name))
        {
            return Err("it does not list all files of an export");
        }
        Ok(())
    }

    /// What it says of a file.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.files.iter().find(|entry| entry.name == name)
    }

    /// Whether an index is in what was scanned.
    #[must_use]
    pub fn has_scanned(&self, index: u64) -> bool {
        self.scanned
            .iter()
            .any(|range| (range.first..range.end).contains(&index))
    }
}

/// Bytes in hexadecimal, as the usual tools print digests.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
