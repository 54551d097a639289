//! Making an export: leaves go in from left to right, and lines and proofs come out.
//!
//! What has been done so far is a [`State`] that can be stored: with it, and with both files cut to the lengths that it
//! says, writing goes on where it was.

use super::proofs::{Node, header, write_end, write_node};
use crate::audit::log::edge::Edge;
use crate::audit::log::{Hash, Head, leaf_hash};
use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use tlog_tiles::node_hash;

/// What was written, and what is waiting to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// The tree so far.
    edge: Edge,
    /// What of it is not written yet: complete subtrees without lines, behind one another up to its end.
    others: Vec<(u8, Hash)>,
    nodes: u64,
    /// What was done.
    pub done: Done,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// How many lines were written.
    pub lines: u64,
    /// The index of the first.
    pub first_index: Option<u64>,
    /// The index of the last.
    pub last_index: Option<u64>,
    /// How long the lines' file is.
    pub events_bytes: u64,
    /// How long the proofs' file is.
    pub proofs_bytes: u64,
}

/// A state as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    size: u64,
    edge: String,
    others: Vec<(u8, String)>,
    nodes: u64,
    done: Done,
}

/// An export that is being made.
pub struct Writer<E, P> {
    events: E,
    proofs: P,
    state: State,
}

/// Leaves that are not where the tree goes on.
#[derive(Debug)]
pub enum NotWritten {
    /// Such a subtree cannot begin here.
    Misplaced,
    /// The leaves are not those of the tree.
    OtherTree,
    /// It could not be written.
    Io(io::Error),
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl State {
    /// How many leaves have gone in.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.edge.size()
    }

    /// For storing.
    #[must_use]
    pub fn to_stored(&self) -> Stored {
        let encode = |(height, Hash(hash)): &(u8, Hash)| (*height, Base64::encode_string(hash));
        Stored {
            size: self.edge.size(),
            edge: Base64::encode_string(&self.edge.to_bytes()),
            others: self.others.iter().map(encode).collect(),
            nodes: self.nodes,
            done: self.done.clone(),
        }
    }

    /// Takes back what was stored.
    #[must_use]
    pub fn from_stored(stored: &Stored) -> Option<Self> {
        let hash = |text: &String| Some(Hash(Base64::decode_vec(text).ok()?.try_into().ok()?));
        let others = stored
            .others
            .iter()
            .map(|(height, text)| Some((*height, hash(text)?)));
        Some(Self {
            edge: Edge::from_stored(stored.size, &Base64::decode_vec(&stored.edge).ok()?)?,
            others: others.collect::<Option<_>>()?,
            nodes: stored.nodes,
            done: stored.done.clone(),
        })
    }
}

impl<E: Write, P: Write> Writer<E, P> {
    /// Begins an export of the tree of that origin and size.
    pub fn begin(events: E, mut proofs: P, origin: &str, size: u64) -> io::Result<Self> {
        let header = header(origin, size);
        proofs.write_all(header.as_bytes())?;
        let mut state = State::default();
        state.done.proofs_bytes = header.len() as u64;
        Ok(Self {
            events,
            proofs,
            state,
        })
    }

    /// Goes on; both must stand where the state says.
    pub const fn resume(events: E, proofs: P, state: State) -> Self {
        Self {
            events,
            proofs,
            state,
        }
    }

    /// How far it is.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The next leaf is this line, and it is exported.
    pub fn line(&mut self, line: &[u8]) -> Result<(), NotWritten> {
        self.write_others()?;
        let index = self.state.edge.size();
        let leaf = leaf_hash(line);
        self.append(0, leaf)?;
        self.write_node(Node::Line(leaf))?;
        self.events.write_all(line)?;
        self.events.write_all(b"\n")?;
        let done = &mut self.state.done;
        done.lines += 1;
        done.first_index = done.first_index.or(Some(index));
        done.last_index = Some(index);
        done.events_bytes += line.len() as u64 + 1;
        Ok(())
    }

    /// The next leaves are that complete subtree, and none of them is exported.
    pub fn others(&mut self, height: u8, root: Hash) -> Result<(), NotWritten> {
        self.append(height, root)?;
        let (mut height, mut root) = (height, root);
        // As few as there are: two of one height are one, where one may begin.
        while let Some((left_height, left)) = self.state.others.last().copied() {
            let both = 2u64 << height;
            if left_height != height || !self.state.edge.size().is_multiple_of(both) {
                break;
            }
            self.state.others.pop();
            root = node_hash(left, root);
            height += 1;
        }
        self.state.others.push((height, root));
        Ok(())
    }

    /// Hands on what is in buffers; only then does the state hold.
    pub fn flush(&mut self) -> io::Result<()> {
        self.events.flush()?;
        self.proofs.flush()
    }

    /// What is written to, as far as it has been.
    pub const fn outputs(&self) -> (&E, &P) {
        (&self.events, &self.proofs)
    }

    /// The same, to be taken from: whoever does keeps what was written, for none of it comes again.
    pub const fn outputs_mut(&mut self) -> (&mut E, &mut P) {
        (&mut self.events, &mut self.proofs)
    }

    /// What is written to.
    pub fn into_inner(self) -> (E, P) {
        (self.events, self.proofs)
    }

    /// Ends it, if all leaves of that tree went in.
    pub fn finish(mut self, head: &Head) -> Result<(Done, E, P), NotWritten> {
        self.write_others()?;
        if self.state.edge.head() != *head {
            return Err(NotWritten::OtherTree);
        }
        write_end(&mut self.proofs)?;
        self.flush()?;
        Ok((self.state.done, self.events, self.proofs))
    }

    fn append(&mut self, height: u8, root: Hash) -> Result<(), NotWritten> {
        let appended = self.state.edge.append_subtree(height, root);
        appended.then_some(()).ok_or(NotWritten::Misplaced)
    }

    fn write_others(&mut self) -> io::Result<()> {
        for (height, root) in std::mem::take(&mut self.state.others) {
            self.write_node(Node::Others(height, root))?;
        }
        Ok(())
    }

    fn write_node(&mut self, node: Node) -> io::Result<()> {
        self.state.done.proofs_bytes += write_node(&mut self.proofs, self.state.nodes, node)?;
        self.state.nodes += 1;
        Ok(())
    }
}

/// The fewest complete subtrees that are the leaves from `first` to below `end`, from left to right: height, and which
/// of that height.
pub fn subtrees(first: u64, end: u64) -> impl Iterator<Item = (u8, u64)> {
    let mut at = first;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        let height = at.trailing_zeros().min(left.ilog2());
        let found = (u8::try_from(height).ok()?, at >> height);
        at += 1 << height;
        Some(found)
    })
}
