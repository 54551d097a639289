//! Points in time, always in milliseconds since the Unix epoch, always passed in.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, by the clock of whoever observed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This instant plus `secs` seconds; saturates rather than wrapping.
    #[must_use]
    pub const fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(1000)))
    }

    /// Whole seconds, as JWT `NumericDate` claims count (RFC 7519 section 2).
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        i64::try_from(self.0)
            .ok()
            .and_then(DateTime::<Utc>::from_timestamp_millis)
            .map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
            .unwrap_or_default()
    }

    /// Reads an RFC 3339 instant; any offset is accepted, times before 1970 are not.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at = DateTime::parse_from_rfc3339(text).ok()?;
        u64::try_from(at.timestamp_millis()).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips_to_the_millisecond() {
        let text = "2026-01-02T03:04:05.678Z";
        let at = UnixMillis::from_rfc3339(text).expect("valid");
        assert_eq!(at.to_rfc3339(), text);
        assert_eq!(
            UnixMillis::from_rfc3339("2026-01-02T04:04:05.678+01:00"),
            Some(at)
        );
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(UnixMillis::from_rfc3339(text), None, "{text}");
        }
    }
}
