//! What holds of every export, and of every way to bend it.

use super::*;
use crate::audit::export::make::{Maker, Parts};
use crate::audit::export::view::Format;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn any_export() -> impl Strategy<Value = (Vec<String>, Span<usize>, Option<Wanted>)> {
    (
        1u64..90,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        any::<bool>(),
    )
        .prop_map(|(size, a, b, filtered)| {
            let log = log(size);
            let (a, b) = (a.index(log.len() + 1), b.index(log.len() + 1));
            (log, a.min(b)..a.max(b), filtered.then(kills))
        })
}

proptest! {
    // Each case verifies several exports, unoptimised.
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_exported_verifies_and_rests_on_the_checkpoint((log, scan, wanted) in any_export()) {
        let folder = export(&log, scan.clone(), wanted.clone());
        let report = folder.verify();
        prop_assert_eq!(folder.faults(), Vec::<String>::new());
        prop_assert!(report.is_good());
        prop_assert_eq!(report.checkpoint, Some(Stated::from(&root(&log))));
        if wanted.is_none() {
            prop_assert_eq!(report.lines, scan.len() as u64);
        }
    }

    #[test]
    fn an_export_that_was_interrupted_anywhere_is_the_same((log, scan, wanted) in any_export(), every in 1u64..9) {
        let at_once = export(&log, scan.clone(), wanted.clone());
        let in_parts = export_with(&log, scan, wanted, |size| size.is_multiple_of(every));
        prop_assert_eq!(at_once, in_parts);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found((log, scan, wanted) in any_export(), at: prop::sample::Index, bit in 0u8..8) {
        let folder = export(&log, scan, wanted);
        for name in [MANIFEST, CHECKPOINT, EVENTS, PROOFS] {
            let mut bent = folder.clone();
            let file = bent.file(name);
            if file.is_empty() {
                continue;
            }
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            let report = bent.verify();
            prop_assert!(!report.is_good(), "{} {}", name, at);
            prop_assert!(report.faults.iter().all(|fault| fault.file == name || name == CHECKPOINT), "{:?}", report.faults);
        }
    }

    #[test]
    fn a_flipped_bit_is_found_though_the_manifest_was_made_to_agree(
        (log, scan, wanted) in any_export(), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let folder = export(&log, scan, wanted);
        for name in [CHECKPOINT, EVENTS, PROOFS] {
            let mut bent = folder.clone();
            let file = bent.file(name);
            if file.is_empty() {
                continue;
            }
            let at = at.index(file.len());
            file[at] ^= 1 << bit;
            bent.seal();
            prop_assert!(!bent.verify().is_good(), "{} {}", name, at);
        }
    }

    #[test]
    fn lines_dropped_added_swapped_or_cut_are_found(
        (log, scan, wanted) in any_export(), a: prop::sample::Index, b: prop::sample::Index, how in 0u8..5,
    ) {
        let folder = export(&log, scan, wanted);
        let mut bent = folder.clone();
        let cut = a.index(bent.events.len() + 1);
        if how == 4 {
            bent.events.truncate(cut);
        } else {
            bent.edit_lines(|lines| {
                if lines.is_empty() {
                    return;
                }
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                match how {
                    0 => drop(lines.remove(a)),
                    1 => lines.insert(a, lines[b].clone()),
                    2 => lines.swap(a, b),
                    _ => lines.truncate(a),
                }
            });
        }
        let same = bent.events == folder.events;
        bent.seal();
        let report = bent.verify();
        prop_assert_eq!(report.is_good(), same, "{:?}", report.faults);
    }

    #[test]
    fn anything_at_all_in_place_of_the_files_is_no_export(manifest: Vec<u8>, checkpoint: Vec<u8>, events: Vec<u8>, proofs: Vec<u8>) {
        let good = export(&log(9), 2..7, None);
        for name in [MANIFEST, CHECKPOINT, EVENTS, PROOFS] {
            let mut bent = good.clone();
            *bent.file(name) = match name {
                MANIFEST => manifest.clone(),
                CHECKPOINT => checkpoint.clone(),
                EVENTS => events.clone(),
                _ => proofs.clone(),
            };
            prop_assert!(!bent.verify().is_good());
        }
    }

    #[test]
    fn subtrees_cover_a_range_once_and_are_few(first in 0u64..5000, length in 0u64..5000) {
        let end = first + length;
        let mut at = first;
        let mut count = 0;
        for (height, number) in subtrees(first, end) {
            prop_assert_eq!(number << height, at);
            at += 1 << height;
            count += 1;
        }
        prop_assert_eq!(at, end);
        prop_assert!(count <= 26);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn files_that_are_made_in_slices_are_the_same_and_so_are_their_digests(
        (log, scan, wanted) in any_export(), every in 1usize..9, format in 0usize..3,
    ) {
        let folder = export(&log, scan.clone(), wanted.clone());
        let (format, head) = (Format::ALL[format], root(&log));
        let filter = wanted.as_ref().map(|wanted| wanted.filter().expect("a filter"));
        let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        let mut keep = |parts: Parts| for (name, bytes) in parts {
            assert!(!bytes.is_empty());
            files.entry(name).or_default().extend(bytes);
        };
        let mut maker = Maker::begin(format, "id.example/audit/lane/0", head.size).expect("begins");
        let others = |maker: &mut Maker, end: u64| for (height, number) in subtrees(maker.size(), end) {
            let from = usize::try_from(number << height).expect("small");
            maker.others(height, root(&log[from..from + (1 << height)]).root).expect("fits");
        };
        others(&mut maker, scan.start as u64);
        for lines in log[scan.clone()].chunks(every) {
            let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
            maker.lines(text.as_bytes(), filter.as_ref()).expect("lines");
            keep(maker.take());
            prop_assert_eq!(maker.waiting(), 0);
            let stored = crate::wire::encode(&maker.unfinished()).expect("encodes");
            let unfinished = crate::wire::decode(&stored).expect("decodes");
            maker = Maker::resume(format, &unfinished).expect("resumes");
        }
        others(&mut maker, head.size);
        let (done, parts, entries) = maker.finish(&head).expect("the tree");
        keep(parts);
        let empty = Vec::new();
        prop_assert_eq!(files.get(EVENTS).unwrap_or(&empty), &folder.events);
        prop_assert_eq!(&files[PROOFS], &folder.proofs);
        prop_assert_eq!(done.events_bytes, folder.events.len() as u64);
        for entry in &entries {
            let file = files.get(entry.name.as_str()).unwrap_or(&empty);
            prop_assert_eq!(entry, &Entry::new(&entry.name, lines::digest(&**file).expect("reads")));
        }
        prop_assert_eq!(entries.len(), 2 + usize::from(format.file().is_some()));
    }
}
