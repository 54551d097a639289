//! The lines in other formats, written from `events.ndjson`; and whether they follow from it.

use super::parquet;
use super::partial::Folder;
use crate::failure::Failure;
use clap::ValueEnum;
use portcullis_core::audit::export::EVENTS;
use portcullis_core::audit::export::fault::{Fault, Wrong};
use portcullis_core::audit::export::view::Format as Text;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

/// A format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As the log has them, which is always there
    Ndjson,
    /// RFC 4180
    Csv,
    /// Open Cybersecurity Schema Framework, a JSON object a line
    Ocsf,
    /// Apache Parquet
    Parquet,
}

impl Format {
    /// The name of the file beside the lines.
    pub const fn file(self) -> Option<&'static str> {
        match self.text() {
            Some(text) => text.file(),
            None => Some("events.parquet"),
        }
    }

    /// The format, if it is text: then the service can write it, too.
    pub const fn text(self) -> Option<Text> {
        match self {
            Self::Ndjson => Some(Text::Ndjson),
            Self::Csv => Some(Text::Csv),
            Self::Ocsf => Some(Text::Ocsf),
            Self::Parquet => None,
        }
    }
}

/// What a line is in a text format, or what comes before all lines.
fn rendered(file: &str, line: Option<&[u8]>) -> Option<String> {
    let format = Text::ALL.into_iter().find(|text| text.file() == Some(file));
    format.unwrap_or_default().render(line)
}

/// Writes the file of a format; its name.
pub fn write(folder: &Folder, format: Format) -> Result<Option<&'static str>, Failure> {
    let Some(name) = format.file() else {
        return Ok(None);
    };
    let failed = |error: &std::io::Error| folder.failed(name, error);
    let lines = File::open(folder.path(EVENTS)).map_err(|error| folder.failed(EVENTS, &error))?;
    let lines = BufReader::new(lines).split(b'\n');
    let to = File::create(folder.path(name)).map_err(|error| failed(&error))?;
    if format == Format::Parquet {
        parquet::write(to, lines).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
        return Ok(Some(name));
    }
    let mut to = BufWriter::new(to);
    let mut put = |line: Option<&[u8]>| {
        let text = rendered(name, line);
        let text = text.ok_or_else(|| std::io::Error::other("a line of the log is none"))?;
        to.write_all(text.as_bytes())
    };
    put(None).map_err(|error| failed(&error))?;
    for line in lines {
        let line = line.map_err(|error| folder.failed(EVENTS, &error))?;
        put(Some(&line)).map_err(|error| failed(&error))?;
    }
    to.flush().map_err(|error| failed(&error))?;
    Ok(Some(name))
}

/// A file that is compared with the lines from which it must follow.
pub struct Following {
    name: &'static str,
    file: BufReader<File>,
    line: u64,
    byte: u64,
    fault: Option<Fault>,
    unreadable: Option<std::io::Error>,
}

impl Following {
    /// Whether a file of that name follows from the lines, byte by byte.
    pub fn is_possible(name: &str) -> bool {
        [Format::Csv, Format::Ocsf]
            .iter()
            .any(|format| format.file() == Some(name))
    }

    /// The file of a text format.
    pub fn open(name: &'static str, file: File) -> Self {
        let file = BufReader::new(file);
        // What comes before all lines of the log is a line of the file, if it is something.
        let has_header = rendered(name, None).is_some_and(|header| !header.is_empty());
        let mut found = Self {
            name,
            file,
            line: u64::from(has_header),
            byte: 0,
            fault: None,
            unreadable: None,
        };
        found.compare(None);
        found
    }

    /// The next line.
    pub fn line(&mut self, line: &[u8]) {
        self.line += 1;
        self.compare(Some(line));
    }

    fn compare(&mut self, line: Option<&[u8]>) {
        if self.fault.is_some() || self.unreadable.is_some() {
            return;
        }
        let Some(expected) = rendered(self.name, line) else {
            self.differs();
            return;
        };
        let mut found = vec![0; expected.len()];
        match self.file.read_exact(&mut found) {
            Ok(()) if found == expected.as_bytes() => self.byte += expected.len() as u64,
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                self.unreadable = Some(error);
            }
            _ => self.differs(),
        }
    }

    fn differs(&mut self) {
        let fault = Fault::of(self.name, Wrong::OtherView);
        self.fault = Some(Fault {
            line: Some(self.line),
            byte: Some(self.byte),
            ..fault
        });
    }

    /// What is wrong with it, after the last line.
    pub fn end(mut self) -> std::io::Result<Option<Fault>> {
        if let Some(error) = self.unreadable {
            return Err(error);
        }
        if self.fault.is_none() && !self.file.fill_buf()?.is_empty() {
            self.line += 1;
            self.differs();
        }
        Ok(self.fault)
    }
}
