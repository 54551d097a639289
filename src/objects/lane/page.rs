//! A page of a lane's lines: bounded work, in commit order or against it.

use super::retained;
use super::service::LaneService;
use super::store::{self, Segment};
use crate::objects::sql::{Sql, SqlError};
use portcullis_core::audit::call::{Page, Query};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::query::{Cursor, Order};

/// The most segments a page looks at, so that a rare filter cannot hold the lane.
const MAX_SEGMENTS_A_PAGE: usize = 500;
/// The most lines a page looks at.
const MAX_LINES_A_PAGE: u64 = 20_000;

impl<S: Sql> LaneService<S> {
    pub(super) fn page(&self, query: &Query) -> Result<Page, SqlError> {
        let head = store::next_index(&self.sql)?;
        let pruned_to = retained::pruned_to(&self.sql)?;
        let tail = Cursor {
            order: Order::Oldest,
            index: head,
        };
        let mut at = match (query.cursor, query.order) {
            (Some(cursor), order) if cursor.order == order => cursor.index.min(head),
            (_, Order::Oldest) => 0,
            (_, Order::Newest) => head,
        };
        if query.order == Order::Oldest {
            at = at.max(pruned_to);
        }
        let mut page = Page {
            lines: Vec::new(),
            next: None,
            tail,
            pruned_to,
        };
        if query.order == Order::Newest && at <= pruned_to {
            return Ok(page);
        }
        let mut looked_at = 0u64;
        for _ in 0..MAX_SEGMENTS_A_PAGE {
            let segment = match query.order {
                Order::Oldest => store::segment_at(&self.sql, at)?,
                Order::Newest => store::segment_below(&self.sql, at)?,
            };
            let Some(segment) = segment else {
                return Ok(page);
            };
            at = read_segment(&segment, query, at, &mut page)?;
            looked_at += segment.count;
            let done = match query.order {
                Order::Oldest => at >= head,
                Order::Newest => at <= pruned_to,
            };
            if done {
                return Ok(page);
            }
            if page.lines.len() >= query.limit as usize || looked_at >= MAX_LINES_A_PAGE {
                break;
            }
        }
        page.next = Some(Cursor {
            order: query.order,
            index: at,
        });
        Ok(page)
    }
}

/// Adds the segment's wanted lines to the page, from `at` on; returns where to go on.
fn read_segment(
    segment: &Segment,
    query: &Query,
    at: u64,
    page: &mut Page,
) -> Result<u64, SqlError> {
    let past = match query.order {
        Order::Oldest => segment.end(),
        Order::Newest => segment.first_index,
    };
    if !query
        .filter
        .may_match(segment.occurred.0, segment.occurred.1)
    {
        return Ok(past);
    }
    let text = std::str::from_utf8(&segment.lines).map_err(|_| SqlError::corrupt("lines"))?;
    let numbered = (segment.first_index..).zip(text.lines());
    // What is gone of a segment are empty lines.
    let numbered = numbered.filter(|(index, _)| *index >= page.pruned_to);
    let wanted = |(index, line): (u64, &str)| -> Result<Option<(u64, String)>, SqlError> {
        let parsed = Line::parse(line).map_err(|_| SqlError::corrupt("line"))?;
        Ok(query
            .filter
            .matches(&parsed)
            .then(|| (index, line.to_owned())))
    };
    let lines: Vec<(u64, &str)> = match query.order {
        Order::Oldest => numbered.filter(|(index, _)| *index >= at).collect(),
        Order::Newest => {
            let mut below: Vec<_> = numbered.filter(|(index, _)| *index < at).collect();
            below.reverse();
            below
        }
    };
    for line in lines {
        if let Some((index, line)) = wanted(line)? {
            page.lines.push(line);
            if page.lines.len() >= query.limit as usize {
                return Ok(match query.order {
                    Order::Oldest => index + 1,
                    Order::Newest => index,
                });
            }
        }
    }
    Ok(past)
}
