//! An export that is made in slices, each of which can be the last for a while: bytes go in, the files' next bytes come
//! out, and what must be known to go on is small.
//!
//! What is stored after a slice is the writer's state and, of each file, its length and the state of its SHA-256. From the
//! same state the same lines make the same bytes, so that a slice whose end was never stored is made again as it was.
//!
//! Out of scope: where lines come from and where the files lie.

use super::manifest::Entry;
use super::view::Format;
use super::write::{Done, NotWritten, State, Stored, Writer};
use super::{EVENTS, PROOFS};
use crate::audit::line::Line;
use crate::audit::log::{Hash, Head, leaf_hash};
use crate::audit::query::Filter;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest, Sha256};
use std::fmt;
use std::io::BufRead as _;

/// The next bytes of files, by name; none are empty.
pub type Parts = Vec<(&'static str, Vec<u8>)>;

/// What is known of a file so far.
#[derive(Clone, Default)]
struct Sum {
    bytes: u64,
    digest: Sha256,
}

/// The same as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSum {
    bytes: u64,
    digest: Vec<u8>,
}

/// What must be known to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    state: Stored,
    sums: Vec<StoredSum>,
}

/// An export that is being made.
pub struct Maker {
    writer: Writer<Vec<u8>, Vec<u8>>,
    format: Format,
    view: Vec<u8>,
    /// Of the lines, the proofs and the lines in the other format.
    sums: [Sum; 3],
}

/// Why it cannot be made.
#[derive(Debug)]
pub enum NotMade {
    /// What the log says does not make the checkpoint's root.
    Unproven,
    /// A line is none.
    NoLine,
    /// It cannot be written.
    Io,
}

impl fmt::Display for NotMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unproven => "the log's lines do not make the root in its checkpoint",
            Self::NoLine => "a line of the log is none",
            Self::Io => "it cannot be written",
        })
    }
}

impl From<NotWritten> for NotMade {
    fn from(why: NotWritten) -> Self {
        match why {
            NotWritten::Misplaced | NotWritten::OtherTree => Self::Unproven,
            NotWritten::Io(_) => Self::Io,
        }
    }
}

impl Maker {
    /// Begins an export of the tree of that origin and size.
    pub fn begin(format: Format, origin: &str, size: u64) -> Result<Self, NotMade> {
        let writer = Writer::begin(Vec::new(), Vec::new(), origin, size);
        Ok(Self {
            writer: writer.map_err(|_| NotMade::Io)?,
            format,
            view: format.render(None).unwrap_or_default().into_bytes(),
            sums: Default::default(),
        })
    }

    /// Goes on; `None` if that was never stored.
    #[must_use]
    pub fn resume(format: Format, unfinished: &Unfinished) -> Option<Self> {
        let state = State::from_stored(&unfinished.state)?;
        let mut sums: [Sum; 3] = Default::default();
        if unfinished.sums.len() != sums.len() {
            return None;
        }
        for (sum, stored) in sums.iter_mut().zip(&unfinished.sums) {
            let digest = stored.digest.as_slice().try_into().ok()?;
            sum.digest = Sha256::deserialize(&digest).ok()?;
            sum.bytes = stored.bytes;
        }
        Some(Self {
            writer: Writer::resume(Vec::new(), Vec::new(), state),
            format,
            view: Vec::new(),
            sums,
        })
    }

    /// How many leaves have gone in.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.writer.state().size()
    }

    /// What was done.
    #[must_use]
    pub const fn done(&self) -> &Done {
        &self.writer.state().done
    }

    /// How many bytes wait to be taken.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let (events, proofs) = self.writer.outputs();
        events.len() + proofs.len() + self.view.len()
    }

    /// The next leaves are that complete subtree, and none of them is exported.
    pub fn others(&mut self, height: u8, root: Hash) -> Result<(), NotMade> {
        Ok(self.writer.others(height, root)?)
    }

    /// The next leaves are these lines, each ended by a line feed; those that the filter wants are exported.
    pub fn lines(&mut self, lines: &[u8], filter: Option<&Filter>) -> Result<(), NotMade> {
        if filter.is_none() {
            self.writer.outputs_mut().0.reserve(lines.len());
        }
        for line in split(lines)? {
            self.line(line, filter)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], filter: Option<&Filter>) -> Result<(), NotMade> {
        if let Some(filter) = filter {
            let text = std::str::from_utf8(line).map_err(|_| NotMade::NoLine)?;
            let parsed = Line::parse(text).map_err(|_| NotMade::NoLine)?;
            if !filter.matches(&parsed) {
                return Ok(self.writer.others(0, leaf_hash(line))?);
            }
        }
        self.writer.line(line)?;
        if self.format != Format::Ndjson {
            let rendered = self.format.render(Some(line)).ok_or(NotMade::NoLine)?;
            self.view.extend_from_slice(rendered.as_bytes());
        }
        Ok(())
    }

    /// Takes the bytes that were made; only then does [`Self::unfinished`] hold.
    pub fn take(&mut self) -> Parts {
        let (events, proofs) = self.writer.outputs_mut();
        let made = [events, proofs, &mut self.view].map(std::mem::take);
        add(&mut self.sums, self.format, made)
    }

    /// For storing.
    #[must_use]
    pub fn unfinished(&self) -> Unfinished {
        let stored = |sum: &Sum| StoredSum {
            bytes: sum.bytes,
            digest: sum.digest.serialize().to_vec(),
        };
        Unfinished {
            state: self.writer.state().to_stored(),
            sums: self.sums.iter().map(stored).collect(),
        }
    }

    /// Ends it, if all leaves of that tree went in: what was done, the files' last bytes, and what the manifest says of them.
    pub fn finish(self, head: &Head) -> Result<(Done, Parts, Vec<Entry>), NotMade> {
        let Self {
            writer,
            format,
            view,
            mut sums,
        } = self;
        let (done, events, proofs) = writer.finish(head)?;
        let parts = add(&mut sums, format, [events, proofs, view]);
        let entry = |(name, sum): (Option<&str>, Sum)| {
            Some(Entry::new(name?, (sum.bytes, sum.digest.finalize().into())))
        };
        let entries = names(format).into_iter().zip(sums).filter_map(entry);
        Ok((done, parts, entries.collect()))
    }
}

/// Lines without their line feeds, of which each has one; at least one line.
fn split(mut lines: &[u8]) -> Result<Vec<&[u8]>, NotMade> {
    let mut found = Vec::new();
    while found.is_empty() || !lines.is_empty() {
        let all = lines;
        // Looks at several bytes at a time, as a slice's `split` does not.
        let length = lines.skip_until(b'\n').map_err(|_| NotMade::Io)?;
        let line = all.get(..length).and_then(|line| line.strip_suffix(b"\n"));
        found.push(line.ok_or(NotMade::NoLine)?);
    }
    Ok(found)
}

fn names(format: Format) -> [Option<&'static str>; 3] {
    [Some(EVENTS), Some(PROOFS), format.file()]
}

fn add(sums: &mut [Sum; 3], format: Format, made: [Vec<u8>; 3]) -> Parts {
    let mut parts = Parts::new();
    for ((sum, name), bytes) in sums.iter_mut().zip(names(format)).zip(made) {
        sum.bytes += bytes.len() as u64;
        sum.digest.update(&bytes);
        if let Some(name) = name.filter(|_| !bytes.is_empty()) {
            parts.push((name, bytes));
        }
    }
    parts
}
