//! Verifying an export, with the log's public key and nothing else.
//!
//! The hashes in `proofs.json` are folded up to a root, which must be the checkpoint's, and each line must have the hash
//! that stands at its index ([`super::walk`]): so a line that is wrong is named, and those behind it are still judged.

use super::fault::{Fault, File, Wrong};
use super::manifest::{Entry, Manifest, NoManifest, Stated, hex};
use super::walk::{Seen, Walk};
use super::{CHECKPOINT, EVENTS, PROOFS};
use crate::audit::log::checkpoint::CheckpointVerifier;
use serde::Serialize;
use std::io::{self, BufRead};

/// How many faults are told; of others it is said how many there are.
pub const MAX_FAULTS: usize = 100;

/// The files of an export.
pub struct Files<'a, E, P> {
    /// `manifest.json`.
    pub manifest: &'a [u8],
    /// `checkpoint`.
    pub checkpoint: &'a [u8],
    /// `events.ndjson`.
    pub events: E,
    /// `proofs.json`.
    pub proofs: P,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The checkpoint on which all rests: signed by the key.
    pub checkpoint: Option<Stated>,
    /// How many lines were read.
    pub lines: u64,
    /// How many bytes of lines.
    pub bytes: u64,
    /// What is wrong, as far as it is told.
    pub faults: Vec<Fault>,
    /// How many faults more there are.
    pub more_faults: u64,
    /// What the export says that it is.
    #[serde(skip)]
    pub manifest: Option<Manifest>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.faults.is_empty() && self.more_faults == 0 && self.checkpoint.is_some()
    }

    /// Adds a fault.
    pub fn add(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        } else {
            self.more_faults += 1;
        }
    }

    pub(super) fn of(&mut self, file: File, wrong: Wrong) {
        self.add(Fault::of(file.name(), wrong));
    }
}

/// Verifies an export. `seen` gets each line in turn, whatever is wrong with it.
pub fn verify<E: BufRead, P: BufRead>(
    files: Files<'_, E, P>,
    key: &CheckpointVerifier,
    seen: &mut dyn FnMut(&[u8]),
) -> io::Result<Report> {
    let mut report = Report::default();
    let manifest = match Manifest::parse(files.manifest) {
        Ok(manifest) => Some(manifest),
        Err(error) => {
            report.of(
                File::Manifest,
                match error {
                    NoManifest::NoSeal => Wrong::NoSeal,
                    NoManifest::Broken => Wrong::SealBroken,
                    NoManifest::Malformed(why) => Wrong::NoManifest(why),
                },
            );
            None
        }
    };
    let entry = |name| manifest.as_ref().and_then(|manifest| manifest.entry(name));
    compare(
        &mut report,
        entry(CHECKPOINT),
        CHECKPOINT,
        super::lines::digest(files.checkpoint)?,
    );
    let Ok(head) = key.open(files.checkpoint) else {
        let origin = key.origin().to_string();
        report.of(File::Checkpoint, Wrong::NoCheckpoint { origin });
        report.manifest = manifest;
        return Ok(report);
    };
    let stated = Stated::from(&head);
    if let Some(manifest) = &manifest
        && (manifest.checkpoint != stated
            || manifest.origin != key.origin().as_str()
            || !key.origin().is_of(&manifest.issuer, manifest.lane))
    {
        report.of(File::Manifest, Wrong::OtherCheckpoint);
    }
    report.checkpoint = Some(stated);

    let judged = report.faults.len();
    let walk = Walk::new(head, key.origin().as_str(), manifest.as_ref(), &mut report);
    let Seen {
        lines,
        events,
        proofs,
    } = walk.both(files.events, files.proofs, seen)?;
    (report.lines, report.bytes) = (lines, events.0);
    let is_listed = |name, found| entry(name).map(|entry| entry.lists(found));
    if is_listed(EVENTS, events) == Some(true) && is_listed(PROOFS, proofs) == Some(false) {
        // What nodes that were changed say of lines and manifest is not so.
        let walked = report.faults.split_off(judged);
        let of_nodes = walked.into_iter().filter(|fault| fault.file == PROOFS);
        report.faults.extend(of_nodes);
    }
    compare(&mut report, entry(EVENTS), EVENTS, events);
    compare(&mut report, entry(PROOFS), PROOFS, proofs);
    report.manifest = manifest;
    Ok(report)
}

/// Whether a file is the one that the manifest lists.
pub fn compare(report: &mut Report, entry: Option<&Entry>, name: &str, found: (u64, [u8; 32])) {
    let Some(entry) = entry else { return };
    let (bytes, digest) = found;
    if bytes != entry.bytes {
        let stated = entry.bytes;
        report.add(Fault::of(
            name,
            Wrong::Length {
                stated,
                found: bytes,
            },
        ));
    } else if hex(&digest) != entry.sha256 {
        report.add(Fault::of(name, Wrong::Digest));
    }
}
