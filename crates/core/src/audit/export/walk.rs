//! Lines and nodes side by side.
//!
//! Lines are found by the index with which they begin. It decides only how a fault is called; whether there is
//! one, the hashes say. Where a line and its node disagree, the line's hash is folded too, beside the node's: the one
//! that makes the root is right, so that it is known which of both files was changed.

use super::fault::{Fault, File, Wrong};
use super::lines::{Line as Read, Lines};
use super::manifest::{Kind, Manifest};
use super::proofs::{At, Misspelt, Node, Read as Part, Reader};
use super::verify::Report;
use crate::audit::line::Line;
use crate::audit::log::edge::Edge;
use crate::audit::log::{Head, MAX_ENTRY_BYTES, leaf_hash};
use crate::audit::query::Filter;
use std::io::{self, BufRead};

/// What was read.
pub struct Seen {
    /// How many lines.
    pub lines: u64,
    /// Length and SHA-256 of their file.
    pub events: (u64, [u8; 32]),
    /// Length and SHA-256 of the proofs' file.
    pub proofs: (u64, [u8; 32]),
}

/// Where it is, and what was found so far.
pub struct Walk<'a> {
    head: Head,
    origin: &'a str,
    manifest: Option<&'a Manifest>,
    filter: Option<Filter>,
    report: &'a mut Report,
    /// The tree as the nodes have it.
    folded: Edge,
    /// The same with the hashes of lines, from where one differs.
    by_lines: Option<Edge>,
    /// Lines that differ from their nodes, and where those are.
    changed: Vec<(Fault, At)>,
    first: Option<u64>,
    last: Option<u64>,
    /// How many lines there are by the nodes.
    told: u64,
    /// How many of those were not there when the lines had ended.
    missing: u64,
    /// Whether the line before was missing.
    in_gap: bool,
}

impl<'a> Walk<'a> {
    /// Before the first node.
    pub fn new(
        head: Head,
        origin: &'a str,
        manifest: Option<&'a Manifest>,
        report: &'a mut Report,
    ) -> Self {
        let filter = manifest.and_then(|manifest| manifest.filter.as_ref()?.filter().ok());
        Self {
            head,
            origin,
            manifest,
            filter,
            report,
            folded: Edge::empty(),
            by_lines: None,
            changed: Vec::new(),
            first: None,
            last: None,
            told: 0,
            missing: 0,
            in_gap: false,
        }
    }

    /// Reads both files to their ends.
    pub fn both<E: BufRead, P: BufRead>(
        mut self,
        events: E,
        proofs: P,
        seen: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Seen> {
        let mut events = Events::new(events, seen)?;
        let mut proofs = Reader::new(proofs);
        if proofs.header(self.origin, self.head.size)? {
            let all = self.nodes(&mut events, &mut proofs)?;
            self.judge_root(all);
            if all {
                self.judge_ends(&mut events)?;
            }
        } else {
            self.proof(At { line: 1, offset: 0 }, Wrong::OtherProofs);
        }
        while !events.current.read.is_none() {
            events.step()?;
        }
        Ok(Seen {
            lines: events.stepped,
            events: events.lines.finish()?,
            proofs: proofs.finish()?,
        })
    }

    /// Whether all nodes could be read.
    fn nodes<E: BufRead, P: BufRead>(
        &mut self,
        events: &mut Events<'_, E>,
        proofs: &mut Reader<P>,
    ) -> io::Result<bool> {
        loop {
            let (height, hash, at, is_line) = match proofs.node()? {
                Part::Node(Node::Line(hash), at) => (0, hash, at, true),
                Part::Node(Node::Others(height, hash), at) => (height, hash, at, false),
                Part::End => return Ok(true),
                Part::Misspelt(wrong, at) => {
                    self.proof(
                        at,
                        match wrong {
                            Misspelt::Node => Wrong::NoNode,
                            Misspelt::End => Wrong::ProofsEnd,
                            Misspelt::More => Wrong::Behind,
                        },
                    );
                    return Ok(wrong == Misspelt::More);
                }
            };
            let left = self.head.size - self.folded.size();
            if 1u64
                .checked_shl(height.into())
                .is_none_or(|leaves| leaves > left)
            {
                self.proof(at, Wrong::Misplaced);
                return Ok(false);
            }
            let mut by_line = hash;
            if is_line {
                let index = self.folded.size();
                if let Some(taken) = self.line(events, index)? {
                    by_line = leaf_hash(&taken.text);
                    if by_line != hash {
                        let says = taken.says.filter(|says| *says != index);
                        let wrong = Wrong::Changed { says };
                        self.changed(fault(Some(index), &taken.read, wrong), at);
                    }
                    events.give_back(taken)?;
                }
            }
            let by_lines = self.by_lines.as_mut();
            let fits = by_lines.is_none_or(|edge| edge.append_subtree(height, by_line));
            if !self.folded.append_subtree(height, hash) || !fits {
                self.proof(at, Wrong::Misplaced);
                return Ok(false);
            }
        }
    }

    /// There must be a line of that index: it, if there is one in its place.
    fn line<E: BufRead>(
        &mut self,
        events: &mut Events<'_, E>,
        index: u64,
    ) -> io::Result<Option<Event>> {
        self.belongs(index);
        loop {
            let read = events.current.read;
            match events.judge(index) {
                Found::Nothing => {
                    self.missing += 1;
                    return Ok(None);
                }
                Found::Other => {
                    self.event(events.current.says, &read, Wrong::Extra);
                    events.step()?;
                }
                Found::Later(found) => {
                    if !self.in_gap {
                        self.event(Some(index), &read, Wrong::Missing { found });
                    }
                    self.in_gap = true;
                    return Ok(None);
                }
                Found::It => {
                    self.in_gap = false;
                    let taken = events.take();
                    if taken.read.too_long {
                        self.event(Some(index), &read, Wrong::TooLong);
                    } else if !taken.read.ended {
                        self.event(Some(index), &read, Wrong::Unended);
                    }
                    if self
                        .filter
                        .as_ref()
                        .is_some_and(|filter| !passes(filter, &taken.text))
                    {
                        self.event(Some(index), &read, Wrong::Unwanted);
                    }
                    return Ok(Some(taken));
                }
            }
        }
    }

    /// Whether the export should have a line of that index.
    fn belongs(&mut self, index: u64) {
        self.told += 1;
        let before = self.last.replace(index);
        self.first = self.first.or(Some(index));
        let Some(manifest) = self.manifest else {
            return;
        };
        if !manifest.has_scanned(index) {
            self.report.add(Fault {
                index: Some(index),
                ..Fault::of(File::Events.name(), Wrong::Unscanned)
            });
        }
        if manifest.kind == Kind::Whole
            && let Some(first) = before
                .map(|before| before + 1)
                .filter(|first| *first != index)
        {
            self.report
                .of(File::Manifest, Wrong::Incomplete { first, end: index });
        }
    }

    /// Which hashes make the root: those of the nodes, those of the lines, or neither.
    fn judge_root(&mut self, all: bool) {
        let by_nodes = self.folded.head() == self.head;
        let by_lines = self
            .by_lines
            .as_ref()
            .is_some_and(|edge| edge.head() == self.head);
        for (fault, at) in std::mem::take(&mut self.changed) {
            if by_lines && !by_nodes {
                self.proof(at, Wrong::OtherNode);
            } else {
                self.report.add(fault);
            }
        }
        if all && self.folded.size() < self.head.size {
            self.report.of(File::Proofs, Wrong::ProofsEnd);
        } else if all && !by_nodes && !by_lines {
            self.report.of(File::Proofs, Wrong::OtherRoot);
        }
    }

    /// What is missing at the end, what is left, and whether the manifest has it right.
    fn judge_ends<E: BufRead>(&mut self, events: &mut Events<'_, E>) -> io::Result<()> {
        if self.missing > 0 {
            let missing = self.missing;
            self.event(None, &events.current.read, Wrong::Ended { missing });
        }
        while !events.current.read.is_none() {
            let read = events.current.read;
            self.event(events.current.says, &read, Wrong::Extra);
            events.step()?;
        }
        let Some(manifest) = self.manifest else {
            return Ok(());
        };
        let told = (manifest.lines, manifest.first_index, manifest.last_index);
        if told != (self.told, self.first, self.last) {
            self.report
                .of(File::Manifest, Wrong::OtherCount { found: self.told });
        }
        if manifest.kind == Kind::Whole {
            let (first, end) = manifest
                .scanned
                .first()
                .map_or((0, 0), |range| (range.first, range.end));
            let is = self
                .first
                .zip(self.last)
                .map_or((end, end), |(first, last)| (first, last + 1));
            if is != (first, end) {
                self.report
                    .of(File::Manifest, Wrong::Incomplete { first, end });
            }
        }
        Ok(())
    }

    /// A line that differs from its node: which of both was changed is known at the end.
    fn changed(&mut self, fault: Fault, at: At) {
        if self.by_lines.is_none() {
            self.by_lines = Some(self.folded.clone());
        }
        if self.changed.len() < super::verify::MAX_FAULTS {
            self.changed.push((fault, at));
        } else {
            self.report.more_faults += 1;
        }
    }

    fn event(&mut self, index: Option<u64>, at: &Read, wrong: Wrong) {
        self.report.add(fault(index, at, wrong));
    }

    fn proof(&mut self, at: At, wrong: Wrong) {
        self.report.add(Fault {
            line: Some(at.line),
            byte: Some(at.offset),
            ..Fault::of(File::Proofs.name(), wrong)
        });
    }
}

fn fault(index: Option<u64>, at: &Read, wrong: Wrong) -> Fault {
    let (line, byte) = (Some(at.number), Some(at.offset));
    Fault {
        line,
        byte,
        index,
        ..Fault::of(File::Events.name(), wrong)
    }
}

fn passes(filter: &Filter, line: &[u8]) -> bool {
    let line = std::str::from_utf8(line)
        .ok()
        .and_then(|line| Line::parse(line).ok());
    line.is_some_and(|line| filter.matches(&line))
}

/// What the lines' file has for an index.
enum Found {
    /// The line in its place, be it right or not.
    It,
    /// Something that belongs to no place; the line may follow.
    Other,
    /// A line of a later index, that one.
    Later(u64),
    /// The file has ended.
    Nothing,
}

/// A line.
struct Event {
    read: Read,
    text: Vec<u8>,
    /// The index that it begins with.
    says: Option<u64>,
}

/// The lines, of which two are known.
struct Events<'a, E> {
    lines: Lines<E>,
    seen: &'a mut dyn FnMut(&[u8]),
    current: Event,
    next: Event,
    stepped: u64,
}

impl<'a, E: BufRead> Events<'a, E> {
    fn new(from: E, seen: &'a mut dyn FnMut(&[u8])) -> io::Result<Self> {
        let mut lines = Lines::new(from);
        let (current, next) = (read(&mut lines, Vec::new())?, read(&mut lines, Vec::new())?);
        Ok(Self {
            lines,
            seen,
            current,
            next,
            stepped: 0,
        })
    }

    /// What the current line is, where one of that index should be.
    fn judge(&self, index: u64) -> Found {
        let (says, next) = (self.current.says, self.next.says);
        if self.current.read.is_none() {
            return Found::Nothing;
        }
        match says {
            Some(says) if says == index => Found::It,
            // If the next goes back, this one's index is wrong, and not its place.
            Some(says) if says > index && next.is_none_or(|next| next > says) => Found::Later(says),
            Some(says) if says > index => Found::It,
            _ if next == Some(index) => Found::Other,
            _ => Found::It,
        }
    }

    /// The current line; to be given back.
    fn take(&mut self) -> Event {
        let Event { read, text, says } = &mut self.current;
        Event {
            read: *read,
            text: std::mem::take(text),
            says: *says,
        }
    }

    fn give_back(&mut self, taken: Event) -> io::Result<()> {
        self.current = taken;
        self.step()
    }

    /// Goes on to the next line.
    fn step(&mut self) -> io::Result<()> {
        if self.current.read.is_none() {
            return Ok(());
        }
        self.stepped += 1;
        (self.seen)(&self.current.text);
        let unused = std::mem::take(&mut self.current.text);
        let further = read(&mut self.lines, unused)?;
        self.current = std::mem::replace(&mut self.next, further);
        Ok(())
    }
}

fn read(lines: &mut Lines<impl BufRead>, mut text: Vec<u8>) -> io::Result<Event> {
    let read = lines.next(MAX_ENTRY_BYTES)?;
    text.clear();
    text.extend_from_slice(lines.text());
    let says = index_of(&text);
    Ok(Event { read, text, says })
}

/// The index that a line begins with.
fn index_of(line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(br#"{"index":"#)?;
    let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}
