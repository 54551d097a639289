//! Every byte of every file of an export, changed in turn: each change is found, and told with its file and its place.

use super::verified;
use crate::commands::audit::partial::Folder;
use crate::commands::audit::views::{self, Format};
use crate::output::Output;
use portcullis_core::audit::event::{Action, Actor, Event, Outcome};
use portcullis_core::audit::export::fault::Fault;
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{self, Entry, Kind, Manifest, Stated};
use portcullis_core::audit::export::write::Writer;
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, MANIFEST, PROOFS, VERSION};
use portcullis_core::audit::line::{Position, render};
use portcullis_core::audit::log::checkpoint::{CheckpointSigner, Origin};
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::leaf_hash;
use portcullis_core::id::ProducerId;
use portcullis_core::time::UnixMillis;
use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;

/// The lines of the log, and those of them that are exported: so that there are subtrees before and behind.
const LOG: u64 = 20;
const EXPORTED: Range<u64> = 5..17;
/// As many as there are kinds of lines here: of OCSF they are long, and the work grows with the square.
const AS_OCSF: Range<u64> = 5..8;

/// An export in a folder that is gone when this is dropped.
struct Export {
    dir: PathBuf,
    signer: CheckpointSigner,
}

impl Drop for Export {
    fn drop(&mut self) {
        // Nobody is left to tell.
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn line(index: u64) -> String {
    let (action, actor) = match index % 3 {
        0 => (Action::Kill, Actor::Operator("admin".to_owned())),
        1 => (Action::Login, Actor::Connection("okta".to_owned())),
        _ => (Action::AuditRead, Actor::Anonymous),
    };
    let at = UnixMillis(1000 * index);
    let position = Position {
        index,
        lane: 0,
        producer: ProducerId::from_bytes([3; 16]),
        sequence: index,
        received: at,
        committed: at,
    };
    render(
        &Event::new(at, action, Outcome::Success, actor),
        None,
        None,
        &position,
    )
    .expect("renders")
}

impl Export {
    /// Whole, with a file of that format.
    fn make(name: &str, format: Format) -> Self {
        let exported = if format == Format::Ocsf {
            AS_OCSF
        } else {
            EXPORTED
        };
        let dir = format!("portcullis-verify-{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(dir);
        let folder = Folder::make(&dir).expect("a folder");
        let origin = Origin::of_lane("https://id.example", 0).expect("an origin");
        let signer = CheckpointSigner::from_seed(origin.clone(), [7; 32]);
        let to = |name: &str| File::create(dir.join(name)).expect("a file");
        let origin = origin.to_string();
        let mut writer = Writer::begin(to(EVENTS), to(PROOFS), &origin, LOG).expect("begins");
        let mut edge = Edge::empty();
        for index in 0..LOG {
            let line = line(index);
            let leaf = leaf_hash(line.as_bytes());
            edge.append(leaf, &mut Vec::new());
            let written = if exported.contains(&index) {
                writer.line(line.as_bytes())
            } else {
                writer.others(0, leaf)
            };
            written.expect("fits");
        }
        let head = edge.head();
        let (done, ..) = writer.finish(&head).expect("the tree's leaves");
        let note = signer.sign(&head).expect("signs");
        fs::write(dir.join(CHECKPOINT), note).expect("writes");
        let view = views::write(&folder, format).expect("writes");
        let entry = |name: &str| {
            let file = fs::read(dir.join(name)).expect("a file");
            Entry::new(name, digest(&*file).expect("reads"))
        };
        let names = [EVENTS, CHECKPOINT, PROOFS].into_iter().chain(view);
        let manifest = Manifest {
            version: VERSION,
            issuer: "https://id.example".to_owned(),
            lane: 0,
            origin,
            kind: Kind::Whole,
            scanned: vec![manifest::Range {
                first: exported.start,
                end: exported.end,
            }],
            filter: None,
            lines: done.lines,
            first_index: done.first_index,
            last_index: done.last_index,
            exported_at: UnixMillis(5000).to_rfc3339(),
            requested_by: None,
            checkpoint: Stated::from(&head),
            files: names.map(entry).collect(),
        };
        fs::write(dir.join(MANIFEST), manifest.render().expect("renders")).expect("writes");
        Self { dir, signer }
    }

    /// As the command does.
    fn faults(&self) -> Vec<Fault> {
        let output = Output { json: true };
        let report = verified(&self.dir, self.signer.verifier(), output);
        let (report, _) = report.unwrap_or_else(|failure| panic!("{failure:?}"));
        assert_eq!(report.is_good(), report.faults.is_empty());
        report.faults
    }
}

/// Which line of a file a byte is in, from 1, and where that line begins. A line feed is of the line that it ends.
fn place(file: &[u8], at: usize) -> (u64, u64) {
    let before = &file[..at];
    let line = before.split(|byte| *byte == b'\n').count();
    let begins = before.iter().rposition(|byte| *byte == b'\n');
    (line as u64, begins.map_or(0, |feed| feed as u64 + 1))
}

/// Changes each byte of that file to each of two others. How many changes there were, and all were found.
fn every_byte_of(export: &Export, name: &str) -> u64 {
    let path = export.dir.join(name);
    let good = fs::read(&path).expect("a file");
    let mut changes = 0;
    for at in 0..good.len() {
        // One bit; and what makes two lines of one, or one of two.
        let other = if good[at] == b'\n' { b' ' } else { b'\n' };
        for byte in [good[at] ^ 1, other] {
            let mut bent = good.clone();
            bent[at] = byte;
            fs::write(&path, &bent).expect("writes");
            let faults = export.faults();
            let (line, begins) = place(&good, at);
            let is_told = |fault: &Fault| match name {
                // These are one thing each, and so is what only a digest is of.
                MANIFEST | CHECKPOINT | "events.parquet" => fault.file == name,
                // The root of others' lines is wrong if no root comes of it: which of several is, nobody can know.
                PROOFS if good[usize::try_from(begins).expect("small")] == b'[' => {
                    fault.file == name
                }
                // Without its comma a line is the last, and what follows is one too many.
                PROOFS if good[at] == b',' && fault.byte == Some(at as u64 + 1) => {
                    fault.file == name
                }
                _ => {
                    let found = (fault.file.as_str(), fault.line, fault.byte);
                    found == (name, Some(line), Some(begins))
                }
            };
            assert!(
                faults.iter().any(is_told),
                "{name}: byte {at}, line {line} from byte {begins} on, is {byte} and not {}: {faults:?}",
                good[at]
            );
            changes += 1;
        }
    }
    fs::write(&path, &good).expect("writes");
    assert_eq!(export.faults(), []);
    changes
}

fn expect_every_change_found(name: &str, format: Format, files: &[&str]) {
    let export = Export::make(name, format);
    assert_eq!(export.faults(), []);
    let changes: u64 = files.iter().map(|file| every_byte_of(&export, file)).sum();
    println!("{changes} changes, each found");
    assert!(changes > 1000);
}

#[test]
fn every_byte_of_lines_and_of_what_proves_them_is_found_when_it_changes() {
    let files = [EVENTS, CHECKPOINT, PROOFS, MANIFEST];
    expect_every_change_found("lines", Format::Ndjson, &files);
}

#[test]
fn every_byte_of_the_csv_is_found_when_it_changes() {
    expect_every_change_found("csv", Format::Csv, &["events.csv", MANIFEST]);
}

#[test]
fn every_byte_of_the_ocsf_events_is_found_when_it_changes() {
    expect_every_change_found("ocsf", Format::Ocsf, &["events.ocsf.ndjson"]);
}

#[test]
fn every_byte_of_the_parquet_is_found_when_it_changes() {
    expect_every_change_found("parquet", Format::Parquet, &["events.parquet"]);
}
