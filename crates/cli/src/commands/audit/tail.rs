//! `portcullis audit tail`: the log as it grows, by asking for what came behind a cursor.
//!
//! A cursor stays right however long nobody asked, so that a service that was away costs nothing but time. What only
//! says that this command has read is left out.

use super::query::{Page, Search, as_json, cells, page, sealed_cell, value};
use crate::client::Client;
use crate::failure::{Failure, Problem};
use crate::output::Output;
use clap::Args;
use serde_json::value::RawValue;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// For the help.
pub const EXAMPLE: &str = "\
Every look at the log is in the log. That is not shown, unless --reads or --action asks for it.

Example:
  portcullis audit tail
  portcullis audit tail --action kill --json";

/// Between looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// The longest wait for a service that is away.
const LONGEST: Duration = Duration::from_secs(30);
/// What tells that somebody read.
const READ: &str = "audit.read";

/// What to follow.
#[derive(Debug, Args)]
pub struct Tail {
    #[command(flatten)]
    search: Search,
    /// How many of those before to begin with
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    lines: u32,
    /// Show also who read the log
    #[arg(long)]
    reads: bool,
    /// Show also what is sealed: address, user agent, claims. That it was read is in the log
    #[arg(long)]
    personal: bool,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS")]
    r#for: Option<u64>,
}

impl Tail {
    /// Carries it out.
    pub fn run(&self, client: &Client, output: Output) -> Result<(), Failure> {
        let end = self
            .r#for
            .map(|secs| Instant::now() + Duration::from_secs(secs));
        let limit = self.lines.to_string();
        let mut first: Vec<(&str, &str)> = self.search.parameters().collect();
        first.extend([("order", "newest"), ("limit", limit.as_str())]);
        let personal = self.personal.then_some(("personal", "true"));
        first.extend(personal);
        let page_before = page(client, &first)?;
        for event in page_before.events.iter().rev() {
            if !self.show(event, &page_before, output)? {
                return Ok(());
            }
        }
        let mut cursor = page_before.tail;
        let mut wait = INTERVAL;
        let mut away = false;
        while end.is_none_or(|end| Instant::now() < end) {
            sleep(wait);
            let mut query: Vec<(&str, &str)> = self.search.parameters().collect();
            query.push(("cursor", cursor.as_str()));
            query.extend(personal);
            let page = match page(client, &query) {
                Ok(page) => page,
                Err(failure) if may_pass(&failure) => {
                    if !away {
                        output.remark(&format!("{failure}; trying again"));
                    }
                    away = true;
                    wait = (wait.max(INTERVAL) * 2).min(LONGEST);
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            if away {
                output.remark("It answers again; nothing was missed.");
                away = false;
            }
            for event in &page.events {
                if !self.show(event, &page, output)? {
                    return Ok(());
                }
            }
            wait = if page.next.is_some() {
                Duration::ZERO
            } else {
                INTERVAL
            };
            cursor = page.next.unwrap_or(page.tail);
        }
        Ok(())
    }

    /// Shows a line; says whether anybody still reads.
    fn show(&self, event: &RawValue, page: &Page, output: Output) -> Result<bool, Failure> {
        let value = value(event)?;
        let sealed = page.sealed(&value);
        let is_read = value.get("action").and_then(|it| it.as_str()) == Some(READ);
        if is_read && !self.reads && self.search.filters.action.is_none() {
            return Ok(true);
        }
        if output.json {
            return Output::line_if_read(&as_json(event, self.personal, sealed));
        }
        let cells: Vec<String> = cells(&value)
            .into_iter()
            .chain([sealed_cell(sealed)])
            .filter(|cell| !cell.is_empty())
            .collect();
        Output::line_if_read(&cells.join("  "))
    }
}

/// Whether it may be otherwise in a while.
fn may_pass(failure: &Failure) -> bool {
    match failure {
        Failure::NoAnswer(_) => true,
        Failure::Refused(Problem { status, .. }) => matches!(status, 429 | 500..=599),
        Failure::Usage(_) | Failure::Invalid(_) => false,
    }
}
