//! A service whose log has so many events: made by the service, filled on the host, and served again.

use super::events::{A_PACK, Gateways};
use super::failed;
use portcullis::host::HostLane;
use portcullis_core::time::UnixMillis;
use portcullis_e2e::api::bearer;
use portcullis_e2e::http::Request;
use portcullis_e2e::json::text;
use portcullis_e2e::stack::{Settings, Stack};
use portcullis_e2e::{Failure, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The events are of the thirty days before that.
const END: UnixMillis = UnixMillis(1_790_000_000_000);
const SPAN_MS: u64 = 30 * 24 * 3600 * 1000;
/// After how many commits the alarm rings, and it is told how far it is.
const RINGS_AFTER: u64 = 200;
const TOLD_AFTER: u64 = 10_000;

/// A service with a log.
pub struct Filled {
    pub stack: Stack,
    /// How many events were filled in.
    pub events: u64,
}

impl Filled {
    /// A service whose log has so many events.
    pub fn start(events: u64) -> Result<Self> {
        let settings = Settings {
            limit: Some(0), // none
            ..Settings::default()
        };
        let mut stack = Stack::start_with(&settings)?;
        // The service makes its lane, and the runtime the file.
        last_index(&stack.at.service)?;
        stack.kill_hard()?;
        let begun = Instant::now();
        fill(&lane_of(&stack)?, events)?;
        stack.restart(&settings)?;
        let took = begun.elapsed().as_secs_f64();
        eprintln!("a log of {events} events is filled in {took:.0} s");
        Ok(Self { stack, events })
    }

    /// When the event of that number occurred.
    pub fn at(&self, number: u64) -> UnixMillis {
        at(number, self.events)
    }
}

fn at(number: u64, events: u64) -> UnixMillis {
    let since = u128::from(SPAN_MS) * u128::from(number) / u128::from(events.max(1));
    UnixMillis(END.0 - SPAN_MS + u64::try_from(since).unwrap_or(SPAN_MS))
}

/// The lane of a stack that does not run.
fn lane_of(stack: &Stack) -> Result<HostLane> {
    let secrets = fs::read(stack.directory().join("secrets.json"))?;
    let secrets: Value = serde_json::from_slice(&secrets)?;
    let service_key = text(&secrets, "serviceKey")?;
    let file = file_of(stack.directory())?;
    HostLane::open(&file, &stack.at.service, service_key).map_err(failed)
}

fn fill(lane: &HostLane, events: u64) -> Result {
    let mut gateways = Gateways::new(2);
    for commit in 0..events / A_PACK {
        let pack = gateways.pack(|number| at(number, events));
        let now = at((commit + 1) * A_PACK, events);
        lane.append(vec![pack], now).map_err(failed)?;
        if commit % RINGS_AFTER == 0 {
            while lane.ring(now).map_err(failed)? {}
        }
        if commit % TOLD_AFTER == TOLD_AFTER - 1 {
            eprintln!("{} of {events} events", (commit + 1) * A_PACK);
        }
    }
    while lane.ring(END).map_err(failed)? {}
    Ok(())
}

/// The file that the local runtime keeps the lane's storage in.
fn file_of(directory: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)?.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if folder.to_string_lossy().ends_with("-Lane")
                && name.ends_with(".sqlite")
                && !name.starts_with("metadata")
            {
                found.push(path);
            }
        }
    }
    match found.as_slice() {
        [file] => Ok(file.clone()),
        _ => Err(Failure::new(format!("not one file of a lane: {found:?}"))),
    }
}

/// The index of the newest line of a log, by a question that is itself in the log afterwards.
pub fn last_index(service: &str) -> Result<Option<u64>> {
    let url = format!("{service}/v1/audit/events?order=newest&limit=1");
    let page = Request::get(url).bearer(bearer::AUDITOR).send()?;
    let page: Value = page.expect(200)?.json()?;
    Ok(page["events"][0]["index"].as_u64())
}
