//! What went wrong, in words for the person at the terminal.

use std::{fmt, process::ExitCode};

#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// A step ran and failed.
    Step(String),
    /// Something is not on this machine and could not be put there. `remedy` is what would:
    /// commands, one a line.
    Missing { what: String, remedy: String },
}

impl Failure {
    pub fn step(message: impl Into<String>) -> Self {
        Self::Step(message.into())
    }

    pub fn missing(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Missing {
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Step(_) => 1,
            Self::Usage(_) => 2,
            Self::Missing { .. } => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) => write!(f, "error: {message}\n\nSee `cargo xtask --help`."),
            Self::Step(message) => write!(f, "error: {message}"),
            Self::Missing { what, remedy } => {
                write!(f, "error: {what}\n\nThis would get it:\n")?;
                remedy
                    .lines()
                    .try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

/// Puts what was being done in front of an I/O error.
pub trait Doing<T> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::Step(format!("{what}: {error}")))
    }
}
