//! Folders that are gone when a test is over.

use crate::Result;
use crate::app::random_text;
use std::fs;
use std::path::PathBuf;

/// A folder that is not there yet, and not any more when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    /// Where it is.
    pub path: PathBuf,
}

impl Scratch {
    /// One of that name, and a random one.
    pub fn new(name: &str) -> Result<Self> {
        let name = format!("portcullis-{name}-{}", random_text()?);
        Ok(Self {
            path: std::env::temp_dir().join(name),
        })
    }

    /// Its path, as an argument.
    #[must_use]
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The path of a file in it, likewise.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody is left to tell.
        drop(fs::remove_dir_all(&self.path));
    }
}
