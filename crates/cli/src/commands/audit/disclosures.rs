//! `disclosures.ndjson` of an export: what opens the sealed fields of its lines (`GET /v1/audit/disclosures`).
//!
//! It is fetched when the lines are there, for runs of them. What is between two runs is not asked for, unless the gap
//! is small. What was interrupted is fetched anew.

use super::partial::Folder;
use crate::client::Client;
use crate::failure::Failure;
use portcullis_core::audit::export::lines::Lines;
use portcullis_core::audit::export::{DISCLOSURES, EVENTS};
use portcullis_core::audit::log::MAX_ENTRY_BYTES;
use portcullis_core::audit::personal::Disclosure;
use portcullis_core::audit::sealed::SealedLine;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write};

/// Lines that are at most so far apart are asked for together.
const GAP: u64 = 1000;
/// How many lines are asked for together.
const RUN: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    disclosures: Vec<Disclosure>,
    next: Option<u64>,
}

/// Fetches what opens the lines that are in the folder; says how many it opens.
pub fn fetch(client: &Client, folder: &Folder) -> Result<u64, Failure> {
    let failed = |error: std::io::Error| folder.failed(DISCLOSURES, &error);
    let beside = folder.path(&format!("{DISCLOSURES}.new"));
    let mut to = BufWriter::new(File::create(&beside).map_err(failed)?);
    let events = File::open(folder.path(EVENTS)).map_err(|error| folder.failed(EVENTS, &error))?;
    let mut lines = Lines::new(BufReader::with_capacity(1 << 16, events));
    let mut run = VecDeque::new();
    let mut found = 0;
    loop {
        let read = lines.next(MAX_ENTRY_BYTES);
        let read = read.map_err(|error| folder.failed(EVENTS, &error))?;
        let line = std::str::from_utf8(lines.text()).ok();
        let index = line.and_then(SealedLine::parse).map(|line| line.index);
        let ends = |last: u64| {
            run.len() >= RUN || index.is_some_and(|index| index.saturating_sub(last) > GAP)
        };
        if read.is_none() || run.back().is_some_and(|last| ends(*last)) {
            found += fetch_run(client, std::mem::take(&mut run), &mut to, &failed)?;
        }
        if read.is_none() {
            break;
        }
        run.extend(index);
    }
    let file = to
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)?;
    fs::rename(&beside, folder.path(DISCLOSURES)).map_err(failed)?;
    Ok(found)
}

/// Those of these lines, which are in order.
fn fetch_run(
    client: &Client,
    mut run: VecDeque<u64>,
    to: &mut impl Write,
    failed: &impl Fn(std::io::Error) -> Failure,
) -> Result<u64, Failure> {
    let (Some(first), Some(last)) = (run.front(), run.back()) else {
        return Ok(0);
    };
    let (mut from, end) = (*first, *last + 1);
    let mut found = 0;
    loop {
        let (at, to_text) = (from.to_string(), end.to_string());
        let query = [("from", at.as_str()), ("to", to_text.as_str())];
        let answer = client.get(&["v1", "audit", "disclosures"], &query)?;
        let page: Page = serde_json::from_str(&answer.body)
            .map_err(|_| Failure::NoAnswer("the answer is no page of disclosures".to_owned()))?;
        for disclosure in page.disclosures {
            while run.front().is_some_and(|index| *index < disclosure.index) {
                run.pop_front();
            }
            if run.front() == Some(&disclosure.index) {
                let text = serde_json::to_string(&disclosure);
                let text = text.map_err(|error| failed(error.into()))?;
                writeln!(to, "{text}").map_err(failed)?;
                found += 1;
            }
        }
        match page.next {
            None => return Ok(found),
            Some(next) if next > from => from = next,
            Some(_) => {
                let why = "a page of disclosures leads to itself";
                return Err(Failure::NoAnswer(why.to_owned()));
            }
        }
    }
}
