//! Following the log: a stream of server-sent events (HTML Living Standard, 9.2) that is fed from pages.
//!
//! Each line is a message whose `id` is the cursor behind it: whoever reconnects with the last one that they have got misses nothing and gets
//! nothing twice. The stream ends after [`LONGEST_MS`], and its reader comes again. While there is nothing to say, a comment every [`HEARTBEAT_MS`] says
//! that somebody is there; with the cursor, which may have passed many lines that are not wanted.
//!
//! Reading is audited: when it begins, once a minute, and when the stream ends by itself, with what was given since. What was given in the
//! minute in which a reader goes away is between the last of these and the next that begins.

use super::call::Page;
use super::detail::Followed;
use super::line::Line;
use super::query::{Cursor, Order};
use crate::time::UnixMillis;
use std::fmt::Write as _;

/// How long a stream lasts.
pub const LONGEST_MS: u64 = 600_000;
/// How often it says something.
pub const HEARTBEAT_MS: u64 = 15_000;
/// How often its reading is logged.
pub const REPORT_MS: u64 = 60_000;
/// How long to wait where there was nothing more.
pub const POLL_MS: u64 = 1000;
/// How many lines are asked for at a time.
pub const LINES: u32 = 500;

/// A stream as it stands.
#[derive(Clone, Debug)]
pub struct Following {
    began_at: UnixMillis,
    said_at: UnixMillis,
    reported_at: UnixMillis,
    given: Followed,
    is_behind: bool,
}

/// What to ask of the lane next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// From where.
    pub cursor: Cursor,
    /// How many lines at most.
    pub limit: u32,
    /// What is to be logged with it.
    pub report: Option<Followed>,
    /// The stream ends with it; what it finds is not given.
    pub is_last: bool,
}

fn cursor(index: u64) -> Cursor {
    Cursor {
        order: Order::Oldest,
        index,
    }
}

impl Following {
    /// Begins with a page; gives back what is said first.
    #[must_use]
    pub fn begin(page: &Page, first_index: u64, now: UnixMillis) -> (Self, String) {
        let mut following = Self {
            began_at: now,
            said_at: now,
            reported_at: now,
            given: Followed {
                // A cursor may be ahead of the log.
                first_index: first_index.min(page.tail.index),
                ..Followed::default()
            },
            is_behind: false,
        };
        let mut text = format!("retry: {POLL_MS}\n");
        following.take(page, &mut text);
        following.heartbeat(&mut text);
        (following, text)
    }

    /// How long to wait before asking.
    #[must_use]
    pub const fn wait_ms(&self) -> u64 {
        if self.is_behind { 0 } else { POLL_MS }
    }

    /// What to ask next.
    #[must_use]
    pub fn ask(&self, now: UnixMillis) -> Ask {
        let since = |then: UnixMillis| now.0.saturating_sub(then.0);
        let is_last = since(self.began_at) >= LONGEST_MS;
        let report = (is_last || since(self.reported_at) >= REPORT_MS).then_some(self.given);
        Ask {
            cursor: cursor(self.given.end_index),
            limit: if is_last { 1 } else { LINES },
            report,
            is_last,
        }
    }

    /// What to say of the answer; `None` if it is nothing.
    #[must_use]
    pub fn say(&mut self, ask: &Ask, page: &Page, now: UnixMillis) -> Option<String> {
        if ask.report.is_some() {
            self.reported_at = now;
            self.given.first_index = self.given.end_index;
            self.given.lines = 0;
        }
        let mut text = String::new();
        self.take(page, &mut text);
        if text.is_empty() && now.0.saturating_sub(self.said_at.0) >= HEARTBEAT_MS {
            self.heartbeat(&mut text);
        }
        if text.is_empty() {
            return None;
        }
        self.said_at = now;
        Some(text)
    }

    fn take(&mut self, page: &Page, text: &mut String) {
        for line in &page.lines {
            // The lane has parsed it already.
            if let Ok(Line { index, .. }) = Line::parse(line) {
                let id = cursor(index + 1).to_text();
                let _ = write!(text, "id: {id}\ndata: {line}\n\n");
                self.given.lines += 1;
            }
        }
        self.given.end_index = page.next.unwrap_or(page.tail).index;
        self.is_behind = page.next.is_some();
    }

    /// A comment, and where the stream is.
    fn heartbeat(&self, text: &mut String) {
        let id = cursor(self.given.end_index).to_text();
        let _ = write!(text, ":\nid: {id}\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(index: u64) -> String {
        format!(r#"{{"index":{index},"occurred":"","action":"kill","outcome":"success"}}"#)
    }

    /// Of a log in which every line is wanted whose index divides by `nth`; a page looks at `step` lines.
    fn page(size: u64, nth: u64, step: u64, from: u64) -> Page {
        let from = from.min(size);
        let end = size.min(from + step);
        Page {
            lines: (from..end).filter(|it| it % nth == 0).map(line).collect(),
            next: (end < size).then(|| cursor(end)),
            tail: cursor(size),
            pruned_to: 0,
        }
    }

    /// As a browser reads it: the data of messages, and the last id, which an interrupted message does not set.
    fn received(text: &str, id: &mut Option<Cursor>) -> Vec<u64> {
        let mut indexes = Vec::new();
        for message in text.split_inclusive("\n\n") {
            let Some(message) = message.strip_suffix("\n\n") else {
                break;
            };
            for field in message.lines() {
                if let Some(text) = field.strip_prefix("id: ") {
                    *id = Cursor::from_text(text);
                } else if let Some(data) = field.strip_prefix("data: ") {
                    indexes.push(Line::parse(data).expect("a line").index);
                } else {
                    assert!(field.starts_with("retry: ") || field == ":", "{field}");
                }
            }
        }
        indexes
    }

    #[test]
    fn golden_stream() {
        let first = Page {
            lines: vec![line(4)],
            next: None,
            tail: cursor(6),
            pruned_to: 0,
        };
        let (_, text) = Following::begin(&first, 3, UnixMillis(0));
        let expected = [
            "retry: 1000\nid: AQAF\ndata: ",
            &line(4),
            "\n\n:\nid: AQAG\n\n",
        ];
        assert_eq!(text, expected.concat());
    }

    proptest! {
        /// Whoever is cut off anywhere and comes again with the last id has all lines, each once.
        #[test]
        fn a_reader_who_reconnects_misses_nothing_and_gets_nothing_twice(
            nth in 1u64..4, step in 1u64..9, begin in 0u64..9, first in 0u64..12,
            rounds in prop::collection::vec((0u64..5, option_of_cut(), 0u64..70_000), 1..40),
        ) {
            let begin = begin.min(first);
            let mut size = first;
            let mut now = UnixMillis(0);
            let mut id = None;
            let mut got = Vec::new();
            let mut following: Option<Following> = None;
            for (more, cut, passes) in rounds.into_iter().chain([(0, None, 0); 200]) {
                size += more;
                now.0 += passes;
                let text = match &mut following {
                    None => {
                        let from = id.map_or(begin, |it: Cursor| it.index);
                        let (begun, text) = Following::begin(&page(size, nth, step, from), from, now);
                        following = Some(begun);
                        text
                    }
                    Some(open) => {
                        let ask = open.ask(now);
                        let page = page(size, nth, step, ask.cursor.index);
                        if ask.is_last {
                            following = None;
                            continue;
                        }
                        open.say(&ask, &page, now).unwrap_or_default()
                    }
                };
                let cut_at = cut.map_or(text.len(), |cut| cut * text.len() / 100);
                got.extend(received(&text[..cut_at], &mut id));
                if cut.is_some() {
                    following = None;
                }
            }
            let wanted: Vec<u64> = (begin..size).filter(|it| it % nth == 0).collect();
            prop_assert_eq!(got, wanted);
        }
    }

    fn option_of_cut() -> impl Strategy<Value = Option<usize>> {
        prop_oneof![4 => Just(None), 1 => (0usize..100).prop_map(Some)]
    }

    #[test]
    fn reading_is_reported_once_a_minute_and_at_the_end_with_all_that_was_given() {
        let mut size = 10;
        let (mut following, text) = Following::begin(&page(size, 1, 100, 10), 10, UnixMillis(0));
        assert_eq!(received(&text, &mut None), Vec::<u64>::new());
        let mut reports = Vec::new();
        let mut given = 0;
        for second in 1..=600 {
            size += 2;
            let now = UnixMillis(second * 1000);
            let ask = following.ask(now);
            reports.extend(ask.report);
            if ask.is_last {
                assert_eq!(second, 600);
                break;
            }
            let text = following.say(&ask, &page(size, 1, 100, ask.cursor.index), now);
            given += received(&text.expect("lines"), &mut None).len() as u64;
        }
        assert_eq!(reports.len(), 10);
        assert_eq!(reports.iter().map(|it| it.lines).sum::<u64>(), given);
        assert_eq!(reports.first().map(|it| it.first_index), Some(10));
        assert!(
            reports
                .windows(2)
                .all(|it| it[0].end_index == it[1].first_index)
        );
    }

    #[test]
    fn a_quiet_stream_says_every_15_seconds_where_it_is_and_waits_between_polls() {
        let (mut following, _) = Following::begin(&page(5, 9, 100, 5), 5, UnixMillis(0));
        assert_eq!(following.wait_ms(), POLL_MS);
        let mut said = Vec::new();
        for second in 1..=45 {
            let now = UnixMillis(second * 1000);
            let ask = following.ask(now);
            // Lines come, none of them wanted.
            let text = following.say(&ask, &page(5 + second / 30, 9, 100, ask.cursor.index), now);
            said.extend(text.map(|text| (second, text)));
        }
        let seconds: Vec<u64> = said.iter().map(|(second, _)| *second).collect();
        assert_eq!(seconds, [15, 30, 45]);
        assert!(
            said[0].1.contains(&cursor(5).to_text()) && said[2].1.contains(&cursor(6).to_text())
        );
        // Behind, it does not wait.
        let (following, _) = Following::begin(&page(500, 9, 100, 0), 0, UnixMillis(0));
        assert_eq!(following.wait_ms(), 0);
    }

    #[test]
    fn a_cursor_ahead_of_the_log_begins_at_its_end() {
        let (following, _) = Following::begin(&page(5, 1, 100, 900), 900, UnixMillis(0));
        let ask = following.ask(UnixMillis(REPORT_MS));
        let expected = Followed {
            first_index: 5,
            end_index: 5,
            lines: 0,
        };
        assert_eq!((ask.cursor, ask.report), (cursor(5), Some(expected)));
    }
}
