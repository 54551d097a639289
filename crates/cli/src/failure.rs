//! What went wrong: in a line for people, as a problem for programs, and as an exit code.

use crate::table::clean;
use serde_json::{Value, json};
use std::fmt;
use std::io::Write;

/// The exit code of a command line that makes no sense.
pub const USAGE: u8 = 2;

/// Why a command was not done.
#[derive(Debug)]
pub enum Failure {
    /// The service said no.
    Refused(Problem),
    /// A file that was to be checked is not valid: a line for each fault.
    Invalid(Vec<String>),
    /// The command line, or a file that it names, is not what it should be.
    Usage(String),
    /// No answer of the service was had, or none that can be understood.
    NoAnswer(String),
}

/// A problem as the service tells it (RFC 9457).
#[derive(Debug)]
pub struct Problem {
    /// The response's status; the member of that name is advisory (RFC 9457 section 3.1.2).
    pub status: u16,
    /// The document.
    pub document: Value,
}

impl Failure {
    /// The exit code, as `--help` tells it.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(Problem {
                status: 401 | 403, ..
            }) => 4,
            Self::Refused(_) | Self::Invalid(_) => 1,
            Self::Usage(_) => USAGE,
            Self::NoAnswer(_) => 3,
        }
    }

    /// Tells it on standard error, in one line; of a file, in one for each fault, unless they are
    /// on standard output already.
    pub fn report(&self, as_json: bool) {
        let mut stderr = std::io::stderr().lock();
        // If nobody can be told, the exit code says it.
        let _ = match (self, as_json) {
            (Self::Invalid(_), true) => Ok(()),
            (Self::Invalid(_), false) => writeln!(stderr, "{self}"),
            (_, true) => writeln!(stderr, "{}", self.document()),
            (_, false) => writeln!(stderr, "portcullis: {self}"),
        };
    }

    /// The service's problem, or one of ours in the same shape, without a status.
    fn document(&self) -> Value {
        let (title, detail) = match self {
            Self::Refused(problem) => return problem.document.clone(),
            Self::Invalid(faults) => ("Invalid", &faults.join("\n")),
            Self::Usage(detail) => ("Usage", detail),
            Self::NoAnswer(detail) => ("No Answer", detail),
        };
        json!({"type": "about:blank", "title": title, "detail": detail})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(problem) => {
                let text = |name| problem.document.get(name).and_then(Value::as_str);
                let title = text("title").unwrap_or("Refused");
                write!(f, "{}", clean(title))?;
                if let Some(detail) = text("detail") {
                    write!(f, ": {}", clean(detail))?;
                }
                write!(f, " ({})", problem.status)
            }
            Self::Invalid(faults) => {
                let lines: Vec<String> = faults.iter().map(|fault| clean(fault)).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Usage(why) | Self::NoAnswer(why) => f.write_str(&clean(why)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, document: Value) -> Failure {
        Failure::Refused(Problem { status, document })
    }

    #[test]
    fn a_refused_credential_has_an_exit_code_of_its_own() {
        for (status, code) in [(400, 1), (401, 4), (403, 4), (404, 1), (409, 1), (503, 1)] {
            assert_eq!(refused(status, json!({})).exit_code(), code, "{status}");
        }
        assert_eq!(Failure::Usage(String::new()).exit_code(), 2);
        assert_eq!(Failure::NoAnswer(String::new()).exit_code(), 3);
    }

    #[test]
    fn a_problem_is_told_in_one_line_whatever_is_in_it() {
        let problem = json!({"title": "Bad Request", "detail": "two\nlines \u{1b}[2J"});
        assert_eq!(
            refused(400, problem).to_string(),
            "Bad Request: two\u{fffd}lines \u{fffd}[2J (400)"
        );
        assert_eq!(refused(404, json!([])).to_string(), "Refused (404)");
    }

    #[test]
    fn what_is_no_problem_of_the_service_has_its_shape_and_no_status() {
        let document = Failure::NoAnswer("timeout".to_owned()).document();
        assert_eq!(
            document,
            json!({"type": "about:blank", "title": "No Answer", "detail": "timeout"})
        );
        let problem = json!({"title": "Conflict", "status": 409, "kept": true});
        assert_eq!(refused(409, problem.clone()).document(), problem);
    }
}
