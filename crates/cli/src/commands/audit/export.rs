//! `portcullis audit export`: lines and what proves them, as a folder that is verified without the service.
//!
//! The service hands out its checkpoint, tiles and entry bundles; all else is done here. What an export is:
//! `portcullis_core::audit::export`.

use super::by_service::{self, Service};
use super::disclosures;
use super::download::{committed_at, download};
use super::log::Log;
use super::partial::{Asked, Folder, Partial};
use super::progress::Progress;
use super::query::{Filters, page};
use super::retention::Gone;
use super::verify::Key;
use super::views::{self, Format};
use crate::args::Global;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Output;
use crate::table::clean;
use clap::Args;
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::{Entry, Manifest, Range, Stated, Wanted};
use portcullis_core::audit::export::write::Done;
use portcullis_core::audit::export::{CHECKPOINT, DISCLOSURES, EVENTS, MANIFEST, PROOFS, VERSION};
use portcullis_core::audit::log::Head;
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use portcullis_core::id::SubjectKey;
use portcullis_core::time::UnixMillis;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// For the help.
pub const EXAMPLE: &str = "\
Without a filter it is all that the log has from --from to --to, and is shown to be. With one, each line
is shown to be the log's, and that none was left out is not. Indexes are as in the lines; times are those of
the commit, so that they are a range of indexes too. What was interrupted goes on when the same is asked for again.

Lines that are gone by their age cannot be exported: it is refused, or begins behind them with --kept. That the rest is
the log's is proven as before.
With --by-service the service makes it, in the background and without a request for each few lines, and keeps it for a
week; this waits, fetches its files and verifies them. Of the other formats it makes csv or ocsf.

The key is taken from the service if none is given. Have it from somewhere else: who could change the log
could change that too.

Personal fields are sealed in the lines, in every format. --personal takes along a key for each line,
which opens that line and no other, as long as nobody erased it.

Example:
  portcullis audit export ./everything --key-file log.vkey
  portcullis audit export ./november --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z --format csv
  portcullis audit export ./kills --action kill --format parquet --format ocsf
  portcullis audit export ./everything --by-service --key-file log.vkey";

/// The lane: there is one.
const LANE: u32 = 0;

/// What, and where to.
#[derive(Debug, Args)]
pub struct Export {
    /// The folder; made if it is not there
    dir: PathBuf,
    /// From this index, or from what was committed at this time (RFC 3339), on
    #[arg(long, value_name = "INDEX|TIME")]
    from: Option<String>,
    /// Until before this index, or before what was committed at this time
    #[arg(long, value_name = "INDEX|TIME")]
    to: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Where lines of it are gone by their age, begin with the first that is kept
    #[arg(long)]
    kept: bool,
    /// The lines in this format too; may be given several times
    #[arg(long, value_enum)]
    format: Vec<Format>,
    /// Take along what opens the sealed fields of the lines: address, user agent, claims
    #[arg(long)]
    personal: bool,
    /// Who asks for it, for the manifest
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Have the service make it, and fetch it when it is done
    #[arg(long, conflicts_with = "by")]
    by_service: bool,
    #[command(flatten)]
    key: Key,
}

impl Export {
    /// Carries it out.
    pub fn run(&self, global: &Global) -> Result<(), Failure> {
        let (client, output) = (global.client()?, global.output());
        let log = Log::ask(&client)?;
        let folder = Folder::make(&self.dir)?;
        if self.by_service {
            let key = self.key(&log, output)?;
            let body = by_service::body(
                self.from.as_deref(),
                self.to.as_deref(),
                &self.filters,
                &self.format,
            )?;
            let service = Service {
                client: &client,
                url: global.url.to_string(),
                output,
            };
            return service.export(&folder, &self.dir, &body, &key);
        }
        let unfinished = folder.unfinished()?;
        let key = self.key(&log, output)?;
        let asked = Asked {
            service: global.url.to_string(),
            vkey: key.to_vkey(),
            from: self.from.clone(),
            to: self.to.clone(),
            filter: self.wanted(),
        };
        if unfinished
            .as_ref()
            .is_some_and(|partial| partial.asked != asked)
        {
            let why = "there is an unfinished export of something else in it";
            return Err(Failure::Usage(format!("{}: {why}", self.dir.display())));
        }
        let (mut partial, checkpoint) = match unfinished.zip(folder.read(CHECKPOINT)?) {
            Some(begun) => begun,
            None => self.begin(&client, output, &log, &key, &folder, asked)?,
        };
        let head = key
            .open(&checkpoint)
            .map_err(|error| Failure::NoAnswer(error.to_string()))?;
        if partial.stored.is_some() {
            output.remark("It goes on where it was left.");
        }
        let mut progress =
            Progress::new("lines", partial.scan.first, partial.scan.end, output.json);
        let origin = key.origin().as_str();
        let done = download(&log, &head, origin, &folder, &mut partial, &mut progress)?;
        progress.end();
        if self.personal {
            let opened = disclosures::fetch(&client, &folder)?;
            output.remark(&format!("Lines that can be opened: {opened}."));
        }
        let manifest = self.manifest(&folder, global, &key, &head, &partial, &done)?;
        let text = manifest
            .render()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        folder.write(MANIFEST, text.as_bytes())?;
        folder.finished()?;
        if output.json {
            return Output::line(&text);
        }
        Output::line(&self.sentence(&manifest))
    }

    fn key(&self, log: &Log<'_>, output: Output) -> Result<CheckpointVerifier, Failure> {
        if let Some(key) = self.key.read()? {
            log.is_of(&key)?;
            return Ok(key);
        }
        let key = log.key();
        let vkey = key.to_vkey();
        output.remark(&clean(&format!("The key is the service's word: {vkey}")));
        Ok(key.clone())
    }

    fn begin(
        &self,
        client: &Client,
        output: Output,
        log: &Log<'_>,
        key: &CheckpointVerifier,
        folder: &Folder,
        asked: Asked,
    ) -> Result<(Partial, Vec<u8>), Failure> {
        let filter = self.resolved(client)?;
        let checkpoint = log.checkpoint()?;
        let head = key
            .open(&checkpoint)
            .map_err(|error| Failure::NoAnswer(error.to_string()))?;
        let gone = Gone::ask(client)?;
        let bound = |given: Option<&String>, without: u64| match given {
            None => Ok(without),
            Some(text) => index(text, log, &head, &gone),
        };
        let (first, end) = (
            bound(self.from.as_ref(), 0)?,
            bound(self.to.as_ref(), head.size)?,
        );
        if first > end {
            return Err(Failure::Usage("--from is behind --to".to_owned()));
        }
        let first = self.first_kept(first, end, &gone, output)?;
        let scan = Range { first, end };
        let partial = Partial {
            asked,
            filter,
            scan,
            exported_at: now(),
            stored: None,
        };
        folder.keep(&partial)?;
        folder.write(CHECKPOINT, &checkpoint)?;
        Ok((partial, checkpoint))
    }

    /// Where the export begins, when some of the log is gone.
    fn first_kept(
        &self,
        first: u64,
        end: u64,
        gone: &Gone,
        output: Output,
    ) -> Result<u64, Failure> {
        if first >= gone.to {
            return Ok(first);
        }
        let until = gone.until.as_deref().unwrap_or("an unknown time");
        let why = format!(
            "lines below index {} are gone by their age, the latest of them committed at {until}",
            gone.to
        );
        if end <= gone.to {
            return Err(Failure::Usage(clean(&format!(
                "nothing is left of that: {why}"
            ))));
        }
        if !self.kept {
            let instead = format!("--kept begins at {}", gone.to);
            return Err(Failure::Usage(clean(&format!("{why}; {instead}"))));
        }
        output.remark(&clean(&format!("It begins at {}: {why}.", gone.to)));
        Ok(gone.to)
    }

    fn wanted(&self) -> Option<Wanted> {
        let Filters {
            subject,
            action,
            outcome,
        } = &self.filters;
        let wanted = Wanted {
            subject: subject.clone(),
            action: action.clone(),
            outcome: outcome.clone(),
            ..Wanted::default()
        };
        (wanted != Wanted::default()).then_some(wanted)
    }

    /// The filter with the subject's key, which only the service can tell of who is named.
    fn resolved(&self, client: &Client) -> Result<Option<Wanted>, Failure> {
        let Some(mut wanted) = self.wanted() else {
            return Ok(None);
        };
        if let Some(subject) = &wanted.subject
            && subject.parse::<SubjectKey>().is_err()
        {
            let query = [
                ("subject", subject.as_str()),
                ("order", "newest"),
                ("limit", "1"),
            ];
            // That somebody reads of them is in the log, so that the second look finds at least that.
            let (first, second) = (page(client, &query)?, page(client, &query)?);
            let line = first.events.first().or(second.events.first());
            let line = line.map(|line| super::query::value(line)).transpose()?;
            let key = line.as_ref().and_then(|line| line.get("subject")?.as_str());
            let key =
                key.ok_or_else(|| Failure::NoAnswer(format!("nothing says who {subject} is")))?;
            wanted.subject = Some(key.to_owned());
        }
        let readable = wanted.filter().map(|_| ());
        readable.map_err(|name| Failure::Usage(format!("--{name} says nothing that there is")))?;
        Ok(Some(wanted))
    }

    fn manifest(
        &self,
        folder: &Folder,
        global: &Global,
        key: &CheckpointVerifier,
        head: &Head,
        partial: &Partial,
        done: &Done,
    ) -> Result<Manifest, Failure> {
        let mut names = vec![EVENTS, CHECKPOINT, PROOFS];
        names.extend(self.personal.then_some(DISCLOSURES));
        for format in &self.format {
            if format.file().is_none_or(|name| !names.contains(&name)) {
                names.extend(views::write(folder, *format)?);
            }
        }
        let entry = |name: &str| {
            let file = File::open(folder.path(name));
            let digest = file.and_then(|file| digest(BufReader::with_capacity(1 << 16, file)));
            digest
                .map(|digest| Entry::new(name, digest))
                .map_err(|error| folder.failed(name, &error))
        };
        let origin = key.origin().to_string();
        let found = key.origin().log().filter(|(_, log)| log.lane == LANE);
        let (host, _) =
            found.ok_or_else(|| Failure::Usage(format!("{origin} is no lane {LANE}")))?;
        Ok(Manifest {
            version: VERSION,
            issuer: format!("{}://{host}", global.url.scheme()),
            lane: LANE,
            kind: partial.kind(),
            scanned: vec![partial.scan],
            filter: partial.filter.clone(),
            lines: done.lines,
            first_index: done.first_index,
            last_index: done.last_index,
            exported_at: partial.exported_at.clone(),
            requested_by: self.by.clone(),
            checkpoint: Stated::from(head),
            files: names.into_iter().map(entry).collect::<Result<_, _>>()?,
            origin,
        })
    }

    fn sentence(&self, manifest: &Manifest) -> String {
        let dir = self.dir.display();
        let lines = match (manifest.first_index, manifest.last_index) {
            (Some(first), Some(last)) => {
                format!("{} lines, index {first} to {last},", manifest.lines)
            }
            _ => "No line".to_owned(),
        };
        clean(&format!(
            "{lines} in {dir}; on the checkpoint of {} at {} lines.",
            manifest.origin, manifest.checkpoint.size,
        ))
    }
}

/// An index, as it is or by the time of the commit.
fn index(text: &str, log: &Log<'_>, head: &Head, gone: &Gone) -> Result<u64, Failure> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let index = text.parse().ok().filter(|index| *index <= head.size);
        let why = || format!("the log has {} lines: there is no index {text}", head.size);
        return index.ok_or_else(|| Failure::Usage(why()));
    }
    let at = UnixMillis::from_rfc3339(text);
    let at = at.ok_or_else(|| Failure::Usage(format!("{text} is neither an index nor a time")))?;
    let at = at.to_rfc3339();
    // Of what is gone it is only known when the latest was committed. Times of one form sort as text.
    if gone.until.as_ref().is_some_and(|until| at <= *until) {
        return Ok(gone.to.saturating_sub(1));
    }
    committed_at(log, head, &at, gone.to)
}

/// By this machine's clock.
fn now() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or_default()).to_rfc3339()
}
