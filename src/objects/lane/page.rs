//! A page of a lane's lines: bounded work, in commit order or against it.
//!
//! A page walks the log from its cursor on. Groups of the [index](super::index) are passed by their times, then by their postings; of the segments
//! behind them their own times and terms are looked at. What is left is read: only lines with the [bytes](Filter::needle) that a wanted line has are parsed, and
//! few are [opened](super::opening). A page ends when it is full, at the end of the log, or when it has cost [`MAX_ROWS`] or [`MAX_BYTES`]; then
//! it may be short or empty, and its cursor says where to go on.
//!
//! [Filter::needle]: portcullis_core::audit::query::Filter::needle

use super::index::store::{self as index_store, Candidate, Group, Outline};
use super::opening::Opener;
use super::retained;
use super::service::LaneService;
use super::store::{self, Segment};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::addresses::Fingerprints;
use portcullis_core::audit::call::{Page, Query};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::postings::{find, slice_of};
use portcullis_core::audit::query::{Cursor, Order};
use portcullis_core::audit::terms::Term;
use std::collections::BTreeMap;

/// The most rows that a page looks at: of groups, postings and segments.
const MAX_ROWS: u64 = 4096;
/// The most bytes that a page reads of postings and lines; the row that exceeds it is the last. Lines that are passed over by the terms behind
/// them count an eighth.
const MAX_BYTES: u64 = 16_000_000;
/// How many segments are listed at a time.
const OUTLINES: u64 = 64;
/// How much may be passed over by terms at a time, in bytes of lines.
const MAX_PASSED_BYTES: u64 = 4_000_000;
/// How many groups are listed at a time, and of how many the postings are read; both begin with one and double.
const MAX_GROUPS: u64 = 256;
const MAX_POSTINGS: u64 = 32;

impl<S: Sql> LaneService<S> {
    pub(super) fn page(&self, query: &Query) -> Result<Page, SqlError> {
        let head = store::next_index(&self.sql)?;
        let pruned_to = retained::pruned_to(&self.sql)?;
        let at = match (query.cursor, query.order) {
            (Some(cursor), order) if cursor.order == order => cursor.index.min(head),
            (_, Order::Oldest) => 0,
            (_, Order::Newest) => head,
        };
        let at = match query.order {
            Order::Oldest => at.max(pruned_to),
            Order::Newest => at,
        };
        let terms = self.index.terms_of(&query.filter);
        let by_groups =
            !terms.is_empty() || query.filter.from.is_some() || query.filter.to.is_some();
        let grouped_end = if by_groups {
            index_store::grouped_end(&self.sql)?
        } else {
            0
        };
        let mut walk = Walk {
            lane: self,
            query,
            opener: Opener::new(self, &query.filter),
            needle: query.filter.needle(),
            terms,
            grouped_end,
            at,
            is_over: false,
            batch: 1,
            rows_left: MAX_ROWS,
            bytes_left: MAX_BYTES,
            found: Vec::new(),
        };
        while walk.goes_on(pruned_to, head) {
            walk.step()?;
        }
        let cursor = |order, index| Cursor { order, index };
        Ok(Page {
            next: (!walk.is_over).then(|| cursor(query.order, walk.at)),
            lines: walk.found,
            tail: cursor(Order::Oldest, head),
            pruned_to,
        })
    }
}

/// On the way through the log.
struct Walk<'a, S> {
    lane: &'a LaneService<S>,
    query: &'a Query,
    opener: Opener<'a, S>,
    /// What each wanted line has, if there is such.
    needle: Option<String>,
    /// What its segment has.
    terms: Vec<Term>,
    /// Up to where there are groups to go by.
    grouped_end: u64,
    /// Oldest first: the next index to look at. Newest first: one above it.
    at: u64,
    /// Nothing is left.
    is_over: bool,
    batch: u64,
    rows_left: u64,
    bytes_left: u64,
    found: Vec<String>,
}

impl<S: Sql> Walk<'_, S> {
    fn is_forwards(&self) -> bool {
        self.query.order == Order::Oldest
    }

    fn goes_on(&mut self, pruned_to: u64, head: u64) -> bool {
        self.is_over |= if self.is_forwards() {
            self.at >= head
        } else {
            self.at <= pruned_to
        };
        !self.is_over && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.query.limit as usize || self.rows_left == 0 || self.bytes_left == 0
    }

    fn spend(&mut self, rows: u64, bytes: u64) {
        self.rows_left = self.rows_left.saturating_sub(rows);
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    fn step(&mut self) -> Result<(), SqlError> {
        if self.is_forwards() && self.at < self.grouped_end
            || !self.is_forwards() && self.at <= self.grouped_end
        {
            self.by_groups()
        } else {
            self.by_segments()
        }
    }

    /// Through some segments by their own times and terms.
    fn by_segments(&mut self) -> Result<(), SqlError> {
        let sql = &self.lane.sql;
        let outlines = index_store::outlines(sql, self.at, self.query.order, OUTLINES)?;
        self.spend(outlines.len() as u64, 0);
        let Some(furthest) = outlines.last() else {
            self.is_over = true;
            return Ok(());
        };
        let end = self.past(furthest.first_index, furthest.end_index);
        let filter = &self.query.filter;
        let mut ahead = outlines.as_slice();
        let is_timely = |it: &Outline| filter.may_match(it.occurred.0, it.occurred.1);
        while !ahead.is_empty() {
            let mut bytes = 0;
            let fits = |it: &Outline| {
                bytes += it.bytes;
                bytes <= MAX_PASSED_BYTES
            };
            let some = ahead.iter().map(fits).take_while(|fits| *fits).count();
            let (some, rest) = ahead.split_at(some.max(1).min(ahead.len()));
            ahead = rest;
            let candidates = if some.iter().any(is_timely) {
                self.with_terms(some)?
            } else {
                Vec::new()
            };
            for first_index in candidates {
                let outline = some.iter().find(|it| it.first_index == first_index);
                if outline.is_some_and(is_timely) {
                    self.read(first_index)?;
                    if self.is_full() {
                        return Ok(());
                    }
                }
            }
            if let Some(last) = some.last() {
                self.at = self.past(last.first_index, last.end_index);
            }
            if self.is_full() {
                return Ok(());
            }
        }
        self.at = end;
        Ok(())
    }

    /// Of segments beside each other those that may have all terms, in the order of reading.
    fn with_terms(&mut self, outlines: &[Outline]) -> Result<Vec<u64>, SqlError> {
        let firsts = || outlines.iter().map(|it| it.first_index);
        if self.terms.is_empty() {
            return Ok(firsts().collect());
        }
        let bytes: u64 = outlines.iter().map(|it| it.bytes).sum();
        self.spend(0, bytes / 8);
        let (Some(first), Some(last)) = (firsts().min(), firsts().max()) else {
            return Ok(Vec::new());
        };
        let mut found = index_store::with_terms(&self.lane.sql, first, last + 1, &self.terms)?;
        if !self.is_forwards() {
            found.reverse();
        }
        Ok(found)
    }

    /// Through some groups by their times and postings.
    fn by_groups(&mut self) -> Result<(), SqlError> {
        let limit = (self.batch * 8).min(MAX_GROUPS);
        let groups = index_store::groups(&self.lane.sql, self.at, self.query.order, limit)?;
        self.spend(groups.len() as u64, 0);
        let is_last = (groups.len() as u64) < limit;
        let filter = &self.query.filter;
        let mut left = groups.as_slice();
        while let Some(group) = left.first() {
            let is_timely = |it: &Group| filter.may_match(it.occurred.0, it.occurred.1);
            if !is_timely(group) {
                self.at = self.past(group.first_index, group.end_index);
                left = left.get(1..).unwrap_or_default();
                continue;
            }
            let batch = usize::try_from(self.batch).unwrap_or(1);
            let some = left.iter().take(batch).take_while(|it| is_timely(it));
            let (some, rest) = left.split_at(some.count());
            left = rest;
            self.batch = (self.batch * 2).min(MAX_POSTINGS);
            let mut candidates = self.candidates(some)?;
            for group in some {
                let segments = candidates.remove(&group.first_index).unwrap_or_default();
                for first_index in segments {
                    self.read(first_index)?;
                    if self.is_full() {
                        return Ok(());
                    }
                }
                self.at = self.past(group.first_index, group.end_index);
            }
            if self.is_full() {
                return Ok(());
            }
        }
        if is_last && self.is_forwards() {
            self.at = self.at.max(self.grouped_end);
        } else if is_last {
            self.is_over = true;
        }
        Ok(())
    }

    /// The segments of groups that may have all terms and are not behind, by group and in the order of reading.
    fn candidates(&mut self, groups: &[Group]) -> Result<BTreeMap<u64, Vec<u64>>, SqlError> {
        let mut ordinals: BTreeMap<u64, Option<Vec<u64>>> =
            groups.iter().map(|it| (it.first_index, None)).collect();
        for term in self.terms.clone() {
            // Neighbours are read at once; later terms only of groups that are left.
            let (Some((&first, _)), Some((&last, _))) =
                (ordinals.first_key_value(), ordinals.last_key_value())
            else {
                break;
            };
            let slice = slice_of(term);
            let rows = index_store::postings(&self.lane.sql, slice, first, last)?;
            let mut with_term = BTreeMap::new();
            for (group, postings) in rows {
                self.spend(1, postings.len() as u64);
                with_term.insert(group, find(&postings, term)?);
            }
            for (group, ordinals) in &mut ordinals {
                let with_term = with_term.remove(group).unwrap_or_default();
                *ordinals = Some(match ordinals.take() {
                    None => with_term,
                    Some(mut before) => {
                        before.retain(|ordinal| with_term.binary_search(ordinal).is_ok());
                        before
                    }
                });
            }
            ordinals.retain(|_, ordinals| ordinals.as_ref().is_none_or(|it| !it.is_empty()));
        }
        let mut candidates = BTreeMap::new();
        for group in groups {
            let with_terms = ordinals.remove(&group.first_index);
            let with_terms = with_terms.unwrap_or_else(|| Some(Vec::new()));
            let segments = self.segments_of(group, with_terms.as_deref())?;
            candidates.insert(group.first_index, segments);
        }
        Ok(candidates)
    }

    /// Where the segments of these ordinals begin, or all of them; with those whose terms are not known.
    fn segments_of(
        &mut self,
        group: &Group,
        ordinals: Option<&[u64]>,
    ) -> Result<Vec<u64>, SqlError> {
        if group.unknown.is_empty() && ordinals.is_some_and(<[u64]>::is_empty) {
            return Ok(Vec::new());
        }
        self.spend(1, 0);
        let starts = index_store::starts(&self.lane.sql, group.first_index)?;
        let wanted = |ordinal: &u64| {
            ordinals.is_none_or(|it| it.binary_search(ordinal).is_ok())
                || group.unknown.binary_search(ordinal).is_ok()
        };
        let ends = starts.iter().skip(1).copied().chain([group.end_index]);
        let is_ahead = |start: u64, end: u64| {
            if self.is_forwards() {
                end > self.at
            } else {
                start < self.at
            }
        };
        let mut segments: Vec<u64> = (0u64..)
            .zip(starts.iter().copied().zip(ends))
            .filter(|(ordinal, (start, end))| wanted(ordinal) && is_ahead(*start, *end))
            .map(|(_, (start, _))| start)
            .collect();
        if !self.is_forwards() {
            segments.reverse();
        }
        Ok(segments)
    }

    /// Where to go on behind lines `first .. end`.
    fn past(&self, first: u64, end: u64) -> u64 {
        if self.is_forwards() {
            self.at.max(end)
        } else {
            self.at.min(first)
        }
    }

    /// Reads the segment that begins there, if it is still there, and goes past it or to behind the line that makes the page full.
    fn read(&mut self, first_index: u64) -> Result<(), SqlError> {
        let filter = &self.query.filter;
        let found = index_store::timely_segment(&self.lane.sql, first_index, filter)?;
        let bytes = found.as_ref().map_or(0, |it| it.segment.lines.len());
        self.spend(1, bytes as u64);
        let Some(Candidate { segment, addresses }) = found else {
            return Ok(());
        };
        if segment.lines.is_empty() {
            // They were too old.
            self.at = self.past(segment.first_index, segment.end());
            return Ok(());
        }
        let text = std::str::from_utf8(&segment.lines).map_err(|_| SqlError::corrupt("lines"))?;
        let needle = self.needle.take();
        let lines = Lines {
            text: text.strip_suffix('\n').unwrap_or(text),
            needle: needle.as_deref(),
            is_forwards: self.is_forwards(),
            is_over: false,
        };
        let read = self.read_lines(&segment, lines, addresses.as_ref());
        self.needle = needle;
        read
    }

    fn read_lines(
        &mut self,
        segment: &Segment,
        lines: Lines<'_>,
        addresses: Option<&Fingerprints>,
    ) -> Result<(), SqlError> {
        for text in lines {
            // One that is empty was too old, and others of its segment are not.
            if text.is_empty() || !self.opener.may_want(text, addresses) {
                continue;
            }
            let line = Line::parse(text).map_err(|_| SqlError::corrupt("line"))?;
            let index = line.index;
            let is_ahead = if self.is_forwards() {
                index >= self.at
            } else {
                index < self.at
            };
            if is_ahead && self.opener.is_wanted(text, line)? {
                self.found.push(text.to_owned());
                if self.found.len() >= self.query.limit as usize {
                    self.at = self.past(index, index + 1);
                    return Ok(());
                }
            }
        }
        self.at = self.past(segment.first_index, segment.end());
        Ok(())
    }
}

/// The lines of a text that have the needle, in the order of reading.
struct Lines<'a> {
    text: &'a str,
    needle: Option<&'a str>,
    is_forwards: bool,
    is_over: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.is_over {
            return None;
        }
        // A needle has no line feed in it: it begins and ends in one line.
        let at = match (self.needle, self.is_forwards) {
            (None, true) => Some(0),
            (None, false) => Some(self.text.len()),
            (Some(needle), true) => self.text.find(needle),
            (Some(needle), false) => self.text.rfind(needle),
        };
        let split = at.and_then(|at| self.text.split_at_checked(at));
        let Some((before, after)) = split else {
            self.is_over = true;
            return None;
        };
        let (earlier, begin) = match before.rsplit_once('\n') {
            Some((earlier, begin)) => (Some(earlier), begin),
            None => (None, before),
        };
        let (end, later) = match after.split_once('\n') {
            Some((end, later)) => (end, Some(later)),
            None => (after, None),
        };
        let start = before.len() - begin.len();
        let line = self.text.get(start..start + begin.len() + end.len());
        let rest = if self.is_forwards { later } else { earlier };
        self.is_over = rest.is_none();
        self.text = rest.unwrap_or_default();
        line
    }
}
