//! What went wrong, in words, and where it was noticed.

use std::fmt;
use std::panic::Location;

/// Something was not as expected.
pub struct Failure {
    message: String,
    noticed: &'static Location<'static>,
}

/// The result of anything here.
pub type Result<T = ()> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure noticed at the caller's line.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            noticed: Location::caller(),
        }
    }

    /// The words alone.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  noticed at {}", self.message, self.noticed)
    }
}

/// The same: a test that returns an error prints its `Debug` form.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    #[track_caller]
    fn from(error: E) -> Self {
        Self::new(error.to_string())
    }
}

/// `Ok` if the two are equal, else a failure that shows both.
#[track_caller]
pub fn expect_eq<T: PartialEq + fmt::Debug>(what: &str, got: &T, expected: &T) -> Result {
    if got == expected {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{what}: expected {expected:?}, got {got:?}"
    )))
}
