//! Members of JSON that must be there.

use crate::{Failure, Result};
use portcullis_core::time::UnixMillis;
use serde_json::Value;

/// A member that must be text.
#[track_caller]
pub fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    match value[name].as_str() {
        Some(text) => Ok(text),
        None => Err(Failure::new(format!(
            "expected text in `{name}` of {value}"
        ))),
    }
}

/// A member that must be an RFC 3339 instant.
#[track_caller]
pub fn instant(value: &Value, name: &str) -> Result<UnixMillis> {
    match UnixMillis::from_rfc3339(text(value, name)?) {
        Some(instant) => Ok(instant),
        None => Err(Failure::new(format!(
            "expected an instant in `{name}` of {value}"
        ))),
    }
}
