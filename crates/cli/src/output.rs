//! Standard output: the service's JSON as it is, or what people read.

use crate::client::Answer;
use crate::failure::Failure;
use std::io::{ErrorKind, Write};

/// Where answers go.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether to print JSON as it came.
    pub json: bool,
}

impl Output {
    /// Prints an answer: as it came, or as `render` has it.
    pub fn answer(
        self,
        answer: &Answer,
        render: impl FnOnce(&Answer) -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        if self.json {
            Self::line(&answer.body)
        } else {
            Self::line(&render(answer)?)
        }
    }

    /// Prints text, ended by one new line; nothing for nothing.
    pub fn line(text: &str) -> Result<(), Failure> {
        // Whoever reads has seen enough, as `head` has.
        Self::line_if_read(text).map(drop)
    }

    /// The same; says whether anybody still reads.
    pub fn line_if_read(text: &str) -> Result<bool, Failure> {
        let text = text.trim_end();
        if text.is_empty() {
            return Ok(true);
        }
        let mut stdout = std::io::stdout().lock();
        match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Failure::Usage(format!("standard output: {error}"))),
            Ok(()) => Ok(true),
        }
    }

    /// A remark for people, beside the answer.
    pub fn remark(self, text: &str) {
        if !self.json {
            // It only helps; the answer is on standard output.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}
