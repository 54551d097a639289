//! An export that is not finished: what was asked, and how far it is.

use crate::failure::Failure;
use portcullis_core::audit::export::manifest::{Kind, Range, Wanted};
use portcullis_core::audit::export::write::Stored;
use portcullis_core::audit::export::{CHECKPOINT, EVENTS, MANIFEST, PROOFS};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file that says how far it is; gone when it is finished.
const PARTIAL: &str = "export.partial.json";

/// What an export is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The service's base URL.
    pub service: String,
    /// The log's public key.
    pub vkey: String,
    /// `--from`, as it was given.
    pub from: Option<String>,
    /// `--to`, as it was given.
    pub to: Option<String>,
    /// Which lines, as it was given.
    pub filter: Option<Wanted>,
}

/// An export that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partial {
    /// What was asked.
    pub asked: Asked,
    /// The filter that the lines are tried with: who was named is known by key.
    pub filter: Option<Wanted>,
    /// What it means in this log.
    pub scan: Range,
    /// When it was asked.
    pub exported_at: String,
    /// How far it is, once something is written.
    pub stored: Option<Stored>,
}

impl Partial {
    /// What its lines prove together.
    pub const fn kind(&self) -> Kind {
        match self.filter {
            Some(_) => Kind::Filtered,
            None => Kind::Whole,
        }
    }
}

/// The folder of an export.
pub struct Folder(PathBuf);

impl Folder {
    /// That folder, made if it is not there.
    pub fn make(path: &Path) -> Result<Self, Failure> {
        let folder = Self(path.to_owned());
        fs::create_dir_all(path).map_err(|error| folder.failed("", &error))?;
        Ok(folder)
    }

    /// A file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What is unfinished in it, if there is something; what is finished, or is something else, is left alone.
    pub fn unfinished(&self) -> Result<Option<Partial>, Failure> {
        if let Some(text) = self.read(PARTIAL)? {
            let partial = serde_json::from_slice(&text);
            return partial.map(Some).map_err(|_| {
                Failure::Usage(format!("{} cannot be read", self.path(PARTIAL).display()))
            });
        }
        for name in [MANIFEST, CHECKPOINT, EVENTS, PROOFS] {
            if self.path(name).exists() {
                let why = "there is an export in it: name another folder";
                return Err(Failure::Usage(format!("{}: {why}", self.0.display())));
            }
        }
        Ok(None)
    }

    /// The bytes of a file, if it is there.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(name, &error)),
        }
    }

    /// Writes a file so that it is whole or not there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let beside = self.path(&format!("{name}.new"));
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&beside, self.path(name))
        });
        written.map_err(|error| self.failed(name, &error))
    }

    /// Keeps how far it is.
    pub fn keep(&self, partial: &Partial) -> Result<(), Failure> {
        let text =
            serde_json::to_vec(partial).map_err(|error| Failure::Usage(error.to_string()))?;
        self.write(PARTIAL, &text)
    }

    /// It is finished.
    pub fn finished(&self) -> Result<(), Failure> {
        fs::remove_file(self.path(PARTIAL)).map_err(|error| self.failed(PARTIAL, &error))
    }

    /// A file to write on behind its first `bytes`; whatever else is in it goes.
    pub fn open_at(&self, name: &str, bytes: u64) -> Result<File, Failure> {
        let path = self.path(name);
        let opened = || {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)?;
            if file.metadata()?.len() < bytes {
                return Err(std::io::Error::other("it is shorter than it was"));
            }
            file.set_len(bytes)?;
            file.seek(SeekFrom::Start(bytes))?;
            Ok(file)
        };
        opened().map_err(|error| self.failed(name, &error))
    }

    /// Why a file of it could not be read or written.
    pub fn failed(&self, name: &str, error: &std::io::Error) -> Failure {
        Failure::Usage(format!("{}: {error}", self.path(name).display()))
    }
}
