//! The log taken away: written as an export by what the command line uses, verified as it verifies, and by the command line itself
//! over HTTP.

use super::events::Gateways;
use super::{failed, scratch};
use crate::Options;
use crate::report::Report;
use crate::statistics::median;
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{Entry, Kind, Manifest, Range, Stated};
use portcullis_core::audit::export::verify::{Files, verify};
use portcullis_core::audit::export::write::Writer;
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, PROOFS, VERSION};
use portcullis_core::audit::line::{Position, render};
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::{Hash, Head, TILE_WIDTH, bundle, leaf_hash};
use portcullis_core::time::UnixMillis;
use portcullis_e2e::{Failure, Result};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many lines are exported: about 110 MB.
const LINES: u64 = 200_000;
const ISSUER: &str = "https://id.example";

/// A log as it lies in an archive: bundles, and the hashes of their lines.
struct Archived {
    bundles: Vec<Vec<u8>>,
    hashes: Vec<Hash>,
    head: Head,
    bytes: u64,
}

/// Measures on one core, and reports.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub fn measure(options: &Options, report: &mut Report) -> Result {
    let archived = archived()?;
    let origin = Origin::of_lane(ISSUER, 0).ok_or_else(|| Failure::new("no origin"))?;
    let signer = CheckpointSigner::from_seed(origin, [7; 32]);
    let directory = scratch("export")?;
    let (mut written, mut verified) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let begun = Instant::now();
        let manifest = write(&archived, &signer, &directory)?;
        written.push(archived.bytes as f64 / 1e6 / begun.elapsed().as_secs_f64());
        let took = verify_all(&manifest, &archived, &signer, &directory)?;
        verified.push(LINES as f64 / took.as_secs_f64());
    }
    fs::remove_dir_all(&directory)?;
    report.at_least(
        "export_mb_per_s",
        median(&written),
        "MB/s",
        50.0,
        "bundles to an export: each line hashed and compared, written, and digested for the manifest",
    );
    report.at_least(
        "verify_leaves_per_s",
        median(&verified),
        "1/s",
        500_000.0,
        "lines of an export verified offline, on one core",
    );
    Ok(())
}

fn archived() -> Result<Archived> {
    let mut gateways = Gateways::new(4);
    let mut archived = Archived {
        bundles: Vec::new(),
        hashes: Vec::new(),
        head: Edge::empty().head(),
        bytes: 0,
    };
    let (mut edge, mut lines, mut index) = (Edge::empty(), Vec::new(), 0);
    while index < LINES {
        let pack = gateways.pack(|number| UnixMillis(1_790_000_000_000 + number));
        for (sequence, event) in (pack.first_sequence..).zip(&pack.events) {
            let position = Position {
                index,
                lane: 0,
                producer: pack.producer,
                sequence,
                received: event.occurred,
                committed: event.occurred,
            };
            let line = render(event, None, None, &position).map_err(failed)?;
            let leaf = leaf_hash(line.as_bytes());
            edge.append(leaf, &mut Vec::new());
            archived.hashes.push(leaf);
            archived.bytes += line.len() as u64 + 1;
            lines.push(line);
            index += 1;
            if index % TILE_WIDTH == 0 || index == LINES {
                let entries = lines.iter().map(String::as_bytes);
                let encoded = bundle::encode(entries);
                archived
                    .bundles
                    .push(encoded.ok_or_else(|| Failure::new("a long line"))?);
                lines.clear();
            }
        }
    }
    archived.head = edge.head();
    Ok(archived)
}

fn write(archived: &Archived, signer: &CheckpointSigner, directory: &Path) -> Result<String> {
    let to = |name: &str| File::create(directory.join(name)).map(BufWriter::new);
    let origin = signer.verifier().origin().to_string();
    let mut writer = Writer::begin(to(EVENTS)?, to(PROOFS)?, &origin, LINES)?;
    let mut hashes = archived.hashes.iter();
    for bundle in &archived.bundles {
        let entries = bundle::decode(bundle);
        for entry in entries.ok_or_else(|| Failure::new("no bundle"))? {
            if hashes.next() != Some(&leaf_hash(entry)) {
                return Err(Failure::new("a line is not the tree's"));
            }
            writer.line(entry).map_err(failed)?;
        }
    }
    let (done, ..) = writer.finish(&archived.head).map_err(failed)?;
    fs::write(
        directory.join(CHECKPOINT),
        signer.sign(&archived.head).map_err(failed)?,
    )?;
    let entry = |name: &str| -> Result<Entry> {
        let file = BufReader::with_capacity(1 << 16, File::open(directory.join(name))?);
        Ok(Entry::new(name, digest(file)?))
    };
    let manifest = Manifest {
        version: VERSION,
        issuer: ISSUER.to_owned(),
        lane: 0,
        origin,
        kind: Kind::Whole,
        scanned: vec![Range {
            first: 0,
            end: LINES,
        }],
        filter: None,
        lines: done.lines,
        first_index: done.first_index,
        last_index: done.last_index,
        exported_at: UnixMillis(0).to_rfc3339(),
        requested_by: None,
        checkpoint: Stated::from(&archived.head),
        files: vec![entry(EVENTS)?, entry(CHECKPOINT)?, entry(PROOFS)?],
    };
    manifest.render().map_err(failed)
}

fn verify_all(
    manifest: &str,
    archived: &Archived,
    signer: &CheckpointSigner,
    directory: &Path,
) -> Result<Duration> {
    let begun = Instant::now();
    let open = |name: &str| File::open(directory.join(name));
    let files = Files {
        manifest: manifest.as_bytes(),
        checkpoint: &fs::read(directory.join(CHECKPOINT))?,
        events: BufReader::with_capacity(1 << 18, open(EVENTS)?),
        proofs: BufReader::with_capacity(1 << 16, open(PROOFS)?),
    };
    let report = verify(files, signer.verifier(), &mut |_| {})?;
    let took = begun.elapsed();
    if report.is_good() && report.lines == LINES && report.bytes == archived.bytes {
        return Ok(took);
    }
    Err(Failure::new(format!("the export is not good: {report:?}")))
}
