//! A file by lines, with its SHA-256 on the way: whatever the file is, no more than a line of it is held.

use sha2::{Digest, Sha256};
use std::io::{self, BufRead};

/// What was found; its text is in [`Lines::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which one, from 1.
    pub number: u64,
    /// Its first byte in the file, from 0.
    pub offset: u64,
    /// How many bytes, with the line feed.
    pub length: u64,
    /// Whether it ends with a line feed.
    pub ended: bool,
    /// Whether it is longer than was allowed, and so not all in the text.
    pub too_long: bool,
}

impl Line {
    /// Whether the file was at its end.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.length == 0
    }

    /// Whether it is a line as it must be: ended, and not too long.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.ended && !self.too_long
    }
}

/// A file that is read by lines.
pub struct Lines<R> {
    from: R,
    text: Vec<u8>,
    digest: Sha256,
    number: u64,
    offset: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines of that.
    pub fn new(from: R) -> Self {
        Self {
            from,
            text: Vec::new(),
            digest: Sha256::new(),
            number: 0,
            offset: 0,
        }
    }

    /// The line that was read last, without its line feed.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Reads the next line, and keeps at most `most` bytes of it.
    pub fn next(&mut self, most: usize) -> io::Result<Line> {
        self.text.clear();
        self.number += 1;
        let mut line = Line {
            number: self.number,
            offset: self.offset,
            length: 0,
            ended: false,
            too_long: false,
        };
        while !line.ended {
            let there = match self.from.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                there => there?,
            };
            if there.is_empty() {
                break;
            }
            let feed = there.iter().position(|byte| *byte == b'\n');
            let taken = feed.map_or(there.len(), |at| at + 1);
            let (taken_bytes, _) = there.split_at(taken);
            self.digest.update(taken_bytes);
            let (text, _) = there.split_at(feed.unwrap_or(taken));
            let room = most - self.text.len();
            line.too_long |= text.len() > room;
            let (kept, _) = text.split_at(text.len().min(room));
            self.text.extend_from_slice(kept);
            line.ended = feed.is_some();
            line.length += taken as u64;
            self.from.consume(taken);
        }
        self.offset += line.length;
        Ok(line)
    }

    /// Reads what is left; the file's length and SHA-256.
    pub fn finish(mut self) -> io::Result<(u64, [u8; 32])> {
        while !self.next(0)?.is_none() {}
        Ok((self.offset, self.digest.finalize().into()))
    }
}

/// The length and SHA-256 of whatever can be read there.
pub fn digest(from: impl BufRead) -> io::Result<(u64, [u8; 32])> {
    Lines::new(from).finish()
}
