//! Lines and hashes from the log into the files of an export.
//!
//! What the service hands out is believed only as far as it makes the root of the checkpoint: tiles by their own proof,
//! and each bundle by the hashes in the tiles. So a line that is wrong is told when it comes.

use super::log::{Log, unproven};
use super::partial::{Folder, Partial};
use super::progress::Progress;
use crate::failure::Failure;
use portcullis_core::audit::export::manifest::{Range, Wanted};
use portcullis_core::audit::export::write::{Done, NotWritten, State, Writer, subtrees};
use portcullis_core::audit::export::{EVENTS, PROOFS};
use portcullis_core::audit::line::Line;
use portcullis_core::audit::log::edge::Edge;
use portcullis_core::audit::log::path::Place;
use portcullis_core::audit::log::proof::Tree;
use portcullis_core::audit::log::{Head, TILE_WIDTH, leaf_hash};
use portcullis_core::audit::query::Filter;
use std::fs::File;
use std::io::BufWriter;
use std::thread;

/// How many bundles are asked for at once.
const AT_ONCE: u64 = 8;
/// After how many bundles it is kept how far it is.
const KEPT_AFTER: u64 = 64;

/// Where entries lie, and they.
type Bundle = (Place, Vec<Vec<u8>>);
type Out = Writer<BufWriter<File>, BufWriter<File>>;

/// Downloads what is asked, from where it was left.
pub fn download(
    log: &Log<'_>,
    head: &Head,
    origin: &str,
    folder: &Folder,
    partial: &mut Partial,
    progress: &mut Progress,
) -> Result<Done, Failure> {
    let tree = Tree::new(*head, log);
    tree.check().map_err(unproven)?;
    let filter = partial.filter.as_ref().map(Wanted::filter);
    let filter = filter
        .transpose()
        .map_err(|name| Failure::Usage(format!("{name} cannot be read")))?;
    let mut writer = open(folder, partial, origin, head.size)?;
    let read = scanned(
        log,
        &tree,
        folder,
        partial,
        &mut writer,
        filter.as_ref(),
        progress,
    );
    // Also what there is when it fails: it goes on from there.
    keep(&mut writer, folder, partial)?;
    read?;
    outside(&mut writer, &tree, head.size)?;
    let (done, ..) = writer.finish(head).map_err(not_written)?;
    Ok(done)
}

fn scanned(
    log: &Log<'_>,
    tree: &Tree<'_, Log<'_>>,
    folder: &Folder,
    partial: &mut Partial,
    writer: &mut Out,
    filter: Option<&Filter>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let Range { first, end } = partial.scan;
    outside(writer, tree, first)?;
    let mut since_kept = 0;
    while writer.state().size() < end {
        for (place, entries) in bundles(log, writer.state().size(), end, tree.head().size)? {
            check(tree, place, &entries)?;
            for (index, entry) in (place.first()..).zip(&entries) {
                if (writer.state().size()..end).contains(&index) {
                    put(writer, entry, filter)?;
                }
            }
            since_kept += 1;
        }
        progress.at(writer.state().size());
        if since_kept >= KEPT_AFTER {
            keep(writer, folder, partial)?;
            since_kept = 0;
        }
    }
    Ok(())
}

/// The index of the first line from `kept` on that was committed at that time or later, by halving: commits are in
/// order. Lines below `kept` are gone, by whole bundles.
pub fn committed_at(log: &Log<'_>, head: &Head, at: &str, kept: u64) -> Result<u64, Failure> {
    #[derive(serde::Deserialize)]
    struct Committed {
        committed: String,
    }
    let is_before = |entry: &[u8]| {
        let line: Result<Committed, _> = serde_json::from_slice(entry);
        // Both are RFC 3339 in UTC with milliseconds, which sorts as text.
        line.map(|line| line.committed.as_str() < at)
            .map_err(|_| Failure::NoAnswer("a line of the log says not when".to_owned()))
    };
    let tree = Tree::new(*head, log);
    let first = kept / TILE_WIDTH;
    let (mut low, mut high) = (first, head.size.div_ceil(TILE_WIDTH).max(first));
    // Bundles below `low` begin before it; those from `high` on do not.
    while low < high {
        let middle = low + (high - low) / 2;
        let place = place(middle, head.size)?;
        let entries = log.entries(place)?;
        check(&tree, place, &entries)?;
        match entries.first() {
            Some(first) if is_before(first)? => low = middle + 1,
            _ => high = middle,
        }
    }
    let Some(number) = low.checked_sub(1).filter(|number| *number >= first) else {
        return Ok(kept);
    };
    let place = place(number, head.size)?;
    let entries = log.entries(place)?;
    check(&tree, place, &entries)?;
    let mut index = place.first();
    for entry in &entries {
        if !is_before(entry)? {
            break;
        }
        index += 1;
    }
    Ok(index)
}

fn open(folder: &Folder, partial: &Partial, origin: &str, size: u64) -> Result<Out, Failure> {
    let state = match &partial.stored {
        Some(stored) => Some(State::from_stored(stored).ok_or_else(|| {
            Failure::Usage("what is known of the unfinished export makes no sense".to_owned())
        })?),
        None => None,
    };
    let done = state
        .as_ref()
        .map(|state| state.done.clone())
        .unwrap_or_default();
    let events = BufWriter::new(folder.open_at(EVENTS, done.events_bytes)?);
    let proofs = BufWriter::new(folder.open_at(PROOFS, done.proofs_bytes)?);
    match state {
        Some(state) => Ok(Writer::resume(events, proofs, state)),
        None => Writer::begin(events, proofs, origin, size)
            .map_err(|error| folder.failed(PROOFS, &error)),
    }
}

fn keep(writer: &mut Out, folder: &Folder, partial: &mut Partial) -> Result<(), Failure> {
    writer
        .flush()
        .map_err(|error| folder.failed(EVENTS, &error))?;
    // What is kept must be true after a crash as well.
    for name in [EVENTS, PROOFS] {
        let synced = File::open(folder.path(name)).and_then(|file| file.sync_data());
        synced.map_err(|error| folder.failed(name, &error))?;
    }
    partial.stored = Some(writer.state().to_stored());
    folder.keep(partial)
}

/// Whatever is up to `end` is not exported: only its hashes are.
fn outside(writer: &mut Out, tree: &Tree<'_, Log<'_>>, end: u64) -> Result<(), Failure> {
    for (height, number) in subtrees(writer.state().size(), end) {
        let root = tree.subtree(height, number).map_err(unproven)?;
        writer.others(height, root).map_err(not_written)?;
    }
    Ok(())
}

fn put(writer: &mut Out, entry: &[u8], filter: Option<&Filter>) -> Result<(), Failure> {
    if entry.contains(&b'\n') {
        return Err(Failure::NoAnswer("a line of the log is no line".to_owned()));
    }
    let is_wanted = match filter {
        None => true,
        Some(filter) => {
            let line = std::str::from_utf8(entry)
                .ok()
                .and_then(|line| Line::parse(line).ok());
            line.is_some_and(|line| filter.matches(&line))
        }
    };
    let put = if is_wanted {
        writer.line(entry)
    } else {
        writer.others(0, leaf_hash(entry))
    };
    put.map_err(not_written)
}

/// The next bundles, in order.
fn bundles(log: &Log<'_>, from: u64, end: u64, size: u64) -> Result<Vec<Bundle>, Failure> {
    let first = from / TILE_WIDTH;
    let numbers = first..end.div_ceil(TILE_WIDTH).min(first + AT_ONCE);
    let places: Vec<Place> = numbers
        .map(|number| place(number, size))
        .collect::<Result<_, _>>()?;
    thread::scope(|scope| {
        let asked: Vec<_> = places
            .iter()
            .map(|place| (*place, scope.spawn(|| log.entries(*place))))
            .collect();
        let answered = asked.into_iter().map(|(place, entries)| {
            let entries = entries.join();
            let entries =
                entries.map_err(|_| Failure::NoAnswer("it could not be asked".to_owned()))?;
            Ok((place, entries?))
        });
        answered.collect()
    })
}

fn place(number: u64, size: u64) -> Result<Place, Failure> {
    let width = size.saturating_sub(number * TILE_WIDTH).min(TILE_WIDTH);
    Place::new(number, width).ok_or_else(|| Failure::NoAnswer("the log is too large".to_owned()))
}

/// Whether the entries are the tree's.
fn check(tree: &Tree<'_, Log<'_>>, place: Place, entries: &[Vec<u8>]) -> Result<(), Failure> {
    let mut entries = entries.iter();
    for (height, number) in subtrees(place.first(), place.end()) {
        let mut edge = Edge::empty();
        for entry in entries.by_ref().take(1 << height) {
            edge.append(leaf_hash(entry), &mut Vec::new());
        }
        if edge.head().root != tree.subtree(height, number).map_err(unproven)? {
            return Err(Failure::NoAnswer(format!(
                "the log contradicts its checkpoint: lines {} to {} are not those of the tree",
                place.first(),
                place.end() - 1,
            )));
        }
    }
    Ok(())
}

fn not_written(error: NotWritten) -> Failure {
    match error {
        NotWritten::Io(error) => Failure::Usage(format!("the export cannot be written: {error}")),
        NotWritten::Misplaced | NotWritten::OtherTree => {
            Failure::NoAnswer("the log contradicts its checkpoint".to_owned())
        }
    }
}
