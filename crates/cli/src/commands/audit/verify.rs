//! `portcullis audit verify`: whether an export is the log's, from its files and the public key alone.

use super::progress::Progress;
use super::views::Following;
use crate::failure::Failure;
use crate::input;
use crate::output::Output;
use crate::table::clean;
use clap::Args;
use portcullis_core::audit::export::disclosed::Disclosed;
use portcullis_core::audit::export::fault::Fault;
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{self, Kind, Manifest, Stated};
use portcullis_core::audit::export::verify::{Files, Report, compare, verify};
use portcullis_core::audit::export::{CHECKPOINT, DISCLOSURES, EVENTS, MANIFEST, PROOFS, VIEWS};
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// For the help.
pub const EXAMPLE: &str = "\
Each fault is a line on standard error: the file, the line in it, the index in the log, the byte at which the line
begins, and what is wrong. Exit codes: 0 all is good, 1 something is not, 2 a file or the key cannot be read.
With --json it is one object on standard output.

The key is the line at /audit/lane/0/key, kept from when the log was trusted, or told by somebody who is.

Example:
  portcullis audit verify ./november --key-file log.vkey
  portcullis audit verify ./november --key id.example/audit/lane/0+82455534+AepKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";

/// More than a checkpoint with the signatures of many.
const MAX_CHECKPOINT: u64 = 64 * 1024;

/// Whose log it is.
#[derive(Debug, Args)]
pub struct Key {
    /// The log's public key: name+id+key
    #[arg(long, value_name = "VKEY", conflicts_with = "key_file")]
    key: Option<String>,
    /// The file with the log's public key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Key {
    /// The key, if one is given.
    pub fn read(&self) -> Result<Option<CheckpointVerifier>, Failure> {
        let text = match (&self.key, &self.key_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => input::whole(path)?,
            (None, None) => return Ok(None),
        };
        let key = CheckpointVerifier::from_vkey(text.trim());
        key.map(Some)
            .ok_or_else(|| Failure::Usage("the key is none: it is name+id+key".to_owned()))
    }
}

/// Which export, and whose log it should be of.
#[derive(Debug, Args)]
pub struct Verify {
    /// The folder of the export
    dir: PathBuf,
    #[command(flatten)]
    key: Key,
}

impl Verify {
    /// Carries it out.
    pub fn run(&self, output: Output) -> Result<(), Failure> {
        let key = self.key.read()?.ok_or_else(|| {
            let why = "there is no key: without one nothing is verified (--key or --key-file)";
            Failure::Usage(why.to_owned())
        })?;
        let (report, opened) = verified(&self.dir, &key, output)?;
        let faults: Vec<String> = told(&report);
        if output.json {
            Output::line(&as_json(&report, opened, &key).to_string())?;
        } else {
            Output::line(&sentences(&report, opened, &key))?;
        }
        if report.is_good() {
            Ok(())
        } else {
            Err(Failure::Invalid(faults))
        }
    }
}

/// Reads a folder, and says what is wrong with it, and how many of its lines are opened by what is disclosed.
pub fn verified(
    dir: &Path,
    key: &CheckpointVerifier,
    output: Output,
) -> Result<(Report, Option<u64>), Failure> {
    let failed = |name: &str, error: &io::Error| {
        Failure::Usage(format!("{}: {error}", dir.join(name).display()))
    };
    let open = |name: &str| File::open(dir.join(name)).map_err(|error| failed(name, &error));
    let short = |name: &str, most: u64| {
        let mut bytes = Vec::new();
        let read = open(name)?.take(most).read_to_end(&mut bytes);
        read.map(|_| bytes).map_err(|error| failed(name, &error))
    };
    let manifest = short(MANIFEST, manifest::MAX_BYTES as u64)?;
    let checkpoint = short(CHECKPOINT, MAX_CHECKPOINT)?;
    let (events, proofs) = (open(EVENTS)?, open(PROOFS)?);
    let length = events
        .metadata()
        .map_err(|error| failed(EVENTS, &error))?
        .len();

    // Files in other formats that it says it has: text is what follows from the lines, and all are as listed.
    let parsed = Manifest::parse(&manifest).ok();
    let mut views = Vec::new();
    let mut following = Vec::new();
    for name in VIEWS.into_iter().chain([DISCLOSURES]) {
        let Some(entry) = parsed.as_ref().and_then(|manifest| manifest.entry(name)) else {
            continue;
        };
        views.push((name, entry.clone(), open(name)?));
        if Following::is_possible(name) {
            following.push((name, Following::open(name, open(name)?)));
        }
    }

    let mut disclosed = match &parsed {
        Some(manifest) if manifest.entry(DISCLOSURES).is_some() => {
            let file = BufReader::with_capacity(1 << 16, open(DISCLOSURES)?);
            Some(Disclosed::new(file).map_err(|error| failed(DISCLOSURES, &error))?)
        }
        _ => None,
    };
    let mut unreadable = None;

    let mut progress = Progress::new("bytes", 0, length, output.json);
    let mut read = 0;
    let mut seen = |line: &[u8]| {
        read += line.len() as u64 + 1;
        progress.at(read);
        for (_, file) in &mut following {
            file.line(line);
        }
        if let Some(Err(error)) = disclosed.as_mut().map(|disclosed| disclosed.line(line)) {
            unreadable = Some(error);
        }
    };
    let files = Files {
        manifest: &manifest,
        checkpoint: &checkpoint,
        events: BufReader::with_capacity(1 << 18, events),
        proofs: BufReader::with_capacity(1 << 16, proofs),
    };
    let report = verify(files, key, &mut seen);
    let mut report = report.map_err(|error| failed("", &error))?;
    let opened = match disclosed {
        // Without a checkpoint no line was looked at.
        Some(disclosed) if report.checkpoint.is_some() => {
            let found = unreadable.map_or_else(|| disclosed.end(), Err);
            let found = found.map_err(|error| failed(DISCLOSURES, &error))?;
            found.faults.into_iter().for_each(|it| report.add(it));
            report.more_faults += found.more_faults;
            Some(found.opened)
        }
        _ => None,
    };
    for (name, entry, file) in views {
        let found = digest(BufReader::with_capacity(1 << 16, file));
        let found = found.map_err(|error| failed(name, &error))?;
        compare(&mut report, Some(&entry), name, found);
    }
    for (name, file) in following {
        // Without a checkpoint no line was looked at.
        let fault = file.end().map_err(|error| failed(name, &error))?;
        fault
            .filter(|_| report.checkpoint.is_some())
            .into_iter()
            .for_each(|it| report.add(it));
    }
    Ok((report, opened))
}

/// The faults, a line for each.
pub fn told(report: &Report) -> Vec<String> {
    let mut told: Vec<String> = report.faults.iter().map(Fault::to_string).collect();
    if report.more_faults > 0 {
        told.push(format!("and {} faults more", report.more_faults));
    }
    told
}

/// What was found, as people read it.
pub fn sentences(report: &Report, opened: Option<u64>, key: &CheckpointVerifier) -> String {
    let mut told = match &report.manifest {
        Some(manifest) if report.is_good() => good(report, manifest),
        _ => {
            let count = report.faults.len() as u64 + report.more_faults;
            vec![format!("Not good; faults: {count}.")]
        }
    };
    let origin = key.origin();
    if let Some(opened) = opened {
        told.push(format!("Lines that the disclosures open: {opened}."));
    }
    told.push(match &report.checkpoint {
        Some(Stated { size, root }) => {
            format!("It rests on the checkpoint of {origin} at {size} lines with root {root}.")
        }
        None => format!("It rests on nothing: there is no checkpoint of {origin} by that key."),
    });
    let told: Vec<String> = told.iter().map(|line| clean(line)).collect();
    told.join("\n")
}

fn good(report: &Report, manifest: &Manifest) -> Vec<String> {
    let lines = match (manifest.first_index, manifest.last_index) {
        (Some(first), Some(last)) => format!("{} lines, index {first} to {last}", report.lines),
        _ => "no lines".to_owned(),
    };
    let mut told = vec![match manifest.kind {
        Kind::Whole => format!("Good: {lines}. They are all that the log has there."),
        Kind::Filtered => {
            format!("Good: {lines}. Each is the log's; that no other fits is not shown.")
        }
    }];
    for range in &manifest.scanned {
        told.push(format!(
            "Scanned: index {} to below {}.",
            range.first, range.end
        ));
    }
    let by = manifest.requested_by.as_deref().unwrap_or("nobody named");
    let at = &manifest.exported_at;
    told.push(format!("Made {at} for {by}, as whoever made it says."));
    told
}

fn as_json(report: &Report, opened: Option<u64>, key: &CheckpointVerifier) -> Value {
    json!({
        "good": report.is_good(),
        "origin": key.origin().as_str(),
        "checkpoint": report.checkpoint,
        "lines": report.lines,
        "bytes": report.bytes,
        "opened": opened,
        "faults": report.faults,
        "more_faults": report.more_faults,
        "manifest": report.manifest,
    })
}

#[cfg(test)]
mod tests;
