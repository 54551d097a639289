//! What a lane gives to an export of the service: many lines at once, and the hashes of what the export leaves out. It is
//! bounded work, and none of it is audited: the export is (`portcullis_core::audit::export::source`).

use super::retained;
use super::service::LaneService;
use super::store;
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::call::{Answer, HashBytes};
use portcullis_core::audit::export::source::{Bytes, GetLines, GetSubtrees, Lines};
use portcullis_core::audit::export::write::subtrees;
use std::ops::ControlFlow;

/// The most bytes of lines that are given at a time, but for what the last segment has more.
const MAX_BYTES: u32 = 4_000_000;

impl<S: Sql> LaneService<S> {
    /// Lines from an index on, as many as are asked for or are enough.
    pub fn lines(&self, asked: GetLines) -> Result<Answer<Option<Lines>>, SqlError> {
        let head = match self.whole()? {
            Ok(head) => head,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if asked.first >= asked.end || asked.end > head.size {
            return Ok(Ok(None));
        }
        let pruned_to = retained::pruned_to(&self.sql)?;
        if asked.end <= pruned_to {
            // All that was asked for is not kept any more: it is told from where lines are.
            return Ok(Ok(Some(Lines {
                first: pruned_to,
                ..Lines::default()
            })));
        }
        let asked = GetLines {
            first: asked.first.max(pruned_to),
            ..asked
        };
        let max_bytes = asked.max_bytes.min(MAX_BYTES) as usize;
        let mut lines = Vec::with_capacity(max_bytes);
        let (mut next, mut enough) = (asked.first, false);
        store::each_segment(&self.sql, asked.first, asked.end, |segment| {
            if segment.end() <= asked.first {
                return Ok(ControlFlow::Continue(()));
            }
            if segment.first_index.max(asked.first) != next {
                return Err(SqlError::corrupt("segments"));
            }
            enough = next > asked.first && lines.len() + segment.lines.len() > max_bytes;
            if enough {
                return Ok(ControlFlow::Break(()));
            }
            let upto = segment.end().min(asked.end);
            lines.extend_from_slice(within(&segment, next, upto)?);
            next = upto;
            Ok(ControlFlow::Continue(()))
        })?;
        if !enough && next != asked.end {
            return Err(SqlError::corrupt("segments"));
        }
        let first = asked.first;
        let lines = Bytes(lines);
        Ok(Ok(Some(Lines { first, lines })))
    }

    /// The roots of the complete subtrees that a range of leaves is made of.
    pub fn subtrees(&self, asked: GetSubtrees) -> Result<Answer<Option<Vec<HashBytes>>>, SqlError> {
        self.prove(|tree| {
            let root = |(height, number)| Ok(tree.subtree(height, number)?.0);
            subtrees(asked.first, asked.end).map(root).collect()
        })
    }
}

/// The bytes of the segment's lines from one index to below another.
fn within(segment: &store::Segment, first: u64, end: u64) -> Result<&[u8], SqlError> {
    let lines = &segment.lines;
    if first == segment.first_index && end == segment.end() {
        return Ok(lines);
    }
    let mut feeds = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let mut behind = |lines: u64| match usize::try_from(lines).ok().and_then(|n| n.checked_sub(1)) {
        None => Some(0),
        Some(nth) => feeds.nth(nth).map(|(at, _)| at + 1),
    };
    let from = behind(first - segment.first_index);
    let length = from.and_then(|from| Some(from..behind(end - first)?));
    length
        .and_then(|range| lines.get(range))
        .ok_or_else(|| SqlError::corrupt("lines"))
}
