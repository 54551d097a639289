//! `proofs.json`: of what the tree is made, from left to right.
//!
//! ```json
//! {"version":1,"origin":"id.example/audit/lane/0","size":5,"nodes":[
//! [1,"…"],
//! "…",
//! "…",
//! [0,"…"]
//! ]}
//! ```
//!
//! A node is the hash of an exported line, in base64; or a height and the root of a complete subtree of 2^height leaves,
//! none of which is exported. Where a node lies follows from those before it. It is JSON, and it has one spelling, with
//! one node a line, so that it is read and written as a stream.

use super::VERSION;
use super::lines::{Line, Lines};
use crate::audit::log::{HASH_SIZE, Hash};
use base64ct::{Base64, Encoding};
use serde_json::json;
use std::io::{self, BufRead, Write};

/// More than the longest line that a node has.
const MAX_NODE: usize = 64;
/// The end of the file.
const END: &[u8] = b"]}";

/// A part of the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Node {
    /// An exported line, by its leaf hash.
    Line(Hash),
    /// A complete subtree without exported lines: its height and root.
    Others(u8, Hash),
}

/// The first line of the file for a tree of that origin and size.
#[must_use]
pub fn header(origin: &str, size: u64) -> String {
    // A JSON text within a JSON text: what needs escapes is escaped.
    let origin = json!(origin);
    format!(r#"{{"version":{VERSION},"origin":{origin},"size":{size},"nodes":["#)
}

/// Writes the next node; `before` is how many there were.
pub fn write_node(to: &mut impl Write, before: u64, node: Node) -> io::Result<u64> {
    let separator: &[u8] = if before == 0 { b"\n" } else { b",\n" };
    let height = match node {
        Node::Line(_) => None,
        Node::Others(height, _) => Some(format!("[{height},")),
    };
    let (Node::Line(hash) | Node::Others(_, hash)) = node;
    let mut buffer = [0; 4 * HASH_SIZE.div_ceil(3)];
    let hash = Base64::encode(&hash.0, &mut buffer).map_err(io::Error::other)?;
    let height = height.as_deref();
    let pieces: [&[u8]; 6] = [
        separator,
        height.unwrap_or_default().as_bytes(),
        b"\"",
        hash.as_bytes(),
        b"\"",
        height.map_or(b"", |_| b"]"),
    ];
    for piece in pieces {
        to.write_all(piece)?;
    }
    Ok(pieces.iter().map(|piece| piece.len() as u64).sum())
}

/// Writes the end of the file.
pub fn write_end(to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"\n]}\n")
}

/// What is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misspelt {
    /// A line is no node.
    Node,
    /// It ends too early.
    End,
    /// There is more behind its end.
    More,
}

/// What was read.
#[derive(Debug)]
pub enum Read {
    /// A node, and where it stands.
    Node(Node, At),
    /// All was read.
    End,
    /// It cannot be read any further.
    Misspelt(Misspelt, At),
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The line, from 1.
    pub line: u64,
    /// The first byte of the line, from 0.
    pub offset: u64,
}

impl From<&Line> for At {
    fn from(line: &Line) -> Self {
        Self {
            line: line.number,
            offset: line.offset,
        }
    }
}

/// A file that is being read.
pub struct Reader<R> {
    lines: Lines<R>,
    /// Whether the line before said that another follows.
    more: bool,
}

impl<R: BufRead> Reader<R> {
    /// Begins.
    pub fn new(from: R) -> Self {
        let (lines, more) = (Lines::new(from), true);
        Self { lines, more }
    }

    /// Reads the first line, and says whether it is the one of the tree of that origin and size.
    pub fn header(&mut self, origin: &str, size: u64) -> io::Result<bool> {
        let expected = header(origin, size);
        let line = self.lines.next(expected.len())?;
        Ok(line.is_whole() && self.lines.text() == expected.as_bytes())
    }

    /// The next node.
    pub fn node(&mut self) -> io::Result<Read> {
        let line = self.lines.next(MAX_NODE)?;
        let at = At::from(&line);
        if line.is_none() {
            return Ok(Read::Misspelt(Misspelt::End, at));
        }
        let first = at.line == 2;
        if line.is_whole() && self.lines.text() == END && (first || !self.more) {
            let behind = self.lines.next(0)?;
            let at = At::from(&behind);
            let end = behind.is_none();
            return Ok(if end {
                Read::End
            } else {
                Read::Misspelt(Misspelt::More, at)
            });
        }
        let node = if line.is_whole() && self.more {
            self.parse()
        } else {
            None
        };
        Ok(match node {
            Some(node) => Read::Node(node, at),
            None => Read::Misspelt(Misspelt::Node, at),
        })
    }

    fn parse(&mut self) -> Option<Node> {
        let text = self.lines.text();
        let (text, more) = match text.strip_suffix(b",") {
            Some(text) => (text, true),
            None => (text, false),
        };
        self.more = more;
        if let Some(hash) = text.strip_prefix(b"\"") {
            return Some(Node::Line(hash_of(hash.strip_suffix(b"\"")?)?));
        }
        let text = std::str::from_utf8(text.strip_prefix(b"[")?).ok()?;
        let (height, hash) = text.split_once(',')?;
        let known: u8 = height.parse().ok()?;
        if known.to_string() != height {
            return None;
        }
        let hash = hash.strip_prefix('"')?.strip_suffix("\"]")?;
        Some(Node::Others(known, hash_of(hash.as_bytes())?))
    }

    /// Reads what is left; the file's length and SHA-256.
    pub fn finish(self) -> io::Result<(u64, [u8; 32])> {
        self.lines.finish()
    }
}

fn hash_of(text: &[u8]) -> Option<Hash> {
    let mut hash = [0; HASH_SIZE];
    match Base64::decode(text, &mut hash) {
        Ok(decoded) if decoded.len() == HASH_SIZE => Some(Hash(hash)),
        _ => None,
    }
}
