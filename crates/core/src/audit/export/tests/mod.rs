//! Exports of a made-up log, whole and bent in every way.

mod properties;

use super::fault::{Fault, Wrong};
use super::manifest::{Entry, Kind, Manifest, Range, Stated, Wanted};
use super::verify::{Files, Report, verify};
use super::write::{Done, State, Writer, subtrees};
use super::{CHECKPOINT, EVENTS, MANIFEST, PROOFS, VERSION, lines};
use crate::audit::event::{Action, Actor, Event, Outcome};
use crate::audit::line::{Line, Position, render};
use crate::audit::log::checkpoint::{CheckpointSigner, Origin};
use crate::audit::log::edge::Edge;
use crate::audit::log::{Hash, Head, leaf_hash};
use crate::id::ProducerId;
use crate::time::UnixMillis;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use std::io::BufReader;
use std::ops::Range as Span;

const ISSUER: &str = "https://id.example";

fn signer() -> CheckpointSigner {
    let origin = Origin::of_lane(ISSUER, 0).expect("an origin");
    CheckpointSigner::from_seed(origin, [7; 32])
}

/// A log in which every third line is a kill.
fn log(size: u64) -> Vec<String> {
    let line = |index: u64| {
        let action = if index.is_multiple_of(3) {
            Action::Kill
        } else {
            Action::Login
        };
        let at = UnixMillis(1000 * index);
        let event = Event::new(at, action, Outcome::Success, Actor::Anonymous);
        let position = Position {
            index,
            lane: 0,
            producer: ProducerId::from_bytes([3; 16]),
            sequence: index,
            received: at,
            committed: at,
        };
        render(&event, None, None, &position).expect("renders")
    };
    (0..size).map(line).collect()
}

/// The root of the complete subtree over these leaves.
fn root(leaves: &[String]) -> Head {
    let mut edge = Edge::empty();
    for leaf in leaves {
        edge.append(leaf_hash(leaf.as_bytes()), &mut Vec::new());
    }
    edge.head()
}

#[derive(Clone, Debug, PartialEq)]
struct Folder {
    manifest: Vec<u8>,
    checkpoint: Vec<u8>,
    events: Vec<u8>,
    proofs: Vec<u8>,
}

impl Folder {
    fn file(&mut self, name: &str) -> &mut Vec<u8> {
        match name {
            MANIFEST => &mut self.manifest,
            CHECKPOINT => &mut self.checkpoint,
            EVENTS => &mut self.events,
            PROOFS => &mut self.proofs,
            other => panic!("{other}"),
        }
    }

    fn verify(&self) -> Report {
        let files = Files {
            manifest: &self.manifest,
            checkpoint: &self.checkpoint,
            // Small pieces, so that lines go over their edges.
            events: BufReader::with_capacity(7, &*self.events),
            proofs: BufReader::with_capacity(11, &*self.proofs),
        };
        verify(files, signer().verifier(), &mut |_| ()).expect("reads from memory")
    }

    /// Makes the manifest true of the other files, as somebody would who wants to deceive.
    fn seal(&mut self) {
        let mut manifest = Manifest::parse(&self.manifest).expect("a manifest");
        manifest.files = self.entries();
        self.manifest = manifest.render().expect("renders").into_bytes();
    }

    fn entries(&self) -> Vec<Entry> {
        let files = [
            (EVENTS, &self.events),
            (CHECKPOINT, &self.checkpoint),
            (PROOFS, &self.proofs),
        ];
        let entry = |(name, file): (&str, &Vec<u8>)| {
            Entry::new(name, lines::digest(&**file).expect("reads from memory"))
        };
        files.into_iter().map(entry).collect()
    }

    fn faults(&self) -> Vec<String> {
        self.verify()
            .faults
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn edit_lines(&mut self, edit: impl FnOnce(&mut Vec<String>)) {
        let text = String::from_utf8(self.events.clone()).expect("text");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        edit(&mut lines);
        self.events = lines
            .iter()
            .flat_map(|line| [line.as_bytes(), b"\n"].concat())
            .collect();
    }
}

/// Makes an export, interrupted and resumed at each index that `stops` says.
fn export_with(
    log: &[String],
    scan: Span<usize>,
    wanted: Option<Wanted>,
    stops: impl Fn(u64) -> bool,
) -> Folder {
    let (signer, head) = (signer(), root(log));
    let size = head.size;
    let filter = wanted
        .as_ref()
        .map(|wanted| wanted.filter().expect("a filter"));
    let (first, end) = (scan.start as u64, scan.end as u64);
    let writer = Writer::begin(Vec::new(), Vec::new(), "id.example/audit/lane/0", size);
    let mut writer = writer.expect("writes to memory");
    let outside = |writer: &mut Writer<Vec<u8>, Vec<u8>>, first: u64, end: u64| {
        for (height, number) in subtrees(first, end) {
            let from = usize::try_from(number << height).expect("small");
            let leaves = &log[from..from + (1 << height)];
            writer.others(height, root(leaves).root).expect("fits");
        }
    };
    outside(&mut writer, 0, first);
    for line in &log[scan] {
        let read = Line::parse(line).expect("a line");
        if filter.as_ref().is_none_or(|filter| filter.matches(&read)) {
            writer.line(line.as_bytes()).expect("fits");
        } else {
            writer.others(0, leaf_hash(line.as_bytes())).expect("fits");
        }
        if stops(writer.state().size()) {
            let stored = writer.state().to_stored();
            let state = State::from_stored(&stored).expect("a state");
            let (events, proofs) = writer.into_inner();
            assert_eq!(events.len() as u64, state.done.events_bytes);
            assert_eq!(proofs.len() as u64, state.done.proofs_bytes);
            writer = Writer::resume(events, proofs, state);
        }
    }
    outside(&mut writer, end, size);
    let (done, events, proofs) = writer.finish(&head).expect("the tree's leaves");
    let Done {
        lines,
        first_index,
        last_index,
        ..
    } = done;
    let checkpoint = signer.sign(&head).expect("signs");
    let mut folder = Folder {
        manifest: Vec::new(),
        checkpoint,
        events,
        proofs,
    };
    let manifest = Manifest {
        version: VERSION,
        issuer: ISSUER.to_owned(),
        lane: 0,
        origin: signer.verifier().origin().to_string(),
        kind: if wanted.is_some() {
            Kind::Filtered
        } else {
            Kind::Whole
        },
        scanned: vec![Range { first, end }],
        filter: wanted,
        lines,
        first_index,
        last_index,
        exported_at: UnixMillis(5000).to_rfc3339(),
        requested_by: Some("an auditor".to_owned()),
        checkpoint: Stated::from(&head),
        files: folder.entries(),
    };
    folder.manifest = manifest.render().expect("renders").into_bytes();
    folder
}

fn export(log: &[String], scan: Span<usize>, wanted: Option<Wanted>) -> Folder {
    export_with(log, scan, wanted, |_| false)
}

#[test]
fn of_a_node_that_was_changed_nothing_is_said_that_lines_have_to_answer_for() {
    let mut folder = export(&log(40), 32..34, None);
    // A subtree of 32 leaves is told to be one of two: the next node is a line's, and seems to be that of index 2.
    let proofs = String::from_utf8(folder.proofs.clone()).expect("text");
    folder.proofs = proofs.replacen("\n[5,", "\n[1,", 1).into_bytes();
    assert_ne!(folder.proofs, proofs.as_bytes());
    let files = folder.verify().faults;
    assert!(files.iter().all(|fault| fault.file == PROOFS), "{files:?}");
    assert!(files.iter().any(|fault| fault.message == Wrong::Digest));
}

fn kills() -> Wanted {
    let action = Some("kill".to_owned());
    Wanted {
        action,
        ..Wanted::default()
    }
}

#[test]
fn golden_proofs_of_a_part_of_a_small_log() {
    let log = log(6);
    let folder = export(&log, 2..4, None);
    let hash = |at: usize| leaf_hash(log[at].as_bytes()).to_string();
    let expected = format!(
        "{{\"version\":1,\"origin\":\"id.example/audit/lane/0\",\"size\":6,\"nodes\":[\n[1,\"{}\"],\n\"{}\",\n\"{}\",\n\
         [1,\"{}\"]\n]}}\n",
        root(&log[..2]).root,
        hash(2),
        hash(3),
        root(&log[4..]).root,
    );
    assert_eq!(
        String::from_utf8(folder.proofs.clone()).expect("text"),
        expected
    );
    let proofs: serde_json::Value = serde_json::from_slice(&folder.proofs).expect("JSON");
    assert_eq!(proofs["nodes"].as_array().map(Vec::len), Some(4));
    assert_eq!(
        folder.events,
        format!("{}\n{}\n", log[2], log[3]).into_bytes()
    );
}

#[test]
fn golden_manifest() {
    let folder = export(&log(6), 2..4, Some(kills()));
    let text = String::from_utf8(folder.manifest).expect("text");
    let (sealed, seal) = text
        .split_once(",\n  \"sha256\": \"")
        .map(|(_, _)| text.split_at(text.len() - 83))
        .expect("a seal");
    assert_eq!(seal.len(), 83);
    assert!(
        sealed.starts_with(
            "{\n  \"version\": 1,\n  \"issuer\": \"https://id.example\",\n  \"lane\": 0,"
        ),
        "{sealed}"
    );
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["kind"], "filtered");
    assert_eq!(
        value["scanned"],
        serde_json::json!([{"first": 2, "end": 4}])
    );
    assert_eq!(value["filter"], serde_json::json!({"action": "kill"}));
    assert_eq!(
        (&value["lines"], &value["first_index"]),
        (&1.into(), &3.into())
    );
    let digest = lines::digest(sealed.as_bytes())
        .expect("reads from memory")
        .1;
    assert_eq!(value["sha256"], super::manifest::hex(&digest));
}

#[test]
fn nothing_can_be_exported_too() {
    let empty = export(&[], 0..0, None);
    assert_eq!(empty.faults(), [""; 0]);
    assert!(empty.verify().is_good());
    assert!(export(&log(5), 2..2, None).verify().is_good());
    assert!(export(&log(5), 1..3, Some(kills())).verify().is_good());
}

#[test]
fn what_is_not_signed_by_the_key_is_believed_in_nothing() {
    let mut folder = export(&log(5), 0..5, None);
    let other = CheckpointSigner::from_seed(signer().verifier().origin().clone(), [8; 32]);
    folder.checkpoint = other.sign(&root(&log(5))).expect("signs");
    folder.seal();
    let report = folder.verify();
    assert_eq!(report.checkpoint, None);
    let origin = "id.example/audit/lane/0".to_owned();
    assert_eq!(
        report.faults,
        [Fault::of(CHECKPOINT, Wrong::NoCheckpoint { origin })]
    );
}

#[test]
fn the_report_names_the_line_its_index_and_its_byte() {
    let mut folder = export(&log(20), 3..17, None);
    folder.edit_lines(|lines| lines[5] = lines[5].replace("anonymous", "anonymouS"));
    folder.seal();
    let byte: usize = log(20)[3..8].iter().map(|line| line.len() + 1).sum();
    let expected =
        format!("events.ndjson:6 (index 8, byte {byte}): the line is not the one that the log has");
    assert_eq!(folder.faults(), [expected]);
}

#[test]
fn a_line_that_is_gone_added_twice_or_elsewhere_is_named() {
    let whole = export(&log(20), 3..17, None);
    let after = |edit: &dyn Fn(&mut Vec<String>)| {
        let mut folder = whole.clone();
        folder.edit_lines(|lines| edit(lines));
        folder.seal();
        let faults = folder.verify().faults;
        let short = |fault: Fault| (fault.line, fault.index, fault.message);
        faults.into_iter().map(short).collect::<Vec<_>>()
    };
    let gone = after(&|lines| drop(lines.remove(4)));
    assert_eq!(gone, [(Some(5), Some(7), Wrong::Missing { found: 8 })]);
    let several = after(&|lines| drop(lines.drain(4..7)));
    assert_eq!(several, [(Some(5), Some(7), Wrong::Missing { found: 10 })]);
    let at_the_end = after(&|lines| lines.truncate(12));
    assert_eq!(at_the_end, [(Some(13), None, Wrong::Ended { missing: 2 })]);
    let twice = after(&|lines| lines.insert(4, lines[3].clone()));
    assert_eq!(twice, [(Some(5), Some(6), Wrong::Extra)]);
    let added = after(&|lines| lines.insert(4, "{}".to_owned()));
    assert_eq!(added, [(Some(5), None, Wrong::Extra)]);
    let behind = after(&|lines| lines.push(log(20)[17].clone()));
    assert_eq!(behind, [(Some(15), Some(17), Wrong::Extra)]);
    let swapped = after(&|lines| lines.swap(4, 5));
    let changed = |says| Wrong::Changed { says: Some(says) };
    assert_eq!(
        swapped,
        [
            (Some(5), Some(7), changed(8)),
            (Some(6), Some(8), changed(7))
        ]
    );
    let renumbered = after(&|lines| lines[4] = lines[4].replace("\"index\":7", "\"index\":9"));
    assert_eq!(renumbered, [(Some(5), Some(7), changed(9))]);
}

#[test]
fn a_hash_that_was_changed_is_told_from_a_line_that_was() {
    let log = log(20);
    let mut folder = export(&log, 3..17, None);
    let text = String::from_utf8(folder.proofs.clone()).expect("text");
    let of_line = |at: usize| leaf_hash(log[at].as_bytes()).to_string();
    folder.proofs = text.replace(&of_line(8), &of_line(9)).into_bytes();
    folder.seal();
    let faults = folder.verify().faults;
    assert_eq!(
        (faults.len(), &faults[0].message),
        (1, &Wrong::OtherNode),
        "{faults:?}"
    );
    // Two roots on the left, and lines from 3 on.
    assert_eq!(
        (faults[0].file.as_str(), faults[0].line),
        (PROOFS, Some(1 + 2 + 6))
    );
    folder.proofs = text
        .replace(&root(&log[..2]).root.to_string(), &of_line(9))
        .into_bytes();
    folder.seal();
    assert_eq!(
        folder.verify().faults,
        [Fault::of(PROOFS, Wrong::OtherRoot)]
    );
}

#[test]
fn a_whole_range_with_a_hole_is_not_whole() {
    // Somebody leaves out line 7 and shows a proof that is right for all others.
    let log = log(20);
    let mut folder = export(&log, 3..17, None);
    folder.edit_lines(|lines| drop(lines.remove(4)));
    let leaf = leaf_hash(log[7].as_bytes());
    let text = String::from_utf8(folder.proofs.clone()).expect("text");
    folder.proofs = text
        .replace(&format!("\"{leaf}\""), &format!("[0,\"{leaf}\"]"))
        .into_bytes();
    let mut manifest = Manifest::parse(&folder.manifest).expect("a manifest");
    manifest.lines -= 1;
    folder.manifest = manifest.render().expect("renders").into_bytes();
    folder.seal();
    let hole = Wrong::Incomplete { first: 7, end: 8 };
    assert_eq!(folder.verify().faults, [Fault::of(MANIFEST, hole)]);
}

#[test]
fn a_range_that_claims_to_be_longer_than_it_is_is_not_whole() {
    let folder = export(&log(20), 3..17, None);
    for range in [
        Range { first: 2, end: 17 },
        Range { first: 3, end: 18 },
        Range { first: 5, end: 5 },
    ] {
        let mut folder = folder.clone();
        let mut manifest = Manifest::parse(&folder.manifest).expect("a manifest");
        manifest.scanned = vec![range];
        folder.manifest = manifest.render().expect("renders").into_bytes();
        assert!(!folder.verify().is_good(), "{range:?}");
    }
}

#[test]
fn a_line_that_the_filter_does_not_want_or_that_was_not_scanned_is_named() {
    let folder = export(&log(20), 3..17, Some(kills()));
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut folder = folder.clone();
        let mut manifest = Manifest::parse(&folder.manifest).expect("a manifest");
        change(&mut manifest);
        folder.manifest = manifest.render().expect("renders").into_bytes();
        folder.verify().faults
    };
    let faults = with(&|manifest| {
        manifest.filter = Some(Wanted {
            action: Some("session.login".to_owned()),
            ..Wanted::default()
        });
    });
    assert_eq!(faults.len(), 5);
    assert!(
        faults.iter().all(|fault| fault.message == Wrong::Unwanted),
        "{faults:?}"
    );
    let faults = with(&|manifest| manifest.scanned = vec![Range { first: 4, end: 17 }]);
    assert_eq!((faults.len(), &faults[0].message), (1, &Wrong::Unscanned));
}

#[test]
fn a_single_line_has_the_hashes_of_its_rfc_6962_audit_path() {
    // The path as another implementation makes it: from the leaf upwards, and what is to the right of the tree's
    // complete subtrees as one hash.
    for (size, index) in [(1u64, 0u64), (7, 3), (8, 7), (13, 12), (100, 61)] {
        let log = log(size);
        let mut tree = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        for line in &log {
            tree.push(line.clone().into_bytes());
        }
        assert_eq!(tree.root().as_bytes().as_slice(), root(&log).root.0);
        let at = usize::try_from(index).expect("small");
        let path = tree.prove_inclusion(at);
        let wanted = Wanted {
            occurred_from: Some(UnixMillis(1000 * index).to_rfc3339()),
            occurred_to: Some(UnixMillis(1000 * index + 1).to_rfc3339()),
            ..Wanted::default()
        };
        let folder = export(&log, 0..log.len(), Some(wanted));
        assert!(folder.verify().is_good());
        let proofs: serde_json::Value = serde_json::from_slice(&folder.proofs).expect("JSON");
        let nodes = proofs["nodes"].as_array().expect("nodes");
        let own = nodes
            .iter()
            .position(serde_json::Value::is_string)
            .expect("the line");
        let hash = |node: &serde_json::Value| {
            Hash::parse_hash(node[1].as_str().expect("a hash")).expect("a hash")
        };
        let path: Vec<Hash> = path
            .as_bytes()
            .chunks(32)
            .map(|hash| Hash(hash.try_into().expect("32")))
            .collect();
        for node in &nodes[..own] {
            assert!(path.contains(&hash(node)), "left of {index} in {size}");
        }
        // To the right, the last of the path may be made of several.
        let right: Vec<Hash> = nodes[own + 1..].iter().map(hash).collect();
        let alike = right.iter().filter(|hash| path.contains(hash)).count();
        assert!(
            own + alike == path.len() || own + alike + 1 == path.len(),
            "{index} in {size}"
        );
    }
}
