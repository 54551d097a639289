//! `portcullis audit export --by-service`: the service makes it (`/v1/audit/exports`), and what it made is fetched and
//! verified here. What was interrupted goes on when the same is asked again: the job is the same one, and so are files.

use super::log::again;
use super::partial::Folder;
use super::progress::Progress;
use super::query::Filters;
use super::verify::{sentences, told, verified};
use super::views::Format;
use crate::client::Client;
use crate::failure::{Failure, Problem};
use crate::output::Output;
use crate::table::clean;
use portcullis_core::audit::export::lines::digest;
use portcullis_core::audit::export::manifest::Entry;
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, MANIFEST, PROOFS, VIEWS};
use portcullis_core::audit::log::checkpoint::CheckpointVerifier;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The file that says which job it is; gone when all is there.
const JOB: &str = "export.job.json";
/// How often is asked how far it is.
const PAUSE: Duration = Duration::from_millis(500);

/// A job that this folder waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begun {
    service: String,
    asked: Value,
    key: String,
    id: Option<String>,
}

/// The service that makes it.
pub struct Service<'a> {
    /// How it is called.
    pub client: &'a Client,
    /// Its base URL.
    pub url: String,
    /// Where remarks go.
    pub output: Output,
}

/// What is asked of the service.
pub fn body(
    from: Option<&str>,
    to: Option<&str>,
    filters: &Filters,
    formats: &[Format],
) -> Result<Value, Failure> {
    let mut format = None;
    for asked in formats.iter().filter(|it| it.file().is_some()) {
        let text = asked
            .text()
            .filter(|_| format.is_none_or(|it| it == *asked));
        if text.is_none() {
            let why = "the service makes one of csv and ocsf beside the lines: leave out --by-service, or the others";
            return Err(Failure::Usage(why.to_owned()));
        }
        format = Some(*asked);
    }
    let Filters {
        subject,
        action,
        outcome,
    } = filters;
    let members = [("from", from), ("to", to)];
    let wanted = [
        ("subject", subject),
        ("action", action),
        ("outcome", outcome),
    ];
    let mut body = Map::new();
    for (name, value) in members {
        body.extend(value.map(|value| (name.to_owned(), json!(value))));
    }
    let mut filter = Map::new();
    for (name, value) in wanted {
        filter.extend(value.as_ref().map(|value| (name.to_owned(), json!(value))));
    }
    if !filter.is_empty() {
        body.insert("filter".to_owned(), Value::Object(filter));
    }
    if let Some(text) = format.and_then(Format::text) {
        body.insert("format".to_owned(), json!(text.as_str()));
    }
    Ok(Value::Object(body))
}

impl Service<'_> {
    /// Has it made, fetches and verifies it.
    pub fn export(
        &self,
        folder: &Folder,
        dir: &Path,
        asked: &Value,
        key: &CheckpointVerifier,
    ) -> Result<(), Failure> {
        let id = self.begin(folder, dir, asked)?;
        let files = self.wait(folder, &id)?;
        self.fetch(folder, &id, &files)?;
        let (report, opened) = verified(dir, key, self.output)?;
        if !report.is_good() {
            return Err(Failure::Invalid(told(&report)));
        }
        fs::remove_file(folder.path(JOB)).map_err(|error| folder.failed(JOB, &error))?;
        if self.output.json {
            let manifest = folder.read(MANIFEST)?.unwrap_or_default();
            return Output::line(&String::from_utf8_lossy(&manifest));
        }
        Output::line(&sentences(&report, opened, key))
    }

    /// Begins the job, or finds the one that was begun.
    fn begin(&self, folder: &Folder, dir: &Path, asked: &Value) -> Result<String, Failure> {
        let of_something_else = || Failure::Usage(format!("{}: {ELSE}", dir.display()));
        let mut begun = match folder.read(JOB)? {
            Some(text) => serde_json::from_slice(&text).map_err(|_| of_something_else())?,
            None if folder.unfinished()?.is_some() => return Err(of_something_else()),
            None => Begun {
                service: self.url.clone(),
                asked: asked.clone(),
                key: new_key(),
                id: None,
            },
        };
        if (&begun.service, &begun.asked) != (&self.url, asked) {
            return Err(of_something_else());
        }
        if let Some(id) = begun.id {
            self.output.remark("It goes on where it was left.");
            return Ok(id);
        }
        // Kept before it is asked for: whoever asks again gets the same job.
        keep(folder, &begun)?;
        let path = ["v1", "audit", "exports"];
        let answer = self.client.post_once(&path, asked, &begun.key);
        let answer = match answer {
            Err(refused @ Failure::Refused(_)) => {
                forget(folder)?;
                return Err(refused);
            }
            answer => answer?,
        };
        let id = answer.text("id")?.to_owned();
        begun.id = Some(id.clone());
        keep(folder, &begun)?;
        Ok(id)
    }

    /// Waits until it is made; the files that there are.
    fn wait(&self, folder: &Folder, id: &str) -> Result<Vec<Entry>, Failure> {
        let path = ["v1", "audit", "exports", id];
        let mut progress: Option<Progress> = None;
        loop {
            let job = again(|| match self.client.get(&path, &[]) {
                Err(Failure::Refused(Problem { status: 404, .. })) => {
                    forget(folder)?;
                    let why = format!("the service does not have {id} any more: ask again");
                    Err(Failure::Usage(why))
                }
                other => other,
            })?;
            match job.text("state")? {
                "finished" => {
                    let files = job.value.get("files").cloned().unwrap_or_default();
                    return serde_json::from_value(files)
                        .map_err(|_| Failure::NoAnswer("it says not which files".to_owned()));
                }
                "failed" => {
                    forget(folder)?;
                    let why = job.text("reason").unwrap_or_default();
                    return Err(Failure::NoAnswer(clean(&format!(
                        "the service has given {id} up: {why}"
                    ))));
                }
                _ => {}
            }
            let number = |name: &str| job.value.pointer(name).and_then(Value::as_u64);
            if let Some(total) = number("/progress/total") {
                let done = number("/progress/done").unwrap_or_default();
                let quiet = self.output.json;
                progress
                    .get_or_insert_with(|| Progress::new("lines", done, total, quiet))
                    .at(done);
            }
            sleep(PAUSE);
        }
    }

    fn fetch(&self, folder: &Folder, id: &str, files: &[Entry]) -> Result<(), Failure> {
        let all = files.iter().map(|file| file.bytes).sum();
        let mut progress = Progress::new("bytes", 0, all, self.output.json);
        let mut before = 0;
        for file in files {
            let known = [EVENTS, CHECKPOINT, PROOFS, MANIFEST];
            if !known.contains(&file.name.as_str()) && !VIEWS.contains(&file.name.as_str()) {
                let why = clean(&format!("{} is no file of an export", file.name));
                return Err(Failure::NoAnswer(why));
            }
            again(|| self.fetch_file(folder, id, file, &mut |done| progress.at(before + done)))?;
            before += file.bytes;
        }
        progress.end();
        Ok(())
    }

    /// Fetches what is missing of a file.
    fn fetch_file(
        &self,
        folder: &Folder,
        id: &str,
        file: &Entry,
        at: &mut dyn FnMut(u64),
    ) -> Result<(), Failure> {
        let name = file.name.as_str();
        let failed = |error: &std::io::Error| folder.failed(name, error);
        let there = fs::metadata(folder.path(name)).map_or(0, |it| it.len());
        let there = if there > file.bytes { 0 } else { there };
        let mut to = folder.open_at(name, there)?;
        let mut done = there;
        if done < file.bytes {
            let path = ["v1", "audit", "exports", id, "files", name];
            self.client.download(&path, there, &mut |bytes| {
                done += bytes.len() as u64;
                at(done);
                to.write_all(bytes).map_err(|error| failed(&error))
            })?;
        }
        to.sync_all().map_err(|error| failed(&error))?;
        if done < file.bytes {
            return Err(Failure::NoAnswer(format!("{name} ended too early")));
        }
        let read = File::open(folder.path(name)).map_err(|error| failed(&error))?;
        let found = digest(BufReader::with_capacity(1 << 16, read));
        if Entry::new(name, found.map_err(|error| failed(&error))?) != *file {
            // Whatever it is, nothing is to go on from it.
            fs::remove_file(folder.path(name)).map_err(|error| failed(&error))?;
            let why = format!("{name} is not what the service says that it is");
            return Err(Failure::NoAnswer(why));
        }
        Ok(())
    }
}

const ELSE: &str = "there is an unfinished export of something else in it";

fn keep(folder: &Folder, begun: &Begun) -> Result<(), Failure> {
    let text = serde_json::to_vec(begun).map_err(|error| Failure::Usage(error.to_string()))?;
    folder.write(JOB, &text)
}

fn forget(folder: &Folder) -> Result<(), Failure> {
    fs::remove_file(folder.path(JOB)).map_err(|error| folder.failed(JOB, &error))
}

/// A key that no other request has: it is to be known again, and is no secret.
fn new_key() -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("cli-{}-{}", since.as_nanos(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_asked_for_and_one_format_at_most() {
        let none = Filters {
            subject: None,
            action: None,
            outcome: None,
        };
        let asked = |formats: &[Format]| body(None, None, &none, formats).ok();
        assert_eq!(asked(&[]), Some(json!({})));
        assert_eq!(asked(&[Format::Ndjson]), Some(json!({})));
        assert_eq!(
            asked(&[Format::Csv, Format::Csv]),
            Some(json!({"format": "csv"}))
        );
        assert_eq!(asked(&[Format::Csv, Format::Ocsf]), None);
        assert_eq!(asked(&[Format::Parquet]), None);
        let kills = Filters {
            action: Some("kill".to_owned()),
            ..none
        };
        let asked = body(Some("3"), Some("2026-11-01T00:00:00Z"), &kills, &[]);
        let expected =
            json!({"from": "3", "to": "2026-11-01T00:00:00Z", "filter": {"action": "kill"}});
        assert_eq!(asked.ok(), Some(expected));
    }
}
