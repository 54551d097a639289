//! What comes from files, standard input and the environment: credentials, secrets, documents.
//!
//! A secret is never an argument and never printed; messages about a file that cannot be understood
//! show none of it.

use crate::failure::Failure;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;

/// The variable with the credential.
const TOKEN_VARIABLE: &str = "PORTCULLIS_TOKEN";

/// More than the service takes as a body.
const MAX_BYTES: u64 = 1024 * 1024;

/// Text that must not be shown.
pub struct Secret(String);

impl Secret {
    /// The text, for where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The credential to call with: of `file` if there is one, else of the environment.
pub fn credential(file: Option<&Path>) -> Result<Secret, Failure> {
    let text = match file {
        Some(path) => read(path)?,
        None => match std::env::var(TOKEN_VARIABLE) {
            Ok(text) => text,
            Err(std::env::VarError::NotPresent) => {
                return Err(Failure::Usage(format!(
                    "there is no credential: set {TOKEN_VARIABLE}, or name a file with --token-file"
                )));
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                return Err(Failure::Usage(format!("{TOKEN_VARIABLE} is no text")));
            }
        },
    };
    bearer(&text).ok_or_else(|| {
        let whence = file.map_or(TOKEN_VARIABLE.to_owned(), |path| path.display().to_string());
        Failure::Usage(format!("what is in {whence} is no bearer credential"))
    })
}

/// A credential without the space around it; `None` if it could not stand in a header.
fn bearer(text: &str) -> Option<Secret> {
    let text = text.trim();
    let sendable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    sendable.then(|| Secret(text.to_owned()))
}

/// A secret from standard input, without the end of its line.
///
/// Not from a terminal, which would show it.
pub fn secret_from_stdin() -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let why = "a terminal would show the secret: pipe it in, or redirect a file";
        return Err(Failure::Usage(why.to_owned()));
    }
    let text = text("standard input", stdin.lock())?;
    one_line(&text).ok_or_else(|| {
        let why = "standard input has to be the secret, in one line";
        Failure::Usage(why.to_owned())
    })
}

fn one_line(text: &str) -> Option<Secret> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let whole = !text.is_empty() && !text.contains(['\n', '\r']);
    whole.then(|| Secret(text.to_owned()))
}

/// Whether the path stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// The text of a file, or of standard input if the path is `-`.
pub fn whole(path: &Path) -> Result<String, Failure> {
    if is_stdin(path) {
        text("standard input", std::io::stdin().lock())
    } else {
        read(path)
    }
}

/// A JSON object from a file, or from standard input if the path is `-`.
pub fn document(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = whole(path)?;
    let whence = path.display();
    // To a `Value` first: a mismatch of types would quote what was there, and it may be a secret.
    match serde_json::from_str(&text) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(Failure::Usage(format!("{whence} is no JSON object"))),
        Err(error) => Err(Failure::Usage(format!("{whence}: {error}"))),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let whence = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&whence, &error))?;
    text(&whence, file)
}

fn text(whence: &str, from: impl Read) -> Result<String, Failure> {
    let mut text = String::new();
    from.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(whence, &error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::Usage(format!(
            "{whence} exceeds {MAX_BYTES} bytes"
        )));
    }
    Ok(text)
}

fn unreadable(whence: &str, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("{whence}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_loses_the_space_around_it_and_nothing_else() {
        let found = |text| bearer(text).map(|secret| secret.expose().to_owned());
        assert_eq!(found("dev-admin"), Some("dev-admin".to_owned()));
        assert_eq!(found(" dev-admin\r\n"), Some("dev-admin".to_owned()));
        for unsendable in ["", "\n", "two words", "a\r\nx: y", "schlüssel"] {
            assert_eq!(found(unsendable), None, "{unsendable:?}");
        }
    }

    #[test]
    fn a_secret_keeps_its_spaces_and_is_one_line() {
        let found = |text| one_line(text).map(|secret| secret.expose().to_owned());
        assert_eq!(found("s 3\n"), Some("s 3".to_owned()));
        assert_eq!(found(" s3 \r\n"), Some(" s3 ".to_owned()));
        assert_eq!(found("s3"), Some("s3".to_owned()));
        for wrong in ["", "\n", "\r\n", "a\nb", "a\n\n"] {
            assert_eq!(found(wrong), None, "{wrong:?}");
        }
    }
}
